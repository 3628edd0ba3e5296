//! A WordPiece vocabulary from a corpus, the same to the byte for the same texts.
//!
//! The `tokenizers` crate cleans and splits the texts, but its trainer is not used: it numbers the letters in
//! the order of a hash map that is seeded anew in each process, breaks ties between equally frequent pairs by
//! those numbers, and may hold a pair twice in its queue, merged in an order that again depends on hashing. Its
//! pair counts are i32, too. So two runs give two vocabularies. The merges below follow the same rule with
//! every choice ordered; a test compares the two where the library has no choice.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::vocabulary::{CONTINUATION, LONGEST_WORD, SPECIAL_TOKENS, Vocabulary, uncased};
use crate::Error;

/// What a trained vocabulary may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VocabularyOptions {
    /// Tokens at most, special ones included. A small corpus gives fewer.
    pub size: usize,
    /// A pair of pieces that comes less often is not merged.
    pub min_frequency: u64,
    /// Letters at most; the rarest beyond are left out, and words with them become `[UNK]`.
    pub letters: usize,
}

impl Default for VocabularyOptions {
    fn default() -> VocabularyOptions {
        VocabularyOptions { size: 30_522, min_frequency: 2, letters: 1_000 }
    }
}

/// How often each word of a corpus comes: all that training needs to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WordCounts {
    words: BTreeMap<String, u64>,
}

impl WordCounts {
    /// Counts the words of `texts`, on all threads of the current rayon pool.
    ///
    /// Sums do not depend on the order of texts, on how they are cut into calls, or on threads. Memory grows
    /// with the number of different words only. Words too long to be encoded are left out.
    pub fn add<T: AsRef<str> + Sync>(&mut self, texts: &[T]) -> Result<(), Error> {
        let counted = texts
            .par_iter()
            .with_min_len(64)
            .try_fold(HashMap::new, |mut counts: HashMap<String, u64>, text| {
                count_words(text.as_ref(), &mut counts)?;
                Ok(counts)
            })
            .try_reduce(HashMap::new, |a, b| {
                let (mut more, less) = if a.len() < b.len() { (b, a) } else { (a, b) };
                less.into_iter().for_each(|(word, count)| *more.entry(word).or_default() += count);
                Ok(more)
            })
            .map_err(|error: tokenizers::Error| bad("texts", error.to_string(), "remove that text"))?;
        counted.into_iter().for_each(|(word, count)| *self.words.entry(word).or_default() += count);
        Ok(())
    }

    /// Number of different words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether no word was counted.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Trains a vocabulary: BERT's special tokens, the letters, the letters inside words (`##a`), and then the
    /// pieces that arise by merging the most frequent pair of neighbouring pieces over and over.
    ///
    /// Equally frequent pairs go by the ids of their pieces, lower first. Letters are sorted by code point;
    /// equally rare ones are left out from the highest code point down.
    pub fn train(&self, options: &VocabularyOptions) -> Result<Vocabulary, Error> {
        if self.words.is_empty() {
            return Err(bad(
                "texts",
                "they hold no words".into(),
                "give the captions or questions to train on",
            ));
        }
        let mut pieces = Pieces::start(&self.words, options.letters);
        if pieces.tokens.len() > options.size {
            let what = format!(
                "{} tokens cannot hold the {} special tokens and letters",
                options.size,
                pieces.tokens.len()
            );
            return Err(bad("size", what, "a larger `size` or fewer `letters`"));
        }
        let mut merger = Merger::new(&self.words, &pieces);
        while pieces.tokens.len() < options.size {
            let Some(pair) = merger.most_frequent(options.min_frequency.max(1)) else { break };
            let merged = pieces.joined(pair);
            merger.merge(pair, merged);
        }
        Vocabulary::from_tokens(pieces.tokens).map_err(|what| bad("tokens", what, "report this corpus"))
    }
}

impl Vocabulary {
    /// Trains on texts that lie in memory; see [`WordCounts`] for a corpus that does not.
    pub fn train<T: AsRef<str> + Sync>(
        texts: impl IntoIterator<Item = T>,
        options: &VocabularyOptions,
    ) -> Result<Vocabulary, Error> {
        let mut counts = WordCounts::default();
        let mut texts = texts.into_iter().peekable();
        while texts.peek().is_some() {
            let chunk: Vec<T> = texts.by_ref().take(16_384).collect();
            counts.add(&chunk)?;
        }
        counts.train(options)
    }
}

fn bad(field: &str, what: String, hint: &str) -> Error {
    Error::Spec { place: format!("vocabulary.{field}"), what, hint: hint.to_owned() }
}

fn count_words(text: &str, counts: &mut HashMap<String, u64>) -> tokenizers::Result<()> {
    let mut normalized = NormalizedString::from(text);
    uncased().normalize(&mut normalized)?;
    let mut split = PreTokenizedString::from(normalized);
    BertPreTokenizer.pre_tokenize(&mut split)?;
    for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        if word.chars().nth(LONGEST_WORD).is_some() {
            continue;
        }
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    Ok(())
}

