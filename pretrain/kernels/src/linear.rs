//! `y[b, o] = bias[o] + Σ_i w[o, i] x[b, i]`.
//!
//! Legend: b rows (samples, tokens), i inputs, o outputs. 2·b·i·o operations on 4·(b·i + b·o + i·o) bytes in f32; twice
//! the operations backward. A row's result does not depend on the others: few outputs (a classifier's) are sums over 16
//! lanes, more are tiles of a product, and which way is taken follows from the outputs alone. Derivatives of the
//! gradients are not there.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::collected::collect;
use crate::element::{Element, by_dtype, check_anywhere, check_vector, dims, elements, slice};
use crate::precision::Precision;
use crate::product::{Matrix, MatrixMut, Shared, written};
use crate::simd::{Kernel, widest};
use crate::tiles::{NARROW, column_sums, tiled_product};
use crate::{Error, Result, composed};

/// The product with a weight in PyTorch's order, with gradients to all arguments.
///
/// # Shapes
/// - `x_bi`: \[b, i\]; `w_oi`: \[o, i\]; `bias_o`: \[o\]
/// - result: \[b, o\]
pub fn linear(x_bi: &Tensor, w_oi: &Tensor, bias_o: Option<&Tensor>) -> Result<Tensor> {
    linear_in(Precision::F32, x_bi, w_oi, bias_o)
}

/// As [`linear`], its products and those of the gradients in a precision of choice.
///
/// Sums of up to 64 outputs, such as a classifier's, stay f32 forward.
pub fn linear_in(
    precision: Precision,
    x_bi: &Tensor,
    w_oi: &Tensor,
    bias_o: Option<&Tensor>,
) -> Result<Tensor> {
    let product = Linear::new(OP, precision, x_bi, w_oi)?;
    if let Some(bias_o) = bias_o {
        check_anywhere(OP, &[("x", x_bi), ("bias", bias_o)])?;
        check_vector(OP, "bias", bias_o, product.outputs)?;
    }
    if composed::is_needed(x_bi) {
        return composed::linear(precision, x_bi, w_oi, bias_o);
    }
    let (x_bi, w_oi) = (x_bi.contiguous()?, w_oi.contiguous()?);
    let Some(bias_o) = bias_o else {
        return Ok(x_bi.apply_op2(&w_oi, product)?);
    };
    Ok(x_bi.apply_op3(&w_oi, &bias_o.contiguous()?, product)?)
}

const OP: &str = "linear";
/// Outputs of one task: their weights stay in cache while all rows pass.
const OUTPUTS: usize = 32;
/// The product has another way, and other bits, for outputs of up to 256 numbers and for single rows; so fewer rows than
/// this (of more than [`NARROW`] outputs) are filled up.
const FEW: usize = 4;

pub(crate) struct Linear {
    pub(crate) precision: Precision,
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Linear {
    pub(crate) fn new(op: &'static str, precision: Precision, x_bi: &Tensor, w_oi: &Tensor) -> Result<Self> {
        let [rows, inputs] = dims(op, "x", "[b, i]", x_bi)?;
        let [outputs, w_inputs] = dims(op, "w", "[o, i]", w_oi)?;
        if inputs != w_inputs || inputs == 0 || outputs == 0 {
            let expected = format!("[o, {inputs}], neither of them 0");
            return Err(Error::Shape { op, tensor: "w", expected, got: w_oi.dims().to_vec() });
        }
        check_anywhere(op, &[("x", x_bi), ("w", w_oi)])?;
        Ok(Self { precision, rows, inputs, outputs })
    }

    /// y, and `finish(tile, first row, first column)` on every tile of it, behind the bias.
    pub(crate) fn forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        finish: impl Fn(&mut MatrixMut<'_, T>, usize, usize) + Sync,
    ) -> Vec<T> {
        let finish = |tile: &mut MatrixMut<'_, T>, first_row: usize, first_column: usize| {
            if let Some(bias) = bias {
                for row in 0..tile.row_count() {
                    tile.row(row).iter_mut().zip(&bias[first_column..]).for_each(|(y, bias)| *y += *bias);
                }
            }
            finish(tile, first_row, first_column);
        };
        if self.outputs <= NARROW {
            return self.sums(x, w, finish);
        }
        let weight = Matrix::new(w, [self.outputs, self.inputs], [self.inputs, 1]).transposed();
        if self.rows == 0 || self.rows >= FEW {
            let x = Matrix::new(x, [self.rows, self.inputs], [self.inputs, 1]);
            let product = |y: &Shared<'_, T>| tiled_product(self.precision, y, false, x, weight, finish);
            // SAFETY: a product writes all of its output.
            return unsafe { written(self.rows * self.outputs, product) };
        }
        let mut filled = vec![T::ZERO; FEW * self.inputs];
        filled[..x.len()].copy_from_slice(x);
        let mut y = vec![T::ZERO; FEW * self.outputs];
        let x = Matrix::new(&filled, [FEW, self.inputs], [self.inputs, 1]);
        tiled_product(self.precision, &Shared::new(&mut y), false, x, weight, |_, _, _| {});
        y.truncate(self.rows * self.outputs);
        finish(&mut MatrixMut::new(&mut y, [self.rows, self.outputs], self.outputs), 0, 0);
        y
    }

