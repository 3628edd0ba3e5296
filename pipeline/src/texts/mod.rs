//! Captions, questions and statements: found once while planning, read back when their row is built.
//!
//! A format streams its files and reports every record with the picture it belongs to and the byte
//! spans it lies in; the index that the plan keeps is therefore small (ids and spans, no text).

mod coco;
mod flickr_token;
mod gqa;
mod karpathy;
mod nlvr2;
mod oscar_captions;
mod oscar_plus;
mod partners;
mod question_lists;
#[cfg(test)]
pub(crate) mod real_files;
pub(crate) mod record;
pub(crate) mod scan;
mod table;
mod torch_captions;
#[cfg(test)]
mod trial;
mod vg_qa;
mod vg_regions;
mod vqa;
mod webdataset;

pub use coco::Coco;
pub(crate) use coco::FileNames;
pub use flickr_token::FlickrToken;
pub use gqa::Gqa;
pub use karpathy::Karpathy;
pub use nlvr2::Nlvr2;
pub use oscar_captions::OscarCaptions;
pub use oscar_plus::{CorpusImage, OscarPlus, QaFile};
pub use question_lists::QuestionList;
pub use table::Table;
pub use torch_captions::TorchCaptions;
pub use vg_qa::VgQa;
pub use vg_regions::VgRegions;
pub use vqa::Vqa;
pub use webdataset::WebdatasetTexts;

use data_specs::Text;
use serde_json::{Map, Value};

use crate::inputs::{Input, ScanContext, Span};
use crate::{Error, Reject, RejectReason};

/// A layout of text files.
pub trait TextFormat: Send + Sync {
    /// Streams the files of this source and reports each record in file order.
    ///
    /// Returns the files in the order of their input indices, `context.first_input` being the first.
    ///
    /// # Errors
    /// A file that cannot be read, or whose outermost shape is not that of the format.
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error>;

    /// Reads the texts of a record from the bytes of its spans, in the order of the spans.
    ///
    /// A text is stored as its source has it; only one end of line behind it is dropped.
    ///
    /// # Errors
    /// The reason why the whole record is unusable; the caller knows file, line and key.
    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason>;
}

/// What a scan finds.
#[derive(Debug, Clone, PartialEq)]
pub enum ScannedText {
    /// A usable record.
    Record(TextRecord),
    /// A record that names no picture, or cannot be read.
    Reject(Reject),
}

/// A record of a text file, as planning sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TextRecord {
    /// The picture(s) it belongs to: one id, or the ids of left and right.
    pub images: Vec<String>,
    /// Id of the record, unique in its format; the text id where a record holds one text.
    pub id: String,
    /// Split that the file itself gives (Karpathy's json), as the file writes it.
    pub split: Option<String>,
    /// Texts in it: 1 for most, 5 for a picture of Karpathy's json, 50 for one of Visual
    /// Genome, 0 for a record of picture fields.
    pub texts: u32,
    /// Where its bytes are: one span, or question and annotation.
    pub spans: Vec<Span>,
}

/// The bytes of one span of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where they are; makes an id where the record has none of its own.
    pub span: Span,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// What the bytes of one record say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ParsedTexts {
    /// The texts of the record, in file order.
    pub texts: Vec<Text>,
    /// Texts of a record with several that cannot be used, though the others can.
    pub rejected: Vec<RejectedText>,
    /// Official fields that belong to the picture, not to a text (a NoCaps domain, ...).
    pub row_extra: Map<String, Value>,
}

/// One unusable text among others of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedText {
    /// The text's id, as far as it could be read.
    pub id: String,
    /// Why.
    pub reason: RejectReason,
}
