//! A factor for every channel of every sample: `y[b, c, h, w] = x[b, c, h, w] s[b, c]`.
//!
//! Legend: b batch, c channels, h rows, w columns. Forward 8 bytes an element in f32; backward 8 for the gradient to x, 8
//! for the one to s, which is summed in f64. Derivatives of the gradients are not there.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::element::{Element, by_dtype, check, dims, elements, slice};
use crate::sums::sum_of;
use crate::{Error, Result};

/// Scales every plane by a factor of its own: gates of squeeze and excitation, or samples that a block leaves out.
///
/// # Shapes
/// - `x_bchw` and the result: \[b, c, h, w\]; `s_bc`: \[b, c\]
///
/// # Errors
/// Shapes, types or devices that do not fit.
pub fn scale_channels(x_bchw: &Tensor, s_bc: &Tensor) -> Result<Tensor> {
    let [b, c, ..] = dims::<4>(OP, "x", "[b, c, h, w]", x_bchw)?;
    let s = dims::<2>(OP, "s", "[b, c]", s_bc)?;
    if s != [b, c] {
        return Err(Error::Shape { op: OP, tensor: "s", expected: format!("[{b}, {c}]"), got: s.to_vec() });
    }
    check(OP, &[("x", x_bchw), ("s", s_bc)])?;
    Ok(x_bchw.contiguous()?.apply_op2(&s_bc.contiguous()?, ScaleChannels)?)
}

const OP: &str = "scale_channels";
/// Planes smaller than this many elements are dealt out several at a time.
const MIN_ELEMENTS: usize = 1 << 12;

struct ScaleChannels;

/// `x s`, plane by plane.
fn scaled<T: Element>(x: &[T], s: &[T]) -> Vec<T> {
    let mut y = vec![T::ZERO; x.len()];
    if y.is_empty() {
        return y;
    }
    let area = x.len() / s.len();
    let planes = y.par_chunks_exact_mut(area).zip(x.par_chunks_exact(area)).zip(s);
    planes.with_min_len(MIN_ELEMENTS / area).for_each(|((y, x), s)| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = *x * *s);
    });
    y
}

impl CustomOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        s: &CpuStorage,
        s_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(x.dtype(), T => {
            let y = scaled::<T>(slice(x, x_layout)?, slice(s, s_layout)?);
            Ok((T::to_cpu_storage_owned(y), x_layout.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        s: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        by_dtype!(x.dtype(), T => {
            let (x_guard, s_guard) = (x.storage_and_layout(), s.storage_and_layout());
            let d_y_guard = d_y.storage_and_layout();
            let (x_values, d_y) = (elements::<T>(&x_guard)?, elements::<T>(&d_y_guard)?);
            let d_x = || Tensor::from_vec(scaled::<T>(d_y, elements(&s_guard)?), x.shape(), x.device());
            let d_s = || {
                let area = (x_values.len() / s.elem_count().max(1)).max(1); // an empty map has no planes
                let planes = x_values.par_chunks_exact(area).zip(d_y.par_chunks_exact(area));
                let mut sums: Vec<T> = planes
                    .with_min_len(MIN_ELEMENTS / area)
                    .map(|(x, d_y)| T::from_f64(sum_of(x, d_y, |x, d_y| x * d_y)))
                    .collect();
                sums.resize(s.elem_count(), T::ZERO);
                Tensor::from_vec(sums, s.shape(), s.device())
            };
            Ok((x.track_op().then(d_x).transpose()?, s.track_op().then(d_s).transpose()?))
        })
    }
}
