//! Words as numbers.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::white_space::is_space;

/// Captions as numbers of words.
#[derive(Debug)]
pub(crate) struct Words<'text> {
    /// All words, in the order of their first appearance. The first has number 1.
    pub(crate) vocabulary: Vec<&'text str>,
    /// The words of all captions, split at any white space (BLEU, CIDEr).
    numbers: Vec<u32>,
    /// Where each caption begins in `numbers`, and the end of the last.
    starts: Vec<usize>,
    /// The captions that are others when split at single spaces (ROUGE: an empty caption has one, empty, word).
    space_separated: FxHashMap<usize, Vec<u32>>,
}

/// Captions that one thread numbers at a time, at least. Numbers do not depend on it.
const CHUNK: usize = 512;

impl<'text> Words<'text> {
    /// Numbers the words of captions; behind each comes `end`, if there is one.
    pub(crate) fn number(captions: &[&'text str], end: Option<&'text str>) -> Self {
        let chunk = captions.len().div_ceil(2 * rayon::current_num_threads()).max(CHUNK);
        let chunks: Vec<Chunk<'_>> = captions.par_chunks(chunk).map(|texts| Chunk::new(texts, end)).collect();
        let mut vocabulary = Vocabulary::default();
        let mut words = Self {
            vocabulary: Vec::new(),
            numbers: Vec::with_capacity(chunks.iter().map(|chunk| chunk.words.len()).sum()),
            starts: Vec::with_capacity(captions.len() + 1),
            space_separated: FxHashMap::default(),
        };
        words.starts.push(0);
        for chunk in chunks {
            let of_own: Vec<u32> =
                chunk.vocabulary.words.into_iter().map(|word| vocabulary.number(word)).collect();
            let renumber = |words: Vec<u32>| words.into_iter().map(|own| of_own[own as usize - 1]);
            let (caption, word) = (words.starts.len() - 1, words.numbers.len());
            words.starts.extend(chunk.ends.iter().map(|end| word + end));
            words.numbers.extend(renumber(chunk.words));
            let different = chunk.space_separated.into_iter();
            words
                .space_separated
                .extend(different.map(|(own, words)| (caption + own, renumber(words).collect())));
        }
        words.vocabulary = vocabulary.words;
        words
    }

    /// How many captions there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The words of a caption, split at any white space.
    pub(crate) fn of(&self, caption: usize) -> &[u32] {
        &self.numbers[self.starts[caption]..self.starts[caption + 1]]
    }

    /// The words of a caption, split at single spaces.
    pub(crate) fn space_separated(&self, caption: usize) -> &[u32] {
        self.space_separated.get(&caption).map_or_else(|| self.of(caption), Vec::as_slice)
    }

    /// The words of all captions, one behind the other.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Where each caption begins among the words of all, and the end of the last.
    pub(crate) fn starts(&self) -> &[usize] {
        &self.starts
    }
}

#[derive(Debug, Default)]
struct Vocabulary<'text> {
    words: Vec<&'text str>,
    numbers: FxHashMap<&'text str, u32>,
}

impl<'text> Vocabulary<'text> {
    fn number(&mut self, word: &'text str) -> u32 {
        let next = u32::try_from(self.words.len() + 1);
        let next = next.expect("captions of one corpus hold fewer than 2^32 different words");
        let number = *self.numbers.entry(word).or_insert(next);
        if number == next {
            self.words.push(word);
        }
        number
    }
}

/// Some captions with a numbering of their own.
struct Chunk<'text> {
    vocabulary: Vocabulary<'text>,
    words: Vec<u32>,
    /// The end of each caption in `words`.
    ends: Vec<usize>,
    /// By position in the chunk.
    space_separated: Vec<(usize, Vec<u32>)>,
}

impl<'text> Chunk<'text> {
    fn new(captions: &[&'text str], end: Option<&'text str>) -> Self {
        let mut vocabulary = Vocabulary::default();
        let mut words = Vec::with_capacity(captions.iter().map(|text| text.len() / 4).sum());
        let mut ends = Vec::with_capacity(captions.len());
        let mut space_separated = Vec::new();
        for (caption, &text) in captions.iter().enumerate() {
            if is_plain(text) {
                each_part(text, |word| words.push(vocabulary.number(word)));
            } else {
                let parts = text.split(is_space).filter(|word| !word.is_empty());
                words.extend(parts.map(|word| vocabulary.number(word)));
                let parts = text.split(' ').chain(end);
                space_separated.push((caption, parts.map(|word| vocabulary.number(word)).collect()));
            }
            words.extend(end.map(|word| vocabulary.number(word)));
            ends.push(words.len());
        }
        Self { vocabulary, words, ends, space_separated }
    }
}

/// The parts of a text between single spaces. Words are so short that a search for the next space costs more than
/// looking at every byte.
fn each_part<'text>(text: &'text str, mut found: impl FnMut(&'text str)) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b' ' {
            found(&text[start..at]);
            start = at + 1;
        }
    }
    found(&text[start..]);
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
        for (caption, text) in texts.iter().enumerate() {
            let spelled: Vec<&str> =
                words.of(caption).iter().map(|number| words.vocabulary[*number as usize - 1]).collect();
            assert_eq!(spelled.join(" "), *text);
            assert_eq!(words.of(caption), words.space_separated(caption));
        }
    }

    #[test]
    fn two_ways_of_splitting() {
        let texts = ["a b", "", " a  b", "a\u{a0}b", "a\tb", "é"];
        let words = Words::number(&texts, None);
        let lengths: Vec<(usize, usize)> = (0..texts.len())
            .map(|caption| (words.of(caption).len(), words.space_separated(caption).len()))
            .collect();
        assert_eq!(lengths, [(2, 2), (0, 1), (2, 4), (2, 1), (2, 1), (1, 1)]);
        let with_end = Words::number(&["a", ""], Some("<eos>"));
        assert_eq!((with_end.of(1), with_end.space_separated(1)), (&[2][..], &[3, 2][..]));
        assert_eq!(with_end.vocabulary, ["a", "<eos>", ""]);
    }
}
