//! Oscar's VQA feature files: `image_id, n, features`, with a map of byte offsets.

use std::path::{Path, PathBuf};

use data_specs::Picture;

use super::block::{RegionBlock, columns, number};
use super::geometry::picture_with_positions;
use super::id_index::{Counts, IdIndex};
use super::layout::LayoutSearch;
use super::single_tsv::scan_single_tsv;
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::Error;
use crate::inputs::ScanContext;
use crate::reject::RejectReason;

/// TSV `<split>_img_frcnn_feats.tsv`, one picture a line, three columns:
///
/// | column | content |
/// |---|---|
/// | `image_id` | the id, kept as text |
/// | n | regions |
/// | features | base64 of n x (D + 6) little-endian f32, the last six the position |
///
/// `<split>_img_frcnn_feats_offset_map.json` beside it (picture id to byte offset) is checked against
/// the file. The sizes of the pictures are not known, so there are positions but no pixel boxes.
#[derive(Debug, Clone)]
pub struct VqaTsv {
    /// The files, in order.
    pub paths: Vec<PathBuf>,
}

impl FeatureFormat for VqaTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut search = LayoutSearch::new(true);
        let mut inputs = Vec::new();
        for path in &self.paths {
            let input = context.first_input + inputs.len() as u16;
            let index = IdIndex::read(&offset_map(path), Counts::Bytes)?;
            inputs.push(scan_single_tsv(context, path, input, index, (&mut search, read_block), found)?);
        }
        let first = self.paths.first().map_or(Path::new("vqa-tsv"), PathBuf::as_path);
        Ok(ScannedFeatures::imported(inputs, search.finish(first)?, vec![]))
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        picture_with_positions(&record.id, read_block(&parts[0])?, layout, None, vec![])
    }
}

fn read_block(line: &[u8]) -> Result<RegionBlock, RejectReason> {
    let [_, regions, features] = columns::<3>(line)?;
    RegionBlock::from_base64(number(regions, "the count of regions")?, features)
}

fn offset_map(tsv: &Path) -> PathBuf {
    let mut name = tsv.file_stem().unwrap_or_default().to_os_string();
    name.push("_offset_map.json");
    tsv.with_file_name(name)
}
