//! One function in three forms: outputs and gradients, in f64.

use candle_core::{Device, Tensor, Var};
use pretrain_kernels::{ConvGeometry, Padding, batch_norm_inference, batch_norm_training, conv2d, relu};
use pretrain_training::{Generator, Stream};

use super::*;
use crate::flavour::Numerics;
use crate::layer::is_statistic;
use crate::modules::{Mode, PaddingRule};
use crate::resnext::description;
use crate::resnext::network::Block;
use crate::training_pass::TrainingPass;
use crate::weights::{Modules, Weights};

const CARDINALITY: usize = 4;
const BRANCH: usize = 3;
const WIDTH: usize = CARDINALITY * BRANCH;
const INPUT: usize = 10;
const EPSILON: f64 = 1e-5;
const BLOCK: &str = "layer2.0";

fn drawn(number: u32, shape: &[usize], low: f64, high: f64) -> Tensor {
    let generator = Generator::new(3, Stream::Weights, number);
    let n = shape.iter().product::<usize>() as u64;
    let values: Vec<f64> = (0..n).map(|i| generator.uniform(i, low, high)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A block's tensors; where it `projects`, the shape changes.
fn grouped(output: usize, projects: bool) -> Weights {
    let mut weights = BTreeMap::new();
    let mut insert = |name: &str, shape: &[usize], low: f64, high: f64| {
        let tensor = drawn(weights.len() as u32, shape, low, high);
        weights.insert(format!("{BLOCK}.{name}"), tensor);
    };
    insert("conv1.weight", &[WIDTH, INPUT, 1, 1], -0.4, 0.4);
    insert("conv2.weight", &[WIDTH, BRANCH, 3, 3], -0.4, 0.4);
    insert("conv3.weight", &[output, WIDTH, 1, 1], -0.4, 0.4);
    let mut norms = vec![("bn1", WIDTH), ("bn2", WIDTH), ("bn3", output)];
    if projects {
        insert("downsample.0.weight", &[output, INPUT, 1, 1], -0.4, 0.4);
        norms.push(("downsample.1", output));
    }
    for (norm, width) in norms {
        insert(&format!("{norm}.weight"), &[width], 0.5, 1.5);
        insert(&format!("{norm}.bias"), &[width], -0.5, 0.5);
        insert(&format!("{norm}.running_mean"), &[width], -0.5, 0.5);
        insert(&format!("{norm}.running_var"), &[width], 0.5, 1.5);
    }
    weights
}

/// The paper's figure, literally: forms (a) and (b) by branches.
struct ByBranches<'w> {
    form: Form,
    weights: &'w Weights,
    stride: usize,
    in_training: bool,
}

impl ByBranches<'_> {
    fn conv(&self, x: &Tensor, name: &str, stride: usize) -> Tensor {
        let weight = &self.weights[&format!("{BLOCK}.{name}.weight")];
        let padding = Padding::symmetric(weight.dims()[2] / 2);
        let geometry = ConvGeometry { stride: [stride; 2], padding, ..ConvGeometry::default() };
        conv2d(x, weight, None, &geometry).unwrap()
    }

    fn norm(&self, x: &Tensor, name: &str) -> Tensor {
        let part = |part: &str| &self.weights[&format!("{BLOCK}.{name}.{part}")];
        if self.in_training {
            return batch_norm_training(x, part("weight"), part("bias"), EPSILON).unwrap().0;
        }
        let (mean, variance) = (part("running_mean"), part("running_var"));
        batch_norm_inference(x, mean, variance, part("weight"), part("bias"), EPSILON).unwrap()
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let branches = (0..CARDINALITY).map(|n| {
            let name = |part: &str| format!("branch{n}.{part}");
            let y = relu(&self.norm(&self.conv(x, &name("conv1"), 1), &name("bn1"))).unwrap();
            let y = relu(&self.norm(&self.conv(&y, &name("conv2"), self.stride), &name("bn2"))).unwrap();
            if self.form == Form::Summed { self.conv(&y, &name("conv3"), 1) } else { y }
        });
        let branches: Vec<Tensor> = branches.collect();
        let sum = match self.form {
            Form::Summed => branches.into_iter().reduce(|sum, y| (sum + y).unwrap()).unwrap(),
            Form::Joined => self.conv(&Tensor::cat(&branches, 1).unwrap(), "conv3", 1),
            Form::Grouped => panic!("the network computes it"),
        };
        let shortcut = if self.weights.contains_key(&format!("{BLOCK}.downsample.0.weight")) {
            self.norm(&self.conv(x, "downsample.0", self.stride), "downsample.1")
        } else {
            x.clone()
        };
        relu(&(self.norm(&sum, "bn3") + shortcut).unwrap()).unwrap()
    }
}

/// Tensors that gradients are kept for.
fn variables(weights: &Weights) -> Weights {
    let pairs = weights.iter().map(|(name, tensor)| {
        let variable = Var::from_tensor(&tensor.contiguous().unwrap()).unwrap();
        (name.clone(), variable.as_tensor().clone())
    });
    pairs.collect()
}

/// The output, and the gradients of its product with fixed numbers: by name, and of the input.
fn with_gradients(
    weights: &Weights,
    x: &Tensor,
    forward: impl Fn(&Tensor) -> Tensor,
) -> (Tensor, BTreeMap<String, Tensor>) {
    let y = forward(x);
    let factors = drawn(99, y.dims(), -1.0, 1.0);
    let gradients = (&y * factors).unwrap().sum_all().unwrap().backward().unwrap();
    let trained = weights.iter().filter(|(name, _)| !is_statistic(name));
    let mut found: BTreeMap<String, Tensor> = trained
        .map(|(name, tensor)| {
            let gradient = gradients.get(tensor).unwrap_or_else(|| panic!("{name} has no gradient"));
            (name.clone(), gradient.clone())
        })
        .collect();
    found.insert("x".to_owned(), gradients.get(x).unwrap().clone());
    (y, found)
}

