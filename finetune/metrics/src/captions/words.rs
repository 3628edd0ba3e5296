//! Words as numbers.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::ngrams::Ngrams;
use crate::white_space::is_space;

/// Captions as numbers of words.
#[derive(Debug, Default)]
pub(crate) struct Words<'text> {
    /// All words, in the order of their first appearance. The first has number 1.
    pub(crate) vocabulary: Vec<&'text str>,
    /// The captions, in their order.
    pub(crate) captions: Vec<Caption>,
}

/// A caption as numbers of words, in the two ways in which the reference splits it.
#[derive(Debug, Default)]
pub(crate) struct Caption {
    /// Split at any white space (BLEU, CIDEr).
    pub(crate) ngrams: Ngrams,
    /// Split at single spaces (ROUGE): an empty caption has one (empty) word.
    pub(crate) space_separated: Vec<u32>,
}

/// Captions that one thread numbers at a time. Numbers do not depend on it.
const CHUNK: usize = 512;

impl<'text> Words<'text> {
    /// Numbers the words of captions; behind each comes `end`, if there is one.
    pub(crate) fn number(captions: &[&'text str], end: Option<&'text str>) -> Self {
        let chunks: Vec<Chunk<'_>> = captions.par_chunks(CHUNK).map(|texts| Chunk::new(texts, end)).collect();
        let mut words = Self::default();
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut number = |word| {
            let next = next_number(&words.vocabulary);
            let number = *numbers.entry(word).or_insert(next);
            if number == next {
                words.vocabulary.push(word);
            }
            number
        };
        let renumbered: Vec<Vec<u32>> =
            chunks.iter().map(|chunk| chunk.vocabulary.iter().map(|word| number(word)).collect()).collect();
        let captions: Vec<Vec<Caption>> = chunks
            .into_par_iter()
            .zip(renumbered)
            .map(|(chunk, numbers)| chunk.captions.iter().map(|caption| caption.finish(&numbers)).collect())
            .collect();
        words.captions.reserve(captions.iter().map(Vec::len).sum());
        words.captions.extend(captions.into_iter().flatten());
        words
    }

    /// The n-gram with this key as words joined by spaces.
    pub(crate) fn spell(&self, words: impl Iterator<Item = u32>, out: &mut String) {
        out.clear();
        for number in words {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(self.vocabulary[number as usize - 1]);
        }
    }
}

/// Some captions with a numbering of their own.
struct Chunk<'text> {
    vocabulary: Vec<&'text str>,
    captions: Vec<Draft>,
}

/// A caption before the words have their last numbers.
struct Draft {
    words: Vec<u32>,
    /// Where it differs.
    space_separated: Option<Vec<u32>>,
}

impl<'text> Chunk<'text> {
    fn new(captions: &[&'text str], end: Option<&'text str>) -> Self {
        let mut vocabulary = Vec::new();
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut number = |word: &'text str| {
            let next = next_number(&vocabulary);
            let number = *numbers.entry(word).or_insert(next);
            if number == next {
                vocabulary.push(word);
            }
            number
        };
        let captions = captions
            .iter()
            .map(|&text| {
                if is_plain(text) {
                    let words = text.split(' ').chain(end).map(&mut number).collect();
                    return Draft { words, space_separated: None };
                }
                let words = text.split(is_space).filter(|word| !word.is_empty());
                Draft {
                    words: words.chain(end).map(&mut number).collect(),
                    space_separated: Some(text.split(' ').chain(end).map(&mut number).collect()),
                }
            })
            .collect();
        Self { vocabulary, captions }
    }
}

impl Draft {
    fn finish(&self, numbers: &[u32]) -> Caption {
        let renumber = |words: &[u32]| words.iter().map(|word| numbers[*word as usize - 1]).collect();
        let words: Vec<u32> = renumber(&self.words);
        let ngrams = Ngrams::new(&words);
        Caption { ngrams, space_separated: self.space_separated.as_deref().map_or(words, renumber) }
    }
}

/// Whether both ways of splitting give the same: words of ASCII letters and signs with one space between.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let [first, .., last] = bytes else { return matches!(bytes, [b'!'..=b'~']) };
    *first != b' '
        && *last != b' '
        && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !bytes.windows(2).any(|two| two == b"  ")
}

fn next_number(vocabulary: &[&str]) -> u32 {
    u32::try_from(vocabulary.len() + 1).expect("captions of one corpus hold fewer than 2^32 different words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_the_number_of_their_first_appearance() {
        let texts: Vec<String> =
            (0..2000).map(|index| format!("a w{} w{}", index % 700, index % 30)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let words = Words::number(&texts, None);
        let mut wanted: Vec<&str> = Vec::new();
        for word in texts.iter().flat_map(|text| text.split(' ')) {
            if !wanted.contains(&word) {
                wanted.push(word);
            }
        }
        assert_eq!(words.vocabulary, wanted);
        let mut spelled = String::new();
        for (text, caption) in texts.iter().zip(&words.captions) {
            words.spell(caption.space_separated.iter().copied(), &mut spelled);
            assert_eq!(spelled, *text);
        }
    }

    #[test]
    fn two_ways_of_splitting() {
        let texts = ["a b", "", " a  b", "a\u{a0}b", "a\tb", "é"];
        let words = Words::number(&texts, None);
        let lengths: Vec<(usize, usize)> = words
            .captions
            .iter()
            .map(|caption| (caption.ngrams.words(), caption.space_separated.len()))
            .collect();
        assert_eq!(lengths, [(2, 2), (0, 1), (2, 4), (2, 1), (2, 1), (1, 1)]);
        let with_end = Words::number(&["a", ""], Some("<eos>"));
        assert_eq!(with_end.captions[1].ngrams.words(), 1);
        assert_eq!(with_end.vocabulary, ["a", "<eos>", ""]);
    }
}
