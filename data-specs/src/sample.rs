//! The sample: one picture (or one pair of pictures) with every text that belongs to it.
//!
//! A word-tag-region triple (w, q, v) of Oscar (Paper: 2004.06165, section 3) is one text of a
//! [`Sample`] together with the tags and the regions of its pictures, so features are stored once
//! however many texts there are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One row of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `<source>/<image id>`, or `<source>/<left id>|<right id>` for a pair; unique in a data set.
    pub key: String,
    /// The corpus that the row comes from (`coco`, `nlvr2`, ...).
    pub source: String,
    /// The split within the source (`train`, `val`, ...).
    pub split: String,
    /// One picture, or two in the order left, right.
    pub images: Vec<Picture>,
    /// Captions, questions and statements, in the order of their files. May be empty.
    pub texts: Vec<Text>,
    /// Canonical JSON of official fields of the row that have no column (a NoCaps domain, ...).
    pub extra: Option<String>,
}

/// A picture as the models see it: its regions, their vectors and their tags.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// The id that the source gives, as text.
    pub image_id: String,
    /// Pixels after EXIF orientation; `None` where the source does not know.
    pub width: Option<u32>,
    /// Pixels after EXIF orientation; `None` where the source does not know.
    pub height: Option<u32>,
    /// The encoded picture, by choice of the spec.
    pub image: Option<EncodedImage>,
    /// Number of regions n.
    pub regions: u32,
    /// n corner boxes (x1, y1, x2, y2) in absolute pixels.
    pub boxes: Option<Vec<[f32; 4]>>,
    /// n x D numbers, little-endian, row-major, in the data set's [`FeatureType`].
    pub features: Bytes,
    /// n x 6 position numbers, only where an import carried them: x1/W, y1/H, x2/W, y2/H, w/W, h/H.
    pub geometry: Option<Vec<[f32; 6]>>,
    /// Object tags of every origin, in the order of their source.
    pub tags: Vec<Tag>,
    /// Attributes of regions ("red", "wooden"), where the source has them.
    pub attributes: Vec<Tag>,
}

/// A picture file kept inside the row; the layout of the `Image` feature of Hugging Face `datasets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedImage {
    /// The encoded bytes (JPEG, PNG, ...).
    pub bytes: Option<Bytes>,
    /// The file it came from, relative to the picture source.
    pub path: Option<String>,
}

/// A word that somebody or some detector attached to a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// The class name as its source writes it.
    pub name: String,
    /// Confidence in 0..=1, if there is one.
    pub score: Option<f32>,
    /// Index of the region it belongs to, if tags and regions correspond.
    pub region: Option<i32>,
    /// Its own box (x1, y1, x2, y2) in pixels, if it does not belong to a region.
    pub rect: Option<[f32; 4]>,
    /// Where it comes from (`vg`, `openimages`, `annotated`, ...); a training configuration picks by it.
    pub origin: String,
}

/// A text that belongs to a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// The official id as text, unique among the texts of its source.
    pub id: String,
    /// What the text is.
    pub kind: TextKind,
    /// The text itself, as the source has it.
    pub text: String,
    /// Raw answers in official order (ten for VQA v2, one for GQA, none for captions).
    pub answers: Vec<Answer>,
    /// A class given by the source (NLVR2: 0 false, 1 true).
    pub label: Option<i32>,
    /// Canonical JSON of official fields that have no column (question type, groups, ...).
    pub extra: Option<String>,
}

/// What a [`Text`] is to its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextKind {
    /// A description.
    Caption,
    /// A question, with answers where they are known.
    Question,
    /// A sentence that is true or false of its pictures.
    Statement,
    /// A class name.
    Label,
}

/// One answer of an annotator, or one accepted answer with its soft score.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer as given, not normalised.
    pub text: String,
    /// Soft score in 0..=1 where the source carries one.
    pub score: Option<f32>,
}

/// How feature numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureType {
    /// 4-byte IEEE floats: the bytes of an import, so that its checksums hold.
    F32,
    /// 2-byte IEEE floats: half the space; each number rounded to nearest even.
    F16,
}

impl TextKind {
    /// The word stored in the shard.
    pub fn as_str(self) -> &'static str {
        match self {
            TextKind::Caption => "caption",
            TextKind::Question => "question",
            TextKind::Statement => "statement",
            TextKind::Label => "label",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<TextKind> {
        Some(match word {
            "caption" => TextKind::Caption,
            "question" => TextKind::Question,
            "statement" => TextKind::Statement,
            "label" => TextKind::Label,
            _ => return None,
        })
    }
}

impl FeatureType {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            FeatureType::F32 => 4,
            FeatureType::F16 => 2,
        }
    }
}
