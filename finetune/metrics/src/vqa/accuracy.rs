//! VQA accuracy.
//!
//! Paper: Antol et al., arXiv:1505.00468. For each annotator: `min(1, matches among the others / 3)`;
//! the mean over annotators, then over questions, times 100.

use std::path::Path;

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::{normalise, tidy};
use crate::{
    Error,
    layouts::{self, Id, MaybeText},
    table::{Mean, Table},
};

/// One annotator's answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Answer {
    /// The text.
    pub answer: String,
    /// `yes`, `maybe` or `no`.
    #[serde(default)]
    pub answer_confidence: Option<String>,
    /// Tells annotators apart.
    #[serde(default)]
    pub answer_id: Option<i64>,
}

/// What annotators said about one question.
#[derive(Debug, Clone)]
pub struct Annotation {
    /// The question's id.
    pub question_id: String,
    /// Such as `how many`.
    pub question_type: String,
    /// `yes/no`, `number` or `other`.
    pub answer_type: String,
    /// Usually ten.
    pub answers: Vec<Answer>,
}

/// Accuracies, unrounded, times 100.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VqaScores {
    /// Over all questions.
    pub overall: f64,
    /// By answer type, alphabetically.
    pub per_answer_type: Vec<(String, f64)>,
    /// By question type, alphabetically.
    pub per_question_type: Vec<(String, f64)>,
    /// By question, in the annotations' order.
    pub per_question: Vec<(String, f64)>,
    /// What was odd about the files.
    pub counts: VqaCounts,
}

/// What was odd about the files, and treated as the official evaluator treats it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VqaCounts {
    /// Questions scored.
    pub questions: usize,
    /// Results for a question that had one already; the last one counts.
    pub doubled_results: usize,
    /// Empty answers.
    pub empty_answers: usize,
}

#[derive(Deserialize)]
struct AnnotationFile {
    annotations: Vec<AnnotationEntry>,
}

