//! JPEG: markers are walked here, pixels come from zune-jpeg.
//!
//! ITU-T T.81. The walk finds size, orientation and colour space before any pixel memory is asked for, and whether the
//! picture reaches its end marker.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::reader::Reader;
use super::{Outline, PictureFormat, bytes_at, orientation};
use crate::Error;

const JPEG: PictureFormat = PictureFormat::Jpeg;

/// A progressive picture has about ten scans. Each costs a pass over the whole picture, however short its data.
const MAX_SCANS: usize = 100;

/// Adobe's markers for the two kinds of four components.
const ADOBE_CMYK: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
const ADOBE_YCCK: &[u8] = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x02";

/// What the markers up to the first scan say.
struct Header {
    width: u32,
    height: u32,
    orientation: u8,
    /// The ids of the components: 1, 3 or 4 of them.
    component_ids: Vec<u8>,
    jfif: bool,
    /// Adobe's colour transform.
    adobe: Option<u8>,
    progressive: bool,
    /// The start marker, and all segments that decoding needs: no applications' data, however much there is, no comments.
    tables: Vec<u8>,
    /// Where the first scan's marker stands.
    first_scan: usize,
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colours {
    Grey,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

pub(super) fn outline(bytes: &[u8]) -> Result<Outline, Error> {
    let Header { width, height, orientation, .. } = Header::read(bytes)?;
    Ok(Outline { width, height, orientation })
}

pub(super) fn pixels(bytes: &[u8], outline: &Outline) -> Result<Vec<u8>, Error> {
    let header = Header::read(bytes)?;
    let coded = Coded::walk(bytes, header.first_scan)?;
    // A block costs one bit at the very least.
    let blocks = u64::from(outline.width.div_ceil(8)) * u64::from(outline.height.div_ceil(8));
    if blocks > 8 * coded.bytes as u64 {
        return Err(JPEG.truncated(format!("{} bytes of data for {} pixels", coded.bytes, outline.pixels())));
    }
    let colours = header.colours();
    let mut stream = header.tables;
    match colours {
        // The decoder takes Adobe's transform for the colour space.
        Colours::Cmyk => stream.extend_from_slice(ADOBE_CMYK),
        Colours::Ycck => stream.extend_from_slice(ADOBE_YCCK),
        Colours::Grey | Colours::YCbCr | Colours::Rgb => {}
    }
    stream.extend_from_slice(&bytes[header.first_scan..coded.end]);
    if header.progressive || coded.scans > 1 {
        stream.extend_from_slice(&[0xff, 0xd9]);
    } else {
        // In front of an end marker the decoder takes missing bits for zeros, and fills the rest of the picture with
        // what they happen to mean. Without the marker it reports that the data is short. It reads less than 8 bytes
        // ahead, which have to be there.
        stream.extend_from_slice(&[0; 8]);
    }
    let out = match colours {
        Colours::Grey | Colours::YCbCr => ColorSpace::RGB,
        // The same space in and out: the components as they are stored.
        Colours::Rgb if header.component_ids == *b"RGB" => ColorSpace::RGB,
        Colours::Rgb => ColorSpace::YCbCr,
        Colours::Cmyk => ColorSpace::CMYK,
        Colours::Ycck => ColorSpace::YCCK,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(out);
    let mut decoder = JpegDecoder::new_with_options(Reader::new(&stream), options);
    let mut stored = decoder.decode().map_err(refusal)?;
    if matches!(colours, Colours::Cmyk | Colours::Ycck) {
        in_place_rgb(&mut stored, colours);
    }
    if stored.len() != outline.rgb_len() {
        let problem = format!("{} bytes of pixels, not {}", stored.len(), outline.rgb_len());
        return Err(JPEG.malformed(problem));
    }
    Ok(stored)
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut header = Self {
            width: 0,
            height: 0,
            orientation: 1,
            component_ids: Vec::new(),
            jfif: false,
            adobe: None,
            progressive: false,
            tables: vec![0xff, 0xd8],
            first_scan: 0,
        };
        let mut at = 2;
        loop {
            let (marker, body) = next_marker(bytes, at)?;
            if marker == 0xd9 {
                return Err(JPEG.malformed("the end marker stands before any scan"));
            }
            if marker == 0xda {
                if header.component_ids.is_empty() {
                    return Err(JPEG.malformed("a scan stands before the frame header"));
                }
                header.first_scan = body - 2;
                return Ok(header);
            }
            at = body;
            if marker == 0x01 || (0xd0..=0xd8).contains(&marker) {
                continue;
            }
            let segment = segment(bytes, body)?;
            at += 2 + segment.len();
            if !matches!(marker, 0xe0..=0xef | 0xfe) {
                header.tables.extend_from_slice(&[0xff, marker]);
                header.tables.extend_from_slice(&bytes[body..at]);
            }
            match marker {
                0xc0..=0xc2 => {
                    header.frame(segment)?;
                    header.progressive = marker == 0xc2;
                }
                0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                    return Err(
                        JPEG.unsupported(format!("lossless or hierarchical coding (marker ff{marker:02x})"))
                    );
                }
                0xc9 | 0xca => return Err(JPEG.unsupported("arithmetic coding")),
                0xe0 if segment.starts_with(b"JFIF\0") => header.jfif = true,
                0xe1 if header.orientation == 1 => {
                    if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
                        header.orientation = orientation::stated(exif);
                    }
                }
                0xee if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                    header.adobe = Some(segment[11]);
                }
                _ => {}
            }
        }
    }

    fn frame(&mut self, segment: &[u8]) -> Result<(), Error> {
        if !self.component_ids.is_empty() {
            return Err(JPEG.malformed("two frame headers"));
        }
        let [precision, h0, h1, w0, w1, n] =
            bytes_at(segment, 0).ok_or_else(|| JPEG.malformed("the frame header is too short"))?;
        if precision != 8 {
            return Err(JPEG.unsupported(format!("{precision} bits a sample")));
        }
        if !matches!(n, 1 | 3 | 4) {
            return Err(JPEG.unsupported(format!("{n} components")));
        }
        if segment.len() != 6 + 3 * usize::from(n) {
            return Err(
                JPEG.malformed(format!("a frame header of {} bytes for {n} components", segment.len()))
            );
        }
        self.height = u32::from(u16::from_be_bytes([h0, h1]));
        self.width = u32::from(u16::from_be_bytes([w0, w1]));
        self.component_ids = segment[6..].iter().step_by(3).copied().collect();
        Ok(())
    }

    /// As libjpeg tells colour spaces; but ids `RGB` count before a JFIF marker.
    fn colours(&self) -> Colours {
        match (self.component_ids.as_slice(), self.adobe) {
            ([_], _) => Colours::Grey,
            (b"RGB", _) => Colours::Rgb,
            ([_, _, _], Some(0)) if !self.jfif => Colours::Rgb,
            ([_, _, _], _) => Colours::YCbCr,
            (_, Some(0) | None) => Colours::Cmyk,
            _ => Colours::Ycck,
        }
    }
}

