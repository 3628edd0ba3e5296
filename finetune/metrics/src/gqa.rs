//! GQA: accuracy, consistency, validity, plausibility, distribution.
//!
//! Paper: Hudson and Manning, arXiv:1902.09506, section 4.4.

use std::{borrow::Cow, collections::BTreeMap};

use rustc_hash::FxHashMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

use crate::{
    Error,
    layouts::{Id, Pairs, Text, TextFile},
    table::{Mean, Table, as_object},
    white_space::is_space,
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

/// One question of the official layout.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    #[serde(borrow)]
    answer: Cow<'a, str>,
    #[serde(borrow)]
    question: Cow<'a, str>,
    is_balanced: bool,
    #[serde(borrow, default)]
    entailed: Vec<Id<'a>>,
    #[serde(borrow)]
    groups: Groups<'a>,
    #[serde(borrow)]
    types: Types<'a>,
    #[serde(default, rename = "semantic", deserialize_with = "count_steps")]
    steps: usize,
}

#[derive(Deserialize)]
struct Groups<'a> {
    #[serde(borrow)]
    global: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Types<'a> {
    #[serde(borrow)]
    detailed: Cow<'a, str>,
    #[serde(borrow)]
    semantic: Cow<'a, str>,
    #[serde(borrow)]
    structural: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Step<'a> {
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow)]
    argument: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction<'a> {
    #[serde(borrow)]
    question_id: Id<'a>,
    #[serde(borrow, default)]
    prediction: Text<'a>,
}

#[derive(Deserialize)]
struct Choices<'a> {
    #[serde(borrow)]
    valid: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    plausible: Vec<Cow<'a, str>>,
}

/// Scores predictions against the official questions and, for validity and plausibility, choices.
pub fn score_files(
    questions: &TextFile,
    predictions: &TextFile,
    choices: Option<&TextFile>,
) -> Result<GqaScores, Error> {
    let asked: Pairs<Id<'_>, Question<'_>> = questions.parse("GQA questions (a map of id to question)")?;
    let by_id: FxHashMap<&Id<'_>, &Question<'_>> =
        asked.0.iter().map(|(id, question)| (id, question)).collect();
    let choices: Option<(&TextFile, FxHashMap<Id<'_>, Choices<'_>>)> = match choices {
        Some(file) => Some((file, file.parse("GQA choices (a map of id to {valid, plausible})")?)),
        None => None,
    };
    let mut counts = GqaCounts::default();
    let mut predicted: FxHashMap<Id<'_>, Option<Cow<'_, str>>> = FxHashMap::default();
    for entry in predictions.list::<Prediction<'_>>("a list of {questionId, prediction}")? {
        let id = entry.question_id;
        let answer = match entry.prediction {
            // The evaluator compares them, in vain.
            Text::Other("a number" | "a truth value" | "null") => None,
            text => Some(text.of(predictions, &id, "prediction")?),
        };
        counts.predictions_not_text += usize::from(answer.is_none());
        counts.surplus_predictions += usize::from(!by_id.contains_key(&id));
        counts.doubled_predictions += usize::from(predicted.insert(id, answer).is_some());
    }

    let mut tally = Tally::default();
    for (id, question) in asked.0.iter().filter(|(_, question)| question.is_balanced) {
        let missing = |file: &TextFile, hint| {
            Err(Error::MissingId { path: file.path().to_owned(), id: id.to_string(), hint })
        };
        let Some(answer) = predicted.get(id) else {
            return missing(predictions, "every balanced question needs a prediction");
        };
        counts.questions += 1;
        tally.add(question, answer.as_deref());
        if let Some((file, choices)) = &choices {
            let Some(choices) = choices.get(id) else {
                return missing(file, "every balanced question needs its valid and plausible answers");
            };
            tally.valid.add(share(question.within(answer.as_deref(), &choices.valid)));
            tally.plausible.add(share(question.within(answer.as_deref(), &choices.plausible)));
        }
        let mut others = question.entailed.iter().filter(|other| *other != id).peekable();
        if answer.as_ref() != Some(&question.answer) || others.peek().is_none() {
            continue;
        }
        let mut entailed = Mean::default();
        for other in others {
            match (by_id.get(other), predicted.get(other)) {
                (None, _) => counts.entailed_without_question += 1,
                (_, None) => counts.entailed_without_prediction += 1,
                (Some(other), Some(answer)) => entailed.add(share(answer.as_ref() == Some(&other.answer))),
            }
        }
        tally.consistent.add(entailed.get());
    }
    if counts.questions == 0 {
        return Err(questions.content("holds no balanced questions"));
    }
    Ok(tally.scores(choices.is_some(), counts))
}

#[derive(Default)]
struct Tally<'a> {
    all: Mean,
    binary: Mean,
    open: Mean,
    consistent: Mean,
    valid: Mean,
    plausible: Mean,
    structural: Table<&'a str>,
    semantic: Table<&'a str>,
    length: Table<usize>,
    steps: Table<usize>,
    /// By global group: how often an answer is the true one, and how often it is predicted.
    groups: BTreeMap<&'a str, BTreeMap<&'a str, (f64, f64)>>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, question: &'a Question<'_>, answer: Option<&'a str>) {
        let right = share(answer == Some(&question.answer));
        self.all.add(right);
        if question.types.structural == "query" { &mut self.open } else { &mut self.binary }.add(right);
        self.structural.add(&question.types.structural, right);
        self.semantic.add(&question.types.semantic, right);
        self.length.add(question.words(), right);
        self.steps.add(question.steps, right);
        if let Some(group) = &question.groups.global {
            let answers = self.groups.entry(group).or_default();
            answers.entry(&question.answer).or_default().0 += 1.0;
            if let Some(answer) = answer {
                answers.entry(answer).or_default().1 += 1.0;
            }
        }
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

impl Question<'_> {
    fn words(&self) -> usize {
        self.question.split(is_space).filter(|word| !word.is_empty()).count()
    }

    /// Whether an answer is among these. Questions about what two things have in common are answered with
    /// a property's name.
    fn within(&self, answer: Option<&str>, group: &[Cow<'_, str>]) -> bool {
        const COMMON: [&str; 3] = ["color", "material", "shape"];
        answer.is_some_and(|answer| {
            if self.types.detailed.contains("Common") {
                COMMON.contains(&answer)
            } else {
                group.iter().any(|member| member == answer)
            }
        })
    }
}

impl Step<'_> {
    /// Whether the step is reasoning: the last step of a program only reads the answer off.
    fn counts(&self) -> bool {
        let step = format!("{}: {}", self.operation, self.argument);
        !["exist", "query: name", "choose name"].iter().any(|end| step.contains(end))
    }
}

/// Counts the reasoning steps of a program without keeping it.
fn count_steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct StepsVisitor;
    impl<'de> Visitor<'de> for StepsVisitor {
        type Value = usize;
        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a list of steps")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut steps: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while let Some(step) = steps.next_element::<Step<'de>>()? {
                count += usize::from(step.counts());
            }
            Ok(count)
        }
    }
    deserializer.deserialize_seq(StepsVisitor)
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests;
