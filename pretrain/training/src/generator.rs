//! Random numbers as functions of where they are used.
//!
//! Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a counter of four
//! words and a key of two into four random words. The key is the seed; the counter is (index, step, stream). No
//! state is kept, so threads, order and restarts cannot change a number.

use pretrain_kernels::philox4x32;

use crate::quantile::{normal_cdf, normal_quantile};

/// What a sequence of random numbers is for. Two purposes never share a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Stream {
    /// First values of weights; the step is the number of the tensor.
    Weights = 1,
    /// Numbers that dropout sets to zero; the step is the training step.
    Dropout = 2,
    /// Samples for which a block is left out; the step is the training step.
    DropConnect = 3,
    /// Crops, flips, colours; the step is the epoch.
    Augmentation = 4,
    /// Which pictures are mixed and how; the step is the training step.
    Mixing = 5,
    /// Pictures that an untrained network takes its running statistics from; the step is the size of the blocks.
    DrawnPictures = 6,
    /// Which tokens are hidden and by what; the step is the training step.
    Masking = 7,
    /// Which words or tags are exchanged, and for whose; the step is the training step.
    Pollution = 8,
    /// Which of several data sets a sample comes from; the step is 0.
    DatasetMix = 9,
    /// Which token comes next in a caption that is drawn; the step is the training step.
    Sampling = 10,
    /// Pictures and captions that do not belong together, for retrieval; the step is the training step.
    Negatives = 12,
    /// Anchors that a detector learns from; the step is the training step.
    Anchors = 20,
    /// Proposals that a detector learns from; the step is the training step.
    Proposals = 21,
}

/// The random numbers of one seed, stream and step; each is found by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    key: [u32; 2],
    step: u32,
    stream: u32,
}

impl Generator {
    /// The numbers of `stream` at `step` under `seed`.
    pub fn new(seed: u64, stream: Stream, step: u32) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], step, stream: stream as u32 }
    }

    /// Four random words.
    pub fn words(&self, index: u64) -> [u32; 4] {
        philox4x32([index as u32, (index >> 32) as u32, self.step, self.stream], self.key)
    }

    /// Uniform in the open interval (0, 1): the middles of 2^52 equal parts, so that a float holds each exactly.
    pub fn unit(&self, index: u64) -> f64 {
        let [low, high, ..] = self.words(index);
        let part = (u64::from(high) << 32 | u64::from(low)) >> 12;
        (part as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Uniform between `low` and `high`.
    pub fn uniform(&self, index: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit(index)
    }

    /// A whole number below `n`, each as likely as the others up to n / 2^52.
    ///
    /// # Panics
    /// In debug builds where `n` is 0.
    pub fn below(&self, index: u64, n: u64) -> u64 {
        debug_assert!(n > 0, "no number is below 0");
        ((self.unit(index) * n as f64) as u64).min(n.saturating_sub(1))
    }

    /// Normal: the quantile of a uniform number, so that one index gives one number and no logarithm of the
    /// system is asked.
    pub fn normal(&self, index: u64, mean: f64, deviation: f64) -> f64 {
        mean + deviation * normal_quantile(self.unit(index))
    }

    /// Normal, given that it lies within `bound` deviations of the mean; `deviation` is that of the whole normal
    /// distribution, as in TensorFlow and torch.
    pub fn truncated_normal(&self, index: u64, mean: f64, deviation: f64, bound: f64) -> f64 {
        let below = normal_cdf(-bound);
        let drawn = normal_quantile(below + (1.0 - 2.0 * below) * self.unit(index));
        mean + deviation * drawn.clamp(-bound, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_place_counts() {
        let at = |seed, step, index| Generator::new(seed, Stream::Weights, step).words(index);
        let first = at(7, 3, 5);
        assert_eq!(first, at(7, 3, 5));
        let dropout = Generator::new(7, Stream::Dropout, 3).words(5);
        for other in
            [dropout, at(8, 3, 5), at(7 | 1 << 40, 3, 5), at(7, 4, 5), at(7, 3, 6), at(7, 3, 5 | 1 << 40)]
        {
            assert!(first.iter().zip(other).all(|(a, b)| *a != b));
        }
    }

    #[test]
    fn whole_numbers() {
        let generator = Generator::new(2, Stream::Mixing, 0);
        let mut counts = [0f64; 7];
        (0..70_000).for_each(|i| counts[generator.below(i, 7) as usize] += 1.0);
        assert!(counts.iter().all(|count| (count - 10_000.0).abs() < 5.0 * 93.0), "{counts:?}");
        assert_eq!(generator.below(3, 1), 0);
    }

    /// Moments, extremes and shares of a million numbers, each within five deviations of its estimate.
    #[test]
    fn distributions() {
        const N: u64 = 1_000_000;
        let generator = Generator::new(1, Stream::Weights, 0);
        let moments = |draw: &dyn Fn(u64) -> f64| {
            let drawn: Vec<f64> = (0..N).map(draw).collect();
            let mean = drawn.iter().sum::<f64>() / N as f64;
            let power = |k: i32| drawn.iter().map(|x| (x - mean).powi(k)).sum::<f64>() / N as f64;
            let low = drawn.iter().copied().fold(f64::INFINITY, f64::min);
            let high = drawn.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (mean, power(2), power(4), low, high)
        };
        let near = |got: f64, wanted: f64, deviation: f64| {
            assert!((got - wanted).abs() < 5.0 * deviation / (N as f64).sqrt(), "{got} is not {wanted}");
        };

        let (mean, variance, fourth, low, high) = moments(&|i| generator.uniform(i, -1.0, 3.0));
        near(mean, 1.0, (4.0f64 / 3.0).sqrt());
        near(variance, 4.0 / 3.0, (16.0f64 / 5.0 - 16.0 / 9.0).sqrt());
        near(fourth, 16.0 / 5.0, (256.0f64 / 9.0 - 256.0 / 25.0).sqrt());
        assert!(low > -1.0 && low < -0.9999 && high < 3.0 && high > 2.9999);

        let (mean, variance, fourth, low, high) = moments(&|i| generator.normal(i, 2.0, 0.5));
        near(mean, 2.0, 0.5);
        near(variance, 0.25, 0.25 * 2f64.sqrt());
        near(fourth, 3.0 / 16.0, 96f64.sqrt() / 16.0);
        assert!(
            low < 2.0 - 4.0 * 0.5
                && low > 2.0 - 6.5 * 0.5
                && high > 2.0 + 4.0 * 0.5
                && high < 2.0 + 6.5 * 0.5
        );

        // variance 1 - 2 b phi(b) / (2 Phi(b) - 1) at b = 2
        let (mean, variance, _, low, high) = moments(&|i| generator.truncated_normal(i, 0.0, 1.0, 2.0));
        near(mean, 0.0, 0.88);
        near(variance, 0.773_741_3, 1.0);
        assert!((-2.0..-1.999).contains(&low) && high > 1.999 && high <= 2.0);
    }
}