    fn sums<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        finish: impl Fn(&mut MatrixMut<'_, T>, usize, usize) + Sync,
    ) -> Vec<T> {
        let mut y = vec![T::ZERO; self.rows * self.outputs];
        let tasks = if y.is_empty() { 0 } else { self.outputs.div_ceil(OUTPUTS) };
        let shared = Shared::new(&mut y);
        (0..tasks).into_par_iter().for_each(|task| {
            let first = task * OUTPUTS;
            let count = OUTPUTS.min(self.outputs - first);
            // SAFETY: these outputs of all rows are this task's alone.
            let mut out = unsafe { shared.tile(first, [self.rows, count], self.outputs) };
            for (row, x) in x.chunks_exact(self.inputs).enumerate() {
                let w = &w[first * self.inputs..][..count * self.inputs];
                widest(Rows { x, w, y: out.row(row) });
            }
            finish(&mut out, 0, first);
        });
        y
    }

    /// The gradients to x, w and bias, of those that are tracked and not collected.
    pub(crate) fn backward<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: Option<&Tensor>,
        d_y: &[T],
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (x_guard, w_guard) = (x.storage_and_layout(), w.storage_and_layout());
        let d_x = || {
            let d_x = self.input_gradient(elements::<T>(&w_guard)?, d_y);
            Tensor::from_vec(d_x, x.shape(), x.device())
        };
        let d_x = x.track_op().then(d_x).transpose()?;
        let [d_w, d_bias] = self.parameter_gradients(elements::<T>(&x_guard)?, w, bias, d_y)?;
        Ok([d_x, d_w, d_bias])
    }

    /// `d_x = d_y w`, in tiles that the sizes fix.
    pub(crate) fn input_gradient<T: Element>(&self, w: &[T], d_y: &[T]) -> Vec<T> {
        let w = Matrix::new(w, [self.outputs, self.inputs], [self.inputs, 1]);
        self.product(self.rows * self.inputs, self.d_y(d_y), w)
    }

    /// `d_w = d_yᵀ x` and `d_bias = Σ_rows d_y`, of those that are tracked and not collected, in tiles that the sizes fix.
    pub(crate) fn parameter_gradients<T: Element>(
        &self,
        x: &[T],
        w: &Tensor,
        bias: Option<&Tensor>,
        d_y: &[T],
    ) -> candle_core::Result<[Option<Tensor>; 2]> {
        let d_w = || {
            let x = Matrix::new(x, [self.rows, self.inputs], [self.inputs, 1]);
            let d_y = self.d_y(d_y).transposed();
            let add = |sums: &mut [T]| {
                tiled_product(self.precision, &Shared::new(sums), true, d_y, x, |_, _, _| {})
            };
            match collect(w, add) {
                Some(()) => Ok(None),
                None => {
                    let d_w = self.product(self.outputs * self.inputs, d_y, x);
                    Tensor::from_vec(d_w, w.shape(), w.device()).map(Some)
                }
            }
        };
        let d_bias = |bias: &Tensor| {
            let sums = column_sums(d_y, self.outputs);
            let add = |to: &mut [T]| {
                to.iter_mut().zip(&sums).for_each(|(to, sum)| *to += T::from_f64(*sum));
            };
            match collect(bias, add) {
                Some(()) => Ok(None),
                None => {
                    let sums = sums.into_iter().map(T::from_f64).collect();
                    Tensor::from_vec(sums, bias.shape(), bias.device()).map(Some)
                }
            }
        };
        Ok([
            w.track_op().then(d_w).transpose()?.flatten(),
            bias.filter(|bias| bias.track_op()).map(d_bias).transpose()?.flatten(),
        ])
    }

    fn d_y<'a, T: Element>(&self, d_y: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(d_y, [self.rows, self.outputs], [self.outputs, 1])
    }

    fn product<T: Element>(&self, length: usize, lhs: Matrix<'_, T>, rhs: Matrix<'_, T>) -> Vec<T> {
        let product = |out: &Shared<'_, T>| tiled_product(self.precision, out, false, lhs, rhs, |_, _, _| {});
        // SAFETY: a product writes all of its output.
        unsafe { written(length, product) }
    }
}

/// The products of one row of x with some rows of w.
struct Rows<'a, T> {
    x: &'a [T],
    w: &'a [T],
    y: &'a mut [T],
}

impl<T: Element> Kernel for Rows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let (x, x_rest) = self.x.as_chunks::<16>();
        for (y, w) in self.y.iter_mut().zip(self.w.chunks_exact(self.x.len())) {
            let (w, w_rest) = w.as_chunks::<16>();
            let mut lanes = [[T::ZERO; 16]; 4];
            // Four vectors in flight hide the latency of the addition.
            for (x, w) in x.chunks(4).zip(w.chunks(4)) {
                for ((lanes, x), w) in lanes.iter_mut().zip(x).zip(w) {
                    for lane in 0..16 {
                        lanes[lane] += x[lane] * w[lane];
                    }
                }
            }
            let mut total = T::ZERO;
            for lane in lanes.as_flattened() {
                total += *lane;
            }
            for (x, w) in x_rest.iter().zip(w_rest) {
                total += *x * *w;
            }
            *y = total;
        }
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let y = self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, None, |_, _, _| {});
            Ok((T::to_cpu_storage_owned(y), Shape::from((self.rows, self.outputs))))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        let [d_x, d_w, _] = by_dtype!(x.dtype(), T => self.backward(x, w, None, elements::<T>(&d_y)?)?);
        Ok((d_x, d_w))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let bias = slice(bias, bias_layout)?;
            let y = self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, Some(bias), |_, _, _| {});
            Ok((T::to_cpu_storage_owned(y), Shape::from((self.rows, self.outputs))))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        let gradients = by_dtype!(x.dtype(), T => self.backward(x, w, Some(bias), elements::<T>(&d_y)?)?);
        Ok(gradients.into())
    }
}
