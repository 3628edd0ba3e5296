//! NLVR2: accuracy, and consistency over the pairs of a sentence.
//!
//! Paper: Suhr et al., arXiv:1811.00491, section 6.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    layouts::{Id, Text, TextFile},
    table::Mean,
};

/// Fractions, not per cent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Nlvr2Scores {
    /// Share of pairs that are right.
    pub accuracy: f64,
    /// Share of sentences all of whose pairs are right.
    pub consistency: f64,
    /// What was odd about the files.
    pub counts: Nlvr2Counts,
}

/// What was odd about the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Nlvr2Counts {
    /// Pairs of pictures, each with a sentence.
    pub examples: usize,
    /// Different sentences.
    pub sentences: usize,
    /// Predictions for pairs that the data does not have; not counted.
    pub surplus_predictions: usize,
    /// Predictions for a pair that had one already; the last one counts.
    pub doubled_predictions: usize,
    /// Predictions for pairs that are neither true nor false, white space included; they are wrong.
    pub predictions_neither_true_nor_false: usize,
}

#[derive(Deserialize)]
struct Example<'a> {
    #[serde(borrow)]
    identifier: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Text<'a>,
}

/// Scores lines of `identifier,True|False` against the official JSON lines. Case is ignored, and so is
/// what stands behind a second comma.
pub fn score_files(data: &TextFile, predictions: &TextFile) -> Result<Nlvr2Scores, Error> {
    let mut counts = Nlvr2Counts::default();
    let mut predicted: FxHashMap<&str, Prediction<'_>> = FxHashMap::default();
    for (index, line) in predictions.text().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut fields = line.trim().split(',');
        let (Some(identifier), Some(label)) = (fields.next(), fields.next()) else {
            let line = format!("line {} is `{line}`; write identifier,True or identifier,False", index + 1);
            return Err(predictions.content(line));
        };
        let doubled = predicted.insert(identifier, Prediction { label, used: false });
        counts.doubled_predictions += usize::from(doubled.is_some());
    }
    let mut accuracy = Mean::default();
    let mut right_by_sentence: FxHashMap<String, bool> = FxHashMap::default();
    for (index, line) in data.text().lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Example { identifier, label } = serde_json::from_str(line).map_err(|source| Error::Layout {
            path: data.path().to_owned(),
            expected: "NLVR2 data (JSON lines with identifier and label)",
            problem: source.to_string(),
            line: index + 1,
            column: source.column(),
        })?;
        let label = label.of(data, &Id::from(&*identifier), "label")?;
        let Some(prediction) = predicted.get_mut(&*identifier) else {
            let (path, id) = (predictions.path().to_owned(), identifier.into_owned());
            return Err(Error::MissingId { path, id, hint: "predict every pair of the data" });
        };
        prediction.used = true;
        let is = |text: &str| prediction.label.eq_ignore_ascii_case(text);
        counts.predictions_neither_true_nor_false += usize::from(!is("true") && !is("false"));
        let right = is(&label);
        accuracy.add(f64::from(u8::from(right)));
        *right_by_sentence.entry(sentence_of(&identifier, data)?).or_insert(true) &= right;
        counts.examples += 1;
    }
    if counts.examples == 0 {
        return Err(data.content("holds no examples"));
    }
    counts.sentences = right_by_sentence.len();
    counts.surplus_predictions = predicted.values().filter(|prediction| !prediction.used).count();
    let consistent = right_by_sentence.values().filter(|right| **right).count();
    let consistency = consistent as f64 / counts.sentences as f64;
    Ok(Nlvr2Scores { accuracy: accuracy.get(), consistency, counts })
}

struct Prediction<'a> {
    label: &'a str,
    used: bool,
}

/// The identifier (split-set-pair-sentence) without its pair.
fn sentence_of(identifier: &str, file: &TextFile) -> Result<String, Error> {
    let fields: Vec<&str> = identifier.split('-').collect();
    match fields.as_slice() {
        [split, set, _, rest @ ..] => Ok([&[*split, *set, ""], rest].concat().join("-")),
        _ => Err(file.content(format!("identifier {identifier} is not split-set-pair-sentence"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(data: &str, predictions: &str) -> Result<Nlvr2Scores, Error> {
        let file = |name: &str, text: &str| {
            TextFile::from_bytes(name.as_ref(), text.as_bytes().to_vec()).expect("UTF-8")
        };
        score_files(&file("dev.json", data), &file("p.csv", predictions))
    }

    const DATA: &str = "{\"identifier\": \"dev-1-0-0\", \"label\": \"True\"}\n{\"identifier\": \"dev-1-1-0\", \"label\": \"False\"}\n{\"identifier\": \"dev-1-0-1\", \"label\": \"True\"}\n";

    #[test]
    fn a_sentence_is_consistent_when_all_its_pairs_are_right() {
        let got = scores(DATA, "dev-1-0-0,true\ndev-1-1-0,TRUE\ndev-1-0-1,True\nother-1-1-1,True\n")
            .expect("scores");
        assert!((got.accuracy - 2.0 / 3.0).abs() < 1e-12);
        let counts =
            Nlvr2Counts { examples: 3, sentences: 2, surplus_predictions: 1, ..Nlvr2Counts::default() };
        assert_eq!((got.consistency, got.counts), (0.5, counts));
    }

    #[test]
    fn lines_are_read_as_the_evaluator_reads_them() {
        let predictions =
            "\u{feff}dev-1-0-0,False\r\n dev-1-0-0,True,0.9 \r\n\r\ndev-1-1-0, False\r\ndev-1-0-1,true";
        let got = scores(&format!("{DATA}\n{DATA}"), predictions).expect("scores");
        assert!((got.accuracy - 2.0 / 3.0).abs() < 1e-12, "the space before False counts: {got:?}");
        let wanted = Nlvr2Counts {
            examples: 6,
            sentences: 2,
            doubled_predictions: 1,
            predictions_neither_true_nor_false: 2,
            surplus_predictions: 0,
        };
        assert_eq!(got.counts, wanted);
    }

    #[test]
    fn bad_files_are_named() {
        for (data, predictions, part) in [
            (DATA, "dev-1-0-0,True\n", "p.csv: no entry for id dev-1-1-0"),
            (DATA, "dev-1-0-0 True\n", "p.csv: line 1"),
            ("", "dev-1-0-0,True\n", "dev.json: holds no examples"),
            ("\n{\"label\": \"True\"}", "", "line 2"),
            ("{\"identifier\": \"dev-1-0-0\", \"label\": true}", "", "the label of id dev-1-0-0 is a truth"),
            ("{\"identifier\": \"dev-1\", \"label\": \"True\"}", "dev-1,True", "identifier dev-1 is not"),
        ] {
            let message = scores(data, predictions).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
