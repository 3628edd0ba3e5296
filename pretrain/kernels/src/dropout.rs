//! Dropout from a counter: `y = x keep / (1 - rate)`, keep = 1 with probability 1 - rate, else 0. Paper: 1207.0580.
//!
//! Whether a number is kept is a function of (seed, stream, step, row, column): 1.3 instructions of Philox on 16 lanes.
//! Column c of a row takes word (c / 16) mod 4 of counter (16 (c / 128) + c mod 16, row, step, stream), its lower half where
//! c mod 128 < 64, else the upper one. So the rate is one of 2^16, the nearest, and y is scaled by what that one keeps. By
//! itself the operation asks again in backward and stores nothing, 8 bytes a number in f32 in either direction; where it is
//! part of another one, what was kept is a byte a number for backward, as drawing takes longer than reading that.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check_anywhere, elements, slice};
use crate::philox::side_by_side;
use crate::simd::{Kernel, widest};
use crate::{Error, Result, composed};

/// Which numbers are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    /// The share that is dropped, in \[0, 1\), to the nearest 2^-16.
    pub rate: f64,
    /// The key of the generator.
    pub seed: u64,
    /// What the numbers are for: another one for every place in a network.
    pub stream: u32,
    /// The training step.
    pub step: u32,
    /// A number for every row of what is dropped from; without it they are counted from 0. Rows numbered by (sample,
    /// position) keep their masks however samples are packed, split into micro-batches or dealt to ranks.
    pub rows: Option<Arc<[u32]>>,
}

/// Drops from rows, which the last dimension is.
///
/// # Shapes
/// - `x`: \[..., n\]; `dropout.rows`, if there: one a row
/// - result: that of `x`
///
/// # Errors
/// Beside types: a rate outside of \[0, 1\), row numbers that are not one a row.
pub fn dropout(x: &Tensor, dropout: &Dropout) -> Result<Tensor> {
    check_anywhere(OP, &[("x", x)])?;
    dropout.check(OP, row_count(x), 1)?;
    if dropout.rate == 0.0 {
        return Ok(x.clone());
    }
    if composed::is_needed(x) {
        return composed::dropout(x, dropout);
    }
    Ok(x.contiguous()?.apply_op1(Drop(dropout.clone()))?)
}

const OP: &str = "dropout";
/// Elements of one task.
const TILE: usize = 1 << 14;

/// Rows of a tensor whose last dimension is a row.
pub(crate) fn row_count(x: &Tensor) -> usize {
    let dims = x.dims();
    dims.split_last().map_or(1, |(_, before)| before.iter().product())
}

impl Dropout {
    /// Refuses what cannot be applied to `rows` rows of `parts` parts each.
    pub(crate) fn check(&self, op: &'static str, rows: usize, parts: usize) -> Result<()> {
        if !(0.0..1.0).contains(&self.rate) {
            let expected = "a dropout rate in [0, 1)";
            return Err(Error::Geometry { op, expected, got: self.rate.to_string() });
        }
        if let Some(numbers) = &self.rows
            && numbers.len() != rows
        {
            let expected = "a number for every row in dropout.rows";
            return Err(Error::Geometry { op, expected, got: format!("{} for {rows}", numbers.len()) });
        }
        let largest = match &self.rows {
            Some(numbers) => numbers.iter().max().map_or(0, |number| *number as usize),
            None => rows.saturating_sub(1),
        };
        if (largest + 1).checked_mul(parts).is_none_or(|parts| parts > 1 << 32) {
            let expected = "row numbers (times heads) below 2^32";
            return Err(Error::Geometry { op, expected, got: format!("row {largest} of {parts} parts") });
        }
        Ok(())
    }

    /// The number of a row; `check` has seen that it fits.
    pub(crate) fn row_number(&self, row: usize) -> u32 {
        self.rows.as_ref().map_or(row as u32, |numbers| numbers[row])
    }

