//! The n-grams of a caption. One sort gives those of all lengths.

/// The longest n-gram that BLEU and CIDEr look at.
pub(crate) const MAX_N: usize = 4;

/// Bits of a word's number in a window.
const WORD: usize = 32;

/// The windows of four words that start at each word of a caption, sorted: the first word in the highest
/// bits, 0 behind the caption's end. N-grams of length n are the windows cut to n words, and equal ones
/// stand together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ngrams {
    windows: Vec<u128>,
}

/// An n-gram of a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ngram {
    /// Its words' numbers, the last one in the lowest bits.
    pub(crate) key: u128,
    /// How often the caption has it.
    pub(crate) count: u32,
    /// The first of its windows.
    pub(crate) window: usize,
}

impl Ngrams {
    /// The n-grams of a caption whose words have these numbers, from 1.
    pub(crate) fn new(words: &[u32]) -> Self {
        let mut windows: Vec<u128> = Vec::with_capacity(words.len());
        let mut window = 0;
        for &word in words.iter().rev() {
            window = u128::from(word) << (WORD * (MAX_N - 1)) | window >> WORD;
            windows.push(window);
        }
        windows.sort_unstable();
        Self { windows }
    }

    /// The number of words.
    pub(crate) fn words(&self) -> usize {
        self.windows.len()
    }

    /// All windows, ascending.
    pub(crate) fn windows(&self) -> &[u128] {
        &self.windows
    }

    /// The n-grams of length `n` (1 to 4), ascending by key.
    pub(crate) fn of_length(&self, n: usize) -> impl Iterator<Item = Ngram> {
        let mut window = 0;
        std::iter::from_fn(move || {
            while let Some(key) = self.windows.get(window).map(|whole| cut(*whole, n)) {
                let rest = &self.windows[window..];
                let count = rest.iter().take_while(|whole| cut(**whole, n) == key).count();
                let first = window;
                window += count;
                if is_whole(key) {
                    return Some(Ngram { key, count: count as u32, window: first });
                }
            }
            None
        })
    }
}

/// A window without all but its first `n` words.
pub(crate) fn cut(window: u128, n: usize) -> u128 {
    window >> (WORD * (MAX_N - n))
}

/// Whether the caption did not end within these words.
pub(crate) fn is_whole(key: u128) -> bool {
    key as u32 != 0
}

/// The numbers of an n-gram's words, in order.
pub(crate) fn words_of(key: u128, n: usize) -> impl Iterator<Item = u32> {
    (0..n).rev().map(move |behind| (key >> (WORD * behind)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ngrams: &Ngrams, n: usize) -> Vec<(Vec<u32>, u32)> {
        ngrams.of_length(n).map(|ngram| (words_of(ngram.key, n).collect(), ngram.count)).collect()
    }

    #[test]
    fn equal_ngrams_are_counted() {
        let ngrams = Ngrams::new(&[1, 2, 1, 2]);
        assert_eq!(counts(&ngrams, 1), [(vec![1], 2), (vec![2], 2)]);
        assert_eq!(counts(&ngrams, 2), [(vec![1, 2], 2), (vec![2, 1], 1)]);
        assert_eq!(counts(&ngrams, 3), [(vec![1, 2, 1], 1), (vec![2, 1, 2], 1)]);
        assert_eq!(counts(&ngrams, 4), [(vec![1, 2, 1, 2], 1)]);
    }

    #[test]
    fn short_and_empty_captions() {
        let ngrams = Ngrams::new(&[7, u32::MAX]);
        assert_eq!((counts(&ngrams, 2), ngrams.words()), (vec![(vec![7, u32::MAX], 1)], 2));
        assert_eq!(ngrams.of_length(3).count() + ngrams.of_length(4).count(), 0);
        assert!((1..=4).all(|n| Ngrams::new(&[]).of_length(n).next().is_none()));
    }
}
