//! Boxes as four corners, in the two ways in which detectors measure them.
//!
//! A box is x1, y1, x2, y2 in pixels. Numbers are f32 and come in the order of the published code, so that the same boxes
//! have the same bits.

use serde::{Deserialize, Serialize};

/// How wide a box is, and what follows from it: borders of pictures, sizes, overlaps, coded boxes, anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// `x2 - x1`: corners lie between pixels. torchvision, detectron2.
    #[default]
    Plain,
    /// `x2 - x1 + 1`: corners are pixels, and the last one is inside. Caffe's detectors and maskrcnn-benchmark, and so
    /// VinVL's.
    Legacy,
}

impl Convention {
    /// What is added to a difference of corners.
    pub fn extra(self) -> f32 {
        match self {
            Self::Plain => 0.0,
            Self::Legacy => 1.0,
        }
    }

    /// Width and height.
    pub fn size(self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 2] {
        [x2 - x1 + self.extra(), y2 - y1 + self.extra()]
    }

    /// The box inside of a picture of `width` x `height` pixels.
    pub fn clip(self, [x1, y1, x2, y2]: [f32; 4], [width, height]: [f32; 2]) -> [f32; 4] {
        let (right, bottom) = (width - self.extra(), height - self.extra());
        [x1.clamp(0.0, right), y1.clamp(0.0, bottom), x2.clamp(0.0, right), y2.clamp(0.0, bottom)]
    }

    /// Whether no part of the box lies outside of a picture of `width` x `height` pixels.
    pub fn is_inside(self, [x1, y1, x2, y2]: [f32; 4], [width, height]: [f32; 2]) -> bool {
        match self {
            Self::Plain => x1 >= 0.0 && y1 >= 0.0 && x2 <= width && y2 <= height,
            Self::Legacy => x1 >= 0.0 && y1 >= 0.0 && x2 < width && y2 < height,
        }
    }

    /// The area that two boxes share over the area that they cover; 0 where they cover none.
    pub fn overlap(self, a: [f32; 4], b: [f32; 4]) -> f32 {
        self.overlap_of(a, self.area(a), b, self.area(b))
    }

    pub(super) fn area(self, rect: [f32; 4]) -> f32 {
        let [width, height] = self.size(rect);
        width * height
    }

    /// As [`overlap`](Self::overlap), of boxes whose areas are known.
    pub(super) fn overlap_of(self, a: [f32; 4], area_a: f32, b: [f32; 4], area_b: f32) -> f32 {
        let width = (a[2].min(b[2]) - a[0].max(b[0]) + self.extra()).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1]) + self.extra()).max(0.0);
        let shared = width * height;
        let covered = area_a + area_b - shared;
        if covered > 0.0 { shared / covered } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pixel_apart() {
        let (a, b) = ([0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0]);
        assert_eq!(Convention::Plain.overlap(a, b), 36.0 / 126.0);
        assert_eq!(Convention::Legacy.overlap(a, b), 50.0 / 150.0);
        assert_eq!(Convention::Plain.overlap(a, [9.0, 0.0, 12.0, 9.0]), 0.0);
        assert_eq!(Convention::Legacy.overlap(a, [9.0, 0.0, 12.0, 9.0]), 10.0 / 130.0);
        // a box without area overlaps nothing, itself included; in the legacy measure it is a pixel
        let point = [3.0, 3.0, 3.0, 3.0];
        assert_eq!(
            (Convention::Plain.overlap(point, point), Convention::Legacy.overlap(point, point)),
            (0.0, 1.0)
        );
    }

    #[test]
    fn at_the_border() {
        let out = [-3.0, 2.0, 99.5, 50.0];
        assert_eq!(Convention::Plain.clip(out, [99.0, 40.0]), [0.0, 2.0, 99.0, 40.0]);
        assert_eq!(Convention::Legacy.clip(out, [99.0, 40.0]), [0.0, 2.0, 98.0, 39.0]);
        let whole = [0.0, 0.0, 99.0, 40.0];
        assert!(Convention::Plain.is_inside(whole, [99.0, 40.0]));
        assert!(!Convention::Legacy.is_inside(whole, [99.0, 40.0]));
        // a picture of one pixel has a place for a box
        assert_eq!(Convention::Legacy.clip(out, [1.0, 1.0]), [0.0; 4]);
    }
}
