//! Numbers of places over a picture, as colours.

use tiny_skia::{Color, FillRule, Paint, Pixmap, Rect, Transform};

use super::text::Font;
use super::{enlarged, picture_of};
use crate::Error;
use crate::decoding::Picture;

/// From the lowest number to the highest, at even distances.
const COLOURS: [[f32; 3]; 5] = [
    [35.0, 23.0, 90.0],
    [40.0, 120.0, 220.0],
    [70.0, 220.0, 170.0],
    [250.0, 200.0, 50.0],
    [200.0, 30.0, 30.0],
];
/// Share of the colour; the rest is the picture.
const COVER: f32 = 0.55;
/// Pixels of a letter's size, and of the legend's bar and what is around it.
const SIZE: f32 = 13.0;
const BAR: f32 = 14.0;
const MARGIN: f32 = 6.0;

/// A picture with the numbers of a grid of cells over it, the lowest dark blue and the highest red; between the middles
/// of cells colours change evenly (bilinear), beyond the outer ones they stay. Small pictures come out enlarged.
///
/// # Shapes
/// - `values_hw`: the cells of `grid` = \[h, w\], row after row
///
/// # Errors
/// [`Error::Preparation`] for another count of numbers or one that is not finite, [`Error::Buffer`] for a picture without
/// pixels.
pub fn draw_heat(picture: &Picture, values_hw: &[f32], grid: [usize; 2]) -> Result<Picture, Error> {
    picture.checked_len()?;
    let [rows, columns] = grid;
    if values_hw.is_empty() || values_hw.len() != rows * columns {
        let problem = format!("{} numbers for {rows} x {columns} cells", values_hw.len());
        return Err(Error::Preparation { problem });
    }
    let [low, high] = bounds(values_hw)?;
    let mut large = enlarged(picture)?;
    let (width, height) = (large.width as usize, large.height as usize);
    let across: Vec<Between> = (0..width).map(|x| Between::cells(x, width, columns)).collect();
    for (y, line) in large.rgb.chunks_exact_mut(3 * width).enumerate() {
        let down = Between::cells(y, height, rows);
        for (pixel, across) in line.as_chunks_mut::<3>().0.iter_mut().zip(&across) {
            let row = |row: usize| {
                let [left, right] = across.cells.map(|column| values_hw[row * columns + column]);
                left + (right - left) * across.share
            };
            let [upper, lower] = down.cells.map(row);
            let colour = colour(share(upper + (lower - upper) * down.share, low, high));
            for (value, colour) in pixel.iter_mut().zip(colour) {
                *value = (f32::from(*value) + COVER * (colour - f32::from(*value))) as u8;
            }
        }
    }
    Ok(large)
}

/// What the colours of [`draw_heat`] mean, as wide as the picture: a bar with the lowest number at its left end and the
/// highest at its right.
///
/// # Errors
/// [`Error::Preparation`] for no numbers, or ones that are not finite, and for a width that cannot be drawn on.
pub fn draw_heat_legend(values: &[f32], width: u32) -> Result<Picture, Error> {
    let [low, high] = bounds(values)?;
    let font = Font::new(SIZE);
    let height = (2.0 * MARGIN + BAR + font.line()).ceil() as u32;
    let mut canvas = Pixmap::new(width, height).ok_or_else(|| Error::Preparation {
        problem: format!("{width} x {height} pixels cannot be drawn on"),
    })?;
    canvas.fill(Color::WHITE);
    let room = (width as f32 - 2.0 * MARGIN).max(1.0);
    for x in 0..room as u32 {
        let [red, green, blue] = colour(x as f32 / (room - 1.0).max(1.0)).map(|part| part as u8);
        let mut paint = Paint::default();
        paint.set_color_rgba8(red, green, blue, 255);
        if let Some(rect) = Rect::from_xywh(MARGIN + x as f32, MARGIN, 1.0, BAR) {
            canvas.fill_rect(rect, &paint, Transform::identity(), None);
        }
    }
    let mut ink = Paint { anti_alias: true, ..Paint::default() };
    ink.set_color(Color::BLACK);
    let baseline = MARGIN + BAR + font.ascent();
    let [low, high] = [low, high].map(|value| format!("{value:.3}"));
    for (text, x) in [(&low, MARGIN), (&high, width as f32 - MARGIN - font.width(&high))] {
        if let Some(path) = font.path(text, x, baseline) {
            canvas.fill_path(&path, &ink, FillRule::Winding, Transform::identity(), None);
        }
    }
    Ok(picture_of(&canvas))
}

