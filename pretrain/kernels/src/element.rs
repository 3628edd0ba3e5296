//! The two number types and the way from tensors to slices.

use std::ops::{Deref, Neg};

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor, WithDType};

use crate::product::{Matrix, MatrixMut, Shared};
use crate::{Error, Result, composed};

/// f32 or f64.
pub(crate) trait Element: WithDType + std::fmt::Debug + Neg<Output = Self> {
    const ZERO: Self;
    const ONE: Self;

    /// `e^x`; inlined and free of branches where speed counts.
    fn exp(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    fn is_nan(self) -> bool;
    /// The same numbers, where the type is f32.
    fn of_f32(values: &mut [f32]) -> Option<&mut [Self]>;
    /// As [`of_f32`](Self::of_f32), the other way, of an output.
    fn shared_as_f32<'a, 'b>(out: &'a Shared<'b, Self>) -> Option<&'a Shared<'b, f32>>;
    /// As [`of_f32`](Self::of_f32), the other way, of a matrix.
    fn matrix_as_f32(matrix: Matrix<'_, Self>) -> Option<Matrix<'_, f32>>;
    /// As [`of_f32`](Self::of_f32), of a part of an output.
    fn tile_of_f32<'a, 'b>(tile: &'a mut MatrixMut<'b, f32>) -> Option<&'a mut MatrixMut<'b, Self>>;
    /// As [`of_f32`](Self::of_f32), the other way, of a part of an output.
    fn tile_as_f32<'a, 'b>(tile: &'a mut MatrixMut<'b, Self>) -> Option<&'a mut MatrixMut<'b, f32>>;
}

impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    /// x = n ln 2 + r with |r| <= ln 2 / 2, `e^x = 2^n e^r`, and a polynomial for `e^r`. n ln 2 is taken away in two
    /// parts, the first exact. Plain arithmetic: 16 lanes at once, the same bits on every instruction set.
    /// Relative error below 2^-22 for -87.3 <= x <= 88.3; 0 or the smallest normal below, infinity above.
    #[inline(always)]
    fn exp(self) -> Self {
        const LN2_HIGH: f32 = 0.693_359_4; // 355 / 512
        const LN2_LOW: f32 = -2.121_944_4e-4;
        const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves an integer in the low bits
        let x = self.clamp(-87.336_54, 89.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        // Taylor's coefficients to r^7: the remainder at |r| = 0.3466 is 5e-9.
        let tail = 1.0 / 720.0 + r * (1.0 / 5040.0);
        let tail = 1.0 / 120.0 + r * tail;
        let tail = 1.0 / 24.0 + r * tail;
        let tail = 1.0 / 6.0 + r * tail;
        let tail = 0.5 + r * tail;
        let power = 1.0 + (r + r * r * tail);
        // The low bits of `shifted` are n + 2^22; of a NaN they do not matter, `power` is NaN then.
        let exponent = shifted.to_bits().wrapping_add(127).wrapping_shl(23);
        power * Self::from_bits(exponent)
    }

    /// An odd polynomial of degree 11 up to 0.625, fitted with a relative error of 4e-9; beyond, `1 - 2 / (e^2x + 1)`.
    /// Relative error below 2^-21.
    #[inline(always)]
    fn tanh(self) -> Self {
        const ODD: [f32; 5] = [-0.333_332_84, 0.133_314_91, -0.053_743_497, 0.020_650_586, -0.005_717_044_7];
        let (a, square) = (self.abs(), self * self);
        let mut polynomial = ODD[4];
        for coefficient in ODD[..4].iter().rev() {
            polynomial = polynomial * square + coefficient;
        }
        let near = self + self * (square * polynomial);
        let far = (1.0 - 2.0 / (Element::exp(2.0 * a) + 1.0)).copysign(self);
        if a < 0.625 { near } else { far }
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn of_f32(values: &mut [f32]) -> Option<&mut [Self]> {
        Some(values)
    }

    fn shared_as_f32<'a, 'b>(out: &'a Shared<'b, Self>) -> Option<&'a Shared<'b, f32>> {
        Some(out)
    }

    fn matrix_as_f32(matrix: Matrix<'_, Self>) -> Option<Matrix<'_, f32>> {
        Some(matrix)
    }

    fn tile_of_f32<'a, 'b>(tile: &'a mut MatrixMut<'b, f32>) -> Option<&'a mut MatrixMut<'b, Self>> {
        Some(tile)
    }

    fn tile_as_f32<'a, 'b>(tile: &'a mut MatrixMut<'b, Self>) -> Option<&'a mut MatrixMut<'b, f32>> {
        Some(tile)
    }
}

impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        libm::tanh(self)
    }

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.is_nan()
    }

    fn of_f32(_: &mut [f32]) -> Option<&mut [Self]> {
        None
    }

    fn shared_as_f32<'a, 'b>(_: &'a Shared<'b, Self>) -> Option<&'a Shared<'b, f32>> {
        None
    }

    fn matrix_as_f32(_: Matrix<'_, Self>) -> Option<Matrix<'_, f32>> {
        None
    }

    fn tile_of_f32<'a, 'b>(_: &'a mut MatrixMut<'b, f32>) -> Option<&'a mut MatrixMut<'b, Self>> {
        None
    }

    fn tile_as_f32<'a, 'b>(_: &'a mut MatrixMut<'b, Self>) -> Option<&'a mut MatrixMut<'b, f32>> {
        None
    }
}

/// `by_dtype!(dtype, T => expression)`: the expression with `T` = f32 or f64. Operations check their arguments with
/// [`check`] first, so that other types do not come here.
macro_rules! by_dtype {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F64 => {
                type $element = f64;
                $body
            }
            _ => {
                type $element = f32;
                $body
            }
        }
    };
}
pub(crate) use by_dtype;

