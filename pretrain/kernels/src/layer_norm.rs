//! Layer normalisation over the last dimension. Paper: 1607.06450, eq. 3 and 4.
//!
//! `y = (s - mean) / sqrt(variance + eps) weight + bias`, with mean and biased variance of one row's n numbers in two
//! passes and f64; s = x, or in one go `s = dropout(x) + residual`, as the blocks of a post-norm transformer end.
//! With `x̂ = (s - mean) / std`, `g = d_y weight`: `d_s = (g - Σ g / n - x̂ Σ g x̂ / n) / std`,
//! `d_weight = Σ_rows d_y x̂`, `d_bias = Σ_rows d_y`.
//!
//! Bytes a number in f32: forward 8 (12 with a residual, 13 with dropout), backward 12 (16; 21 with dropout), as the
//! statistics are taken again; about 10 and 25 operations. The backward of weight and bias adds blocks of 32 rows in order.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::dropout::{Dropout, row_count};
use crate::element::{Element, by_dtype, check_anywhere, check_vector, elements, slice};
use crate::product::{Shared, written};
use crate::simd::{Kernel, widest};
use crate::sums::{sum, sum_of};
use crate::{Error, Result, composed};

/// Normalises rows.
///
/// # Shapes
/// - `x`: \[..., n\]; `weight_n`, `bias_n`: \[n\]
/// - result: that of `x`
pub fn layer_norm(x: &Tensor, weight_n: &Tensor, bias_n: &Tensor, eps: f64) -> Result<Tensor> {
    check_arguments(x, weight_n, bias_n)?;
    if composed::is_needed(x) {
        return composed::layer_norm(x, weight_n, bias_n, eps);
    }
    Ok(x.contiguous()?.apply_op2(&affine(weight_n, bias_n)?, LayerNorm::new(eps, None))?)
}

/// Normalises `dropout(x) + residual`; gradients reach both.
///
/// # Shapes
/// - `x`, `residual`: \[..., n\]; `weight_n`, `bias_n`: \[n\]; `dropout.rows`, if there: one a row
/// - result: that of `x`
///
/// # Errors
/// Beside shapes and types: those of [`dropout`](crate::dropout).
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    dropout: Option<&Dropout>,
    weight_n: &Tensor,
    bias_n: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    check_arguments(x, weight_n, bias_n)?;
    check_anywhere(OP, &[("x", x), ("residual", residual)])?;
    if residual.dims() != x.dims() {
        let (expected, got) = (format!("{:?}", x.dims()), residual.dims().to_vec());
        return Err(Error::Shape { op: OP, tensor: "residual", expected, got });
    }
    dropout.map_or(Ok(()), |dropout| dropout.check(OP, row_count(x), 1))?;
    let dropout = dropout.filter(|dropout| dropout.rate > 0.0);
    if composed::is_needed(x) {
        let x = dropout.map_or_else(|| Ok(x.clone()), |dropout| composed::dropout(x, dropout))?;
        return composed::layer_norm(&(x + residual)?, weight_n, bias_n, eps);
    }
    let norm = LayerNorm::new(eps, dropout.cloned());
    Ok(x.contiguous()?.apply_op3(&residual.contiguous()?, &affine(weight_n, bias_n)?, norm)?)
}

const OP: &str = "layer_norm";
/// Rows of one task, and of one partial sum of the gradients to weight and bias.
const ROWS: usize = 32;

pub(crate) fn check_arguments(x: &Tensor, weight_n: &Tensor, bias_n: &Tensor) -> Result<()> {
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 {
        let expected = "[..., n], n not 0".to_owned();
        return Err(Error::Shape { op: OP, tensor: "x", expected, got: x.dims().to_vec() });
    }
    check_anywhere(OP, &[("x", x), ("weight", weight_n), ("bias", bias_n)])?;
    check_vector(OP, "weight", weight_n, width)?;
    check_vector(OP, "bias", bias_n, width)
}

/// Weight and bias as one tensor \[2, n\]: an operation has three inputs at most.
pub(crate) fn affine(weight_n: &Tensor, bias_n: &Tensor) -> Result<Tensor> {
    Ok(Tensor::stack(&[weight_n, bias_n], 0)?)
}

pub(crate) struct LayerNorm {
    eps: f64,
    dropout: Option<Dropout>,
    /// Which numbers of x were kept, if any were dropped.
    kept: OnceLock<Vec<u8>>,
}

impl LayerNorm {
    pub(crate) fn new(eps: f64, dropout: Option<Dropout>) -> Self {
        Self { eps, dropout, kept: OnceLock::new() }
    }

