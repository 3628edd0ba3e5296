//! Products of f32 matrices through bf16, on AVX-512's `vdpbf16ps`: 64 operations an instruction, two instructions a cycle.
//!
//! `out[r, c] = Σ_k lhs[r, k] rhs[k, c]`, factors rounded to bf16 (nearest, ties to even), sums in f32.
//!
//! Both factors are rewritten once ([`panels`]), or, for two products, in one pass ([`both_ways`]): 6 or 8 bytes an element
//! moved for 2·(rows or columns) operations. Tiles of 192 x 384 are dealt to threads; in one, 8 x 48 sums stay in registers
//! while up to 384 pairs of k pass, from the second cache: fewer would fit into the first, but to begin and to store sums
//! takes longer than that gains. A `rhs` that only one row of tiles reads is rewritten by the tile that reads it, 48 columns
//! at a time, so that it never leaves the cache.
//!
//! An element's sum runs over k in an order that the length of k alone decides, so its bits depend neither on threads nor on
//! other rows and columns.

mod both_ways;
mod micro;
mod panels;

use std::ops::Range;

use rayon::prelude::*;

use crate::product::{Blocks, Matrix, MatrixMut, Shared};
use both_ways::both_ways;
use micro::{ROWS, Target, VECTORS, add_products};
use panels::{LINES, Pairs, Panels};

/// Whether this processor has the instructions.
pub(crate) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

/// The left factor of products.
pub(crate) struct Bf16Factor {
    panels: Panels,
    rows: usize,
    inner: usize,
}

/// A matrix as left factor, the same transposed, and the sums of its columns.
pub(crate) struct Bf16BothWays {
    pub(crate) plain: Bf16Factor,
    pub(crate) transposed: Bf16Factor,
    pub(crate) column_sums: Vec<f64>,
}

/// Sides of the tiles; whole panels, and whole groups of them.
const TILE_ROWS: usize = 192;
const TILE_COLUMNS: usize = 384;
/// Columns of a tile that rewrites its part of `rhs`: more tiles to deal.
const LONE_COLUMNS: usize = 192;
/// Pairs of k that pass at once.
const PAIRS: usize = 384;
/// Columns of a group, whose sums stand in registers side by side.
const GROUP: usize = VECTORS * LINES;

impl Bf16Factor {
    /// None where the processor lacks the instructions.
    pub(crate) fn new(lhs: Matrix<'_, f32>) -> Option<Self> {
        let [rows, inner] = [lhs.row_count(), lhs.column_count()];
        is_available().then(|| Self { panels: Panels::new(lhs), rows, inner })
    }

    /// `out = self · rhs`, or `out += self · rhs`, then `finish(tile, first row, first column)` while the tile is in cache.
    pub(crate) fn multiply(
        &self,
        rhs: Matrix<'_, f32>,
        out: &Shared<'_, f32>,
        accumulate: bool,
        finish: impl Fn(&mut MatrixMut<'_, f32>, usize, usize) + Sync,
    ) {
        let (rows, columns) = (self.rows, rhs.column_count());
        assert!(self.inner == rhs.row_count() && out.length() == rows * columns);
        if out.length() == 0 {
            return;
        }
        let rhs = rhs.transposed();
        let rhs = if rows > TILE_ROWS { Rhs::Ready(Panels::new(rhs)) } else { Rhs::AsItIs(rhs) };
        let widest = if matches!(rhs, Rhs::Ready(_)) { TILE_COLUMNS } else { LONE_COLUMNS };
        let product = Product { lhs: &self.panels, rhs: &rhs, n_pairs: self.inner.div_ceil(2) };
        let (rows_r, columns_c) = (even(rows, TILE_ROWS, LINES), even(columns, widest, GROUP));
        let (tiles_r, tiles_c) = (rows.div_ceil(rows_r), columns.div_ceil(columns_c));
        (0..tiles_r * tiles_c).into_par_iter().with_max_len(1).for_each(|task| {
            let (r, c) = (task % tiles_r * rows_r, task / tiles_r * columns_c);
            let sides = [rows_r.min(rows - r), columns_c.min(columns - c)];
            // SAFETY: this tile is this task's alone.
            let mut out = unsafe { out.tile(r * columns + c, sides, columns) };
            product.tile(&mut out, [r, c], sides, accumulate);
            finish(&mut out, r, c);
        });
    }
}

impl Bf16BothWays {
    /// None where the processor lacks the instructions.
    pub(crate) fn new(matrix: &impl Blocks<f32>) -> Option<Self> {
        if !is_available() {
            return None;
        }
        let [rows, columns] = matrix.sizes();
        let (of_rows, of_columns, column_sums) = both_ways(matrix);
        Some(Self {
            plain: Bf16Factor { panels: of_rows, rows, inner: columns },
            transposed: Bf16Factor { panels: of_columns, rows: columns, inner: rows },
            column_sums,
        })
    }
}

/// Two factors.
struct Product<'a> {
    lhs: &'a Panels,
    rhs: &'a Rhs<'a>,
    n_pairs: usize,
}

