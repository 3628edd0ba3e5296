//! The inputs of `golden/detector/generate.py`, made anew, and what it recorded; in all tests of detectors.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::detector::filters::{Filter, Reporting};
use crate::detector::settings::{
    Attributes, BoxRule, Boxes, Channels, DetectorSettings, Input, Proposals, Regions,
};
use crate::detector::tensors::{self, Names};
use crate::detector::{Anchors, Convention};

pub(crate) const CLASSES: usize = 5;
pub(crate) const ATTRIBUTES: usize = 4;

/// Numbers in [-1, 1): murmur's finaliser of the place.
pub(crate) fn hashed(stream: u64, count: usize) -> Vec<f64> {
    let at = |index: u64| {
        let mut x = (index + stream * 0x9E37_79B9) as u32;
        x = (x ^ x >> 16).wrapping_mul(0x85EB_CA6B);
        x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        f64::from(x) / f64::from(1u32 << 31) - 1.0
    };
    (0..count as u64).map(at).collect()
}

/// As [`hashed`], rounded.
pub(crate) fn drawn(stream: u64, count: usize) -> Vec<f32> {
    hashed(stream, count).into_iter().map(|value| value as f32).collect()
}

pub(crate) fn boxes(stream: u64, count: usize, [width, height]: [f64; 2]) -> Vec<[f32; 4]> {
    let values = drawn(stream, 4 * count);
    let one = |four: &[f32; 4]| {
        let [a, b, c, d] = four.map(f64::from);
        let (x, y) = ((a * 0.6 + 0.5) * width, (b * 0.6 + 0.5) * height);
        let (w, h) = ((c.abs() * 0.6 + 0.002) * width, (d.abs() * 0.6 + 0.002) * height);
        [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0].map(|corner| corner as f32)
    };
    values.as_chunks::<4>().0.iter().map(one).collect()
}

pub(crate) fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/detector").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// All numbers of nested lists.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

pub(crate) fn flat(boxes: &[[f32; 4]]) -> Vec<f64> {
    boxes.as_flattened().iter().map(|corner| f64::from(*corner)).collect()
}

/// Each number within `tolerance` of the largest, or of itself where that is more.
pub(crate) fn assert_near(what: &str, got: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let largest = wanted.iter().map(|x| x.abs()).fold(0.0, f64::max);
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!(
            (got - wanted).abs() <= tolerance * largest.max(1e-12),
            "{what}[{i}]: {got}, recorded {wanted}"
        );
    }
}

pub(crate) fn settings() -> DetectorSettings {
    DetectorSettings {
        architecture: "resnext26_16x4d+w0.25+d0.5".to_owned(),
        epsilon: None,
        convention: Convention::Plain,
        input: Input {
            short: 96,
            long_at_most: 128,
            channels: Channels::Rgb,
            white: 1.0,
            mean: [0.5; 3],
            deviation: [0.25; 3],
        },
        anchors: Anchors { sizes: vec![24.0, 48.0], ratios: vec![0.5, 1.0, 2.0] },
        proposals: Proposals { hidden: 128, before: 50, after: 20, overlap: 0.7, side_at_least: 0.001 },
        regions: Regions { bins: 6, samples: 2, aligned: false },
        boxes: Boxes { weights: [10.0, 10.0, 5.0, 5.0], shared: false, report: BoxRule::Regressed },
        report: Reporting { filter: Filter::PerClass, overlap: 0.5, score: 0.12, at_least: 0, at_most: 24 },
        attributes: Some(Attributes { embedding: 8, hidden: 16, score: 0.0, at_most: 16 }),
    }
}

pub(crate) fn names() -> [Vec<String>; 2] {
    let numbered = |what: &str, n: usize| (0..n).map(|i| format!("{what} {i}")).collect();
    [numbered("class", CLASSES), numbered("attribute", ATTRIBUTES)]
}

/// The weights of the recorded network.
pub(crate) fn weights() -> BTreeMap<String, Tensor> {
    let architecture = settings().validate().unwrap();
    let mut all = tensors::all(&settings(), architecture, Names { classes: CLASSES, attributes: ATTRIBUTES });
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let smaller = [("bbox_pred", 0.25), ("cls_score", 0.03125), ("fc_attr", 0.25), ("attr_score", 0.5)];
    let tensor = |(stream, tensor): (u64, tensors::Described)| {
        let (name, shape) = (tensor.name, tensor.shape);
        let values = drawn(100 + stream, shape.iter().product()).into_iter().map(f64::from);
        let is_norm = name.contains("bn") || name.contains("downsample.1");
        let factor = smaller.iter().find(|(layer, _)| name.ends_with(&format!("{layer}.weight")));
        let factor = factor.map_or(1.0, |(_, factor)| *factor);
        let spread = f64::from((6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32);
        let value = |v: f64| {
            if name.ends_with("running_var") {
                1.0 + 0.5 * v
            } else if shape.len() == 1 {
                0.1 * v + if is_norm && name.ends_with("weight") { 1.0 } else { 0.0 }
            } else {
                v * spread * factor
            }
        };
        let values: Vec<f32> = values.map(|v| value(v) as f32).collect();
        (name.clone(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    (0..).zip(all).map(tensor).collect()
}
