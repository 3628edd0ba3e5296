//! Kinds of objects as small vector drawings.

use serde::Deserialize;
use tiny_skia::{Path, PathBuilder, Rect, Transform};

/// A kind of object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) plural: String,
    pub(crate) category: String,
    #[serde(default)]
    pub(crate) domain: Domain,
    /// What some annotators say instead.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// It may be turned by so many degrees either way.
    #[serde(default = "few_degrees")]
    pub(crate) turn: f32,
    /// x0, x1, y of the surface that others can be on.
    #[serde(default)]
    pub(crate) top: Option<[f32; 3]>,
    /// x0, y0, x1, y1 of the room that others can be inside of.
    #[serde(default)]
    pub(crate) inside: Option<[f32; 4]>,
    /// x, y of what it can hold others with.
    #[serde(default)]
    pub(crate) hand: Option<[f32; 2]>,
    /// Drawn one after the other.
    pub(crate) parts: Vec<Part>,
}

/// Whether captions for training speak of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Domain {
    /// They do.
    #[default]
    In,
    /// They never do.
    Out,
}

/// One shape of a drawing, filled or (with `width`) as a line.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Drawn")]
pub(crate) struct Part {
    pub(crate) fill: Fill,
    pub(crate) shape: Shape,
    /// Of the line; none for a filled shape.
    pub(crate) width: Option<f32>,
}

/// With what a part is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fill {
    /// The object's colour and texture.
    Main,
    /// A darker tone of its colour, without texture.
    Shade,
    /// White, whatever the object's colour.
    White,
    /// Nearly black, as outlines are.
    Ink,
}

/// The form of a part.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Corners.
    Polygon(Vec<[f32; 2]>),
    /// Points of an open line.
    Line(Vec<[f32; 2]>),
    /// x and y of the centre, both radii.
    Ellipse([f32; 4]),
    /// x, y, width, height.
    Box([f32; 4]),
    /// Moves, lines and curves.
    Path(Path),
}

/// A part as it is written: one of the shapes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    fill: Fill,
    polygon: Option<Vec<[f32; 2]>>,
    line: Option<Vec<[f32; 2]>>,
    ellipse: Option<[f32; 4]>,
    #[serde(rename = "box")]
    rect: Option<[f32; 4]>,
    path: Option<String>,
    width: Option<f32>,
}

impl TryFrom<Drawn> for Part {
    type Error = String;

    fn try_from(drawn: Drawn) -> Result<Part, String> {
        let path = drawn.path.as_deref().map(parse_path).transpose()?;
        let shapes = [
            drawn.polygon.map(Shape::Polygon),
            drawn.line.map(Shape::Line),
            drawn.ellipse.map(Shape::Ellipse),
            drawn.rect.map(Shape::Box),
            path.map(Shape::Path),
        ];
        let mut shapes = shapes.into_iter().flatten();
        let (Some(shape), None) = (shapes.next(), shapes.next()) else {
            return Err("a part has one of polygon, line, ellipse, box, path".into());
        };
        if matches!(shape, Shape::Line(_)) && drawn.width.is_none() {
            return Err("a line needs a width".into());
        }
        if drawn.width.is_some_and(|width| !(width > 0.0 && width <= 100.0)) {
            return Err("width lies above 0 and at most at 100".into());
        }
        let flat = match &shape {
            Shape::Ellipse([_, _, across, down]) | Shape::Box([_, _, across, down]) => {
                !(*across > 0.0 && *down > 0.0)
            }
            _ => false,
        };
        if flat {
            return Err("a shape without extent".into());
        }
        let part = Part { fill: drawn.fill, shape, width: drawn.width };
        match part.outline() {
            Some(_) => Ok(part),
            None => Err("a shape without extent".into()),
        }
    }
}

impl Part {
    /// The shape in the units of its kind; none if it has no extent.
    pub(crate) fn outline(&self) -> Option<Path> {
        match &self.shape {
            Shape::Polygon(points) | Shape::Line(points) => {
                let mut builder = PathBuilder::new();
                let (first, rest) = points.split_first()?;
                builder.move_to(first[0], first[1]);
                rest.iter().for_each(|&[x, y]| builder.line_to(x, y));
                if matches!(self.shape, Shape::Polygon(_)) {
                    builder.close();
                }
                builder.finish()
            }
            Shape::Ellipse([x, y, across, down]) => {
                PathBuilder::from_oval(Rect::from_xywh(x - across, y - down, 2.0 * across, 2.0 * down)?)
            }
            Shape::Box([x, y, width, height]) => {
                Some(PathBuilder::from_rect(Rect::from_xywh(*x, *y, *width, *height)?))
            }
            Shape::Path(path) => Some(path.clone()),
        }
    }
}

impl Kind {
    /// Left, top, right, bottom of the drawing in its own units, lines included.
    pub(crate) fn extent(&self) -> [f32; 4] {
        self.parts.iter().fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |all, part| {
            let path = part.outline().expect("parts without extent are refused when they are read");
            let bounds = path.compute_tight_bounds().unwrap_or_else(|| path.bounds());
            let half = part.width.unwrap_or_default() / 2.0;
            [
                all[0].min(bounds.left() - half),
                all[1].min(bounds.top() - half),
                all[2].max(bounds.right() + half),
                all[3].max(bounds.bottom() + half),
            ]
        })
    }
}

fn few_degrees() -> f32 {
    12.0
}

/// `M x y`, `L x y`, `Q x y x y`, `C x y x y x y` and `Z`, all absolute.
fn parse_path(text: &str) -> Result<Path, String> {
    let mut builder = PathBuilder::new();
    let mut words = text.split_ascii_whitespace();
    while let Some(command) = words.next() {
        let count = match command {
            "M" | "L" => 2,
            "Q" => 4,
            "C" => 6,
            "Z" => 0,
            other => return Err(format!("`{other}` is none of the path commands M, L, Q, C, Z")),
        };
        let mut numbers = [0.0f32; 6];
        for number in &mut numbers[..count] {
            let word = words.next().ok_or_else(|| format!("`{command}` has too few numbers"))?;
            *number = word.parse().map_err(|_| format!("`{word}` is no number"))?;
        }
        let [a, b, c, d, e, f] = numbers;
        match command {
            "M" => builder.move_to(a, b),
            "L" => builder.line_to(a, b),
            "Q" => builder.quad_to(a, b, c, d),
            "C" => builder.cubic_to(a, b, c, d, e, f),
            _ => builder.close(),
        }
    }
    let path = builder.finish().ok_or("a path without extent")?;
    path.transform(Transform::identity()).ok_or_else(|| "a path with numbers too large".into())
}
