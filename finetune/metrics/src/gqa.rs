//! GQA: accuracy, consistency, validity, plausibility, distribution.
//!
//! Paper: Hudson and Manning, arXiv:1902.09506, section 4.4.

use std::{collections::BTreeMap, path::Path};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::{
    Error,
    layouts::{self, Id, MaybeText},
    table::{Mean, Table},
};

/// Scores, times 100 (but for `distribution`, which is a chi-square divided by 100, lower is better).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GqaScores {
    /// Over balanced questions.
    pub accuracy: f64,
    /// Over yes/no and choice questions.
    pub binary: f64,
    /// Over open questions.
    pub open: f64,
    /// Over correct questions with others entailed: the mean share of those that are right. Absent
    /// where predictions for entailed questions are missing.
    pub consistency: Option<f64>,
    /// Share of answers in the question's scope. Absent without choices.
    pub validity: Option<f64>,
    /// Share of answers that make sense. Absent without choices.
    pub plausibility: Option<f64>,
    /// Distance between the distributions of true and predicted answers.
    pub distribution: f64,
    /// Accuracy by structural type.
    pub per_structural_type: Vec<(String, f64)>,
    /// Accuracy by semantic type.
    pub per_semantic_type: Vec<(String, f64)>,
    /// Accuracy by number of words.
    pub per_length: Vec<(String, f64)>,
    /// Accuracy by number of reasoning steps.
    pub per_steps: Vec<(String, f64)>,
    /// What was odd about the files.
    pub counts: GqaCounts,
}

/// What was odd about the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GqaCounts {
    /// Balanced questions, which are scored.
    pub questions: usize,
    /// Predictions for unknown questions; not counted.
    pub surplus_predictions: usize,
    /// Predictions for a question that had one already; the last one counts.
    pub doubled_predictions: usize,
    /// Entailed questions without prediction.
    pub entailed_without_prediction: usize,
}

/// One question of the official layout.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    answer: String,
    question: String,
    is_balanced: bool,
    #[serde(default)]
    entailed: Vec<String>,
    groups: Groups,
    types: Types,
    #[serde(default)]
    semantic: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
struct Groups {
    global: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Types {
    detailed: String,
    semantic: String,
    structural: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    operation: String,
    argument: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction {
    question_id: Id,
    #[serde(default)]
    prediction: MaybeText,
}

#[derive(Deserialize)]
struct Choices {
    valid: Vec<String>,
    plausible: Vec<String>,
}

/// Reads questions, predictions and (for validity and plausibility) choices, and scores.
pub fn read_and_score(
    questions: &Path,
    predictions: &Path,
    choices: Option<&Path>,
) -> Result<GqaScores, Error> {
    let asked: layouts::indexed::Pairs<Question> =
        layouts::parse(questions, "GQA questions (a map of id to question)", &layouts::read(questions)?)?;
    let entries: Vec<Prediction> =
        layouts::parse(predictions, "a list of {questionId, prediction}", &layouts::read(predictions)?)?;
    let choices: Option<(&Path, FxHashMap<String, Choices>)> = match choices {
        Some(path) => Some((
            path,
            layouts::parse(path, "GQA choices (a map of id to {valid, plausible})", &layouts::read(path)?)?,
        )),
        None => None,
    };
    let by_id: FxHashMap<&str, &Question> =
        asked.0.iter().map(|(id, question)| (id.as_str(), question)).collect();
    let mut counts = GqaCounts::default();
    let mut predicted: FxHashMap<String, String> = FxHashMap::default();
    for entry in entries {
        let id = entry.question_id.0;
        let answer = entry.prediction.into_text(predictions, &id, "prediction")?;
        counts.surplus_predictions += usize::from(!by_id.contains_key(id.as_str()));
        counts.doubled_predictions += usize::from(predicted.insert(id, answer).is_some());
    }

    let mut tally = Tally::default();
    for (id, question) in asked.0.iter().filter(|(_, question)| question.is_balanced) {
        let Some(answer) = predicted.get(id) else {
            let hint = "every balanced question needs a prediction";
            return Err(Error::MissingId { path: predictions.to_owned(), id: id.clone(), hint });
        };
        counts.questions += 1;
        tally.add(question, answer);
        if let Some((path, choices)) = &choices {
            let Some(choices) = choices.get(id) else {
                let hint = "every balanced question needs its valid and plausible answers";
                return Err(Error::MissingId { path: (*path).to_owned(), id: id.clone(), hint });
            };
            // Questions about what two things have in common are answered with one of these.
            const COMMON: [&str; 3] = ["color", "material", "shape"];
            let common = question.types.detailed.contains("Common");
            let within = |group: &[String]| {
                if common { COMMON.contains(&answer.as_str()) } else { group.contains(answer) }
            };
            tally.valid.add(share(within(&choices.valid)));
            tally.plausible.add(share(within(&choices.plausible)));
        }
        let others: Vec<&String> = question.entailed.iter().filter(|other| *other != id).collect();
        if *answer != question.answer || others.is_empty() {
            continue;
        }
        let mut entailed = Mean::default();
        for other in others {
            let Some(entailed_question) = by_id.get(other.as_str()) else {
                let hint = "an entailed question must be among the questions; give the file of all of them";
                return Err(Error::MissingId { path: questions.to_owned(), id: other.clone(), hint });
            };
            match predicted.get(other) {
                Some(answer) => entailed.add(share(*answer == entailed_question.answer)),
                None => counts.entailed_without_prediction += 1,
            }
        }
        tally.consistent.add(entailed.get());
    }
    if counts.questions == 0 {
        return Err(Error::Content {
            path: questions.to_owned(),
            problem: "holds no balanced questions".to_owned(),
        });
    }
    Ok(tally.scores(choices.is_some(), counts))
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
    fn add(&mut self, question: &Question, answer: &str) {
        let right = share(answer == question.answer);
        self.all.add(right);
        if question.types.structural == "query" { &mut self.open } else { &mut self.binary }.add(right);
        self.structural.add(question.types.structural.as_str(), right);
        self.semantic.add(question.types.semantic.as_str(), right);
        self.length.add(&question.question.split_whitespace().count(), right);
        self.steps.add(&question.semantic.iter().filter(|step| step.counts()).count(), right);
        if let Some(group) = &question.groups.global {
            let answers = self.groups.entry(group.clone()).or_default();
            answers.entry(question.answer.clone()).or_default().0 += 1.0;
            answers.entry(answer.to_owned()).or_default().1 += 1.0;
        }
    }

    fn scores(&self, with_choices: bool, counts: GqaCounts) -> GqaScores {
        GqaScores {
            accuracy: self.all.percent(),
            binary: self.binary.percent(),
            open: self.open.percent(),
            consistency: (counts.entailed_without_prediction == 0).then(|| self.consistent.percent()),
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

impl Step {
    /// Whether the step is reasoning: the last step of a program only reads the answer off.
    fn counts(&self) -> bool {
        let step = format!("{}: {}", self.operation, self.argument);
        !["exist", "query: name", "choose name"].iter().any(|end| step.contains(end))
    }
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests;
