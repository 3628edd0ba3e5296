//! Changes of place: crops, mirrors, affine maps, and rectangles that are gone.

use super::Draws;
use crate::Error;
use crate::decoding::Picture;

/// What becomes visible beyond a picture's border.
const GROUND: u8 = 128;

/// Left, top, width, height in pixels of a crop, as torchvision draws it: ten tries at an area and a proportion, then
/// the largest middle part of an allowed proportion.
pub(super) fn crop_window(
    picture: &Picture,
    [least, most]: [f64; 2],
    aspect: [f64; 2],
    draws: &mut Draws,
) -> [u32; 4] {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    for _ in 0..10 {
        let area = width * height * draws.between(least, most);
        let proportion = draws.between(aspect[0].ln(), aspect[1].ln()).exp();
        let (w, h) = ((area * proportion).sqrt().round(), (area / proportion).sqrt().round());
        if w >= 1.0 && h >= 1.0 && w <= width && h <= height {
            let left = draws.below((width - w) as usize + 1) as u32;
            let top = draws.below((height - h) as usize + 1) as u32;
            return [left, top, w as u32, h as u32];
        }
    }
    let (w, h) = if width / height < aspect[0] {
        (width, (width / aspect[0]).round().min(height))
    } else if width / height > aspect[1] {
        ((height * aspect[1]).round().min(width), height)
    } else {
        (width, height)
    };
    [((width - w) / 2.0) as u32, ((height - h) / 2.0) as u32, w as u32, h as u32]
}

/// A part of a picture.
pub(super) fn cut(picture: &Picture, [left, top, width, height]: [u32; 4]) -> Result<Picture, Error> {
    picture.checked_len()?;
    let row = 3 * width as usize;
    let mut rgb = Vec::with_capacity(row * height as usize);
    for y in top..top + height {
        let start = 3 * (y as usize * picture.width as usize + left as usize);
        rgb.extend_from_slice(&picture.rgb[start..start + row]);
    }
    Ok(Picture { width, height, rgb })
}

/// Left becomes right.
pub(crate) fn mirror(picture: &mut Picture) {
    for row in picture.rgb.chunks_exact_mut(3 * picture.width as usize) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// Each pixel (x, y) shows what was at `(a x + b y + c, d x + e y + f)`, between pixels: Pillow's `transform` with
/// `AFFINE` and `BILINEAR`, grey beyond the border.
pub(super) fn affine(picture: &Picture, [a, b, c, d, e, f]: [f64; 6]) -> Picture {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut rgb = vec![GROUND; picture.rgb.len()];
    for (place, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = ((place % width) as f64 + 0.5, (place / width) as f64 + 0.5);
        let (from_x, from_y) = (a * x + b * y + c, d * x + e * y + f);
        if from_x < 0.0 || from_x >= width as f64 || from_y < 0.0 || from_y >= height as f64 {
            continue;
        }
        let (from_x, from_y) = (from_x - 0.5, from_y - 0.5);
        let (left, top) = (from_x.floor(), from_y.floor());
        let (dx, dy) = (from_x - left, from_y - top);
        let column = |step: f64| (left + step).clamp(0.0, width as f64 - 1.0) as usize;
        let row = |step: f64| (top + step).clamp(0.0, height as f64 - 1.0) as usize;
        for (channel, value) in pixel.iter_mut().enumerate() {
            let at = |row: usize, column: usize| f64::from(picture.rgb[3 * (row * width + column) + channel]);
            let [upper, lower] = [row(0.0), row(1.0)].map(|row| {
                let (left, right) = (at(row, column(0.0)), at(row, column(1.0)));
                left + (right - left) * dx
            });
            *value = (upper + (lower - upper) * dy) as u8;
        }
    }
    Picture { width: picture.width, height: picture.height, rgb }
}

/// Turned by degrees against the clock around the middle, as Pillow's `rotate`.
pub(super) fn rotate(picture: &Picture, degrees: f64) -> Picture {
    let (sin, cos) = (-degrees).to_radians().sin_cos();
    let (x, y) = (f64::from(picture.width) / 2.0, f64::from(picture.height) / 2.0);
    // Pillow rounds to 15 digits, so that a turn of nothing is one
    let round = |value: f64| (value * 1e15).round() / 1e15;
    let (sin, cos) = (round(sin), round(cos));
    affine(picture, [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y])
}

/// Replaces a rectangle of 2 to 33 per cent of the area by noise (Paper: 1708.04896, algorithm 1); ten tries at one that
/// fits.
///
/// # Shapes
/// - `x_chw`: 3 x `side` x `side`
pub(super) fn erase(x_chw: &mut [f32], side: usize, draws: &mut Draws) {
    const AREA: [f64; 2] = [0.02, 1.0 / 3.0];
    const ASPECT: f64 = 0.3;
    for _ in 0..10 {
        let area = (side * side) as f64 * draws.between(AREA[0], AREA[1]);
        let proportion = draws.between(ASPECT.ln(), -ASPECT.ln()).exp();
        let (h, w) =
            ((area * proportion).sqrt().round() as usize, (area / proportion).sqrt().round() as usize);
        if h == 0 || w == 0 || h >= side || w >= side {
            continue;
        }
        let (top, left) = (draws.below(side - h + 1), draws.below(side - w + 1));
        for plane in x_chw.chunks_exact_mut(side * side) {
            for row in plane.chunks_exact_mut(side).skip(top).take(h) {
                row[left..left + w].iter_mut().for_each(|value| *value = draws.normal(1.0) as f32);
            }
        }
        return;
    }
}
