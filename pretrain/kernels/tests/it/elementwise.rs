//! Activations against the standard library's `exp` in f64, the mean of a map, linear layers.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{Result, global_average_pool, linear, relu, sigmoid, swish, tanh};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

type Activation = fn(&Tensor) -> Result<Tensor>;

const ACTIVATIONS: [(&str, Activation); 4] =
    [("relu", relu), ("swish", swish), ("sigmoid", sigmoid), ("tanh", tanh)];

/// The exponential is good to 2^-22, four roundings; a sum, a quotient, and the step to the next number follow.
#[test]
fn activations_are_within_eight_roundings() {
    let mut x: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 5.1e-4).collect();
    x.extend([0.0, -0.0, f32::MIN_POSITIVE, -1e-30, 1e30, -1e30, 87.3, -87.3, 88.4, -88.4, 103.0, -103.0]);
    let tensor = Tensor::new(&x[..], &Device::Cpu).unwrap();
    let exact = |f: fn(f64) -> f64| {
        let value: Vec<f64> = x.iter().map(|x| f(f64::from(*x))).collect();
        Exact { absolute: value.iter().map(|y| y.abs()).collect(), value, roundings: 8 }
    };
    assert_within("relu", &relu(&tensor).unwrap(), &exact(|x| x.max(0.0)));
    assert_within("sigmoid", &sigmoid(&tensor).unwrap(), &exact(|x| 1.0 / (1.0 + (-x).exp())));
    let fine: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 1e-5).chain(x.iter().copied()).collect();
    let value: Vec<f64> = fine.iter().map(|x| f64::from(*x).tanh()).collect();
    let tanh_exact = Exact { absolute: value.iter().map(|y| y.abs()).collect(), value, roundings: 8 };
    assert_within("tanh", &tanh(&Tensor::new(&fine[..], &Device::Cpu).unwrap()).unwrap(), &tanh_exact);
    // Below -87 the quotient becomes subnormal and then 0: no relative accuracy, an absolute error of |x| times that.
    let mut swish_exact = exact(|x| x / (1.0 + (-x).exp()));
    let swish_computed = swish(&tensor).unwrap();
    let computed = numbers(&swish_computed);
    for (i, _) in x.iter().enumerate().filter(|(_, x)| **x < -87.0) {
        assert!((computed[i] - swish_exact.value[i]).abs() <= 2e-36, "swish({}) is {}", x[i], computed[i]);
        swish_exact.value[i] = computed[i];
    }
    assert_within("swish", &swish_computed, &swish_exact);
}

#[test]
fn not_a_number_stays_so_and_infinities_saturate() {
    let x = Tensor::new(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &Device::Cpu).unwrap();
    for (name, f) in ACTIVATIONS {
        assert!(numbers(&f(&x).unwrap())[0].is_nan(), "{name}");
    }
    assert_eq!(numbers(&relu(&x).unwrap())[1..], [f64::INFINITY, 0.0]);
    assert_eq!(numbers(&sigmoid(&x).unwrap())[1..], [1.0, 0.0]);
    assert_eq!(numbers(&tanh(&x).unwrap())[1..], [1.0, -1.0]);
    assert_eq!(numbers(&swish(&x).unwrap())[1], f64::INFINITY);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (name, f) in ACTIVATIONS {
        let x = var(7, &[3, 5, 4], DType::F64);
        assert_gradients(name, std::slice::from_ref(&x), |t| f(&(&t[0] * 4.0).unwrap()).unwrap());
        assert_gradients(name, &[x], |t| f(&t[0].narrow(1, 1, 3).unwrap().transpose(0, 2).unwrap()).unwrap());
    }
    let x = var(7, &[2, 3, 4, 5], DType::F64);
    assert_gradients("mean", &[x], |t| global_average_pool(&t[0].transpose(1, 2).unwrap()).unwrap());
    let (x, w, bias) = (var(1, &[3, 21], DType::F64), var(2, &[5, 21], DType::F64), var(3, &[5], DType::F64));
    assert_gradients("linear", &[x.clone(), w.clone(), bias], |t| linear(&t[0], &t[1], Some(&t[2])).unwrap());
    let view = var(2, &[21, 7], DType::F64);
    assert_gradients("linear on views", &[x, view], |t| {
        linear(&t[0].narrow(0, 1, 2).unwrap(), &t[1].t().unwrap().narrow(0, 2, 4).unwrap(), None).unwrap()
    });
}