/// The marker at or after `at`, and where what follows it begins.
fn next_marker(bytes: &[u8], at: usize) -> Result<(u8, usize), Error> {
    let rest = bytes.get(at..).unwrap_or_default();
    for found in memchr::memchr_iter(0xff, rest) {
        match rest.get(found + 1) {
            Some(0x00 | 0xff) => {}
            Some(&marker) => return Ok((marker, at + found + 2)),
            None => break,
        }
    }
    Err(JPEG.truncated("no end marker"))
}

/// The segment whose length stands at `at`.
fn segment(bytes: &[u8], at: usize) -> Result<&[u8], Error> {
    let length =
        bytes_at(bytes, at).map(u16::from_be_bytes).ok_or_else(|| JPEG.truncated("a segment is cut"))?;
    if length < 2 {
        return Err(JPEG.malformed(format!("a segment of {length} bytes")));
    }
    bytes.get(at + 2..at + usize::from(length)).ok_or_else(|| JPEG.truncated("a segment is cut"))
}

/// The entropy-coded part.
struct Coded {
    scans: usize,
    bytes: usize,
    /// Where the end marker stands.
    end: usize,
}

impl Coded {
    /// Walks all scans to the end marker.
    fn walk(bytes: &[u8], mut at: usize) -> Result<Self, Error> {
        let (mut scans, mut coded) = (0, 0);
        loop {
            let (marker, body) = next_marker(bytes, at)?;
            at = body;
            match marker {
                0xd9 => return Ok(Self { scans, bytes: coded, end: body - 2 }),
                0x01 | 0xd0..=0xd8 => {}
                0xda => {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(JPEG.unsupported(format!("more than {MAX_SCANS} scans")));
                    }
                    let start = at + 2 + segment(bytes, body)?.len();
                    at = start;
                    loop {
                        let (marker, body) = next_marker(bytes, at)?;
                        if !(0xd0..=0xd7).contains(&marker) {
                            at = body - 2;
                            break;
                        }
                        at = body;
                    }
                    coded += at - start;
                }
                _ => at += 2 + segment(bytes, body)?.len(),
            }
        }
    }
}

/// Four stored components a pixel to three, as libjpeg and Pillow do it together: YCCK gives the complement of RGB,
/// all CMYK is taken to be stored inverted (Adobe's way), and a channel is `nk - c * nk / 255` with `nk = 255 - k`.
fn in_place_rgb(pixels: &mut Vec<u8>, colours: Colours) {
    let n = pixels.len() / 4;
    for pixel in 0..n {
        let stored: [u8; 4] = bytes_at(pixels, 4 * pixel).expect("4 n bytes");
        let not_black = stored[3];
        let inks = match colours {
            // Stored as 255 - ink.
            Colours::Cmyk => [255 - stored[0], 255 - stored[1], 255 - stored[2]],
            // Y, Cb, Cr hold the ink as if it were light.
            _ => ycc_to_rgb([stored[0], stored[1], stored[2]]),
        };
        for (channel, ink) in inks.into_iter().enumerate() {
            let rounded = u32::from(ink) * u32::from(not_black) + 128;
            let share = ((rounded + (rounded >> 8)) >> 8) as u8;
            pixels[3 * pixel + channel] = not_black.saturating_sub(share);
        }
    }
    pixels.truncate(3 * n);
}

/// JFIF 1.02: R = Y + 1.402 Cr, G = Y - 0.344136 Cb - 0.714136 Cr, B = Y + 1.772 Cb, in 16-bit fixed point.
fn ycc_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let red = y + ((91_881 * cr + half) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + half) >> 16);
    let blue = y + ((116_130 * cb + half) >> 16);
    [red, green, blue].map(|channel| channel.clamp(0, 255) as u8)
}

fn refusal(error: DecodeErrors) -> Error {
    match error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => JPEG.truncated("the data ends early"),
        DecodeErrors::FormatStatic("Premature end of buffer") => {
            JPEG.truncated("the data ends in front of its end marker")
        }
        other => JPEG.malformed(format!("{other:?}")),
    }
}
