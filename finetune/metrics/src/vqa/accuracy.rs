//! VQA accuracy.
//!
//! Paper: Antol et al., arXiv:1505.00468. For each annotator: `min(1, matches among the others / 3)`;
//! the mean over annotators, then over questions, times 100.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::Serialize;

use super::{normalise, tidy};
use crate::{
    layouts::Id,
    table::{Mean, Table, as_object},
};

/// One annotator's answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer<'a> {
    /// The text.
    pub answer: Cow<'a, str>,
    /// `yes`, `maybe` or `no`.
    pub confidence: Option<Cow<'a, str>>,
    /// Tells annotators apart.
    pub id: Option<Id<'a>>,
}

/// What annotators said about one question.
#[derive(Debug, Clone, Default)]
pub struct Annotation<'a> {
    /// The question's id.
    pub question_id: Id<'a>,
    /// Such as `how many`.
    pub question_type: Cow<'a, str>,
    /// `yes/no`, `number` or `other`.
    pub answer_type: Cow<'a, str>,
    /// Usually ten; at least one.
    pub answers: Vec<Answer<'a>>,
}

/// Accuracies, unrounded, times 100.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VqaScores<'a> {
    /// Over all questions.
    pub overall: f64,
    /// By answer type, alphabetically.
    #[serde(serialize_with = "as_object")]
    pub per_answer_type: Vec<(String, f64)>,
    /// By question type, alphabetically.
    #[serde(serialize_with = "as_object")]
    pub per_question_type: Vec<(String, f64)>,
    /// By question, in the annotations' order.
    #[serde(serialize_with = "as_object")]
    pub per_question: Vec<(Id<'a>, f64)>,
    /// What was odd about the files.
    pub counts: VqaCounts,
}

/// What was odd about the files, and treated as the official evaluator treats it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VqaCounts {
    /// Questions scored.
    pub questions: usize,
    /// Results for a question that had one already; the last one counts.
    pub doubled_results: usize,
    /// Empty answers.
    pub empty_answers: usize,
    /// Annotated questions that the file of questions lacks; they are scored.
    pub annotations_without_question: usize,
    /// Questions without annotation; they are not scored.
    pub questions_without_annotation: usize,
}

/// Scores answers to annotated questions.
pub fn score<'a>(pairs: &[(&Annotation<'a>, &str)]) -> VqaScores<'a> {
    let scored: Vec<Scored<'a>> = pairs
        .par_iter()
        .with_min_len(64)
        .map(|(annotation, answer)| Scored {
            question_id: annotation.question_id.clone(),
            question_type: annotation.question_type.clone(),
            answer_type: annotation.answer_type.clone(),
            accuracy: of_annotation(&annotation.answers, answer),
        })
        .collect();
    VqaScores::of(scored)
}

/// A question and the accuracy of its answer, from 0 to 1.
#[derive(Debug)]
pub(super) struct Scored<'a> {
    pub(super) question_id: Id<'a>,
    pub(super) question_type: Cow<'a, str>,
    pub(super) answer_type: Cow<'a, str>,
    pub(super) accuracy: f64,
}

impl<'a> VqaScores<'a> {
    pub(super) fn of(questions: Vec<Scored<'a>>) -> Self {
        let mut overall = Mean::default();
        let mut by_answer_type = Table::<&str>::default();
        let mut by_question_type = Table::<&str>::default();
        for question in &questions {
            overall.add(question.accuracy);
            by_answer_type.add(&&*question.answer_type, question.accuracy);
            by_question_type.add(&&*question.question_type, question.accuracy);
        }
        Self {
            overall: overall.percent(),
            per_answer_type: by_answer_type.percents(),
            per_question_type: by_question_type.percents(),
            counts: VqaCounts { questions: questions.len(), ..VqaCounts::default() },
            per_question: questions
                .into_iter()
                .map(|question| (question.question_id, question.accuracy * 100.0))
                .collect(),
        }
    }
}

