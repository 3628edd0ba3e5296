//! The area under a class's precision and recall at an overlap above 0.5, by the rules of PASCAL VOC from 2010 on.
//!
//! Detectors on Visual Genome are told by its mean over classes, plain and weighted by how often a class occurs
//! (bottom-up attention: 10.2 and 15.1 %). Other than COCO's rule, a box is compared with the truth it overlaps most,
//! be that taken or not. Boxes are measured from edge to edge; VOC's own program counts one pixel more a side.

use rayon::prelude::*;

use super::{FoundBox, PictureBoxes, PooledScores, TrueBox, coco::surer};

/// A box is right above this overlap.
const OVERLAP: f64 = 0.5;

/// Over all classes that occur.
pub(super) fn measure(classes: usize, pictures: &[PictureBoxes]) -> PooledScores {
    let mut found: Vec<Vec<(usize, &FoundBox)>> = vec![Vec::new(); classes];
    let mut truths = vec![0usize; classes];
    for (number, picture) in pictures.iter().enumerate() {
        for one in &picture.found {
            if let Some(found) = found.get_mut(one.class) {
                found.push((number, one));
            }
        }
        for truth in picture.truths.iter().filter(|truth| !truth.crowd) {
            if let Some(truths) = truths.get_mut(truth.class) {
                *truths += 1;
            }
        }
    }
    let areas: Vec<(f64, usize)> = found
        .into_par_iter()
        .zip(truths)
        .filter(|(_, truths)| *truths > 0)
        .map(|(found, truths)| (area(found, truths, pictures), truths))
        .collect();
    if areas.is_empty() {
        return PooledScores { ap_50: None, weighted_ap_50: None };
    }
    let all: usize = areas.iter().map(|(_, truths)| truths).sum();
    let plain = areas.iter().map(|(area, _)| area).sum::<f64>() / areas.len() as f64;
    let weighted = areas.iter().map(|(area, truths)| area * *truths as f64).sum::<f64>() / all as f64;
    PooledScores { ap_50: Some(plain), weighted_ap_50: Some(weighted) }
}

fn area(mut found: Vec<(usize, &FoundBox)>, truths: usize, pictures: &[PictureBoxes]) -> f64 {
    found.sort_by(|(_, one), (_, other)| surer(one.score, other.score));
    let mut taken = rustc_hash::FxHashSet::default();
    let (mut right, mut wrong) = (0usize, 0usize);
    let mut points = Vec::with_capacity(found.len());
    for (picture, one) in found {
        let mut best: Option<(usize, f64)> = None;
        for (index, truth) in pictures[picture].truths.iter().enumerate() {
            let overlap = overlap(one.rect, truth);
            if truth.class == one.class && best.is_none_or(|(_, most)| overlap > most) {
                best = Some((index, overlap));
            }
        }
        match best.filter(|(_, overlap)| *overlap > OVERLAP) {
            Some((index, _)) if pictures[picture].truths[index].crowd => continue,
            Some((index, _)) if taken.insert((picture, index)) => right += 1,
            _ => wrong += 1,
        }
        points.push((right as f64 / truths as f64, right as f64 / (right + wrong) as f64));
    }
    let (mut area, mut best) = (0.0, 0.0f64);
    for index in (0..points.len()).rev() {
        let (recall, precision) = points[index];
        best = best.max(precision);
        let before = if index == 0 { 0.0 } else { points[index - 1].0 };
        area += (recall - before) * best;
    }
    area
}

fn overlap([x, y, width, height]: [f64; 4], truth: &TrueBox) -> f64 {
    let [true_x, true_y, true_width, true_height] = truth.rect;
    let wide = ((x + width).min(true_x + true_width) - x.max(true_x)).max(0.0);
    let high = ((y + height).min(true_y + true_height) - y.max(true_y)).max(0.0);
    let both = wide * high;
    let all = width * height + true_width * true_height - both;
    if all > 0.0 { both / all } else { 0.0 }
}
