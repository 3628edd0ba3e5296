//! `y = gelu(z)` with `z[b, o] = bias[o] + Σ_i w[o, i] x[b, i]` and `gelu(z) = z Φ(z)`, Φ the normal distribution's
//! function, `(1 + erf(z / √2)) / 2`: the exact form. Paper: 1606.08415, section 2.
//!
//! `d_z = d_y (Φ(z) + z φ(z))`, φ the density; then as [`linear`](crate::linear). z is kept for backward. Each tile of
//! the product passes bias and activation while it is in cache: 8·b·o bytes written in f32, none read again; backward
//! 12·b·o for `d_z`, or, where the products rewrite it anyway, 8·b·o as it is made there. About 30 operations a number in
//! either direction beside the products.
//!
//! In f32, Φ(-a) for a >= 0 is `e^(-a²/2) t P(t)`, `t = 1 / (1 + 0.35355 a)`, P of degree 9 fitted to Mills' ratio with a
//! relative error of 5e-8, and Φ(a) = 1 - Φ(-a): relative error at most (16 + a²/2) 2^-24 where Φ(-a) is a normal number
//! (a < 12.9), 0 or the smallest normal number beyond. In f64 it is libm's erfc.

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check_anywhere, check_vector, elements, slice};
use crate::linear::{Linear, OutputGradient};
use crate::precision::Precision;
use crate::product::{Blocks, Matrix, Shared, written};
use crate::simd::{Kernel, widest};
use crate::{Result, composed};

/// A linear layer and the activation behind it, with gradients to all arguments.
///
/// # Shapes
/// - `x_bi`: \[b, i\]; `w_oi`: \[o, i\]; `bias_o`: \[o\]
/// - result: \[b, o\]
pub fn linear_gelu(x_bi: &Tensor, w_oi: &Tensor, bias_o: &Tensor) -> Result<Tensor> {
    linear_gelu_in(Precision::F32, x_bi, w_oi, bias_o)
}

/// As [`linear_gelu`], its products and those of the gradients in a precision of choice.
pub fn linear_gelu_in(precision: Precision, x_bi: &Tensor, w_oi: &Tensor, bias_o: &Tensor) -> Result<Tensor> {
    let linear = Linear::new(OP, precision, x_bi, w_oi)?;
    check_anywhere(OP, &[("x", x_bi), ("bias", bias_o)])?;
    check_vector(OP, "bias", bias_o, linear.outputs)?;
    if composed::is_needed(x_bi) {
        return composed::linear_gelu(precision, x_bi, w_oi, bias_o);
    }
    let tracked = x_bi.track_op() || w_oi.track_op() || bias_o.track_op();
    let op = LinearGelu::new(linear, tracked);
    Ok(x_bi.contiguous()?.apply_op3(&w_oi.contiguous()?, &bias_o.contiguous()?, op)?)
}

const OP: &str = "linear_gelu";
/// Elements of one task.
const TILE: usize = 1 << 14;

pub(crate) struct LinearGelu {
    pub(crate) linear: Linear,
    /// What went into the activation, if anyone will ask.
    z: Option<OnceLock<CpuStorage>>,
}

impl LinearGelu {
    /// With memory for backward, if it is `tracked`.
    pub(crate) fn new(linear: Linear, tracked: bool) -> Self {
        Self { linear, z: tracked.then(OnceLock::new) }
    }

    pub(crate) fn forward<T: Gaussian>(&self, x: &[T], w: &[T], bias: &[T]) -> Vec<T> {
        let columns = self.linear.outputs;
        let Some(kept) = &self.z else {
            return self.linear.forward(x, w, Some(bias), |tile, _, _| {
                for row in 0..tile.row_count() {
                    widest(InPlace { z: tile.row(row) });
                }
            });
        };
        let of_tiles = |y: &Shared<'_, T>| {
            let z = self.linear.forward(x, w, Some(bias), |tile, first_row, first_column| {
                for row in 0..tile.row_count() {
                    let z = tile.row(row);
                    let place = (first_row + row) * columns + first_column;
                    // SAFETY: the tile's place in y is the tile's alone.
                    let mut y = unsafe { y.tile(place, [1, z.len()], columns) };
                    widest(Forward { z, y: y.row(0) });
                }
            });
            // One forward, one value: an operation is applied once.
            kept.get_or_init(|| T::to_cpu_storage_owned(z));
        };
        // SAFETY: the tiles are all of z.
        unsafe { written(x.len() / self.linear.inputs * columns, of_tiles) }
    }

    /// The gradient to what goes into the activation.
    pub(crate) fn d_z<T: Gaussian>(&self, d_y: &[T]) -> candle_core::Result<OutputGradient<'static, T>> {
        let Some(z) = self.z.as_ref().and_then(OnceLock::get) else {
            candle_core::bail!("linear_gelu: backward of an operation that was built without gradients")
        };
        let z = T::cpu_storage_as_slice(z)?;
        let [z_bo, d_y_bo] = [z, d_y].map(|numbers| {
            let (rows, columns) = (self.linear.rows, self.linear.outputs);
            T::matrix_as_f32(Matrix::new(numbers, [rows, columns], [columns, 1]))
        });
        if let (Some(z_bo), Some(d_y_bo)) = (z_bo, d_y_bo)
            && let Some(d_z) = self.linear.rewritten(&InputGradient { z_bo, d_y_bo })
        {
            return Ok(d_z);
        }
        let of_tiles = |d_z: &Shared<'_, T>| {
            z.par_chunks(TILE).zip(d_y.par_chunks(TILE)).enumerate().for_each(|(task, (z, d_y))| {
                // SAFETY: these numbers are this task's alone.
                let mut d_z = unsafe { d_z.tile(task * TILE, [1, z.len()], z.len()) };
                widest(Backward { z, d_y, d_z: d_z.row(0) });
            });
        };
        // SAFETY: the tiles are all of z, beside which d_y has as many numbers.
        Ok(OutputGradient::AsItIs(Cow::Owned(unsafe { written(z.len(), of_tiles) })))
    }
}

