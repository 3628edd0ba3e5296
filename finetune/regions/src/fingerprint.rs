//! Near-duplicates: is this training picture a test picture in another size or file?
//!
//! A picture is made grey and shrunk, with antialiasing, to 9 x 8 and to 8 x 9 pixels. 64 bits say for the first whether a
//! pixel is brighter than its right neighbour, 64 for the second whether it is brighter than the one below. The distance
//! of two pictures is the number of bits that differ. Size, compression and brightness hardly move it; a mirrored, turned
//! or strongly cropped picture is another one.
//!
//! Two directions, because one of them alone brings landscapes (bright above dark, little else) within a few bits of each
//! other.

use fast_image_resize::PixelType;

use crate::Error;
use crate::decoding::Picture;
use crate::preparation::{Filter, scaled};

/// What is left of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// Row by row from the top, the highest bit first: the 64 bits along rows, then the 64 down columns.
    pub bits: u128,
}

impl Fingerprint {
    /// The largest distance at which two pictures count as the same one.
    ///
    /// On 40 photographs the same picture shrunk to 160 pixels, stretched to 900, or compressed to quality 30 stays within
    /// 6 bits, and the nearest two of the 780 pairs of different pictures are 34 apart (`tests/near_duplicates.rs`).
    pub const NEAR: u32 = 12;

    /// The fingerprint of a picture.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a picture without pixels.
    pub fn of(picture: &Picture) -> Result<Self, Error> {
        picture.checked_len()?;
        let grey: Vec<u8> = picture.rgb.as_chunks::<3>().0.iter().map(luma).collect();
        let small = |width, height| scaled(picture, &grey, PixelType::U8, (width, height), Filter::Bilinear);
        let (wide, tall) = (small(9, 8)?, small(8, 9)?);
        let along = wide.chunks_exact(9).flat_map(|row| row.windows(2).map(|two| two[0] > two[1]));
        let down = (0..64).map(|at| tall[at] > tall[at + 8]);
        let bits = along.chain(down).fold(0, |bits, brighter| bits << 1 | u128::from(brighter));
        Ok(Self { bits })
    }

    /// Bits that differ: 0 to 128, about 64 for unrelated noise.
    pub fn distance(self, other: Self) -> u32 {
        (self.bits ^ other.bits).count_ones()
    }

    /// Whether the pictures count as the same one.
    pub fn is_near(self, other: Self) -> bool {
        self.distance(other) <= Self::NEAR
    }
}

/// ITU-R BT.601, as Pillow's convert("L").
fn luma(&[red, green, blue]: &[u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(along_x: bool, rising: bool) -> Picture {
        let rgb = (0..100 * 80)
            .flat_map(|n| {
                let (x, y) = (n % 100, n / 100);
                let value = if along_x { x * 2 } else { y * 3 };
                [if rising { value } else { 250 - value } as u8; 3]
            })
            .collect();
        Picture { width: 100, height: 80, rgb }
    }

    #[test]
    fn bits_say_where_it_gets_darker() {
        let of = |along_x, rising| Fingerprint::of(&slope(along_x, rising)).unwrap().bits;
        assert_eq!(of(true, true), 0);
        assert_eq!(of(true, false), u128::from(u64::MAX) << 64);
        assert_eq!(of(false, true), 0);
        assert_eq!(of(false, false), u128::from(u64::MAX));
    }

    #[test]
    fn distances() {
        let of = |bits| Fingerprint { bits };
        assert_eq!(of(0).distance(of(u128::MAX)), 128);
        assert_eq!(of(0b1011).distance(of(0b0010)), 2);
        assert!(of(0).is_near(of((1 << Fingerprint::NEAR) - 1)));
        assert!(!of(0).is_near(of((1 << (Fingerprint::NEAR + 1)) - 1)));
    }

    #[test]
    fn grey_is_pillows() {
        assert_eq!(luma(&[255, 255, 255]), 255);
        assert_eq!([luma(&[255, 0, 0]), luma(&[0, 255, 0]), luma(&[0, 0, 255])], [76, 150, 29]);
    }

    #[test]
    fn no_pixels_no_fingerprint() {
        assert!(Fingerprint::of(&Picture { width: 0, height: 0, rgb: vec![] }).is_err());
        assert!(Fingerprint::of(&Picture { width: 1, height: 1, rgb: vec![9; 3] }).is_ok());
    }
}