/// The two cells whose middles a pixel lies between, and how near it is to the second.
struct Between {
    cells: [usize; 2],
    share: f32,
}

impl Between {
    fn cells(pixel: usize, pixels: usize, cells: usize) -> Self {
        let at = ((pixel as f32 + 0.5) * cells as f32 / pixels as f32 - 0.5).clamp(0.0, cells as f32 - 1.0);
        let first = at as usize;
        Self { cells: [first, (first + 1).min(cells - 1)], share: at - first as f32 }
    }
}

fn bounds(values: &[f32]) -> Result<[f32; 2], Error> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        let problem = "there is no number to draw, or one that is not finite".to_owned();
        return Err(Error::Preparation { problem });
    }
    Ok(values.iter().fold([f32::MAX, f32::MIN], |[low, high], value| [low.min(*value), high.max(*value)]))
}

/// Of numbers that are all equal, none is high.
fn share(value: f32, low: f32, high: f32) -> f32 {
    if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
}

fn colour(share: f32) -> [f32; 3] {
    let at = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let first = (at as usize).min(COLOURS.len() - 2);
    let share = at - first as f32;
    [0, 1, 2].map(|part| COLOURS[first][part] + share * (COLOURS[first + 1][part] - COLOURS[first][part]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32) -> Picture {
        Picture { width, height, rgb: vec![100; (width * height * 3) as usize] }
    }

    fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
        let at = 3 * (y * picture.width + x) as usize;
        [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
    }

    fn covered(colour: [f32; 3]) -> [u8; 3] {
        colour.map(|part| (100.0 + COVER * (part - 100.0)) as u8)
    }

    #[test]
    fn high_places_are_red_and_low_ones_blue() {
        let picture = draw_heat(&grey(800, 640), &[-3.0, 0.0, 0.0, 1.0, 1.0, 5.0], [2, 3]).unwrap();
        assert_eq!((picture.width, picture.height), (800, 640));
        // the corners are beyond the middles of the outer cells
        assert_eq!(pixel(&picture, 0, 0), covered(COLOURS[0]));
        assert_eq!(pixel(&picture, 799, 639), covered(COLOURS[4]));
        // half-way between the middles of two cells: their mean, which is 1 of -3 to 5 in the last column's first row
        let (x, y) = (400, 320);
        let between = pixel(&picture, x, y);
        let wanted = covered(colour(share(0.5, -3.0, 5.0)));
        assert!(between.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 2), "{between:?}");
        // small pictures grow; a map of equal numbers is low everywhere
        let flat = draw_heat(&grey(64, 48), &[2.0; 4], [2, 2]).unwrap();
        assert_eq!((flat.width, flat.height), (640, 480));
        assert!(flat.rgb.as_chunks::<3>().0.iter().all(|pixel| *pixel == covered(COLOURS[0])));
    }

    #[test]
    fn the_legend_names_both_ends() {
        let legend = draw_heat_legend(&[-1.5, 0.25, 2.0], 400).unwrap();
        assert_eq!(legend.width, 400);
        let bar = |x: u32| pixel(&legend, x, MARGIN as u32 + 3);
        assert_eq!(bar(MARGIN as u32), COLOURS[0].map(|part| part as u8));
        assert_eq!(bar(399 - MARGIN as u32), COLOURS[4].map(|part| part as u8));
        let ink = |columns: std::ops::Range<u32>| {
            let rows = (MARGIN + BAR) as u32..legend.height;
            let at = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            at.filter(|(x, y)| pixel(&legend, *x, *y)[0] < 100).count()
        };
        assert!(ink(0..100) > 20 && ink(300..400) > 20 && ink(150..250) == 0);
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        assert!(draw_heat(&grey(9, 9), &[1.0; 5], [2, 3]).is_err());
        assert!(draw_heat(&grey(9, 9), &[], [0, 3]).is_err());
        assert!(draw_heat(&grey(9, 9), &[f32::NAN; 4], [2, 2]).is_err());
        assert!(draw_heat_legend(&[], 100).is_err());
    }
}
