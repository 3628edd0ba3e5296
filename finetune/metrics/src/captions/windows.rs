//! Windows of four words.

use rayon::prelude::*;

use super::{ngrams::MAX_N, words::Words};

/// The four words that start somewhere in a caption, the first in the highest bits, 0 behind the caption's end.
pub(crate) trait Window: Copy + Default + Ord + Send + Sync {
    /// The largest number of a word that fits.
    const LARGEST_WORD: u32;

    /// The window one word earlier.
    fn before(word: u32, window: Self) -> Self;

    /// How many words stand in it.
    fn words(self) -> usize;

    /// How many of the first words are the same in both.
    fn words_in_common(self, other: Self) -> usize;

    /// The windows of all captions, ascending.
    fn all(words: &Words<'_>) -> Vec<Placed<Self>> {
        let count = |value: usize| u32::try_from(value).expect("a corpus holds fewer than 2^32 words");
        let mut windows = Vec::with_capacity(words.numbers().len());
        for caption in 0..words.len() {
            let mut window = Self::default();
            let start = words.starts()[caption];
            for (place, &word) in words.of(caption).iter().enumerate().rev() {
                window = Self::before(word, window);
                windows.push(Placed { window, place: count(start + place), caption: count(caption) });
            }
        }
        windows.par_sort_unstable_by_key(|placed| placed.window);
        windows
    }
}

/// A window of a caption.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed<W> {
    pub(crate) window: W,
    /// Where it stands among the words of all captions.
    pub(crate) place: u32,
    /// The caption's position.
    pub(crate) caption: u32,
}

impl Window for u64 {
    const LARGEST_WORD: u32 = u16::MAX as u32;

    fn before(word: u32, window: Self) -> Self {
        Self::from(word) << 48 | window >> 16
    }

    fn words(self) -> usize {
        MAX_N - self.trailing_zeros() as usize / 16
    }

    fn words_in_common(self, other: Self) -> usize {
        (self ^ other).leading_zeros() as usize / 16
    }
}

impl Window for u128 {
    const LARGEST_WORD: u32 = u32::MAX;

    fn before(word: u32, window: Self) -> Self {
        Self::from(word) << 96 | window >> 32
    }

    fn words(self) -> usize {
        MAX_N - self.trailing_zeros() as usize / 32
    }

    fn words_in_common(self, other: Self) -> usize {
        (self ^ other).leading_zeros() as usize / 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<W: Window>(largest: u32) {
        let of =
            |words: &[u32]| words.iter().rev().fold(W::default(), |window, &word| W::before(word, window));
        let full = of(&[7, largest, 1 << 15, 1]);
        for (words, common) in [
            (&[7, largest, 1 << 15, 1][..], 4),
            (&[7, largest, 1 << 15, 2], 3),
            (&[7, largest], 2),
            (&[7], 1),
            (&[largest, largest, 1 << 15, 1], 0),
            (&[], 0),
        ] {
            assert_eq!(
                (of(words).words(), of(words).words_in_common(full)),
                (words.len(), common),
                "{words:?}"
            );
        }
        assert!(of(&[1, 2]) < of(&[1, 2, 1]) && of(&[1, 2, 9]) < of(&[1, 3]));
        assert!(of(&[9, 7, largest, 1 << 15, 1]) == of(&[9, 7, largest, 1 << 15]), "four words at most");
    }

    #[test]
    fn both_sizes() {
        check::<u64>(u64::LARGEST_WORD);
        check::<u128>(u128::LARGEST_WORD);
    }
}