enum Rhs<'a> {
    Ready(Panels),
    /// Its columns are rows here.
    AsItIs(Matrix<'a, f32>),
}

impl Product<'_> {
    /// One tile, by this thread.
    fn tile(
        &self,
        out: &mut MatrixMut<'_, f32>,
        [r, c]: [usize; 2],
        [rows, columns]: [usize; 2],
        accumulate: bool,
    ) {
        if self.n_pairs == 0 && !accumulate {
            (0..rows).for_each(|row| out.row(row).fill(0.0));
        }
        let n_blocks = self.n_pairs.div_ceil(PAIRS);
        let n_groups = columns.div_ceil(GROUP);
        // of a step: its block of pairs, its first column, and how many
        let part = |step: usize| {
            let (block, column) = (step / n_groups, step % n_groups * GROUP);
            let pairs = block * self.n_pairs / n_blocks..(block + 1) * self.n_pairs / n_blocks;
            (pairs, column, GROUP.min(columns - column))
        };
        let mut own = None;
        for step in 0..n_blocks * n_groups {
            let (pairs, column, n_columns) = part(step);
            let accumulate = accumulate || step >= n_groups;
            let (now, next) = match self.rhs {
                Rhs::Ready(panels) => {
                    let ready = |step: usize| {
                        let (pairs, column, n_columns) = part(step);
                        group(panels, (c + column) / LINES, n_columns, &pairs)
                    };
                    let next = (step + 1 < n_blocks * n_groups).then(|| ready(step + 1));
                    (ready(step), next.unwrap_or_default())
                }
                Rhs::AsItIs(matrix) => {
                    let lines = matrix.rows(c + column, n_columns);
                    let space = own.take();
                    let panels = own.insert(Panels::of_pairs(lines, pairs.clone(), space));
                    (group(panels, 0, n_columns, &(0..pairs.len())), Default::default())
                }
            };
            let n_calls = rows.div_ceil(ROWS);
            for call in 0..n_calls {
                let row = call * ROWS;
                let lhs = self.lhs.part((r + row) / LINES, pairs.clone());
                // each call asks for a part of what the calls of the next step read
                let ahead = next
                    .map(|panel| &panel[call * panel.len() / n_calls..(call + 1) * panel.len() / n_calls]);
                let target = Target::new(out, [row, column], [ROWS.min(rows - row), n_columns], accumulate);
                // SAFETY: the processor has the instructions: `new` saw to it.
                unsafe { add_products(lhs, row % LINES, now, &ahead, target) };
            }
        }
    }
}

/// Products of one thread, one after the other in the same space.
#[derive(Default)]
pub(crate) struct SmallBf16Products {
    spaces: [Option<Panels>; 2],
}

impl SmallBf16Products {
    /// None where the processor lacks the instructions.
    pub(crate) fn new() -> Option<Self> {
        is_available().then(Self::default)
    }

    /// `out = lhs · rhs`.
    pub(crate) fn write(&mut self, out: &mut MatrixMut<'_, f32>, lhs: Matrix<'_, f32>, rhs: Matrix<'_, f32>) {
        let [rows, columns, inner] = [lhs.row_count(), rhs.column_count(), lhs.column_count()];
        assert!(inner == rhs.row_count() && rows == out.row_count());
        let n_pairs = inner.div_ceil(2);
        let [lhs, rhs] = [lhs, rhs.transposed()];
        let [of_lhs, of_rhs] = &mut self.spaces;
        let lhs = Panels::of_pairs(lhs, 0..n_pairs, of_lhs.take());
        let rhs = Rhs::Ready(Panels::of_pairs(rhs, 0..n_pairs, of_rhs.take()));
        Product { lhs: &lhs, rhs: &rhs, n_pairs }.tile(out, [0, 0], [rows, columns], false);
        *of_lhs = Some(lhs);
        if let Rhs::Ready(rhs) = rhs {
            *of_rhs = Some(rhs);
        }
    }
}

/// Some pairs of the panels of a group, which begins with panel `first`. Missing ones are its first: their sums are not written.
fn group<'a>(
    panels: &'a Panels,
    first: usize,
    n_columns: usize,
    pairs: &Range<usize>,
) -> [&'a [Pairs]; VECTORS] {
    std::array::from_fn(|vector| {
        let is_there = vector * LINES < n_columns;
        panels.part(first + if is_there { vector } else { 0 }, pairs.clone())
    })
}

/// Cuts `total` into equal parts of at most `most` and whole `unit`s.
fn even(total: usize, most: usize, unit: usize) -> usize {
    total.div_ceil(total.div_ceil(most)).next_multiple_of(unit)
}