    /// `values *= keep / (1 - rate)` for the row with this number.
    pub(crate) fn apply<T: Element>(&self, number: u32, values: &mut [T]) {
        let scale = T::from_f64(self.factor());
        widest(Row {
            draws: self.draws(number),
            of: values,
            take: |value: &mut T, is_kept| *value *= if is_kept { scale } else { T::ZERO },
        });
    }

    /// What is kept of the row with this number: 1, else 0.
    pub(crate) fn draw(&self, number: u32, kept: &mut [u8]) {
        let take = |kept: &mut u8, is_kept| *kept = u8::from(is_kept);
        widest(Row { draws: self.draws(number), of: kept, take });
    }

    /// `values *= keep / (1 - rate)`, with what [`draw`](Self::draw) gave for them.
    pub(crate) fn keep<T: Element>(&self, kept: &[u8], values: &mut [T]) {
        widest(Keep { kept, scale: T::from_f64(self.factor()), values });
    }

    /// What is kept is multiplied by this.
    pub(crate) fn factor(&self) -> f64 {
        f64::from(DRAWS) / f64::from(DRAWS - self.threshold())
    }

    /// Draws below this are dropped.
    fn threshold(&self) -> u32 {
        ((self.rate * f64::from(DRAWS)).round() as u32).min(DRAWS - 1)
    }

    fn draws(&self, number: u32) -> Draws {
        Draws {
            key: [self.seed as u32, (self.seed >> 32) as u32],
            counter: [number, self.step, self.stream],
            threshold: self.threshold(),
        }
    }
}

/// A draw is one of so many.
const DRAWS: u32 = 1 << 16;

/// What a row's draws are functions of.
struct Draws {
    key: [u32; 2],
    counter: [u32; 3],
    threshold: u32,
}

/// Hands to each element of a row whether it is kept.
struct Row<'a, T, F> {
    draws: Draws,
    of: &'a mut [T],
    take: F,
}

impl<T, F: Fn(&mut T, bool)> Kernel for Row<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Draws { key, counter: [number, step, stream], threshold } = self.draws;
        let words = |chunk: usize| {
            let first = std::array::from_fn(|lane| (chunk * 16 + lane) as u32);
            side_by_side([first, [number; 16], [step; 16], [stream; 16]], key)
        };
        let of = |words: [[u32; 16]; 4], values: &mut [T]| {
            let (low, high) = values.split_at_mut(values.len().min(64));
            for (value, word) in low.iter_mut().zip(words.as_flattened()) {
                (self.take)(value, word % DRAWS >= threshold);
            }
            for (value, word) in high.iter_mut().zip(words.as_flattened()) {
                (self.take)(value, word / DRAWS >= threshold);
            }
        };
        let (chunks, rest) = self.of.as_chunks_mut::<128>();
        let last = chunks.len();
        for (chunk, values) in chunks.iter_mut().enumerate() {
            of(words(chunk), values);
        }
        if !rest.is_empty() {
            of(words(last), rest);
        }
    }
}

struct Keep<'a, T> {
    kept: &'a [u8],
    scale: T,
    values: &'a mut [T],
}

impl<T: Element> Kernel for Keep<'_, T> {
    #[inline(always)]
    fn run(self) {
        for (value, kept) in self.values.iter_mut().zip(self.kept) {
            *value *= if *kept != 0 { self.scale } else { T::ZERO };
        }
    }
}

struct Drop(Dropout);

impl Drop {
    fn apply<T: Element>(&self, x: &[T], width: usize) -> Vec<T> {
        let mut y = x.to_vec();
        if width > 0 {
            y.par_chunks_exact_mut(width).enumerate().with_min_len(TILE / width).for_each(|(row, y)| {
                self.0.apply(self.0.row_number(row), y);
            });
        }
        y
    }
}

impl CustomOp1 for Drop {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        by_dtype!(x.dtype(), T => {
            let y = self.apply(slice::<T>(x, layout)?, width);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let d_y = d_y.contiguous()?;
        let width = x.dims().last().copied().unwrap_or(1);
        by_dtype!(x.dtype(), T => {
            let d_y = d_y.storage_and_layout();
            let d_x = self.apply(elements::<T>(&d_y)?, width);
            Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
        })
    }
}
