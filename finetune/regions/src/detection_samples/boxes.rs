//! From a row to boxes with names.

use data_specs::{Picture, Sample, Tag};

use super::names::Names;
use super::settings::SampleSource;

/// A box with the numbers of its names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// Inside the picture.
    pub(super) rect: [f32; 4],
    pub(super) class: usize,
    /// Ascending.
    pub(super) attributes: Vec<usize>,
}

/// What is odd about a box.
pub(super) type Fault = &'static str;

/// A box reaches over the border of its picture.
const CLAMPED: Fault = "boxes reach over the border of their picture; clamped";
const OUTSIDE: Fault = "boxes have no area inside their picture; left out";
const NO_NUMBERS: Fault = "boxes have corners that are no numbers; left out";
const PLACELESS: Fault = "names have no box; left out";
const UNKNOWN: Fault = "boxes are of a class that is not learned; left out";
const OTHER_LIKE: Fault = "attributes are not learned; left out";

impl SampleSource {
    /// Whether a row is read.
    pub(super) fn takes(&self, sample: &Sample) -> bool {
        let split = self.splits.as_ref().is_none_or(|splits| splits.contains(&sample.split));
        split && sample.images.len() == 1
    }

    fn takes_tag(&self, tag: &Tag) -> bool {
        self.origins.as_ref().is_none_or(|origins| origins.contains(&tag.origin))
    }
}

/// Boxes, the name of their class, and those of their attributes.
pub(super) fn named<'p>(
    picture: &'p Picture,
    of: &'p SampleSource,
    odd: &mut dyn FnMut(Fault),
) -> Vec<([f32; 4], &'p str, Vec<&'p str>)> {
    let mut found = Vec::with_capacity(picture.tags.len());
    for tag in picture.tags.iter().filter(|tag| of.takes_tag(tag)) {
        let Some(rect) = place(picture, tag) else {
            odd(PLACELESS);
            continue;
        };
        let like = picture
            .attributes
            .iter()
            .filter(|like| of.takes_tag(like) && (like.region, like.rect) == (tag.region, tag.rect));
        found.push((rect, tag.name.as_str(), like.map(|like| like.name.as_str()).collect()));
    }
    found
}

/// What can be learned from a row; `odd` is told of everything else.
pub(super) fn objects(
    picture: &Picture,
    of: &SampleSource,
    classes: &Names,
    attributes: &Names,
    odd: &mut dyn FnMut(Fault),
) -> Vec<Object> {
    let (Some(width), Some(height)) = (picture.width, picture.height) else { return vec![] };
    let mut found = Vec::new();
    for (rect, class, like) in named(picture, of, odd) {
        let Some(class) = classes.number(class) else {
            odd(UNKNOWN);
            continue;
        };
        if !rect.iter().all(|x| x.is_finite()) {
            odd(NO_NUMBERS);
            continue;
        }
        let [x1, y1, x2, y2] = rect;
        let (width, height) = (width as f32, height as f32);
        let inside =
            [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)];
        if inside[2] <= inside[0] || inside[3] <= inside[1] {
            odd(OUTSIDE);
            continue;
        }
        if inside != rect {
            odd(CLAMPED);
        }
        let mut numbers = Vec::with_capacity(like.len());
        if !attributes.is_empty() {
            for name in like {
                match attributes.number(name) {
                    Some(number) => numbers.push(number),
                    None => odd(OTHER_LIKE),
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        found.push(Object { rect: inside, class, attributes: numbers });
    }
    found
}

fn place(picture: &Picture, tag: &Tag) -> Option<[f32; 4]> {
    let region = || picture.boxes.as_ref()?.get(usize::try_from(tag.region?).ok()?).copied();
    tag.rect.or_else(region)
}
