//! Heads, losses and all gradients against PyTorch.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use pretrain::Example;
use pretrain::model::{ModelConfig, Pass, Tensors};
use pretrain_training::{Gradients, Parameters};
use serde_json::Value;

use super::*;

const CASES: [&str; 5] = ["linear-bce", "linear-ce", "mlp-kl", "pair-mlp-norm-ce", "pair-mlp-ce"];

struct Case {
    config: ModelConfig,
    head: Head,
    loss: f64,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    fn read(name: &str) -> Self {
        let path =
            |end: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.{end}"));
        let json: Value = serde_json::from_str(&std::fs::read_to_string(path("json")).unwrap()).unwrap();
        let tensors = candle_core::safetensors::load(path("safetensors"), &Device::Cpu).unwrap();
        Self {
            config: serde_json::from_value(json["config"].clone()).unwrap(),
            head: Head {
                settings: serde_json::from_value(json["head"].clone()).unwrap(),
                n_labels: json["n_labels"].as_u64().unwrap() as usize,
                n_sequences: json["n_sequences"].as_u64().unwrap() as usize,
            },
            loss: json["loss"].as_f64().unwrap(),
            tensors: tensors.into_iter().collect(),
        }
    }

    fn weights(&self) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter();
        named.filter_map(|(name, it)| Some((name.strip_prefix("weights.")?.to_owned(), it.clone()))).collect()
    }

    fn sequences(&self) -> Vec<Example> {
        let unsigned = |name: &str| {
            let rows = self.tensors[name].to_vec2::<i64>().unwrap();
            rows.into_iter()
                .map(|row| row.into_iter().map(|id| id as u32).collect())
                .collect::<Vec<Vec<u32>>>()
        };
        let regions = self.tensors["in.regions"].to_vec3::<f32>().unwrap();
        let all = unsigned("in.ids").into_iter().zip(unsigned("in.segments")).zip(regions).enumerate();
        all.map(|(place, ((token_ids, segment_ids), regions))| Example {
            token_labels: Vec::new(),
            contrastive_label: -1,
            n_regions: regions.len(),
            regions: regions.into_iter().flatten().collect(),
            token_ids,
            segment_ids,
            place: place as u32,
        })
        .collect()
    }

    fn targets(&self) -> Vec<Vec<(u32, f32)>> {
        let rows = self.tensors["in.targets"].to_vec2::<f32>().unwrap();
        let sparse = |row: Vec<f32>| (0..).zip(row).filter(|(_, weight)| *weight > 0.0).collect();
        rows.into_iter().map(sparse).collect()
    }
}

fn apart(a: &Tensor, b: &Tensor) -> [f32; 2] {
    assert_eq!(a.dims(), b.dims());
    let largest = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    [largest(&(a - b).unwrap()), largest(b)]
}

#[test]
fn logits_losses_and_all_gradients_are_torchs() {
    for name in CASES {
        let case = Case::read(name);
        let weights = case.weights();
        let shapes = case.head.shapes(&case.config);
        let expected: Vec<(&str, Vec<usize>)> =
            shapes.iter().map(|(name, shape)| (name, shape.to_vec())).collect();
        let found: Vec<(&str, Vec<usize>)> =
            weights.iter().map(|(name, tensor)| (name.as_str(), tensor.dims().to_vec())).collect();
        assert_eq!(found, expected, "{name}: names and shapes");

        let parameters = Parameters::new(&weights).unwrap();
        let network = Classifier::new(&case.config, case.head, Tensors::new(&parameters.tensors())).unwrap();
        let (sequences, targets) = (case.sequences(), case.targets());
        let targets: Vec<&[(u32, f32)]> = targets.iter().map(Vec::as_slice).collect();
        let logits_bc = network.forward(&sequences, Pass::Evaluation).unwrap();
        let [far, largest] = apart(&logits_bc, &case.tensors["out.logits"]);
        assert!(far <= 1e-5 * largest, "{name}: logits {far} apart of {largest}");

        let loss =
            (case.head.settings.loss_type.sum(&logits_bc, &targets).unwrap() / targets.len() as f64).unwrap();
        let value = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((value - case.loss).abs() <= 1e-5 * case.loss.abs(), "{name}: {value}, not {}", case.loss);

        let mut gradients = Gradients::zeros(&parameters);
        gradients.add(&parameters, &loss.backward().unwrap()).unwrap();
        for parameter in parameters.iter() {
            let key = parameter.name();
            let own = Tensor::from_slice(
                &gradients.values()[parameter.range()],
                parameter.tensor().shape(),
                &Device::Cpu,
            );
            let [far, largest] = apart(&own.unwrap(), &case.tensors[&format!("grad.{key}")]);
            // a bias of keys adds the same to all scores of a query: its gradient is 0 but for rounding
            let scale = if key.ends_with("key.bias") { 0.1 } else { largest };
            assert!(far <= 2e-5 * scale, "{name}: gradient of {key} is {far} apart of {largest}");
            assert!(largest > 1e-7 || key.ends_with("key.bias"), "{name}: {key} says nothing");
        }
    }
}

/// What is far out on either side neither overflows nor loses its gradient.
#[test]
fn losses_stay_finite() {
    let values = [-200f32, 200.0, 0.0];
    let x = candle_core::Var::from_slice(&values, (1, 3), &Device::Cpu).unwrap();
    let target: &[(u32, f32)] = &[(0, 1.0)];
    for (loss, wanted, d_x) in [
        (LossType::Bce, 400.0 + 2f64.ln(), [-1.0, 1.0, 0.5]),
        (LossType::Kl, 400.0, [-1.0, 1.0, 0.0]),
        (LossType::Ce, 400.0, [-1.0, 1.0, 0.0]),
    ] {
        let sum = loss.sum(x.as_tensor(), &[target]).unwrap();
        let value = f64::from(sum.to_scalar::<f32>().unwrap());
        assert!((value - wanted).abs() < 1e-3, "{loss:?}: {value}, not {wanted}");
        let store = sum.backward().unwrap();
        let found = store.get(x.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
        for (own, wanted) in found[0].iter().zip(d_x) {
            assert!((own - wanted).abs() < 1e-6, "{loss:?}: {found:?}");
        }
    }
}

/// Cross-entropy takes the label of the largest weight, the first of equal ones.
#[test]
fn one_label_of_several() {
    let x = Tensor::new(&[[0.0f32, 1.0, 2.0]], &Device::Cpu).unwrap();
    let of = |target: &[(u32, f32)]| LossType::Ce.sum(&x, &[target]).unwrap().to_scalar::<f32>().unwrap();
    let log = (1f32 + 1f32.exp() + 2f32.exp()).ln();
    assert!((of(&[(0, 0.3), (1, 0.9), (2, 0.9)]) - (log - 1.0)).abs() < 1e-6);
    assert!((of(&[(2, 1.0)]) - (log - 2.0)).abs() < 1e-6);
}
