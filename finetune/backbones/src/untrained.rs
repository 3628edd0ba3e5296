//! A network that has learned nothing and yet says different things of different pictures.
//!
//! b batch, c channels, h and w of a picture.

use candle_core::{Device, Tensor};
use pretrain_comm::Solo;
use pretrain_training::{Generator, Stream};

use crate::architecture::Architecture;
use crate::backbone::Backbone;
use crate::flavour::Flavour;
use crate::initialise::initialise;
use crate::training::Learner;
use crate::training_pass::TrainingPass;
use crate::{Error, Result};

/// Pictures of the batch, and their side in pixels.
const BATCH: usize = 4;
const SIDE: usize = 96;
/// Blocks of 1, 2, 4, ... 64 pixels lie one over the other.
const LEVELS: usize = 7;

impl Backbone {
    /// [`random`](Self::random) weights, and the running statistics of one batch of drawn pictures.
    ///
    /// With the statistics that training starts from (mean 0, variance 1) every layer makes numbers smaller, until the
    /// vectors of an EfficientNet are around 1e-5 and vanish in half precision. With those of a batch they are around 1.
    ///
    /// # Errors
    /// No classes.
    pub fn untrained(architecture: Architecture, seed: u64, n_classes: usize) -> Result<Self> {
        if n_classes == 0 {
            return Err(Error::NoClasses { architecture: architecture.to_string() });
        }
        let weights = initialise(architecture, seed, n_classes)?;
        let at_once = Some(1.0);
        let learner = Learner::new(architecture, Flavour::of_name(architecture), n_classes, weights, at_once);
        let observed = || -> crate::training::Result<Backbone> {
            let learner = learner?;
            let pass = TrainingPass::new(seed, 0, (0..BATCH as u64).collect(), 0.0, 0.0);
            learner.backbone().logits_in_training(&drawn(seed)?, &pass)?;
            let mut seen = learner.nothing_seen();
            learner.see(&mut seen, &pass.into_statistics(), BATCH);
            learner.move_statistics(seen, BATCH as f64, &Solo)?;
            learner.with_weights(&learner.fixed_weights())
        };
        observed().map_err(|error| Error::Untrained { source: Box::new(error) })
    }
}

/// Blocks of all sizes, as in photographs large and small things have about the same share of the contrast; numbers of
/// mean 0 and deviation 1, as normalised pixels have.
///
/// # Shapes
/// \[b, 3, h, w\]
fn drawn(seed: u64) -> Result<Tensor> {
    let share = (1.0 / LEVELS as f64).sqrt();
    let value = |at: usize| -> f32 {
        let (plane, y, x) = (at / (SIDE * SIDE), at / SIDE % SIDE, at % SIDE);
        let block = |level: usize| {
            let cell = ((plane * SIDE + (y >> level)) * SIDE + (x >> level)) as u64;
            Generator::new(seed, Stream::DrawnPictures, level as u32).normal(cell, 0.0, share)
        };
        (0..LEVELS).map(block).sum::<f64>() as f32
    };
    let x: Vec<f32> = (0..BATCH * 3 * SIDE * SIDE).map(value).collect();
    Ok(Tensor::from_vec(x, (BATCH, 3, SIDE, SIDE), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_around_one_and_differ_between_pictures() {
        for name in ["efficientnet_b0", "tf_efficientnet_b0", "resnext50_32x4d"] {
            let backbone = Backbone::untrained(name.parse().unwrap(), 3, 10).unwrap();
            let x_bchw = drawn(4).unwrap();
            let map_bchw = backbone.head_map(&x_bchw).unwrap();
            let vectors = map_bchw.mean((2, 3)).unwrap().to_vec2::<f32>().unwrap();
            let norm = |of: &[f32]| of.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
            let apart: Vec<f32> =
                vectors[0].iter().zip(&vectors[1]).map(|(one, other)| one - other).collect();
            let size = norm(&vectors[0]) / (vectors[0].len() as f64).sqrt();
            assert!((0.03..30.0).contains(&size), "{name}: {size}");
            assert!(norm(&apart) > 0.05 * norm(&vectors[0]), "{name}: {}", norm(&apart) / norm(&vectors[0]));
            let again = Backbone::untrained(name.parse().unwrap(), 3, 10).unwrap().head_map(&x_bchw).unwrap();
            let bits = |map: &Tensor| map.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(bits(&again) == bits(&map_bchw), "{name}: another network in the second run");
        }
    }
}
