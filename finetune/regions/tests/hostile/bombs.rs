//! Small files that promise huge pictures, and huge files around small pictures.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::child::{Outcome, run, summary};
use crate::mutants::{bases, crc32};

const MIB: usize = 1 << 20;

/// All bombs, and how each must end.
const BOMBS: [(&str, &str); 20] = [
    ("png-50000", "too-large"),
    ("png-13000-little-data", "truncated"),
    ("png-text", "decoded"),
    ("png-profile", "decoded"),
    ("png-private-chunk", "decoded"),
    ("png-exif", "unsupported"),
    ("jpeg-65535", "too-large"),
    ("jpeg-13000-little-data", "truncated"),
    ("jpeg-applications", "decoded"),
    ("jpeg-profiles", "decoded"),
    ("jpeg-scans", "unsupported"),
    ("gif-65535", "too-large"),
    ("gif-13000-little-data", "truncated"),
    ("gif-endless-frame", "truncated"),
    ("gif-endless-comment", "truncated"),
    ("gif-frames", "decoded"),
    ("webp-canvas", "too-large"),
    ("webp-lossless", "too-large"),
    ("webp-exif", "decoded"),
    ("bmp-30000", "too-large"),
];

#[test]
fn bombs_cost_little() {
    let outcomes: Vec<Outcome> = BOMBS
        .iter()
        .flat_map(|(name, _)| {
            run(&format!("bomb:{name}"), Duration::from_secs(60))
                .unwrap_or_else(|problem| panic!("{problem}"))
        })
        .collect();
    println!("{}", summary("bombs", &outcomes));
    assert_eq!(outcomes.len(), BOMBS.len());
    for (outcome, (name, wanted)) in outcomes.iter().zip(BOMBS) {
        assert_eq!((outcome.input.as_str(), outcome.code.as_str()), (name, wanted), "{outcome:?}");
        assert!(outcome.growth_kib <= 64 * 1024, "{outcome:?}");
        assert!(outcome.millis <= 10_000, "{outcome:?}");
    }
}

/// The bytes of a bomb.
pub(crate) fn bomb(name: &str) -> Vec<u8> {
    let (family, kind) = name.split_once('-').unwrap();
    match family {
        "png" => png(kind),
        "jpeg" => jpeg(kind),
        "gif" => gif(kind),
        "webp" => webp(kind),
        _ => bmp(),
    }
}

fn png(kind: &str) -> Vec<u8> {
    let side: u32 = match kind {
        "50000" => 50_000,
        "13000-little-data" => 13_000,
        _ => 8,
    };
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], body: &[u8]| {
        let start = bytes.len() + 4;
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(body);
        let sum = crc32(&bytes[start..]);
        bytes.extend_from_slice(&sum.to_be_bytes());
    };
    let size = [side.to_be_bytes(), side.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat());
    match kind {
        "text" => {
            for _ in 0..8 {
                chunk(b"zTXt", &[&b"bomb\0\0"[..], &zeros(128 * MIB)].concat());
                chunk(b"iTXt", &[&b"bomb\0\x01\0\0\0"[..], &zeros(128 * MIB)].concat());
            }
        }
        "profile" => chunk(b"iCCP", &[&b"bomb\0\0"[..], &zeros(512 * MIB)].concat()),
        "private-chunk" => chunk(b"prVt", &vec![7; 200 * MIB]),
        "exif" => chunk(b"eXIf", &[&b"II*\0\x08\0\0\0\xff\xff"[..], &vec![0; 200 * MIB]].concat()),
        _ => {}
    }
    let rows = if side == 8 { 25 * 8 } else { 3 * 100 * 13_000 };
    chunk(b"IDAT", &zeros(rows));
    chunk(b"IEND", b"");
    bytes
}

