//! What stands for products through bf16 where there are no instructions for them: nothing.

use std::convert::Infallible;

use crate::product::{Blocks, Matrix, MatrixMut, Shared};

/// Whether this processor has the instructions.
pub(crate) fn is_available() -> bool {
    false
}

/// The left factor of products: there is none.
pub(crate) struct Bf16Factor(Infallible);

impl Bf16Factor {
    /// None.
    pub(crate) fn new(_: Matrix<'_, f32>) -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(crate) fn multiply(
        &self,
        _: Matrix<'_, f32>,
        _: &Shared<'_, f32>,
        _: bool,
        _: impl Fn(&mut MatrixMut<'_, f32>, usize, usize) + Sync,
    ) {
        match self.0 {}
    }
}

/// A matrix as left factor, the same transposed, and the sums of its columns: there are none.
pub(crate) struct Bf16BothWays {
    pub(crate) plain: Bf16Factor,
    pub(crate) transposed: Bf16Factor,
    pub(crate) column_sums: Vec<f64>,
}

impl Bf16BothWays {
    /// None.
    pub(crate) fn new(_: &impl Blocks<f32>) -> Option<Self> {
        None
    }
}

/// Products of one thread: there are none.
pub(crate) struct SmallBf16Products(Infallible);

impl SmallBf16Products {
    /// None.
    pub(crate) fn new() -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(crate) fn write(&mut self, _: &mut MatrixMut<'_, f32>, _: Matrix<'_, f32>, _: Matrix<'_, f32>) {
        match self.0 {}
    }
}
