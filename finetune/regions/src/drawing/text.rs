//! Text as paths: DejaVu Sans for what it has, GNU Unifont's dots for the rest of the basic plane.

use std::borrow::Cow;

use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlineGlyphCollection, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use tiny_skia::{Path, PathBuilder, Rect};

/// Rows of a Unifont glyph, and how many of them stand above the baseline.
const DOTS: usize = 16;
const DOTS_ABOVE: f32 = 14.0;

/// The fonts at one size.
pub(super) struct Font {
    size: f32,
    font: FontRef<'static>,
    outlines: OutlineGlyphCollection<'static>,
}

/// What shows a character.
enum Shape {
    Outline(GlyphId),
    Dots(&'static unifont::Glyph),
    Gap,
}

impl Font {
    /// `size` in pixels, from one line's baseline to the next when set solid.
    pub(super) fn new(size: f32) -> Self {
        let font = FontRef::new(dejavu::sans_condensed::bold()).expect("the crate holds a font");
        Self { size, outlines: font.outline_glyphs(), font }
    }

    /// Room at both ends of a label.
    pub(super) fn padding(&self) -> f32 {
        (self.size * 0.25).ceil()
    }

    /// Height of a label.
    pub(super) fn line(&self) -> f32 {
        (self.size * 1.3).ceil()
    }

    /// From a label's upper edge to the baseline.
    pub(super) fn ascent(&self) -> f32 {
        self.size * 1.01
    }

    pub(super) fn width(&self, text: &str) -> f32 {
        text.chars().map(|one| self.advance(one)).sum()
    }

    /// The text, or as much of its beginning as fits into a picture, and an ellipsis.
    pub(super) fn fitting<'a>(&self, text: &'a str, picture_width: f32) -> Cow<'a, str> {
        let room = picture_width - 2.0 * self.padding();
        if self.width(text) <= room {
            return Cow::Borrowed(text);
        }
        let mut left = room - self.advance('…');
        let fits = |&(_, one): &(usize, char)| {
            left -= self.advance(one);
            left >= 0.0
        };
        let end = text.char_indices().take_while(fits).last().map_or(0, |(at, one)| at + one.len_utf8());
        Cow::Owned(format!("{}…", text[..end].trim_end()))
    }

    /// The text's shape with its baseline beginning at x, y; none where nothing is visible.
    pub(super) fn path(&self, text: &str, mut x: f32, y: f32) -> Option<Path> {
        let mut pen = Pen { path: PathBuilder::new(), x, y };
        for one in text.chars() {
            pen.x = x;
            match self.shape(one) {
                Shape::Outline(glyph) => {
                    let settings = DrawSettings::unhinted(Size::new(self.size), LocationRef::default());
                    if let Some(outline) = self.outlines.get(glyph) {
                        // A glyph that cannot be drawn leaves its gap: the font is fixed, and a test draws all of it.
                        let _ = outline.draw(settings, &mut pen);
                    }
                }
                Shape::Dots(glyph) => self.dots(glyph, &mut pen),
                Shape::Gap => {}
            }
            x += self.advance(one);
        }
        pen.path.finish()
    }

    fn shape(&self, one: char) -> Shape {
        if one.is_whitespace() || one.is_control() {
            return Shape::Gap;
        }
        if let Some(glyph) = self.font.charmap().map(one) {
            return Shape::Outline(glyph);
        }
        unifont::get_glyph(one).or_else(|| unifont::get_glyph('\u{fffd}')).map_or(Shape::Gap, Shape::Dots)
    }

    fn advance(&self, one: char) -> f32 {
        match self.shape(one) {
            Shape::Outline(glyph) => {
                let metrics = self.font.glyph_metrics(Size::new(self.size), LocationRef::default());
                metrics.advance_width(glyph).unwrap_or_default()
            }
            Shape::Dots(glyph) => glyph.get_width() as f32 * self.dot(),
            Shape::Gap => self.size * 0.3,
        }
    }

    /// Side of a dot.
    fn dot(&self) -> f32 {
        self.size * 1.15 / DOTS as f32
    }

    fn dots(&self, glyph: &unifont::Glyph, pen: &mut Pen) {
        let dot = self.dot();
        let top = pen.y - DOTS_ABOVE * dot;
        for row in 0..DOTS {
            for column in (0..glyph.get_width()).filter(|&column| glyph.get_pixel(column, row)) {
                let (x, y) = (pen.x + column as f32 * dot, top + row as f32 * dot);
                if let Some(rect) = Rect::from_xywh(x, y, dot, dot) {
                    pen.path.push_rect(rect);
                }
            }
        }
    }
}

/// Fonts count upwards, pictures downwards.
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, self.y - y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, self.y - y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + x1, self.y - y1, self.x + x, self.y - y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + x1, self.y - y1, self.x + x2, self.y - y2, self.x + x, self.y - y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_shape() {
        let font = Font::new(14.0);
        for text in ["dog", "Straße", "żółw", "σκύλος", "собака", "犬", "강아지", "สุนัข", "0.93", "狗"]
        {
            let bounds = font.path(text, 10.0, 20.0).unwrap_or_else(|| panic!("{text}")).bounds();
            assert!(
                bounds.left() >= 8.0 && bounds.right() <= 10.0 + font.width(text) + 2.0,
                "{text}: {bounds:?}"
            );
            assert!(
                bounds.top() > 20.0 - font.line() && bounds.bottom() < 20.0 + font.line() / 2.0,
                "{text}: {bounds:?}"
            );
        }
        assert!(font.path(" \n\t", 0.0, 0.0).is_none());
        // Outside the basic plane: a mark that says so, not nothing.
        assert!(font.path("🐕", 0.0, 20.0).is_some());
    }

    #[test]
    fn every_outline_can_be_drawn() {
        let font = Font::new(14.0);
        let mut drawn = 0;
        for (character, glyph) in font.font.charmap().mappings() {
            let outline = font.outlines.get(glyph).unwrap_or_else(|| panic!("{character:x}"));
            let settings = DrawSettings::unhinted(Size::new(14.0), LocationRef::default());
            outline.draw(settings, &mut Pen { path: PathBuilder::new(), x: 0.0, y: 0.0 }).unwrap();
            drawn += 1;
        }
        assert!(drawn > 5000, "{drawn}");
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        let font = Font::new(14.0);
        let long = "a very long label that goes on and on without any end";
        let short = font.fitting(long, 100.0);
        assert!(short.ends_with('…') && long.starts_with(short.trim_end_matches('…')), "{short}");
        assert!(font.width(&short) <= 100.0 - 2.0 * font.padding());
        assert_eq!(font.fitting("dog", 100.0), "dog");
        assert_eq!(font.fitting("dog", 1.0), "…");
    }
}
