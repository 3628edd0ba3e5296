//! NLVR2: accuracy, and consistency over the pairs of a sentence.
//!
//! Paper: Suhr et al., arXiv:1811.00491, section 6.

use std::path::Path;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::{
    Error,
    layouts::{self, MaybeText},
    table::Mean,
};

/// Fractions, not per cent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Nlvr2Scores {
    /// Share of pairs that are right.
    pub accuracy: f64,
    /// Share of sentences all of whose pairs are right.
    pub consistency: f64,
    /// Pairs.
    pub examples: usize,
    /// Different sentences.
    pub sentences: usize,
    /// Predictions for pairs that the data does not have; not counted.
    pub surplus: usize,
    /// Predictions for a pair that had one already; the last one counts.
    pub doubled: usize,
}

#[derive(Deserialize)]
struct Example {
    identifier: String,
    #[serde(default)]
    label: MaybeText,
}

/// Scores a CSV file of `identifier,True|False` against the official JSON lines. Case is ignored.
pub fn read_and_score(data: &Path, predictions: &Path) -> Result<Nlvr2Scores, Error> {
    let bytes = layouts::read(data)?;
    let mut labels = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let example: Example =
            layouts::parse(data, "NLVR2 data (JSON lines with identifier and label)", line)?;
        let label = example.label.into_text(data, &example.identifier, "label")?;
        labels.push((example.identifier, label));
    }
    let text = String::from_utf8_lossy(&layouts::read(predictions)?).into_owned();
    let mut scores = Nlvr2Scores::default();
    let mut predicted: FxHashMap<&str, &str> = FxHashMap::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((identifier, label)) = line.trim().split_once(',') else {
            let problem =
                format!("line {} is `{line}`; write identifier,True or identifier,False", index + 1);
            return Err(Error::Content { path: predictions.to_owned(), problem });
        };
        scores.doubled += usize::from(predicted.insert(identifier.trim(), label.trim()).is_some());
    }
    let mut accuracy = Mean::default();
    let mut right_by_sentence: FxHashMap<String, bool> = FxHashMap::default();
    for (identifier, label) in &labels {
        let Some(answer) = predicted.remove(identifier.as_str()) else {
            let hint = "predict every pair of the data";
            return Err(Error::MissingId { path: predictions.to_owned(), id: identifier.clone(), hint });
        };
        let right = answer.eq_ignore_ascii_case(label);
        accuracy.add(f64::from(u8::from(right)));
        *right_by_sentence.entry(sentence_of(identifier, data)?).or_insert(true) &= right;
    }
    if labels.is_empty() {
        return Err(Error::Content { path: data.to_owned(), problem: "holds no examples".to_owned() });
    }
    let consistent = right_by_sentence.values().filter(|right| **right).count();
    scores.accuracy = accuracy.get();
    scores.consistency = consistent as f64 / right_by_sentence.len() as f64;
    scores.examples = labels.len();
    scores.sentences = right_by_sentence.len();
    scores.surplus = predicted.len();
    Ok(scores)
}

/// The identifier (split-set-pair-sentence) without its pair.
fn sentence_of(identifier: &str, path: &Path) -> Result<String, Error> {
    let fields: Vec<&str> = identifier.split('-').collect();
    match fields.as_slice() {
        [split, set, _, rest @ ..] => Ok([&[*split, *set, ""], rest].concat().join("-")),
        _ => {
            let problem = format!("identifier {identifier} is not split-set-pair-sentence");
            Err(Error::Content { path: path.to_owned(), problem })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(data: &str, predictions: &str) -> Result<Nlvr2Scores, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (data_path, prediction_path) = (folder.path().join("dev.json"), folder.path().join("p.csv"));
        std::fs::write(&data_path, data).expect("writing");
        std::fs::write(&prediction_path, predictions).expect("writing");
        read_and_score(&data_path, &prediction_path)
    }

    const DATA: &str = "{\"identifier\": \"dev-1-0-0\", \"label\": \"True\"}\n{\"identifier\": \"dev-1-1-0\", \"label\": \"False\"}\n{\"identifier\": \"dev-1-0-1\", \"label\": \"True\"}\n";

    #[test]
    fn a_sentence_is_consistent_when_all_its_pairs_are_right() {
        let got = scores(DATA, "dev-1-0-0,true\ndev-1-1-0,TRUE\ndev-1-0-1,True\nother-1-1-1,True\n")
            .expect("scores");
        assert!((got.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((got.consistency, got.sentences, got.surplus), (0.5, 2, 1));
    }

    #[test]
    fn bad_predictions_are_named() {
        for (predictions, part) in [("dev-1-0-0,True\n", "dev-1-1-0"), ("dev-1-0-0 True\n", "line 1")] {
            let message = scores(DATA, predictions).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
