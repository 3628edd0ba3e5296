//! One pass of AdamW over flat vectors, and the sum of squares that clipping needs. Papers: 1711.05101, algorithm 2, and
//! 1211.5063, algorithm 1.
//!
//! Moments, in both forms, with g the gradient times `gradient_scale`:
//! `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g²`.
//! torch's form decays first: `p <- p (1 - rate decay)`, `p <- p - rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)`.
//! The form that Oscar was trained with, pytorch_transformers', adds eps to the root as it is and decays last:
//! `p <- p - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)`, then `p <- p - rate decay p`.
//!
//! About 15 operations on 28 bytes a parameter (read p, g, m, v; write p, m, v): memory is the limit. The numbers are
//! independent, so no order can change them.

use rayon::prelude::*;

use crate::simd::{Kernel, widest};
use crate::{Error, Result};

/// Which published form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdamWForm {
    /// torch's.
    Torch,
    /// pytorch_transformers'; without `correct_bias` the step is `rate m / (sqrt(v) + eps)`, as BERT was trained.
    Transformers {
        /// Whether the moments' start at 0 is made up for.
        correct_bias: bool,
    },
}

/// The constants of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Which form.
    pub form: AdamWForm,
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Added to the root.
    pub epsilon: f64,
    /// The learning rate.
    pub rate: f64,
    /// The decay, which the rate multiplies.
    pub weight_decay: f64,
    /// The update's number, from 1.
    pub number: u64,
    /// What gradients are multiplied by first, as clipping asks; 1 changes no bit.
    pub gradient_scale: f32,
}

/// A parameter, its gradient, and its moments, all of one length.
#[derive(Debug)]
pub struct AdamWSlices<'a> {
    /// p, changed in place.
    pub parameter: &'a mut [f32],
    /// g.
    pub gradient: &'a [f32],
    /// m, changed in place.
    pub first_moment: &'a mut [f32],
    /// v, changed in place.
    pub second_moment: &'a mut [f32],
}

/// Makes one update.
///
/// # Errors
/// Slices of different lengths, an update 0.
pub fn adamw(step: &AdamWStep, slices: AdamWSlices<'_>) -> Result<()> {
    let AdamWSlices { parameter, gradient, first_moment, second_moment } = slices;
    let lengths = [gradient.len(), first_moment.len(), second_moment.len()];
    if lengths != [parameter.len(); 3] {
        let got = format!("{lengths:?} beside {}", parameter.len());
        let expected = "gradient, first and second moment as long as the parameter";
        return Err(Error::Geometry { op: "adamw", expected, got });
    }
    if step.number == 0 {
        return Err(Error::Geometry { op: "adamw", expected: "updates counted from 1", got: "0".to_owned() });
    }
    let constants = Constants::new(step);
    let moments = first_moment.par_chunks_mut(CHUNK).zip(second_moment.par_chunks_mut(CHUNK));
    parameter.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments).for_each(
        |((p, g), (m, v))| match step.form {
            AdamWForm::Torch => widest(Torch { constants, p, g, m, v }),
            AdamWForm::Transformers { .. } => widest(Transformers { constants, p, g, m, v }),
        },
    );
    Ok(())
}

/// `Σ x²` in f64, chunk by chunk in order.
pub fn squared_norm(x: &[f32]) -> f64 {
    let chunks = x.par_chunks(CHUNK).map(|x| crate::sums::sum_of(x, x, |x, _| x * x));
    chunks.collect::<Vec<f64>>().into_iter().sum()
}

/// Numbers of one task.
const CHUNK: usize = 1 << 14;

#[derive(Clone, Copy)]
struct Constants {
    scale: f32,
    keep: [f32; 2],
    new: [f32; 2],
    /// The step's size and what the root is divided by.
    size: f32,
    root: f32,
    epsilon: f32,
    /// What remains of a parameter (torch), what is taken off (transformers).
    remains: f32,
    decay: f32,
}

impl Constants {
    fn new(step: &AdamWStep) -> Self {
        let corrections = step.betas.map(|beta| 1.0 - libm::pow(beta, step.number as f64));
        let size = match step.form {
            AdamWForm::Torch => step.rate / corrections[0],
            AdamWForm::Transformers { correct_bias: true } => {
                step.rate * (corrections[1].sqrt() / corrections[0])
            }
            AdamWForm::Transformers { correct_bias: false } => step.rate,
        };
        Self {
            scale: step.gradient_scale,
            keep: step.betas.map(|beta| beta as f32),
            new: step.betas.map(|beta| (1.0 - beta) as f32),
            size: size as f32,
            root: corrections[1].sqrt() as f32,
            epsilon: step.epsilon as f32,
            remains: (1.0 - step.rate * step.weight_decay) as f32,
            decay: (step.rate * step.weight_decay) as f32,
        }
    }

    /// Moves both moments.
    #[inline(always)]
    fn moments(&self, g: f32, m: &mut f32, v: &mut f32) {
        let g = g * self.scale;
        *m = self.keep[0] * *m + self.new[0] * g;
        *v = self.keep[1] * *v + self.new[1] * g * g;
    }
}

struct Torch<'a> {
    constants: Constants,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Torch<'_> {
    #[inline(always)]
    fn run(self) {
        let Constants { size, root, epsilon, remains, .. } = self.constants;
        for (((p, g), m), v) in self.p.iter_mut().zip(self.g).zip(self.m).zip(self.v) {
            *p *= remains;
            self.constants.moments(*g, m, v);
            *p -= size * *m / (v.sqrt() / root + epsilon);
        }
    }
}

struct Transformers<'a> {
    constants: Constants,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Transformers<'_> {
    #[inline(always)]
    fn run(self) {
        let Constants { size, epsilon, decay, .. } = self.constants;
        for (((p, g), m), v) in self.p.iter_mut().zip(self.g).zip(self.m).zip(self.v) {
            self.constants.moments(*g, m, v);
            *p -= size * *m / (v.sqrt() + epsilon);
            *p -= decay * *p;
        }
    }
}
