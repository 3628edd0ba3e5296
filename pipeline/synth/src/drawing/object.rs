//! One object: its parts in its colour and texture, with outlines.

use tiny_skia::{
    Color, FillRule, FilterQuality, LineCap, LineJoin, Paint, Path, PathBuilder, Pattern, Pixmap,
    PixmapPaint, Rect, Shader, SpreadMode, Stroke, Transform,
};

use super::INK;
use crate::scene::Object;
use crate::world::{Fill, Weave, World};

/// An object on a ground of its own.
pub(super) struct Drawn {
    pixels: Pixmap,
    left: i32,
    top: i32,
}

/// Pixels of a texture's tile, which is laid out larger or smaller.
const TILE: u32 = 32;
/// How dark the second tone of a texture and the shaded parts are.
const TONE: f32 = 0.58;
const SHADE: f32 = 0.74;

pub(super) fn draw(world: &World, object: &Object) -> Drawn {
    let kind = &world.kinds[object.kind];
    let pose = object.pose;
    let extent = kind.extent();
    let scale = pose.side / (extent[2] - extent[0]).max(extent[3] - extent[1]);
    // Room for the object at any turn, and for its outline.
    let reach = (pose.side * 0.71 + 4.0).ceil();
    let (left, top) = ((pose.centre[0] - reach).floor(), (pose.centre[1] - reach).floor());
    let side = (2.0 * reach) as u32 + 2;
    let mut pixels = Pixmap::new(side, side).expect("an object has a size");

    let (sin, cos) = (libm::sinf(pose.turn), libm::cosf(pose.turn));
    let turned = if pose.flipped { -scale } else { scale };
    let centre = [(extent[0] + extent[2]) / 2.0, (extent[1] + extent[3]) / 2.0];
    let place = Transform::from_translate(-centre[0], -centre[1])
        .post_concat(Transform::from_row(turned, 0.0, 0.0, scale, 0.0, 0.0))
        .post_concat(Transform::from_row(cos, sin, -sin, cos, 0.0, 0.0))
        .post_translate(pose.centre[0] - left, pose.centre[1] - top);

    let colour = world.colours[object.colour].rgb;
    let tile = tile(world.textures[object.texture].weave, colour);
    // Small objects have fewer stripes, not thinner ones.
    let period = (pose.side * 0.2).clamp(8.0, 15.0) / TILE as f32;
    let lay = Transform::from_scale(period, period)
        .post_concat(Transform::from_row(cos, sin, -sin, cos, 0.0, 0.0))
        .post_translate(pose.centre[0] - left, pose.centre[1] - top);
    let line = (pose.side * 0.022).clamp(1.0, 2.0);

    for part in &kind.parts {
        let Some(path) = part.outline().and_then(|path| path.transform(place)) else { continue };
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        match part.fill {
            Fill::Main => {
                paint.shader =
                    Pattern::new(tile.as_ref(), SpreadMode::Repeat, FilterQuality::Bilinear, 1.0, lay);
            }
            Fill::Shade => paint.shader = solid(toned(colour, SHADE)),
            Fill::White => paint.shader = solid([244, 244, 242]),
            Fill::Ink => paint.shader = solid(INK),
        }
        match part.width {
            None => filled(&mut pixels, &path, &paint, line, part.fill),
            Some(width) => stroked(&mut pixels, &path, &paint, (width * scale).max(1.0), line, part.fill),
        }
    }
    Drawn { pixels, left: left as i32, top: top as i32 }
}

fn filled(pixels: &mut Pixmap, path: &Path, paint: &Paint<'_>, line: f32, fill: Fill) {
    pixels.fill_path(path, paint, FillRule::Winding, Transform::identity(), None);
    if fill != Fill::Ink {
        pixels.stroke_path(path, &ink(), &stroke(line), Transform::identity(), None);
    }
}

fn stroked(pixels: &mut Pixmap, path: &Path, paint: &Paint<'_>, width: f32, line: f32, fill: Fill) {
    if fill != Fill::Ink {
        pixels.stroke_path(path, &ink(), &stroke(width + line), Transform::identity(), None);
    }
    pixels.stroke_path(path, paint, &stroke((width - line * 0.5).max(1.0)), Transform::identity(), None);
}

fn ink() -> Paint<'static> {
    Paint { shader: solid(INK), anti_alias: true, ..Paint::default() }
}

fn stroke(width: f32) -> Stroke {
    Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() }
}

fn solid([red, green, blue]: [u8; 3]) -> Shader<'static> {
    Shader::SolidColor(Color::from_rgba8(red, green, blue, 255))
}

fn toned(rgb: [u8; 3], tone: f32) -> [u8; 3] {
    rgb.map(|channel| (f32::from(channel) * tone) as u8)
}

/// One period of a texture, both ways.
fn tile(weave: Weave, colour: [u8; 3]) -> Pixmap {
    let mut tile = Pixmap::new(TILE, TILE).expect("a tile has a size");
    let [red, green, blue] = colour;
    tile.fill(Color::from_rgba8(red, green, blue, 255));
    let paint = Paint { shader: solid(toned(colour, TONE)), anti_alias: true, ..Paint::default() };
    let side = TILE as f32;
    let boxes: &[[f32; 4]] = match weave {
        Weave::Plain | Weave::Dots => &[],
        Weave::Stripes => &[[0.0, 0.0, 1.0, 0.5]],
        Weave::Checks => &[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]],
    };
    for &[x, y, width, height] in boxes {
        if let Some(rect) = Rect::from_xywh(x * side, y * side, width * side, height * side) {
            tile.fill_rect(rect, &paint, Transform::identity(), None);
        }
    }
    if weave == Weave::Dots
        && let Some(dot) = PathBuilder::from_circle(side / 2.0, side / 2.0, side * 0.28)
    {
        tile.fill_path(&dot, &paint, FillRule::Winding, Transform::identity(), None);
    }
    tile
}

impl Drawn {
    /// Puts the object on the canvas and its number on the pixels it covers; how many those are.
    pub(super) fn place(&self, canvas: &mut Pixmap, owner: &mut [u8], number: u8) -> u32 {
        let (width, height) = (canvas.width() as i32, canvas.height() as i32);
        canvas.draw_pixmap(
            self.left,
            self.top,
            self.pixels.as_ref(),
            &PixmapPaint::default(),
            Transform::identity(),
            None,
        );
        let mut covered = 0;
        for (at, pixel) in self.pixels.pixels().iter().enumerate() {
            let side = self.pixels.width() as i32;
            let (x, y) = (self.left + at as i32 % side, self.top + at as i32 / side);
            if pixel.alpha() > 127 && x >= 0 && y >= 0 && x < width && y < height {
                owner[(y * width + x) as usize] = number;
                covered += 1;
            }
        }
        covered
    }
}
