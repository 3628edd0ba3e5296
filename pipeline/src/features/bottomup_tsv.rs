//! Anderson's bottom-up attention files: `image_id, image_w, image_h, num_boxes, boxes, features`.

use std::path::{Path, PathBuf};

use data_specs::Picture;

use super::block::{RegionBlock, columns, f32_rows, number, pixels};
use super::boxes::check_boxes;
use super::layout::LayoutSearch;
use super::single_tsv::scan_single_tsv;
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::Error;
use crate::inputs::ScanContext;
use crate::reject::RejectReason;

/// TSV of bottom-up attention, one picture a line, six columns:
///
/// | column | content |
/// |---|---|
/// | `image_id` | the id, kept as text |
/// | `image_w`, `image_h` | pixels; width first |
/// | `num_boxes` | n |
/// | `boxes` | base64 of n x 4 little-endian f32, corners in pixels |
/// | `features` | base64 of n x D little-endian f32 |
///
/// Regions stay in file order, which for 10 to 100 boxes is the order of proposals, not of
/// confidence: the first 50 are not the 50 best.
#[derive(Debug, Clone)]
pub struct BottomupTsv {
    /// The files, in order; a set is often published in several.
    pub paths: Vec<PathBuf>,
}

impl FeatureFormat for BottomupTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut search = LayoutSearch::new(false);
        let mut inputs = Vec::new();
        for path in &self.paths {
            let input = context.first_input + inputs.len() as u16;
            inputs.push(scan_single_tsv(context, path, input, None, (&mut search, read_block), found)?);
        }
        let first = self.paths.first().map_or(Path::new("bottomup-tsv"), PathBuf::as_path);
        Ok(ScannedFeatures::imported(inputs, search.finish(first)?, vec![]))
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let [_, width, height, regions, boxes, features] = columns::<6>(&parts[0])?;
        let (width, height) = (pixels(width, "image_w")?, pixels(height, "image_h")?);
        let regions = number(regions, "num_boxes")?;
        let boxes = f32_rows::<4>(boxes, regions, "boxes")?;
        check_boxes(&boxes, Some([width as f32, height as f32]))?;
        Ok(Picture {
            image_id: record.id.clone(),
            width: Some(width),
            height: Some(height),
            regions,
            boxes: Some(boxes),
            features: RegionBlock::from_base64(regions, features)?.into_features(layout.width)?,
            ..Picture::default()
        })
    }
}

fn read_block(line: &[u8]) -> Result<RegionBlock, RejectReason> {
    let [.., regions, _, features] = columns::<6>(line)?;
    RegionBlock::from_base64(number(regions, "num_boxes")?, features)
}
