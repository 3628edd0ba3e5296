//! A matrix as the left factor of two products, over its columns and over its rows, from one pass over its numbers.

use rayon::prelude::*;

use super::panels::{LINES, Pairs, Panels, from_columns, from_rows};
use crate::product::{Blocks, Matrix, written};

/// Columns of a task: whole lines of cache.
const STRIP: usize = 4 * LINES;

/// Panels of rows, panels of columns, and the sum of every column in f64, in the order of the rows. The processor has the
/// instructions.
pub(super) fn both_ways(matrix: &impl Blocks<f32>) -> (Panels, Panels, Vec<f64>) {
    let [rows, columns] = matrix.sizes();
    let (pairs_of_rows, pairs_of_columns) = (columns.div_ceil(2), rows.div_ceil(2));
    let lengths = [rows.div_ceil(LINES) * pairs_of_rows, columns.div_ceil(LINES) * pairs_of_columns];
    let mut sums = vec![0.0; columns];
    let mut of_columns = Vec::new();
    // SAFETY: strips are all columns; each fills its panels of columns, and its pairs in all panels of rows. The processor has
    // the instructions: whoever makes products asked for them.
    let of_rows = unsafe {
        written(lengths[0], |of_rows| {
            of_columns = written(lengths[1], |of_columns| {
                sums.par_chunks_mut(STRIP).enumerate().for_each(|(strip, sums)| {
                    let (first, width) = (strip * STRIP, sums.len());
                    let mut made = [0.0; LINES * STRIP];
                    let length = width.div_ceil(LINES) * pairs_of_columns;
                    let mut of_columns =
                        of_columns.tile(first / LINES * pairs_of_columns, [1, length], length);
                    for row in (0..rows).step_by(LINES) {
                        let height = LINES.min(rows - row);
                        let made = &mut made[..height * width];
                        let block = matrix.block([row, first], [height, width], made);
                        let (place, length) = (row / LINES * pairs_of_rows + first / 2, width.div_ceil(2));
                        let mut of_rows = of_rows.tile(place, [1, length], length);
                        let of_columns = &mut of_columns.row(0)[row / 2..];
                        pack(block, of_rows.row(0), of_columns, pairs_of_columns, sums);
                    }
                });
            });
        })
    };
    (Panels::of_written(of_rows, pairs_of_rows), Panels::of_written(of_columns, pairs_of_columns), sums)
}

/// A block of at most 16 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack(
    block: Matrix<'_, f32>,
    of_rows: &mut [Pairs],
    of_columns: &mut [Pairs],
    panel_stride: usize,
    sums: &mut [f64],
) {
    from_columns(block.transposed(), 0..block.row_count().div_ceil(2), of_columns, panel_stride);
    from_rows(block, 0..block.column_count().div_ceil(2), of_rows);
    for row in 0..block.row_count() {
        let row = &block.rows(row, 1).data()[..block.column_count()];
        sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += f64::from(*number));
    }
}