fn of_annotation(annotators: &[Answer<'_>], answer: &str) -> f64 {
    let texts = annotators.iter().map(|annotator| tidy(&annotator.answer)).collect();
    accuracy(texts, answer, |one, other| {
        annotators[one].id == annotators[other].id
            && annotators[one].confidence == annotators[other].confidence
    })
}

/// The accuracy of one answer, from 0 to 1, by the annotators' tidy texts. `same` tells whether the records of
/// two annotators are equal in all but the text.
pub(super) fn accuracy(texts: Vec<Cow<'_, str>>, answer: &str, same: impl Fn(usize, usize) -> bool) -> f64 {
    let matching = matching(&texts, &tidy(answer));
    let all = matching.iter().filter(|matches| **matches).count();
    let total: f64 = (0..texts.len())
        .map(|left_out| {
            // The evaluator leaves out whatever equals the annotator's whole record. Records that match have
            // the same text by now.
            let equal = |&other: &usize| matching[other] && (other == left_out || same(other, left_out));
            let equal = if matching[left_out] { (0..texts.len()).filter(equal).count() } else { 0 };
            ((all - equal) as f64 / 3.0).min(1.0)
        })
        .sum();
    total / texts.len() as f64
}

/// Which of the annotators' texts equal the answer, normalised where annotators differ.
fn matching(texts: &[Cow<'_, str>], answer: &str) -> Vec<bool> {
    if texts.windows(2).all(|two| two[0] == two[1]) {
        return texts.iter().map(|text| text == answer).collect();
    }
    let answer = normalise(answer);
    let mut matching: Vec<bool> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        // Annotators repeat each other.
        let earlier = texts[..index].iter().position(|earlier| earlier == text);
        matching.push(earlier.map_or_else(|| normalise(text) == answer, |earlier| matching[earlier]));
    }
    matching
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(texts: &[&'static str]) -> Vec<Answer<'static>> {
        let of = |(id, text): (i64, &&'static str)| Answer {
            answer: (*text).into(),
            confidence: None,
            id: Some(id.into()),
        };
        (1..).zip(texts).map(of).collect()
    }

    #[test]
    fn leave_one_out() {
        let mut ten = ["no"; 10];
        for (yes, wanted) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0)] {
            ten[..yes].fill("yes");
            let got = of_annotation(&answers(&ten), "Yes");
            assert!((got - wanted).abs() < 1e-12, "{yes}: {got}");
        }
    }

    #[test]
    fn unanimous_answers_are_not_normalised() {
        assert_eq!(of_annotation(&answers(&["Two"; 10]), "2"), 0.0);
        assert_eq!(of_annotation(&answers(&["Two"; 10]), " Two\n"), 1.0);
        let mut ten = ["Two"; 10];
        ten[9] = "3";
        assert_eq!(of_annotation(&answers(&ten), "2"), 1.0);
    }

    #[test]
    fn fewer_and_more_than_ten_answers() {
        assert_eq!(of_annotation(&answers(&["red"]), "red"), 0.0, "nobody else is there");
        let got = of_annotation(&answers(&["red", "red", "blue"]), "red");
        assert!((got - (1.0 + 1.0 + 2.0) / 9.0).abs() < 1e-12, "{got}");
        assert_eq!(of_annotation(&answers(&["red"; 12]), "red"), 1.0);
    }

    #[test]
    fn equal_records_are_left_out_together() {
        let mut same = answers(&["yes", "yes", "no"]);
        same.iter_mut().for_each(|answer| answer.id = None);
        let got = of_annotation(&same, "yes");
        assert!(
            (got - (2.0 / 3.0) / 3.0).abs() < 1e-12,
            "only the one who said no sees the other two: {got}"
        );
        same[1].confidence = Some("maybe".into());
        let got = of_annotation(&same, "yes");
        assert!((got - (1.0 + 1.0 + 2.0) / 9.0).abs() < 1e-12, "{got}");
    }
}
