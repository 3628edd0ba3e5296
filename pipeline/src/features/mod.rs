//! Ready region features: what people have on disk, found while planning and decoded row by row.

mod block;
mod bottomup_tsv;
mod boxes;
mod class_list;
mod flat_yaml;
mod geometry;
mod id_index;
mod layout;
mod lineidx;
mod lxmert_tsv;
mod object_labels;
mod oscar_tsv;
mod rows;
mod single_tsv;
mod torch_dict;
mod vinvl_tsv;
mod vqa_tsv;

pub use bottomup_tsv::BottomupTsv;
pub use geometry::position_numbers;
pub use lxmert_tsv::LxmertTsv;
pub use oscar_tsv::OscarTsv;
pub use torch_dict::TorchDict;
pub use vinvl_tsv::{VinvlPart, VinvlTsv};
pub use vqa_tsv::VqaTsv;

use std::path::PathBuf;

use data_specs::Picture;
use serde::{Deserialize, Serialize};

use crate::inputs::{Input, ScanContext, Span};
use crate::{Error, Reject, RejectReason};

/// A layout of feature files.
pub trait FeatureFormat: Send + Sync {
    /// Streams the files and reports each picture in file order, without decoding its numbers.
    ///
    /// # Errors
    /// A file that cannot be read, an index that does not fit its file, files that should go row by
    /// row and do not, features of no recognisable width or position order.
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error>;

    /// Decodes one picture from the bytes of its spans, in the order of the spans.
    ///
    /// Features come as f32, little-endian, `regions x layout.width`, the bytes of the source.
    ///
    /// # Errors
    /// The reason; the caller knows file, line and key.
    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason>;
}

/// What a scan finds.
#[derive(Debug, Clone, PartialEq)]
pub enum ScannedPicture {
    /// A picture with features.
    Record(PictureRecord),
    /// A line that cannot be one.
    Reject(Reject),
}

/// A picture, as planning sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// The id that the source gives.
    pub id: String,
    /// Data set within a composed corpus (`coco`, `flickr30k`, ...), if it is not the spec's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where its bytes are, in the order that the format's `decode` takes them.
    pub spans: Vec<Span>,
    /// Rows and columns of its feature block, where the container states them (torch tensors).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<[u32; 2]>,
}

/// A scan's summary.
#[derive(Debug, Clone, PartialEq)]
pub struct ScannedFeatures {
    /// The files in the order of their input indices.
    pub inputs: Vec<Input>,
    /// What all rows have in common, learned from the data.
    pub layout: FeatureLayout,
    /// What a user should know and may have overlooked (no class list beside the file, ...).
    pub warnings: Vec<String>,
    /// Optional files that were looked for and are not there. One that appears would change rows, so
    /// a build that goes on must know of it.
    pub absent: Vec<PathBuf>,
}

/// What all rows of an import have in common; part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureLayout {
    /// Numbers a region, position numbers not counted (2048 for the published features).
    pub width: u32,
    /// The order of the last two position numbers, if the features carry six of them.
    pub geometry: Option<GeometryOrder>,
}

/// The order in which an import writes the size of a region after its corners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeometryOrder {
    /// x1/W, y1/H, x2/W, y2/H, w/W, h/H: Oscar and most tools.
    WidthHeight,
    /// x1/W, y1/H, x2/W, y2/H, h/H, w/W: some VinVL exports.
    HeightWidth,
}

#[cfg(test)]
mod tests;