#[derive(Deserialize)]
struct AnnotationEntry {
    question_id: Id,
    question_type: String,
    answer_type: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct QuestionFile {
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question_id: Id,
}

#[derive(Deserialize)]
struct ResultEntry {
    question_id: Id,
    #[serde(default)]
    answer: MaybeText,
}

/// Reads the three official files and scores the results.
///
/// As in the official evaluator results must be for exactly the annotated questions.
pub fn read_and_score(questions: &Path, annotations: &Path, results: &Path) -> Result<VqaScores, Error> {
    let ((questions_file, annotation_file), result_entries) = rayon::join(
        || {
            rayon::join(
                || {
                    layouts::parse::<QuestionFile>(
                        questions,
                        "VQA questions ({questions: [...]})",
                        &layouts::read(questions)?,
                    )
                },
                || {
                    layouts::parse::<AnnotationFile>(
                        annotations,
                        "VQA annotations ({annotations: [...]})",
                        &layouts::read(annotations)?,
                    )
                },
            )
        },
        || {
            layouts::parse::<Vec<ResultEntry>>(
                results,
                "a list of {question_id, answer}",
                &layouts::read(results)?,
            )
        },
    );
    let asked: FxHashMap<String, ()> =
        questions_file?.questions.into_iter().map(|question| (question.question_id.0, ())).collect();
    let annotated: Vec<Annotation> = annotation_file?
        .annotations
        .into_iter()
        .map(|entry| Annotation {
            question_id: entry.question_id.0,
            question_type: entry.question_type,
            answer_type: entry.answer_type,
            answers: entry.answers,
        })
        .collect();
    let mut seen = FxHashMap::default();
    for annotation in &annotated {
        let id = &annotation.question_id;
        if !asked.contains_key(id) {
            return Err(Error::SurplusId {
                path: annotations.to_owned(),
                id: id.clone(),
                other: "the questions",
            });
        }
        if seen.insert(id.as_str(), ()).is_some() {
            return Err(Error::DoubledId { path: annotations.to_owned(), id: id.clone() });
        }
        if annotation.answers.is_empty() {
            let hint = "an annotation needs answers";
            return Err(Error::MissingId { path: annotations.to_owned(), id: id.clone(), hint });
        }
    }
    let mut given: FxHashMap<String, String> = FxHashMap::default();
    let mut counts = VqaCounts::default();
    for entry in result_entries? {
        let id = entry.question_id.0;
        let answer = entry.answer.into_text(results, &id, "answer")?;
        if !seen.contains_key(id.as_str()) {
            return Err(Error::SurplusId { path: results.to_owned(), id, other: "the annotations" });
        }
        counts.empty_answers += usize::from(answer.trim().is_empty());
        counts.doubled_results += usize::from(given.insert(id, answer).is_some());
    }
    if let Some(missing) = annotated.iter().find(|annotation| !given.contains_key(&annotation.question_id)) {
        return Err(Error::MissingId {
            path: results.to_owned(),
            id: missing.question_id.clone(),
            hint: "the evaluator wants an answer to every annotated question",
        });
    }
    if annotated.is_empty() {
        return Err(Error::Content {
            path: annotations.to_owned(),
            problem: "holds no annotations".to_owned(),
        });
    }
    let pairs: Vec<(&Annotation, &str)> =
        annotated.iter().map(|annotation| (annotation, given[&annotation.question_id].as_str())).collect();
    let mut scores = score(&pairs);
    scores.counts = VqaCounts { questions: pairs.len(), ..counts };
    Ok(scores)
}

/// Scores answers to annotated questions.
pub fn score(pairs: &[(&Annotation, &str)]) -> VqaScores {
    let accuracies: Vec<f64> = pairs
        .par_iter()
        .with_min_len(64)
        .map(|(annotation, answer)| accuracy(&annotation.answers, answer))
        .collect();
    let mut overall = Mean::default();
    let mut by_answer_type = Table::<String>::default();
    let mut by_question_type = Table::<String>::default();
    for ((annotation, _), &accuracy) in pairs.iter().zip(&accuracies) {
        overall.add(accuracy);
        by_answer_type.add(annotation.answer_type.as_str(), accuracy);
        by_question_type.add(annotation.question_type.as_str(), accuracy);
    }
    let ids = pairs.iter().map(|(annotation, _)| annotation.question_id.clone());
    VqaScores {
        overall: overall.percent(),
        per_answer_type: by_answer_type.percents(),
        per_question_type: by_question_type.percents(),
        per_question: ids.zip(accuracies.iter().map(|accuracy| accuracy * 100.0)).collect(),
        counts: VqaCounts { questions: pairs.len(), ..VqaCounts::default() },
    }
}

/// The accuracy of one answer, from 0 to 1.
fn accuracy(annotators: &[Answer], answer: &str) -> f64 {
    let mut answer = tidy(answer);
    let mut annotators: Vec<Answer> =
        annotators.iter().map(|one| Answer { answer: tidy(&one.answer), ..one.clone() }).collect();
    let agree = annotators.windows(2).all(|two| two[0].answer == two[1].answer);
    if !agree {
        answer = normalise(&answer);
        for annotator in &mut annotators {
            annotator.answer = normalise(&annotator.answer);
        }
    }
    let total: f64 = annotators
        .iter()
        .map(|left_out| {
            // The evaluator leaves out whatever equals the annotator's whole record.
            let matches =
                annotators.iter().filter(|other| *other != left_out && other.answer == answer).count();
            (matches as f64 / 3.0).min(1.0)
        })
        .sum();
    total / annotators.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(texts: &[&str]) -> Vec<Answer> {
        let of = |(id, text): (usize, &&str)| Answer {
            answer: (*text).to_owned(),
            answer_confidence: None,
            answer_id: Some(id as i64),
        };
        texts.iter().enumerate().map(of).collect()
    }

    #[test]
    fn leave_one_out() {
        let mut ten = vec!["no"; 10];
        for (yes, wanted) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0)] {
            ten[..yes].fill("yes");
            let got = accuracy(&answers(&ten), "Yes");
            assert!((got - wanted).abs() < 1e-12, "{yes}: {got}");
        }
    }

    #[test]
    fn unanimous_answers_are_not_normalised() {
        assert_eq!(accuracy(&answers(&["Two"; 10]), "2"), 0.0);
        assert_eq!(accuracy(&answers(&["Two"; 10]), " Two\n"), 1.0);
        let mut ten = ["Two"; 10];
        ten[9] = "3";
        assert_eq!(accuracy(&answers(&ten), "2"), 1.0);
    }

    #[test]
    fn equal_records_are_left_out_together() {
        let mut same = answers(&["yes", "yes", "no"]);
        same.iter_mut().for_each(|answer| answer.answer_id = None);
        let got = accuracy(&same, "yes");
        assert!(
            (got - (2.0 / 3.0) / 3.0).abs() < 1e-12,
            "only the one who said no sees the other two: {got}"
        );
    }
}
