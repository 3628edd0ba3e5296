//! Products of small matrices, one after the other on one thread, in a precision of choice.

use crate::bf16::SmallBf16Products;
use crate::element::Element;
use crate::precision::Precision;
use crate::product::{Matrix, MatrixMut, multiply};

/// A thread's: it keeps the space in which factors are rewritten.
pub(crate) struct SmallProducts {
    bf16: Option<SmallBf16Products>,
}

impl SmallProducts {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { bf16: (precision == Precision::Bf16).then(SmallBf16Products::new).flatten() }
    }

    /// `out = lhs · rhs`. The bits follow from the shapes alone.
    pub(crate) fn write<T: Element>(
        &mut self,
        out: &mut MatrixMut<'_, T>,
        lhs: Matrix<'_, T>,
        rhs: Matrix<'_, T>,
    ) {
        if let Some(bf16) = &mut self.bf16
            && let (Some(lhs), Some(rhs)) = (T::matrix_as_f32(lhs), T::matrix_as_f32(rhs))
            && let Some(out) = T::tile_as_f32(out)
        {
            return bf16.write(out, lhs, rhs);
        }
        multiply(out, false, lhs, rhs);
    }
}
