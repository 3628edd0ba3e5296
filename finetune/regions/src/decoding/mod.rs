//! Bytes to 8-bit RGB, as Pillow's `Image.open(...).convert("RGB")` after `ImageOps.exif_transpose`.
//!
//! * The format is told by content, never by a name.
//! * The size is read and checked before a pixel is allocated. Simple lies (a header that promises more than the bytes
//!   can hold, a file cut short) are found before that, too.
//! * As in Pillow alpha is dropped, grey is replicated, ICC profiles are not applied, animations give their first frame.
//!
//! Departures from Pillow, all on purpose:
//! * 16-bit grey keeps its high byte, as Pillow does for all other 16-bit kinds; Pillow itself clips it at 255, which turns
//!   nearly every such picture white.
//! * A JPEG whose data ends early in front of an end marker, or a PNG whose compressed rows run out, is truncated; Pillow
//!   fills the rest with grey or black.
//! * Orientation is read from EXIF only, not from XMP.
//! * No arithmetic-coded JPEG.

mod bmp;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod reader;
mod webp;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Error;

/// An upright picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `3 * width * height` bytes: red, green, blue, row by row from the top.
    pub rgb: Vec<u8>,
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// JPEG, baseline or progressive, Huffman coded.
    Jpeg,
    /// PNG, and the default picture of an APNG.
    Png,
    /// WebP, lossy, lossless or animated.
    WebP,
    /// GIF.
    Gif,
    /// Windows BMP.
    Bmp,
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureInfo {
    /// Pixels in a row, after orientation.
    pub width: u32,
    /// Rows, after orientation.
    pub height: u32,
    /// The format.
    pub format: PictureFormat,
    /// EXIF orientation, 1 to 8; 1 where there is none.
    pub orientation: u8,
}

/// What a picture may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Width times height. The default is what Pillow refuses: above 2 x `MAX_IMAGE_PIXELS` = 178,956,970.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 2 * 89_478_485 }
    }
}

/// Decodes a picture.
///
/// A panic inside a decoder comes back as [`Error::DecoderPanicked`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Picture, Error> {
    let format = PictureFormat::of(bytes)?;
    unwinding(format, || {
        let outline = format.outline(bytes)?;
        let Outline { width, height, orientation } = outline;
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(Error::TooLarge { format, width, height, max_pixels: limits.max_pixels });
        }
        let rgb = match format {
            PictureFormat::Jpeg => jpeg::pixels(bytes, &outline),
            PictureFormat::Png => png::pixels(bytes, &outline),
            PictureFormat::WebP => webp::pixels(bytes, &outline),
            PictureFormat::Gif => gif::pixels(bytes, &outline),
            PictureFormat::Bmp => bmp::pixels(bytes, &outline),
        }?;
        Ok(orientation::upright(Picture { width, height, rgb }, orientation))
    })
}

/// Reads the header only. The rest of the bytes may be missing or wrong.
pub fn probe(bytes: &[u8]) -> Result<PictureInfo, Error> {
    let format = PictureFormat::of(bytes)?;
    unwinding(format, || {
        let Outline { width, height, orientation } = format.outline(bytes)?;
        let (width, height) = if orientation >= 5 { (height, width) } else { (width, height) };
        Ok(PictureInfo { width, height, format, orientation })
    })
}

impl Picture {
    /// `3 * width * height`.
    ///
    /// # Errors
    /// [`Error::Buffer`] where the pixels do not fit the size, or there are none.
    pub fn checked_len(&self) -> Result<usize, Error> {
        let expected = 3 * u64::from(self.width) * u64::from(self.height);
        let found = self.rgb.len() as u64;
        if expected == 0 || expected != found {
            return Err(Error::Buffer { width: self.width, height: self.height, expected, found });
        }
        Ok(self.rgb.len())
    }
}

impl PictureFormat {
    /// The format by its first bytes.
    fn of(bytes: &[u8]) -> Result<Self, Error> {
        Ok(match bytes {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'B', b'M', ..] => Self::Bmp,
            _ => return Err(Error::UnknownFormat { beginning: bytes[..bytes.len().min(12)].to_vec() }),
        })
    }

    fn outline(self, bytes: &[u8]) -> Result<Outline, Error> {
        let outline = match self {
            Self::Jpeg => jpeg::outline(bytes),
            Self::Png => png::outline(bytes),
            Self::WebP => webp::outline(bytes),
            Self::Gif => gif::outline(bytes),
            Self::Bmp => bmp::outline(bytes),
        }?;
        if outline.width == 0 || outline.height == 0 {
            return Err(self.malformed(format!("{} x {} pixels", outline.width, outline.height)));
        }
        Ok(outline)
    }

    fn truncated(self, problem: impl Into<String>) -> Error {
        Error::Truncated { format: self, problem: problem.into() }
    }

    fn malformed(self, problem: impl Into<String>) -> Error {
        Error::Malformed { format: self, problem: problem.into() }
    }

    fn unsupported(self, feature: impl Into<String>) -> Error {
        Error::Unsupported { format: self, feature: feature.into() }
    }

    /// The system's error of a reader over bytes in memory: it can only have run out of them.
    fn io(self, error: &std::io::Error) -> Error {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.truncated("the data ends early"),
            _ => self.malformed(error.to_string()),
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        })
    }
}

/// The stored size and how to turn it upright.
struct Outline {
    width: u32,
    height: u32,
    orientation: u8,
}

impl Outline {
    /// Bytes of RGB.
    fn rgb_len(&self) -> usize {
        self.pixels() * 3
    }

    fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// Decoders promise not to panic, and sometimes do.
fn unwinding<T>(format: PictureFormat, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Error::DecoderPanicked { format, message })
    })
}

/// `N` bytes at `at`, if there.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
