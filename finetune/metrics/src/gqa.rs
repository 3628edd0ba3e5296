//! GQA: accuracy, consistency, validity, plausibility, distribution.
//!
//! Paper: Hudson and Manning, arXiv:1902.09506, section 4.4.

mod answers;
mod layout;

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use rustc_hash::FxHashSet;
use serde::Serialize;

use self::{
    answers::{Answers, Entailed},
    layout::{Choices, Question},
};
use crate::{
    Error,
    layouts::{Id, ObjectFile, TextFile},
    table::{Mean, Table, as_object},
};

/// Scores, times 100 (but for `distribution`, which is a chi-square divided by 100, lower is better).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GqaScores {
    /// Over balanced questions.
    pub accuracy: f64,
    /// Over yes/no and choice questions.
    pub binary: f64,
    /// Over open questions.
    pub open: f64,
    /// Over correct questions with others entailed: the mean share of those that are right. Absent
    /// where entailed questions or predictions for them are missing.
    pub consistency: Option<f64>,
    /// Share of answers in the question's scope. Absent without choices.
    pub validity: Option<f64>,
    /// Share of answers that make sense. Absent without choices.
    pub plausibility: Option<f64>,
    /// Distance between the distributions of true and predicted answers.
    pub distribution: f64,
    /// Accuracy by structural type.
    #[serde(serialize_with = "as_object")]
    pub per_structural_type: Vec<(String, f64)>,
    /// Accuracy by semantic type.
    #[serde(serialize_with = "as_object")]
    pub per_semantic_type: Vec<(String, f64)>,
    /// Accuracy by number of words.
    #[serde(serialize_with = "as_object")]
    pub per_length: Vec<(String, f64)>,
    /// Accuracy by number of reasoning steps.
    #[serde(serialize_with = "as_object")]
    pub per_steps: Vec<(String, f64)>,
    /// What was odd about the files.
    pub counts: GqaCounts,
}

/// What was odd about the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GqaCounts {
    /// Balanced questions, which are scored.
    pub questions: usize,
    /// Predictions for unknown questions; not counted.
    pub surplus_predictions: usize,
    /// Predictions for a question that had one already; the last one counts.
    pub doubled_predictions: usize,
    /// Numbers, truth values and nulls in place of a prediction's text; they equal no answer.
    pub predictions_not_text: usize,
    /// Entailed questions without prediction.
    pub entailed_without_prediction: usize,
    /// Entailed questions that the file of questions lacks.
    pub entailed_without_question: usize,
}

/// Scores predictions against the official questions and, for validity and plausibility, choices.
///
/// Questions and choices are read one by one: what is kept of them are the ids.
pub fn score_files(
    questions: &Path,
    predictions: &TextFile,
    choices: Option<&Path>,
) -> Result<GqaScores, Error> {
    let mut counts = GqaCounts::default();
    let mut answers = Answers::read(predictions, &mut counts)?;
    let mut tally = Tally::default();
    let mut entailed = Entailed::default();
    // Where the answers to balanced questions stand, in the questions' order.
    let mut balanced: Vec<usize> = Vec::new();
    let mut unanswered: FxHashSet<Id<'static>> = FxHashSet::default();
    ObjectFile::open(questions)?.each_member(QUESTIONS, |key, value| {
        let question: Question<'_> = value.read()?;
        let id = Id::from(&*key);
        let Some(&position) = answers.position.get(&id) else {
            if question.is_balanced {
                return Err(missing(predictions.path(), &id, "every balanced question needs a prediction"));
            }
            unanswered.insert(key.into_owned().into());
            return Ok(());
        };
        let answer = &mut answers.list[position];
        let right = answer.text.as_ref() == Some(&question.answer);
        answer.right = Some(right);
        if question.is_balanced {
            answer.in_common = Some(question.types.detailed.contains("Common"));
            balanced.push(position);
            tally.add(&question, answer.text.as_deref());
            if right {
                entailed.add(question.entailed, &id, &answers.position);
            }
        }
        Ok(())
    })?;
    if balanced.is_empty() {
        let problem = "holds no balanced questions".to_owned();
        return Err(Error::Content { path: questions.to_owned(), problem });
    }
    counts.questions = balanced.len();
    let surplus = answers.list.iter().filter(|answer| answer.right.is_none());
    counts.surplus_predictions = surplus.map(|answer| answer.entries).sum();
    if let Some(choices) = choices {
        tally.choose(choices, &mut answers, &balanced)?;
    }
    tally.consistent = entailed.mean(&answers, &unanswered, &mut counts);
    Ok(tally.scores(choices.is_some(), counts))
}

