//! Which tokens are hidden, and by what.

use pretrain_training::{Generator, Stream};

use super::{ObjectiveSettings, Sequence};

/// The masked-token objective (Paper: 2004.06165, equation 2; the shares are BERT's, Paper: 1810.04805).
///
/// Every token of a and b is asked for with the same probability, whatever its neighbours; never `[CLS]` and `[SEP]`. There
/// is no least and no largest number of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Masking {
    /// Of 2^32: below the first a token is asked for; of those, below the second `[MASK]`, below the third any token.
    asked: f64,
    masked: f64,
    random: f64,
    mask: u32,
    vocabulary: u32,
}

const WORDS: f64 = (1u64 << 32) as f64;

impl Masking {
    /// `mask` is the id of `[MASK]`; random tokens are drawn from `0..vocabulary`, special ones among them (as published).
    pub(crate) fn new(settings: &ObjectiveSettings, mask: u32, vocabulary: u32) -> Self {
        Self {
            asked: settings.mask_probability * WORDS,
            masked: settings.masked_share * WORDS,
            random: (settings.masked_share + settings.random_share) * WORDS,
            mask,
            vocabulary,
        }
    }

    /// Hides tokens of the sequence in place and returns what they were, -1 for all others. \[t\]
    ///
    /// Index `place * 2^16 + position` of the stream [`Stream::Masking`] is the token's own (positions end far below 2^16);
    /// its word 0 decides whether it is asked for, word 1 what becomes of it, word 2 is the random token.
    pub(crate) fn hide(&self, sequence: &mut Sequence, seed: u64, step: u32, place: u32) -> Vec<i64> {
        let generator = Generator::new(seed, Stream::Masking, step);
        let mut labels = vec![-1; sequence.token_ids.len()];
        for position in sequence.a.clone().chain(sequence.b.clone()) {
            let [asked, how, random, _] = generator.words(u64::from(place) << 16 | position as u64);
            if f64::from(asked) >= self.asked {
                continue;
            }
            let token = &mut sequence.token_ids[position];
            labels[position] = i64::from(*token);
            if f64::from(how) < self.masked {
                *token = self.mask;
            } else if f64::from(how) < self.random {
                *token = ((u64::from(random) * u64::from(self.vocabulary)) >> 32) as u32;
            }
        }
        labels
    }
}
