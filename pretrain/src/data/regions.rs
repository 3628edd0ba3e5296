//! Vectors of regions: D numbers of the picture's features, and six of the place.

use data_specs::{FeatureInfo, FeatureType, Picture};
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::model::RegionGeometry;

/// Numbers that the place adds to a vector.
pub const PLACE_NUMBERS: usize = 6;

/// Appends the first regions of a picture to `into` as f32, D + 6 numbers each, until `features` is used up.
///
/// `features` are little-endian numbers as stored, D a region; the place numbers are the imported ones where there are some.
///
/// # Errors
/// What is missing where the picture has neither them nor boxes with its size.
pub fn append(
    picture: &Picture,
    features: &[u8],
    info: FeatureInfo,
    geometry: RegionGeometry,
    into: &mut Vec<f32>,
) -> Result<(), &'static str> {
    let width = info.width as usize;
    let row_bytes = width * info.dtype.size();
    let n_regions = features.len().checked_div(row_bytes).unwrap_or_default();
    let mut halves = Vec::with_capacity(width);
    let places = Places::of(picture)?;
    into.reserve(n_regions * (width + PLACE_NUMBERS));
    for (region, row) in features.chunks_exact(row_bytes.max(1)).enumerate() {
        match info.dtype {
            FeatureType::F32 => {
                let (numbers, _) = row.as_chunks::<4>();
                into.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            FeatureType::F16 => {
                let (numbers, _) = row.as_chunks::<2>();
                halves.clear();
                halves.extend(numbers.iter().map(|bytes| f16::from_le_bytes(*bytes)));
                let first = into.len();
                into.resize(first + width, 0.0);
                halves.convert_to_f32_slice(&mut into[first..]);
            }
        }
        let [x1, y1, x2, y2, w, h] = places.of_region(region);
        match geometry {
            RegionGeometry::Wh => into.extend_from_slice(&[x1, y1, x2, y2, w, h]),
            RegionGeometry::Hw => into.extend_from_slice(&[x1, y1, x2, y2, h, w]),
        }
    }
    Ok(())
}

/// Where the six numbers come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Places<'a> {
    Imported(&'a [[f32; 6]]),
    Boxes { boxes: &'a [[f32; 4]], width: f32, height: f32 },
}

impl<'a> Places<'a> {
    /// Fails with what is missing.
    pub(super) fn of(picture: &'a Picture) -> Result<Places<'a>, &'static str> {
        if picture.regions == 0 {
            return Ok(Places::Imported(&[]));
        }
        if let Some(geometry) = &picture.geometry {
            return Ok(Places::Imported(geometry));
        }
        let Some(boxes) = &picture.boxes else { return Err("has regions, but neither boxes nor geometry") };
        match (picture.width, picture.height) {
            (Some(width), Some(height)) if width > 0 && height > 0 => {
                Ok(Places::Boxes { boxes, width: width as f32, height: height as f32 })
            }
            _ => Err("has boxes in pixels, but not the size of the picture"),
        }
    }

    /// x1/W, y1/H, x2/W, y2/H, w/W, h/H (Paper: 2004.06165, section 3). Sizes are differences in pixels, divided once: this
    /// form gives the bits of published features, others round otherwise.
    fn of_region(self, region: usize) -> [f32; 6] {
        match self {
            Places::Imported(geometry) => geometry[region],
            Places::Boxes { boxes, width, height } => {
                let [x1, y1, x2, y2] = boxes[region];
                [x1 / width, y1 / height, x2 / width, y2 / height, (x2 - x1) / width, (y2 - y1) / height]
            }
        }
    }
}
