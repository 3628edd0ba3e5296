use std::path::PathBuf;

use crate::decoding::PictureFormat;

/// What can be wrong with a picture, or with what is asked of it.
///
/// Messages do not name the file: whoever has the bytes knows where they come from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes begin like no format that is read here.
    #[error(
        "not a JPEG, PNG, WebP, GIF or BMP picture: it begins with {beginning:02x?}; convert it, or leave it out"
    )]
    UnknownFormat {
        /// The first bytes, at most 12.
        beginning: Vec<u8>,
    },
    /// The bytes end before the picture does.
    #[error("{format} picture is truncated: {problem}; fetch it again")]
    Truncated {
        /// The format.
        format: PictureFormat,
        /// What is missing.
        problem: String,
    },
    /// More pixels than the limit, said by the header; nothing was decoded.
    #[error(
        "{format} picture of {width} x {height} pixels is over the limit of {max_pixels}; raise the limit if it is meant"
    )]
    TooLarge {
        /// The format.
        format: PictureFormat,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },
    /// A valid picture of a kind that is not read here.
    #[error("{format} picture cannot be read: {feature} is not supported; convert it")]
    Unsupported {
        /// The format.
        format: PictureFormat,
        /// What is not supported.
        feature: String,
    },
    /// The bytes contradict the format.
    #[error("{format} picture is malformed: {problem}")]
    Malformed {
        /// The format.
        format: PictureFormat,
        /// The contradiction.
        problem: String,
    },
    /// A decoder panicked. The picture is refused, the process goes on.
    #[error("{format} decoder panicked: {message}")]
    DecoderPanicked {
        /// The format.
        format: PictureFormat,
        /// The panic's message.
        message: String,
    },
    /// A picture whose pixel buffer does not fit its size, or has no pixels.
    #[error("a picture of {width} x {height} needs {expected} bytes of RGB, not {found}")]
    Buffer {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// 3 x width x height.
        expected: u64,
        /// What was given.
        found: u64,
    },
    /// The backbone refused.
    #[error(transparent)]
    Backbone(#[from] finetune_backbones::Error),
    /// A kernel refused.
    #[error(transparent)]
    Kernel(#[from] pretrain_kernels::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A data set that a detector cannot learn from.
    #[error("{path}: {what}; {hint}", path = path.display())]
    Samples {
        /// The data set or its shard.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A setting of a detector or of its training that cannot be used.
    #[error("{key} {problem}")]
    Setting {
        /// Section and key.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file of a detector that is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    Detector {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A training that has come to nothing, for the reason of the picture that it names.
    #[error("{picture}: {problem}")]
    Sample {
        /// The picture, as its source calls it.
        picture: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Optimiser, checkpoints, settings, figures.
    #[error(transparent)]
    Training(#[from] pretrain_training::Error),
    /// A file or a data set that cannot be read or written.
    #[error(transparent)]
    Data(#[from] data_specs::Error),
    /// The ranks did not come together.
    #[error(transparent)]
    Ranks(#[from] pretrain_comm::Error),
    /// A size, scale or share that cannot be used.
    #[error("cannot prepare pictures: {problem}")]
    Preparation {
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Error {
    pub(crate) fn setting(key: &'static str, problem: String) -> Self {
        Self::Setting { key, problem }
    }

    /// Whether it is only what a rank says when another one has failed.
    pub fn is_echo(&self) -> bool {
        matches!(self, Self::Ranks(_) | Self::Training(pretrain_training::Error::Ranks(_)))
    }

    /// The reason as a reject row carries it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Truncated { .. } => "truncated",
            Self::TooLarge { .. } => "too-large",
            Self::Unsupported { .. } => "unsupported",
            Self::Malformed { .. } => "malformed",
            Self::DecoderPanicked { .. } => "decoder-panicked",
            Self::Buffer { .. } => "bad-buffer",
            Self::Backbone(_) | Self::Kernel(_) | Self::Tensor(_) => "backbone",
            Self::Setting { .. } | Self::Detector { .. } => "detector",
            Self::Data(_) | Self::Sample { .. } | Self::Samples { .. } => "bad-data",
            Self::Training(_) | Self::Ranks(_) => "training",
            Self::Preparation { .. } => "bad-preparation",
        }
    }
}
