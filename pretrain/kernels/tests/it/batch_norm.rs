//! Batch normalisation against its formula.

use candle_core::{DType, Tensor};
use pretrain_kernels::{batch_norm_inference, batch_norm_training};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::{Exact, assert_gradients, assert_within};

const EPS: f64 = 1e-3;

/// Channel by channel: the values, in f64.
fn channels(values: &[f64], [batch, channels, height, width]: [usize; 4]) -> Vec<Vec<f64>> {
    let area = height * width;
    let plane = |b: usize, c: usize| &values[(b * channels + c) * area..][..area];
    (0..channels).map(|c| (0..batch).flat_map(|b| plane(b, c)).copied().collect()).collect()
}

/// `(x - mean) scale + bias`: the subtraction, two factors and the sum round once each, the statistics and the scale
/// once when they become f32.
fn normalised(
    x: &[f64],
    shape: [usize; 4],
    mean: &[f64],
    variance: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Exact {
    let area = shape[2] * shape[3];
    let (mut value, mut absolute) = (Vec::new(), Vec::new());
    for (index, x) in x.iter().enumerate() {
        let c = index / area % shape[1];
        let scale = weight[c] / (variance[c] + EPS).sqrt();
        value.push((x - mean[c]) * scale + bias[c]);
        absolute.push((x.abs() + mean[c].abs()) * scale.abs() + bias[c].abs());
    }
    Exact { value, absolute, roundings: 5 }
}

#[test]
fn within_the_derived_bound_of_the_formula() {
    for shape in [[3, 5, 7, 9], [2, 3, 1, 1], [1, 2, 60, 70]] {
        let c = [shape[1]];
        // Far from zero: a variance by E[x²] - E[x]² would lose five digits here.
        let x = var(1, &shape, DType::F32).affine(0.5, 100.0).unwrap();
        let (weight, bias) = (tensor(2, &c, DType::F32), tensor(3, &c, DType::F32));
        let (y, mean, variance) = batch_norm_training(&x, &weight, &bias, EPS).unwrap();
        let by_channel = channels(&numbers(&x), shape);
        let n = by_channel[0].len() as f64;
        let exact_mean: Vec<f64> = by_channel.iter().map(|x| x.iter().sum::<f64>() / n).collect();
        let exact_variance: Vec<f64> = by_channel
            .iter()
            .zip(&exact_mean)
            .map(|(x, mean)| x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
            .collect();
        let once = |value: &[f64]| Exact { value: value.to_vec(), absolute: value.to_vec(), roundings: 2 };
        assert_within("mean", &mean, &once(&exact_mean));
        assert_within("variance", &variance, &once(&exact_variance));
        let (w, b) = (numbers(&weight), numbers(&bias));
        assert_within("y", &y, &normalised(&numbers(&x), shape, &exact_mean, &exact_variance, &w, &b));
        let y = batch_norm_inference(&x, &mean, &variance, &weight, &bias, EPS).unwrap();
        let exact = normalised(&numbers(&x), shape, &numbers(&mean), &numbers(&variance), &w, &b);
        assert_within("y of inference", &y, &exact);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = [3, 2, 4, 5];
    let inputs = [var(1, &shape, DType::F64), var(2, &[2], DType::F64), var(3, &[2], DType::F64)];
    assert_gradients("training", &inputs, |t| batch_norm_training(&t[0], &t[1], &t[2], EPS).unwrap().0);
    let (mean, variance) = (tensor(4, &[2], DType::F64), tensor(5, &[2], DType::F64).sqr().unwrap());
    assert_gradients("inference", &inputs, |t| {
        batch_norm_inference(&t[0], &mean, &variance, &t[1], &t[2], EPS).unwrap()
    });
    // A view, and an exchange of axes behind it.
    assert_gradients("view", &inputs, |t| {
        let x = t[0].narrow(0, 1, 2).unwrap().transpose(2, 3).unwrap();
        batch_norm_training(&x, &t[1], &t[2], EPS).unwrap().0
    });
}

#[test]
fn keeps_its_bits() {
    let inputs = [var(1, &[3, 7, 40, 41], DType::F32), var(2, &[7], DType::F32), var(3, &[7], DType::F32)];
    let (mean, variance) = (tensor(4, &[7], DType::F32), tensor(5, &[7], DType::F32).sqr().unwrap());
    assert_same_bits("training", &inputs, false, |t| {
        batch_norm_training(&t[0], &t[1], &t[2], EPS).unwrap().0
    });
    assert_same_bits("inference", &inputs, true, |t| {
        batch_norm_inference(&t[0], &mean, &variance, &t[1], &t[2], EPS).unwrap()
    });
}

#[test]
fn statistics_carry_no_gradient_and_need_two_values() {
    let (x, one) = (var(1, &[1, 2, 3, 3], DType::F32), var(2, &[2], DType::F32));
    let (_, mean, variance) = batch_norm_training(&x, &one, &one, EPS).unwrap();
    assert!(!mean.track_op() && !variance.track_op());
    let single: Tensor = tensor(1, &[1, 2, 1, 1], DType::F32);
    let message = batch_norm_training(&single, &one, &one, EPS).unwrap_err().to_string();
    assert!(message.contains("at least two values a channel"), "{message}");
    let message = batch_norm_inference(&x, &one, &tensor(1, &[3], DType::F32), &one, &one, EPS)
        .unwrap_err()
        .to_string();
    assert!(message.contains("variance has shape [3], expected [2]"), "{message}");
    let none = tensor(1, &[0, 2, 4, 4], DType::F32);
    assert_eq!(batch_norm_inference(&none, &one, &one, &one, &one, EPS).unwrap().dims(), [0, 2, 4, 4]);
    assert!(batch_norm_training(&none, &one, &one, EPS).is_err());
}
