//! Whole networks beside the operations on tensors, in f64.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::image::VectorPath;
use pretrain_kernels::soft_cross_entropy;
use pretrain_training::Gradients;

use crate::architecture::Architecture;
use crate::layer::is_statistic;
use crate::learning::{Plan, Slots};
use crate::tests::drawn::{N_CLASSES, backbone, noise, weights};
use crate::training::Learner;
use crate::training_pass::{Statistics, TrainingPass};
use crate::{Flavour, weights::Weights};

/// What a step finds out: logits, gradients by name, statistics.
type Found = (Vec<f64>, BTreeMap<String, Vec<f64>>, Vec<Statistics>);

struct Case {
    architecture: Architecture,
    flavour: Flavour,
    weights: Weights,
    x_bchw: Tensor,
    targets_bk: Tensor,
}

impl Case {
    fn new(name: &str, flavour: Flavour, [batch, height, width]: [usize; 3], factors: [f64; 2]) -> Self {
        let architecture: Architecture = name.parse().unwrap();
        let targets: Vec<f32> = (0..batch * N_CLASSES).map(|at| ((at * 7 + 3) % 5) as f32 / 20.0).collect();
        Self {
            architecture,
            flavour,
            weights: weights(architecture, factors),
            x_bchw: noise(8, &[batch, 3, height, width]),
            targets_bk: Tensor::from_vec(targets, (batch, N_CLASSES), &Device::Cpu).unwrap(),
        }
    }

    fn pass(&self) -> TrainingPass {
        let drop_connect = if self.architecture.is_efficientnet() { 0.5 } else { 0.0 };
        let places = (0..self.x_bchw.dims()[0] as u64).collect();
        TrainingPass::new(11, 3, places, drop_connect, 0.3).fixing(self.fixed())
    }

    /// One normalisation in the middle keeps to its running statistics.
    fn fixed(&self) -> BTreeSet<String> {
        ["blocks.2.0.bn2", "layer2.0.bn2", "layer2.0.downsample.1"].map(str::to_owned).into()
    }

    fn exact(&self) -> Found {
        let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        let mut variables = BTreeMap::new();
        let weights = self.weights.iter().map(|(name, tensor)| {
            let variable = Var::from_tensor(&double(tensor)).unwrap();
            let tensor = variable.as_tensor().clone();
            if !is_statistic(name) {
                variables.insert(name.clone(), variable);
            }
            (name.clone(), tensor)
        });
        let backbone = backbone(self.architecture, self.flavour, &weights.collect());
        let pass = self.pass();
        let logits_bk = backbone.logits_in_training(&double(&self.x_bchw), &pass).unwrap();
        let loss = soft_cross_entropy(&logits_bk, &double(&self.targets_bk)).unwrap().sum_all().unwrap();
        let store = loss.backward().unwrap();
        let gradients = variables.iter().map(|(name, variable)| {
            let gradient = store.get(variable).unwrap();
            (name.clone(), gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap())
        });
        let logits = logits_bk.flatten_all().unwrap().to_vec1().unwrap();
        (logits, gradients.collect(), pass.into_statistics())
    }

    fn learner(&self) -> Learner {
        Learner::new(self.architecture, self.flavour, N_CLASSES, self.weights.clone(), None).unwrap()
    }

    /// Twice, so that memory of an earlier step is used again.
    fn found(&self, path: VectorPath) -> Found {
        let learner = self.learner();
        let slots = Slots::new(learner.parameters());
        let plan = learner.backbone().plan(&slots, path).unwrap().expect("kernels for all layers");
        self.step(&learner, &plan);
        self.step(&learner, &plan)
    }

    fn step(&self, learner: &Learner, plan: &Plan) -> Found {
        let pass = self.pass();
        let parameters = learner.parameters();
        let mut gradients = Gradients::zeros(parameters);
        let seen = plan.forward(&self.x_bchw, &pass).unwrap();
        let averaged_bd = pass.dropout(&seen.averaged_bd).unwrap();
        let logits_bk = learner.backbone().classifier().forward(&averaged_bd).unwrap();
        let loss = soft_cross_entropy(&logits_bk, &self.targets_bk).unwrap().sum_all().unwrap();
        plan.backward(seen, &loss, parameters, &mut gradients).unwrap();
        let found = parameters.iter().map(|parameter| {
            let values = &gradients.values()[parameter.range()];
            (parameter.name().to_owned(), values.iter().map(|x| f64::from(*x)).collect())
        });
        let logits = logits_bk.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        (logits, found.collect(), pass.into_statistics())
    }

    /// What the operations on tensors find in f32.
    fn on_tensors(&self) -> BTreeMap<String, Vec<f64>> {
        let learner = self.learner();
        let parameters = learner.parameters();
        let mut gradients = Gradients::zeros(parameters);
        let logits_bk = learner.backbone().logits_in_training(&self.x_bchw, &self.pass()).unwrap();
        let loss = soft_cross_entropy(&logits_bk, &self.targets_bk).unwrap().sum_all().unwrap();
        gradients.backward(parameters, &loss).unwrap();
        let found = parameters.iter().map(|parameter| {
            let values = &gradients.values()[parameter.range()];
            (parameter.name().to_owned(), values.iter().map(|x| f64::from(*x)).collect())
        });
        found.collect()
    }