/// Refuses what is not on the CPU, not f32 or f64, or not of one type with the first.
pub(crate) fn check(op: &'static str, tensors: &[(&'static str, &Tensor)]) -> Result<()> {
    if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| !tensor.device().is_cpu()) {
        let got = format!("{:?}", tensor.device().location());
        let expected = "the CPU, the only device of this operation";
        return Err(Error::Device { op, tensor: name, expected: expected.to_owned(), got });
    }
    check_anywhere(op, tensors)
}

/// Refuses what is not f32 or f64, or not of one type and on one device with the first; where operations are composed also
/// what is empty: CUDA has no kernels over nothing, and candle's operations forget the gradients of what meets it. For
/// operations that have a composed form.
pub(crate) fn check_anywhere(op: &'static str, tensors: &[(&'static str, &Tensor)]) -> Result<()> {
    let Some((_, leader)) = tensors.first() else { return Ok(()) };
    let first = Some(leader.dtype());
    for &(name, tensor) in tensors {
        if !tensor.device().same_device(leader.device()) {
            let [expected, got] = [*leader, tensor].map(|tensor| format!("{:?}", tensor.device().location()));
            let expected = format!("{expected}, where the first tensor is");
            return Err(Error::Device { op, tensor: name, expected, got });
        }
        if tensor.elem_count() == 0 && composed::is_needed(tensor) {
            let (expected, got) = ("one that is not empty, off the CPU".to_owned(), tensor.dims().to_vec());
            return Err(Error::Shape { op, tensor: name, expected, got });
        }
        let got = tensor.dtype();
        if !matches!(got, DType::F32 | DType::F64) {
            return Err(Error::Dtype { op, tensor: name, expected: "f32 or f64", got });
        }
        if Some(got) != first {
            return Err(Error::Dtype { op, tensor: name, expected: "the type of the first tensor", got });
        }
    }
    Ok(())
}

/// The sizes of a tensor of `N` dimensions; `expected` is its legend, such as `[b, c, h, w]`.
pub(crate) fn dims<const N: usize>(
    op: &'static str,
    name: &'static str,
    expected: &str,
    tensor: &Tensor,
) -> Result<[usize; N]> {
    let got = tensor.dims();
    got.try_into().map_err(|_| Error::Shape {
        op,
        tensor: name,
        expected: expected.to_owned(),
        got: got.to_vec(),
    })
}

/// Refuses a vector of another length than `length`.
pub(crate) fn check_vector(
    op: &'static str,
    name: &'static str,
    vector: &Tensor,
    length: usize,
) -> Result<()> {
    if vector.dims() == [length] {
        return Ok(());
    }
    Err(Error::Shape { op, tensor: name, expected: format!("[{length}]"), got: vector.dims().to_vec() })
}

/// The elements of a contiguous tensor, which may be a view with an offset.
pub(crate) fn slice<'a, T: Element>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("an operation was given a tensor that is not contiguous")
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// As [`slice`], of what `Tensor::storage_and_layout` returns.
pub(crate) fn elements<'a, T: Element>(
    guard: &'a (impl Deref<Target = Storage>, &Layout),
) -> candle_core::Result<&'a [T]> {
    match &*guard.0 {
        Storage::Cpu(storage) => slice(storage, guard.1),
        _ => candle_core::bail!("an operation of the CPU was given a tensor elsewhere"),
    }
}

/// A copy of a tensor's elements as f64.
pub(crate) fn to_f64(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
