//! Pictures beside and below each other.

use crate::decoding::Picture;

/// Pixels between two pictures.
const GAP: u32 = 12;
/// Grey of the gaps.
const EMPTY: u8 = 232;

/// Pictures from left to right, their upper edges level.
pub fn beside(pictures: &[Picture]) -> Picture {
    joined(pictures, true)
}

/// Pictures from top to bottom, their left edges level.
pub fn below(pictures: &[Picture]) -> Picture {
    joined(pictures, false)
}

/// A picture that nobody has: grey.
pub fn blank(width: u32, height: u32) -> Picture {
    Picture { width, height, rgb: vec![EMPTY; width as usize * height as usize * 3] }
}

fn joined(pictures: &[Picture], beside: bool) -> Picture {
    let along = |picture: &Picture| if beside { picture.width } else { picture.height };
    let across = |picture: &Picture| if beside { picture.height } else { picture.width };
    let gaps = GAP * (pictures.len() as u32).saturating_sub(1);
    let length = pictures.iter().map(along).sum::<u32>() + gaps;
    let breadth = pictures.iter().map(across).max().unwrap_or_default();
    let mut all = if beside { blank(length, breadth) } else { blank(breadth, length) };
    let mut at = 0;
    for picture in pictures {
        let (left, top) = if beside { (at, 0) } else { (0, at) };
        let row = picture.width as usize * 3;
        for y in 0..picture.height {
            let from = y as usize * row;
            let to = ((top + y) as usize * all.width as usize + left as usize) * 3;
            all.rgb[to..to + row].copy_from_slice(&picture.rgb[from..from + row]);
        }
        at += along(picture) + GAP;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_beside_or_below_each_other() {
        let black =
            |width: u32, height: u32| Picture { width, height, rgb: vec![0; (width * height * 3) as usize] };
        let pair = beside(&[black(4, 3), black(2, 5)]);
        assert_eq!((pair.width, pair.height), (4 + GAP + 2, 5));
        let pixel = |x: u32, y: u32| pair.rgb[((y * pair.width + x) * 3) as usize];
        assert_eq!(
            [pixel(0, 0), pixel(3, 2), pixel(0, 4), pixel(5, 0), pixel(4 + GAP, 4)],
            [0, 0, EMPTY, EMPTY, 0]
        );
        let rows = below(&[black(4, 3), black(2, 5)]);
        assert_eq!((rows.width, rows.height), (4, 3 + GAP + 5));
    }
}
