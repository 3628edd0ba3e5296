//! The three forms of an aggregated block are one function. Paper: 1611.05431, figure 3.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pretrain_kernels::{ConvGeometry, Padding, batch_norm_inference, conv2d, relu};
use pretrain_training::{Generator, Stream};

use super::description;
use super::network::Block;
use crate::flavour::Numerics;
use crate::modules::{Mode, PaddingRule};
use crate::weights::{Modules, Weights};

const CARDINALITY: usize = 8;
const BRANCH: usize = 3;
const WIDTH: usize = CARDINALITY * BRANCH;
const OUTPUT: usize = 20;
const EPSILON: f64 = 1e-5;

fn weights() -> Weights {
    let mut weights = BTreeMap::new();
    let mut insert = |name: &str, shape: &[usize], low: f64, high: f64| {
        let generator = Generator::new(3, Stream::Weights, weights.len() as u32);
        let n = shape.iter().product::<usize>() as u64;
        let values: Vec<f32> = (0..n).map(|i| generator.uniform(i, low, high) as f32).collect();
        weights.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    insert("b.conv1.weight", &[WIDTH, OUTPUT, 1, 1], -0.4, 0.4);
    insert("b.conv2.weight", &[WIDTH, BRANCH, 3, 3], -0.4, 0.4);
    insert("b.conv3.weight", &[OUTPUT, WIDTH, 1, 1], -0.4, 0.4);
    for (norm, width) in [("b.bn1", WIDTH), ("b.bn2", WIDTH), ("b.bn3", OUTPUT)] {
        insert(&format!("{norm}.weight"), &[width], 0.5, 1.5);
        insert(&format!("{norm}.bias"), &[width], -0.5, 0.5);
        insert(&format!("{norm}.running_mean"), &[width], -0.5, 0.5);
        insert(&format!("{norm}.running_var"), &[width], 0.5, 1.5);
    }
    insert("x", &[2, OUTPUT, 7, 9], -1.0, 1.0);
    weights
}

/// Branch `i`: 1 x 1, 3 x 3, each with its own slice of normalisation.
fn branch(weights: &Weights, i: usize) -> Tensor {
    let rows = |name: &str| weights[name].narrow(0, i * BRANCH, BRANCH).unwrap();
    let normed = |x: &Tensor, norm: &str| {
        let part = |part: &str| rows(&format!("b.{norm}.{part}"));
        let (mean, variance) = (part("running_mean"), part("running_var"));
        relu(&batch_norm_inference(x, &mean, &variance, &part("weight"), &part("bias"), EPSILON).unwrap())
            .unwrap()
    };
    let around = ConvGeometry { padding: Padding::symmetric(1), ..ConvGeometry::default() };
    let x = conv2d(&weights["x"], &rows("b.conv1.weight"), None, &ConvGeometry::default()).unwrap();
    let x = conv2d(&normed(&x, "bn1"), &rows("b.conv2.weight"), None, &around).unwrap();
    normed(&x, "bn2")
}

/// Normalisation after the sum of the branches, the shortcut, and the activation.
fn finish(weights: &Weights, sum: &Tensor) -> Tensor {
    let part = |part: &str| &weights[&format!("b.bn3.{part}")];
    let (mean, variance) = (part("running_mean"), part("running_var"));
    let y = batch_norm_inference(sum, mean, variance, part("weight"), part("bias"), EPSILON).unwrap();
    relu(&(y + &weights["x"]).unwrap()).unwrap()
}

#[test]
fn three_forms_of_a_block_are_equal() {
    let weights = weights();
    let plain = ConvGeometry::default();
    let columns = |i: usize| weights["b.conv3.weight"].narrow(1, i * BRANCH, BRANCH).unwrap();

    let summed = (0..CARDINALITY)
        .map(|i| conv2d(&branch(&weights, i), &columns(i), None, &plain).unwrap())
        .reduce(|sum, x| (sum + x).unwrap())
        .unwrap();
    let a = finish(&weights, &summed);

    let branches: Vec<Tensor> = (0..CARDINALITY).map(|i| branch(&weights, i)).collect();
    let joined = Tensor::cat(&branches, 1).unwrap();
    let b = finish(&weights, &conv2d(&joined, &weights["b.conv3.weight"], None, &plain).unwrap());

    let modules = Modules {
        weights: &weights,
        numerics: Numerics { padding: PaddingRule::Symmetric, epsilon: EPSILON, momentum: 0.1 },
    };
    let block =
        description::Block { name: "b".into(), width: WIDTH, output: OUTPUT, stride: 1, projects: false };
    let c =
        Block::new(&modules, &block, CARDINALITY).unwrap().forward(&weights["x"], Mode::Inference).unwrap();

    let apart = |x: &Tensor| (x - &c).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(apart(&a) <= 1e-5 && apart(&b) <= 1e-5, "{} {}", apart(&a), apart(&b));
    assert!(c.max_all().unwrap().to_scalar::<f32>().unwrap() > 1.0);
}

/// Paper: 1611.05431, table 2: about 70 thousand weights a block, whatever the cardinality.
#[test]
fn blocks_of_equal_cost() {
    for (cardinality, group_width, weights) in
        [(1, 64, 69_632), (2, 40, 69_760), (4, 24, 69_888), (8, 14, 71_456), (32, 4, 70_144)]
    {
        let description =
            description::Description { blocks: [3, 4, 6, 3], cardinality, group_width, planes: 64 };
        let layers = description.layers([224, 224], 1000);
        let convs = layers.iter().filter(|layer| layer.name.starts_with("layer1.1.conv"));
        assert_eq!(convs.map(crate::layer::Layer::params).sum::<u64>(), weights);
    }
}
