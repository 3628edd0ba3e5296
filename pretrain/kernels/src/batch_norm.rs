//! Batch normalisation. Paper: 1502.03167, algorithms 1 and 2.
//!
//! `y = (x - mean[c]) weight[c] / sqrt(variance[c] + eps) + bias[c]`, with given statistics or with those of the batch:
//! `mean = Σ x / n`, `variance = Σ (x - mean)² / n`, n = b·h·w values a channel, in two passes and f64.
//!
//! Legend: b batch, c channels, h rows, w columns. Bytes an element in f32: inference 8, training 16 (two passes for
//! the statistics), backward 8 for the sums and 12 for the gradient to x. Derivatives of the gradients are not there.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, check_vector, dims, elements, slice, to_f64};
use crate::sums::{sum, sum_of};
use crate::{Error, Result};

/// Normalises with given statistics: inference, or training with frozen normalisation. Gradients reach x, weight and
/// bias, not the statistics.
///
/// # Shapes
/// - `x_bchw`: \[b, c, h, w\]; `mean_c`, `variance_c`, `weight_c`, `bias_c`: \[c\]
/// - result: \[b, c, h, w\]
pub fn batch_norm_inference(
    x_bchw: &Tensor,
    mean_c: &Tensor,
    variance_c: &Tensor,
    weight_c: &Tensor,
    bias_c: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let vectors = [("mean", mean_c), ("variance", variance_c), ("weight", weight_c), ("bias", bias_c)];
    check_arguments(x_bchw, &vectors)?;
    let mean = to_f64(mean_c)?;
    let inverse_std: Vec<f64> =
        to_f64(variance_c)?.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
    let normalise = Normalise { mean, inverse_std, of_the_batch: false };
    Ok(x_bchw.contiguous()?.apply_op3(&weight_c.contiguous()?, &bias_c.contiguous()?, normalise)?)
}

/// Normalises with the statistics of the batch; gradients pass through them.
///
/// Returns y, the mean and the biased variance. The statistics are detached: running averages are the caller's
/// (PyTorch keeps the unbiased variance, n / (n - 1) times this one).
///
/// # Shapes
/// - `x_bchw`: \[b, c, h, w\]; `weight_c`, `bias_c`: \[c\]
/// - result: \[b, c, h, w\], \[c\], \[c\]
///
/// # Errors
/// Beside shapes and types: fewer than two values a channel, which have no variance.
pub fn batch_norm_training(
    x_bchw: &Tensor,
    weight_c: &Tensor,
    bias_c: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let [batch, channels, height, width] =
        check_arguments(x_bchw, &[("weight", weight_c), ("bias", bias_c)])?;
    let values = batch * height * width;
    if values < 2 {
        let expected = "at least two values a channel to take statistics of";
        return Err(Error::Geometry { op: OP, expected, got: format!("{:?}", x_bchw.dims()) });
    }
    let x_bchw = x_bchw.contiguous()?;
    let statistics = by_dtype!(x_bchw.dtype(), T => {
        let x = x_bchw.storage_and_layout();
        statistics(elements::<T>(&x)?, channels, height * width)
    });
    let (mean, variance): (Vec<f64>, Vec<f64>) = statistics.into_iter().unzip();
    let vector = |values: &[f64]| Tensor::new(values, x_bchw.device())?.to_dtype(x_bchw.dtype());
    let (mean_c, variance_c) = (vector(&mean)?, vector(&variance)?);
    let inverse_std = variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
    let normalise = Normalise { mean, inverse_std, of_the_batch: true };
    let y_bchw = x_bchw.apply_op3(&weight_c.contiguous()?, &bias_c.contiguous()?, normalise)?;
    Ok((y_bchw, mean_c, variance_c))
}

const OP: &str = "batch_norm";

