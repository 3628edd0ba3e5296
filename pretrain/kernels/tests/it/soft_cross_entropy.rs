//! The loss of soft targets.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{Error, soft_cross_entropy};

use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

/// Written down plainly, without taking the largest off.
fn reference(x: &[f64], t: &[f64], classes: usize) -> Exact {
    let losses = |sign: fn(f64) -> f64| -> Vec<f64> {
        let rows = x.chunks(classes).zip(t.chunks(classes));
        rows.map(|(x, t)| {
            let log = x.iter().map(|x| x.exp()).sum::<f64>().ln();
            x.iter().zip(t).map(|(x, t)| sign(t * (log - x))).sum()
        })
        .collect()
    };
    // in f64 inside: one rounding of the result, and f64's own, which are nothing beside it
    Exact { value: losses(|x| x), absolute: losses(f64::abs), roundings: 2 }
}

#[test]
fn within_its_rounding_of_the_plain_formula() {
    for (samples, classes) in [(1, 1), (5, 7), (3, 1000)] {
        let x = (tensor(1, &[samples, classes], DType::F32) * 20.0).unwrap();
        let t = tensor(2, &[samples, classes], DType::F32).abs().unwrap();
        let exact = reference(&numbers(&x), &numbers(&t), classes);
        assert_within("soft_cross_entropy", &soft_cross_entropy(&x, &t).unwrap(), &exact);
    }
}

/// A class by itself, smoothed: the published formula, worked out by hand for logits (0, ln 3).
#[test]
fn by_hand() {
    let x = Tensor::new(&[[0.0, 3f64.ln()]], &Device::Cpu).unwrap();
    let loss =
        |t: [f64; 2]| numbers(&soft_cross_entropy(&x, &Tensor::new(&[t], &Device::Cpu).unwrap()).unwrap())[0];
    assert!((loss([0.0, 1.0]) - (4f64 / 3.0).ln()).abs() < 1e-15);
    assert!((loss([0.05, 0.95]) - (0.05 * 4f64.ln() + 0.95 * (4f64 / 3.0).ln())).abs() < 1e-15);
}

#[test]
fn no_overflow_and_nan_stays() {
    let x = Tensor::new(&[[1e30f32, -1e30, 0.0], [f32::NAN, 0.0, 1.0]], &Device::Cpu).unwrap();
    let t = Tensor::new(&[[1f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu).unwrap();
    let losses = numbers(&soft_cross_entropy(&x, &t).unwrap());
    assert!(losses[0] == 0.0 && losses[1].is_nan(), "{losses:?}");
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let t = tensor(4, &[3, 6], DType::F64).abs().unwrap();
    assert_gradients("soft_cross_entropy", &[var(3, &[3, 6], DType::F64)], |x| {
        soft_cross_entropy(&(&x[0] * 3.0).unwrap(), &t).unwrap()
    });
    assert_gradients("soft_cross_entropy of a view", &[var(3, &[6, 3], DType::F64)], |x| {
        soft_cross_entropy(&x[0].t().unwrap(), &t).unwrap()
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = tensor(1, &[2, 3], DType::F32);
    for t in [tensor(1, &[2, 4], DType::F32), tensor(1, &[3, 3], DType::F32), tensor(1, &[6], DType::F32)] {
        assert!(matches!(soft_cross_entropy(&x, &t), Err(Error::Shape { tensor: "t", .. })));
    }
    assert!(matches!(soft_cross_entropy(&x, &tensor(1, &[2, 3], DType::F64)), Err(Error::Dtype { .. })));
    assert!(soft_cross_entropy(&tensor(1, &[2, 0], DType::F32), &tensor(1, &[2, 0], DType::F32)).is_err());
    assert_eq!(
        soft_cross_entropy(&tensor(1, &[0, 3], DType::F32), &tensor(1, &[0, 3], DType::F32)).unwrap().dims(),
        [0]
    );
}
