//! Training mode against PyTorch and timm: `golden/training/generate.py`.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use pretrain_comm::Solo;
use pretrain_kernels::soft_cross_entropy;
use pretrain_training::optimiser::{AdamW, RmsPropTf, Rule, Sgd};
use pretrain_training::{Gradients, Group, Optimiser};
use serde_json::Value;

use super::super::learner::Learner;
use super::super::targets::smoothed;
use crate::architecture::Architecture;
use crate::flavour::Flavour;
use crate::layer::is_statistic;
use crate::tests::drawn::{N_CLASSES, backbone, noise, weights};
use crate::training_pass::TrainingPass;
use crate::weights::Weights;

const SEED: u64 = 11;
const LABELS: [usize; 4] = [3, 1, 4, 1];
const TOLERANCE: f64 = 1e-4;
/// Of changes on maps: their sigmoid is off by 7.5e-8 of itself, and AdamW divides what small gradients are off by by little.
const ON_MAPS: f64 = 5e-4;

struct Case {
    golden: Value,
    architecture: Architecture,
    flavour: Flavour,
    weights: Weights,
    x_bchw: Tensor,
    targets_bk: Tensor,
}

fn case(file: &str, name: &str, flavour: Flavour, size: [usize; 2], factors: [f64; 2]) -> Case {
    let path = format!("{}/golden/training/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let architecture: Architecture = name.parse().unwrap();
    let targets = smoothed(&LABELS, N_CLASSES, 0.1);
    Case {
        golden,
        architecture,
        flavour,
        weights: weights(architecture, factors),
        x_bchw: noise(8, &[4, 3, size[0], size[1]]),
        targets_bk: Tensor::from_vec(targets, (4, N_CLASSES), &Device::Cpu).unwrap(),
    }
}

fn efficientnet() -> Case {
    case("efficientnet_half", "efficientnet_half", Flavour::Timm, [65, 50], [0.8, 1.4])
}

fn tf_efficientnet() -> Case {
    case("tf_efficientnet_half", "efficientnet_half", Flavour::Tf, [66, 51], [0.8, 1.4])
}

fn resnext() -> Case {
    case("resnext26_16x4d", "resnext26_16x4d", Flavour::Timm, [65, 50], [0.3, 1.1])
}

/// Root mean square, and the first, middle and last number.
fn brief(tensor: &Tensor) -> [f64; 4] {
    let values: Vec<f64> = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
    let rms = (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt();
    [rms, values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Where a normalisation follows, a bias changes nothing: its gradient is 0 but for rounding, and no share of it means
/// anything. So differences are shares of a tensor's root mean square, but at least of this share of the largest one.
const FLOOR: f64 = 0.01;

impl Case {
    fn pass(&self, step: u64) -> TrainingPass {
        let drop_connect = if self.architecture.is_efficientnet() { 0.5 } else { 0.0 };
        TrainingPass::new(SEED, step, vec![0, 1, 2, 3], drop_connect, 0.3)
    }

    /// Every tensor within the tolerance, and what `slack` allows it besides.
    fn compare(
        &self,
        what: &str,
        got: &BTreeMap<String, Tensor>,
        golden: &Value,
        tolerance: f64,
        slack: impl Fn(&str) -> f64,
    ) {
        let golden = golden.as_object().unwrap();
        assert_eq!(got.len(), golden.len(), "{what}");
        let largest = golden.values().map(|tensor| numbers(tensor)[0]).fold(0.0, f64::max);
        let mut worst = (0f64, "");
        for (name, tensor) in got {
            let golden = numbers(&golden[name.as_str()]);
            let differences = brief(tensor).into_iter().zip(&golden).map(|(a, b)| (a - b).abs());
            let difference = (differences.fold(0.0, f64::max) - slack(name)).max(0.0);
            let far = difference / golden[0].max(FLOOR * largest);
            if far > worst.0 {
                worst = (far, name);
            }
        }
        println!(
            "{} {}: {what}: at most {:.1e} apart ({})",
            self.architecture, self.flavour, worst.0, worst.1
        );
        assert!(worst.0 < tolerance, "{what}: {worst:?}");
    }

    /// Loss, gradients, and statistics of one pass, in f64.
    fn gradients_and_statistics(&self) {
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
        let pass = self.pass(0);
        let logits_bk = backbone.logits_in_training(&double(&self.x_bchw), &pass).unwrap();
        let loss = soft_cross_entropy(&logits_bk, &double(&self.targets_bk)).unwrap().mean_all().unwrap();
        let wanted = self.golden["loss"].as_f64().unwrap();
        // targets are f32
        assert!((loss.to_scalar::<f64>().unwrap() / wanted - 1.0).abs() < 1e-6);
        let store = loss.backward().unwrap();
        let gradients = variables.iter().map(|(name, variable)| {
            let gradient = store.get(variable).unwrap_or_else(|| panic!("{name} has no gradient"));
            (name.clone(), gradient.clone())
        });
        self.compare("gradients", &gradients.collect(), &self.golden["gradients"], TOLERANCE, |_| 0.0);

        let learner = self.learner();
        let pass = self.pass(0);
        learner.backbone().logits_in_training(&self.x_bchw, &pass).unwrap();
        let mut seen = learner.nothing_seen();
        learner.see(&mut seen, &pass.into_statistics(), 4);
        learner.move_statistics(seen, 4.0, &Solo).unwrap();
        self.compare("statistics", &statistics(&learner), &self.golden["statistics"], TOLERANCE, |_| 0.0);
    }

    fn learner(&self) -> Learner {
        Learner::new(self.architecture, self.flavour, N_CLASSES, self.weights.clone(), None).unwrap()
    }

    /// What a run does, three times, with each optimiser, in f32: on maps or on tensors.
    ///
    /// ResNeXt's on maps are not compared: sums in another order put numbers that are nearly zero on the other side of a
    /// rectifier, and after three updates of AdamW a bias of its first stage is 3 % of the largest away. Its gradients are
    /// compared one step at a time, in the tests of `learning`.
    fn three_updates(&self, on_maps: bool) {
        let rules = [
            ("adamw", Rule::AdamW(AdamW { epsilon: 1e-3, ..AdamW::default() }), 2e-4, 0.05),
            ("sgd", Rule::Sgd(Sgd::default()), 2e-3, 1e-3),
            ("rmsprop_tf", Rule::RmsPropTf(RmsPropTf::default()), 3e-4, 1e-3),
        ];
        for (name, rule, rate, weight_decay) in rules {
            let golden = &self.golden["after"][name];
            let learner = self.learner();
            let parameters = learner.parameters();
            let mut optimiser =
                Optimiser::new(rule, parameters, |_| Group { weight_decay, rate_factor: 1.0 });
            for step in 0..3 {
                let pass = self.pass(step);
                let forward = on_maps.then(|| learner.forward(&self.x_bchw, &pass).unwrap());
                let logits_bk = match &forward {
                    Some(forward) => forward.logits_bk.clone(),
                    None => learner.backbone().logits_in_training(&self.x_bchw, &pass).unwrap(),
                };
                let sum = soft_cross_entropy(&logits_bk, &self.targets_bk).unwrap().sum_all().unwrap();
                let loss = f64::from(sum.to_scalar::<f32>().unwrap()) / 4.0;
                let wanted = golden["losses"][step as usize].as_f64().unwrap();
                assert!(
                    (loss / wanted - 1.0).abs() < TOLERANCE,
                    "{name}, step {step}: {loss} is not {wanted}"
                );
                let mut gradients = Gradients::zeros(parameters);
                match forward {
                    Some(forward) => forward.backward(&sum, &mut gradients).unwrap(),
                    None => gradients.add(parameters, &sum.backward().unwrap()).unwrap(),
                }
                gradients.scale(0.25);
                optimiser.step(parameters, &gradients, rate).unwrap();
                let mut seen = learner.nothing_seen();
                learner.see(&mut seen, &pass.into_statistics(), 4);
                learner.move_statistics(seen, 4.0, &Solo).unwrap();
            }
            let changes = parameters.iter().map(|parameter| {
                let change = (parameter.tensor() - &self.weights[parameter.name()]).unwrap();
                (parameter.name().to_owned(), change)
            });
            // a parameter is rounded to f32 twice in each update, which is seen where it hardly moves
            let roundings = |name: &str| {
                let largest = self.weights[name].abs().unwrap().max_all().unwrap();
                6.0 * 2f64.powi(-24) * f64::from(largest.to_scalar::<f32>().unwrap())
            };
            let tolerance = if on_maps { ON_MAPS } else { TOLERANCE };
            let (changes, changed) = (changes.collect(), &golden["changes"]);
            self.compare(&format!("changes by {name}"), &changes, changed, tolerance, roundings);
            let (seen, wanted) = (statistics(&learner), &golden["statistics"]);
            self.compare(&format!("statistics by {name}"), &seen, wanted, tolerance, |_| 0.0);
        }
    }
}

fn statistics(learner: &Learner) -> BTreeMap<String, Tensor> {
    learner.weights().into_iter().filter(|(name, _)| is_statistic(name)).collect()
}

#[test]
fn gradients_and_statistics_of_efficientnet_are_torchs() {
    efficientnet().gradients_and_statistics();
    tf_efficientnet().gradients_and_statistics();
}

#[test]
fn gradients_and_statistics_of_resnext_are_torchs() {
    resnext().gradients_and_statistics();
}

#[test]
fn three_updates_of_efficientnet_are_torchs() {
    for on_maps in [true, false] {
        efficientnet().three_updates(on_maps);
        tf_efficientnet().three_updates(on_maps);
    }
}

#[test]
fn three_updates_of_resnext_are_torchs() {
    resnext().three_updates(false);
}

/// Gradients against differences of the loss, in directions drawn for each tensor: nothing of PyTorch's is trusted.
#[test]
fn gradients_are_those_of_finite_differences() {
    let case = efficientnet();
    let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
    let weights: Weights = case.weights.iter().map(|(name, tensor)| (name.clone(), double(tensor))).collect();
    let loss = |weights: &Weights| {
        let backbone = backbone(case.architecture, case.flavour, weights);
        let logits_bk = backbone.logits_in_training(&double(&case.x_bchw), &case.pass(0)).unwrap();
        soft_cross_entropy(&logits_bk, &double(&case.targets_bk)).unwrap().sum_all().unwrap()
    };
    let variables: BTreeMap<String, Var> =
        weights.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect();
    let tracked = variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
    let store = loss(&tracked.collect()).backward().unwrap();
    for name in [
        "conv_stem.weight",
        "blocks.0.0.conv_dw.weight",
        "blocks.2.0.se.conv_reduce.bias",
        "blocks.4.1.bn2.weight",
        "bn2.bias",
        "classifier.weight",
    ] {
        let direction = double(&noise(33, weights[name].dims()));
        let slope = (store.get(&variables[name]).unwrap() * &direction).unwrap().sum_all().unwrap();
        let moved = |by: f64| {
            let mut weights = weights.clone();
            weights.insert(name.to_owned(), (&weights[name] + (&direction * by).unwrap()).unwrap());
            loss(&weights).to_scalar::<f64>().unwrap()
        };
        let step = 1e-5;
        let difference = (moved(step) - moved(-step)) / (2.0 * step);
        let slope = slope.to_scalar::<f64>().unwrap();
        assert!(
            (slope - difference).abs() <= 1e-5 * difference.abs().max(0.1),
            "{name}: {slope}, by differences {difference}"
        );
    }
}
