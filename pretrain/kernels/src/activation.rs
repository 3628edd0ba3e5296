//! Activations, element by element: `relu(x) = max(x, 0)`, `sigmoid(x) = 1 / (1 + e^-x)`, `swish(x) = x sigmoid(x)`
//! (SiLU), `tanh`. Forward 8 bytes an element in f32, backward 12.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, check_anywhere, elements, slice};
use crate::simd::{Kernel, widest};
use crate::{Result, composed};

/// `max(x, 0)` of any shape; NaN stays NaN. The gradient at 0 is 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if composed::is_needed(x) {
        check_anywhere("relu", &[("x", x)])?;
        return composed::relu(x);
    }
    apply(x, Activation::Relu)
}

/// `x / (1 + e^-x)` of any shape (SiLU).
pub fn swish(x: &Tensor) -> Result<Tensor> {
    apply(x, Activation::Swish)
}

/// `1 / (1 + e^-x)` of any shape.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    if composed::is_needed(x) {
        check_anywhere("sigmoid", &[("x", x)])?;
        return composed::sigmoid(x);
    }
    apply(x, Activation::Sigmoid)
}

/// The hyperbolic tangent, of any shape.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    if composed::is_needed(x) {
        check_anywhere("tanh", &[("x", x)])?;
        return composed::tanh(x);
    }
    apply(x, Activation::Tanh)
}

fn apply(x: &Tensor, activation: Activation) -> Result<Tensor> {
    check(activation.name(), &[("x", x)])?;
    Ok(x.contiguous()?.apply_op1(activation)?)
}

#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Swish,
    Sigmoid,
    Tanh,
}

/// Elements that one task computes.
const TILE: usize = 1 << 14;

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Swish => "swish",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
        }
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let x = slice::<T>(x, layout)?;
            let mut y = vec![T::ZERO; x.len()];
            y.par_chunks_mut(TILE).zip(x.par_chunks(TILE)).for_each(|(y, x)| match self {
                Self::Relu => widest(Map { x, y, f: relu_of }),
                Self::Swish => widest(Map { x, y, f: swish_of }),
                Self::Sigmoid => widest(Map { x, y, f: sigmoid_of }),
                Self::Tanh => widest(Map { x, y, f: tanh_of }),
            });
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            // Swish needs its argument, the others their result.
            let known = if matches!(self, Self::Swish) { x } else { y };
            let (known, d_y) = (known.storage_and_layout(), d_y.storage_and_layout());
            let (known, d_y) = (elements::<T>(&known)?, elements::<T>(&d_y)?);
            let mut d_x = d_y.to_vec();
            d_x.par_chunks_mut(TILE).zip(known.par_chunks(TILE)).for_each(|(d_x, known)| match self {
                Self::Relu => widest(Scale { known, d_x, f: relu_slope }),
                Self::Swish => widest(Scale { known, d_x, f: swish_slope }),
                Self::Sigmoid => widest(Scale { known, d_x, f: sigmoid_slope }),
                Self::Tanh => widest(Scale { known, d_x, f: tanh_slope }),
            });
            Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
        })
    }
}

#[inline(always)]
fn relu_of<T: Element>(x: T) -> T {
    // Written so that NaN passes: it is not below zero.
    if x < T::ZERO { T::ZERO } else { x }
}

#[inline(always)]
fn relu_slope<T: Element>(y: T) -> T {
    if y > T::ZERO { T::ONE } else { T::ZERO }
}

#[inline(always)]
fn sigmoid_of<T: Element>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

#[inline(always)]
fn sigmoid_slope<T: Element>(y: T) -> T {
    y * (T::ONE - y)
}

#[inline(always)]
fn tanh_of<T: Element>(x: T) -> T {
    Element::tanh(x)
}

#[inline(always)]
fn tanh_slope<T: Element>(y: T) -> T {
    T::ONE - y * y
}

#[inline(always)]
fn swish_of<T: Element>(x: T) -> T {
    x / (T::ONE + (-x).exp())
}

#[inline(always)]
fn swish_slope<T: Element>(x: T) -> T {
    let s = sigmoid_of(x);
    s * (T::ONE + x * (T::ONE - s))
}

struct Map<'a, T, F> {
    x: &'a [T],
    y: &'a mut [T],
    f: F,
}

impl<T: Element, F: Fn(T) -> T> Kernel for Map<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = (self.f)(*x);
        }
    }
}

struct Scale<'a, T, F> {
    known: &'a [T],
    d_x: &'a mut [T],
    f: F,
}

impl<T: Element, F: Fn(T) -> T> Kernel for Scale<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        for (d_x, known) in self.d_x.iter_mut().zip(self.known) {
            *d_x *= (self.f)(*known);
        }
    }
}
