//! Anchors: boxes of fixed sizes and shapes around every cell of a map. Paper: 1506.01497, section 3.1.1.

use serde::{Deserialize, Serialize};

use super::boxes::Convention;
use crate::Error;

/// Which anchors stand at a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchors {
    /// Sides of the square anchors, pixels.
    pub sizes: Vec<f32>,
    /// Heights over widths of the same area.
    pub ratios: Vec<f32>,
}

/// Pixels a cell.
pub(super) const STRIDE: f32 = 16.0;

impl Anchors {
    /// How many stand at a cell.
    pub fn per_cell(&self) -> usize {
        self.sizes.len() * self.ratios.len()
    }

    /// The anchors of the cell at 0, 0: all sizes of the first ratio, then of the next. Both conventions round to whole
    /// pixels, the legacy one (which starts from the box of one cell) before it scales.
    pub fn of_a_cell(&self, convention: Convention) -> Vec<[f32; 4]> {
        let each = |ratio: &f32| match convention {
            Convention::Plain => {
                let h_ratio = ratio.sqrt();
                let w_ratio = 1.0 / h_ratio;
                let corner = |of: f32, size: f32| (of * size / 2.0).round_ties_even();
                let rect = |size: &f32| {
                    let (w, h) = (corner(w_ratio, *size), corner(h_ratio, *size));
                    [corner(-w_ratio, *size), corner(-h_ratio, *size), w, h]
                };
                self.sizes.iter().map(rect).collect::<Vec<_>>()
            }
            Convention::Legacy => {
                let (stride, ratio) = (f64::from(STRIDE), f64::from(*ratio));
                let centre = 0.5 * (stride - 1.0);
                let width = (stride * stride / ratio).sqrt().round_ties_even();
                let height = (width * ratio).round_ties_even();
                let rect = |size: &f32| {
                    let scale = f64::from(*size) / stride;
                    let (half_w, half_h) = (0.5 * (width * scale - 1.0), 0.5 * (height * scale - 1.0));
                    let corners = [centre - half_w, centre - half_h, centre + half_w, centre + half_h];
                    corners.map(|corner| corner as f32)
                };
                self.sizes.iter().map(rect).collect()
            }
        };
        self.ratios.iter().flat_map(each).collect()
    }

    /// The anchors of a map of `map` = \[h, w\] cells: cell by cell, row by row.
    pub fn of_map(&self, convention: Convention, map: [usize; 2]) -> Vec<[f32; 4]> {
        let of_a_cell = self.of_a_cell(convention);
        let mut anchors = Vec::with_capacity(map[0] * map[1] * of_a_cell.len());
        for row in 0..map[0] {
            for column in 0..map[1] {
                let (x, y) = (column as f32 * STRIDE, row as f32 * STRIDE);
                anchors.extend(of_a_cell.iter().map(|[x1, y1, x2, y2]| [x1 + x, y1 + y, x2 + x, y2 + y]));
            }
        }
        anchors
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let usable =
            |numbers: &[f32]| !numbers.is_empty() && numbers.iter().all(|n| *n > 0.0 && n.is_finite());
        if usable(&self.sizes) && usable(&self.ratios) {
            return Ok(());
        }
        let problem = format!("sizes {:?} and ratios {:?}", self.sizes, self.ratios);
        Err(Error::setting("anchors", format!("has {problem}; each needs numbers above 0")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the header of the code that maskrcnn-benchmark's anchors come from: base 16, ratios 1/2, 1, 2, scales
    /// 8, 16, 32. There corners begin at 1; here at 0.
    #[test]
    fn legacy_anchors_are_the_published_ones() {
        let anchors = Anchors { sizes: vec![128.0, 256.0, 512.0], ratios: vec![0.5, 1.0, 2.0] };
        let published = [
            [-83.0, -39.0, 100.0, 56.0],
            [-175.0, -87.0, 192.0, 104.0],
            [-359.0, -183.0, 376.0, 200.0],
            [-55.0, -55.0, 72.0, 72.0],
            [-119.0, -119.0, 136.0, 136.0],
            [-247.0, -247.0, 264.0, 264.0],
            [-35.0, -79.0, 52.0, 96.0],
            [-79.0, -167.0, 96.0, 184.0],
            [-167.0, -343.0, 184.0, 360.0],
        ];
        let from_zero = published.map(|rect: [f32; 4]| rect.map(|corner| corner - 1.0));
        assert_eq!(anchors.of_a_cell(Convention::Legacy), from_zero);
    }

    #[test]
    fn cells_row_by_row() {
        let anchors = Anchors { sizes: vec![32.0, 64.0], ratios: vec![1.0] };
        let all = anchors.of_map(Convention::Plain, [2, 3]);
        assert_eq!(all.len(), 12);
        assert_eq!(all[0], [-16.0, -16.0, 16.0, 16.0]);
        assert_eq!(all[1], [-32.0, -32.0, 32.0, 32.0]);
        assert_eq!(all[2], [0.0, -16.0, 32.0, 16.0]);
        assert_eq!(all[6], [-16.0, 0.0, 16.0, 32.0]);
    }
}
