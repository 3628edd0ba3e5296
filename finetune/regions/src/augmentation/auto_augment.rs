//! AutoAugment. Paper: 1805.09501; the policies are tables 8 and 9 of its appendix, and that of the released EfficientNets.
//!
//! Changes and strengths are those of [`RandAugment`](super::RandAugment): a level from 0 to 10 goes through the ranges of
//! the paper's table 6 (turns to 30 degrees, shears to 0.3, shifts to 0.45 of the side, enhancements from 0.1 to 1.9,
//! thresholds to 256, additions to 110), and the direction of what has one is drawn. Shifts are shares of the side, as in
//! timm: the paper's 150 of 331 pixels are 0.453.

use serde::{Deserialize, Serialize};

use super::Draws;
use super::rand_augment::Change;
use super::rand_augment::Change::{
    AutoContrast, Brightness, Contrast, Equalize, Invert, Posterize, PosterizeFine, Rotate, Saturation,
    Sharpness, ShearX, ShearY, Solarize, SolarizeAdd, TranslateX, TranslateY,
};
use crate::decoding::Picture;

/// 25 pairs of changes that were searched for; one pair is drawn for each picture, and each of the two happens with its
/// own chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoAugment {
    /// What the released EfficientNets were trained with. Its Posterize keeps 0 to 4 bits; at level 2, in one pair of the
    /// 25, that is none, so that the picture is black.
    V0,
    /// The paper's for ImageNet (table 9). Posterize keeps 4 to 8 bits.
    Imagenet,
    /// The paper's for CIFAR-10 (table 8), without the cutout that follows it there. Posterize keeps 4 to 8 bits.
    Cifar10,
}

/// A change, its chance, its level from 0 to 10.
type Step = (Change, f64, u32);

impl AutoAugment {
    pub(super) fn apply(self, mut picture: Picture, draws: &mut Draws) -> Picture {
        /// The highest level.
        const MOST: f64 = 10.0;
        let policy = self.policy();
        for (change, chance, level) in policy[draws.below(policy.len())] {
            let (happens, is_negative) = (draws.happens(chance), draws.happens(0.5));
            if happens {
                picture = change.apply(picture, f64::from(level) / MOST, is_negative);
            }
        }
        picture
    }

    pub(super) fn policy(self) -> &'static [[Step; 2]; 25] {
        match self {
            Self::V0 => &V0,
            Self::Imagenet => &IMAGENET,
            Self::Cifar10 => &CIFAR10,
        }
    }
}

static V0: [[Step; 2]; 25] = [
    [(Equalize, 0.8, 1), (ShearY, 0.8, 4)],
    [(Saturation, 0.4, 9), (Equalize, 0.6, 3)],
    [(Saturation, 0.4, 1), (Rotate, 0.6, 8)],
    [(Solarize, 0.8, 3), (Equalize, 0.4, 7)],
    [(Solarize, 0.4, 2), (Solarize, 0.6, 2)],
    [(Saturation, 0.2, 0), (Equalize, 0.8, 8)],
    [(Equalize, 0.4, 8), (SolarizeAdd, 0.8, 3)],
    [(ShearX, 0.2, 9), (Rotate, 0.6, 8)],
    [(Saturation, 0.6, 1), (Equalize, 1.0, 2)],
    [(Invert, 0.4, 9), (Rotate, 0.6, 0)],
    [(Equalize, 1.0, 9), (ShearY, 0.6, 3)],
    [(Saturation, 0.4, 7), (Equalize, 0.6, 0)],
    [(Posterize, 0.4, 6), (AutoContrast, 0.4, 7)],
    [(Solarize, 0.6, 8), (Saturation, 0.6, 9)],
    [(Solarize, 0.2, 4), (Rotate, 0.8, 9)],
    [(Rotate, 1.0, 7), (TranslateY, 0.8, 9)],
    [(ShearX, 0.0, 0), (Solarize, 0.8, 4)],
    [(ShearY, 0.8, 0), (Saturation, 0.6, 4)],
    [(Saturation, 1.0, 0), (Rotate, 0.6, 2)],
    [(Equalize, 0.8, 4), (Equalize, 0.0, 8)],
    [(Equalize, 1.0, 4), (AutoContrast, 0.6, 2)],
    [(ShearY, 0.4, 7), (SolarizeAdd, 0.6, 7)],
    [(Posterize, 0.8, 2), (Solarize, 0.6, 10)],
    [(Solarize, 0.6, 8), (Equalize, 0.6, 1)],
    [(Saturation, 0.8, 6), (Rotate, 0.4, 5)],
];