fn check_arguments(x_bchw: &Tensor, vectors: &[(&'static str, &Tensor)]) -> Result<[usize; 4]> {
    let sizes = dims(OP, "x", "[b, c, h, w]", x_bchw)?;
    for &(name, vector) in vectors {
        check(OP, &[("x", x_bchw), (name, vector)])?;
        check_vector(OP, name, vector, sizes[1])?;
    }
    Ok(sizes)
}

/// Mean and biased variance of every channel; the samples are added up in order.
fn statistics<T: Element>(x: &[T], channels: usize, area: usize) -> Vec<(f64, f64)> {
    let values = (x.len() / channels) as f64;
    (0..channels)
        .into_par_iter()
        .map(|channel| {
            let planes = || x.chunks_exact(area).skip(channel).step_by(channels);
            let mean = planes().map(sum).sum::<f64>() / values;
            let squares = planes().map(|x| sum_of(x, x, |x, _| (x - mean) * (x - mean)));
            (mean, squares.sum::<f64>() / values)
        })
        .collect()
}

struct Normalise {
    mean: Vec<f64>,
    inverse_std: Vec<f64>,
    /// The statistics are functions of x.
    of_the_batch: bool,
}

impl Normalise {
    fn forward<T: Element>(&self, x: &[T], weight: &[T], bias: &[T], area: usize) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        if y.is_empty() {
            return y;
        }
        let planes = y.par_chunks_exact_mut(area).zip(x.par_chunks_exact(area)).enumerate();
        planes.with_min_len(MIN_ELEMENTS / area).for_each(|(plane, (y, x))| {
            let channel = plane % weight.len();
            let mean = T::from_f64(self.mean[channel]);
            let scale = T::from_f64(weight[channel].to_f64() * self.inverse_std[channel]);
            let bias = bias[channel];
            for (y, x) in y.iter_mut().zip(x) {
                *y = (*x - mean) * scale + bias;
            }
        });
        y
    }

    /// Gradients to weight and bias, `Σ d_y x̂` and `Σ d_y` with `x̂ = (x - mean) / std`, in f64.
    fn vector_gradients<T: Element>(&self, x: &[T], d_y: &[T], area: usize) -> Vec<(f64, f64)> {
        let channels = self.mean.len();
        (0..channels)
            .into_par_iter()
            .map(|channel| {
                let mean = self.mean[channel];
                let planes = x.chunks(area).zip(d_y.chunks(area)).skip(channel).step_by(channels);
                let (mut d_weight, mut d_bias) = (0.0, 0.0);
                for (x, d_y) in planes {
                    d_weight += sum_of(x, d_y, |x, d_y| (x - mean) * d_y);
                    d_bias += sum(d_y);
                }
                (d_weight * self.inverse_std[channel], d_bias)
            })
            .collect()
    }

    /// `d_x = weight / std (d_y - [d_bias / n + x̂ d_weight / n])`, the bracket only where the statistics depend on x.
    fn input_gradient<T: Element>(
        &self,
        x: &[T],
        weight: &[T],
        d_y: &[T],
        vectors: &[(f64, f64)],
        area: usize,
    ) -> Vec<T> {
        let mut d_x = vec![T::ZERO; x.len()];
        if d_x.is_empty() {
            return d_x;
        }
        let values = (x.len() / weight.len()) as f64;
        let planes =
            d_x.par_chunks_exact_mut(area).zip(x.par_chunks_exact(area).zip(d_y.par_chunks_exact(area)));
        planes.enumerate().with_min_len(MIN_ELEMENTS / area).for_each(|(plane, (d_x, (x, d_y)))| {
            let channel = plane % weight.len();
            let inverse_std = self.inverse_std[channel];
            let scale = T::from_f64(weight[channel].to_f64() * inverse_std);
            if !self.of_the_batch {
                d_x.iter_mut().zip(d_y).for_each(|(d_x, d_y)| *d_x = *d_y * scale);
                return;
            }
            let (d_weight, d_bias) = vectors[channel];
            let mean = T::from_f64(self.mean[channel]);
            let constant = T::from_f64(d_bias / values);
            let slope = T::from_f64(d_weight * inverse_std / values);
            for ((d_x, x), d_y) in d_x.iter_mut().zip(x).zip(d_y) {
                *d_x = (*d_y - constant - (*x - mean) * slope) * scale;
            }
        });
        d_x
    }
}

/// Planes smaller than this many elements are dealt out several at a time.
const MIN_ELEMENTS: usize = 1 << 12;

impl CustomOp3 for Normalise {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let area = x_layout.dims()[2..].iter().product();
        by_dtype!(x.dtype(), T => {
            let (weight, bias) = (slice(weight, weight_layout)?, slice(bias, bias_layout)?);
            let y = self.forward::<T>(slice(x, x_layout)?, weight, bias, area);
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        let area: usize = x.dims()[2..].iter().product();
        let area = area.max(1); // an empty map has no planes
        by_dtype!(x.dtype(), T => {
            let (x_guard, weight_guard) = (x.storage_and_layout(), weight.storage_and_layout());
            let d_y_guard = d_y.storage_and_layout();
            let (x_values, d_y_values) = (elements::<T>(&x_guard)?, elements::<T>(&d_y_guard)?);
            let needed = self.of_the_batch || weight.track_op() || bias.track_op();
            let vectors = if needed { self.vector_gradients(x_values, d_y_values, area) } else { Vec::new() };
            let vector = |tensor: &Tensor, of: fn(&(f64, f64)) -> f64| {
                let gradient = || {
                    let values: Vec<T> = vectors.iter().map(|pair| T::from_f64(of(pair))).collect();
                    Tensor::from_vec(values, tensor.shape(), tensor.device())
                };
                tensor.track_op().then(gradient).transpose()
            };
            let d_x = || {
                let weight = elements::<T>(&weight_guard)?;
                let d_x = self.input_gradient(x_values, weight, d_y_values, &vectors, area);
                Tensor::from_vec(d_x, x.shape(), x.device())
            };
            let d_x = x.track_op().then(d_x).transpose()?;
            Ok((d_x, vector(weight, |pair| pair.0)?, vector(bias, |pair| pair.1)?))
        })
    }
}