fn jpeg(kind: &str) -> Vec<u8> {
    let good = bases("jpeg").remove(0);
    let frame = memchr::memmem::find(&good, b"\xff\xc0").unwrap();
    let scan = memchr::memmem::find(&good, b"\xff\xda").unwrap();
    let sized = |side: u16| {
        let mut bytes = good.clone();
        bytes[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
        bytes
    };
    let with_segments = |marker: u8, prefix: &[u8], n: usize| {
        let mut bytes = good[..2].to_vec();
        for _ in 0..n {
            bytes.extend_from_slice(&[0xff, marker, 0xff, 0xff]);
            bytes.extend_from_slice(prefix);
            bytes.resize(bytes.len() + 65_533 - prefix.len(), 1);
        }
        bytes.extend_from_slice(&good[2..]);
        bytes
    };
    match kind {
        "65535" => sized(65_535),
        "13000-little-data" => sized(13_000),
        "applications" => with_segments(0xe1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff", 3000),
        "profiles" => with_segments(0xe2, b"ICC_PROFILE\0\x01\x01", 3000),
        _ => {
            let end = good.len() - 2;
            [&good[..end], &good[scan..end].repeat(2000), &good[end..]].concat()
        }
    }
}

fn gif(kind: &str) -> Vec<u8> {
    let side: u16 = match kind {
        "65535" => 65_535,
        "13000-little-data" => 13_000,
        _ => 8,
    };
    let side = side.to_le_bytes();
    let mut bytes = [b"GIF89a", &side[..], &side, &[0x80, 0, 0], &[0, 0, 0, 255, 255, 255]].concat();
    // A clear code, one pixel, and so on: 2-bit codes, 3 bits wide.
    let frame = [&b",\0\0\0\0"[..], &side, &side, &[0, 2]].concat();
    match kind {
        "endless-comment" => {
            bytes.extend_from_slice(b"!\xfe");
            bytes.resize(bytes.len() + 200 * MIB, 255);
        }
        "endless-frame" => {
            bytes.extend_from_slice(&frame);
            bytes.resize(bytes.len() + 200 * MIB, 255);
        }
        "frames" => {
            // 64 pixels, each behind a clear code: 4 0 4 0 ... 5.
            let codes = (0..64).flat_map(|_| [4_u8, 0]).chain([5]);
            let bits: Vec<u8> = codes.flat_map(|code| (0..3).map(move |bit| code >> bit & 1)).collect();
            let data: Vec<u8> =
                bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | bit)).collect();
            let whole = [&frame[..], &[data.len() as u8], &data, &[0]].concat();
            bytes.extend_from_slice(&whole.repeat(200_000));
            bytes.push(b';');
        }
        _ => {
            bytes.extend_from_slice(&frame);
            bytes.extend_from_slice(&[4, 0x84, 0x8f, 0xa9, 0xcb, 0, b';']);
        }
    }
    bytes
}

fn webp(kind: &str) -> Vec<u8> {
    let riff =
        |chunks: &[u8]| [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", chunks].concat();
    match kind {
        "canvas" => riff(b"VP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0VP8 \0\0\0\0"),
        "lossless" => riff(b"VP8L\x08\0\0\0\x2f\xff\xff\xff\x0f\0\0\0"),
        _ => {
            let good = bases("webp").pop().unwrap(); // one lossless chunk
            let size = [199, 0, 0, 149, 0, 0];
            let exif = [&b"EXIF"[..], &(200 * MIB as u32).to_le_bytes(), &vec![9; 200 * MIB]].concat();
            riff(&[&b"VP8X\x0a\0\0\0\x08\0\0\0"[..], &size, &good[12..], &exif].concat())
        }
    }
}

fn bmp() -> Vec<u8> {
    let mut bytes = bases("bmp").pop().unwrap();
    bytes[18..22].copy_from_slice(&30_000_i32.to_le_bytes());
    bytes[22..26].copy_from_slice(&30_000_i32.to_le_bytes());
    bytes
}

/// Zeros, packed.
fn zeros(n: usize) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    for _ in 0..n / 1000 {
        packed.write_all(&[0; 1000]).unwrap();
    }
    packed.write_all(&vec![0; n % 1000]).unwrap();
    packed.finish().unwrap()
}
