//! COCO's rules (Paper: 1405.0312, section 5; the numbers are pycocotools').
//!
//! Per picture and class the surest 100 boxes are matched, surest first, each with the truth of largest overlap that
//! is still free. Truths outside a range of sizes, and crowds, are to be ignored: they are matched when nothing else is
//! left, crowds by any number of boxes, and whoever matches them does not count; nor does an unmatched box outside the
//! range.

use rayon::prelude::*;

use super::{FoundBox, PictureBoxes, TrueBox};

/// Boxes of a picture and class that count.
const MOST: [usize; 3] = [1, 10, 100];
/// Overlaps at which a box is right.
const OVERLAPS: usize = 10;
/// Recalls at which precision is read.
const RECALLS: usize = 101;
/// Square pixels: all, small, medium, large; both ends belong to a range.
const SIZES: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
/// The range of all sizes.
pub(super) const ALL: usize = 0;

/// One class.
pub(super) struct OfClass {
    by_size: [Option<OfSize>; 4],
}

struct OfSize {
    /// Overlaps x recalls, with 100 boxes.
    precision: Vec<f64>,
    /// Per number of boxes, per overlap.
    recall: [[f64; OVERLAPS]; 3],
}

/// What became of a box in its picture.
struct Matched {
    score: f64,
    /// How many of its picture and class are surer.
    rank: usize,
    /// A bit an overlap.
    right: u16,
    ignored: u16,
}

/// Boxes of one class in one picture, the surest 100, surest first, and how they overlap with truths.
struct Pair<'p> {
    truths: Vec<&'p TrueBox>,
    found: Vec<&'p FoundBox>,
    /// Found x truths.
    overlaps: Vec<f64>,
}

/// All classes.
pub(super) fn measure(classes: usize, pictures: &[PictureBoxes]) -> Vec<OfClass> {
    let mut pairs: Vec<Vec<Pair<'_>>> = (0..classes).map(|_| Vec::new()).collect();
    for picture in pictures {
        let mut some: Vec<usize> = picture.truths.iter().map(|truth| truth.class).collect();
        some.extend(picture.found.iter().map(|found| found.class));
        some.sort_unstable();
        some.dedup();
        for class in some.into_iter().filter(|&class| class < classes) {
            pairs[class].push(Pair::new(picture, class));
        }
    }
    pairs
        .par_iter()
        .map(|pairs| OfClass { by_size: SIZES.map(|size| OfSize::measure(pairs, size)) })
        .collect()
}

/// Mean over overlaps (or at the one given), recalls and classes.
pub(super) fn mean_precision(classes: &[OfClass], size: usize, overlap: Option<usize>) -> Option<f64> {
    let values = classes.iter().filter_map(|class| class.by_size[size].as_ref());
    mean(values.flat_map(|of| of.precision_at(overlap).iter().copied()))
}

/// Mean over overlaps and classes, with `MOST[most]` boxes.
pub(super) fn mean_recall(classes: &[OfClass], size: usize, most: usize) -> Option<f64> {
    let values = classes.iter().filter_map(|class| class.by_size[size].as_ref());
    mean(values.flat_map(|of| of.recall[most]))
}

impl OfClass {
    /// Mean over overlaps (or at the one given) and recalls.
    pub(super) fn precision(&self, size: usize, overlap: Option<usize>) -> Option<f64> {
        self.by_size[size].as_ref().and_then(|of| mean(of.precision_at(overlap).iter().copied()))
    }
}

