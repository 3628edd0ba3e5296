//! VQA, GQA, NLVR2.

use std::path::PathBuf;

use finetune_metrics::{gqa, nlvr2, vqa};
use serde_json::{Map, Value, json};

use super::Error;

/// The three official files of VQA.
#[derive(Debug)]
pub struct Vqa {
    /// Questions.
    pub questions: PathBuf,
    /// Annotations.
    pub annotations: PathBuf,
    /// Results: a list of `{question_id, answer}`.
    pub results: PathBuf,
}

impl Vqa {
    /// `overall`, `per_answer_type`, `per_question_type`, `per_question`: unrounded, times 100.
    pub fn run(&self) -> Result<Value, Error> {
        let scores = vqa::read_and_score(&self.questions, &self.annotations, &self.results)?;
        let counts = scores.counts;
        Ok(json!({
            "overall": scores.overall,
            "per_answer_type": table(&scores.per_answer_type),
            "per_question_type": table(&scores.per_question_type),
            "per_question": table(&scores.per_question),
            "counts": {
                "questions": counts.questions,
                "doubled_results": counts.doubled_results,
                "empty_answers": counts.empty_answers,
            },
        }))
    }
}

/// The files of GQA.
#[derive(Debug)]
pub struct Gqa {
    /// Questions of the official layout; for consistency the file of all questions.
    pub questions: PathBuf,
    /// A list of `{questionId, prediction}`.
    pub predictions: PathBuf,
    /// Valid and plausible answers of each question.
    pub choices: Option<PathBuf>,
}

impl Gqa {
    /// The official scores and tables, times 100; what cannot be computed is null.
    pub fn run(&self) -> Result<Value, Error> {
        let scores = gqa::read_and_score(&self.questions, &self.predictions, self.choices.as_deref())?;
        let counts = scores.counts;
        Ok(json!({
            "accuracy": scores.accuracy,
            "binary": scores.binary,
            "open": scores.open,
            "consistency": scores.consistency,
            "validity": scores.validity,
            "plausibility": scores.plausibility,
            "distribution": scores.distribution,
            "per_structural_type": table(&scores.per_structural_type),
            "per_semantic_type": table(&scores.per_semantic_type),
            "per_length": table(&scores.per_length),
            "per_steps": table(&scores.per_steps),
            "counts": {
                "questions": counts.questions,
                "surplus_predictions": counts.surplus_predictions,
                "doubled_predictions": counts.doubled_predictions,
                "entailed_without_prediction": counts.entailed_without_prediction,
            },
        }))
    }
}

/// The files of NLVR2.
#[derive(Debug)]
pub struct Nlvr2 {
    /// JSON lines of the official layout.
    pub data: PathBuf,
    /// CSV lines `identifier,True|False`.
    pub predictions: PathBuf,
}

impl Nlvr2 {
    /// `accuracy` and `consistency` as fractions.
    pub fn run(&self) -> Result<Value, Error> {
        let scores = nlvr2::read_and_score(&self.data, &self.predictions)?;
        Ok(json!({
            "accuracy": scores.accuracy,
            "consistency": scores.consistency,
            "counts": {
                "examples": scores.examples,
                "sentences": scores.sentences,
                "surplus_predictions": scores.surplus,
                "doubled_predictions": scores.doubled,
            },
        }))
    }
}

fn table(rows: &[(String, f64)]) -> Value {
    rows.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect::<Map<_, _>>().into()
}
