//! Pooling of regions by bilinear samples on maps: [`roi_align`](crate::roi_align) without tensors between.
//!
//! The samples of a bin are a grid, so their weights are a product: `y[bin] = Σ_r Σ_c wy[r] wx[c] x[r, c]` over the rows
//! and columns that they touch, channels side by side. A bin that is l elements long has ceil(l) samples along an axis, of
//! 4 elements each, and touches l + 2 of them: (l + 2)² reads of a pixel instead of 4 l².

use rayon::prelude::*;

use super::maps::{LANES, Maps, Number, Shape, View, ViewMut};
use super::path::{VectorPath, Work};
use super::vector::Lanes;
use crate::roi_align::{RoiAlign, Touched};
use crate::{Error, Result};

/// The mean of bilinear samples in every bin of every region of one picture; empty bins and what lies outside of the map
/// are 0. `boxes` are x1, y1, x2, y2 in pixels of the boxes; the maps become as many pictures of `how.output` bins.
///
/// # Errors
/// Maps of more than one picture; coordinates that are not finite; a region of more than a million samples along one axis.
pub fn cut_out<N: Number>(
    path: VectorPath,
    x: View<'_, N>,
    boxes: &[[f32; 4]],
    how: &RoiAlign,
    to: &mut Maps<N>,
) -> Result<()> {
    let from = x.shape;
    if from.batch != 1 {
        let expected = "the map of one picture";
        return Err(Error::Geometry { op: "cut_out", expected, got: format!("{:?}", x.dims()) });
    }
    let touched = boxes.iter().enumerate().map(|(roi, rect)| how.touched(roi, *rect, from.size));
    let touched: Vec<[Vec<Touched>; 2]> = touched.collect::<Result<_>>()?;
    to.reshape(boxes.len(), how.output, from.channels);
    let ViewMut { numbers, shape } = to.all_mut();
    let row = how.output[1] * shape.pixel;
    if boxes.is_empty() || row == 0 {
        return Ok(());
    }
    numbers.par_chunks_exact_mut(shape.image()).zip(&touched).for_each(|(y, [rows, columns])| {
        let area = &mut y[..shape.area() * shape.pixel];
        area.par_chunks_exact_mut(row).zip(rows).for_each(|(y, rows)| {
            N::send(path, Row { from, x: x.numbers, rows, columns, y });
        });
    });
    Ok(())
}

/// A row of bins.
struct Row<'a, N> {
    from: Shape,
    x: &'a [N],
    rows: &'a Touched,
    columns: &'a [Touched],
    y: &'a mut [N],
}

impl<N: Number> Work<N> for Row<'_, N> {
    #[inline(always)]
    fn run<V: Lanes<N>>(self) {
        let Self { from, x, rows, columns, y } = self;
        for (columns, y) in columns.iter().zip(y.chunks_exact_mut(from.pixel)) {
            for (vector, y) in y[..from.width()].chunks_exact_mut(LANES).enumerate() {
                // SAFETY: the path is this processor's; slices of whole vectors.
                unsafe {
                    let mut sum = V::splat(0.0);
                    for (h, of_row) in rows.weights.iter().enumerate() {
                        let mut line = V::splat(0.0);
                        for (w, of_column) in columns.weights.iter().enumerate() {
                            let pixel = (rows.first + h) * from.size[1] + columns.first + w;
                            let at = pixel * from.pixel + vector * LANES;
                            let value = V::load_numbers(x[at..at + LANES].as_ptr());
                            line = value.mul_add(V::splat(*of_column), line);
                        }
                        sum = line.mul_add(V::splat(*of_row), sum);
                    }
                    sum.store_numbers(y.as_mut_ptr());
                }
            }
        }
    }
}
