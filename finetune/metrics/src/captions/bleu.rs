//! BLEU-1 to BLEU-4 as coco-caption computes it.
//!
//! Paper: Papineni et al., ACL 2002, with two tiny constants so that no precision is 0 or undefined.

use std::ops::Range;

use serde::Serialize;

use super::ngrams::{MAX_N, Ngram, Ngrams};

/// The counts that BLEU is made of; those of a corpus are the sums over its images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BleuStats {
    /// Words of the candidates.
    pub testlen: u64,
    /// Words of the references that are closest in length (of two equally close ones the shorter).
    pub reflen: u64,
    /// Candidate n-grams, n = 1..4.
    pub guess: [u64; MAX_N],
    /// Those found in a reference, at most as often as in the reference that has the n-gram most often.
    pub correct: [u64; MAX_N],
}

impl BleuStats {
    /// The counts of one of the captions, with others as its references.
    pub(crate) fn new(ngrams: &Ngrams, candidate: usize, references: Range<usize>) -> Self {
        let length = ngrams.words(candidate);
        let lengths = references.clone().map(|reference| ngrams.words(reference));
        let closest = lengths.min_by_key(|&words| (words.abs_diff(length), words)).unwrap_or_default();
        let mut stats = Self { testlen: length as u64, reflen: closest as u64, ..Self::default() };
        // The n-gram, and its highest count in a reference.
        let mut ours: Vec<(Ngram, u32)> = Vec::with_capacity(length);
        for n in 1..=MAX_N {
            stats.guess[n - 1] = (length + 1).saturating_sub(n) as u64;
            ours.clear();
            ours.extend(ngrams.of_length(candidate, n).map(|ngram| (ngram, 0)));
            for reference in references.clone() {
                let mut rest = ours.iter_mut().peekable();
                for theirs in ngrams.of_length(reference, n) {
                    while rest.next_if(|(own, _)| own.number < theirs.number).is_some() {}
                    if let Some((_, most)) = rest.next_if(|(own, _)| own.number == theirs.number) {
                        *most = theirs.count.max(*most);
                    }
                }
            }
            stats.correct[n - 1] = ours.iter().map(|(own, most)| u64::from(own.count.min(*most))).sum();
        }
        stats
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.testlen += other.testlen;
        self.reflen += other.reflen;
        for n in 0..MAX_N {
            self.guess[n] += other.guess[n];
            self.correct[n] += other.correct[n];
        }
    }

    /// BLEU-1..4:
    /// `score_k = (prod_{n<=k} (correct_n + 1e-15) / (guess_n + 1e-9))^(1/k) * exp(1 - 1/r)`, the last
    /// factor only for `r = (testlen + 1e-15) / (reflen + 1e-9) < 1`.
    pub fn scores(&self) -> [f64; MAX_N] {
        const TINY: f64 = 1e-15; // so that if guess > 0 and correct = 0 the precision is not 0
        const SMALL: f64 = 1e-9; // so that guess = 0 does not divide
        let ratio = (self.testlen as f64 + TINY) / (self.reflen as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|k| {
            product *= (self.correct[k] as f64 + TINY) / (self.guess[k] as f64 + SMALL);
            product.powf(1.0 / (k + 1) as f64) * brevity
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::words::Words;

    fn stats(candidate: &'static str, references: &[&'static str]) -> BleuStats {
        let words = Words::number(&[&[candidate], references].concat(), None);
        BleuStats::new(&Ngrams::new(&words, &[]), 0, 1..words.len())
    }

    #[test]
    fn counts_are_clipped_by_the_richest_reference() {
        let got = stats("the the the cat", &["the cat the", "a the"]);
        assert_eq!(got.correct, [3, 1, 0, 0]);
        assert_eq!(got.guess, [4, 3, 2, 1]);
    }

    #[test]
    fn of_two_equally_close_lengths_the_shorter_counts() {
        assert_eq!(stats("a b c", &["a b c d", "a b"]).reflen, 2);
    }

    #[test]
    fn brevity_and_constants() {
        let got = stats("a b", &["a b c d"]).scores();
        assert!((got[0] - (-1.0f64).exp()).abs() < 1e-8);
        let empty = stats("", &["a"]).scores();
        assert!(empty.iter().all(|score| *score < 1e-6), "{empty:?}");
        let same = stats("a b c d", &["a b c d"]).scores();
        assert!(same.iter().all(|score| (score - 1.0).abs() < 1e-8), "{same:?}");
    }
}
