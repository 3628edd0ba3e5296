//! Lines of text on white, to stand below a picture.

use tiny_skia::{Color, FillRule, Paint, Pixmap, Transform};

use super::picture_of;
use super::text::Font;
use crate::Error;
use crate::decoding::Picture;

/// Pixels of a letter's size.
const SIZE: f32 = 13.0;

/// A white picture of `width` pixels with `lines` one below the other; a line too long goes on, indented, in the
/// next.
///
/// # Errors
/// [`Error::Preparation`] for a size that cannot be drawn on.
pub fn draw_lines(lines: &[String], width: u32) -> Result<Picture, Error> {
    let font = Font::new(SIZE);
    let room = width as f32 - 2.0 * font.padding();
    let broken: Vec<String> = lines.iter().flat_map(|line| wrapped(&font, line, room)).collect();
    let height = (broken.len() as f32 * font.line() + 2.0 * font.padding()).ceil() as u32;
    let mut canvas = Pixmap::new(width, height).ok_or_else(|| Error::Preparation {
        problem: format!("{width} x {height} pixels cannot be drawn on"),
    })?;
    canvas.fill(Color::WHITE);
    let mut ink = Paint { anti_alias: true, ..Paint::default() };
    ink.set_color(Color::BLACK);
    for (at, line) in broken.iter().enumerate() {
        let baseline = font.padding() + at as f32 * font.line() + font.ascent();
        if let Some(path) = font.path(line, font.padding(), baseline) {
            canvas.fill_path(&path, &ink, FillRule::Winding, Transform::identity(), None);
        }
    }
    Ok(picture_of(&canvas))
}

/// A line in pieces that fit, broken at blanks; a word that is too long stays whole and is cut off by the border.
fn wrapped(font: &Font, line: &str, room: f32) -> Vec<String> {
    const INDENT: &str = "   ";
    let mut pieces: Vec<String> = Vec::new();
    let mut piece = String::new();
    for word in line.split_whitespace() {
        let longer = match piece.trim().is_empty() {
            true => format!("{piece}{word}"),
            false => format!("{piece} {word}"),
        };
        if font.width(&longer) <= room || piece.trim().is_empty() {
            piece = longer;
        } else {
            pieces.push(std::mem::replace(&mut piece, format!("{INDENT}{word}")));
        }
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark_rows(picture: &Picture) -> usize {
        let rows = picture.rgb.chunks(picture.width as usize * 3);
        rows.filter(|row| row.iter().any(|value| *value < 128)).count()
    }

    #[test]
    fn long_lines_go_on_below_and_nothing_is_lost() {
        let font = Font::new(SIZE);
        let line = "Is there a small checkered cat to the left of the large table in this picture?";
        let pieces = wrapped(&font, line, 120.0);
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| font.width(piece) <= 120.0), "{pieces:?}");
        let again = pieces.join(" ");
        assert_eq!(again.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn more_lines_are_more_rows_of_ink() {
        let lines = |count: usize| draw_lines(&vec!["A red cat.".to_string(); count], 200).unwrap();
        let [none, one, three] = [0, 1, 3].map(lines);
        assert_eq!(dark_rows(&none), 0);
        assert!(dark_rows(&one) > 5 && dark_rows(&three) == 3 * dark_rows(&one));
        assert_eq!((three.width, three.rgb.len()), (200, (three.width * three.height * 3) as usize));
    }
}
