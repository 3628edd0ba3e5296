//! Sky and ground of a place, its marks, and clutter that is no object.

use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, PathBuilder, Pixmap, Point, Rect, Shader,
    SpreadMode, Stroke, Transform,
};

use crate::chance::Chance;
use crate::scene::Scene;
use crate::world::{Marks, World};

/// Blots and scratches, at most; too faint and shapeless to be taken for things.
const CLUTTER: u32 = 14;

pub(super) fn draw(world: &World, scene: &Scene, canvas: &mut Pixmap, chance: &mut Chance) {
    let place = &world.places[scene.place];
    let (width, height) = (scene.width as f32, scene.height as f32);
    let horizon = (height * scene.horizon).round();
    fill(canvas, [0.0, 0.0, width, horizon], place.sky, chance);
    fill(canvas, [0.0, horizon, width, height], place.ground, chance);
    let brush = Brush { width, height, horizon, sky: place.sky, ground: place.ground };
    match place.marks {
        Marks::Grass => brush.grass(canvas, chance),
        Marks::Waves => brush.waves(canvas, chance),
        Marks::Boards => brush.boards(canvas, chance),
        Marks::Skyline => brush.skyline(canvas, chance),
        Marks::Stars => brush.stars(canvas, chance),
    }
    brush.clutter(canvas, chance);
}

/// A surface with a little more light above or below.
fn fill(canvas: &mut Pixmap, [x0, y0, x1, y1]: [f32; 4], rgb: [u8; 3], chance: &mut Chance) {
    let tones = [chance.between([0.95, 1.05]), chance.between([0.95, 1.05])];
    let stops = tones.iter().zip([0.0, 1.0]).map(|(&tone, at)| GradientStop::new(at, colour(rgb, tone, 255)));
    let shader = LinearGradient::new(
        Point::from_xy(x0, y0),
        Point::from_xy(x0, y1),
        stops.collect(),
        SpreadMode::Pad,
        Transform::identity(),
    );
    let shader = shader.unwrap_or(Shader::SolidColor(colour(rgb, 1.0, 255)));
    if let Some(rect) = Rect::from_ltrb(x0, y0, x1, y1) {
        canvas.fill_rect(rect, &Paint { shader, ..Paint::default() }, Transform::identity(), None);
    }
}

fn colour(rgb: [u8; 3], tone: f32, alpha: u8) -> Color {
    let [red, green, blue] = rgb.map(|channel| (f32::from(channel) * tone).clamp(0.0, 255.0) as u8);
    Color::from_rgba8(red, green, blue, alpha)
}

fn paint(colour: Color) -> Paint<'static> {
    Paint { shader: Shader::SolidColor(colour), anti_alias: true, ..Paint::default() }
}

struct Brush {
    width: f32,
    height: f32,
    horizon: f32,
    sky: [u8; 3],
    ground: [u8; 3],
}

