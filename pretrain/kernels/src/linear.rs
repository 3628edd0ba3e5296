//! `y[b, o] = bias[o] + Σ_i w[o, i] x[b, i]`.
//!
//! Legend: b rows (samples, tokens), i inputs, o outputs. 2·b·i·o operations on 4·(b·i + b·o + i·o) bytes in f32; twice
//! the operations backward. A row's result does not depend on the others: few outputs (a classifier's) are sums over 16
//! lanes, more are tiles of a product, and which way is taken follows from the outputs alone. Derivatives of the
//! gradients are not there.

use std::borrow::Cow;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::bf16::{Bf16BothWays, Bf16Factor};
use crate::collected::collect;
use crate::element::{Element, by_dtype, check_anywhere, check_vector, dims, elements, slice};
use crate::precision::Precision;
use crate::product::{Blocks, Matrix, MatrixMut, Shared, written};
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

/// The gradient to a layer's output.
pub(crate) enum OutputGradient<'a, T: Element> {
    AsItIs(Cow<'a, [T]>),
    /// For the products of both gradients.
    Rewritten(Bf16BothWays),
}

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

    /// The gradients to x, w and bias, of those that are tracked and not collected. `residual` is added to that of x.
    pub(crate) fn backward<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: Option<&Tensor>,
        d_y: &OutputGradient<'_, T>,
        residual: Option<&[T]>,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (x_guard, w_guard) = (x.storage_and_layout(), w.storage_and_layout());
        let d_x = || {
            let d_x = self.input_gradient(elements::<T>(&w_guard)?, d_y, residual);
            Tensor::from_vec(d_x, x.shape(), x.device())
        };
        let d_x = x.track_op().then(d_x).transpose()?;
        let [d_w, d_bias] = self.parameter_gradients(elements::<T>(&x_guard)?, w, bias, d_y)?;
        Ok([d_x, d_w, d_bias])
    }

    /// The gradient to y, rewritten for the products where that pays: those of d_x and d_w read it in different orders.
    pub(crate) fn output_gradient<'a, T: Element>(&self, d_y: &'a [T]) -> OutputGradient<'a, T> {
        let matrix = Matrix::new(d_y, [self.rows, self.outputs], [self.outputs, 1]);
        let rewritten = T::matrix_as_f32(matrix).and_then(|d_y| self.rewritten(&d_y));
        rewritten.unwrap_or(OutputGradient::AsItIs(Cow::Borrowed(d_y)))
    }

    /// As [`output_gradient`](Self::output_gradient), of numbers that are there only now, where that pays.
    pub(crate) fn rewritten<T: Element>(&self, d_y: &impl Blocks<f32>) -> Option<OutputGradient<'static, T>> {
        assert_eq!(d_y.sizes(), [self.rows, self.outputs]);
        let both = (self.precision == Precision::Bf16).then(|| Bf16BothWays::new(d_y)).flatten();
        both.map(OutputGradient::Rewritten)
    }

    /// `d_x = d_y w`, or `residual + d_y w`, in tiles that the sizes fix.
    pub(crate) fn input_gradient<T: Element>(
        &self,
        w: &[T],
        d_y: &OutputGradient<'_, T>,
        residual: Option<&[T]>,
    ) -> Vec<T> {
        let w = Matrix::new(w, [self.outputs, self.inputs], [self.inputs, 1]);
        let finish = |tile: &mut MatrixMut<'_, T>, first_row: usize, first_column: usize| {
            let Some(residual) = residual else { return };
            for row in 0..tile.row_count() {
                let residual = &residual[(first_row + row) * self.inputs + first_column..];
                tile.row(row).iter_mut().zip(residual).for_each(|(d_x, residual)| *d_x += *residual);
            }
        };
        let product = |d_x: &Shared<'_, T>| match d_y {
            OutputGradient::AsItIs(d_y) => {
                let d_y = Matrix::new(d_y, [self.rows, self.outputs], [self.outputs, 1]);
                tiled_product(self.precision, d_x, false, d_y, w, finish);
            }
            OutputGradient::Rewritten(d_y) => rewritten_product(d_x, false, &d_y.plain, w, finish),
        };
        // SAFETY: a product writes all of its output.
        unsafe { written(self.rows * self.inputs, product) }
    }

    /// `d_w = d_yᵀ x` and `d_bias = Σ_rows d_y`, of those that are tracked and not collected, in tiles that the sizes fix.
    pub(crate) fn parameter_gradients<T: Element>(
        &self,
        x: &[T],
        w: &Tensor,
        bias: Option<&Tensor>,
        d_y: &OutputGradient<'_, T>,
    ) -> candle_core::Result<[Option<Tensor>; 2]> {
        let product = |d_w: &Shared<'_, T>, accumulate: bool| {
            let x = Matrix::new(x, [self.rows, self.inputs], [self.inputs, 1]);
            match d_y {
                OutputGradient::AsItIs(d_y) => {
                    let d_y = Matrix::new(d_y, [self.rows, self.outputs], [self.outputs, 1]).transposed();
                    tiled_product(self.precision, d_w, accumulate, d_y, x, |_, _, _| {});
                }
                OutputGradient::Rewritten(d_y) => {
                    rewritten_product(d_w, accumulate, &d_y.transposed, x, |_, _, _| {});
                }
            }
        };
        let d_w = || match collect(w, |sums: &mut [T]| product(&Shared::new(sums), true)) {
            Some(()) => Ok(None),
            None => {
                // SAFETY: a product writes all of its output.
                let d_w = unsafe { written(self.outputs * self.inputs, |d_w| product(d_w, false)) };
                Tensor::from_vec(d_w, w.shape(), w.device()).map(Some)
            }
        };
        let d_bias = |bias: &Tensor| {
            let sums = match d_y {
                OutputGradient::AsItIs(d_y) => Cow::Owned(column_sums(d_y, self.outputs)),
                OutputGradient::Rewritten(d_y) => Cow::Borrowed(&d_y.column_sums),
            };
            let add = |to: &mut [T]| {
                to.iter_mut().zip(&*sums).for_each(|(to, sum)| *to += T::from_f64(*sum));
            };
            match collect(bias, add) {
                Some(()) => Ok(None),
                None => {
                    let sums = sums.iter().map(|sum| T::from_f64(*sum)).collect();
                    Tensor::from_vec::<_, T>(sums, bias.shape(), bias.device()).map(Some)
                }
            }
        };
        Ok([
            w.track_op().then(d_w).transpose()?.flatten(),
            bias.filter(|bias| bias.track_op()).map(d_bias).transpose()?.flatten(),
        ])
    }
}

/// As [`tiled_product`], of a left factor that is rewritten already.
fn rewritten_product<T: Element>(
    out: &Shared<'_, T>,
    accumulate: bool,
    lhs: &Bf16Factor,
    rhs: Matrix<'_, T>,
    finish: impl Fn(&mut MatrixMut<'_, T>, usize, usize) + Sync,
) {
    let (rhs, out) = T::matrix_as_f32(rhs).zip(T::shared_as_f32(out)).expect("only f32 is rewritten");
    lhs.multiply(rhs, out, accumulate, |tile, row, column| {
        finish(T::tile_of_f32(tile).expect("only f32 is rewritten"), row, column);
    });
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
        let [d_x, d_w, _] = by_dtype!(x.dtype(), T => {
            self.backward(x, w, None, &self.output_gradient(elements::<T>(&d_y)?), None)?
        });
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
        let gradients = by_dtype!(x.dtype(), T => {
            self.backward(x, w, Some(bias), &self.output_gradient(elements::<T>(&d_y)?), None)?
        });
        Ok(gradients.into())
    }
}
