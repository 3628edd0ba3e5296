//! Rows that do not reach a shard: kept as data, so that every row of every input has one known end.

use serde::{Deserialize, Serialize};

/// Why one row (or one text) is not in a shard, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// What happened to it; only [`Outcome::Rejected`] is bad news.
    pub outcome: Outcome,
    /// Whether a whole row or one text of a row was turned away.
    pub unit: Unit,
    /// Step of the work that decided.
    pub stage: Stage,
    /// The reason, from a closed list.
    pub code: Code,
    /// Source of the row (`coco`, ...).
    pub source: String,
    /// The input file, as the plan names it.
    pub file: String,
    /// 1-based line in that file, where lines make sense.
    pub line: Option<u64>,
    /// Row key or text id, as far as it could be read.
    pub key: String,
    /// What was found, in a sentence.
    pub message: String,
    /// Whether `pipeline retry` may cure it without new inputs.
    pub retryable: bool,
}

/// What became of a row that is in no shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Unusable.
    Rejected,
    /// Equal in key and content to a row that is in a shard.
    Deduplicated,
    /// Left out because the spec says so (exclusion list, split).
    Filtered,
}

/// What was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A picture or pair, with all that belongs to it.
    Row,
    /// One text; its row may be fine.
    Text,
}

/// The step of the build that turned something away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Finding records and their ids.
    Scan,
    /// Bringing texts and features together.
    Join,
    /// Reading a record's bytes.
    Read,
    /// Turning bytes into numbers and words.
    Decode,
}

/// The closed list of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A line has another number of columns than its format.
    WrongColumns,
    /// A number or a count cannot be read as one.
    BadNumber,
    /// Base64 with characters outside its alphabet or wrong padding.
    BadBase64,
    /// A vector, box or score block has another length than its count says.
    WrongLength,
    /// Feature width differs from the data set's.
    WrongWidth,
    /// NaN or infinity among the numbers.
    NonFinite,
    /// Boxes drawn in a picture of another shape.
    WrongSize,
    /// A box with x2 < x1 or y2 < y1, or outside any sensible range.
    BadBox,
    /// Position numbers that fit neither w,h nor h,w, or not the order of the data set.
    BoxOrder,
    /// Bytes that are not UTF-8.
    BadUtf8,
    /// A name that leads out of the archive it stands in.
    BadName,
    /// JSON that does not parse, or lacks a field.
    BadJson,
    /// A field that must not be empty is empty.
    EmptyField,
    /// The same id again with other content.
    DuplicateId,
    /// The same id again with the same content.
    Duplicate,
    /// A text whose picture is not there.
    NoPicture,
    /// A text whose picture has no features.
    NoFeatures,
    /// A picture without any text, where the spec joins texts.
    NoText,
    /// A question without its annotation, or the reverse.
    NoPartner,
    /// Files that should go row by row name different pictures.
    IdMismatch,
    /// A class id outside the class list.
    UnknownClass,
    /// A picture's file ends too early.
    PictureTruncated,
    /// A picture of more pixels than the limit, or whose file asks for too much.
    PictureTooLarge,
    /// A picture in a format, or a variant of one, that is not read.
    PictureUnsupported,
    /// A picture's file that breaks the rules of its format.
    PictureMalformed,
    /// Looks like a picture that is to be left out.
    NearDuplicate,
    /// On an exclusion list.
    Excluded,
    /// Of a split that the spec does not take.
    OtherSplit,
    /// The bytes could not be read.
    ReadFailed,
    /// A decoder failed in a way nobody foresaw; its message is kept.
    DecoderPanic,
}

impl Code {
    /// Every code, in the order of the list above.
    pub const ALL: [Code; 30] = [
        Code::WrongColumns,
        Code::BadNumber,
        Code::BadBase64,
        Code::WrongLength,
        Code::WrongWidth,
        Code::NonFinite,
        Code::WrongSize,
        Code::BadBox,
        Code::BoxOrder,
        Code::BadUtf8,
        Code::BadName,
        Code::BadJson,
        Code::EmptyField,
        Code::DuplicateId,
        Code::Duplicate,
        Code::NoPicture,
        Code::NoFeatures,
        Code::NoText,
        Code::NoPartner,
        Code::IdMismatch,
        Code::UnknownClass,
        Code::PictureTruncated,
        Code::PictureTooLarge,
        Code::PictureUnsupported,
        Code::PictureMalformed,
        Code::NearDuplicate,
        Code::Excluded,
        Code::OtherSplit,
        Code::ReadFailed,
        Code::DecoderPanic,
    ];

    /// What `pipeline retry` takes up: reasons that lie outside the data.
    pub fn is_retryable(self) -> bool {
        matches!(self, Code::ReadFailed)
    }
}

/// A reason without its place: what a decoder says, to which its caller adds file, line and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectReason {
    /// The reason, from the closed list.
    pub code: Code,
    /// What was found, in a sentence.
    pub message: String,
}

impl RejectReason {
    /// A reason with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> RejectReason {
        RejectReason { code, message: message.into() }
    }
}
