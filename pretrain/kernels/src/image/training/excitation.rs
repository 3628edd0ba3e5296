//! Squeeze and excitation while it learns: `u = swish(w₁ m + b₁)`, `g = σ(w₂ u + b₂)` of the means m of a picture's channels,
//! and the gradients. Paper: 1709.01507.
//!
//! Legend: b pictures, c channels, s squeezed ones. Means and gates are in whole vectors. 4·s·c operations a picture forward,
//! 12 backward; a picture's sums, and a weight's over the pictures, are in one order.

use rayon::prelude::*;

use crate::image::maps::LANES;
use crate::simd::{Kernel, widest};

/// Weights in PyTorch's order, `[s, c]` and `[c, s]`, and biases.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// `[s, c]`
    pub reduce: &'a [f32],
    /// `[s]`
    pub reduce_bias: &'a [f32],
    /// `[c, s]`
    pub excite: &'a [f32],
    /// `[c]`
    pub excite_bias: &'a [f32],
}

/// The gradients of a [`Gate`], to which is added.
#[derive(Debug)]
pub struct GateGradients<'a> {
    /// `[s, c]`
    pub reduce: &'a mut [f32],
    /// `[s]`
    pub reduce_bias: &'a mut [f32],
    /// `[c, s]`
    pub excite: &'a mut [f32],
    /// `[c]`
    pub excite_bias: &'a mut [f32],
}

/// What a gate made of means.
#[derive(Debug, Default)]
pub struct Excited {
    /// Factors, in whole vectors.
    pub gates_bc: Vec<f32>,
    means_bc: Vec<f32>,
    /// Before and behind the swish.
    squeezed_bs: Vec<f32>,
    activated_bs: Vec<f32>,
}

impl Gate<'_> {
    fn sizes(&self) -> [usize; 3] {
        let (c, s) = (self.excite_bias.len(), self.reduce_bias.len());
        assert!(self.reduce.len() == s * c && self.excite.len() == s * c && s * c > 0, "weights that fit");
        [c, s, c.next_multiple_of(LANES)]
    }

    /// Factors of pictures with these means.
    ///
    /// # Panics
    /// Weights and means that do not fit together.
    pub fn forward(&self, means_bc: Vec<f32>) -> Excited {
        let [c, s, width] = self.sizes();
        assert!(means_bc.len().is_multiple_of(width), "means of whole vectors");
        let batch = means_bc.len() / width;
        let mut squeezed_bs = vec![0.0; batch * s];
        let mut activated_bs = vec![0.0; batch * s];
        let mut gates_bc = vec![0.0; batch * width];
        let pictures = squeezed_bs.par_chunks_exact_mut(s).zip(activated_bs.par_chunks_exact_mut(s));
        let pictures =
            pictures.zip(gates_bc.par_chunks_exact_mut(width)).zip(means_bc.par_chunks_exact(width));
        pictures.for_each(|(((squeezed, activated), gates), means)| {
            for (at, z) in squeezed.iter_mut().enumerate() {
                *z = self.reduce_bias[at] + dot(&self.reduce[at * c..(at + 1) * c], &means[..c]);
            }
            for (u, z) in activated.iter_mut().zip(squeezed.iter()) {
                *u = z / (1.0 + (-z).exp());
            }
            for (at, gate) in gates[..c].iter_mut().enumerate() {
                let z = self.excite_bias[at] + dot(&self.excite[at * s..(at + 1) * s], activated);
                *gate = 1.0 / (1.0 + (-z).exp());
            }
        });
        Excited { gates_bc, means_bc, squeezed_bs, activated_bs }
    }

    /// From the gradients of the factors to those of the means; adds to those of the weights.
    ///
    /// # Panics
    /// What does not fit together.
    pub fn backward(&self, excited: &Excited, d_gates_bc: &[f32], gradients: GateGradients<'_>) -> Vec<f32> {
        let [c, s, width] = self.sizes();
        assert!(d_gates_bc.len() == excited.gates_bc.len(), "a gradient for each factor");
        let batch = d_gates_bc.len() / width;
        let mut d_excited_bc = vec![0.0; batch * width];
        let mut d_squeezed_bs = vec![0.0; batch * s];
        let mut d_means_bc = vec![0.0; batch * width];
        let pictures = d_excited_bc.par_chunks_exact_mut(width).zip(d_squeezed_bs.par_chunks_exact_mut(s));
        pictures.zip(d_means_bc.par_chunks_exact_mut(width)).enumerate().for_each(
            |(b, ((d_excited, d_squeezed), d_means))| {
                let gates = &excited.gates_bc[b * width..][..c];
                let d_gates = &d_gates_bc[b * width..][..c];
                for (at, d) in d_excited[..c].iter_mut().enumerate() {
                    *d = d_gates[at] * gates[at] * (1.0 - gates[at]);
                    add_scaled(d_squeezed, *d, &self.excite[at * s..(at + 1) * s]);
                }
                for (at, d) in d_squeezed.iter_mut().enumerate() {
                    let z = excited.squeezed_bs[b * s + at];
                    let sigmoid = 1.0 / (1.0 + (-z).exp());
                    *d *= sigmoid * (1.0 + z * (1.0 - sigmoid));
                    add_scaled(&mut d_means[..c], *d, &self.reduce[at * c..(at + 1) * c]);
                }
            },
        );
        let excite = gradients.excite.par_chunks_exact_mut(s).zip(gradients.excite_bias.par_iter_mut());
        excite.with_min_len(64).enumerate().for_each(|(at, (d_w, d_bias))| {
            for b in 0..batch {
                let d = d_excited_bc[b * width + at];
                add_scaled(d_w, d, &excited.activated_bs[b * s..(b + 1) * s]);
                *d_bias += d;
            }
        });
        let reduce = gradients.reduce.par_chunks_exact_mut(c).zip(gradients.reduce_bias.par_iter_mut());
        reduce.enumerate().for_each(|(at, (d_w, d_bias))| {
            for b in 0..batch {
                let d = d_squeezed_bs[b * s + at];
                add_scaled(d_w, d, &excited.means_bc[b * width..][..c]);
                *d_bias += d;
            }
        });
        d_means_bc
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut total = 0.0;
    widest(Dot { a, b, total: &mut total });
    total
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
    total: &'a mut f32,
}

impl Kernel for Dot<'_> {
    #[inline(always)]
    fn run(self) {
        let mut lanes = [0.0f32; LANES];
        let ((a, a_rest), (b, b_rest)) = (self.a.as_chunks::<LANES>(), self.b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += a[lane] * b[lane];
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += a * b;
        }
        *self.total = lanes.iter().sum();
    }
}

fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    widest(AddScaled { to, factor, from });
}

struct AddScaled<'a> {
    to: &'a mut [f32],
    factor: f32,
    from: &'a [f32],
}

impl Kernel for AddScaled<'_> {
    #[inline(always)]
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += self.factor * from;
        }
    }
}