    /// `s` of one row; `buffer` holds it where it is not x itself.
    fn row<'a, T: Element>(
        &self,
        row: usize,
        x: &'a [T],
        kept: &[u8],
        residual: Option<&[T]>,
        buffer: &'a mut [T],
    ) -> &'a [T] {
        let Some(residual) = residual else { return x };
        buffer.copy_from_slice(x);
        if let Some(dropout) = &self.dropout {
            dropout.keep(kept, buffer);
        }
        let residual = &residual[row * x.len()..];
        buffer.iter_mut().zip(residual).for_each(|(sum, residual)| *sum += *residual);
        buffer
    }

    /// Mean and 1 / sqrt(variance + eps).
    fn statistics<T: Element>(&self, row: &[T]) -> [f64; 2] {
        let count = row.len() as f64;
        let mean = sum(row) / count;
        let variance = sum_of(row, row, |x, _| (x - mean) * (x - mean)) / count;
        [mean, 1.0 / (variance + self.eps).sqrt()]
    }

    pub(crate) fn forward<T: Element>(&self, x: &[T], residual: Option<&[T]>, affine: &[T]) -> Vec<T> {
        let width = affine.len() / 2;
        let (weight, bias) = affine.split_at(width);
        let of_rows = |y: &Shared<'_, T>, all_kept: &Shared<'_, u8>| {
            x.par_chunks(ROWS * width).enumerate().for_each(|(task, x)| {
                let mut buffer = vec![T::ZERO; width];
                for (row, x) in x.chunks_exact(width).enumerate() {
                    let row = task * ROWS + row;
                    // SAFETY: this row is this task's alone.
                    let mut y = unsafe { y.tile(row * width, [1, width], width) };
                    let mut kept = self.dropout.as_ref().map(|dropout| {
                        // SAFETY: as above.
                        let mut kept = unsafe { all_kept.tile(row * width, [1, width], width) };
                        dropout.draw(dropout.row_number(row), kept.row(0));
                        kept
                    });
                    let kept = kept.as_mut().map_or(&[][..], |kept| kept.row(0));
                    let s = self.row(row, x, kept, residual, &mut buffer);
                    let statistics = self.statistics(s);
                    widest(Normalise { s, weight, bias, statistics, y: y.row(0) });
                }
            });
        };
        let n_kept = if self.dropout.is_some() { x.len() } else { 0 };
        let mut kept = Vec::new();
        // SAFETY: the rows are all of y, and of what is kept where something is dropped.
        let y = unsafe { written(x.len(), |y| kept = written(n_kept, |kept| of_rows(y, kept))) };
        // One forward, one value: an operation is applied once.
        self.kept.get_or_init(|| kept);
        y
    }

    /// Gradients to s, to dropout's x if that is another, and to `[weight, bias]`.
    pub(crate) fn backward<T: Element>(
        &self,
        x: &[T],
        residual: Option<&[T]>,
        affine: &[T],
        d_y: &[T],
    ) -> (Vec<T>, Option<Vec<T>>, Vec<T>) {
        let width = affine.len() / 2;
        let weight = &affine[..width];
        let kept = self.kept.get().map_or(&[][..], Vec::as_slice);
        let tile = ROWS * width;
        let of_rows = |all_d_s: &Shared<'_, T>, all_d_x: &Shared<'_, T>| -> Vec<Vec<f64>> {
            let tiles = x.par_chunks(tile).zip(d_y.par_chunks(tile)).enumerate();
            tiles
                .map(|(task, (x, d_y))| {
                    let mut buffer = vec![T::ZERO; width];
                    let mut sums = vec![0.0; 2 * width];
                    let (d_weight, d_bias) = sums.split_at_mut(width);
                    for (row, (x, d_y)) in x.chunks_exact(width).zip(d_y.chunks_exact(width)).enumerate() {
                        let row = task * ROWS + row;
                        let kept = kept.get(row * width..(row + 1) * width).unwrap_or_default();
                        let s = self.row(row, x, kept, residual, &mut buffer);
                        let statistics = self.statistics(s);
                        // SAFETY: this row is this task's alone.
                        let mut d_s = unsafe { all_d_s.tile(row * width, [1, width], width) };
                        let d_s = d_s.row(0);
                        widest(Gradient { s, weight, d_y, statistics, d_s, d_weight, d_bias });
                        if let Some(dropout) = &self.dropout {
                            // SAFETY: as above.
                            let mut d_x = unsafe { all_d_x.tile(row * width, [1, width], width) };
                            d_x.row(0).copy_from_slice(d_s);
                            dropout.keep(kept, d_x.row(0));
                        }
                    }
                    sums
                })
                .collect()
        };
        let n_dropped = if self.dropout.is_some() { x.len() } else { 0 };
        let (mut d_x, mut partial) = (Vec::new(), Vec::new());
        // SAFETY: the rows are all of d_s, and of d_x where something is dropped.
        let d_s =
            unsafe { written(x.len(), |d_s| d_x = written(n_dropped, |d_x| partial = of_rows(d_s, d_x))) };
        let d_x = self.dropout.is_some().then_some(d_x);
        let mut d_affine = vec![0.0; 2 * width];
        for partial in partial {
            d_affine.iter_mut().zip(partial).for_each(|(sum, partial)| *sum += partial);
        }
        (d_s, d_x, d_affine.into_iter().map(T::from_f64).collect())
    }

    /// The gradients as tensors: to x, to the residual, to weight and bias.
    fn gradients(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        affine: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let (x_guard, affine_guard) = (x.storage_and_layout(), affine.storage_and_layout());
            let residual_guard = residual.map(Tensor::storage_and_layout);
            let d_y_guard = d_y.storage_and_layout();
            let residual = residual_guard.as_ref().map(elements::<T>).transpose()?;
            let (d_s, d_x, d_affine) = self.backward(
                elements::<T>(&x_guard)?,
                residual,
                elements::<T>(&affine_guard)?,
                elements::<T>(&d_y_guard)?,
            );
            let d_s = Tensor::from_vec(d_s, x.shape(), x.device())?;
            let d_x = match d_x {
                Some(d_x) => Tensor::from_vec(d_x, x.shape(), x.device())?,
                None => d_s.clone(),
            };
            let d_affine = Tensor::from_vec(d_affine, affine.shape(), x.device())?;
            Ok([Some(d_x), Some(d_s), Some(d_affine)])
        })
    }
}

