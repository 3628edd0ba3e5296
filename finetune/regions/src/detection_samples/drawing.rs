//! What chance changes about a picture and its boxes.

use super::settings::SampleSettings;
use crate::Error;
use crate::augmentation::geometry::mirror;
use crate::augmentation::{Draws, Occasion};
use crate::detector::TrainingPicture;
use crate::preparation::{Filter, Resize, resize};

/// A picture as it is shown at a position of an epoch: a function of (seed, epoch, position).
pub(super) fn changed(
    mut found: TrainingPicture,
    settings: &SampleSettings,
    seed: u64,
    epoch: u64,
    position: u64,
) -> Result<TrainingPicture, Error> {
    // Epochs beyond 2^32 would repeat the draws of earlier ones, long after any training.
    let mut draws = Draws::new(Occasion { seed, epoch: epoch as u32, picture: position });
    if draws.happens(settings.flip) {
        mirror(&mut found.picture);
        let width = found.picture.width as f32;
        for [x1, _, x2, _] in &mut found.boxes {
            (*x1, *x2) = (width - *x2, width - *x1);
        }
    }
    if !settings.short_sides.is_empty() {
        let short = settings.short_sides[draws.below(settings.short_sides.len())];
        let how = Resize::ShortSide { short, long_at_most: settings.long_side };
        let resized = resize(&found.picture, how, Filter::Bilinear)?;
        let wider = resized.width as f32 / found.picture.width as f32;
        let higher = resized.height as f32 / found.picture.height as f32;
        for [x1, y1, x2, y2] in &mut found.boxes {
            (*x1, *x2) = (*x1 * wider, (*x2 * wider).min(resized.width as f32));
            (*y1, *y2) = (*y1 * higher, (*y2 * higher).min(resized.height as f32));
        }
        found.picture = resized;
    }
    Ok(found)
}
