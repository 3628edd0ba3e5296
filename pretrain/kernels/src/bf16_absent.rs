//! What stands for products through bf16 where there are no instructions for them: nothing.

use std::convert::Infallible;

use crate::product::{Matrix, MatrixMut, Shared};

/// Whether this processor has the instructions.
pub(crate) fn is_available() -> bool {
    false
}

/// Two factors, ready to be multiplied: there are none.
pub(crate) struct Bf16Product(Infallible);

impl Bf16Product {
    /// None.
    pub(crate) fn new(_: Matrix<'_, f32>, _: Matrix<'_, f32>) -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub(crate) fn write(
        &self,
        _: &Shared<'_, f32>,
        _: bool,
        _: impl Fn(&mut MatrixMut<'_, f32>, usize, usize) + Sync,
    ) {
        match self.0 {}
    }
}
