//! GIF: the first frame on its canvas, as Pillow lays it.

use gif::{DecodeOptions, DecodingError, MemoryLimit};

use super::{Outline, PictureFormat, bytes_at};
use crate::Error;

const GIF: PictureFormat = PictureFormat::Gif;

/// What stands in front of the first frame's data.
struct FirstFrame {
    /// The screen, enlarged where the frame is larger.
    canvas: (u32, u32),
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    /// Whether it has one, of its own or of the screen.
    palette: bool,
    /// Where the frame's data begins.
    data: usize,
}

pub(super) fn outline(bytes: &[u8]) -> Result<Outline, Error> {
    let (width, height) = FirstFrame::find(bytes)?.canvas;
    Ok(Outline { width, height, orientation: 1 })
}

pub(super) fn pixels(bytes: &[u8], outline: &Outline) -> Result<Vec<u8>, Error> {
    let place = FirstFrame::find(bytes)?;
    let (_, packed) = sub_blocks(bytes, place.data + 1)?;
    let n = u64::from(place.width) * u64::from(place.height);
    // A code has two bits at least and stands for 4,096 pixels at most.
    if n / 4096 > 4 * packed as u64 {
        return Err(GIF.truncated(format!("{packed} bytes of data for {n} pixels")));
    }
    let mut options = DecodeOptions::new();
    options.set_memory_limit(MemoryLimit::Unlimited); // the pixels are counted already
    options.allow_unknown_blocks(true);
    let mut with_palette = Vec::new();
    if !place.palette {
        // The decoder insists on one.
        with_palette.extend_from_slice(&bytes[..13]);
        with_palette[10] |= 0x87;
        with_palette.extend((0..=255).flat_map(|grey| [grey; 3]));
        with_palette.extend_from_slice(&bytes[13..]);
    }
    let bytes = if place.palette { bytes } else { &with_palette };
    let mut decoder = options.read_info(bytes).map_err(refusal)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(refusal)?.ok_or_else(|| GIF.truncated("no frame"))?;
    if (u32::from(frame.width), u32::from(frame.height)) != (place.width, place.height)
        || frame.buffer.len() as u64 != n
    {
        return Err(GIF.malformed("the frame is not where it should be"));
    }
    let colours = colours(frame.palette.as_deref().or(global.as_deref()));
    // Outside the frame Pillow shows the transparent colour, or the first one.
    let outside = colours[usize::from(frame.transparent.unwrap_or(0))];
    let mut rgb = outside.repeat(outline.pixels());
    let canvas_width = outline.width as usize;
    for (y, row) in frame.buffer.chunks_exact(place.width as usize).enumerate() {
        let start = 3 * ((place.top as usize + y) * canvas_width + place.left as usize);
        for (pixel, &index) in rgb[start..].chunks_exact_mut(3).zip(row) {
            pixel.copy_from_slice(&colours[usize::from(index)]);
        }
    }
    Ok(rgb)
}

impl FirstFrame {
    fn find(bytes: &[u8]) -> Result<Self, Error> {
        let cut = || GIF.truncated("no picture");
        let number = |at| bytes_at(bytes, at).map(|pair| u32::from(u16::from_le_bytes(pair))).ok_or_else(cut);
        let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 6 << (flags & 7) };
        let (screen_width, screen_height) = (number(6)?, number(8)?);
        let screen_flags = *bytes.get(10).ok_or_else(cut)?;
        let mut at = 13 + table(screen_flags);
        loop {
            match bytes.get(at).ok_or_else(cut)? {
                b'!' => at = sub_blocks(bytes, at + 2)?.0,
                b',' => break,
                b';' => return Err(GIF.malformed("it holds no picture")),
                // Pillow steps over stray bytes between blocks.
                _ => at += 1,
            }
        }
        let (left, top) = (number(at + 1)?, number(at + 3)?);
        let (width, height) = (number(at + 5)?, number(at + 7)?);
        if width == 0 || height == 0 {
            return Err(GIF.malformed(format!("a frame of {width} x {height} pixels")));
        }
        let flags = *bytes.get(at + 9).ok_or_else(cut)?;
        let data = at + 10 + table(flags);
        let palette = (flags | screen_flags) & 0x80 != 0;
        let canvas = (screen_width.max(left + width), screen_height.max(top + height));
        Ok(Self { canvas, left, top, width, height, palette, data })
    }
}

/// Steps over sub-blocks to where the next block begins; the bytes that they hold.
fn sub_blocks(bytes: &[u8], mut at: usize) -> Result<(usize, usize), Error> {
    let mut held = 0;
    loop {
        let length = usize::from(*bytes.get(at).ok_or_else(|| GIF.truncated("a block is cut"))?);
        at += 1 + length;
        held += length;
        if length == 0 {
            return Ok((at, held));
        }
    }
}

/// 256 colours. Indices behind the palette are black; without a palette, and with one that is the grey ramp, they are greys.
fn colours(palette: Option<&[u8]>) -> [[u8; 3]; 256] {
    let ramp = std::array::from_fn(|grey| [grey as u8; 3]);
    let Some(palette) = palette else { return ramp };
    let (given, _) = palette.as_chunks::<3>();
    if given.iter().zip(&ramp).all(|(colour, grey)| colour == grey) {
        return ramp;
    }
    std::array::from_fn(|index| given.get(index).copied().unwrap_or_default())
}

fn refusal(error: DecodingError) -> Error {
    match error {
        DecodingError::Io(error) => GIF.io(&error),
        DecodingError::UnexpectedEof => GIF.truncated("the data ends early"),
        other => GIF.malformed(other.to_string()),
    }
}