/// The largest difference, beside the largest number.
fn apart(got: &Tensor, wanted: &Tensor) -> (f64, f64) {
    assert_eq!(got.dims(), wanted.dims());
    let most = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
    (most((got - wanted).unwrap()), most(wanted.clone()))
}

#[test]
fn outputs_and_gradients_of_the_forms_are_equal() {
    for (output, projects, stride) in [(INPUT, false, 1), (16, true, 1), (16, true, 2)] {
        let weights = variables(&grouped(output, projects));
        let x = Var::from_tensor(&drawn(50, &[3, INPUT, 7, 8], -1.0, 1.0)).unwrap();
        let modules = Modules {
            weights: &weights,
            numerics: Numerics { padding: PaddingRule::Symmetric, epsilon: EPSILON, momentum: 0.1 },
        };
        let shape = description::Block {
            name: BLOCK.into(),
            width: WIDTH,
            output,
            stride,
            is_residual: true,
            projects,
        };
        let block = Block::new(&modules, &shape, CARDINALITY).unwrap();
        for in_training in [false, true] {
            let by_network = |x: &Tensor| {
                let pass = TrainingPass::new(0, 0, vec![0, 1, 2], 0.0, 0.0);
                let mode = if in_training { Mode::Training(&pass) } else { Mode::Inference };
                block.forward(x, mode).unwrap()
            };
            let (y, wanted) = with_gradients(&weights, x.as_tensor(), by_network);
            assert!(apart(&y, &y).1 > 1.0, "the output is small");
            for form in [Form::Summed, Form::Joined] {
                let rewritten = variables(&form.rewrite(&weights, CARDINALITY).unwrap());
                let branches = ByBranches { form, weights: &rewritten, stride, in_training };
                let (theirs, gradients) = with_gradients(&rewritten, x.as_tensor(), |x| branches.forward(x));
                let (difference, _) = apart(&theirs, &y);
                assert!(difference < 1e-12, "{form:?} {projects} {stride}: {difference}");
                let gradients = Form::Grouped.rewrite(&gradients, CARDINALITY).unwrap();
                assert!(gradients.keys().eq(wanted.keys()), "{:?}", gradients.keys());
                for (name, gradient) in &gradients {
                    let (difference, most) = apart(gradient, &wanted[name]);
                    let case = format!("{form:?} {projects} {stride} {in_training}: {name}");
                    assert!(most > 1e-3, "{case}: the gradient is {most}");
                    assert!(difference < 1e-11 * most.max(1.0), "{case}: {difference} of {most}");
                }
            }
        }
    }
}

/// A whole network there and back, by every way.
#[test]
fn rewriting_loses_nothing() {
    let architecture: crate::Architecture = "resnext26_16x4d".parse().unwrap();
    let weights = crate::tests::drawn::weights(architecture, [0.8, 1.2]);
    let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut before = weights.clone();
    for form in [Form::Joined, Form::Summed, Form::Joined, Form::Grouped, Form::Summed, Form::Grouped] {
        before = form.rewrite(&before, 16).unwrap();
        let branches = before.keys().filter(|name| name.contains("branch")).count();
        // of the 8 blocks' 11 tensors that are cut, `conv3` stays whole in form (b)
        let cut = match form {
            Form::Summed => 8 * 11 * 16,
            Form::Joined => 8 * 10 * 16,
            Form::Grouped => 0,
        };
        assert_eq!(branches, cut, "{form:?}");
    }
    assert!(before.keys().eq(weights.keys()));
    for (name, tensor) in &weights {
        assert_eq!(before[name].dims(), tensor.dims(), "{name}");
        assert_eq!(numbers(&before[name]), numbers(tensor), "{name}");
    }
    let summed = Form::Summed.rewrite(&weights, 16).unwrap();
    assert_eq!(summed["layer1.0.branch3.conv1.weight"].dims(), [4, 64, 1, 1]);
    assert_eq!(summed["layer1.0.branch3.conv2.weight"].dims(), [4, 4, 3, 3]);
    assert_eq!(summed["layer1.0.branch3.conv3.weight"].dims(), [128, 4, 1, 1]);
    assert_eq!(summed["conv1.weight"].dims(), [64, 3, 7, 7]);

    let error = Form::Summed.rewrite(&weights, 7).unwrap_err().to_string();
    assert!(error.contains("7 branches"), "{error}");
    let mut torn = summed;
    torn.remove("layer3.1.branch15.bn2.bias");
    let error = Form::Grouped.rewrite(&torn, 16).unwrap_err().to_string();
    assert!(error.contains("layer3.1.branch15.bn2.bias"), "{error}");
}

/// Paper: 1611.05431, table 2: about 70 thousand weights a block, whatever the cardinality.
#[test]
fn blocks_of_equal_cost() {
    for (name, weights) in [
        ("resnet50", 69_632),
        ("resnext50_2x40d", 69_760),
        ("resnext50_4x24d", 69_888),
        ("resnext50_8x14d", 71_456),
        ("resnext50_32x4d", 70_144),
    ] {
        let architecture: crate::Architecture = name.parse().unwrap();
        let layers = architecture.layers([224, 224], 1000);
        let convs = layers.iter().filter(|layer| layer.name.starts_with("layer1.1.conv"));
        assert_eq!(convs.map(crate::layer::Layer::params).sum::<u64>(), weights, "{name}");
    }
}
