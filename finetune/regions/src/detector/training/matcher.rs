//! Which box learns from which object.

use crate::detector::Convention;

/// The rule. Paper: 1506.01497, section 3.1.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matcher {
    /// From this overlap on a box belongs to the object.
    pub high: f32,
    /// Below it belongs to the ground.
    pub low: f32,
    /// Whether each object gets the boxes that overlap it most, however little that is.
    pub best_of_each: bool,
}

/// What a box learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// From this object.
    Object(usize),
    /// That there is none.
    Ground,
    /// Nothing.
    Neither,
}

impl Matcher {
    /// The object that each box overlaps most (of equal overlaps the first), or none.
    ///
    /// The published code also gives an object that overlaps no box at all to every box without overlap; here it gets none.
    pub fn matches(&self, objects: &[[f32; 4]], boxes: &[[f32; 4]], convention: Convention) -> Vec<Match> {
        let areas: Vec<f32> = boxes.iter().map(|rect| convention.area(*rect)).collect();
        let mut best = vec![(0, 0.0f32); boxes.len()];
        let mut belongs = vec![false; boxes.len()];
        let mut overlaps = vec![0.0; boxes.len()];
        for (object, rect) in objects.iter().enumerate() {
            let area = convention.area(*rect);
            let mut most = 0.0f32;
            for (at, overlap) in overlaps.iter_mut().enumerate() {
                *overlap = convention.overlap_of(*rect, area, boxes[at], areas[at]);
                most = most.max(*overlap);
                if *overlap > best[at].1 {
                    best[at] = (object, *overlap);
                }
            }
            if self.best_of_each && most > 0.0 {
                belongs.iter_mut().zip(&overlaps).for_each(|(belongs, overlap)| *belongs |= *overlap == most);
            }
        }
        let of_box = |((object, overlap), belongs): ((usize, f32), bool)| {
            if belongs || overlap >= self.high && !objects.is_empty() {
                Match::Object(object)
            } else if overlap < self.low || objects.is_empty() {
                Match::Ground
            } else {
                Match::Neither
            }
        };
        best.into_iter().zip(belongs).map(of_box).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_the_thresholds_and_the_best_of_each() {
        let objects = [[0.0, 0.0, 10.0, 10.0], [100.0, 0.0, 110.0, 10.0], [500.0, 0.0, 501.0, 1.0]];
        let boxes = [
            [0.0, 0.0, 10.0, 9.0],     // 0.9 of the first
            [0.0, 0.0, 10.0, 5.0],     // 0.5
            [0.0, 0.0, 10.0, 2.0],     // 0.2
            [100.0, 0.0, 110.0, 1.0],  // 0.1 of the second, which nothing overlaps more
            [100.0, 9.0, 110.0, 10.0], // as much
            [200.0, 0.0, 210.0, 10.0],
        ];
        let matcher = Matcher { high: 0.7, low: 0.3, best_of_each: true };
        let matches = |matcher: Matcher| matcher.matches(&objects, &boxes, Convention::Plain);
        use Match::{Ground, Neither, Object};
        assert_eq!(matches(matcher), [Object(0), Neither, Ground, Object(1), Object(1), Ground]);
        let plain = Matcher { best_of_each: false, ..matcher };
        assert_eq!(matches(plain), [Object(0), Neither, Ground, Ground, Ground, Ground]);
        assert_eq!(matcher.matches(&[], &boxes, Convention::Plain), [Ground; 6]);
        let all = Matcher { high: 0.5, low: 0.5, best_of_each: false };
        assert_eq!(matches(all)[..3], [Object(0), Object(0), Ground]);
    }
}