    fn check(&self, path: VectorPath) {
        let what = format!("{} {} {path:?} of {:?}", self.architecture, self.flavour, self.x_bchw.dims());
        let ((logits, gradients, statistics), exact) = (self.found(path), self.exact());
        let mut worst = Worst::default();
        worst.see("logits", &logits, &exact.0, 0.0);
        println!("{what}: logits apart by {:.1e}", worst.apart);
        let largest = exact.1.values().flatten().fold(0.0, |most: f64, x| most.max(x.abs()));
        assert_eq!(gradients.len(), exact.1.len(), "{what}");
        for (name, gradient) in &gradients {
            worst.see(name, gradient, &exact.1[name], FLOOR * largest);
        }
        let mut tensors = Worst::default();
        for (name, gradient) in self.on_tensors() {
            tensors.see(&name, &gradient, &exact.1[&name], FLOOR * largest);
        }
        println!("{what}: on tensors {:.1e} apart ({})", tensors.apart, tensors.name);
        println!("{what}: at most {:.1e} apart ({})", worst.apart, worst.name);
        let names = |statistics: &[Statistics]| -> Vec<String> {
            statistics.iter().map(|seen| seen.layer.clone()).collect()
        };
        let mut sorted = [names(&statistics), names(&exact.2)];
        sorted.iter_mut().for_each(|names| names.sort());
        assert_eq!(sorted[0], sorted[1], "{what}");
        for seen in &statistics {
            let exact = exact.2.iter().find(|exact| exact.layer == seen.layer).unwrap();
            let doubles = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            worst.see(&seen.layer, &doubles(&seen.mean), &doubles(&exact.mean), 0.0);
            worst.see(&seen.layer, &doubles(&seen.variance), &doubles(&exact.variance), 0.0);
        }
        // where a number that is zero but for rounding falls to the other side of a rectifier's kink, the operations on
        // tensors in f32 are as far from exact
        let bound = TOLERANCE.max(4.0 * tensors.apart);
        assert!(worst.apart < bound, "{what}: {:e} apart in {}", worst.apart, worst.name);
    }
}

/// Of the largest number of a tensor. A network of some tens of layers multiplies what f32 rounds in each.
const TOLERANCE: f64 = 2e-4;
/// But at least of this share of the largest gradient of all: some are 0 but for rounding, as where a normalisation follows a
/// bias.
const FLOOR: f64 = 0.01;

#[derive(Default)]
struct Worst {
    apart: f64,
    name: String,
}

impl Worst {
    fn see(&mut self, name: &str, got: &[f64], exact: &[f64], floor: f64) {
        assert_eq!(got.len(), exact.len(), "{name}");
        let largest = exact.iter().fold(floor, |most, x| most.max(x.abs()));
        for (got, exact) in got.iter().zip(exact) {
            let apart = (got - exact).abs() / largest;
            if apart > self.apart || apart.is_nan() {
                (self.apart, self.name) = (apart, name.to_owned());
            }
        }
    }
}

fn paths() -> Vec<VectorPath> {
    let all = [VectorPath::Avx512, VectorPath::Avx2, VectorPath::Portable];
    all.into_iter().filter(|path| path.is_available()).collect()
}

#[test]
fn efficientnets_learn_as_on_tensors() {
    for case in [
        Case::new("efficientnet_half", Flavour::Timm, [4, 65, 50], [0.8, 1.4]),
        Case::new("efficientnet_half", Flavour::Tf, [4, 66, 51], [0.8, 1.4]),
    ] {
        paths().into_iter().for_each(|path| case.check(path));
    }
    // a first stage that adds what it reads, twice over; other widths
    Case::new("efficientnet_half+w0.5+d2", Flavour::Timm, [3, 47, 64], [0.8, 1.4]).check(VectorPath::here());
    Case::new("efficientnet_b0", Flavour::Tf, [2, 64, 96], [0.8, 1.4]).check(VectorPath::here());
}

#[test]
fn resnexts_learn_as_on_tensors() {
    let case = Case::new("resnext26_16x4d", Flavour::Timm, [4, 65, 50], [0.3, 1.1]);
    paths().into_iter().for_each(|path| case.check(path));
    for (name, sizes) in [
        ("resnext26_16x4d+noshortcut", [3, 64, 64]),
        ("resnext26_16x4d+w2", [3, 40, 64]),
        ("resnext29_8x64d+w0.25", [4, 32, 29]),
        ("resnext29_8x64d+w0.25", [2, 29, 32]),
        ("resnet50+w0.25", [3, 64, 64]),
    ] {
        Case::new(name, Flavour::Timm, sizes, [0.3, 1.1]).check(VectorPath::here());
    }
}

/// Sums are cut by sizes alone.
#[test]
fn bits_do_not_depend_on_threads() {
    for name in ["efficientnet_half", "resnext26_16x4d"] {
        let case = Case::new(name, Flavour::Timm, [5, 48, 64], [0.6, 1.2]);
        let found = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.found(VectorPath::here()))
        });
        assert!(found[0] == found[1] && found[1] == found[2], "{name}");
    }
}
