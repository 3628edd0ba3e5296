//! Which detections become constraints.

use super::{Detection, Hierarchy, MAX_CONSTRAINTS};
use crate::Result;

/// What becomes of a generic class whose box is nearly that of a more specific one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It stays. So does the published program: it visits classes from the most specific one on and removes only what is more
    /// specific than the visited one, which never comes after it. Published scores are of this.
    #[default]
    Kept,
    /// It goes, as the paper says (1812.08658, section 4.2): `dog` removes `mammal`.
    GenericRemoved,
}

/// Chooses constraints among the detections of a picture.
#[derive(Debug)]
pub struct ConstraintFilter {
    hierarchy: Hierarchy,
    overlap: Overlap,
}

/// Boxes that share more of their union are taken for one thing.
const SAME_THING: f64 = 0.85;

/// Classes that people do not name, or that COCO's captions name well enough.
const NOT_NAMED: [&str; 40] = [
    "__background__",
    "auto part",
    "bathroom accessory",
    "bicycle wheel",
    "boy",
    "building",
    "clothing",
    "door handle",
    "fashion accessory",
    "footwear",
    "girl",
    "hiking equipment",
    "human arm",
    "human beard",
    "human body",
    "human ear",
    "human eye",
    "human face",
    "human foot",
    "human hair",
    "human hand",
    "human head",
    "human leg",
    "human mouth",
    "human nose",
    "land vehicle",
    "mammal",
    "man",
    "person",
    "personal care",
    "plant",
    "plumbing fixture",
    "seat belt",
    "skull",
    "sports equipment",
    "tire",
    "tree",
    "vehicle registration plate",
    "wheel",
    "woman",
];

/// What people say instead.
const SAID_AS: [(&str, &str); 6] = [
    ("band-aid", "bandaid"),
    ("kitchen & dining room table", "table"),
    ("luggage and bags", "luggage"),
    ("power plugs and sockets", "power plugs"),
    ("salt and pepper shakers", "salt and pepper"),
    ("wood-burning stove", "wood burning stove"),
];

impl ConstraintFilter {
    /// The published filter with the classes of `hierarchy`.
    pub fn new(hierarchy: Hierarchy, overlap: Overlap) -> Self {
        Self { hierarchy, overlap }
    }

    /// Names of up to [`MAX_CONSTRAINTS`] things, in small letters, no two alike; the most confident first.
    ///
    /// Of the detections with a confidence above 0 and a class that people name, the most confident ones are taken, then renamed,
    /// then doubled names are dropped: there may be fewer than three though more classes were seen. Of equally confident ones the
    /// more specific class comes first, then the first in the file. (The published program puts the names into a set, whose
    /// order differs from run to run; the caption can depend on it.)
    pub fn constraints(&self, detections: &[Detection]) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        for detection in detections.iter().filter(|detection| detection.confidence > 0.0) {
            let class = detection.class.to_lowercase();
            if NOT_NAMED.binary_search(&class.as_str()).is_err() {
                seen.push(Seen { height: self.hierarchy.height(&class)?, class, detection });
            }
        }
        // Stable: equal heights stay in the order of the file.
        seen.sort_by_key(|seen| seen.height);
        if self.overlap == Overlap::GenericRemoved {
            seen = without_generic(seen);
        }
        seen.sort_by(|one, other| other.detection.confidence.total_cmp(&one.detection.confidence));
        let mut names: Vec<String> = Vec::new();
        for Seen { class, .. } in seen.into_iter().take(MAX_CONSTRAINTS) {
            let said = SAID_AS.iter().find(|(name, _)| *name == class).map(|(_, said)| (*said).to_owned());
            let name = said.unwrap_or(class);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }
}

struct Seen<'a> {
    class: String,
    height: usize,
    detection: &'a Detection,
}

/// Without those whose box is that of a more specific one that stays; they come by height.
fn without_generic(seen: Vec<Seen<'_>>) -> Vec<Seen<'_>> {
    let mut kept: Vec<Seen<'_>> = Vec::with_capacity(seen.len());
    for candidate in seen {
        let is_generic = kept.iter().any(|specific| {
            candidate.height > specific.height
                && intersection_over_union(&candidate.detection.rect, &specific.detection.rect) > SAME_THING
        });
        if !is_generic {
            kept.push(candidate);
        }
    }
    kept
}

/// Of boxes whose last pixels count as covered, as published.
fn intersection_over_union(one: &[f64; 4], other: &[f64; 4]) -> f64 {
    let area = |[x1, y1, x2, y2]: &[f64; 4]| (x2 - x1 + 1.0) * (y2 - y1 + 1.0);
    let side =
        |low: usize, high: usize| (one[high].min(other[high]) - one[low].max(other[low]) + 1.0).max(0.0);
    let intersection = side(0, 2) * side(1, 3);
    intersection / (area(one) + area(other) - intersection)
}
