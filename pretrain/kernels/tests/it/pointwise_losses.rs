//! Smooth L1 and binary cross-entropy of logits.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{Error, binary_cross_entropy, smooth_l1};

use crate::draw::{numbers, tensor, values, var};
use crate::proof::assert_gradients;

fn targets(seed: u64, count: usize) -> Vec<f32> {
    values(seed, count).into_iter().map(|value| value.abs() as f32).collect()
}

/// The formulas as they are usually written.
#[test]
fn within_one_rounding_of_the_plain_formulas() {
    let x = (tensor(1, &[7, 5], DType::F32) * 8.0).unwrap();
    let targets = targets(2, 35);
    let pairs = || numbers(&x).into_iter().zip(targets.iter().map(|target| f64::from(*target)));
    let near = |got: &Tensor, wanted: f64| {
        let got = numbers(got)[0];
        assert!((got - wanted).abs() <= 2f64.powi(-24) * wanted.abs() * 1.01, "{got} is not {wanted}");
    };
    let entropy = pairs().map(|(x, t)| {
        let p = 1.0 / (1.0 + (-x).exp());
        -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
    });
    near(&binary_cross_entropy(&x, &targets).unwrap(), entropy.sum());
    for beta in [1.0 / 9.0, 1.0, 3.5] {
        let smooth = pairs().map(|(x, t)| {
            let d = (x - t).abs();
            if d <= beta { d.powi(2) / (2.0 * beta) } else { d - beta / 2.0 }
        });
        near(&smooth_l1(&x, &targets, beta).unwrap(), smooth.sum());
    }
    near(&smooth_l1(&x, &targets, 0.0).unwrap(), pairs().map(|(x, t)| (x - t).abs()).sum());
}

#[test]
fn nothing_overflows_and_nan_stays() {
    let of = |x: f32, target: f32| {
        let x = Tensor::new(&[x], &Device::Cpu).unwrap();
        numbers(&binary_cross_entropy(&x, &[target]).unwrap())[0]
    };
    assert_eq!((of(1e30, 1.0), of(-1e30, 0.0), of(500.0, 0.0)), (0.0, 0.0, 500.0));
    assert!(of(f32::NAN, 1.0).is_nan());
    let x = Tensor::new(&[f32::NAN, 1.0], &Device::Cpu).unwrap();
    assert!(numbers(&smooth_l1(&x, &[0.0, 1.0], 1.0).unwrap())[0].is_nan());
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let targets = targets(4, 12);
    assert_gradients("binary_cross_entropy", &[var(3, &[3, 4], DType::F64)], |x| {
        binary_cross_entropy(&(&x[0] * 5.0).unwrap(), &targets).unwrap()
    });
    for beta in [0.25, 1.0] {
        assert_gradients("smooth_l1 of a view", &[var(3, &[4, 3], DType::F64)], |x| {
            smooth_l1(&(x[0].t().unwrap() * 3.0).unwrap(), &targets, beta).unwrap()
        });
    }
    let x = var(5, &[2], DType::F32);
    let at_the_target: Vec<f32> = numbers(&x).into_iter().map(|value| value as f32).collect();
    let gradients = smooth_l1(&x, &at_the_target, 0.0).unwrap().backward().unwrap();
    assert_eq!(numbers(gradients.get(&x).unwrap()), [0.0, 0.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = tensor(1, &[2, 3], DType::F32);
    assert!(matches!(smooth_l1(&x, &[0.0; 5], 1.0), Err(Error::Shape { tensor: "x", .. })));
    assert!(matches!(binary_cross_entropy(&x, &[0.0; 7]), Err(Error::Shape { .. })));
    for beta in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(smooth_l1(&x, &[0.0; 6], beta), Err(Error::Geometry { .. })));
    }
    let none = tensor(1, &[0, 4], DType::F32);
    assert_eq!(numbers(&smooth_l1(&none, &[], 1.0).unwrap()), [0.0]);
}
