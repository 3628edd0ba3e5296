//! Sums over the pixels of maps, gathered part by part of every picture while the numbers are in registers.
//!
//! A part's sums are f32 over at most a few thousand numbers, cut once more into runs of some tens, so that a sum's error is
//! at most about 80 · 2^-24 of its terms' absolute sum; parts are added up in f64, in order. Parts follow from the sizes
//! alone, so a sum's bits depend neither on threads nor on who computes which part.

use crate::image::maps::Shape;

/// How the pixels of a batch are cut into parts, and parts into tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cut {
    /// Pictures of a task: several whole ones, or parts of one.
    pub(super) images: usize,
    /// Parts of a picture.
    pub(super) parts: usize,
    /// Pixels (or rows) of a part; the last one may have fewer.
    pub(super) size: usize,
    /// Pixels (or rows) of a picture.
    pub(super) total: usize,
}

impl Cut {
    /// Of `batch` pictures of `total` pixels, parts near `size`.
    pub(super) fn new(batch: usize, total: usize, size: usize, multiple: usize) -> Self {
        let size = size.max(1);
        if total > size {
            let parts = total.div_ceil(size);
            let size = total.div_ceil(parts).next_multiple_of(multiple);
            Self { images: 1, parts: total.div_ceil(size), size, total }
        } else {
            Self { images: (size / total.max(1)).clamp(1, batch.max(1)), parts: 1, size: total.max(1), total }
        }
    }

    pub(super) fn range(&self, part: usize) -> std::ops::Range<usize> {
        part * self.size..((part + 1) * self.size).min(self.total)
    }
}

/// Sums of every part and channel.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// `[picture, part, kind, channel]`
    pub(super) numbers: Vec<f32>,
    /// Pixels of each part of a picture.
    pub(super) sizes: Vec<usize>,
    pub(super) kinds: usize,
    pub(super) batch: usize,
    /// Channels, in whole vectors.
    pub(super) pixel: usize,
}

impl Sums {
    pub(super) fn zeros(shape: Shape, kinds: usize, sizes: Vec<usize>) -> Self {
        let (batch, pixel) = (shape.batch, shape.pixel);
        Self { numbers: vec![0.0; batch * sizes.len() * kinds * pixel], sizes, kinds, batch, pixel }
    }

    /// Numbers of a part.
    pub(super) fn stride(&self) -> usize {
        self.kinds * self.pixel
    }

    /// Values a channel.
    pub(super) fn values(&self) -> usize {
        self.batch * self.sizes.iter().sum::<usize>()
    }

    /// Every channel's sum of a kind, each picture's times its factor.
    pub fn totals(&self, kind: usize, factors_b: Option<&[f32]>) -> Vec<f64> {
        let mut totals = vec![0.0; self.pixel];
        for image in 0..self.batch {
            let factor = factors_b.map_or(1.0, |factors| f64::from(factors[image]));
            for part in 0..self.sizes.len() {
                let row = self.row(image, part, kind);
                totals.iter_mut().zip(row).for_each(|(total, sum)| *total += factor * f64::from(*sum));
            }
        }
        totals
    }

    /// Every picture's and channel's sum of a kind, in whole vectors.
    pub fn of_pictures(&self, kind: usize) -> Vec<f64> {
        let mut totals = vec![0.0; self.batch * self.pixel];
        for (image, totals) in totals.chunks_exact_mut(self.pixel.max(1)).enumerate() {
            for part in 0..self.sizes.len() {
                let row = self.row(image, part, kind);
                totals.iter_mut().zip(row).for_each(|(total, sum)| *total += f64::from(*sum));
            }
        }
        totals
    }

    fn row(&self, image: usize, part: usize, kind: usize) -> &[f32] {
        let start = (image * self.sizes.len() + part) * self.stride() + kind * self.pixel;
        &self.numbers[start..start + self.pixel]
    }

    /// Of sums around a number of each part: kinds are that number k, `Σ (y - k)`, `Σ (y - k)²`. Parts are joined as by
    /// Chan, Golub and LeVeque: `M₂ = M₂ + m₂ + δ² n m / (n + m)`.
    pub(super) fn mean_and_variance(&self, channels: usize) -> (Vec<f64>, Vec<f64>) {
        assert!(self.kinds == 3 && channels <= self.pixel, "sums of moments");
        let (mut mean, mut squares) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        let mut count = 0.0;
        for image in 0..self.batch {
            for (part, size) in self.sizes.iter().enumerate() {
                let n = *size as f64;
                if n == 0.0 {
                    continue;
                }
                let [k, first, second] = [0, 1, 2].map(|kind| self.row(image, part, kind));
                let share = n / (count + n);
                for c in 0..channels {
                    let (k, first, second) = (f64::from(k[c]), f64::from(first[c]), f64::from(second[c]));
                    let apart = k + first / n - mean[c];
                    squares[c] += (second - first * first / n).max(0.0) + apart * apart * count * share;
                    mean[c] += apart * share;
                }
                count += n;
            }
        }
        // where a part is not finite, neither are the sums: `max` must not hide it
        for (c, square) in squares.iter_mut().enumerate() {
            if !mean[c].is_finite() {
                *square = f64::NAN;
            }
            *square /= count;
        }
        (mean, squares)
    }
}