#[test]
fn keep_their_bits() {
    for (name, f) in ACTIVATIONS {
        assert_same_bits(name, &[var(1, &[3, 5, 50, 51], DType::F32)], true, |t| f(&t[0]).unwrap());
    }
    assert_same_bits("mean", &[var(1, &[3, 40, 21, 21], DType::F32)], true, |t| {
        global_average_pool(&t[0]).unwrap()
    });
    for (rows, inputs, outputs) in [(3, 64, 100), (7, 2048, 33), (5, 77, 301)] {
        let inputs = [
            var(1, &[rows, inputs], DType::F32),
            var(2, &[outputs, inputs], DType::F32),
            var(3, &[outputs], DType::F32),
        ];
        assert_same_bits("linear", &inputs, true, |t| linear(&t[0], &t[1], Some(&t[2])).unwrap());
    }
}

/// y and both products of the backward, and the mean, each a sum of known length.
#[test]
fn sums_are_within_the_derived_bound() {
    let (rows, inputs, outputs) = (5, 333, 301);
    let (x, w) = (var(1, &[rows, inputs], DType::F32), var(2, &[outputs, inputs], DType::F32));
    let bias = var(3, &[outputs], DType::F32);
    let y = linear(&x, &w, Some(&bias)).unwrap();
    let d_y = tensor(4, &[rows, outputs], DType::F32);
    let gradients = (&y * &d_y).unwrap().sum_all().unwrap().backward().unwrap();
    let product = |left: Vec<f64>, right: Vec<f64>, [m, k, n]: [usize; 3], add: Option<Vec<f64>>| {
        let (mut value, mut absolute) = (Vec::new(), Vec::new());
        for row in 0..m {
            for column in 0..n {
                let bias = add.as_ref().map_or(0.0, |add| add[column]);
                let terms = (0..k).map(|i| left[row * k + i] * right[i * n + column]);
                value.push(terms.clone().sum::<f64>() + bias);
                absolute.push(terms.map(f64::abs).sum::<f64>() + bias.abs());
            }
        }
        Exact { value, absolute, roundings: k + 2 }
    };
    let transposed = |tensor: &Tensor| numbers(&tensor.t().unwrap());
    let forward = product(numbers(&x), transposed(&w), [rows, inputs, outputs], Some(numbers(&bias)));
    assert_within("y", &y, &forward);
    let d_x = product(numbers(&d_y), numbers(&w), [rows, outputs, inputs], None);
    assert_within("d_x", gradients.get(&x).unwrap(), &d_x);
    let d_w = product(transposed(&d_y), numbers(&x), [outputs, rows, inputs], None);
    assert_within("d_w", gradients.get(&w).unwrap(), &d_w);
    let d_bias = product(vec![1.0; rows], numbers(&d_y), [1, rows, outputs], None);
    assert_within("d_bias", gradients.get(&bias).unwrap(), &d_bias);

    let x = tensor(5, &[2, 3, 61, 67], DType::F32);
    let planes: Vec<Vec<f64>> = numbers(&x).chunks(61 * 67).map(<[f64]>::to_vec).collect();
    let mean = |plane: &Vec<f64>| plane.iter().sum::<f64>() / plane.len() as f64;
    let value: Vec<f64> = planes.iter().map(mean).collect();
    let exact = Exact { absolute: value.iter().map(|mean| mean.abs()).collect(), value, roundings: 1 };
    assert_within("mean", &global_average_pool(&x).unwrap(), &exact);
}

#[test]
fn empty_batches_pass_and_misfits_are_named() {
    let none = var(1, &[0, 4], DType::F32);
    let (w, bias) = (var(2, &[3, 4], DType::F32), var(3, &[3], DType::F32));
    let y = linear(&none, &w, Some(&bias)).unwrap();
    assert_eq!(y.dims(), [0, 3]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&none).unwrap().dims(), [0, 4]);
    assert_eq!(numbers(gradients.get(&w).unwrap()), [0.0; 12]);
    assert_eq!(numbers(gradients.get(&bias).unwrap()), [0.0; 3]);
    assert_eq!(global_average_pool(&tensor(1, &[0, 4, 2, 2], DType::F32)).unwrap().dims(), [0, 4]);
    for (_, f) in ACTIVATIONS {
        assert_eq!(f(&none).unwrap().dims(), [0, 4]);
        assert_eq!(f(&tensor(1, &[], DType::F32)).unwrap().dims().len(), 0);
    }
    let message = linear(&tensor(1, &[2, 5], DType::F32), &w, None).unwrap_err().to_string();
    assert!(message.contains("w has shape [3, 4], expected [o, 5]"), "{message}");
    let message = linear(&tensor(1, &[2, 4], DType::F32), &w, Some(&none)).unwrap_err().to_string();
    assert!(message.contains("bias has shape [0, 4], expected [3]"), "{message}");
    let message = global_average_pool(&tensor(1, &[1, 4, 0, 2], DType::F32)).unwrap_err().to_string();
    assert!(message.contains("a map of at least 1 x 1"), "{message}");
    let message = relu(&none.to_dtype(DType::BF16).unwrap()).unwrap_err().to_string();
    assert!(message.contains("relu: x is BF16, expected f32 or f64"), "{message}");
}
