//! EXIF orientation: TIFF 6.0 tag 274.

use super::Picture;

/// The orientation that an EXIF block (a TIFF file) states; 1 where it states none or nonsense.
pub(super) fn stated(exif: &[u8]) -> u8 {
    image::metadata::Orientation::from_exif_chunk(exif).map_or(1, image::metadata::Orientation::to_exif)
}

/// Turns stored pixels upright.
pub(super) fn upright(picture: Picture, orientation: u8) -> Picture {
    let Picture { width, height, mut rgb } = picture;
    let (w, h) = (width as usize, height as usize);
    match orientation {
        2 => rgb.chunks_exact_mut(3 * w).for_each(mirror),
        3 => mirror(&mut rgb),
        4 => {
            for y in 0..h / 2 {
                let (above, below) = rgb.split_at_mut((h - 1 - y) * 3 * w);
                above[y * 3 * w..][..3 * w].swap_with_slice(&mut below[..3 * w]);
            }
        }
        5..=8 => {
            // Row by row of the result; (x, y) are the stored pixel's.
            let mut turned = Vec::with_capacity(rgb.len());
            for row in 0..w {
                let x = if matches!(orientation, 5 | 6) { row } else { w - 1 - row };
                for column in 0..h {
                    let y = if matches!(orientation, 5 | 8) { column } else { h - 1 - column };
                    turned.extend_from_slice(&rgb[3 * (y * w + x)..][..3]);
                }
            }
            return Picture { width: height, height: width, rgb: turned };
        }
        _ => {}
    }
    Picture { width, height, rgb }
}

/// Reverses the order of pixels.
fn mirror(pixels: &mut [u8]) {
    let n = pixels.len() / 3;
    for left in 0..n / 2 {
        let (before, after) = pixels.split_at_mut(3 * (n - 1 - left));
        before[3 * left..][..3].swap_with_slice(&mut after[..3]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pixel that says where it was stored.
    fn numbered(width: u32, height: u32) -> Picture {
        let rgb = (0..width * height).flat_map(|n| [n as u8, 100, 200]).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn all_eight() {
        // 3 x 2:  0 1 2
        //         3 4 5
        let cases: [(u8, (u32, u32), [u8; 6]); 9] = [
            (0, (3, 2), [0, 1, 2, 3, 4, 5]),
            (1, (3, 2), [0, 1, 2, 3, 4, 5]),
            (2, (3, 2), [2, 1, 0, 5, 4, 3]),
            (3, (3, 2), [5, 4, 3, 2, 1, 0]),
            (4, (3, 2), [3, 4, 5, 0, 1, 2]),
            (5, (2, 3), [0, 3, 1, 4, 2, 5]),
            (6, (2, 3), [3, 0, 4, 1, 5, 2]),
            (7, (2, 3), [5, 2, 4, 1, 3, 0]),
            (8, (2, 3), [2, 5, 1, 4, 0, 3]),
        ];
        for (orientation, size, order) in cases {
            let got = upright(numbered(3, 2), orientation);
            assert_eq!((got.width, got.height), size, "{orientation}");
            assert_eq!(got.rgb.iter().step_by(3).copied().collect::<Vec<_>>(), order, "{orientation}");
        }
    }

    #[test]
    fn broken_exif_is_upright() {
        for exif in [&b""[..], b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff\x01\x12"] {
            assert_eq!(stated(exif), 1, "{exif:?}");
        }
        let whole = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        assert_eq!(stated(whole), 6);
    }
}
