//! What a row of a shard keeps of its picture.

use super::joined::blank;
use crate::decoding::{Limits, Picture, decode};

/// The pixels of a row's picture: those that the row keeps, or grey ones of its size; none where it has neither. What is
/// kept may be a smaller copy.
pub fn kept_pixels(picture: &data_specs::Picture) -> Option<Picture> {
    let kept = picture.image.as_ref().and_then(|image| image.bytes.as_ref());
    if let Some(pixels) = kept.and_then(|bytes| decode(bytes, &Limits::default()).ok()) {
        return Some(pixels);
    }
    let (width, height) = (picture.width?, picture.height?);
    (u64::from(width) * u64::from(height) <= Limits::default().max_pixels).then(|| blank(width, height))
}
