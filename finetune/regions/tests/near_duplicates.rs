//! Fingerprints of real pictures: the same one in other clothes is near, every other one is far.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the report, and figures are"
)]

use std::io::Cursor;
use std::path::PathBuf;

use finetune_regions::Fingerprint;
use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::preparation::{Filter, Resize, resize};
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

/// The 40 real pictures, where they are.
fn pictures() -> Option<Vec<(String, Picture)>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf();
    let beside = root.parent().unwrap().join("shared/data");
    let data = std::env::var_os("OSCAR_REFERENCE_DATA").map_or(beside, PathBuf::from);
    let folder = data.join("coco_mini/images");
    if !folder.is_dir() {
        println!("skipped: no reference data");
        return None;
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, decode(&std::fs::read(path).unwrap(), &Limits::default()).unwrap())
    };
    Some(files.into_iter().map(read).collect())
}

fn fingerprint(picture: &Picture) -> Fingerprint {
    Fingerprint::of(picture).unwrap()
}

fn as_jpeg(picture: &Picture, quality: u8) -> Picture {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.write_image(&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8).unwrap();
    decode(&bytes, &Limits::default()).unwrap()
}

fn as_webp(picture: &Picture) -> Picture {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone()).unwrap();
    picture.write_to(&mut Cursor::new(&mut bytes), ImageFormat::WebP).unwrap();
    decode(&bytes, &Limits::default()).unwrap()
}

#[test]
fn the_same_picture_is_near_and_others_are_far() {
    let Some(pictures) = pictures() else { return };
    let sized =
        |picture: &Picture, short, filter| resize(picture, Resize::ShortSideOnly { short }, filter).unwrap();
    let mut furthest_copy = 0;
    for (name, picture) in &pictures {
        let own = fingerprint(picture);
        let small = sized(picture, 160, Filter::Bilinear);
        let copies = [
            ("shrunk to 160", small.clone()),
            ("stretched to 900", sized(picture, 900, Filter::Bicubic)),
            ("quality 30", as_jpeg(picture, 30)),
            ("quality 75", as_jpeg(picture, 75)),
            ("shrunk to 160 at quality 50", as_jpeg(&small, 50)),
            ("WebP", as_webp(picture)),
            (
                "brighter",
                Picture { rgb: picture.rgb.iter().map(|one| one.saturating_add(16)).collect(), ..*picture },
            ),
        ];
        for (change, copy) in &copies {
            let distance = own.distance(fingerprint(copy));
            furthest_copy = furthest_copy.max(distance);
            assert!(own.is_near(fingerprint(copy)), "{name} {change}: {distance}");
        }
        assert_eq!(own.distance(fingerprint(&copies[5].1)), 0, "{name}: WebP is lossless here");
    }
    let mut pairs: Vec<u32> = Vec::new();
    for (at, (_, one)) in pictures.iter().enumerate() {
        pairs.extend(pictures[..at].iter().map(|(_, other)| fingerprint(one).distance(fingerprint(other))));
    }
    pairs.sort_unstable();
    println!(
        "copies: at most {furthest_copy} bits; {} pairs of others: {} to {} bits, median {}",
        pairs.len(),
        pairs[0],
        pairs[pairs.len() - 1],
        pairs[pairs.len() / 2]
    );
    assert_eq!(pairs.len(), pictures.len() * (pictures.len() - 1) / 2);
    assert!(pairs[0] >= 2 * Fingerprint::NEAR, "two different pictures are {} bits apart", pairs[0]);
}
