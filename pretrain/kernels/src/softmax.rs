//! `y_i = e^(x_i - max x) / Σ_j e^(x_j - max x)` over the last dimension.
//!
//! Backward: `d_x_i = y_i (d_y_i - Σ_j d_y_j y_j)`. 8 bytes a number in f32 and about 20 operations forward, 12 bytes and 4
//! operations backward. Sums run over 16 lanes, which are then halved: an order that the length fixes.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check_anywhere, elements, slice};
use crate::simd::{Kernel, widest};
use crate::{Error, Result, composed};

/// The softmax of every row, with gradient.
///
/// # Shapes
/// - `x`: \[..., n\], n not 0
/// - result: that of `x`
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    check_anywhere(OP, &[("x", x)])?;
    if x.dims().last().is_none_or(|width| *width == 0) {
        let expected = "[..., n], n not 0".to_owned();
        return Err(Error::Shape { op: OP, tensor: "x", expected, got: x.dims().to_vec() });
    }
    if composed::is_needed(x) {
        return composed::softmax(x);
    }
    Ok(x.contiguous()?.apply_op1(Softmax)?)
}

const OP: &str = "softmax";
/// Sums of a row that are kept side by side.
const LANES: usize = 16;
/// Elements of one task.
const TILE: usize = 1 << 14;

/// The softmax of a row in its place.
pub(crate) fn softmax_row<T: Element>(row: &mut [T]) {
    widest(Row { row });
}

/// `max x` and `Σ e^(x - max x)` of a row.
pub(crate) fn max_and_sum<T: Element>(row: &[T]) -> [T; 2] {
    let mut result = [T::ZERO; 2];
    widest(MaxAndSum { row, result: &mut result });
    result
}

/// `d = y (d - Σ d y)` in d's place.
pub(crate) fn softmax_gradient_row<T: Element>(y: &[T], d: &mut [T]) {
    widest(GradientRow { y, d });
}

struct Row<'a, T> {
    row: &'a mut [T],
}

impl<T: Element> Kernel for Row<'_, T> {
    #[inline(always)]
    fn run(self) {
        let largest = largest(self.row);
        let last = self.row.last_chunk::<LANES>().copied();
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = self.row.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                chunk[lane] = (chunk[lane] - largest).exp();
                lanes[lane] += chunk[lane];
            }
        }
        let n_rest = rest.len();
        if let Some(mut last) = last {
            for lane in 0..LANES {
                last[lane] = (last[lane] - largest).exp();
                lanes[lane] += if lane + n_rest >= LANES { last[lane] } else { T::ZERO };
            }
            rest.copy_from_slice(&last[LANES - n_rest..]);
        } else {
            for (lane, value) in lanes.iter_mut().zip(rest) {
                *value = (*value - largest).exp();
                *lane += *value;
            }
        }
        let scale = T::ONE / total(lanes);
        for value in self.row {
            *value *= scale;
        }
    }
}

struct MaxAndSum<'a, T> {
    row: &'a [T],
    result: &'a mut [T; 2],
}

impl<T: Element> Kernel for MaxAndSum<'_, T> {
    #[inline(always)]
    fn run(self) {
        let largest = largest(self.row);
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += (chunk[lane] - largest).exp();
            }
        }
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane += (*value - largest).exp();
        }
        *self.result = [largest, total(lanes)];
    }
}

/// The largest number of a row; NaN where there is one, so that it is not lost.
#[inline(always)]
fn largest<T: Element>(row: &[T]) -> T {
    let larger = |a: T, b: T| if b > a || b.is_nan() { b } else { a };
    let mut lanes = [row[0]; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    // some of the last numbers may be there twice
    for chunk in chunks.iter().chain(row.last_chunk()) {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    if chunks.is_empty() {
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane = larger(*lane, *value);
        }
    }
    halved(lanes, larger)
}

#[inline(always)]
fn total<T: Element>(lanes: [T; LANES]) -> T {
    halved(lanes, |a, b| a + b)
}

/// All lanes as one: the second half onto the first, until one is left.
#[inline(always)]
fn halved<T: Element>(mut lanes: [T; LANES], onto: impl Fn(T, T) -> T) -> T {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = onto(lanes[lane], lanes[lane + half]);
        }
    }
    lanes[0]
}

struct GradientRow<'a, T> {
    y: &'a [T],
    d: &'a mut [T],
}

impl<T: Element> Kernel for GradientRow<'_, T> {
    #[inline(always)]
    fn run(self) {
        let mut lanes = [T::ZERO; LANES];
        let ((d, d_rest), (y, y_rest)) = (self.d.as_chunks::<LANES>(), self.y.as_chunks::<LANES>());
        for (d, y) in d.iter().zip(y) {
            for lane in 0..LANES {
                lanes[lane] += d[lane] * y[lane];
            }
        }
        for ((lane, d), y) in lanes.iter_mut().zip(d_rest).zip(y_rest) {
            *lane += *d * *y;
        }
        let dot = total(lanes);
        for (d, y) in self.d.iter_mut().zip(self.y) {
            *d = (*d - dot) * *y;
        }
    }
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        by_dtype!(x.dtype(), T => {
            let mut y = slice::<T>(x, layout)?.to_vec();
            y.par_chunks_exact_mut(width).with_min_len(TILE / width).for_each(softmax_row);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let d_y = d_y.contiguous()?;
        let width = x.dims().last().copied().unwrap_or(1);
        by_dtype!(x.dtype(), T => {
            let (y, d_y) = (y.storage_and_layout(), d_y.storage_and_layout());
            let (y, d_y) = (elements::<T>(&y)?, elements::<T>(&d_y)?);
            let mut d_x = d_y.to_vec();
            let rows = d_x.par_chunks_exact_mut(width).zip(y.par_chunks_exact(width));
            rows.with_min_len(TILE / width).for_each(|(d_x, y)| softmax_gradient_row(y, d_x));
            Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
        })
    }
}
