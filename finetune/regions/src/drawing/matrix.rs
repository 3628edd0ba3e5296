//! A matrix of shares as shaded cells: how much each of some words looks at each of some things.

use tiny_skia::{Color, FillRule, Paint, Pixmap, Rect, Transform};

use super::picture_of;
use super::text::Font;
use crate::Error;
use crate::decoding::Picture;

/// Pixels of a letter's size.
const SIZE: f32 = 13.0;
/// Pixels of a cell's side.
const CELL: f32 = 22.0;
/// Pixels around the whole.
const MARGIN: f32 = 12.0;
/// Longer names are cut.
const LONGEST_NAME: f32 = 220.0;
/// The darkest cell; white is 0.
const DARK: [f32; 3] = [8.0, 48.0, 107.0];

/// A white picture with a cell for every number: the darker, the larger; the largest of all is darkest. Rows are named on
/// the left, columns above, where names are turned.
///
/// # Shapes
/// - `values`: rows after each other, `rows.len() * columns.len()` numbers of at least 0
///
/// # Errors
/// [`Error::Preparation`] for another count of numbers, and for a size that cannot be drawn on.
pub fn draw_matrix(rows: &[&str], columns: &[&str], values: &[f32]) -> Result<Picture, Error> {
    if values.len() != rows.len() * columns.len() {
        return Err(Error::Preparation {
            problem: format!("{} numbers for {} x {} cells", values.len(), rows.len(), columns.len()),
        });
    }
    let font = Font::new(SIZE);
    let longest = |names: &[&str]| {
        names.iter().map(|name| font.width(&font.fitting(name, LONGEST_NAME))).fold(0.0, f32::max).ceil()
    };
    let left = MARGIN + longest(rows) + 2.0 * font.padding();
    let top = MARGIN + longest(columns) + 2.0 * font.padding();
    let width = (left + columns.len() as f32 * CELL + MARGIN).ceil() as u32;
    let height = (top + rows.len() as f32 * CELL + MARGIN).ceil() as u32;
    let mut canvas = Pixmap::new(width, height).ok_or_else(|| Error::Preparation {
        problem: format!("{width} x {height} pixels cannot be drawn on"),
    })?;
    canvas.fill(Color::WHITE);

    let largest = values.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    for (at, value) in values.iter().enumerate() {
        let (row, column) = (at / columns.len(), at % columns.len());
        let share = (value / largest).clamp(0.0, 1.0);
        let shade = DARK.map(|dark| (255.0 + share * (dark - 255.0)) as u8);
        let mut paint = Paint::default();
        paint.set_color_rgba8(shade[0], shade[1], shade[2], 255);
        let (x, y) = (left + column as f32 * CELL, top + row as f32 * CELL);
        if let Some(rect) = Rect::from_xywh(x, y, CELL - 1.0, CELL - 1.0) {
            canvas.fill_rect(rect, &paint, Transform::identity(), None);
        }
    }

    let mut ink = Paint { anti_alias: true, ..Paint::default() };
    ink.set_color(Color::BLACK);
    // letters stand a third of their size above the middle of a cell, so that they look centred
    let middle = CELL / 2.0 + SIZE / 3.0;
    for (row, name) in rows.iter().enumerate() {
        let name = font.fitting(name, LONGEST_NAME);
        let x = left - font.padding() - font.width(&name);
        if let Some(path) = font.path(&name, x, top + row as f32 * CELL + middle) {
            canvas.fill_path(&path, &ink, FillRule::Winding, Transform::identity(), None);
        }
    }
    for (column, name) in columns.iter().enumerate() {
        let name = font.fitting(name, LONGEST_NAME);
        let x = left + column as f32 * CELL + middle;
        let upwards = Transform::from_rotate(-90.0).post_translate(x, top - font.padding());
        if let Some(path) = font.path(&name, 0.0, 0.0) {
            canvas.fill_path(&path, &ink, FillRule::Winding, upwards, None);
        }
    }
    Ok(picture_of(&canvas))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
        let at = 3 * (y * picture.width + x) as usize;
        [picture.rgb[at], picture.rgb[at + 1], picture.rgb[at + 2]]
    }

    #[test]
    fn larger_numbers_are_darker_and_names_are_written() {
        let picture =
            draw_matrix(&["a red cat", "dog"], &["cat", "1 cat", "2 dog"], &[0.0, 0.5, 1.0, 0.1, 0.2, 0.0])
                .unwrap();
        let [right, bottom] = [picture.width - 12 - 11, picture.height - 12 - 11];
        let cell =
            |row: u32, column: u32| pixel(&picture, right - (2 - column) * 22, bottom - (1 - row) * 22);
        assert_eq!(cell(0, 2), [8, 48, 107]);
        assert_eq!((cell(0, 0), cell(1, 2)), ([255; 3], [255; 3]));
        assert!(
            cell(0, 1)[0] > cell(0, 2)[0] && cell(1, 1)[0] > cell(0, 1)[0] && cell(1, 0)[0] > cell(1, 1)[0]
        );
        let ink = |columns: std::ops::Range<u32>, rows: std::ops::Range<u32>| {
            let at = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            at.filter(|(x, y)| pixel(&picture, *x, *y)[0] < 100).count()
        };
        let (left, top) = (right - 2 * 22 - 11, bottom - 22 - 11);
        assert!(ink(0..left, top..picture.height) > 50, "rows have no names");
        assert!(ink(left..picture.width, 0..top) > 50, "columns have no names");
        assert!(draw_matrix(&["a"], &["b"], &[]).is_err());
    }
}
