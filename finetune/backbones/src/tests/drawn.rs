//! Networks and pictures that `golden/forward/generate.py` draws the same way.

use candle_core::{Device, Tensor};
use pretrain_training::{Generator, Stream};
use rayon::prelude::*;

use crate::architecture::Architecture;
use crate::weights::Weights;
use crate::{Backbone, Flavour};

pub(crate) const N_CLASSES: usize = 10;

/// The i-th tensor by name is drawn at seed 7, step i; factors of normalisation lie between `low` and `high`.
pub(crate) fn weights(architecture: Architecture, [low, high]: [f64; 2]) -> Weights {
    let mut tensors = architecture.tensors(N_CLASSES);
    tensors.sort();
    let drawn = tensors.into_iter().zip(0u32..).map(|((name, shape), step)| {
        let generator = Generator::new(7, Stream::Weights, step);
        let tensor = match (name.rsplit_once('.').unwrap().1, shape.len()) {
            ("running_mean", _) | ("bias", _) => tensor(&shape, |i| generator.normal(i, 0.0, 0.1)),
            ("running_var", _) => tensor(&shape, |i| generator.uniform(i, 0.7, 1.3)),
            (_, 1) => tensor(&shape, |i| generator.uniform(i, low, high)),
            _ => {
                let deviation = (2.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
                tensor(&shape, |i| generator.normal(i, 0.0, deviation))
            }
        };
        (name, tensor)
    });
    drawn.collect()
}

/// Standard normal numbers.
pub(crate) fn noise(seed: u64, shape: &[usize]) -> Tensor {
    let generator = Generator::new(seed, Stream::Weights, 0);
    tensor(shape, |i| generator.normal(i, 0.0, 1.0))
}

/// EfficientNet-B0 with 10 classes, timm's.
pub(crate) fn b0() -> (Architecture, Weights) {
    let architecture = "efficientnet_b0".parse().unwrap();
    (architecture, weights(architecture, [0.8, 1.4]))
}

pub(crate) fn backbone(architecture: Architecture, flavour: Flavour, weights: &Weights) -> Backbone {
    Backbone::new(architecture, flavour, N_CLASSES, weights).unwrap()
}

/// The largest difference, as a share of the largest number of the second.
pub(crate) fn distance(got: &Tensor, wanted: &Tensor) -> f64 {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got.dims(), wanted.dims());
    let (got, wanted) = (flat(got), flat(wanted));
    let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
    let difference = got.iter().zip(&wanted).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    f64::from(difference) / f64::from(largest)
}

fn tensor(shape: &[usize], value: impl Fn(u64) -> f64 + Sync) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n as u64).into_par_iter().map(|index| value(index) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
