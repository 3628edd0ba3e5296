//! VQA, GQA and NLVR2 answered from the words alone.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::WordsAlone;
use super::files::{json, json_lines};
use super::text_model::{Linear, Training, Words};
use crate::Error;

/// The settings that are tried; the best counts, as it would for somebody who wants to prove a corpus easy.
const TRAININGS: [Training; 3] = [
    Training { epochs: 12, rate: 0.3, decay: 0.0 },
    Training { epochs: 12, rate: 0.1, decay: 1e-3 },
    Training { epochs: 4, rate: 0.05, decay: 1e-2 },
];

/// A text with its answers: one, or ten.
struct Asked {
    text: String,
    answer: String,
    /// Empty where there is one answer only.
    ten: Vec<String>,
}

pub(super) fn all(folder: &Path) -> Result<Vec<WordsAlone>, Error> {
    let vqa = ["train", "val", "test"].map(|split| vqa(folder, split));
    let gqa = ["train", "val", "testdev"].map(|split| gqa(folder, split));
    let nlvr2 = ["train", "dev", "test1"].map(|split| nlvr2(folder, split));
    let mut found = Vec::new();
    for (task, splits) in [("VQA v2", vqa), ("GQA (balanced)", gqa), ("NLVR2", nlvr2)] {
        let [train, val, test] = splits;
        let mut asked = val?;
        asked.extend(test?);
        found.push(measure(task, &train?, &asked));
    }
    Ok(found)
}

fn measure(task: &'static str, train: &[Asked], asked: &[Asked]) -> WordsAlone {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in train {
        *counts.entry(&one.answer).or_default() += 1;
    }
    let answers: Vec<&str> = counts.keys().copied().collect();
    let majority = counts.iter().max_by_key(|(_, count)| **count).map_or("", |(answer, _)| *answer);
    let numbers: HashMap<&str, usize> = answers.iter().zip(0..).map(|(answer, at)| (*answer, at)).collect();

    let mut words = Words::default();
    let examples: Vec<_> =
        train.iter().map(|one| (words.learn(&one.text), numbers[one.answer.as_str()])).collect();
    let accuracy = |answer: &dyn Fn(&Asked) -> usize| {
        let points = asked.iter().map(|one| one.points(answers.get(answer(one)).unwrap_or(&"")));
        points.sum::<f64>() / asked.len().max(1) as f64
    };
    let text_only = TRAININGS.map(|training| {
        let model = Linear::train(&examples, words.len(), answers.len(), training);
        accuracy(&|one: &Asked| model.best(&words.known(&one.text)))
    });
    let majority = numbers.get(majority).copied().unwrap_or_default();
    WordsAlone {
        task,
        train: train.len(),
        asked: asked.len(),
        majority: accuracy(&|_| majority),
        text_only: text_only.into_iter().fold(0.0, f64::max),
    }
}

impl Asked {
    /// 1 for the answer; of ten, VQA's mean over all sets of nine of min(1, how many agree / 3).
    fn points(&self, answer: &str) -> f64 {
        if self.ten.is_empty() {
            return f64::from(u8::from(self.answer == answer));
        }
        let agree = self.ten.iter().filter(|one| *one == answer).count() as f64;
        let others = |count: f64| (count / 3.0).min(1.0);
        (agree * others(agree - 1.0) + (self.ten.len() as f64 - agree) * others(agree))
            / self.ten.len() as f64
    }
}

#[derive(Deserialize)]
struct VqaQuestions {
    questions: Vec<VqaQuestion>,
}

#[derive(Deserialize)]
struct VqaQuestion {
    question_id: u64,
    question: String,
}

#[derive(Deserialize)]
struct VqaAnnotations {
    annotations: Vec<VqaAnnotation>,
}

#[derive(Deserialize)]
struct VqaAnnotation {
    question_id: u64,
    multiple_choice_answer: String,
    answers: Vec<VqaAnswer>,
}

#[derive(Deserialize)]
struct VqaAnswer {
    answer: String,
}

fn vqa(folder: &Path, split: &str) -> Result<Vec<Asked>, Error> {
    let asked: VqaQuestions =
        json(&folder.join(format!("vqa/v2_OpenEnded_mscoco_{split}2014_questions.json")))?;
    let path = folder.join(format!("vqa/v2_mscoco_{split}2014_annotations.json"));
    let answered: VqaAnnotations = json(&path)?;
    let mut texts: HashMap<u64, String> =
        asked.questions.into_iter().map(|one| (one.question_id, one.question)).collect();
    answered
        .annotations
        .into_iter()
        .map(|one| {
            let text = texts.remove(&one.question_id).ok_or_else(|| {
                super::files::layout(&path, format!("question {} is not there", one.question_id))
            })?;
            let ten = one.answers.into_iter().map(|answer| answer.answer).collect();
            Ok(Asked { text, answer: one.multiple_choice_answer, ten })
        })
        .collect()
}

#[derive(Deserialize)]
struct GqaQuestion {
    question: String,
    answer: String,
}

fn gqa(folder: &Path, split: &str) -> Result<Vec<Asked>, Error> {
    let asked: BTreeMap<String, GqaQuestion> =
        json(&folder.join(format!("gqa/{split}_balanced_questions.json")))?;
    let asked = asked.into_values();
    Ok(asked.map(|one| Asked { text: one.question, answer: one.answer, ten: vec![] }).collect())
}

#[derive(Deserialize)]
struct Statement {
    sentence: String,
    label: String,
}

fn nlvr2(folder: &Path, split: &str) -> Result<Vec<Asked>, Error> {
    let asked: Vec<Statement> = json_lines(&folder.join(format!("nlvr2/data/{split}.json")))?;
    let asked = asked.into_iter();
    Ok(asked.map(|one| Asked { text: one.sentence, answer: one.label, ten: vec![] }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_answers_give_points_as_vqa_counts_them() {
        let ten = |same: usize| {
            let ten = (0..10).map(|at| if at < same { "red" } else { "pink" }.to_string()).collect();
            Asked { text: String::new(), answer: "red".into(), ten }
        };
        for (same, points) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
            assert!((ten(same).points("red") - points).abs() < 1e-9, "{same}");
        }
    }

    #[test]
    fn words_that_tell_are_found_out_and_balanced_ones_tell_nothing() {
        let made = |gives_away: bool, count: usize| -> Vec<Asked> {
            (0..count)
                .map(|at| {
                    let (thing, yes) = (at / 2 % 5, at % 2 == 0);
                    let extra = if gives_away && yes { " really" } else { "" };
                    let answer = if yes { "yes" } else { "no" }.to_string();
                    Asked { text: format!("Is it{extra} thing {thing}?"), answer, ten: vec![] }
                })
                .collect()
        };
        let easy = measure("easy", &made(true, 200), &made(true, 100));
        assert_eq!((easy.majority, easy.text_only), (0.5, 1.0));
        let hard = measure("hard", &made(false, 200), &made(false, 100));
        assert_eq!((hard.majority, hard.text_only), (0.5, 0.5));
    }
}
