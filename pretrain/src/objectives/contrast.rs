//! Which part of a sample is exchanged, and the draws for its replacement.

use pretrain_training::{Generator, Stream};

use super::ObjectiveSettings;

/// What of a sample belongs to another picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    Nothing,
    /// Tags or answer.
    B,
    /// Words.
    A,
}

impl ObjectiveSettings {
    /// What the number `drawn` in (0, 1) says; published with `pollution` one half:
    ///
    /// ```text
    /// pollution < drawn                                   nothing
    /// wrong_text < drawn <= pollution, where there is b   b
    /// otherwise                                           a
    /// ```
    pub(crate) fn exchange(&self, drawn: f64, has_b: bool) -> Exchange {
        if drawn > self.pollution {
            Exchange::Nothing
        } else if drawn > self.wrong_text && has_b {
            Exchange::B
        } else {
            Exchange::A
        }
    }
}

impl Exchange {
    /// The class, numbered as in the published code: 0 matched, 1 wrong b, C - 1 wrong words. (The paper of the three-way
    /// form counts the last two the other way round; released heads follow the code.)
    pub(crate) fn label(self, n_classes: usize) -> i64 {
        match self {
            Exchange::Nothing => 0,
            Exchange::B => 1,
            Exchange::A => n_classes as i64 - 1,
        }
    }
}

/// The draws of one sample from the stream [`Stream::Pollution`].
///
/// The index is `place * 2^32 + n`: n = 0 says what is exchanged, n = 1, 2, ... are the candidates for its replacement.
/// A place is below 2^32, so no two samples of a step share an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollutionDraws {
    generator: Generator,
    first: u64,
}

impl PollutionDraws {
    pub(crate) fn new(seed: u64, step: u32, place: u32) -> Self {
        Self { generator: Generator::new(seed, Stream::Pollution, step), first: u64::from(place) << 32 }
    }

    /// Decides what is exchanged.
    pub(crate) fn share(&self) -> f64 {
        self.generator.unit(self.first)
    }

    /// Candidate number `attempt` (from 1) of `n`, and a coin. Words 0 and 1 of the index give the number, word 2 the coin.
    pub(crate) fn candidate(&self, attempt: u32, n: u64) -> (u64, bool) {
        let index = self.first + u64::from(attempt);
        (self.generator.below(index, n), self.generator.words(index)[2] >> 31 == 1)
    }
}
