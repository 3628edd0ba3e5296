//! Pixels against Pillow's (golden/pictures), and what is refused.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder, ImageFormat};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
    width: u32,
    height: u32,
    rgb: String,
}

fn bytes_of(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).unwrap()
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../../golden/pictures/cases.json")).unwrap()
}

fn case(name: &str) -> Vec<u8> {
    bytes_of(&cases().iter().find(|case| case.name == name).unwrap().file)
}

fn code(bytes: &[u8]) -> &'static str {
    decode(bytes, &Limits::default()).map_or_else(|error| error.code(), |_| "decoded")
}

/// A picture of one encoder of the image crate.
fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let rgb: Vec<u8> = (0..width * height).flat_map(|n| [(n % 251) as u8, (n / 7 % 256) as u8, 9]).collect();
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_raw(width, height, rgb).unwrap();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

#[test]
fn pixels_are_pillows() {
    // How far a channel may be off: lossy decoders differ in rounding, and 5 or 6 bits are widened in two ways.
    let tolerance = |name: &str| match name {
        _ if name.starts_with("jpeg-ycck") => 8, // twice rounded, on colours that no camera takes
        _ if name.starts_with("jpeg") => 4,
        _ if name.starts_with("webp") && name.contains("loss") && !name.contains("lossless") => 2,
        "bmp-16" | "bmp-16-565" => 1,
        _ => 0,
    };
    let mut off = Vec::new();
    for case in cases() {
        let bytes = bytes_of(&case.file);
        let got = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let info = probe(&bytes).unwrap();
        assert_eq!((info.width, info.height), (case.width, case.height), "{}", case.name);
        assert_eq!((got.width, got.height), (case.width, case.height), "{}", case.name);
        let wanted = bytes_of(&case.rgb);
        assert_eq!(got.rgb.len(), wanted.len(), "{}", case.name);
        let furthest = got.rgb.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if furthest > tolerance(&case.name) {
            off.push(format!("{}: {furthest}", case.name));
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

#[test]
fn probe_tells_format_and_orientation() {
    for (name, format, orientation) in [
        ("jpeg-orientation-5", PictureFormat::Jpeg, 5),
        ("png-orientation-6", PictureFormat::Png, 6),
        ("webp-orientation-8", PictureFormat::WebP, 8),
        ("gif", PictureFormat::Gif, 1),
        ("bmp-24", PictureFormat::Bmp, 1),
    ] {
        let info = probe(&case(name)).unwrap();
        assert_eq!((info.format, info.orientation), (format, orientation), "{name}");
    }
}

#[test]
fn cut_anywhere_is_never_a_picture() {
    // Trailers that carry nothing may be missing: PNG's end chunk, GIF's `;`, the zero padding of WebP and BMP.
    for (name, trailer) in [
        ("jpeg-420", 0),
        ("jpeg-progressive", 0),
        ("png-RGB", 12),
        ("png-interlaced-rgb", 12),
        ("webp-lossy", 0),
        ("webp-lossless", 0),
        ("webp-animated", 0),
        ("gif", 1),
        ("gif-inside", 1),
        ("bmp-24", 0),
    ] {
        let whole = case(name);
        for cut in 0..whole.len() - trailer {
            let error = decode(&whole[..cut], &Limits::default())
                .err()
                .unwrap_or_else(|| panic!("{name}: a picture from {cut} of {} bytes", whole.len()));
            let likely = matches!(error.code(), "truncated" | "unknown-format");
            assert!(likely, "{name}: {cut} of {} bytes: {error}", whole.len());
        }
    }
}

#[test]
fn half_of_a_jpeg_with_an_end_marker_is_truncated() {
    for name in ["jpeg-444", "jpeg-420", "jpeg-grey"] {
        let whole = case(name);
        let scan = memchr::memmem::find(&whole, b"\xff\xda").unwrap();
        let mut half = whole[..scan + (whole.len() - scan) / 3].to_vec();
        half.extend_from_slice(b"\xff\xd9");
        assert_eq!(code(&half), "truncated", "{name}");
    }
}

#[test]
fn only_by_content() {
    assert_eq!(code(b""), "unknown-format");
    assert_eq!(code(b"\x89PNG but no more"), "unknown-format");
    assert_eq!(code(b"%PDF-1.7 ............"), "unknown-format");
    assert_eq!(code(b"II*\0\x08\0\0\0\0\0\0\0\0\0"), "unknown-format");
    assert_eq!(code(b"RIFF\x10\0\0\0WAVEfmt "), "unknown-format");
}

#[test]
fn the_limit_counts_pixels() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
    {
        let bytes = encoded(20, 10, format);
        assert!(decode(&bytes, &Limits { max_pixels: 200 }).is_ok(), "{format:?}");
        let error = decode(&bytes, &Limits { max_pixels: 199 }).unwrap_err();
        assert!(matches!(error, Error::TooLarge { width: 20, height: 10, max_pixels: 199, .. }), "{error}");
    }
    assert_eq!(Limits::default().max_pixels, 178_956_970);
}

#[test]
fn kinds_that_are_not_read() {
    let jpeg = case("jpeg-444");
    let frame = memchr::memmem::find(&jpeg, b"\xff\xc0").unwrap();
    for (marker, offset, value, wanted) in [
        (0xc9, 0, None, "unsupported"),     // arithmetic
        (0xc3, 0, None, "unsupported"),     // lossless
        (0xc0, 4, Some(12), "unsupported"), // 12 bits a sample
        (0xc0, 9, Some(2), "unsupported"),  // two components
    ] {
        let mut bytes = jpeg.clone();
        bytes[frame + 1] = marker;
        if let Some(value) = value {
            bytes[frame + offset] = value;
        }
        assert_eq!(code(&bytes), wanted, "{marker:x} {offset}");
    }
}

#[test]
fn empty_sizes_are_malformed() {
    let mut jpeg = case("jpeg-444");
    let frame = memchr::memmem::find(&jpeg, b"\xff\xc0").unwrap();
    jpeg[frame + 5..frame + 7].fill(0);
    assert_eq!(code(&jpeg), "malformed");
    let mut bmp = case("bmp-24");
    bmp[18..22].fill(0);
    assert_eq!(code(&bmp), "malformed");
    bmp[18..22].copy_from_slice(&(-5_i32).to_le_bytes());
    assert_eq!(code(&bmp), "malformed");
}

#[test]
fn a_canvas_that_hides_a_larger_picture() {
    // VP8X says 21 x 17, the coded picture says more: refused before the decoder allocates for it.
    let mut bytes = case("webp-lossy-alpha");
    let coded = memchr::memmem::find(&bytes, b"VP8 ").unwrap();
    bytes[coded + 14..coded + 18].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert_eq!(code(&bytes), "malformed");
}

#[test]
fn a_panic_becomes_an_error() {
    let error = unwinding(PictureFormat::Gif, || -> Result<(), Error> { panic!("index {} of {}", 9, 3) })
        .unwrap_err();
    assert_eq!(error.code(), "decoder-panicked");
    assert_eq!(error.to_string(), "GIF decoder panicked: index 9 of 3");
}

#[test]
fn a_buffer_must_fit_its_picture() {
    let picture = Picture { width: 2, height: 2, rgb: vec![0; 11] };
    assert_eq!(picture.checked_len().unwrap_err().code(), "bad-buffer");
    assert!(Picture { width: 0, height: 2, rgb: vec![] }.checked_len().is_err());
}

#[test]
fn other_encoders() {
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let got = decode(&encoded(33, 9, format), &Limits::default()).unwrap();
        assert_eq!(got.rgb[3 * 32..3 * 33], [32, 4, 9], "{format:?}");
    }
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
    encoder.write_image(&[77; 64], 8, 8, ExtendedColorType::L8).unwrap();
    assert_eq!(decode(&jpeg, &Limits::default()).unwrap().rgb, [77; 192]);
}
