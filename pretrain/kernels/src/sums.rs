//! Sums in f64 whose order follows from the length alone.

use crate::element::Element;
use crate::simd::{Kernel, widest};

/// `Σ x`.
pub(crate) fn sum<T: Element>(x: &[T]) -> f64 {
    sum_of(x, x, |x, _| x)
}

/// `Σ f(a, b)` over pairs; `f` must be small enough to be inlined.
pub(crate) fn sum_of<T: Element>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut total = 0.0;
    widest(Sum { a, b, f, total: &mut total });
    total
}

struct Sum<'a, T, F> {
    a: &'a [T],
    b: &'a [T],
    f: F,
    total: &'a mut f64,
}

impl<T: Element, F: Fn(f64, f64) -> f64> Kernel for Sum<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Self { a, b, f, total } = self;
        let mut lanes = [0.0; 16];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a.iter().zip(b) {
            for lane in 0..16 {
                lanes[lane] += f(a[lane].to_f64(), b[lane].to_f64());
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane += f(a.to_f64(), b.to_f64());
        }
        *total = lanes.iter().sum();
    }
}
