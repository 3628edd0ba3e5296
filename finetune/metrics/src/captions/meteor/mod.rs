//! METEOR 1.5 for English, as coco-caption runs it (`-l en -norm`).
//!
//! Paper: Denkowski and Lavie, WMT 2014.

mod align;
mod data;
mod normalise;
mod paraphrases;
mod statistics;
mod stem;
mod synonyms;

use std::{fs::File, path::Path};

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use self::{
    align::{Stages, Word, align},
    data::WordData,
    normalise::Prefixes,
    paraphrases::Paraphrases,
    synonyms::Synonyms,
};
use super::Pair;
use crate::Error;

pub use statistics::{Matches, STAGES, Statistics};

/// METEOR with the word data at hand.
#[derive(Debug, Default)]
pub struct Meteor {
    data: WordData,
}

/// METEOR of a corpus.
#[derive(Debug, Clone, Default)]
pub struct MeteorScores {
    /// The score of the added statistics.
    pub corpus: f64,
    /// The score of each pair with its best reference.
    pub per_image: Vec<f64>,
    /// The statistics behind it.
    pub statistics: Vec<Statistics>,
}

impl Meteor {
    /// Looks for METEOR's word data in a folder or jar of METEOR 1.5.
    pub fn with_data(place: &Path) -> Result<Self, Error> {
        Ok(Self { data: WordData::find(place)? })
    }

    /// The stages and word lists that take part.
    pub fn used(&self) -> Vec<&'static str> {
        self.parts().into_iter().filter_map(|(name, found)| found.then_some(name)).collect()
    }

    /// The stages and word lists whose data was not found.
    pub fn absent(&self) -> Vec<&'static str> {
        self.parts().into_iter().filter_map(|(name, found)| (!found).then_some(name)).collect()
    }

    fn parts(&self) -> [(&'static str, bool); 6] {
        [
            ("exact", true),
            ("stem", true),
            ("synonym", self.data.synsets.is_some()),
            ("paraphrase", self.data.paraphrases.is_some()),
            ("function words", self.data.function_words.is_some()),
            ("prefixes", self.data.prefixes.is_some()),
        ]
    }

    /// Scores tokenized pairs.
    pub fn score(&self, pairs: &[Pair<'_>]) -> Result<MeteorScores, Error> {
        let prefixes = self.data.prefixes.as_deref().map(Prefixes::parse).unwrap_or_default();
        let cut: Vec<(Vec<String>, Vec<Vec<String>>)> = pairs
            .par_iter()
            .with_min_len(64)
            .map(|pair| {
                let words = |text: &str| normalise::words(text, &prefixes);
                (words(&pair.candidate), pair.references.iter().map(|text| words(text)).collect())
            })
            .collect();
        let mut vocabulary = Vocabulary::default();
        let numbered: Vec<(Vec<u32>, Vec<Vec<u32>>)> = cut
            .iter()
            .map(|(candidate, references)| {
                let candidate = vocabulary.numbers(candidate);
                (candidate, references.iter().map(|words| vocabulary.numbers(words)).collect())
            })
            .collect();
        let (words, paraphrases) =
            rayon::join(|| self.words(&vocabulary.words), || self.paraphrases(&vocabulary));
        let paraphrases = paraphrases?;
        let stages =
            Stages { stem: true, synonym: self.data.synsets.is_some(), paraphrase: paraphrases.as_ref() };
        let statistics: Vec<Statistics> = numbered
            .par_iter()
            .with_min_len(8)
            .map(|(candidate, references)| best(candidate, references, &words, stages))
            .collect();
        let mut corpus = Statistics::default();
        statistics.iter().for_each(|segment| corpus.add(segment));
        let per_image = statistics.iter().map(Statistics::score).collect();
        Ok(MeteorScores { corpus: corpus.score(), per_image, statistics })
    }

    fn words(&self, vocabulary: &[&str]) -> Vec<Word> {
        let function: FxHashSet<&str> =
            self.data.function_words.iter().flat_map(|text| text.lines()).collect();
        let synonyms = self
            .data
            .synsets
            .as_deref()
            .map(|synsets| Synonyms::parse(synsets, self.data.exceptions.as_deref().unwrap_or_default()));
        vocabulary
            .iter()
            .map(|word| Word {
                key: java_hash(word),
                stem_key: java_hash(&stem::stem(word)),
                synonym_sets: synonyms.as_ref().map(|synonyms| synonyms.sets_of(word)).unwrap_or_default(),
                function: function.contains(word),
            })
            .collect()
    }

    fn paraphrases(&self, vocabulary: &Vocabulary<'_>) -> Result<Option<Paraphrases>, Error> {
        let Some(path) = &self.data.paraphrases else { return Ok(None) };
        let failed = |source| Error::Read { path: path.clone(), source };
        let numbers: FxHashMap<&[u8], u32> =
            vocabulary.words.iter().zip(0..).map(|(word, number)| (word.as_bytes(), number)).collect();
        let file = File::open(path).map_err(failed)?;
        let table = flate2::read::MultiGzDecoder::new(file);
        Paraphrases::read(table, &numbers).map(Some).map_err(failed)
    }
}

/// The statistics against the reference with the highest score, the first of equally good ones.
fn best(candidate: &[u32], references: &[Vec<u32>], words: &[Word], stages: Stages<'_>) -> Statistics {
    let mut best: Option<(f64, Statistics)> = None;
    for reference in references {
        let statistics = align(candidate, reference, words, stages);
        let score = statistics.score();
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, statistics));
        }
    }
    best.map(|(_, statistics)| statistics).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Vocabulary<'text> {
    words: Vec<&'text str>,
    numbers: FxHashMap<&'text str, u32>,
}

impl<'text> Vocabulary<'text> {
    fn numbers(&mut self, words: &'text [String]) -> Vec<u32> {
        words
            .iter()
            .map(|word| {
                let next = self.words.len() as u32;
                let number = *self.numbers.entry(word).or_insert(next);
                if number == next {
                    self.words.push(word);
                }
                number
            })
            .collect()
    }
}

/// Java's hash of a string: the reference compares words by it (`Siblings` equals `Teheran`).
fn java_hash(word: &str) -> i32 {
    word.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests;