impl Brush {
    fn line(&self, canvas: &mut Pixmap, points: &[[f32; 2]], width: f32, colour: Color) {
        let mut builder = PathBuilder::new();
        for (at, &[x, y]) in points.iter().enumerate() {
            if at == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        if let Some(path) = builder.finish() {
            let stroke = Stroke { width, ..Stroke::default() };
            canvas.stroke_path(&path, &paint(colour), &stroke, Transform::identity(), None);
        }
    }

    fn block(&self, canvas: &mut Pixmap, [x0, y0, x1, y1]: [f32; 4], colour: Color) {
        if let Some(rect) = Rect::from_ltrb(x0, y0, x1, y1) {
            canvas.fill_rect(rect, &paint(colour), Transform::identity(), None);
        }
    }

    fn below(&self, chance: &mut Chance) -> [f32; 2] {
        [chance.between([0.0, self.width]), chance.between([self.horizon, self.height])]
    }

    fn grass(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        for _ in 0..90 {
            let [x, y] = self.below(chance);
            let tip = [x + chance.between([-2.0, 2.0]), y - chance.between([3.0, 6.0])];
            let tone = chance.between([0.78, 0.92]);
            self.line(canvas, &[[x, y], tip], 1.0, colour(self.ground, tone, 255));
        }
    }

    fn waves(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        let sea = (self.horizon - self.height * 0.16).max(0.0);
        self.block(canvas, [0.0, sea, self.width, self.horizon], Color::from_rgba8(150, 186, 206, 255));
        for _ in 0..14 {
            let (x, y) = (chance.between([0.0, self.width]), chance.between([sea + 3.0, self.horizon - 2.0]));
            let crest = [[x, y], [x + 5.0, y - 2.0], [x + 10.0, y]];
            self.line(canvas, &crest, 1.0, Color::from_rgba8(206, 224, 232, 255));
        }
        for _ in 0..60 {
            let [x, y] = self.below(chance);
            let grain = [x, y, x + 1.5, y + 1.5];
            self.block(canvas, grain, colour(self.ground, chance.between([0.84, 0.94]), 255));
        }
    }

    fn boards(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        let step = chance.between([18.0, 30.0]);
        let mut x = chance.between([0.0, step]);
        while x < self.width {
            self.line(canvas, &[[x, 0.0], [x, self.horizon]], 1.0, colour(self.sky, 0.94, 255));
            x += step;
        }
        let mut y = self.horizon + step * 0.4;
        while y < self.height {
            self.line(canvas, &[[0.0, y], [self.width, y]], 1.0, colour(self.ground, 0.86, 255));
            y += step * 0.6;
        }
        let skirting = [0.0, self.horizon - 5.0, self.width, self.horizon];
        self.block(canvas, skirting, colour(self.sky, 0.82, 255));
    }

    fn skyline(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        let mut x = 0.0;
        while x < self.width {
            let wide = chance.between([18.0, 40.0]);
            let top = self.horizon * chance.between([0.3, 0.8]);
            let tone = chance.between([0.84, 0.93]);
            self.block(
                canvas,
                [x, top, (x + wide).min(self.width), self.horizon],
                colour(self.sky, tone, 255),
            );
            x += wide;
        }
        let middle = (self.horizon + self.height) / 2.0;
        let mut x = chance.between([0.0, 20.0]);
        while x < self.width {
            self.line(canvas, &[[x, middle], [x + 14.0, middle]], 2.0, colour(self.ground, 1.2, 255));
            x += 30.0;
        }
    }

    fn stars(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        for _ in 0..40 {
            let (x, y) = (chance.between([0.0, self.width]), chance.between([0.0, self.horizon]));
            let size = chance.between([0.8, 1.8]);
            self.block(canvas, [x, y, x + size, y + size], Color::from_rgba8(214, 214, 190, 255));
        }
    }

    fn clutter(&self, canvas: &mut Pixmap, chance: &mut Chance) {
        for _ in 0..chance.whole([0, CLUTTER]) {
            let (x, y) = (chance.between([0.0, self.width]), chance.between([0.0, self.height]));
            let tone = chance.between([0.82, 1.16]);
            let ground = if y < self.horizon { self.sky } else { self.ground };
            if chance.happens(0.5) {
                let end = [x + chance.between([-30.0, 30.0]), y + chance.between([-14.0, 14.0])];
                self.line(canvas, &[[x, y], end], chance.between([1.0, 2.5]), colour(ground, tone, 150));
            } else {
                let (across, down) = (chance.between([3.0, 12.0]), chance.between([2.0, 7.0]));
                let oval = Rect::from_xywh(x, y, across, down).and_then(PathBuilder::from_oval);
                if let Some(oval) = oval {
                    let blot = paint(colour(ground, tone, 150));
                    canvas.fill_path(&oval, &blot, FillRule::Winding, Transform::identity(), None);
                }
            }
        }
    }
}
