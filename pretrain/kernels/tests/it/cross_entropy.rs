//! Cross-entropy against its formula, over few classes and over a vocabulary.

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{CrossEntropy, Result, cross_entropy, vocabulary_cross_entropy};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, values, var};
use crate::proof::{Exact, assert_gradients, assert_within};

/// Labels below `classes`, about a third of them -1.
fn draw_labels(seed: u64, count: usize, classes: usize) -> Vec<i64> {
    let label = |x: f64| if x < -0.33 { -1 } else { ((x + 0.33) / 1.33 * classes as f64) as i64 };
    values(seed, count).into_iter().map(label).collect()
}

fn loss_of(logits: &[f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + logits.iter().map(|x| (x - largest).exp()).sum::<f64>().ln() - logits[label]
}

/// A loss moves by at most twice the largest error of its logits, here `size` roundings of their size; its sum over c
/// exponentials rounds c + 6 times, which the logarithm makes absolute; argument and result round once.
fn loss_error(logits: &[f64], size: f64) -> f64 {
    let spread = logits.iter().map(|x| x.abs()).fold(0.0, f64::max);
    2.0 * size + 4.0 * spread + (logits.len() + 6) as f64
}

fn exact(losses: &[(f64, f64)]) -> Exact {
    let value: f64 = losses.iter().map(|(loss, _)| loss).sum();
    let error: f64 = losses.iter().map(|(_, error)| error).sum();
    Exact { value: vec![value], absolute: vec![value.abs() + error], roundings: 1 }
}

#[test]
fn within_the_derived_bound_of_the_formula() {
    for (rows, classes) in [(5, 3), (1, 2), (40, 100), (3, 1)] {
        let logits = (tensor(1, &[rows, classes], DType::F32) * 10.0).unwrap();
        let labels = draw_labels(2, rows, classes);
        let CrossEntropy { sum, count } = cross_entropy(&logits, &labels).unwrap();
        assert_eq!(count, labels.iter().filter(|label| **label >= 0).count());
        let values = numbers(&logits);
        let losses: Vec<(f64, f64)> = values
            .chunks(classes)
            .zip(&labels)
            .filter(|(_, label)| **label >= 0)
            .map(|(logits, label)| (loss_of(logits, *label as usize), loss_error(logits, 0.0)))
            .collect();
        assert_within(&format!("{rows} x {classes}"), &sum, &exact(&losses));
    }
    for (rows, width, words) in [(9, 20, 500), (2, 768, 70), (400, 10, 33)] {
        let (x, w) = (tensor(1, &[rows, width], DType::F32), tensor(2, &[words, width], DType::F32));
        let (bias, labels) = (tensor(3, &[words], DType::F32), draw_labels(4, rows, words));
        let CrossEntropy { sum, count } = vocabulary_cross_entropy(&x, &w, &bias, &labels).unwrap();
        assert_eq!(count, labels.iter().filter(|label| **label >= 0).count());
        let (x, w, bias) = (numbers(&x), numbers(&w), numbers(&bias));
        let mut losses = Vec::new();
        for (row, label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
            let (mut logits, mut size) = (Vec::new(), 0f64);
            for word in 0..words {
                let terms = (0..width).map(|i| x[row * width + i] * w[word * width + i]);
                logits.push(terms.clone().sum::<f64>() + bias[word]);
                size = size.max(terms.map(f64::abs).sum::<f64>() + bias[word].abs());
            }
            let size = (width + 1) as f64 * size;
            losses.push((loss_of(&logits, *label as usize), loss_error(&logits, size)));
        }
        assert_within(&format!("{rows} x {width} x {words}"), &sum, &exact(&losses));
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let labels = [2, -1, 0, 3, 3];
    assert_gradients("few classes", &[var(1, &[5, 4], DType::F64)], |t| {
        cross_entropy(&(&t[0] * 3.0).unwrap(), &labels).unwrap().sum
    });
    assert_gradients("few classes, view", &[var(1, &[4, 6], DType::F64)], |t| {
        cross_entropy(&t[0].narrow(1, 1, 5).unwrap().t().unwrap(), &labels).unwrap().sum
    });
    for words in [6, 70] {
        let inputs =
            [var(1, &[5, 3], DType::F64), var(2, &[words, 3], DType::F64), var(3, &[words], DType::F64)];
        assert_gradients("vocabulary", &inputs, |t| {
            vocabulary_cross_entropy(&(&t[0] * 2.0).unwrap(), &t[1], &t[2], &labels).unwrap().sum
        });
    }
    // More rows than a block.
    let labels = draw_labels(4, 800, 5);
    assert!(labels.iter().filter(|label| **label >= 0).count() > 2 * 256);
    let inputs = [var(1, &[1, 1], DType::F64), var(2, &[5, 1], DType::F64), var(3, &[5], DType::F64)];
    let x = tensor(5, &[800, 1], DType::F64);
    assert_gradients("blocks", &inputs, |t| {
        let x = x.broadcast_mul(&t[0]).unwrap();
        (vocabulary_cross_entropy(&x, &t[1], &t[2], &labels).unwrap().sum * 0.01).unwrap()
    });
}

/// The kept logits of one block serve once; a second backward computes them again.
#[test]
fn a_second_backward_gives_the_same() {
    let inputs = [var(1, &[5, 3], DType::F32), var(2, &[70, 3], DType::F32), var(3, &[70], DType::F32)];
    let [x, w, bias] = &inputs;
    let sum = vocabulary_cross_entropy(x, w, bias, &[1, -1, 69, 0, 7]).unwrap().sum;
    let gradients = || {
        let gradients = sum.backward().unwrap();
        inputs.each_ref().map(|input| numbers(gradients.get(input).unwrap()))
    };
    assert_eq!(gradients(), gradients());
}

#[test]
fn keeps_its_bits() {
    let labels = draw_labels(4, 500, 900);
    let inputs = [var(1, &[500, 40], DType::F32), var(2, &[900, 40], DType::F32), var(3, &[900], DType::F32)];
    assert_same_bits("vocabulary", &inputs, false, |t| {
        vocabulary_cross_entropy(&t[0], &t[1], &t[2], &labels).unwrap().sum
    });
    let labels = draw_labels(4, 500, 40);
    assert_same_bits("few classes", &inputs[..1], false, |t| cross_entropy(&t[0], &labels).unwrap().sum);
}

#[test]
fn rows_without_labels_count_nothing_and_misfits_are_named() {
    let inputs = [var(1, &[2, 3], DType::F32), var(2, &[70, 3], DType::F32), var(3, &[70], DType::F32)];
    let [x, w, bias] = &inputs;
    for (x, labels) in [(x.as_tensor().clone(), &[-1, -1][..]), (x.narrow(0, 0, 0).unwrap(), &[])] {
        for CrossEntropy { sum, count } in
            [vocabulary_cross_entropy(&x, w, bias, labels).unwrap(), cross_entropy(&x, labels).unwrap()]
        {
            assert_eq!((numbers(&sum), count), (vec![0.0], 0));
            let gradients = sum.backward().unwrap();
            assert!(numbers(gradients.get(&inputs[0]).unwrap()).iter().all(|d| *d == 0.0));
        }
    }
    let message = |result: Result<CrossEntropy>| result.unwrap_err().to_string();
    let text = message(vocabulary_cross_entropy(x, w, bias, &[1, 70]));
    assert!(text.contains("vocabulary_cross_entropy: row 1: expected a label below 70, or -1"), "{text}");
    let text = message(cross_entropy(x, &[0, -2]));
    assert!(
        text.contains("cross_entropy: row 1: expected a label below 3, or -1 for none, got -2"),
        "{text}"
    );
    let text = message(cross_entropy(x, &[0]));
    assert!(text.contains("a label for every row, -1 for none, got 1 for 2 rows"), "{text}");
    let text = message(vocabulary_cross_entropy(x, &bias.reshape((35, 2)).unwrap(), bias, &[0, 1]));
    assert!(text.contains("w has shape [35, 2], expected [v, 3], not empty"), "{text}");
    let lost = Tensor::new(&[[1f32, f32::NAN]], &Device::Cpu).unwrap();
    assert!(numbers(&cross_entropy(&lost, &[0]).unwrap().sum)[0].is_nan());
}
