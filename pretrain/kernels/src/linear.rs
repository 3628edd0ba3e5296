//! `y[b, o] = bias[o] + Σ_i w[o, i] x[b, i]`.
//!
//! Legend: b rows (samples), i inputs, o outputs. 2·b·i·o operations on 4·(b·i + b·o + i·o) bytes in f32. Every sum runs
//! over 16 lanes in the same order however many rows there are, so a row's result does not depend on the others.
//! Derivatives of the gradients are not there.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, check_vector, dims, elements, slice};
use crate::product::{Matrix, Shared, multiply, tile_size};
use crate::simd::{Kernel, widest};
use crate::{Error, Result};

/// The product with a weight in PyTorch's order, with gradients to all arguments.
///
/// # Shapes
/// - `x_bi`: \[b, i\]; `w_oi`: \[o, i\]; `bias_o`: \[o\]
/// - result: \[b, o\]
pub fn linear(x_bi: &Tensor, w_oi: &Tensor, bias_o: Option<&Tensor>) -> Result<Tensor> {
    let [rows, inputs] = dims(OP, "x", "[b, i]", x_bi)?;
    let [outputs, w_inputs] = dims(OP, "w", "[o, i]", w_oi)?;
    if inputs != w_inputs || inputs == 0 || outputs == 0 {
        let expected = format!("[o, {inputs}], neither of them 0");
        return Err(Error::Shape { op: OP, tensor: "w", expected, got: w_oi.dims().to_vec() });
    }
    let product = Linear { rows, inputs, outputs };
    check(OP, &[("x", x_bi), ("w", w_oi)])?;
    let (x_bi, w_oi) = (x_bi.contiguous()?, w_oi.contiguous()?);
    let Some(bias_o) = bias_o else {
        return Ok(x_bi.apply_op2(&w_oi, product)?);
    };
    check(OP, &[("x", &x_bi), ("bias", bias_o)])?;
    check_vector(OP, "bias", bias_o, outputs)?;
    Ok(x_bi.apply_op3(&w_oi, &bias_o.contiguous()?, product)?)
}

const OP: &str = "linear";
/// Outputs of one task: their weights stay in cache while all rows pass.
const OUTPUTS: usize = 32;
/// Sides of the tiles of the gradients.
const TILE: usize = 288;

struct Linear {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    fn forward<T: Element>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> (CpuStorage, Shape) {
        let mut y = vec![T::ZERO; self.rows * self.outputs];
        let tasks = if y.is_empty() { 0 } else { self.outputs.div_ceil(OUTPUTS) };
        let shared = Shared::new(&mut y);
        (0..tasks).into_par_iter().for_each(|task| {
            let first = task * OUTPUTS;
            let count = OUTPUTS.min(self.outputs - first);
            // SAFETY: these outputs of all rows are this task's alone.
            let mut out = unsafe { shared.tile(first, [self.rows, count], self.outputs) };
            for row in 0..self.rows {
                let (x, y) = (&x[row * self.inputs..][..self.inputs], out.row(row));
                widest(Rows { x, w: &w[first * self.inputs..][..count * self.inputs], y: &mut *y });
                if let Some(bias) = bias {
                    y.iter_mut().zip(&bias[first..]).for_each(|(y, bias)| *y += *bias);
                }
            }
        });
        (T::to_cpu_storage_owned(y), Shape::from((self.rows, self.outputs)))
    }

    /// `d_x = d_y w` and `d_w = d_yᵀ x`, in tiles that the sizes fix.
    fn backward(
        &self,
        x: &Tensor,
        w: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let (x_guard, w_guard) = (x.storage_and_layout(), w.storage_and_layout());
            let d_y_guard = d_y.storage_and_layout();
            let d_y = Matrix::new(elements::<T>(&d_y_guard)?, [self.rows, self.outputs], [self.outputs, 1]);
            let d_x = || {
                let w = Matrix::new(elements::<T>(&w_guard)?, [self.outputs, self.inputs], [self.inputs, 1]);
                Tensor::from_vec(tiled(d_y, w, [self.rows, self.inputs]), x.shape(), x.device())
            };
            let d_w = || {
                let x = Matrix::new(elements::<T>(&x_guard)?, [self.rows, self.inputs], [self.inputs, 1]);
                Tensor::from_vec(tiled(d_y.transposed(), x, [self.outputs, self.inputs]), w.shape(), w.device())
            };
            Ok((x.track_op().then(d_x).transpose()?, w.track_op().then(d_w).transpose()?))
        })
    }

    fn bias_gradient<T: Element>(&self, bias: &Tensor, d_y: &Tensor) -> candle_core::Result<Tensor> {
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        let mut sums = vec![0.0; self.outputs];
        for d_y in elements::<T>(&d_y)?.chunks_exact(self.outputs) {
            sums.iter_mut().zip(d_y).for_each(|(sum, d_y)| *sum += d_y.to_f64());
        }
        let sums: Vec<T> = sums.into_iter().map(T::from_f64).collect();
        Tensor::from_vec(sums, bias.shape(), bias.device())
    }
}

fn tiled<T: Element>(lhs: Matrix<'_, T>, rhs: Matrix<'_, T>, [rows, columns]: [usize; 2]) -> Vec<T> {
    let mut out = vec![T::ZERO; rows * columns];
    if out.is_empty() {
        return out;
    }
    let (tile_r, tile_c) = (tile_size(rows, TILE), tile_size(columns, TILE));
    let tiles_c = columns.div_ceil(tile_c);
    let shared = Shared::new(&mut out);
    (0..rows.div_ceil(tile_r) * tiles_c).into_par_iter().for_each(|task| {
        let (r, c) = (task / tiles_c * tile_r, task % tiles_c * tile_c);
        let (count_r, count_c) = (tile_r.min(rows - r), tile_c.min(columns - c));
        // SAFETY: this tile is this task's alone.
        let mut out = unsafe { shared.tile(r * columns + c, [count_r, count_c], columns) };
        let rhs = rhs.transposed().rows(c, count_c).transposed();
        multiply(&mut out, false, lhs.rows(r, count_r), rhs);
    });
    out
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
        by_dtype!(x.dtype(), T => Ok(self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, None)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, d_y)
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
            Ok(self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, Some(bias)))
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
        let (d_x, d_w) = self.backward(x, w, d_y)?;
        let d_bias = bias.track_op().then(|| by_dtype!(x.dtype(), T => self.bias_gradient::<T>(bias, d_y)));
        Ok((d_x, d_w, d_bias.transpose()?))
    }
}