static IMAGENET: [[Step; 2]; 25] = [
    [(PosterizeFine, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    [(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
    [(PosterizeFine, 0.6, 7), (PosterizeFine, 0.6, 6)],
    [(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 4), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 7)],
    [(PosterizeFine, 0.8, 5), (Equalize, 1.0, 2)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 8), (PosterizeFine, 0.4, 6)],
    [(Rotate, 0.8, 8), (Saturation, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 2)],
    [(Equalize, 0.0, 7), (Equalize, 0.8, 8)],
    [(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    [(Saturation, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Saturation, 1.0, 2)],
    [(Saturation, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 8)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 9)],
    [(Saturation, 0.4, 0), (Equalize, 0.6, 3)],
    [(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    [(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    [(Saturation, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
];

/// Changes without a strength stand at level 0.
static CIFAR10: [[Step; 2]; 25] = [
    [(Invert, 0.1, 0), (Contrast, 0.2, 6)],
    [(Rotate, 0.7, 2), (TranslateX, 0.3, 9)],
    [(Sharpness, 0.8, 1), (Sharpness, 0.9, 3)],
    [(ShearY, 0.5, 8), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.5, 0), (Equalize, 0.9, 0)],
    [(ShearY, 0.2, 7), (PosterizeFine, 0.3, 7)],
    [(Saturation, 0.4, 3), (Brightness, 0.6, 7)],
    [(Sharpness, 0.3, 9), (Brightness, 0.7, 9)],
    [(Equalize, 0.6, 0), (Equalize, 0.5, 0)],
    [(Contrast, 0.6, 7), (Sharpness, 0.6, 5)],
    [(Saturation, 0.7, 7), (TranslateX, 0.5, 8)],
    [(Equalize, 0.3, 0), (AutoContrast, 0.4, 0)],
    [(TranslateY, 0.4, 3), (Sharpness, 0.2, 6)],
    [(Brightness, 0.9, 6), (Saturation, 0.2, 8)],
    [(Solarize, 0.5, 2), (Invert, 0.0, 0)],
    [(Equalize, 0.2, 0), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.2, 0), (Equalize, 0.6, 0)],
    [(Saturation, 0.9, 9), (Equalize, 0.6, 0)],
    [(AutoContrast, 0.8, 0), (Solarize, 0.2, 8)],
    [(Brightness, 0.1, 3), (Saturation, 0.7, 0)],
    [(Solarize, 0.4, 5), (AutoContrast, 0.9, 0)],
    [(TranslateY, 0.9, 9), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.9, 0), (Solarize, 0.8, 3)],
    [(Equalize, 0.8, 0), (Invert, 0.1, 0)],
    [(TranslateY, 0.7, 9), (AutoContrast, 0.9, 0)],
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Augmentation, Occasion};
    use super::*;
    use crate::preparation::{Filter, Normalisation};

    const POLICIES: [AutoAugment; 3] = [AutoAugment::V0, AutoAugment::Imagenet, AutoAugment::Cifar10];

    fn occasion(picture: u64) -> Occasion {
        Occasion { seed: 3, epoch: 1, picture }
    }

    /// A value in each channel of a column; 16 columns from dark to bright.
    fn ramp() -> Picture {
        let rgb =
            (0..16 * 12).flat_map(|i| [i % 16 * 16, 255 - i % 16 * 16, i / 16 * 20].map(|value| value as u8));
        Picture { width: 16, height: 12, rgb: rgb.collect() }
    }

    /// What each step of each policy makes of numbers, by hand from the published ranges. Turned and moved pictures are
    /// compared with Pillow in the tests of the module above.
    #[test]
    fn levels_are_the_published_strengths() {
        let one = |change: Change, level: u32, rgb: [u8; 3]| -> [u8; 3] {
            let picture = Picture { width: 1, height: 1, rgb: rgb.to_vec() };
            let changed = change.apply(picture, f64::from(level) / 10.0, false);
            [changed.rgb[0], changed.rgb[1], changed.rgb[2]]
        };
        // thresholds 256 x level / 10, rounded down: 76 at level 3, 128 at 5, 204 at 8, none at 10
        assert_eq!(one(Solarize, 3, [75, 76, 255]), [75, 179, 0]);
        assert_eq!(one(Solarize, 5, [127, 128, 0]), [127, 127, 0]);
        assert_eq!(one(Solarize, 8, [203, 204, 0]), [203, 51, 0]);
        assert_eq!(one(Solarize, 10, [0, 128, 255]), [0, 128, 255]);
        // 33 and 77 are added below 128
        assert_eq!(one(SolarizeAdd, 3, [10, 127, 128]), [43, 160, 128]);
        assert_eq!(one(SolarizeAdd, 7, [10, 127, 128]), [87, 204, 128]);
        // bits: 2 and none; 7, 6 and 6 of them where it is fine
        assert_eq!(one(Posterize, 6, [255, 127, 63]), [192, 64, 0]);
        assert_eq!(one(Posterize, 2, [255, 127, 63]), [0, 0, 0]);
        assert_eq!(one(PosterizeFine, 8, [255, 1, 2]), [254, 0, 2]);
        assert_eq!(one(PosterizeFine, 7, [255, 7, 3]), [252, 4, 0]);
        assert_eq!(one(PosterizeFine, 5, [255, 7, 3]), [252, 4, 0]);
        assert_eq!(one(PosterizeFine, 10, [255, 7, 3]), [255, 7, 3]);
        // factors 0.1 + 0.18 level: a tenth at 0, 1.72 at 9
        assert_eq!(one(Brightness, 0, [100, 200, 50]), [10, 20, 5]);
        assert_eq!(one(Brightness, 9, [100, 200, 50]), [172, 255, 86]);
        assert_eq!(one(Invert, 4, [0, 100, 255]), [255, 155, 0]);
        // grey keeps its grey whatever the saturation, and a single value its contrast
        assert_eq!(one(Saturation, 9, [80, 80, 80]), [80, 80, 80]);
        assert_eq!(one(Contrast, 8, [80, 80, 80]), [80, 80, 80]);
        // shifts of 0.45 x level / 10 of a side: 0.405 x 40 = 16.2 pixels at level 9
        let white = Picture { width: 40, height: 40, rgb: vec![255; 4800] };
        let moved = TranslateX.apply(white.clone(), 0.9, false);
        let beyond = moved.rgb[..120].as_chunks::<3>().0.iter().filter(|pixel| pixel[0] == 128).count();
        assert_eq!(beyond, 16);
        // the same the other way, and down
        let moved = TranslateX.apply(white.clone(), 0.9, true);
        assert_eq!((moved.rgb[0], moved.rgb[119]), (128, 255));
        let moved = TranslateY.apply(white, 0.9, false);
        assert_eq!(moved.rgb.chunks(120).filter(|row| row[0] == 128).count(), 16);
    }

    #[test]
    fn policies_are_whole() {
        for (policy, steps, mean_chance) in [
            (AutoAugment::V0, 50, 0.596),
            (AutoAugment::Imagenet, 50, 0.62),
            (AutoAugment::Cifar10, 50, 0.53),
        ] {
            let all: Vec<&Step> = policy.policy().iter().flatten().collect();
            assert_eq!(all.len(), steps);
            let chance = all.iter().map(|step| step.1).sum::<f64>() / steps as f64;
            assert!((chance - mean_chance).abs() < 1e-9, "{policy:?}: {chance}");
            assert!(all.iter().all(|step| (0.0..=1.0).contains(&step.1) && step.2 <= 10));
        }
    }

    /// Pairs are drawn equally often, and each step as often as its chance says: within five deviations.
    #[test]
    fn chances_are_counted() {
        const DRAWN: u64 = 20_000;
        for policy in POLICIES {
            let mut pairs = [0u64; 25];
            let mut happened = BTreeMap::new();
            for picture in 0..DRAWN {
                let mut draws = Draws::new(occasion(picture));
                let pair = draws.below(25);
                pairs[pair] += 1;
                for (place, (_, chance, _)) in policy.policy()[pair].iter().enumerate() {
                    let (happens, _) = (draws.happens(*chance), draws.happens(0.5));
                    *happened.entry((pair, place)).or_insert(0u64) += u64::from(happens);
                }
            }
            let near = |count: u64, n: f64, chance: f64| {
                let deviation = (n * chance * (1.0 - chance)).sqrt();
                (count as f64 - n * chance).abs() <= 5.0 * deviation
            };
            for (pair, count) in pairs.iter().enumerate() {
                assert!(near(*count, DRAWN as f64, 1.0 / 25.0), "{policy:?} {pair}: {count}");
                for place in 0..2 {
                    let chance = policy.policy()[pair][place].1;
                    assert!(
                        near(happened[&(pair, place)], *count as f64, chance),
                        "{policy:?} {pair} {place}"
                    );
                }
            }
        }
    }

    /// What comes out is what the drawn pair makes: nothing else, and in its order.
    #[test]
    fn one_pair_is_applied_in_its_order() {
        for policy in POLICIES {
            let mut unchanged = 0;
            for picture in 0..300 {
                let mut draws = Draws::new(occasion(picture));
                let pair = policy.policy()[draws.below(25)];
                let mut wanted = ramp();
                for (change, chance, level) in pair {
                    let (happens, is_negative) = (draws.unit() < chance, draws.unit() < 0.5);
                    if happens {
                        wanted = change.apply(wanted, f64::from(level) / 10.0, is_negative);
                    }
                }
                let got = policy.apply(ramp(), &mut Draws::new(occasion(picture)));
                assert!(got == wanted, "{policy:?} {picture}");
                unchanged += u32::from(got == ramp());
            }
            assert!((10..200).contains(&unchanged), "{policy:?}: {unchanged} of 300 are as they were");
        }
    }

    #[test]
    fn a_function_of_seed_epoch_and_picture() {
        let augmentation = Augmentation { auto_augment: Some(AutoAugment::V0), ..Augmentation::default() };
        let seen = |occasion: Occasion| {
            let mut x_chw = vec![f32::NAN; 3 * 10 * 10];
            let shown = (Filter::Bilinear, Normalisation::SYMMETRIC);
            augmentation.apply(&ramp(), shown.0, &shown.1, occasion, &mut x_chw).unwrap();
            x_chw
        };
        let plain = Augmentation::default();
        let mut differs = 0;
        for picture in 0..40 {
            let first = seen(occasion(picture));
            assert_eq!(first, seen(occasion(picture)));
            let mut without = vec![0.0; 300];
            plain
                .apply(&ramp(), Filter::Bilinear, &Normalisation::SYMMETRIC, occasion(picture), &mut without)
                .unwrap();
            differs += u32::from(first != without);
        }
        assert!(differs > 20, "{differs}");
        assert_ne!(seen(occasion(2)), seen(Occasion { epoch: 2, ..occasion(2) }));
        assert_ne!(seen(occasion(2)), seen(Occasion { seed: 4, ..occasion(2) }));
    }

    #[test]
    fn settings_name_a_policy() {
        let of = |text: &str| serde_json::from_str::<Augmentation>(text);
        let augmentation = of(r#"{"auto_augment": "cifar10"}"#).unwrap();
        assert_eq!(augmentation.auto_augment, Some(AutoAugment::Cifar10));
        let error = of(r#"{"auto_augment": "cifar"}"#).unwrap_err().to_string();
        assert!(error.contains("`v0`, `imagenet`, `cifar10`"), "{error}");
        let both = of(r#"{"auto_augment": "v0", "rand_augment": {"layers": 2, "magnitude": 9}}"#).unwrap();
        let message = both.validate().unwrap_err().to_string();
        assert!(message.contains("augmentation.auto_augment"), "{message}");
    }
}
