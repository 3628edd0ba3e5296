//! The layer with GELU behind it, against libm's erfc.

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::{linear, linear_gelu};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / 2f64.sqrt())
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// An identity for the layer, so that the activation's own error is seen: relative (16 + z²/2) 2^-24 of Φ(-|z|), and
/// one rounding by z.
#[test]
fn the_activation_has_the_stated_error() {
    let z: Vec<f32> =
        (-330_000..330_000).map(|i| i as f32 * 4e-5).chain([0.0, -0.0, 1e-30, -1e-30, 1e6]).collect();
    let x =
        Var::from_tensor(&Tensor::new(&z[..], &Device::Cpu).unwrap().reshape((z.len(), 1)).unwrap()).unwrap();
    let (one, zero) = (Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap(), tensor(1, &[1], DType::F32));
    let zero = zero.zeros_like().unwrap();
    let y = linear_gelu(&x, &one, &zero).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    let (y, slope) = (numbers(&y), numbers(gradients.get(&x).unwrap()));
    let u = 2f64.powi(-24);
    for ((z, y), slope) in z.iter().map(|z| f64::from(*z)).zip(y).zip(slope) {
        let tail = below(-z.abs());
        let relative = (16.0 + z * z / 2.0) * u;
        let phi = if z < 0.0 { tail * relative } else { tail * relative + u };
        let normal = f64::from(f32::MIN_POSITIVE);
        let bound = z.abs() * phi * (1.0 + u) + (z * below(z)).abs() * u + normal * (1.0 + z.abs());
        assert!((y - z * below(z)).abs() <= bound, "gelu({z}) is {y}, exact {}", z * below(z));
        let exact = below(z) + z * density(z);
        let bound =
            phi + (z * density(z)).abs() * (8.0 * u + relative) + exact.abs() * u + normal * (2.0 + z.abs());
        assert!((slope - exact).abs() <= bound, "gelu'({z}) is {slope}, exact {exact}");
    }
}

/// The product's bound goes through a slope of at most 1.13, and the activation adds its own.
#[test]
fn within_the_derived_bound_of_the_formula() {
    for (rows, inputs, outputs) in [(5, 33, 7), (1, 96, 130), (70, 200, 450), (3, 1, 65)] {
        let (x, w) = (tensor(1, &[rows, inputs], DType::F32), tensor(2, &[outputs, inputs], DType::F32));
        let bias = tensor(3, &[outputs], DType::F32);
        let y = linear_gelu(&x, &w, &bias).unwrap();
        let (x, w, bias) = (numbers(&x), numbers(&w), numbers(&bias));
        let (mut value, mut absolute) = (Vec::new(), Vec::new());
        for (row, output) in (0..rows).flat_map(|row| (0..outputs).map(move |output| (row, output))) {
            let terms = (0..inputs).map(|i| x[row * inputs + i] * w[output * inputs + i]);
            let z = terms.clone().sum::<f64>() + bias[output];
            let size = terms.map(f64::abs).sum::<f64>() + bias[output].abs();
            value.push(z * below(z));
            let own = z.abs() * (below(-z.abs()) * (16.0 + z * z / 2.0) + 2.0) / (inputs + 2) as f64;
            absolute.push(1.13 * size + own);
        }
        let exact = Exact { value, absolute, roundings: inputs + 2 };
        assert_within(&format!("{rows} x {inputs} x {outputs}"), &y, &exact);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for outputs in [5, 70] {
        let inputs =
            [var(1, &[3, 4], DType::F64), var(2, &[outputs, 4], DType::F64), var(3, &[outputs], DType::F64)];
        assert_gradients("linear_gelu", &inputs, |t| {
            linear_gelu(&(&t[0] * 2.0).unwrap(), &t[1], &t[2]).unwrap()
        });
    }
    let views = [var(1, &[6, 4], DType::F64), var(2, &[4, 5], DType::F64), var(3, &[1], DType::F64)];
    assert_gradients("views", &views, |t| {
        let bias = t[2].broadcast_as(5).unwrap();
        linear_gelu(&t[0].narrow(0, 1, 3).unwrap(), &t[1].t().unwrap(), &bias).unwrap()
    });
}

/// Both layers at sizes of several tiles, and a row alone.
#[test]
fn keep_their_bits() {
    for (rows, inputs, outputs) in [(5, 70, 40), (3, 1100, 66), (400, 530, 400), (2, 1030, 1160)] {
        let inputs = [
            var(1, &[rows, inputs], DType::F32),
            var(2, &[outputs, inputs], DType::F32),
            var(3, &[outputs], DType::F32),
        ];
        let by_sample = rows < 10;
        assert_same_bits("linear_gelu", &inputs, by_sample, |t| linear_gelu(&t[0], &t[1], &t[2]).unwrap());
        assert_same_bits("linear", &inputs, by_sample, |t| linear(&t[0], &t[1], Some(&t[2])).unwrap());
    }
    // Three rows of four hundred, whose tiles are others.
    let (x, w) = (tensor(1, &[400, 530], DType::F32), tensor(2, &[400, 530], DType::F32));
    let all = numbers(&linear(&x, &w, None).unwrap().narrow(0, 250, 3).unwrap());
    assert_eq!(all, numbers(&linear(&x.narrow(0, 250, 3).unwrap(), &w, None).unwrap()));
}

#[test]
fn empty_batches_pass_and_misfits_are_named() {
    let none = var(1, &[0, 4], DType::F32);
    for outputs in [3, 100] {
        let (w, bias) = (var(2, &[outputs, 4], DType::F32), var(3, &[outputs], DType::F32));
        let y = linear_gelu(&none, &w, &bias).unwrap();
        assert_eq!(y.dims(), [0, outputs]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&none).unwrap().dims(), [0, 4]);
        assert_eq!(numbers(gradients.get(&w).unwrap()), vec![0.0; outputs * 4]);
        assert_eq!(numbers(gradients.get(&bias).unwrap()), vec![0.0; outputs]);
    }
    let (w, bias) = (tensor(2, &[3, 4], DType::F32), tensor(3, &[2], DType::F32));
    let message = linear_gelu(&none, &w, &bias).unwrap_err().to_string();
    assert!(message.contains("linear_gelu: bias has shape [2], expected [3]"), "{message}");
    let message = linear_gelu(&tensor(1, &[2, 5], DType::F32), &w, &bias).unwrap_err().to_string();
    assert!(message.contains("linear_gelu: w has shape [3, 4], expected [o, 5]"), "{message}");
}
