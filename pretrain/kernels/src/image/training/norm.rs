//! Batch normalisation of maps that nobody writes: a scale and a shift that whoever reads the map applies, and the gradient
//! as three numbers a channel.
//!
//! `z = scale y + shift`, `scale = weight / σ`, `shift = bias - mean scale`, `σ² = variance + ε`. With `S₁ = Σ d_z` and
//! `S₂ = Σ d_z (y - mean)` over n values: `d_bias = S₁`, `d_weight = S₂ / σ`, and
//! `d_y = scale (d_z - S₁ / n - (y - mean) S₂ / (n σ²)) = α d_z + β y + γ`. Paper: 1502.03167, section 3.
//!
//! All of it in f64 and rounded once. One multiplication and addition instead of `(y - mean) scale + bias` adds an error of
//! at most 2^-24 (|mean scale| + |shift|) to z.

use crate::image::maps::LANES;

use super::sums::Sums;

/// What a normalisation does with a map, channel by channel, in whole vectors.
#[derive(Debug, Clone, Default)]
pub struct Norm {
    channels: usize,
    mean: Vec<f64>,
    variance: Vec<f64>,
    inverse_std: Vec<f64>,
    weight: Vec<f64>,
    /// Values a channel that the statistics are of; none where they do not depend on the map.
    values: Option<f64>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// The mean, rounded.
    pub(super) centre: Vec<f32>,
}

/// `d_y = α d_z + β y + γ`, in whole vectors.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub(super) alpha: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) gamma: Vec<f32>,
}

impl Norm {
    /// With the statistics of a batch: sums that [`convolve`](super::convolve) or
    /// [`Depthwise::forward`](super::Depthwise::forward) gathered.
    ///
    /// # Panics
    /// Sums of another kind; vectors of other lengths.
    pub fn of_batch(moments: &Sums, weight_c: &[f32], bias_c: &[f32], epsilon: f64) -> Self {
        let (mean, variance) = moments.mean_and_variance(weight_c.len());
        Self::new(mean, variance, weight_c, bias_c, epsilon, Some(moments.values() as f64))
    }

    /// With given statistics.
    ///
    /// # Panics
    /// Vectors of different lengths.
    pub fn of_running(
        mean_c: &[f32],
        variance_c: &[f32],
        weight_c: &[f32],
        bias_c: &[f32],
        epsilon: f64,
    ) -> Self {
        let doubles = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect();
        Self::new(doubles(mean_c), doubles(variance_c), weight_c, bias_c, epsilon, None)
    }

    fn new(
        mean: Vec<f64>,
        variance: Vec<f64>,
        weight_c: &[f32],
        bias_c: &[f32],
        epsilon: f64,
        values: Option<f64>,
    ) -> Self {
        let channels = weight_c.len();
        assert!(mean.len() == channels && variance.len() == channels && bias_c.len() == channels, "vectors");
        let inverse_std: Vec<f64> =
            variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        let weight: Vec<f64> = weight_c.iter().map(|weight| f64::from(*weight)).collect();
        let scale = |c: usize| weight[c] * inverse_std[c];
        let shift = |c: usize| f64::from(bias_c[c]) - mean[c] * scale(c);
        Self {
            channels,
            scale: vectors(channels, scale),
            shift: vectors(channels, shift),
            centre: vectors(channels, |c| mean[c]),
            mean,
            variance,
            inverse_std,
            weight,
            values,
        }
    }

    /// Of the statistics, every channel's mean and biased variance.
    pub fn statistics(&self) -> (&[f64], &[f64]) {
        (&self.mean, &self.variance)
    }

    /// Values a channel that the statistics are of; none where they were given.
    pub fn values(&self) -> Option<f64> {
        self.values
    }

    /// From every channel's `Σ d_z` and `Σ d_z (y - centre)`: adds to the gradients of weight and bias, and says how to find
    /// the map's.
    ///
    /// # Panics
    /// Vectors that are too short.
    pub fn backward(
        &self,
        [first, second]: [&[f64]; 2],
        d_weight_c: &mut [f32],
        d_bias_c: &mut [f32],
    ) -> Terms {
        let channels = self.channels;
        // the sums were taken around the rounded mean
        let around = |c: usize| second[c] + (f64::from(self.centre[c]) - self.mean[c]) * first[c];
        for c in 0..channels {
            d_weight_c[c] += (around(c) * self.inverse_std[c]) as f32;
            d_bias_c[c] += first[c] as f32;
        }
        let alpha = |c: usize| self.weight[c] * self.inverse_std[c];
        let beta = |c: usize| match self.values {
            Some(n) => -alpha(c) * self.inverse_std[c] * self.inverse_std[c] * around(c) / n,
            None => 0.0,
        };
        let gamma = |c: usize| match self.values {
            Some(n) => -alpha(c) * first[c] / n - beta(c) * self.mean[c],
            None => 0.0,
        };
        Terms {
            alpha: vectors(channels, alpha),
            beta: vectors(channels, beta),
            gamma: vectors(channels, gamma),
        }
    }
}

/// Whole vectors, the surplus zero.
fn vectors(channels: usize, value: impl Fn(usize) -> f64) -> Vec<f32> {
    (0..channels.next_multiple_of(LANES)).map(|c| if c < channels { value(c) as f32 } else { 0.0 }).collect()
}