/// Tokens by id, and ids by token.
struct Pieces {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Pieces {
    /// The special tokens and letters.
    fn start(words: &BTreeMap<String, u64>, n_letters: usize) -> Pieces {
        let mut frequency: BTreeMap<char, u64> = BTreeMap::new();
        let mut inside: BTreeSet<char> = BTreeSet::new();
        for (word, count) in words {
            for (place, letter) in word.chars().enumerate() {
                *frequency.entry(letter).or_default() += count;
                if place > 0 {
                    inside.insert(letter);
                }
            }
        }
        let mut by_frequency: Vec<(Reverse<u64>, char)> =
            frequency.into_iter().map(|(letter, count)| (Reverse(count), letter)).collect();
        by_frequency.sort_unstable();
        by_frequency.truncate(n_letters);
        let letters: BTreeSet<char> = by_frequency.into_iter().map(|(_, letter)| letter).collect();

        let mut pieces = Pieces { tokens: Vec::new(), ids: HashMap::new() };
        for token in SPECIAL_TOKENS {
            pieces.id(token.to_owned());
        }
        for letter in &letters {
            pieces.id(letter.to_string());
        }
        for letter in letters.intersection(&inside) {
            pieces.id(format!("{CONTINUATION}{letter}"));
        }
        pieces
    }

    /// The id of `token`, a new one if it has none.
    fn id(&mut self, token: String) -> u32 {
        let next = self.tokens.len();
        *self.ids.entry(token).or_insert_with_key(|token| {
            self.tokens.push(token.clone());
            u32::try_from(next).expect("fewer tokens than `size`, and memory holds no 2^32 strings")
        })
    }

    /// The piece that a pair makes: `##un` + `##it` = `##unit`. It may be there already, from another pair.
    fn joined(&mut self, (left, right): Pair) -> u32 {
        let right = &self.tokens[right as usize];
        let right = right.strip_prefix(CONTINUATION).unwrap_or(right);
        let token = format!("{}{right}", self.tokens[left as usize]);
        self.id(token)
    }

    /// A word as letters; `None` if a letter was left out, because such a word is never encoded.
    fn letters(&self, word: &str) -> Option<Vec<u32>> {
        let letter = |(place, letter): (usize, char)| {
            let token = if place == 0 { letter.to_string() } else { format!("{CONTINUATION}{letter}") };
            self.ids.get(&token).copied()
        };
        word.chars().enumerate().map(letter).collect()
    }
}

type Pair = (u32, u32);

/// Words as pieces, and where each pair of neighbouring pieces stands.
///
/// The queue always holds an entry for each pair with at least the pair's present count: counts only fall until
/// a pair gains, and then it is entered anew. So the first entry that is not outdated is the true maximum,
/// whatever the order in which entries came.
struct Merger {
    words: Vec<(Vec<u32>, u64)>,
    pairs: HashMap<Pair, Occurrences>,
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

#[derive(Default)]
struct Occurrences {
    count: u64,
    /// Words that hold the pair, or held it once.
    words: Vec<u32>,
}

impl Merger {
    fn new(words: &BTreeMap<String, u64>, pieces: &Pieces) -> Merger {
        let words: Vec<(Vec<u32>, u64)> =
            words.iter().filter_map(|(word, count)| Some((pieces.letters(word)?, *count))).collect();
        let mut merger = Merger { words, pairs: HashMap::new(), queue: BinaryHeap::new() };
        for (index, (letters, count)) in (0_u32..).zip(&merger.words) {
            for pair in letters.windows(2) {
                let occurrences = merger.pairs.entry((pair[0], pair[1])).or_default();
                occurrences.count += count;
                occurrences.words.push(index);
            }
        }
        merger.queue = merger.pairs.iter().map(|(pair, found)| (found.count, Reverse(*pair))).collect();
        merger
    }

    /// The most frequent pair, of equally frequent ones the lowest, if it comes often enough.
    fn most_frequent(&mut self, min_frequency: u64) -> Option<Pair> {
        loop {
            let (count, Reverse(pair)) = self.queue.pop()?;
            let present = self.pairs.get(&pair).map_or(0, |found| found.count);
            if count == present {
                return (count >= min_frequency).then_some(pair);
            }
            if present > 0 {
                self.queue.push((present, Reverse(pair)));
            }
        }
    }

    /// Writes `merged` for every `pair`, from left to right in each word.
    fn merge(&mut self, pair: Pair, merged: u32) {
        let mut places = self.pairs.remove(&pair).map(|found| found.words).unwrap_or_default();
        places.sort_unstable();
        places.dedup();
        let mut gained: BTreeSet<Pair> = BTreeSet::new();
        for index in places {
            let (pieces, count) = &mut self.words[index as usize];
            if !pieces.windows(2).any(|two| (two[0], two[1]) == pair) {
                continue;
            }
            // Taking away all pairs of the word and adding all that it has afterwards needs no special cases
            // for neighbours such as `a a a`; words are short.
            for two in pieces.windows(2) {
                if let Some(found) = self.pairs.get_mut(&(two[0], two[1])) {
                    found.count -= *count;
                }
            }
            *pieces = joined(pieces, pair, merged);
            for two in pieces.windows(2) {
                let two = (two[0], two[1]);
                let found = self.pairs.entry(two).or_default();
                found.count += *count;
                if two.0 == merged || two.1 == merged {
                    found.words.push(index);
                    gained.insert(two);
                }
            }
        }
        self.queue.extend(gained.into_iter().map(|pair| (self.pairs[&pair].count, Reverse(pair))));
    }
}

fn joined(pieces: &[u32], pair: Pair, merged: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(pieces.len());
    let mut rest = pieces;
    while let [first, tail @ ..] = rest {
        match tail {
            [second, tail @ ..] if (*first, *second) == pair => {
                out.push(merged);
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
