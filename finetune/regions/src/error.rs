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
    /// A size, scale or share that cannot be used.
    #[error("cannot prepare pictures: {problem}")]
    Preparation {
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Error {
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
            Self::Preparation { .. } => "bad-preparation",
        }
    }
}
