//! The largest element of a window against plain loops.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::max_pool2d;

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::assert_gradients;

/// Shape, kernel, stride, padding.
type Case = ([usize; 4], [usize; 2], [usize; 2], [usize; 2]);

const CASES: [Case; 5] = [
    ([2, 3, 9, 12], [3, 3], [2, 2], [1, 1]),
    ([1, 2, 7, 6], [2, 2], [2, 2], [0, 0]),
    ([1, 1, 5, 7], [3, 2], [1, 3], [1, 1]),
    ([1, 2, 1, 1], [3, 3], [2, 2], [1, 1]),
    ([1, 2, 8, 9], [1, 2], [3, 4], [0, 1]),
];

#[test]
fn values_are_exactly_the_largest() {
    for (shape, kernel, stride, padding) in CASES {
        let x = tensor(1, &shape, DType::F32);
        let y = max_pool2d(&x, kernel, stride, padding).unwrap();
        let [height, width] = [shape[2] as isize, shape[3] as isize];
        let [p_count, q_count] = [y.dims()[2], y.dims()[3]];
        let (x, mut expected) = (numbers(&x), Vec::new());
        for plane in x.chunks((height * width) as usize) {
            for (p, q) in (0..p_count).flat_map(|p| (0..q_count).map(move |q| (p, q))) {
                let mut largest = f64::NEG_INFINITY;
                for (i, j) in (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j))) {
                    let h = (p * stride[0] + i) as isize - padding[0] as isize;
                    let w = (q * stride[1] + j) as isize - padding[1] as isize;
                    if (0..height).contains(&h) && (0..width).contains(&w) {
                        largest = largest.max(plane[(h * width + w) as usize]);
                    }
                }
                expected.push(largest);
            }
        }
        assert_eq!(numbers(&y), expected, "{shape:?}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (shape, kernel, stride, padding) in CASES {
        let what = format!("{shape:?}");
        assert_gradients(&what, &[var(1, &shape, DType::F64)], |t| {
            max_pool2d(&t[0], kernel, stride, padding).unwrap()
        });
    }
    assert_gradients("view", &[var(1, &[3, 4, 5, 7], DType::F64)], |t| {
        let x = t[0].narrow(0, 1, 2).unwrap().transpose(1, 3).unwrap();
        max_pool2d(&x, [3, 3], [2, 2], [1, 1]).unwrap()
    });
}

#[test]
fn keeps_its_bits() {
    assert_same_bits("max_pool2d", &[var(1, &[3, 20, 45, 46], DType::F32)], true, |t| {
        max_pool2d(&t[0], [3, 3], [2, 2], [1, 1]).unwrap()
    });
}

#[test]
fn the_first_of_equals_gets_the_gradient_and_nan_wins() {
    let x = candle_core::Var::from_tensor(&Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu).unwrap())
        .unwrap();
    let y = max_pool2d(&x, [2, 2], [1, 1], [0, 0]).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(numbers(gradients.get(&x).unwrap()), [1., 1., 0., 1., 1., 0., 0., 0., 0.]);
    let lows =
        Tensor::new(&[[[[f32::NEG_INFINITY, f32::NAN, 3.0, f32::NEG_INFINITY]]]], &Device::Cpu).unwrap();
    let y = numbers(&max_pool2d(&lows, [1, 2], [1, 2], [0, 0]).unwrap());
    assert!(y[0].is_nan() && y[1] == 3.0, "{y:?}");
    let y = numbers(&max_pool2d(&lows.narrow(3, 3, 1).unwrap(), [1, 1], [1, 1], [0, 0]).unwrap());
    assert_eq!(y, [f64::NEG_INFINITY]);
}

#[test]
fn empty_batches_pass_and_misfits_are_named() {
    let none = var(1, &[0, 4, 5, 5], DType::F32);
    let y = max_pool2d(&none, [3, 3], [2, 2], [1, 1]).unwrap();
    assert_eq!(y.dims(), [0, 4, 3, 3]);
    assert_eq!(y.sum_all().unwrap().backward().unwrap().get(&none).unwrap().dims(), [0, 4, 5, 5]);
    let x = tensor(1, &[1, 1, 2, 5], DType::F32);
    for (kernel, stride, padding, part) in [
        ([3, 3], [1, 1], [0, 0], "at least as large as the kernel"),
        ([2, 2], [0, 1], [0, 0], "stride of at least 1"),
        ([2, 2], [1, 1], [0, 2], "at most half the kernel"),
    ] {
        let message = max_pool2d(&x, kernel, stride, padding).unwrap_err().to_string();
        assert!(message.starts_with("max_pool2d: ") && message.contains(part), "{message}");
    }
}