struct Normalise<'a, T> {
    s: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    statistics: [f64; 2],
    y: &'a mut [T],
}

impl<T: Element> Kernel for Normalise<'_, T> {
    #[inline(always)]
    fn run(self) {
        let [mean, inverse_std] = self.statistics;
        for (((y, s), weight), bias) in self.y.iter_mut().zip(self.s).zip(self.weight).zip(self.bias) {
            let normalised = T::from_f64((s.to_f64() - mean) * inverse_std);
            *y = normalised * *weight + *bias;
        }
    }
}

/// One row's gradient, and what it adds to those of weight and bias.
struct Gradient<'a, T> {
    s: &'a [T],
    weight: &'a [T],
    d_y: &'a [T],
    statistics: [f64; 2],
    d_s: &'a mut [T],
    d_weight: &'a mut [f64],
    d_bias: &'a mut [f64],
}

impl<T: Element> Kernel for Gradient<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { s, weight, d_y, statistics: [mean, inverse_std], d_s, d_weight, d_bias } = self;
        let normalised = |s: T| (s.to_f64() - mean) * inverse_std;
        let (mut sums, mut dots) = ([0.0; 16], [0.0; 16]);
        {
            let mut add = |lane: usize, [s, weight, d_y]: [T; 3], [d_weight, d_bias]: [&mut f64; 2]| {
                let (d_y, normalised) = (d_y.to_f64(), normalised(s));
                let g = d_y * weight.to_f64();
                sums[lane] += g;
                dots[lane] += g * normalised;
                *d_weight += d_y * normalised;
                *d_bias += d_y;
            };
            let ((s, s_rest), (weight, weight_rest)) = (s.as_chunks::<16>(), weight.as_chunks::<16>());
            let (d_y, d_y_rest) = d_y.as_chunks::<16>();
            let (d_weight, d_weight_rest) = d_weight.as_chunks_mut::<16>();
            let (d_bias, d_bias_rest) = d_bias.as_chunks_mut::<16>();
            let vectors = d_weight.iter_mut().zip(d_bias);
            for (((s, weight), d_y), (d_weight, d_bias)) in s.iter().zip(weight).zip(d_y).zip(vectors) {
                for lane in 0..16 {
                    let values = [s[lane], weight[lane], d_y[lane]];
                    add(lane, values, [&mut d_weight[lane], &mut d_bias[lane]]);
                }
            }
            let vectors = d_weight_rest.iter_mut().zip(d_bias_rest).enumerate();
            for (((s, weight), d_y), (lane, (d_weight, d_bias))) in
                s_rest.iter().zip(weight_rest).zip(d_y_rest).zip(vectors)
            {
                add(lane, [*s, *weight, *d_y], [d_weight, d_bias]);
            }
        }
        let count = s.len() as f64;
        let (mean_g, mean_dot) = (sums.iter().sum::<f64>() / count, dots.iter().sum::<f64>() / count);
        for (((d_s, s), weight), d_y) in d_s.iter_mut().zip(s).zip(weight).zip(d_y) {
            let g = d_y.to_f64() * weight.to_f64();
            *d_s = T::from_f64((g - mean_g - normalised(*s) * mean_dot) * inverse_std);
        }
    }
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let y = self.forward::<T>(slice(x, x_layout)?, None, slice(affine, affine_layout)?);
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [d_x, _, d_affine] = self.gradients(x, None, affine, d_y)?;
        Ok((d_x, d_affine))
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "residual_layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let residual = slice::<T>(residual, residual_layout)?;
            let y = self.forward(slice(x, x_layout)?, Some(residual), slice(affine, affine_layout)?);
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        affine: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [d_x, d_residual, d_affine] = self.gradients(x, Some(residual), affine, d_y)?;
        Ok((d_x, d_residual, d_affine))
    }
}