impl<'p> Pair<'p> {
    fn new(picture: &'p PictureBoxes, class: usize) -> Pair<'p> {
        let truths: Vec<_> = picture.truths.iter().filter(|truth| truth.class == class).collect();
        let mut found: Vec<_> = picture.found.iter().filter(|found| found.class == class).collect();
        found.sort_by(|one, other| surer(one.score, other.score));
        found.truncate(MOST[2]);
        let overlaps =
            found.iter().flat_map(|found| truths.iter().map(|truth| overlap(found.rect, truth))).collect();
        Pair { truths, found, overlaps }
    }

    /// Matches boxes with truths of a range of sizes; the number of truths that count stands beside.
    fn matched(&self, [least, most]: [f64; 2]) -> (Vec<Matched>, usize) {
        let outside = |area: f64| area < least || area > most;
        let ignored: Vec<bool> = self.truths.iter().map(|truth| truth.crowd || outside(truth.area)).collect();
        let mut order: Vec<usize> = (0..self.truths.len()).collect();
        order.sort_by_key(|&truth| ignored[truth]);
        let mut all: Vec<Matched> = self
            .found
            .iter()
            .enumerate()
            .map(|(rank, found)| Matched { score: found.score, rank, right: 0, ignored: 0 })
            .collect();
        for at in 0..OVERLAPS {
            let mut taken = vec![false; self.truths.len()];
            for (index, (found, matched)) in self.found.iter().zip(&mut all).enumerate() {
                let overlaps = &self.overlaps[index * self.truths.len()..][..self.truths.len()];
                let mut best = overlap_at(at).min(1.0 - 1e-10);
                let mut partner = None;
                for &truth in &order {
                    if taken[truth] && !self.truths[truth].crowd {
                        continue;
                    }
                    // Those to be ignored come last; they are for boxes without another partner.
                    if partner.is_some_and(|partner: usize| !ignored[partner]) && ignored[truth] {
                        break;
                    }
                    if overlaps[truth] >= best {
                        best = overlaps[truth];
                        partner = Some(truth);
                    }
                }
                let ignored = match partner {
                    Some(truth) => {
                        taken[truth] = true;
                        matched.right |= u16::from(!ignored[truth]) << at;
                        ignored[truth]
                    }
                    None => outside(found.rect[2] * found.rect[3]),
                };
                matched.ignored |= u16::from(ignored) << at;
            }
        }
        (all, ignored.iter().filter(|ignored| !**ignored).count())
    }
}

impl OfSize {
    /// `None` where no truth counts.
    fn measure(pairs: &[Pair<'_>], size: [f64; 2]) -> Option<OfSize> {
        let (mut all, mut truths) = (Vec::new(), 0);
        for pair in pairs {
            let (matched, counting) = pair.matched(size);
            all.extend(matched);
            truths += counting;
        }
        if truths == 0 {
            return None;
        }
        all.sort_by(|one, other| surer(one.score, other.score));
        let mut of = OfSize { precision: vec![0.0; OVERLAPS * RECALLS], recall: [[0.0; OVERLAPS]; 3] };
        for at in 0..OVERLAPS {
            for (most, recall) in MOST.into_iter().zip(&mut of.recall) {
                let right = all.iter().filter(|one| one.rank < most && one.right >> at & 1 == 1).count();
                recall[at] = right as f64 / truths as f64;
            }
            curve(&all, at, truths, &mut of.precision[at * RECALLS..][..RECALLS]);
        }
        Some(of)
    }

    fn precision_at(&self, overlap: Option<usize>) -> &[f64] {
        match overlap {
            Some(at) => &self.precision[at * RECALLS..][..RECALLS],
            None => &self.precision,
        }
    }
}

/// The best precision at each recall or more.
fn curve(all: &[Matched], at: usize, truths: usize, into: &mut [f64]) {
    let (mut right, mut wrong) = (0usize, 0usize);
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(all.len());
    for one in all {
        if one.ignored >> at & 1 == 0 {
            let is_right = one.right >> at & 1 == 1;
            right += usize::from(is_right);
            wrong += usize::from(!is_right);
        }
        let precision = right as f64 / (wrong as f64 + right as f64 + f64::EPSILON);
        points.push((right as f64 / truths as f64, precision));
    }
    for index in (1..points.len()).rev() {
        points[index - 1].1 = points[index - 1].1.max(points[index].1);
    }
    let mut point = points.iter().peekable();
    for (index, precision) in into.iter_mut().enumerate() {
        while point.next_if(|(recall, _)| *recall < recall_at(index)).is_some() {}
        *precision = point.peek().map_or(0.0, |(_, precision)| *precision);
    }
}

/// Intersection over union; over the box alone where the truth is a crowd.
fn overlap([x, y, width, height]: [f64; 4], truth: &TrueBox) -> f64 {
    let [true_x, true_y, true_width, true_height] = truth.rect;
    let wide = (width + x).min(true_width + true_x) - x.max(true_x);
    let high = (height + y).min(true_height + true_y) - y.max(true_y);
    if wide <= 0.0 || high <= 0.0 {
        return 0.0;
    }
    let (both, area) = (wide * high, width * height);
    both / if truth.crowd { area } else { area + true_width * true_height - both }
}

/// 0.50, 0.55 ... 0.95, to the bit what numpy's `linspace` gives.
fn overlap_at(index: usize) -> f64 {
    if index == OVERLAPS - 1 { 0.95 } else { index as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// 0.00, 0.01 ... 1.00, likewise.
fn recall_at(index: usize) -> f64 {
    if index == RECALLS - 1 { 1.0 } else { index as f64 * 0.01 }
}

/// Surer boxes first; the order of equally sure ones is kept by a stable sort.
pub(super) fn surer(one: f64, other: f64) -> std::cmp::Ordering {
    other.partial_cmp(&one).unwrap_or(std::cmp::Ordering::Equal)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}
