//! The largest number of a window, and the mean of a map, channel by channel.
//!
//! Both read a map once; the first also writes 1 / stride² as much.

use rayon::prelude::*;

use super::maps::{LANES, Number, Shape, View, ViewMut};
use super::path::{VectorPath, Work};
use super::vector::Lanes;

/// The largest of a square window, padded with nothing on all sides; NaN wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Steps between outputs.
    pub stride: usize,
    /// Rows and columns around; at most half of the window.
    pub padding: usize,
}

impl MaxPool {
    /// Height and width of what maps of `size` become; none where the window is larger than the padded map.
    pub fn output_size(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let axis = |n: usize| Some((n + 2 * self.padding).checked_sub(self.kernel)? / self.stride.max(1) + 1);
        Some([axis(size[0])?, axis(size[1])?])
    }

    /// Computes maps.
    ///
    /// # Panics
    /// Maps that do not fit; padding of more than half a window.
    pub fn run<N: Number>(&self, path: VectorPath, x: View<'_, N>, y: ViewMut<'_, N>) {
        let (from, to) = (x.shape, y.shape);
        assert!(self.padding <= self.kernel / 2 && self.kernel > 0, "padding of at most half a window");
        assert!(from.channels == to.channels && from.pixel == to.pixel && from.batch == to.batch, "maps");
        assert!(Some(to.size) == self.output_size(from.size), "sizes");
        let pool = *self;
        let row = to.size[1] * to.pixel;
        if row == 0 || to.batch == 0 {
            return;
        }
        let images = y.numbers.par_chunks_exact_mut(to.image()).zip(x.numbers.par_chunks_exact(from.image()));
        images.for_each(|(y, x)| {
            let rows = y[..to.area() * to.pixel].par_chunks_exact_mut(row).enumerate();
            rows.for_each(|(p, y)| N::send(path, PoolRow { pool, from, x, p, y }));
        });
    }
}

/// The mean of every channel of every picture, in whole vectors: sums of rows, then of these.
///
/// # Panics
/// Maps without whole vectors or without pixels.
pub fn means<N: Number>(path: VectorPath, x: View<'_, N>) -> Vec<f32> {
    let (batch, width) = (x.shape.batch, x.shape.width());
    assert!(x.shape.area() > 0 && width <= x.shape.pixel, "maps of whole vectors");
    let mut means = vec![0.0; batch * width];
    let shape = x.shape;
    if means.is_empty() {
        return means;
    }
    let images = means.par_chunks_exact_mut(width).zip(x.numbers.par_chunks_exact(shape.image()));
    images.for_each(|(means, x)| N::send(path, Mean { shape, x, means }));
    means
}

struct PoolRow<'a, N> {
    pool: MaxPool,
    from: Shape,
    /// One picture.
    x: &'a [N],
    /// Row of the output.
    p: usize,
    y: &'a mut [N],
}

impl<N: Number> Work<N> for PoolRow<'_, N> {
    #[inline(always)]
    fn run<V: Lanes<N>>(self) {
        let Self { pool: MaxPool { kernel, stride, padding }, from, x, p, y } = self;
        let window = |output: usize, size: usize| {
            let start = output * stride;
            start.saturating_sub(padding)..(start + kernel - padding).min(size)
        };
        let rows = window(p, from.size[0]);
        for (q, y) in y.chunks_exact_mut(from.pixel).enumerate() {
            let columns = window(q, from.size[1]);
            for (vector, y) in y[..from.width()].chunks_exact_mut(LANES).enumerate() {
                // SAFETY: the path is this processor's; slices of whole vectors.
                unsafe {
                    let mut largest = V::splat(f32::NEG_INFINITY);
                    for h in rows.clone() {
                        for w in columns.clone() {
                            let at = (h * from.size[1] + w) * from.pixel + vector * LANES;
                            largest = largest.max_or_nan(V::load_numbers(x[at..at + LANES].as_ptr()));
                        }
                    }
                    largest.store_numbers(y.as_mut_ptr());
                }
            }
        }
    }
}

struct Mean<'a, N> {
    shape: Shape,
    /// One picture.
    x: &'a [N],
    means: &'a mut [f32],
}

impl<N: Number> Work<N> for Mean<'_, N> {
    #[inline(always)]
    fn run<V: Lanes<N>>(self) {
        let Self { shape, x, means } = self;
        let row = shape.size[1] * shape.pixel;
        for (vector, means) in means.chunks_exact_mut(LANES).enumerate() {
            // SAFETY: the path is this processor's; slices of whole vectors.
            unsafe {
                let mut sum = V::splat(0.0);
                for x in x[..shape.area() * shape.pixel].chunks_exact(row) {
                    let mut row = V::splat(0.0);
                    for x in x.chunks_exact(shape.pixel) {
                        row = row.add(V::load_numbers(x[vector * LANES..][..LANES].as_ptr()));
                    }
                    sum = sum.add(row);
                }
                sum.mul(V::splat(1.0 / shape.area() as f32)).store(means.as_mut_ptr());
            }
        }
    }
}
