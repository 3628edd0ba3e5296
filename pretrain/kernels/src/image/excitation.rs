//! Squeeze and excitation: a factor for every channel of a picture from the means of all. Paper: 1709.01507, section 3.
//!
//! `z[s] = swish(b1[s] + Σ_c w1[s, c] mean[c])`, `factor[c] = sigmoid(b2[c] + Σ_s w2[c, s] z[s])`
//!
//! Legend: c channels, s squeezed ones. 4·c·s operations a picture on 8·c·s bytes of weights: memory is the limit.

use rayon::prelude::*;

use super::convolution::Activation;
use super::maps::LANES;
use super::path::{Numbers, VectorPath, Work};
use super::vector::{Lanes, Vector};

/// The weights of both layers.
#[derive(Debug)]
pub struct Excitation {
    squeezed: usize,
    /// Channels in whole vectors.
    width: usize,
    /// Both `[s, c]`.
    reduce: Vec<f32>,
    excite: Vec<f32>,
    reduce_bias: Vec<f32>,
    excite_bias: Vec<f32>,
}

impl Excitation {
    /// Of weights in PyTorch's order, `[s, c]` and `[c, s]`.
    ///
    /// # Panics
    /// Weights and biases that do not fit together.
    pub fn new(w_sc: &[f32], bias_s: &[f32], w_cs: &[f32], bias_c: &[f32]) -> Self {
        let (squeezed, channels) = (bias_s.len(), bias_c.len());
        assert!(w_sc.len() == squeezed * channels && w_cs.len() == w_sc.len(), "weights and biases");
        let width = channels.next_multiple_of(LANES);
        let place = |at: usize| (at / width, at % width);
        let lay = |weight: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            let weight = |(s, c)| if c < channels { weight(s, c) } else { 0.0 };
            (0..squeezed * width).map(|at| weight(place(at))).collect()
        };
        let mut excite_bias = bias_c.to_vec();
        excite_bias.resize(width, 0.0);
        Self {
            squeezed,
            width,
            reduce: lay(&|s, c| w_sc[s * channels + c]),
            excite: lay(&|s, c| w_cs[c * squeezed + s]),
            reduce_bias: bias_s.to_vec(),
            excite_bias,
        }
    }

    /// Factors for the channels of pictures with these means, in whole vectors.
    ///
    /// # Panics
    /// Another number of means.
    pub fn factors(&self, path: VectorPath, means_bc: &[f32]) -> Vec<f32> {
        assert!(means_bc.len().is_multiple_of(self.width.max(1)), "means of whole vectors");
        let mut factors = vec![0.0; means_bc.len()];
        let pictures = factors.par_chunks_exact_mut(self.width).zip(means_bc.par_chunks_exact(self.width));
        let rows = (WEIGHTS / self.width.max(1)).max(1);
        let vectors = (WEIGHTS / LANES / self.squeezed.max(1)).max(1);
        pictures.for_each(|(factors, means)| {
            let mut squeezed = vec![0.0; self.squeezed];
            squeezed.par_chunks_mut(rows).enumerate().for_each(|(part, z)| {
                f32::send(path, Squeeze { layer: self, means, first: part * rows, z });
            });
            factors.par_chunks_mut(vectors * LANES).enumerate().for_each(|(part, factors)| {
                let first = part * vectors * LANES;
                f32::send(path, Excite { layer: self, squeezed: &squeezed, first, factors });
            });
        });
        factors
    }
}

/// Weights of a task.
const WEIGHTS: usize = 1 << 14;

/// Some squeezed channels from the first on.
struct Squeeze<'a> {
    layer: &'a Excitation,
    means: &'a [f32],
    first: usize,
    z: &'a mut [f32],
}

impl Work<f32> for Squeeze<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { layer, means, first, z } = self;
        for (s, z) in (first..).zip(z) {
            // SAFETY: the path is this processor's; slices of whole vectors.
            unsafe {
                let mut sum = V::splat(0.0);
                let weights = layer.reduce[s * layer.width..][..layer.width].chunks_exact(LANES);
                for (mean, weight) in means.chunks_exact(LANES).zip(weights) {
                    sum = V::load(mean.as_ptr()).mul_add(V::load(weight.as_ptr()), sum);
                }
                let mut lanes = [0.0; LANES];
                sum.store(lanes.as_mut_ptr());
                let sum = layer.reduce_bias[s] + lanes.iter().sum::<f32>();
                Activation::Swish.of(V::splat(sum)).store(lanes.as_mut_ptr());
                *z = lanes[0];
            }
        }
    }
}

/// Factors of some channels from the first on.
struct Excite<'a> {
    layer: &'a Excitation,
    squeezed: &'a [f32],
    first: usize,
    factors: &'a mut [f32],
}

impl Work<f32> for Excite<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { layer, squeezed, first, factors } = self;
        for (vector, factor) in factors.chunks_exact_mut(LANES).enumerate() {
            let at = first + vector * LANES;
            // SAFETY: the path is this processor's; slices of whole vectors.
            unsafe {
                let mut sum = V::load(layer.excite_bias[at..at + LANES].as_ptr());
                for (s, z) in squeezed.iter().enumerate() {
                    let weight = V::load(layer.excite[s * layer.width + at..][..LANES].as_ptr());
                    sum = weight.mul_add(V::splat(*z), sum);
                }
                Vector::sigmoid(sum).store(factor.as_mut_ptr());
            }
        }
    }
}