/// The gradient to z, made where it is read.
struct InputGradient<'a> {
    z_bo: Matrix<'a, f32>,
    d_y_bo: Matrix<'a, f32>,
}

impl Blocks<f32> for InputGradient<'_> {
    fn sizes(&self) -> [usize; 2] {
        self.z_bo.sizes()
    }

    fn block<'a>(
        &'a self,
        first: [usize; 2],
        [rows, columns]: [usize; 2],
        space: &'a mut [f32],
    ) -> Matrix<'a, f32> {
        let place = |matrix: &Matrix<'a, f32>, row: usize| {
            &matrix.rows(first[0] + row, 1).data()[first[1]..][..columns]
        };
        for (row, d_z) in space.chunks_exact_mut(columns).enumerate() {
            widest(Backward { z: place(&self.z_bo, row), d_y: place(&self.d_y_bo, row), d_z });
        }
        Matrix::new(space, [rows, columns], [columns, 1])
    }
}

/// Numbers whose normal distribution is known.
pub(crate) trait Gaussian: Element {
    /// Φ(x), and `e^(-x²/2)`.
    fn gaussian(self) -> [Self; 2];
}

impl Gaussian for f32 {
    #[inline(always)]
    fn gaussian(self) -> [Self; 2] {
        const MILLS: [f32; 10] = [
            0.141_029_9,
            0.141_477_33,
            0.118_894_14,
            0.114_864_945,
            -0.055_461_86,
            0.222_783_33,
            -0.350_040_17,
            0.226_011_95,
            -0.066_641_23,
            0.007_081_679_5,
        ];
        let a = self.abs();
        let t = 1.0 / (1.0 + 0.353_553_38 * a);
        let mut polynomial = MILLS[9];
        for coefficient in MILLS[..9].iter().rev() {
            polynomial = polynomial * t + coefficient;
        }
        let bell = Element::exp(-0.5 * a * a);
        let tail = bell * (t * polynomial);
        [if self < 0.0 { tail } else { 1.0 - tail }, bell]
    }
}

impl Gaussian for f64 {
    #[inline(always)]
    fn gaussian(self) -> [Self; 2] {
        [0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2), libm::exp(-0.5 * self * self)]
    }
}

/// 1 / √(2π)
const DENSITY: f64 = 0.398_942_280_401_432_7;

struct InPlace<'a, T> {
    z: &'a mut [T],
}

impl<T: Gaussian> Kernel for InPlace<'_, T> {
    #[inline(always)]
    fn run(self) {
        for z in self.z {
            *z *= z.gaussian()[0];
        }
    }
}

struct Forward<'a, T> {
    z: &'a [T],
    y: &'a mut [T],
}

impl<T: Gaussian> Kernel for Forward<'_, T> {
    #[inline(always)]
    fn run(self) {
        for (y, z) in self.y.iter_mut().zip(self.z) {
            *y = *z * z.gaussian()[0];
        }
    }
}

struct Backward<'a, T> {
    z: &'a [T],
    d_y: &'a [T],
    d_z: &'a mut [T],
}

impl<T: Gaussian> Kernel for Backward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let density = T::from_f64(DENSITY);
        for ((d_z, z), d_y) in self.d_z.iter_mut().zip(self.z).zip(self.d_y) {
            let [below, bell] = z.gaussian();
            *d_z = *d_y * (below + *z * (density * bell));
        }
    }
}

impl CustomOp3 for LinearGelu {
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
            let y = self.forward::<T>(slice(x, x_layout)?, slice(w, w_layout)?, bias);
            Ok((T::to_cpu_storage_owned(y), Shape::from((x_layout.dims()[0], self.linear.outputs))))
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
            let d_z = self.d_z(elements::<T>(&d_y)?)?;
            self.linear.backward(x, w, Some(bias), &d_z, None)?
        });
        Ok(gradients.into())
    }
}
