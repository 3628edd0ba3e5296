//! RandAugment. Paper: 1909.13719; the list of changes and their strengths are timm's, which follow the released code.

use serde::{Deserialize, Serialize};

use super::{Draws, colour, geometry};
use crate::decoding::Picture;

/// A few changes, drawn anew for each picture, all of one strength.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandAugment {
    /// Changes one after the other; each happens with a chance of a half, as in timm.
    pub layers: u32,
    /// Strength from 0 to 10.
    pub magnitude: f64,
    /// Deviation of the strength.
    #[serde(default)]
    pub deviation: f64,
}

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    /// Keeps 4 bits more than [`Posterize`](Self::Posterize); AutoAugment's alone.
    PosterizeFine,
    Solarize,
    SolarizeAdd,
    Saturation,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

pub(super) const CHANGES: [Change; 15] = [
    Change::AutoContrast,
    Change::Equalize,
    Change::Invert,
    Change::Rotate,
    Change::Posterize,
    Change::Solarize,
    Change::SolarizeAdd,
    Change::Saturation,
    Change::Contrast,
    Change::Brightness,
    Change::Sharpness,
    Change::ShearX,
    Change::ShearY,
    Change::TranslateX,
    Change::TranslateY,
];

/// The strongest.
const MOST: f64 = 10.0;

impl RandAugment {
    pub(super) fn apply(&self, mut picture: Picture, draws: &mut Draws) -> Picture {
        for _ in 0..self.layers {
            let change = CHANGES[draws.below(CHANGES.len())];
            let happens = draws.happens(0.5);
            let strength = (self.magnitude + draws.normal(self.deviation)).clamp(0.0, MOST) / MOST;
            let is_negative = draws.happens(0.5);
            if happens {
                picture = change.apply(picture, strength, is_negative);
            }
        }
        picture
    }
}

impl Change {
    /// With a strength from 0 to 1; changes that have a direction go the other way if `is_negative`.
    pub(super) fn apply(self, mut picture: Picture, strength: f64, is_negative: bool) -> Picture {
        let signed = |value: f64| if is_negative { -value } else { value };
        // enhancements go from 0.1, which is nearly nothing left, to 1.9
        let factor = 0.1 + 1.8 * strength;
        let (width, height) = (f64::from(picture.width), f64::from(picture.height));
        match self {
            Self::AutoContrast => colour::autocontrast(&mut picture),
            Self::Equalize => colour::equalize(&mut picture),
            Self::Invert => colour::invert(&mut picture),
            Self::Posterize => colour::posterize(&mut picture, (4.0 * strength) as u32),
            Self::PosterizeFine => colour::posterize(&mut picture, 4 + (4.0 * strength) as u32),
            Self::Solarize => colour::solarize(&mut picture, (256.0 * strength) as u32),
            Self::SolarizeAdd => colour::solarize_add(&mut picture, (110.0 * strength) as u8),
            Self::Saturation => colour::saturation(&mut picture, factor),
            Self::Contrast => colour::contrast(&mut picture, factor),
            Self::Brightness => colour::brightness(&mut picture, factor),
            Self::Sharpness => colour::sharpness(&mut picture, factor),
            Self::Rotate => return geometry::rotate(&picture, signed(30.0 * strength)),
            Self::ShearX => {
                return geometry::affine(&picture, [1.0, signed(0.3 * strength), 0.0, 0.0, 1.0, 0.0]);
            }
            Self::ShearY => {
                return geometry::affine(&picture, [1.0, 0.0, 0.0, signed(0.3 * strength), 1.0, 0.0]);
            }
            Self::TranslateX => {
                return geometry::affine(
                    &picture,
                    [1.0, 0.0, signed(0.45 * strength * width), 0.0, 1.0, 0.0],
                );
            }
            Self::TranslateY => {
                return geometry::affine(
                    &picture,
                    [1.0, 0.0, 0.0, 0.0, 1.0, signed(0.45 * strength * height)],
                );
            }
        }
        picture
    }
}
