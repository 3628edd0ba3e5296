//! Ready region features: what people have on disk, found while planning and decoded row by row.

mod block;
mod bottomup_tsv;
mod boxes;
mod class_list;
mod computed;
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
pub(crate) use computed::Computed;
pub use geometry::position_numbers;
pub use lxmert_tsv::LxmertTsv;
pub use oscar_tsv::OscarTsv;
pub use torch_dict::TorchDict;
pub use vinvl_tsv::{VinvlPart, VinvlTsv};
pub use vqa_tsv::VqaTsv;

pub(crate) use block::decode_base64;
pub(crate) use flat_yaml::read as read_flat_yaml;
pub(crate) use lineidx::LineIndex;
pub(crate) use rows::{LONGEST_ID, id as id_of_line};

use std::path::PathBuf;

use data_specs::Picture;
use serde::{Deserialize, Serialize};

use crate::inputs::{FolderStamp, Input, ScanContext, Span};
use crate::pictures::PictureFile;
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

    /// Whether two records that say they are one picture hold the same.
    fn are_equal(&self, layout: &FeatureLayout, one: Found<'_>, other: Found<'_>) -> bool {
        let one_picture = self.decode(layout, one.record, one.parts);
        let other_picture = self.decode(layout, other.record, other.parts);
        let (Ok(one_picture), Ok(mut other_picture)) = (one_picture, other_picture) else { return false };
        // Two spellings of one id are one picture: only what the rows hold decides.
        other_picture.image_id.clone_from(&one_picture.image_id);
        one_picture == other_picture
    }

    /// Gets ready to decode rows of a plan, or says why that is not possible here.
    ///
    /// # Errors
    /// Weights that cannot be read; another processor than the plan's.
    fn prepare(&self, _layout: &FeatureLayout) -> Result<(), Error> {
        Ok(())
    }

    /// Whether `decode` computes for long, alone on its thread, instead of reading numbers.
    fn computes(&self) -> bool {
        false
    }

    /// The picture itself as a file, where there is one.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    fn picture_file(&self, _parts: &[Vec<u8>]) -> Result<Option<PictureFile>, RejectReason> {
        Ok(None)
    }
}

/// A record with the bytes of its spans.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The record.
    pub record: &'a PictureRecord,
    /// In the order of its spans.
    pub parts: &'a [Vec<u8>],
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
    /// Folders whose listing decided which pictures there are.
    pub folders: Vec<FolderStamp>,
    /// Ids of pictures to leave out, and why.
    pub excluded: Vec<(String, String)>,
}

impl ScannedFeatures {
    /// The summary of an import that depends on its files alone.
    pub fn imported(inputs: Vec<Input>, layout: FeatureLayout, warnings: Vec<String>) -> ScannedFeatures {
        ScannedFeatures { inputs, layout, warnings, absent: vec![], folders: vec![], excluded: vec![] }
    }
}

/// What all rows of an import have in common; part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureLayout {
    /// Numbers a region, position numbers not counted (2048 for the published features).
    pub width: u32,
    /// The order of the last two position numbers, if the features carry six of them.
    pub geometry: Option<GeometryOrder>,
    /// What computes them, if they are not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<data_specs::Computed>,
}

impl FeatureLayout {
    /// The layout of features that are read.
    pub fn imported(width: u32, geometry: Option<GeometryOrder>) -> FeatureLayout {
        FeatureLayout { width, geometry, computed: None }
    }
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
