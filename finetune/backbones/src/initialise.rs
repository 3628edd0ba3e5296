//! First weights, as published.
//!
//! * EfficientNet (the released TensorFlow code): normal, variance 2 / fan-out, where the fan-out of a convolution is its
//!   kernel's area times its outputs a group; the classifier uniform within 1 / sqrt(outputs).
//! * ResNeXt (the released Lua code): normal, variance 2 / (kernel's area times all outputs), whatever the groups; the
//!   classifier uniform within 1 / sqrt(inputs), Lua Torch's default.
//! * Both: biases 0, batch normalisation the identity.

use candle_core::{Device, Tensor};
use pretrain_training::{Generator, Stream};
use rayon::prelude::*;

use crate::Result;
use crate::architecture::Architecture;
use crate::layer::Operation;
use crate::weights::Weights;

/// Every number is a function of the seed, the tensor's place in the network, and its own place in the tensor.
pub(crate) fn initialise(architecture: Architecture, seed: u64, n_classes: usize) -> Result<Weights> {
    let layers = architecture.layers([1, 1], n_classes);
    let tensors = layers.iter().flat_map(|layer| {
        layer.tensors().into_iter().map(move |(name, shape)| (layer.operation, name, shape))
    });
    let is_efficientnet = architecture.is_efficientnet();
    let drawn = tensors.zip(0u32..).map(|((operation, name, shape), number)| {
        let generator = Generator::new(seed, Stream::Weights, number);
        let values = match (operation, name.rsplit_once('.').map_or("", |(_, part)| part)) {
            (Operation::Convolution { outputs, kernel, groups, .. }, "weight") => {
                let groups = if is_efficientnet { groups } else { 1 };
                let deviation = (2.0 / (kernel * kernel * outputs / groups) as f64).sqrt();
                values(&shape, |index| generator.normal(index, 0.0, deviation))
            }
            (Operation::Linear { inputs, outputs }, "weight") => {
                let bound = 1.0 / (if is_efficientnet { outputs } else { inputs } as f64).sqrt();
                values(&shape, |index| generator.uniform(index, -bound, bound))
            }
            (Operation::BatchNorm { .. }, "weight" | "running_var") => values(&shape, |_| 1.0),
            _ => values(&shape, |_| 0.0),
        };
        Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    });
    drawn.collect()
}

fn values(shape: &[usize], value: impl Fn(u64) -> f64 + Sync) -> Vec<f32> {
    let n: usize = shape.iter().product();
    (0..n as u64).into_par_iter().map(|index| value(index) as f32).collect()
}
