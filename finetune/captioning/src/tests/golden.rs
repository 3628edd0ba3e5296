//! PyTorch's losses and gradients, padded there and packed here.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use data_specs::SpecialIds;
use pretrain::model::{ModelConfig, Pass};
use pretrain_kernels::Precision;
use serde_json::Value;

use crate::captioner::{Captioner, DECODER, WORDS};
use crate::decoding::Caption;
use crate::losses::{Masked, n_kept, of_hidden, weighted};
use crate::pictures::Picture;
use crate::self_critical::{Drawing, log_odds};
use crate::sequence::{Laid, Room, one_caption};

const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const ROOM: Room = Room { caption: 9, tags: 6, first_tag: 9 };

struct Golden {
    json: Value,
    tensors: BTreeMap<String, Tensor>,
}

fn ids(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

impl Golden {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let text = std::fs::read_to_string(folder.join("captioning.json")).unwrap();
        let tensors = candle_core::safetensors::load(folder.join("captioning.safetensors"), &Device::Cpu);
        Self { json: serde_json::from_str(&text).unwrap(), tensors: tensors.unwrap().into_iter().collect() }
    }

    fn part(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter();
        named
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
            .collect()
    }

    /// The network of a case over variables, and these.
    fn network(&self, case: &str) -> (Captioner, BTreeMap<String, Var>) {
        let config: ModelConfig = serde_json::from_value(self.json["config"].clone()).unwrap();
        let weights = self.part(&format!("{case}.weights."));
        let variables: BTreeMap<String, Var> =
            weights.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect();
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        (Captioner::new(&config, &tensors, Precision::F32).unwrap(), variables)
    }

    fn picture(&self, number: usize) -> Picture {
        let sample = &self.json["samples"][number];
        let n_regions = sample["n_regions"].as_u64().unwrap() as usize;
        let regions = self.tensors[&format!("regions.{number}")].narrow(0, 0, n_regions).unwrap();
        Picture {
            tags: ids(&sample["tags"]),
            regions: regions.flatten_all().unwrap().to_vec1().unwrap(),
            n_regions,
        }
    }

    fn check(&self, case: &str, loss: &Tensor, variables: &BTreeMap<String, Var>) {
        let wanted = self.json["losses"][case].as_f64().unwrap();
        let got = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((got - wanted).abs() < 2e-6 * wanted.abs().max(1.0), "{case}: {got}, not {wanted}");
        let gradients = loss.backward().unwrap();
        let wanted = self.part(&format!("{case}.grad."));
        assert!(wanted.len() > 40, "{case}");
        for (name, wanted) in &wanted {
            let found = gradients.get(&variables[name]).unwrap_or_else(|| panic!("{case}: {name} has none"));
            let (apart, largest) = (apart(found, wanted), largest(wanted));
            // a bias of keys adds the same to all scores of a query: its gradient is 0 but for rounding
            let scale = if name.ends_with("key.bias") { 1.0 } else { largest };
            assert!(apart <= 2e-5 * scale, "{case}: {name} is {apart} apart of {largest}");
            assert!(largest > 1e-6 || name.ends_with("key.bias"), "{case}: {name} says nothing");
        }
        for name in variables.keys().filter(|name| !wanted.contains_key(*name)) {
            assert!(name.starts_with("bert.pooler."), "{name} has no gradient there");
        }
    }
}

fn apart(one: &Tensor, other: &Tensor) -> f32 {
    largest(&(one - other).unwrap())
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn hidden_tokens_with_smoothing_and_without_the_worst() {
    let golden = Golden::read();
    for (case, smoothing, drop_worst) in [("smoothed", 0.1, 0.0), ("drop-worst", 0.0, 0.3)] {
        let (network, variables) = golden.network(case);
        assert_eq!(variables.contains_key(DECODER), case == "drop-worst");
        let masked: Vec<Masked> = golden.json["samples"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(number, sample)| {
                let pairs: Vec<Vec<u32>> = sample["asked"].as_array().unwrap().iter().map(ids).collect();
                let tokens = ids(&sample["tokens"]);
                Masked {
                    laid: Laid::new(
                        one_caption(&tokens),
                        &golden.picture(number),
                        ROOM,
                        SPECIAL,
                        number as u32,
                    ),
                    asked: pairs.iter().map(|pair| pair[0] as usize).collect(),
                    labels: pairs.iter().map(|pair| pair[1]).collect(),
                }
            })
            .collect();
        let laid: Vec<Laid> = masked.iter().map(|one| one.laid.clone()).collect();
        let asked: Vec<Vec<usize>> = masked.iter().map(|one| one.asked.clone()).collect();
        let logits = network.head.logits(&network.hidden(&laid, &asked, Pass::Evaluation).unwrap()).unwrap();
        let wanted = &golden.tensors[&format!("{case}.logits")];
        assert!(apart(&logits, wanted) < 2e-5 * largest(wanted), "{case}: {}", apart(&logits, wanted));

        let n = logits.dim(0).unwrap();
        let kept = n_kept(n, drop_worst);
        assert_eq!((n, kept < n), (7, drop_worst > 0.0));
        let masked: Vec<&Masked> = masked.iter().collect();
        let sum = of_hidden(&network, &masked, smoothing, kept, Pass::Evaluation).unwrap();
        golden.check(case, &(sum / kept as f64).unwrap(), &variables);
    }
}

/// One pass over all drawn captions is what decoding gives, a padded pass a token, with all gradients.
#[test]
fn drawn_captions() {
    let golden = Golden::read();
    let case = "self-critical";
    let (network, variables) = golden.network(case);
    let (mut drawings, mut drawn, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, captions) in golden.json["drawn"].as_array().unwrap().iter().enumerate() {
        drawings.push(Drawing { picture: golden.picture(number), references: vec![], place: number as u32 });
        let captions = captions.as_array().unwrap();
        let mut of_picture = Vec::new();
        for caption in captions {
            let tokens = ids(&caption["tokens"]);
            let weight = caption["reward"].as_f64().unwrap() / (captions.len() * tokens.len()) as f64;
            weights.extend(vec![weight as f32; tokens.len()]);
            labels.extend(&tokens);
            of_picture.push(Caption { tokens, score: 0.0 });
        }
        drawn.push(of_picture);
    }
    let logits = log_odds(&network, &drawings, &drawn, ROOM, SPECIAL, Pass::Evaluation).unwrap();
    let logs = weighted(&logits, &labels, vec![1.0; labels.len()]).unwrap().to_scalar::<f32>().unwrap();
    let wanted = golden.tensors[&format!("{case}.logs")].sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((logs + wanted).abs() < 1e-5 * wanted.abs(), "{logs}, not {}", -wanted);
    let loss = (weighted(&logits, &labels, weights).unwrap() / drawings.len() as f64).unwrap();
    golden.check(case, &loss, &variables);
    assert!(variables.contains_key(WORDS) && !variables.contains_key(DECODER));
}
