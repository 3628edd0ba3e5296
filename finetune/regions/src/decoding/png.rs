//! PNG: chunks are walked here, pixels come from the png crate row by row.

use png::{Decoder, DecodingError, Limits, Transformations};

use super::{Outline, PictureFormat, bytes_at, orientation};
use crate::Error;

const PNG: PictureFormat = PictureFormat::Png;
const SIGNATURE: usize = 8;

/// What the decoder may keep of chunks that are not pixels. Text and ICC profiles are not even inflated.
const CHUNK_BYTES: usize = 8 << 20;

/// Deflate packs at most 258 bytes into two bits.
const MOST_PACKED: u64 = 1032;

pub(super) fn outline(bytes: &[u8]) -> Result<Outline, Error> {
    let first = chunk(bytes, SIGNATURE)?;
    let header = match first {
        Some(Chunk { kind: b"IHDR", body, .. }) if body.len() == 13 => body,
        Some(Chunk { body, .. }) => {
            return Err(PNG.malformed(format!("the first chunk is no header ({} bytes)", body.len())));
        }
        None => return Err(PNG.truncated("no header")),
    };
    let mut orientation = 1;
    // EXIF may stand behind the pixels; a picture that is cut there is still described by what is left.
    let mut at = SIGNATURE;
    while let Ok(Some(Chunk { kind, body, next })) = chunk(bytes, at) {
        if kind == b"eXIf" {
            orientation = orientation::stated(body);
            break;
        }
        at = next;
    }
    let number = |at| u32::from_be_bytes(bytes_at(header, at).expect("13 bytes"));
    Ok(Outline { width: number(0), height: number(4), orientation })
}

pub(super) fn pixels(bytes: &[u8], outline: &Outline) -> Result<Vec<u8>, Error> {
    let (mut at, mut packed) = (SIGNATURE, 0);
    while let Some(Chunk { kind, body, next }) = chunk(bytes, at)? {
        packed += if kind == b"IDAT" { body.len() as u64 } else { 0 };
        at = next;
        if kind == b"IEND" {
            break;
        }
    }
    let mut decoder = Decoder::new_with_limits(std::io::Cursor::new(bytes), Limits { bytes: CHUNK_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes and low bit depths to 8 bits; of 16 bits the high byte.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(refusal)?;
    let info = reader.info();
    let raw = info.raw_row_length() as u64 * u64::from(info.height);
    if raw / MOST_PACKED > packed {
        return Err(PNG.truncated(format!("{packed} bytes of data for {} pixels", outline.pixels())));
    }
    let samples = reader.output_color_type().0.samples();
    let mut rgb = Vec::with_capacity(outline.rgb_len());
    if info.interlaced {
        let mut stored = vec![0; outline.pixels() * samples];
        reader.next_frame(&mut stored).map_err(refusal)?;
        append_rgb(&stored, samples, &mut rgb);
    } else {
        let mut row = vec![0; outline.width as usize * samples];
        while reader.read_row(&mut row).map_err(refusal)?.is_some() {
            append_rgb(&row, samples, &mut rgb);
        }
    }
    if rgb.len() != outline.rgb_len() {
        return Err(PNG.malformed(format!("{} bytes of pixels, not {}", rgb.len(), outline.rgb_len())));
    }
    Ok(rgb)
}

struct Chunk<'a> {
    kind: &'a [u8; 4],
    body: &'a [u8],
    next: usize,
}

/// The chunk at `at`; none at the end of the bytes.
fn chunk(bytes: &[u8], at: usize) -> Result<Option<Chunk<'_>>, Error> {
    if at == bytes.len() {
        return Ok(None);
    }
    let cut = || PNG.truncated("a chunk is cut");
    let length = u32::from_be_bytes(bytes_at(bytes, at).ok_or_else(cut)?) as usize;
    let kind = bytes.get(at + 4..at + 8).and_then(|kind| kind.try_into().ok()).ok_or_else(cut)?;
    let body = bytes.get(at + 8..at + 8 + length).ok_or_else(cut)?;
    let next = at + 12 + length;
    if next > bytes.len() {
        return Err(cut());
    }
    Ok(Some(Chunk { kind, body, next }))
}

/// Appends pixels of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) samples.
fn append_rgb(stored: &[u8], samples: usize, rgb: &mut Vec<u8>) {
    match samples {
        3 => rgb.extend_from_slice(stored),
        4 => stored.chunks_exact(4).for_each(|pixel| rgb.extend_from_slice(&pixel[..3])),
        _ => stored.chunks_exact(samples).for_each(|pixel| rgb.extend_from_slice(&[pixel[0]; 3])),
    }
}

fn refusal(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => PNG.io(&error),
        DecodingError::LimitsExceeded => PNG.unsupported(format!("a chunk of more than {CHUNK_BYTES} bytes")),
        other => PNG.malformed(other.to_string()),
    }
}
