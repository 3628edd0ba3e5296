//! Head, masks, loss and all gradients against PyTorch (golden/generate.py).

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use pretrain::Example;
use pretrain::model::{Joined, ModelConfig, Pass, Tensors};
use pretrain_training::{Gradients, Parameters};
use serde_json::Value;

use crate::matcher::{Matcher, loss, part, probabilities};
use crate::settings::Sight;

struct Case {
    config: ModelConfig,
    sight: Sight,
    /// Caption, tags, regions of every sample.
    lengths: Vec<[usize; 3]>,
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
            sight: serde_json::from_value(json["attention"].clone()).unwrap(),
            lengths: serde_json::from_value(json["lengths"].clone()).unwrap(),
            loss: json["loss"].as_f64().unwrap(),
            tensors: tensors.into_iter().collect(),
        }
    }

    fn weights(&self) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter();
        named.filter_map(|(name, it)| Some((name.strip_prefix("weights.")?.to_owned(), it.clone()))).collect()
    }

    fn examples(&self) -> Vec<Example> {
        let rows = |name: &str| self.tensors[name].to_vec2::<i64>().unwrap();
        let (ids, segments) = (rows("in.ids"), rows("in.segments"));
        let regions = self.tensors["in.regions"].to_vec3::<f32>().unwrap();
        let one = |(place, [caption, tags, n_regions]): (usize, &[usize; 3])| {
            let part = |row: &[i64]| row[..caption + tags].iter().map(|id| *id as u32).collect();
            Example {
                token_labels: Vec::new(),
                contrastive_label: -1,
                token_ids: part(&ids[place]),
                segment_ids: part(&segments[place]),
                regions: regions[place][..*n_regions].concat(),
                n_regions: *n_regions,
                place: place as u32,
            }
        };
        self.lengths.iter().enumerate().map(one).collect()
    }
}

fn apart(a: &Tensor, b: &Tensor) -> [f32; 2] {
    assert_eq!(a.dims(), b.dims());
    let largest = |x: &Tensor| x.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    [largest(&(a - b).unwrap()), largest(b)]
}

#[test]
fn logits_loss_and_all_gradients_are_torchs_under_every_mask() {
    for name in ["clr", "cl", "cr", "lr"] {
        let case = Case::read(name);
        let weights = case.weights();
        let shapes = Matcher::shapes(&case.config);
        let expected: Vec<(&str, Vec<usize>)> =
            shapes.iter().map(|(name, shape)| (name, shape.to_vec())).collect();
        let found: Vec<(&str, Vec<usize>)> =
            weights.iter().map(|(name, tensor)| (name.as_str(), tensor.dims().to_vec())).collect();
        assert_eq!(found, expected, "{name}: names and shapes");

        let parameters = Parameters::new(&weights).unwrap();
        let network = Matcher::new(&case.config, case.sight, Tensors::new(&parameters.tensors())).unwrap();
        let examples = case.examples();
        let logits_b2 = network.logits(&examples, Pass::Evaluation).unwrap();
        let [far, largest] = apart(&logits_b2, &case.tensors["out.logits"]);
        assert!(far <= 1e-5 * largest, "{name}: logits {far} apart of {largest}");
        let wanted = case.tensors["out.probabilities"].to_vec1::<f32>().unwrap();
        for (own, wanted) in probabilities(&logits_b2).unwrap().into_iter().zip(wanted) {
            assert!((own - f64::from(wanted)).abs() < 1e-6, "{name}: {own}, not {wanted}");
        }

        let labels = case.tensors["in.labels"].to_vec1::<i64>().unwrap();
        // a sum over captions, of which there are half as many as pairs
        let n_captions = labels.len() as f64 / 2.0;
        let loss = (loss(&logits_b2, &labels).unwrap() / n_captions).unwrap();
        let value = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((value - case.loss).abs() <= 1e-5 * case.loss, "{name}: {value}, not {}", case.loss);

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
            // what `[CLS]` does not see has no gradient: regions beside CL, tags and regions beside LR
            let is_blind =
                key.starts_with("bert.img_embedding") && matches!(case.sight, Sight::Cl | Sight::Lr);
            // a bias of keys adds the same to all scores of a query: its gradient is 0 but for rounding
            let scale = if key.ends_with("key.bias") || is_blind { 0.1 } else { largest };
            assert!(far <= 2e-5 * scale, "{name}: gradient of {key} is {far} apart of {largest}");
            assert!(largest > 1e-7 || key.ends_with("key.bias") || is_blind, "{name}: {key} says nothing");
        }
    }
}

/// What evaluation computes from embedded parts is what PyTorch computes at once.
#[test]
fn parts_put_together_are_torchs_too() {
    for name in ["clr", "cl", "cr", "lr"] {
        let case = Case::read(name);
        let network = Matcher::new(&case.config, case.sight, Tensors::new(&case.weights())).unwrap();
        let (mut rows, mut lengths) = (Vec::new(), Vec::new());
        for one in case.examples() {
            let positions: Vec<u32> = (0..one.token_ids.len() as u32).collect();
            rows.push(network.encoder.embed_tokens(&one.token_ids, &positions, &one.segment_ids).unwrap());
            let shape = (one.n_regions, case.config.img_feature_dim);
            let regions = Tensor::from_slice(&one.regions, shape, &Device::Cpu).unwrap();
            rows.push(network.encoder.embed_regions(&regions).unwrap());
            lengths.push(one.token_ids.len() + one.n_regions);
        }
        let mut joined = Joined::new(&lengths);
        if case.sight != Sight::Clr {
            let part = |sample: usize, row: usize| {
                let [caption, tags, _] = case.lengths[sample];
                part([caption, caption + tags], row)
            };
            joined =
                joined.seeing(&|sample, a, b| case.sight.sees(part(sample, a), part(sample, b))).unwrap();
        }
        let pooled = network.encoder.pool_joined(&Tensor::cat(&rows, 0).unwrap(), &joined).unwrap();
        let [far, largest] = apart(&network.classify(&pooled).unwrap(), &case.tensors["out.logits"]);
        assert!(far <= 1e-5 * largest, "{name}: logits {far} apart of {largest}");
    }
}
