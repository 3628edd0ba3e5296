//! Which tokens of a caption are hidden (Paper: 2004.06165, section 5; the shares are BERT's, 1810.04805).

use data_specs::SpecialIds;
use pretrain_training::{Generator, Stream};

use crate::settings::Captioning;

/// A caption with hidden tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// `[CLS] caption [SEP]`.
    pub(crate) tokens: Vec<u32>,
    /// Which tokens are asked for, ascending.
    pub(crate) asked: Vec<usize>,
    /// What they were.
    pub(crate) labels: Vec<u32>,
}

/// Hides `round(p n)` of a caption's n tokens, `[CLS]` and `[SEP]` counted: at least one, at most `max_masked_tokens`. Every
/// token but `[CLS]` is as likely as the others; the last `[SEP]` among them, which teaches where to stop. A hidden token
/// becomes `[MASK]`, any id, or stays. As published the random id is one of `0..=vocabulary`, and the one beyond the
/// vocabulary becomes `[UNK]`.
///
/// Index `place * 2^16 + k` of the stream [`Stream::Masking`] is the k-th hidden token's: word 0 chooses it, word 1 says what
/// becomes of it, word 2 is the random id.
pub(crate) fn hide(
    tokens: &[u32],
    settings: &Captioning,
    special: SpecialIds,
    vocabulary: usize,
    [seed, step, place]: [u64; 3],
) -> Hidden {
    let n = tokens.len();
    let wanted = (settings.mask_probability * n as f64).round_ties_even() as usize;
    let count = wanted.max(1).min(settings.max_masked_tokens).min(n - 1);
    let generator = Generator::new(seed, Stream::Masking, step as u32);
    let below = |word: u32, n: usize| ((u64::from(word) * n as u64) >> 32) as usize;
    let mut order: Vec<usize> = (1..n).collect();
    let mut hidden = tokens.to_vec();
    for k in 0..count {
        let [chosen, how, random, _] = generator.words(place << 16 | k as u64);
        order.swap(k, k + below(chosen, n - 1 - k));
        let share = f64::from(how) / (1u64 << 32) as f64;
        if share < settings.masked_share {
            hidden[order[k]] = special.mask;
        } else if share < settings.masked_share + settings.random_share {
            let id = below(random, vocabulary + 1);
            hidden[order[k]] = if id == vocabulary { special.unk } else { id as u32 };
        }
    }
    let mut asked = order[..count].to_vec();
    asked.sort_unstable();
    let labels = asked.iter().map(|place| tokens[*place]).collect();
    Hidden { tokens: hidden, asked, labels }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

    fn drawn(tokens: &[u32], place: u64) -> Hidden {
        hide(tokens, &Captioning::default(), SPECIAL, 50, [7, 3, place])
    }

    #[test]
    fn as_many_as_published() {
        for (n, wanted) in [(3u32, 1), (9, 1), (10, 2), (11, 2), (16, 2), (17, 3), (20, 3), (40, 3), (2, 1)] {
            let tokens: Vec<u32> = (0..n).map(|token| 10 + token).collect();
            let hidden = drawn(&tokens, 0);
            assert_eq!((hidden.asked.len(), hidden.labels.len()), (wanted, wanted), "{n} tokens");
            assert!(hidden.asked.windows(2).all(|pair| pair[0] < pair[1]) && hidden.asked[0] > 0);
        }
    }

    /// Every token but the first is as likely, the last too; shares are 80, 10 and 10 of 100; within five deviations.
    #[test]
    fn shares_of_places_and_of_what_becomes_of_them() {
        const N: u64 = 20_000;
        let tokens: Vec<u32> = (10..22).collect();
        let (mut places, mut masked, mut kept, mut unknown) = ([0f64; 12], 0f64, 0f64, 0f64);
        for place in 0..N {
            let hidden = drawn(&tokens, place);
            assert_eq!(hidden, drawn(&tokens, place), "a function of its arguments");
            for (at, label) in hidden.asked.iter().zip(&hidden.labels) {
                assert_eq!(*label, tokens[*at]);
                places[*at] += 1.0;
                masked += f64::from(u8::from(hidden.tokens[*at] == SPECIAL.mask));
                kept += f64::from(u8::from(hidden.tokens[*at] == tokens[*at]));
                unknown += f64::from(u8::from(hidden.tokens[*at] == SPECIAL.unk));
            }
            let same =
                (0..12).filter(|at| !hidden.asked.contains(at)).all(|at| hidden.tokens[at] == tokens[at]);
            assert!(same, "only asked tokens change");
        }
        assert_eq!(places[0], 0.0, "[CLS] is never asked for");
        let all = 2.0 * N as f64;
        let near = |got: f64, share: f64| {
            assert!((got - share * all).abs() < 5.0 * (share * all).sqrt(), "{got}, not {}", share * all);
        };
        places[1..].iter().for_each(|got| near(*got, 1.0 / 11.0));
        near(masked, 0.8 + 0.1 / 51.0);
        near(kept, 0.1 + 0.1 / 51.0);
        // its own id, and the one beyond the vocabulary
        near(unknown, 0.1 * 2.0 / 51.0);
    }
}
