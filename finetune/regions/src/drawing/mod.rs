//! Pictures of what was found: boxes and their labels on the picture.
//!
//! Text is laid out one character after the other, from left to right: Latin, Greek, Cyrillic, Chinese, Japanese, Korean
//! and most other scripts are readable; Arabic and Hebrew would have to be turned round, Indic scripts joined.

mod colours;
mod heat;
mod joined;
mod kept;
mod labels;
mod lines;
mod matrix;
mod text;

pub use heat::{draw_heat, draw_heat_legend};
pub use joined::{below, beside, blank};
pub use kept::kept_pixels;
pub use lines::draw_lines;
pub use matrix::draw_matrix;

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect, Stroke, Transform};

use crate::Error;
use crate::decoding::Picture;
use crate::encoding::encode_png;
use crate::preparation::{Filter, Resize, resize};
use labels::Label;
use text::Font;

/// A region to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn<'a> {
    /// x0, y0, x1, y1 in the picture's pixels. What reaches out of the picture is cut off; a box outside of it is left out.
    pub rect_xyxy: [f32; 4],
    /// The text, such as `dog 0.93`. A number at its end does not count for the colour.
    pub label: &'a str,
}

/// A picture whose long side is shorter is enlarged, so that labels can be read.
const LONG_SIDE_AT_LEAST: u32 = 640;

/// A PNG of the picture with regions and labels. Small pictures come out enlarged.
///
/// # Errors
/// [`Error::Buffer`] for a picture without pixels, [`Error::Preparation`] for one too large to draw on.
pub fn draw_regions(picture: &Picture, regions: &[Drawn<'_>]) -> Result<Vec<u8>, Error> {
    picture.checked_len()?;
    let picture_size = (picture.width as f32, picture.height as f32);
    let large = enlarged(picture)?;
    let mut canvas = canvas(&large)?;
    let (width, height) = (large.width as f32, large.height as f32);
    let (scale_x, scale_y) = (width / picture_size.0, height / picture_size.1);

    let names: Vec<&str> = regions.iter().map(|region| colours::name(region.label)).collect();
    let colours = colours::of(&names);
    let mut boxes: Vec<(Rect, usize)> = regions
        .iter()
        .enumerate()
        .filter_map(|(index, region)| {
            let [x0, y0, x1, y1] = region.rect_xyxy;
            let scaled = [x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y];
            Some((clipped(scaled, width, height)?, index))
        })
        .collect();
    // Large ones first, so that small ones stay visible; equal ones in the order given.
    boxes.sort_by(|(a, _), (b, _)| (b.width() * b.height()).total_cmp(&(a.width() * a.height())));

    let size = (width.max(height) / 44.0).clamp(13.0, 72.0);
    for &(rect, index) in &boxes {
        outline(&mut canvas, rect, colours[index], size / 6.0);
    }
    let font = Font::new(size);
    // Small boxes have the fewest places for a label, so they choose first.
    let wanted: Vec<(Rect, &str, Color)> =
        boxes.iter().rev().map(|&(rect, index)| (rect, regions[index].label, colours[index])).collect();
    let placed = labels::place(&wanted, &font, width, height);
    for label in &placed {
        labels::leader(&mut canvas, label, size / 8.0);
    }
    for label in &placed {
        draw_label(&mut canvas, label, &font);
    }
    encoded(&canvas)
}

fn enlarged(picture: &Picture) -> Result<Picture, Error> {
    let long = picture.width.max(picture.height);
    if long >= LONG_SIDE_AT_LEAST {
        return Ok(picture.clone());
    }
    let side = |side: u32| (u64::from(side) * u64::from(LONG_SIDE_AT_LEAST) / u64::from(long)).max(48) as u32;
    let to = Resize::Exact { width: side(picture.width), height: side(picture.height) };
    resize(picture, to, Filter::Bilinear)
}

fn canvas(picture: &Picture) -> Result<Pixmap, Error> {
    let too_large = || Error::Preparation {
        problem: format!("{} x {} pixels are too many to draw on", picture.width, picture.height),
    };
    let mut canvas = Pixmap::new(picture.width, picture.height).ok_or_else(too_large)?;
    for (drawn, &[red, green, blue]) in canvas.pixels_mut().iter_mut().zip(picture.rgb.as_chunks::<3>().0) {
        *drawn = PremultipliedColorU8::from_rgba(red, green, blue, 255).expect("opaque is premultiplied");
    }
    Ok(canvas)
}

/// The part of a box inside the canvas, at least a pixel wide and high; none where it is outside or no number.
fn clipped([x0, y0, x1, y1]: [f32; 4], width: f32, height: f32) -> Option<Rect> {
    let numbers = [x0, y0, x1, y1].iter().all(|side| side.is_finite());
    if !numbers || x1 < x0 || y1 < y0 || x1 < 0.0 || y1 < 0.0 || x0 > width || y0 > height {
        return None;
    }
    let (left, top) = (x0.clamp(0.0, width - 1.0), y0.clamp(0.0, height - 1.0));
    Rect::from_ltrb(left, top, x1.clamp(left + 1.0, width), y1.clamp(top + 1.0, height))
}

/// A box in its colour between two thin dark lines, to stand out on any ground.
fn outline(canvas: &mut Pixmap, rect: Rect, colour: Color, line: f32) {
    // The line lies inside the box, where there is room for it.
    let inset = (line / 2.0).min(rect.width() / 2.0 - 0.25).min(rect.height() / 2.0 - 0.25).max(0.0);
    let Some(middle) = rect.inset(inset, inset) else { return };
    let path = PathBuilder::from_rect(middle);
    let mut shadow = Paint::default();
    shadow.set_color(Color::from_rgba8(0, 0, 0, 150));
    let mut paint = Paint::default();
    paint.set_color(colour);
    for (paint, width) in [(shadow, line + 1.5), (paint, line)] {
        let stroke = Stroke { width, ..Stroke::default() };
        canvas.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
    }
}

fn draw_label(canvas: &mut Pixmap, label: &Label<'_>, font: &Font) {
    // A thin rim of the same colour, darker, tells labels side by side apart.
    let [red, green, blue] =
        [label.colour.red(), label.colour.green(), label.colour.blue()].map(|one| one * 0.6);
    let mut paint = Paint::default();
    paint.set_color(Color::from_rgba(red, green, blue, 1.0).unwrap_or(Color::BLACK));
    canvas.fill_rect(label.rect, &paint, Transform::identity(), None);
    paint.set_color(label.colour);
    if let Some(inside) = label.rect.inset(1.0, 1.0) {
        canvas.fill_rect(inside, &paint, Transform::identity(), None);
    }
    if let Some(path) =
        font.path(&label.text, label.rect.left() + font.padding(), label.rect.top() + font.ascent())
    {
        let mut ink = Paint { anti_alias: true, ..Paint::default() };
        ink.set_color(colours::ink_on(label.colour));
        canvas.fill_path(&path, &ink, FillRule::Winding, Transform::identity(), None);
    }
}

fn encoded(canvas: &Pixmap) -> Result<Vec<u8>, Error> {
    encode_png(&picture_of(canvas))
}

/// An opaque canvas as a picture.
fn picture_of(canvas: &Pixmap) -> Picture {
    let rgb = canvas.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect();
    Picture { width: canvas.width(), height: canvas.height(), rgb }
}

#[cfg(test)]
mod tests;
