//! Layer normalisation against its formula.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use pretrain_kernels::{Dropout, dropout, layer_norm, residual_layer_norm};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

const EPS: f64 = 1e-12;

/// `(s - mean) / std` is rounded once, the factor and the sum once each; `s` itself `before` times, which mean and
/// deviation pass on: a number by |s| and |mean|, the deviation by at most as much again per unit of the result.
fn normalised(rows: &[f64], width: usize, weight: &[f64], bias: &[f64], before: usize) -> Exact {
    let (mut value, mut absolute) = (Vec::new(), Vec::new());
    for row in rows.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let deviation = (variance + EPS).sqrt();
        let largest = row.iter().map(|x| x.abs()).fold(0.0, f64::max);
        for ((x, weight), bias) in row.iter().zip(weight).zip(bias) {
            let y = (x - mean) / deviation;
            value.push(y * weight + bias);
            let passed = if before > 0 { largest / deviation * (2.0 + y.abs()) } else { 0.0 };
            absolute.push((y.abs() + passed) * weight.abs() + bias.abs());
        }
    }
    Exact { value, absolute, roundings: 3 + before }
}

#[test]
fn within_the_derived_bound_of_the_formula() {
    for shape in [&[3, 5, 7][..], &[2, 768], &[1, 33], &[4, 1], &[67, 100]] {
        let width = *shape.last().unwrap();
        // Far from zero: a variance by E[x²] - E[x]² would lose five digits here.
        let x = tensor(1, shape, DType::F32).affine(0.5, 100.0).unwrap();
        let residual = tensor(2, shape, DType::F32);
        let (weight, bias) = (tensor(3, &[width], DType::F32), tensor(4, &[width], DType::F32));
        let (w, b) = (numbers(&weight), numbers(&bias));
        let y = layer_norm(&x, &weight, &bias, EPS).unwrap();
        if width > 1 {
            assert_within("y", &y, &normalised(&numbers(&x), width, &w, &b, 0));
            let sum: Vec<f64> = numbers(&x).iter().zip(numbers(&residual)).map(|(x, r)| x + r).collect();
            let y = residual_layer_norm(&x, &residual, None, &weight, &bias, EPS).unwrap();
            assert_within("y of the sum", &y, &normalised(&sum, width, &w, &b, 1));
        } else {
            assert_eq!(numbers(&y), vec![b[0]; 4], "one number is its own mean");
        }
    }
}

#[test]
fn with_dropout_it_is_the_three_operations() {
    let shape = [2, 9, 70];
    let inputs = [1, 2].map(|seed| var(seed, &shape, DType::F32));
    let affine = [3, 4].map(|seed| var(seed, &[70], DType::F32));
    let rows: Arc<[u32]> = (0..18).map(|row| row * 5 + 3).collect();
    let how = Dropout { rate: 0.3, seed: 5, stream: 6, step: 7, rows: Some(rows) };
    let run = |fused: bool| {
        let [x, residual] = &inputs;
        let y = if fused {
            residual_layer_norm(x, residual, Some(&how), &affine[0], &affine[1], EPS).unwrap()
        } else {
            let sum = (dropout(x, &how).unwrap() + residual.as_tensor()).unwrap();
            layer_norm(&sum, &affine[0], &affine[1], EPS).unwrap()
        };
        let gradients = (&y * tensor(9, &shape, DType::F32)).unwrap().sum_all().unwrap().backward().unwrap();
        let gradients = inputs.iter().chain(&affine).map(|input| numbers(gradients.get(input).unwrap()));
        let mut all = vec![numbers(&y)];
        all.extend(gradients);
        all
    };
    assert!(run(true) == run(false), "fused and apart differ");
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = [3, 2, 11];
    let x = [1, 2].map(|seed| var(seed, &shape, DType::F64));
    let [weight, bias] = [3, 4].map(|seed| var(seed, &[11], DType::F64));
    let plain = [x[0].clone(), weight.clone(), bias.clone()];
    assert_gradients("plain", &plain, |t| layer_norm(&t[0], &t[1], &t[2], 1e-5).unwrap());
    let both = [x[0].clone(), x[1].clone(), weight.clone(), bias.clone()];
    let how = Dropout { rate: 0.4, seed: 1, stream: 2, step: 3, rows: None };
    for dropout in [None, Some(&how)] {
        assert_gradients("residual", &both, |t| {
            residual_layer_norm(&t[0], &t[1], dropout, &t[2], &t[3], 1e-5).unwrap()
        });
    }
    // The same tensor twice, and views.
    assert_gradients("view", &both, |t| {
        {
            let x = t[0].narrow(0, 1, 2).unwrap().transpose(0, 1).unwrap();
            residual_layer_norm(&x, &x, None, &t[2], &t[3], 1e-5).unwrap()
                * t[1].narrow(0, 0, 2).unwrap().transpose(0, 1).unwrap()
        }
        .unwrap()
    });
}

#[test]
fn keeps_its_bits() {
    for width in [100, 768] {
        let shape = [150, width];
        let affine = [3, 4].map(|seed| var(seed, &[width], DType::F32));
        let [weight, bias] = affine.clone();
        let inputs = [var(1, &shape, DType::F32), weight, bias];
        assert_same_bits("layer_norm", &inputs, true, |t| layer_norm(&t[0], &t[1], &t[2], EPS).unwrap());
        let [weight, bias] = affine;
        let inputs = [var(1, &shape, DType::F32), var(2, &shape, DType::F32), weight, bias];
        let how = Dropout { rate: 0.1, seed: 1, stream: 2, step: 3, rows: None };
        assert_same_bits("residual_layer_norm", &inputs, false, |t| {
            residual_layer_norm(&t[0], &t[1], Some(&how), &t[2], &t[3], EPS).unwrap()
        });
    }
}

#[test]
fn empty_batches_pass_and_misfits_are_named() {
    let none = var(1, &[0, 4], DType::F32);
    let four = var(2, &[4], DType::F32);
    let y = residual_layer_norm(&none, &none, None, &four, &four, EPS).unwrap();
    assert_eq!(y.dims(), [0, 4]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(numbers(gradients.get(&four).unwrap()), [0.0; 4]);
    let (x, five): (Tensor, Tensor) = (tensor(1, &[2, 4], DType::F32), tensor(1, &[5], DType::F32));
    let message = |result: pretrain_kernels::Result<Tensor>| result.unwrap_err().to_string();
    let text = message(layer_norm(&x, &five, &four, EPS));
    assert!(text.contains("layer_norm: weight has shape [5], expected [4]"), "{text}");
    let text = message(residual_layer_norm(&x, &none, None, &four, &four, EPS));
    assert!(text.contains("residual has shape [0, 4], expected [2, 4]"), "{text}");
    let text = message(layer_norm(&tensor(1, &[2, 0], DType::F32), &four, &four, EPS));
    assert!(text.contains("x has shape [2, 0], expected [..., n], n not 0"), "{text}");
    let how = Dropout { rate: 0.1, seed: 1, stream: 2, step: 3, rows: Some([1].into()) };
    let text = message(residual_layer_norm(&x, &x, Some(&how), &four, &four, EPS));
    assert!(
        text.contains("layer_norm: expected a number for every row in dropout.rows, got 1 for 2"),
        "{text}"
    );
}
