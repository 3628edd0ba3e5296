//! Large products, cut into tiles that threads deal among themselves.
//!
//! The cuts follow from the sizes alone and a tile is one thread's, so the bits do not depend on the number of threads.
//! A row of `lhs` meets the same operations whatever other rows there are, as long as the output has more than
//! [`NARROW`] columns: every tile then takes the same way through the product, which cuts the inner dimension by its
//! length only.

use rayon::prelude::*;

use crate::bf16::Bf16Factor;
use crate::element::Element;
use crate::precision::Precision;
use crate::product::{Matrix, MatrixMut, Shared, multiply};

/// Outputs of so few columns are not this file's: the product treats small tiles in a way of their own.
pub(crate) const NARROW: usize = 64;
/// Sides of the tiles.
const TILE: usize = 384;

/// `out = lhs · rhs`, or `out += lhs · rhs`, then `finish(tile, first row, first column)` while the tile is in cache. Nobody else
/// has a part of `out`, and without `accumulate` all of it is written before it is read.
pub(crate) fn tiled_product<T: Element>(
    precision: Precision,
    out: &Shared<'_, T>,
    accumulate: bool,
    lhs: Matrix<'_, T>,
    rhs: Matrix<'_, T>,
    finish: impl Fn(&mut MatrixMut<'_, T>, usize, usize) + Sync,
) {
    let [rows, columns] = [lhs.row_count(), rhs.column_count()];
    assert!(out.length() == rows * columns);
    if out.length() == 0 {
        return;
    }
    if precision == Precision::Bf16
        && let (Some(lhs), Some(rhs)) = (T::matrix_as_f32(lhs), T::matrix_as_f32(rhs))
        && let Some(out) = T::shared_as_f32(out)
        && let Some(lhs) = Bf16Factor::new(lhs)
    {
        return lhs.multiply(rhs, out, accumulate, |tile, row, column| {
            finish(T::tile_of_f32(tile).expect("the factors were f32"), row, column);
        });
    }
    let (tiles_r, tiles_c) = (rows.div_ceil(TILE), columns.div_ceil(TILE));
    (0..tiles_r * tiles_c).into_par_iter().for_each(|task| {
        let (tile_r, tile_c) = (task % tiles_r, task / tiles_r);
        // Even parts: none is so small that its product would take another way.
        let (r, end_r) = (tile_r * rows / tiles_r, (tile_r + 1) * rows / tiles_r);
        let (c, end_c) = (tile_c * columns / tiles_c, (tile_c + 1) * columns / tiles_c);
        // SAFETY: this tile is this task's alone.
        let mut out = unsafe { out.tile(r * columns + c, [end_r - r, end_c - c], columns) };
        if lhs.column_count() > 0 {
            let rhs = rhs.transposed().rows(c, end_c - c).transposed();
            multiply(&mut out, accumulate, lhs.rows(r, end_r - r), rhs);
        } else if !accumulate {
            // a product over nothing, as in the weight gradient of no rows
            (0..out.row_count()).for_each(|row| out.row(row).fill(T::ZERO));
        }
        finish(&mut out, r, c);
    });
}

/// `Σ_rows x` for every column, in f64 and in the order of the rows.
pub(crate) fn column_sums<T: Element>(x: &[T], columns: usize) -> Vec<f64> {
    const COLUMNS: usize = 128;
    let mut sums = vec![0.0; columns];
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(part, sums)| {
        for row in x.chunks_exact(columns) {
            let row = &row[part * COLUMNS..][..sums.len()];
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.to_f64());
        }
    });
    sums
}
