//! Random numbers as functions of seed, purpose and place.

/// What numbers are drawn for. Two purposes never share a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Stream {
    Scene = 1,
    Pixels = 2,
    Captions = 3,
    Questions = 4,
    Answers = 5,
    Pairs = 6,
    Crops = 7,
    Training = 8,
    Controls = 9,
    MoreQuestions = 10,
}

/// The numbers of one seed, stream and index, in the order of the draws.
///
/// The n-th is SplitMix64's (Steele, Lea, Flood 2014) for the counter n: key + n * golden ratio, mixed. The key
/// is the three parts of the place, mixed one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    key: u64,
    draws: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    pub(crate) fn new(seed: u64, stream: Stream, index: u64) -> Chance {
        let keyed = mix(mix(seed ^ GOLDEN).wrapping_add((stream as u64).wrapping_mul(GOLDEN)));
        Chance { key: mix(keyed ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93)), draws: 0 }
    }

    /// The same for text as index: what a template is worded with.
    pub(crate) fn of_text(seed: u64, stream: Stream, text: &str) -> Chance {
        let index = text.bytes().fold(0u64, |hash, byte| mix(hash ^ u64::from(byte)));
        Chance::new(seed, stream, index)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.draws += 1;
        mix(self.key.wrapping_add(self.draws.wrapping_mul(GOLDEN)))
    }

    /// One of 0..n, all equally likely to within n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.word()) * n as u128) >> 64) as usize
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub(crate) fn between(&mut self, [low, high]: [f32; 2]) -> f32 {
        low + (high - low) * self.unit()
    }

    /// One of low..=high.
    pub(crate) fn whole(&mut self, [low, high]: [u32; 2]) -> u32 {
        low + self.below((high - low + 1) as usize) as u32
    }

    pub(crate) fn happens(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of them.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// The index of a weight, as likely as the weight is large.
    pub(crate) fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f32>();
        for (at, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return at;
            }
        }
        weights.len() - 1
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// SplitMix64's finaliser, with the constants of Stafford's variant 13.
fn mix(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_place_counts() {
        let first = |seed, stream, index| Chance::new(seed, stream, index).word();
        let base = first(1, Stream::Scene, 2);
        assert_eq!(base, first(1, Stream::Scene, 2));
        for other in [first(2, Stream::Scene, 2), first(1, Stream::Pixels, 2), first(1, Stream::Scene, 3)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_are_even() {
        let (mut counts, mut sum) = ([0u32; 10], 0.0);
        for index in 0..20_000 {
            let mut chance = Chance::new(7, Stream::Scene, index);
            counts[chance.below(10)] += 1;
            sum += f64::from(chance.unit());
        }
        // Standard deviations 42 and 0.002.
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
        assert!((sum / 20_000.0 - 0.5).abs() < 0.01, "{sum}");
    }

    #[test]
    fn shuffles_and_weights_reach_everything() {
        let mut chance = Chance::new(3, Stream::Captions, 0);
        let mut firsts = [0; 4];
        for _ in 0..4_000 {
            let mut items = [0, 1, 2, 3];
            chance.shuffle(&mut items);
            firsts[items[0]] += 1;
        }
        assert!(firsts.iter().all(|count| (850..1_150).contains(count)), "{firsts:?}");
        let heavy = (0..4_000).filter(|_| chance.weighted(&[1.0, 3.0]) == 1).count();
        assert!((2_850..3_150).contains(&heavy), "{heavy}");
    }
}
