//! Three tensors end to end: queries', keys' and values' weights as one matrix, so that one product makes all three.
//!
//! 4 n bytes read and written in f32, and as much in backward.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use crate::collected::collect;
use crate::element::{Element, by_dtype, check_anywhere, elements, slice};
use crate::product::{Shared, written};
use crate::{Error, Result, composed};

/// The rows of three tensors, one after the other, with gradients to all.
///
/// # Shapes
/// - each part: \[its rows, ...\], the rest the same
/// - result: \[all rows, ...\]
///
/// # Errors
/// Beside types: parts of different shapes beyond the first axis, or of none.
pub fn concatenate(parts: [&Tensor; 3]) -> Result<Tensor> {
    let [first, second, third] = parts;
    check_anywhere(OP, &[("first", first), ("second", second), ("third", third)])?;
    for (name, part) in [("first", first), ("second", second), ("third", third)] {
        if part.rank() == 0 || part.dims()[1..] != first.dims()[1..] {
            let expected = format!("[rows, ...] as {:?}", first.dims());
            return Err(Error::Shape { op: OP, tensor: name, expected, got: part.dims().to_vec() });
        }
    }
    if composed::is_needed(first) {
        return Ok(Tensor::cat(&parts, 0)?);
    }
    Ok(first.contiguous()?.apply_op3(&second.contiguous()?, &third.contiguous()?, Concatenate)?)
}

const OP: &str = "concatenate";
/// Elements of one task.
const TILE: usize = 1 << 16;

struct Concatenate;

/// The gradient of one part, unless it is collected.
fn gradient<T: Element>(part: &Tensor, d_y: &[T]) -> candle_core::Result<Option<Tensor>> {
    if !part.track_op() {
        return Ok(None);
    }
    let add = |sums: &mut [T]| {
        sums.par_chunks_mut(TILE).zip(d_y.par_chunks(TILE)).for_each(|(sums, d_y)| {
            sums.iter_mut().zip(d_y).for_each(|(sum, d_y)| *sum += *d_y);
        });
    };
    match collect(part, add) {
        Some(()) => Ok(None),
        None => Tensor::from_slice(d_y, part.shape(), part.device()).map(Some),
    }
}

impl CustomOp3 for Concatenate {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        first: &CpuStorage,
        first_layout: &Layout,
        second: &CpuStorage,
        second_layout: &Layout,
        third: &CpuStorage,
        third_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let layouts = [first_layout, second_layout, third_layout];
        let mut dims = first_layout.dims().to_vec();
        dims[0] = layouts.iter().map(|layout| layout.dims()[0]).sum();
        by_dtype!(first.dtype(), T => {
            let parts = [slice::<T>(first, first_layout)?, slice(second, second_layout)?, slice(third, third_layout)?];
            let copy = |y: &Shared<'_, T>| {
                let mut start = 0;
                for part in parts {
                    part.par_chunks(TILE).enumerate().for_each(|(task, part)| {
                        // SAFETY: these elements are this task's alone.
                        let mut y = unsafe { y.tile(start + task * TILE, [1, part.len()], part.len()) };
                        y.row(0).copy_from_slice(part);
                    });
                    start += part.len();
                }
            };
            // SAFETY: the parts are all of y.
            let y = unsafe { written(parts.iter().map(|part| part.len()).sum(), copy) };
            Ok((T::to_cpu_storage_owned(y), Shape::from(dims)))
        })
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        third: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_y = d_y.contiguous()?;
        let d_y = d_y.storage_and_layout();
        by_dtype!(first.dtype(), T => {
            let (d_first, rest) = elements::<T>(&d_y)?.split_at(first.elem_count());
            let (d_second, d_third) = rest.split_at(second.elem_count());
            Ok((gradient(first, d_first)?, gradient(second, d_second)?, gradient(third, d_third)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn end_to_end_and_back() {
        let part = |values: Vec<f64>| {
            let shape = (values.len() / 2, 2);
            Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
        };
        let parts = [part(vec![1.0, 2.0]), part(vec![3.0, 4.0, 5.0, 6.0]), part(vec![7.0, 8.0])];
        let y = concatenate([&parts[0], &parts[1], &parts[2]]).unwrap();
        assert_eq!(y.to_vec2::<f64>().unwrap(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]);
        let gradients = (&y * y.detach()).unwrap().sum_all().unwrap().backward().unwrap();
        for part in &parts {
            // the factors are the values
            let gradient = gradients.get(part).unwrap().to_vec2::<f64>().unwrap();
            assert_eq!(gradient, part.to_vec2::<f64>().unwrap());
        }
        let wide = Tensor::new(&[[1.0f64, 2.0, 3.0]], &Device::Cpu).unwrap();
        let message = concatenate([&parts[0], &parts[1], &wide]).unwrap_err().to_string();
        assert!(message.contains("third"), "{message}");
    }
}