const QUESTIONS: &str = "GQA questions (a map of id to question)";

fn missing(path: &Path, id: &Id<'_>, hint: &'static str) -> Error {
    Error::MissingId { path: path.to_owned(), id: id.to_string(), hint }
}

#[derive(Default)]
struct Tally {
    all: Mean,
    binary: Mean,
    open: Mean,
    consistent: Mean,
    valid: Mean,
    plausible: Mean,
    structural: Table<String>,
    semantic: Table<String>,
    length: Table<usize>,
    steps: Table<usize>,
    /// By global group: how often an answer is the true one, and how often it is predicted.
    groups: BTreeMap<String, BTreeMap<String, (f64, f64)>>,
}

impl Tally {
    fn add(&mut self, question: &Question<'_>, answer: Option<&str>) {
        let right = share(answer == Some(&question.answer));
        self.all.add(right);
        if question.types.structural == "query" { &mut self.open } else { &mut self.binary }.add(right);
        self.structural.add(&*question.types.structural, right);
        self.semantic.add(&*question.types.semantic, right);
        self.length.add(&question.words(), right);
        self.steps.add(&question.steps, right);
        if let Some(group) = &question.groups.global {
            let answers = of_name(&mut self.groups, group);
            of_name(answers, &question.answer).0 += 1.0;
            if let Some(answer) = answer {
                of_name(answers, answer).1 += 1.0;
            }
        }
    }

    /// Validity and plausibility of the answers to balanced questions.
    fn choose(&mut self, choices: &Path, answers: &mut Answers<'_>, balanced: &[usize]) -> Result<(), Error> {
        const EXPECTED: &str = "GQA choices (a map of id to {valid, plausible})";
        ObjectFile::open(choices)?.each_member(EXPECTED, |key, value| {
            let among: Choices<'_> = value.read()?;
            let position = answers.position.get(&Id::from(&*key));
            if let Some(answer) = position.map(|&position| &mut answers.list[position])
                && let Some(in_common) = answer.in_common
            {
                let within = |group: &[Cow<'_, str>]| answer.is_within(in_common, group);
                answer.choice = Some((within(&among.valid), within(&among.plausible)));
            }
            Ok(())
        })?;
        for &position in balanced {
            let answer = &answers.list[position];
            let Some((valid, plausible)) = answer.choice else {
                let hint = "every balanced question needs its valid and plausible answers";
                return Err(missing(choices, &answer.id, hint));
            };
            self.valid.add(share(valid));
            self.plausible.add(share(plausible));
        }
        Ok(())
    }

    fn scores(&self, with_choices: bool, counts: GqaCounts) -> GqaScores {
        let complete = counts.entailed_without_prediction == 0 && counts.entailed_without_question == 0;
        GqaScores {
            accuracy: self.all.percent(),
            binary: self.binary.percent(),
            open: self.open.percent(),
            consistency: complete.then(|| self.consistent.percent()),
            validity: with_choices.then(|| self.valid.percent()),
            plausibility: with_choices.then(|| self.plausible.percent()),
            distribution: self.distribution(),
            per_structural_type: self.structural.percents(),
            per_semantic_type: self.semantic.percents(),
            per_length: self.length.percents(),
            per_steps: self.steps.percents(),
            counts,
        }
    }

    /// `sum_group n_group chi2_group / sum_group n_group / 100`, where chi2 runs over the true answers
    /// of the group: `sum_answer (predicted - true)^2 / true`.
    fn distribution(&self) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for answers in self.groups.values() {
            let (mut chi2, mut count) = (0.0, 0.0);
            for &(truly, predicted) in answers.values().filter(|(truly, _)| *truly > 0.0) {
                chi2 += (predicted - truly) * (predicted - truly) / truly;
                count += truly;
            }
            sum += chi2 * count;
            total += count;
        }
        if total == 0.0 { 0.0 } else { sum / total / 100.0 }
    }
}

/// The entry of a name, made where it is not there.
fn of_name<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.get_mut(name).expect("it was put there")
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests;
