//! Pictures changed by chance, for training: crop, flip, colours, RandAugment or AutoAugment, erasing.
//!
//! Every change is a function of (seed, epoch, picture): the same on any number of threads, and after a restart. Colours
//! and geometry are Pillow's, on 8 bits, because the published recipes are.

mod auto_augment;
mod colour;
pub(crate) mod geometry;
mod rand_augment;

use pretrain_training::{Generator, Stream};
use serde::{Deserialize, Serialize};

pub use auto_augment::AutoAugment;
pub use rand_augment::RandAugment;

use crate::Error;
use crate::decoding::Picture;
use crate::preparation::{Filter, Normalisation, Resize, resize};

/// What may happen to a picture on its way to a network. Nothing by default, but that it is cropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Shares of a picture's area that a crop has, least and most.
    pub crop_area: [f64; 2],
    /// Width over height of a crop, least and most; drawn on a logarithmic scale.
    pub crop_aspect: [f64; 2],
    /// Chance to be mirrored left to right.
    pub flip: f64,
    /// Brightness, contrast and saturation are multiplied by something within 1 - x and 1 + x, in an order drawn each
    /// time.
    pub colour_jitter: [f64; 3],
    /// Deviation of the shift along the principal components of ImageNet's colours (AlexNet's lighting).
    pub lighting: f64,
    /// Random changes out of a list (Paper: 1909.13719).
    pub rand_augment: Option<RandAugment>,
    /// A pair of changes out of a searched list (Paper: 1805.09501); not together with `rand_augment`.
    pub auto_augment: Option<AutoAugment>,
    /// Chance that a rectangle is replaced by noise (Paper: 1708.04896).
    pub erasing: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            crop_area: [0.08, 1.0],
            crop_aspect: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            colour_jitter: [0.0; 3],
            lighting: 0.0,
            rand_augment: None,
            auto_augment: None,
            erasing: 0.0,
        }
    }
}

/// Where a picture is in a training: what its draws depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion {
    /// The run's.
    pub seed: u64,
    /// From 0.
    pub epoch: u32,
    /// The picture's number.
    pub picture: u64,
}

/// The draws of one picture on one occasion, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Draws {
    generator: Generator,
    next: u64,
}

/// Draws that a picture may take; erasing takes one for each of its numbers.
const DRAWS: u64 = 1 << 24;

impl Augmentation {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Preparation`] with the key.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |key: &str, holds: bool, hint: &str| {
            if holds {
                Ok(())
            } else {
                Err(Error::Preparation { problem: format!("augmentation.{key}: {hint}") })
            }
        };
        let [least, most] = self.crop_area;
        check(
            "crop_area",
            0.0 < least && least <= most && most <= 1.0,
            "two shares above 0, the smaller one first",
        )?;
        let [least, most] = self.crop_aspect;
        check("crop_aspect", 0.0 < least && least <= most, "two quotients above 0, the smaller one first")?;
        for (key, chance) in [("flip", self.flip), ("erasing", self.erasing)] {
            check(key, (0.0..=1.0).contains(&chance), "a chance is from 0 to 1")?;
        }
        let jitter = self.colour_jitter.iter().all(|x| (0.0..=1.0).contains(x));
        check("colour_jitter", jitter, "three numbers from 0 to 1")?;
        check(
            "lighting",
            (0.0..=1.0).contains(&self.lighting),
            "a deviation from 0 to 1; the published one is 0.1",
        )?;
        if let Some(rand_augment) = &self.rand_augment {
            let RandAugment { layers, magnitude, deviation } = *rand_augment;
            let holds = layers <= 8 && (0.0..=10.0).contains(&magnitude) && (0.0..=10.0).contains(&deviation);
            check("rand_augment", holds, "at most 8 layers, a magnitude and a deviation from 0 to 10")?;
        }
        let is_alone = self.auto_augment.is_none() || self.rand_augment.is_none();
        check("auto_augment", is_alone, "it stands in for rand_augment; leave one of them out")?;
        Ok(())
    }

    /// A picture as a network sees it on this occasion.
    ///
    /// # Shapes
    /// - `x_chw`: 3 x `side` x `side` numbers, all of which are written
    ///
    /// # Errors
    /// A picture whose buffer does not fit its size; `x_chw` of another size.
    pub fn apply(
        &self,
        picture: &Picture,
        filter: Filter,
        normalisation: &Normalisation,
        occasion: Occasion,
        x_chw: &mut [f32],
    ) -> Result<(), Error> {
        let area = x_chw.len() / 3;
        let side = area.isqrt();
        if 3 * side * side != x_chw.len() || side == 0 {
            let problem = format!("{} numbers are no 3 x side x side", x_chw.len());
            return Err(Error::Preparation { problem });
        }
        let mut draws = Draws::new(occasion);
        let window = geometry::crop_window(picture, self.crop_area, self.crop_aspect, &mut draws);
        let cut = geometry::cut(picture, window)?;
        let exact = Resize::Exact { width: side as u32, height: side as u32 };
        let mut picture = resize(&cut, exact, filter)?;
        if draws.happens(self.flip) {
            geometry::mirror(&mut picture);
        }
        self.jitter(&mut picture, &mut draws);
        if let Some(rand_augment) = &self.rand_augment {
            picture = rand_augment.apply(picture, &mut draws);
        }
        if let Some(auto_augment) = self.auto_augment {
            picture = auto_augment.apply(picture, &mut draws);
        }
        let mut values = normalisation.apply(&picture)?;
        if self.lighting > 0.0 {
            colour::light(&mut values, self.lighting, normalisation.std, &mut draws);
        }
        if draws.happens(self.erasing) {
            geometry::erase(&mut values, side, &mut draws);
        }
        x_chw.copy_from_slice(&values);
        Ok(())
    }

    fn jitter(&self, picture: &mut Picture, draws: &mut Draws) {
        type Change = fn(&mut Picture, f64);
        let changes: [Change; 3] = [colour::brightness, colour::contrast, colour::saturation];
        let mut order = [0, 1, 2];
        order.swap(0, draws.below(3));
        order.swap(1, 1 + draws.below(2));
        for i in order {
            let factor = draws.between(1.0 - self.colour_jitter[i], 1.0 + self.colour_jitter[i]);
            if self.colour_jitter[i] > 0.0 {
                changes[i](picture, factor);
            }
        }
    }
}

impl Draws {
    pub(crate) fn new(Occasion { seed, epoch, picture }: Occasion) -> Self {
        Self {
            generator: Generator::new(seed, Stream::Augmentation, epoch),
            next: picture.wrapping_mul(DRAWS),
        }
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.next = self.next.wrapping_add(1);
        self.generator.unit(self.next)
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.next = self.next.wrapping_add(1);
        self.generator.below(self.next, n as u64) as usize
    }

    pub(crate) fn normal(&mut self, deviation: f64) -> f64 {
        self.next = self.next.wrapping_add(1);
        self.generator.normal(self.next, 0.0, deviation)
    }

    /// Whether something of this chance happens.
    pub(crate) fn happens(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }
}

#[cfg(test)]
mod tests;
