//! First weights: the published scales, reproducible, and of use.

use super::drawn::{distance, noise};
use crate::architecture::Architecture;
use crate::initialise::initialise;
use crate::{Backbone, Error};

fn deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    (values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[test]
fn scales_are_the_published_ones() {
    let scales = [
        ("efficientnet_b0", "conv_stem.weight", (2.0f64 / (9.0 * 32.0)).sqrt()),
        ("efficientnet_b0", "blocks.5.1.conv_dw.weight", (2.0f64 / 25.0).sqrt()),
        ("efficientnet_b0", "blocks.5.1.conv_pwl.weight", (2.0f64 / 192.0).sqrt()),
        ("efficientnet_b0", "blocks.5.1.se.conv_expand.weight", (2.0f64 / 1152.0).sqrt()),
        ("efficientnet_b0", "classifier.weight", (1.0f64 / 1000.0).sqrt() / 3f64.sqrt()),
        ("resnext50_32x4d", "layer2.1.conv2.weight", (2.0f64 / (9.0 * 256.0)).sqrt()),
        ("resnext50_32x4d", "fc.weight", (1.0f64 / 2048.0).sqrt() / 3f64.sqrt()),
    ];
    for (architecture, name, wanted) in scales {
        let architecture: Architecture = architecture.parse().unwrap();
        let weights = initialise(architecture, 5, 1000).unwrap();
        let values = weights[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got = deviation(&values);
        let slack = 5.0 / (2.0 * values.len() as f64).sqrt();
        assert!((got / wanted - 1.0).abs() < slack, "{name}: {got} is not {wanted}");
    }
}

#[test]
fn outputs_are_finite_and_differ_between_pictures_and_seeds() {
    for name in ["efficientnet_b0", "tf_efficientnet_b3", "resnext50_32x4d"] {
        let architecture: Architecture = name.parse().unwrap();
        let backbone = Backbone::random(architecture, 0, 20).unwrap();
        let x_bchw = noise(3, &[2, 3, 64, 96]);
        let output = backbone.forward(&x_bchw).unwrap();
        let pictures = |i| output.logits_bk.narrow(0, i, 1).unwrap();
        let apart = distance(&pictures(0), &pictures(1));
        let largest = output.logits_bk.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        println!("{name}: {apart} apart, at most {largest}");
        assert!(
            largest.is_finite() && largest > 1e-6 && apart > 0.02,
            "{name}: {apart} apart, at most {largest}"
        );

        let again = Backbone::random(architecture, 0, 20).unwrap().forward(&x_bchw).unwrap();
        assert_eq!(distance(&again.logits_bk, &output.logits_bk), 0.0);
        let other = Backbone::random(architecture, 1, 20).unwrap().forward(&x_bchw).unwrap();
        assert!(distance(&other.logits_bk, &output.logits_bk) > 0.1);
    }
    let error = Backbone::random("resnext50_32x4d".parse().unwrap(), 0, 0).unwrap_err();
    assert!(matches!(error, Error::NoClasses { .. }), "{error}");
}
