//! Crops told apart by a linear function of their pixels.

use std::path::Path;

use image::ImageFormat;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;

use super::Pixels;
use super::files::{layout, names};
use super::text_model::{Linear, Sparse, Training};
use crate::Error;

/// Sides to which crops are brought, in pixels; the best counts.
const SIDES: [u32; 2] = [12, 24];
const TRAININGS: [Training; 2] =
    [Training { epochs: 15, rate: 0.002, decay: 1e-3 }, Training { epochs: 15, rate: 0.0005, decay: 1e-2 }];

pub(super) fn measure(folder: &Path) -> Result<Pixels, Error> {
    let classes = names(&folder.join("crops/train"))?;
    let mut linear = 0.0f64;
    let mut sizes = (0, 0, 0.0);
    for side in SIDES {
        let train = crops(&folder.join("crops/train"), &classes, side)?;
        let asked = crops(&folder.join("crops/val"), &classes, side)?;
        let mut counts = vec![0usize; classes.len()];
        train.iter().for_each(|(_, class)| counts[*class] += 1);
        let majority = (0..classes.len()).max_by_key(|&class| counts[class]).unwrap_or_default();
        let share = |right: usize| right as f64 / asked.len().max(1) as f64;
        sizes =
            (train.len(), asked.len(), share(asked.iter().filter(|(_, class)| *class == majority).count()));
        let accuracies: Vec<f64> = TRAININGS
            .par_iter()
            .map(|&training| {
                let model = Linear::train(&train, (side * side * 3) as usize, classes.len(), training);
                share(asked.iter().filter(|(crop, class)| model.best(crop) == *class).count())
            })
            .collect();
        linear = accuracies.into_iter().fold(linear, f64::max);
    }
    let (train, asked, majority) = sizes;
    Ok(Pixels { classes: classes.len(), train, asked, majority, linear })
}

/// All crops of a split, brought to one size, each channel around nought.
fn crops(folder: &Path, classes: &[String], side: u32) -> Result<Vec<(Sparse, usize)>, Error> {
    let mut paths = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        let folder = folder.join(name);
        paths.extend(names(&folder)?.into_iter().map(|name| (folder.join(name), class)));
    }
    paths
        .par_iter()
        .map(|(path, class)| {
            let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
            let picture = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)
                .map_err(|error| layout(path, error.to_string()))?;
            let small = resize(&picture.to_rgb8(), side, side, FilterType::Triangle);
            let features = small.into_raw().into_iter().zip(0..);
            let features = features.map(|(value, at)| (at, (f32::from(value) - 128.0) / 64.0)).collect();
            Ok((features, *class))
        })
        .collect()
}
