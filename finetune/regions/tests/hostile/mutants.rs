//! Mutants of good pictures: bits flipped, ends cut, parts copied, dropped and doubled, headers rewritten.

use std::io::Cursor;
use std::time::Duration;

use image::ImageFormat;
use serde::Deserialize;

use crate::child::{run, summary};

const BATCH: u64 = 100;

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
}

/// All good pictures of a family: the golden ones, and a larger one.
pub(crate) fn bases(family: &str) -> Vec<Vec<u8>> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../golden/pictures/cases.json")).unwrap();
    let of_family = cases.iter().filter(|case| case.name.starts_with(family));
    let mut bases: Vec<Vec<u8>> =
        of_family.map(|case| base64_simd::STANDARD.decode_to_vec(&case.file).unwrap()).collect();
    let format = match family {
        "jpeg" => ImageFormat::Jpeg,
        "png" => ImageFormat::Png,
        "webp" => ImageFormat::WebP,
        "gif" => ImageFormat::Gif,
        "bmp" => ImageFormat::Bmp,
        _ => panic!("no family {family}"),
    };
    let rgb =
        (0..200 * 150_u32).flat_map(|n| [(n % 200) as u8, (n / 200) as u8, (n * n % 253) as u8]).collect();
    let mut large = Vec::new();
    image::RgbImage::from_raw(200, 150, rgb).unwrap().write_to(&mut Cursor::new(&mut large), format).unwrap();
    bases.push(large);
    bases
}

/// The mutant of a number: always the same bytes.
pub(crate) fn mutant(bases: &[Vec<u8>], family: &str, number: u64) -> Vec<u8> {
    let mut chance =
        Chance(family.bytes().fold(number, |seed, byte| seed.wrapping_mul(257) + u64::from(byte)));
    let mut bytes = bases[chance.below(bases.len())].clone();
    for _ in 0..=chance.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = chance.below(bytes.len());
        match chance.below(8) {
            0 => {
                for _ in 0..=chance.below(16) {
                    let at = chance.below(bytes.len());
                    bytes[at] ^= 1 << chance.below(8);
                }
            }
            1 => bytes.truncate(at),
            2 => {
                let other = &bases[chance.below(bases.len())];
                let from = chance.below(other.len());
                let length = chance.below((other.len() - from).min(bytes.len() - at)) + 1;
                let length = length.min(other.len() - from).min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&other[from..from + length]);
            }
            // Headers: a byte, or two or four, to what is rare.
            3 | 4 => {
                let at = chance.below(bytes.len().min(96));
                let width = [1, 2, 4][chance.below(3)].min(bytes.len() - at);
                let value = [0x00, 0xff, 0x7f, 0x80, 0x01, chance.next() as u8][chance.below(6)];
                bytes[at..at + width].fill(value);
            }
            5 => {
                let length = chance.below(64).min(bytes.len() - at);
                bytes.drain(at..at + length);
            }
            6 => {
                let length = chance.below(64).min(bytes.len() - at);
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes[at] = chance.next() as u8,
        }
    }
    // A wrong checksum ends most mutants of PNG at once; half of them get right ones, to come further.
    if family == "png" && chance.below(2) == 0 {
        mend_checksums(&mut bytes);
    }
    bytes
}

fn mend_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(sum) = bytes.get(at + 4..at + 8 + length).map(crc32) else { return };
        let Some(place) = bytes.get_mut(at + 8 + length..at + 12 + length) else { return };
        place.copy_from_slice(&sum.to_be_bytes());
        at += 12 + length;
    }
}

/// PNG's checksum.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn survive(family: &str) {
    let count: u64 = std::env::var("OSCAR_MUTANTS").map_or(300, |text| text.parse().unwrap());
    let mut outcomes = Vec::new();
    for from in (0..count).step_by(BATCH as usize) {
        let task = format!("mutants:{family}:{from}:{}", (from + BATCH).min(count));
        outcomes.extend(run(&task, Duration::from_secs(120)).unwrap_or_else(|problem| panic!("{problem}")));
    }
    println!("{}", summary(family, &outcomes));
    assert_eq!(outcomes.len() as u64, count);
    for outcome in &outcomes {
        let limit =
            if outcome.code == "decoded" { 64 * 1024 + 8 * 3 * outcome.pixels / 1024 } else { 64 * 1024 };
        assert!(outcome.growth_kib <= limit, "{family}: {outcome:?}");
        assert!(outcome.millis <= 20_000, "{family}: {outcome:?}");
    }
    // Mutants that all end at the first byte, or all live, would prove nothing.
    let decoded = outcomes.iter().filter(|outcome| outcome.code == "decoded").count() as u64;
    assert!(decoded > count / 50 && decoded < count * 19 / 20, "{family}: {decoded} of {count} decoded");
}

#[test]
fn jpeg() {
    survive("jpeg");
}

#[test]
fn png() {
    survive("png");
}

#[test]
fn webp() {
    survive("webp");
}

#[test]
fn gif() {
    survive("gif");
}

#[test]
fn bmp() {
    survive("bmp");
}
