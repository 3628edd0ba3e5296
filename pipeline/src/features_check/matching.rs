//! Regions of two data sets that are one.

use std::collections::BTreeSet;

use data_specs::Picture;

/// What one data set says of a picture.
pub(super) struct Seen {
    pub(super) regions: usize,
    /// Corners, in shares of the picture's sides or in pixels.
    places: Places,
    /// n x d.
    numbers: Vec<f32>,
    width: usize,
    /// Lower case.
    pub(super) tags: BTreeSet<String>,
}

enum Places {
    Shares(Vec<[f64; 4]>),
    Pixels(Vec<[f64; 4]>),
    Unknown,
}

/// A region of the one and a region of the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) one: usize,
    pub(super) other: usize,
    pub(super) iou: f64,
}

impl Seen {
    pub(super) fn new(picture: &Picture, numbers: Vec<f32>, width: usize) -> Seen {
        let wide = |rect: &[f32; 4]| rect.map(f64::from);
        let places = match (&picture.boxes, &picture.geometry, picture.width, picture.height) {
            (Some(boxes), _, Some(width), Some(height)) => {
                let (width, height) = (f64::from(width), f64::from(height));
                let share = |rect: &[f32; 4]| {
                    let [x1, y1, x2, y2] = wide(rect);
                    [x1 / width, y1 / height, x2 / width, y2 / height]
                };
                Places::Shares(boxes.iter().map(share).collect())
            }
            (_, Some(geometry), ..) => {
                Places::Shares(geometry.iter().map(|&[x1, y1, x2, y2, ..]| wide(&[x1, y1, x2, y2])).collect())
            }
            (Some(boxes), None, ..) => Places::Pixels(boxes.iter().map(wide).collect()),
            (None, None, ..) => Places::Unknown,
        };
        let tags = picture.tags.iter().map(|tag| tag.name.to_lowercase()).collect();
        Seen { regions: picture.regions as usize, places, numbers, width, tags }
    }

    /// Regions of both that overlap by `least` or more: the pair of largest overlap first, each region once. Nothing
    /// where the places of the two cannot be compared.
    pub(super) fn matched(&self, other: &Seen, least: f64) -> Option<Vec<Pair>> {
        let (mine, theirs) = match (&self.places, &other.places) {
            (Places::Shares(mine), Places::Shares(theirs))
            | (Places::Pixels(mine), Places::Pixels(theirs)) => (mine, theirs),
            _ => return None,
        };
        let mut all = Vec::new();
        for (one, mine) in mine.iter().enumerate() {
            for (other, theirs) in theirs.iter().enumerate() {
                let iou = iou(mine, theirs);
                if iou >= least && iou > 0.0 {
                    all.push(Pair { one, other, iou });
                }
            }
        }
        all.sort_by(|a, b| b.iou.total_cmp(&a.iou).then((a.one, a.other).cmp(&(b.one, b.other))));
        let (mut taken, mut taken_there) = (vec![false; mine.len()], vec![false; theirs.len()]);
        all.retain(|pair| {
            let free = !taken[pair.one] && !taken_there[pair.other];
            if free {
                (taken[pair.one], taken_there[pair.other]) = (true, true);
            }
            free
        });
        Some(all)
    }

    /// The cosine of two regions' vectors, and the quotient of their lengths; nothing where a vector is missing, of another
    /// width, zero, or has numbers that are none.
    pub(super) fn cosine(&self, other: &Seen, pair: Pair) -> Option<(f64, f64)> {
        if self.width != other.width || self.width == 0 {
            return None;
        }
        let row = |seen: &'_ Seen, region: usize| region * seen.width..(region + 1) * seen.width;
        let mine = self.numbers.get(row(self, pair.one))?;
        let theirs = other.numbers.get(row(other, pair.other))?;
        let (mut both, mut long, mut long_there) = (0.0f64, 0.0f64, 0.0f64);
        for (&x, &y) in mine.iter().zip(theirs) {
            let (x, y) = (f64::from(x), f64::from(y));
            both += x * y;
            long += x * x;
            long_there += y * y;
        }
        let (long, long_there) = (long.sqrt(), long_there.sqrt());
        let cosine = both / (long * long_there);
        cosine.is_finite().then(|| (cosine.clamp(-1.0, 1.0), long / long_there))
    }
}

fn iou(one: &[f64; 4], other: &[f64; 4]) -> f64 {
    let wide = (one[2].min(other[2]) - one[0].max(other[0])).max(0.0);
    let high = (one[3].min(other[3]) - one[1].max(other[1])).max(0.0);
    let area = |rect: &[f64; 4]| (rect[2] - rect[0]) * (rect[3] - rect[1]);
    let both = wide * high;
    let all = area(one) + area(other) - both;
    if all > 0.0 { both / all } else { 0.0 }
}
