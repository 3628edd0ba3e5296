//! Predictions, and what the questions tell of them.

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{GqaCounts, layout::Prediction, share};
use crate::{
    Error,
    layouts::{Id, Text, TextFile},
    table::Mean,
};

/// The predictions, and what becomes known of them.
#[derive(Default)]
pub(super) struct Answers<'a> {
    pub(super) list: Vec<Answer<'a>>,
    pub(super) position: FxHashMap<Id<'a>, usize>,
}

pub(super) struct Answer<'a> {
    pub(super) id: Id<'a>,
    /// Absent for what equals no answer.
    pub(super) text: Option<Cow<'a, str>>,
    /// How many predictions there are for the question.
    pub(super) entries: usize,
    /// Whether it is the true answer; absent until the question was met.
    pub(super) right: Option<bool>,
    /// For balanced questions, whether it is about what things have in common.
    pub(super) in_common: Option<bool>,
    /// Whether it is valid, and whether it is plausible.
    pub(super) choice: Option<(bool, bool)>,
}

impl<'a> Answers<'a> {
    pub(super) fn read(file: &'a TextFile, counts: &mut GqaCounts) -> Result<Self, Error> {
        let entries = file.list::<Prediction<'_>>("a list of {questionId, prediction}")?;
        let mut answers = Self::default();
        for entry in entries {
            let id = entry.question_id;
            let text = match entry.prediction {
                // The evaluator compares them, in vain.
                Text::Other("a number" | "a truth value" | "null") => None,
                text => Some(text.of(file, &id, "prediction")?),
            };
            counts.predictions_not_text += usize::from(text.is_none());
            let next = answers.list.len();
            let position = *answers.position.entry(id.clone()).or_insert(next);
            if position == next {
                answers.list.push(Answer {
                    id,
                    text,
                    entries: 1,
                    right: None,
                    in_common: None,
                    choice: None,
                });
            } else {
                counts.doubled_predictions += 1;
                answers.list[position].text = text;
                answers.list[position].entries += 1;
            }
        }
        Ok(answers)
    }
}

/// The questions that are entailed by those answered right, until it is known how they were answered.
#[derive(Default)]
pub(super) struct Entailed {
    /// Positions of their answers, one question's behind the other's.
    answers: Vec<usize>,
    /// Where those of each question end.
    ends: Vec<usize>,
    without_answer: Vec<Id<'static>>,
}

impl Entailed {
    /// Questions without others entailed do not count.
    pub(super) fn add(&mut self, entailed: Vec<Id<'_>>, own: &Id<'_>, position: &FxHashMap<Id<'_>, usize>) {
        let mut others = entailed.into_iter().filter(|other| other != own).peekable();
        if others.peek().is_none() {
            return;
        }
        for other in others {
            match position.get(&other) {
                Some(&position) => self.answers.push(position),
                None => self.without_answer.push(other.into_owned()),
            }
        }
        self.ends.push(self.answers.len());
    }

    pub(super) fn mean(
        &self,
        answers: &Answers<'_>,
        unanswered: &FxHashSet<Id<'_>>,
        counts: &mut GqaCounts,
    ) -> Mean {
        for id in &self.without_answer {
            if unanswered.contains(id) {
                counts.entailed_without_prediction += 1;
            } else {
                counts.entailed_without_question += 1;
            }
        }
        let mut all = Mean::default();
        let mut start = 0;
        for &end in &self.ends {
            let mut own = Mean::default();
            for &position in &self.answers[start..end] {
                match answers.list[position].right {
                    Some(right) => own.add(share(right)),
                    None => counts.entailed_without_question += 1,
                }
            }
            all.add(own.get());
            start = end;
        }
        all
    }
}

impl Answer<'_> {
    /// Whether it is among these. Questions about what two things have in common are answered with a
    /// property's name.
    pub(super) fn is_within(&self, in_common: bool, group: &[Cow<'_, str>]) -> bool {
        const COMMON: [&str; 3] = ["color", "material", "shape"];
        self.text.as_deref().is_some_and(|answer| {
            if in_common { COMMON.contains(&answer) } else { group.iter().any(|member| member == answer) }
        })
    }
}
