//! BMP: the header is read here, pixels come from the image crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::{Outline, PictureFormat, bytes_at};
use crate::Error;

const BMP: PictureFormat = PictureFormat::Bmp;

struct Header {
    width: u32,
    height: u32,
    bits: u16,
    compression: u32,
    /// Where the pixels begin.
    data: u32,
}

pub(super) fn outline(bytes: &[u8]) -> Result<Outline, Error> {
    let Header { width, height, .. } = Header::read(bytes)?;
    Ok(Outline { width, height, orientation: 1 })
}

pub(super) fn pixels(bytes: &[u8], outline: &Outline) -> Result<Vec<u8>, Error> {
    let header = Header::read(bytes)?;
    // 1 and 2 are run-length codes; all others take the same room for every pixel.
    if !matches!(header.compression, 1 | 2) {
        let row = (u64::from(header.width) * u64::from(header.bits)).div_ceil(32) * 4;
        let needed = u64::from(header.data) + row * u64::from(header.height);
        if needed > bytes.len() as u64 {
            return Err(BMP.truncated(format!("{} bytes of {needed}", bytes.len())));
        }
    }
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(refusal)?;
    if decoder.dimensions() != (outline.width, outline.height) {
        return Err(BMP.malformed("two sizes in one header"));
    }
    let colours = decoder.color_type();
    if !matches!(colours, ColorType::Rgb8 | ColorType::Rgba8) {
        return Err(BMP.unsupported(format!("{colours:?} pixels")));
    }
    let samples = usize::from(colours.bytes_per_pixel());
    let mut rgb = vec![0; outline.pixels() * samples];
    decoder.read_image(&mut rgb).map_err(refusal)?;
    if samples == 4 {
        for pixel in 0..outline.pixels() {
            rgb.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
        }
        rgb.truncate(outline.rgb_len());
    }
    Ok(rgb)
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let cut = || BMP.truncated("the header is cut");
        let long = |at| bytes_at(bytes, at).map(u32::from_le_bytes).ok_or_else(cut);
        let short = |at| bytes_at(bytes, at).map(u16::from_le_bytes).ok_or_else(cut);
        let data = long(10)?;
        if long(14)? == 12 {
            let (width, height) = (u32::from(short(18)?), u32::from(short(20)?));
            return Ok(Self { width, height, bits: short(24)?, compression: 0, data });
        }
        let (width, height) = (long(18)?.cast_signed(), long(22)?.cast_signed());
        // A negative height means rows from the top.
        let (Ok(width), height) = (u32::try_from(width), height.unsigned_abs()) else {
            return Err(BMP.malformed(format!("{width} x {height} pixels")));
        };
        Ok(Self { width, height, bits: short(28)?, compression: long(30)?, data })
    }
}

fn refusal(error: ImageError) -> Error {
    match error {
        ImageError::IoError(error) => BMP.io(&error),
        ImageError::Unsupported(error) => BMP.unsupported(error.to_string()),
        other => BMP.malformed(other.to_string()),
    }
}
