//! Document frequencies from a file: how many images have an n-gram in their references.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use rustc_hash::FxHashMap;
use serde::Deserialize;
use torch_files::Value;

use super::{
    ngrams::{MAX_N, Ngrams},
    words::Words,
};
use crate::{
    Error,
    layouts::{self, Pairs, TextFile},
};

/// Document frequencies of n-grams, and the number of documents.
#[derive(Debug, Default, PartialEq)]
pub struct DocumentFrequencies {
    /// The number of images counted (`ref_len`).
    pub documents: f64,
    /// Frequency by n-gram, its words joined by spaces.
    pub frequency: FxHashMap<String, f64>,
}

/// The word that self-critical training puts behind every caption.
pub const END_OF_CAPTION: &str = "<eos>";

#[derive(Deserialize)]
struct JsonFile {
    ref_len: f64,
    document_frequency: Pairs<String, f64>,
}

impl DocumentFrequencies {
    /// Reads our JSON (`{"ref_len": N, "document_frequency": {"a dog": 12.0, ...}}`) or the pickle of
    /// the original (the same, with tuples of words for n-grams).
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = layouts::read(path)?;
        if layouts::first_byte(&bytes) != Some(b'{') {
            return Self::from_pickle(path);
        }
        let file: JsonFile = TextFile::from_bytes(path, bytes)?
            .parse("document frequencies ({ref_len, document_frequency})")?;
        let read =
            Self { documents: file.ref_len, frequency: file.document_frequency.0.into_iter().collect() };
        read.check(path.to_owned())
    }

    fn from_pickle(path: &Path) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Content { path: path.to_owned(), problem: problem.to_owned() };
        let value = torch_files::load_pickle(path, &torch_files::Limits::default())?;
        let of = |key: &str| {
            let entries = &value.as_dict()?.entries;
            entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
        };
        let documents =
            of("ref_len").and_then(Value::as_float).ok_or_else(|| wrong("has no number `ref_len`"))?;
        let counted = of("document_frequency")
            .and_then(Value::as_dict)
            .ok_or_else(|| wrong("has no dictionary `document_frequency`"))?;
        let mut frequency = FxHashMap::default();
        for (words, count) in &counted.entries {
            let words: Option<Vec<&str>> =
                words.as_items().map(|items| items.iter().map(Value::as_str).collect()).unwrap_or_default();
            let (Some(words), Some(count)) = (words, count.as_float()) else {
                return Err(wrong("`document_frequency` must map tuples of words to numbers"));
            };
            frequency.insert(words.join(" "), count);
        }
        Self { documents, frequency }.check(path.to_owned())
    }

    fn check(self, path: PathBuf) -> Result<Self, Error> {
        if self.documents >= 1.0 && self.documents.is_finite() {
            return Ok(self);
        }
        let problem = format!("ref_len is {}; it must be the number of images, at least 1", self.documents);
        Err(Error::Content { path, problem })
    }

    /// Counts the n-grams of reference captions; `images` yields the captions of one image each.
    /// Words are separated by white space.
    pub fn count<'a, S: AsRef<str> + 'a>(images: impl Iterator<Item = &'a [S]>) -> Self {
        let (mut texts, mut documents) = (Vec::new(), Vec::new());
        for captions in images {
            documents.push(texts.len()..texts.len() + captions.len());
            texts.extend(captions.iter().map(AsRef::as_ref));
        }
        let words = Words::number(&texts, None);
        let ngrams = Ngrams::new(&words, &documents);
        let mut frequency = FxHashMap::default();
        let mut spelled = String::new();
        for n in 1..=MAX_N {
            for kind in ngrams.kinds(n) {
                kind.spell(n, &words, &mut spelled);
                frequency.insert(spelled.clone(), f64::from(kind.documents));
            }
        }
        Self { documents: documents.len() as f64, frequency }
    }

    /// Writes our JSON, n-grams in alphabetical order.
    pub fn write(&self, mut out: impl Write) -> std::io::Result<()> {
        let mut entries: Vec<_> = self.frequency.iter().collect();
        entries.sort_unstable_by_key(|(ngram, _)| ngram.as_str());
        write!(out, "{{\"ref_len\": {}, \"document_frequency\": {{", self.documents)?;
        for (index, (ngram, count)) in entries.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{}: {count:.1}", serde_json::to_string(ngram)?)?;
        }
        writeln!(out, "}}}}")
    }

    /// Whether captions were counted with [`END_OF_CAPTION`] behind them.
    pub fn has_end_of_caption(&self) -> bool {
        self.frequency.contains_key(END_OF_CAPTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_once() {
        let images = [vec!["a dog a dog".to_owned(), "a cat".to_owned()], vec!["a dog".to_owned()]];
        let got = DocumentFrequencies::count(images.iter().map(Vec::as_slice));
        assert_eq!(
            (got.documents, got.frequency["a"], got.frequency["a dog"], got.frequency["cat"]),
            (2.0, 2.0, 2.0, 1.0)
        );
        let mut written = Vec::new();
        got.write(&mut written).expect("writing to memory");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), written).expect("writing it");
        assert_eq!(DocumentFrequencies::read(file.path()).expect("reading it back"), got);
    }
}
