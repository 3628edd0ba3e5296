//! WebP: chunks are walked here, pixels come from image-webp.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::{Outline, PictureFormat, bytes_at, orientation};
use crate::Error;

const WEBP: PictureFormat = PictureFormat::WebP;

/// Where the first chunk stands: behind `RIFF`, a length and `WEBP`.
const FIRST: usize = 12;

pub(super) fn outline(bytes: &[u8]) -> Result<Outline, Error> {
    let first = chunk(bytes, FIRST, bytes.len())?;
    let (width, height) = match first.kind {
        b"VP8X" => {
            let number =
                |at| bytes_at::<3>(first.body, at).map(|[a, b, c]| 1 + u32::from_le_bytes([a, b, c, 0]));
            number(4).zip(number(7)).ok_or_else(|| WEBP.truncated("no size"))?
        }
        _ => coded_size(&first)?,
    };
    let mut orientation = 1;
    let mut at = first.next;
    while let Ok(Chunk { kind, body, next, .. }) = chunk(bytes, at, bytes.len()) {
        if kind == b"EXIF" {
            // Some writers put JPEG's prefix in front.
            orientation = orientation::stated(body.strip_prefix(b"Exif\0\0").unwrap_or(body));
            break;
        }
        at = next;
    }
    Ok(Outline { width, height, orientation })
}

pub(super) fn pixels(bytes: &[u8], outline: &Outline) -> Result<Vec<u8>, Error> {
    let promised =
        u32::from_le_bytes(bytes_at(bytes, 4).ok_or_else(|| WEBP.truncated("no length"))?) as usize;
    let bytes = bytes
        .get(..promised.saturating_add(8))
        .ok_or_else(|| WEBP.truncated(format!("{} bytes of {promised}", bytes.len().saturating_sub(8))))?;
    check_frame(bytes, outline)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refusal)?;
    decoder.set_memory_limit(bytes.len());
    let size = decoder.output_buffer_size().ok_or_else(|| WEBP.malformed("the size overflows"))?;
    let mut rgb = vec![0; size];
    decoder.read_image(&mut rgb).map_err(refusal)?;
    if decoder.has_alpha() {
        for pixel in 0..outline.pixels() {
            rgb.copy_within(4 * pixel..4 * pixel + 3, 3 * pixel);
        }
        rgb.truncate(outline.rgb_len());
    }
    if rgb.len() != outline.rgb_len() {
        return Err(WEBP.malformed(format!("{} bytes of pixels, not {}", rgb.len(), outline.rgb_len())));
    }
    Ok(rgb)
}

struct Chunk<'a> {
    kind: &'a [u8; 4],
    body: &'a [u8],
    start: usize,
    next: usize,
}

/// The chunk at `at`, which must end at or before `end`.
fn chunk(bytes: &[u8], at: usize, end: usize) -> Result<Chunk<'_>, Error> {
    let cut = || WEBP.truncated("a chunk is cut");
    let bytes = bytes.get(..end).ok_or_else(cut)?;
    let kind = bytes.get(at..at + 4).and_then(|kind| kind.try_into().ok()).ok_or_else(cut)?;
    let length = u32::from_le_bytes(bytes_at(bytes, at + 4).ok_or_else(cut)?) as usize;
    let start = at + 8;
    // A header is read from a file that is cut behind it, too.
    let body = &bytes[start..bytes.len().min(start + length)];
    Ok(Chunk { kind, body, start, next: start + length + length % 2 })
}

/// The decoder allocates what the coded picture says, not what the canvas says: so they must agree first.
fn check_frame(bytes: &[u8], outline: &Outline) -> Result<(), Error> {
    let mut canvas = (outline.width, outline.height);
    let (mut at, mut end) = (FIRST, bytes.len());
    while at < end {
        let found = chunk(bytes, at, end)?;
        if found.start + found.body.len() > end || found.next > end + 1 {
            return Err(WEBP.truncated("a chunk is cut"));
        }
        match found.kind {
            b"VP8 " | b"VP8L" => {
                let coded = coded_size(&found)?;
                if coded != canvas {
                    let problem =
                        format!("coded {} x {}, said to be {} x {}", coded.0, coded.1, canvas.0, canvas.1);
                    return Err(WEBP.malformed(problem));
                }
                return Ok(());
            }
            b"ANMF" => {
                let number =
                    |at| bytes_at::<3>(found.body, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]));
                let (Some(left), Some(top), Some(width), Some(height)) =
                    (number(0), number(3), number(6), number(9))
                else {
                    return Err(WEBP.truncated("a frame is cut"));
                };
                let size = (width + 1, height + 1);
                if 2 * left + size.0 > canvas.0 || 2 * top + size.1 > canvas.1 {
                    return Err(WEBP.malformed("a frame reaches out of the canvas"));
                }
                canvas = size;
                (at, end) = (found.start + 16, found.start + found.body.len());
            }
            _ => at = found.next,
        }
    }
    Err(WEBP.malformed("it holds no picture"))
}

/// The size that the first bytes of a lossy or lossless picture state.
fn coded_size(chunk: &Chunk<'_>) -> Result<(u32, u32), Error> {
    let cut = || WEBP.truncated("no size");
    match chunk.kind {
        b"VP8 " => {
            let number =
                |at| bytes_at(chunk.body, at).map(|pair| u32::from(u16::from_le_bytes(pair) & 0x3fff));
            Ok((number(6).ok_or_else(cut)?, number(8).ok_or_else(cut)?))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(bytes_at(chunk.body, 1).ok_or_else(cut)?);
            Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        other => Err(WEBP.malformed(format!("no picture in chunk {:?}", String::from_utf8_lossy(other)))),
    }
}

fn refusal(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => WEBP.io(&error),
        DecodingError::UnsupportedFeature(feature) => WEBP.unsupported(feature),
        other => WEBP.malformed(other.to_string()),
    }
}
