//! Pooling: the largest element of a window, and the mean of a map.
//!
//! `max_pool2d`: `y[b, c, p, q] = max over the window of x[b, c, p s_h + i - pad_h, q s_w + j - pad_w]`, outside of the
//! map nothing. The first largest element, row by row, gets the whole gradient, as in PyTorch.
//! `global_average_pool`: `y[b, c] = Σ_hw x / (h w)` in f64.
//!
//! Legend: b batch, c channels, h and w rows and columns. Both read x once and write y once.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, dims, elements, slice};
use crate::sums::sum;
use crate::{Error, Result};

/// The largest element of every window; NaN wins. Axes of the arguments are \[h, w\].
///
/// # Shapes
/// - `x_bchw`: \[b, c, h, w\]
/// - result: \[b, c, (h + 2 padding - kernel) / stride + 1, the same of w\]
///
/// # Errors
/// Beside shapes and types: padding of more than half a window, a window larger than the padded map.
pub fn max_pool2d(
    x_bchw: &Tensor,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Result<Tensor> {
    const OP: &str = "max_pool2d";
    check(OP, &[("x", x_bchw)])?;
    let [_, _, height, width] = dims(OP, "x", "[b, c, h, w]", x_bchw)?;
    let refuse = |expected, got: String| Err(Error::Geometry { op: OP, expected, got });
    if kernel.contains(&0) || stride.contains(&0) {
        return refuse("kernel and stride of at least 1", format!("kernel {kernel:?}, stride {stride:?}"));
    }
    if (0..2).any(|i| padding[i] > kernel[i] / 2) {
        return refuse(
            "padding of at most half the kernel",
            format!("padding {padding:?}, kernel {kernel:?}"),
        );
    }
    let input = [height, width];
    if (0..2).any(|i| input[i] == 0 || input[i] + 2 * padding[i] < kernel[i]) {
        return refuse(
            "a padded map at least as large as the kernel",
            format!("{input:?}, kernel {kernel:?}"),
        );
    }
    let output = [0, 1].map(|i| (input[i] + 2 * padding[i] - kernel[i]) / stride[i] + 1);
    Ok(x_bchw.contiguous()?.apply_op1(MaxPool { kernel, stride, padding, input, output })?)
}

/// The mean of every map.
///
/// # Shapes
/// - `x_bchw`: \[b, c, h, w\]
/// - result: \[b, c\]
pub fn global_average_pool(x_bchw: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_average_pool";
    check(OP, &[("x", x_bchw)])?;
    let [_, _, height, width] = dims(OP, "x", "[b, c, h, w]", x_bchw)?;
    if height == 0 || width == 0 {
        let expected = "a map of at least 1 x 1";
        return Err(Error::Geometry { op: OP, expected, got: format!("{height} x {width}") });
    }
    Ok(x_bchw.contiguous()?.apply_op1(GlobalAverage { area: height * width })?)
}

struct MaxPool {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
}

impl MaxPool {
    /// Calls `visit(output, input)` with the first largest element of every window of one plane.
    fn for_each_largest<T: Element>(&self, x: &[T], mut visit: impl FnMut(usize, usize)) {
        let [_, width] = self.input;
        for p in 0..self.output[0] {
            let rows = self.window(0, p);
            for q in 0..self.output[1] {
                let columns = self.window(1, q);
                let mut largest = rows.start * width + columns.start;
                for row in rows.clone() {
                    for at in row * width + columns.start..row * width + columns.end {
                        // As PyTorch: the last NaN of a window, should there be any.
                        if x[at] > x[largest] || x[at].is_nan() {
                            largest = at;
                        }
                    }
                }
                visit(p * self.output[1] + q, largest);
            }
        }
    }

    /// Rows or columns of the map under the window of an output; never empty, as the padding is at most half of it.
    fn window(&self, axis: usize, output: usize) -> std::ops::Range<usize> {
        let start = output * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]);
        start.saturating_sub(self.padding[axis])..end.min(self.input[axis])
    }

    fn areas(&self) -> (usize, usize) {
        (self.input[0] * self.input[1], self.output[0] * self.output[1])
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (area_in, area_out) = self.areas();
        let [batch, channels] = [layout.dims()[0], layout.dims()[1]];
        by_dtype!(x.dtype(), T => {
            let x = slice::<T>(x, layout)?;
            let mut y = vec![T::ZERO; batch * channels * area_out];
            y.par_chunks_exact_mut(area_out).zip(x.par_chunks_exact(area_in)).for_each(|(y, x)| {
                self.for_each_largest(x, |output, input| y[output] = x[input]);
            });
            Ok((T::to_cpu_storage_owned(y), Shape::from((batch, channels, self.output[0], self.output[1]))))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (area_in, area_out) = self.areas();
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let (x_guard, d_y) = (x.storage_and_layout(), d_y.storage_and_layout());
            let (x_values, d_y) = (elements::<T>(&x_guard)?, elements::<T>(&d_y)?);
            let mut d_x = vec![T::ZERO; x_values.len()];
            let planes = x_values.par_chunks_exact(area_in).zip(d_y.par_chunks_exact(area_out));
            d_x.par_chunks_exact_mut(area_in).zip(planes).for_each(|(d_x, (x, d_y))| {
                self.for_each_largest(x, |output, input| d_x[input] += d_y[output]);
            });
            Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
        })
    }
}

struct GlobalAverage {
    area: usize,
}

impl CustomOp1 for GlobalAverage {
    fn name(&self) -> &'static str {
        "global_average_pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = Shape::from((layout.dims()[0], layout.dims()[1]));
        by_dtype!(x.dtype(), T => {
            let planes = slice::<T>(x, layout)?.par_chunks_exact(self.area);
            let mean = |x| T::from_f64(sum::<T>(x) / self.area as f64);
            Ok((T::to_cpu_storage_owned(planes.map(mean).collect()), shape))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let d_y = d_y.storage_and_layout();
            let d_y = elements::<T>(&d_y)?;
            let mut d_x = vec![T::ZERO; x.elem_count()];
            d_x.par_chunks_exact_mut(self.area).zip(d_y).for_each(|(d_x, d_y)| {
                d_x.fill(T::from_f64(d_y.to_f64() / self.area as f64));
            });
            Ok(Some(Tensor::from_vec(d_x, x.shape(), x.device())?))
        })
    }
}
