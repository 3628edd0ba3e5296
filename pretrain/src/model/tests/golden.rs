use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use pretrain_kernels::Precision;
use pretrain_training::optimiser::{AdamW, OscarAdamW, Rule};
use pretrain_training::{Gradients, Group, Optimiser, Parameters};
use serde_json::Value;

use crate::DeviceChoice;
use crate::model::{Batch, ModelConfig, ModelFolder, PaddedBatch, Pass, Targets};
use crate::train::Learner;

const CASES: [&str; 3] = ["two-classes", "three-classes", "caption-mask"];

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file)
}

struct Case {
    config: ModelConfig,
    losses: Value,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(golden(&format!("{name}.json"))).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let tensors = candle_core::safetensors::load(golden(&format!("{name}.safetensors")), &Device::Cpu);
        Self {
            config: serde_json::from_value(json["config"].clone()).unwrap(),
            losses: json["losses"].clone(),
            tensors: tensors.unwrap().into_iter().collect(),
        }
    }

    /// Tensors under a prefix.
    fn part(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let named = self.tensors.iter();
        named
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
            .collect()
    }
}

/// Through the door: a folder and a file of inputs become a file of outputs.
#[test]
fn outputs_losses_and_all_gradients_are_torchs() {
    for name in CASES {
        let case = Case::read(name);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let model = ModelFolder { config: case.config.clone(), tensors: case.part("weights.") };
        model.write(&path("model")).unwrap();
        let inputs = case.part("in.");
        candle_core::safetensors::save(&inputs.into_iter().collect(), path("x.safetensors")).unwrap();
        let names = crate::forward(
            &path("model"),
            &path("x.safetensors"),
            &path("y.safetensors"),
            true,
            DeviceChoice::Cpu,
        )
        .unwrap();

        let wanted = case.part("out.");
        assert_eq!(names, wanted.keys().cloned().collect::<Vec<_>>(), "{name}");
        let found = candle_core::safetensors::load(path("y.safetensors"), &Device::Cpu).unwrap();
        let attended = case.tensors["in.attention_mask"].to_dtype(candle_core::DType::F32).unwrap();
        // of a query that others see, the hidden state is defined: it is a key of somebody
        let seen = if attended.rank() == 3 { attended.max(1).unwrap() } else { attended };
        for (key, wanted) in &wanted {
            let (mut wanted, mut found) = (wanted.clone(), found[key].clone());
            assert_eq!(wanted.dims(), found.dims(), "{name}: {key}");
            if key == "hidden" {
                let seen = seen.unsqueeze(2).unwrap();
                wanted = wanted.broadcast_mul(&seen).unwrap();
                found = found.broadcast_mul(&seen).unwrap();
            }
            let largest = wanted.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            let apart = (&wanted - &found).unwrap().abs().unwrap().max_all().unwrap();
            let apart = apart.to_scalar::<f32>().unwrap();
            // a bias of keys adds the same to all scores of a query: its gradient is 0 but for rounding
            let scale = if key.ends_with("key.bias") { 0.1 } else { largest };
            assert!(apart <= 1e-5 * scale, "{name}: {key} is {apart} apart of {largest}");
            assert!(largest > 1e-6 || key.ends_with("key.bias"), "{name}: {key} says nothing");
        }
    }
}

#[test]
fn ten_updates_of_each_form_are_torchs() {
    for name in CASES {
        let case = Case::read(name);
        let rules = [
            ("oscar_adamw", Rule::OscarAdamW(OscarAdamW { epsilon: 1e-6, ..OscarAdamW::default() })),
            ("adamw", Rule::AdamW(AdamW { epsilon: 1e-6, ..AdamW::default() })),
        ];
        for (form, rule) in rules {
            let parameters = Parameters::new(&case.part("weights.")).unwrap();
            let learner = Learner::new(&case.config, &parameters, Precision::F32, false).unwrap();
            let mut optimiser = Optimiser::new(rule, &parameters, |parameter| {
                let decays = !parameter.name().ends_with("bias") && !parameter.name().contains("LayerNorm");
                Group { weight_decay: if decays { 0.01 } else { 0.0 }, rate_factor: 1.0 }
            });
            let input = |name: &str| case.tensors[&format!("in.{name}")].clone();
            let padded = PaddedBatch {
                input_ids_bl: input("input_ids"),
                token_type_ids_bl: input("token_type_ids"),
                attention_mask: input("attention_mask"),
                img_feats_brd: input("img_feats"),
            };
            let batch = Batch::padded(&padded, &case.config).unwrap();
            let labels = |name: &str| input(name).flatten_all().unwrap().to_vec1::<i64>().unwrap();
            let targets = Targets {
                token_labels: labels("masked_lm_labels"),
                contrastive_labels: labels("contrastive_labels"),
            };
            let counts = targets.counts().map(|count| count as f64);
            for (step, wanted) in case.losses[form].as_array().unwrap().iter().enumerate() {
                let mut gradients = Gradients::zeros(&parameters);
                let seen =
                    learner.accumulate(&batch, &targets, counts, Pass::Evaluation, &mut gradients).unwrap();
                let loss = seen.masked_token / counts[0] + seen.contrastive / counts[1];
                let wanted = wanted.as_f64().unwrap();
                assert!(
                    (loss - wanted).abs() < 2e-5 * wanted,
                    "{name}, {form}, step {step}: {loss}, not {wanted}"
                );
                gradients.clip(&parameters, Some(1.0), step as u64).unwrap();
                optimiser.step(&parameters, &gradients, 5e-3 * (1.0 - step as f64 / 10.0)).unwrap();
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let case = Case::read("two-classes");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |change: &dyn Fn(&mut ModelFolder)| {
        let mut model = ModelFolder { config: case.config.clone(), tensors: case.part("weights.") };
        change(&mut model);
        model.write(&path("model")).unwrap();
    };
    let said = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut inputs = case.part("in.");
        change(&mut inputs);
        candle_core::safetensors::save(&inputs.into_iter().collect(), path("x.safetensors")).unwrap();
        let end = crate::forward(
            &path("model"),
            &path("x.safetensors"),
            &path("y.safetensors"),
            true,
            DeviceChoice::Cpu,
        );
        end.map_or_else(|error| error.to_string(), |names| format!("{} tensors", names.len()))
    };
    write(&|_| {});
    let all = said(&|_| {});
    assert!(all.ends_with("tensors"), "{all}");
    let one = Tensor::new(&[[99i64]], &Device::Cpu).unwrap();
    let ids = case.tensors["in.input_ids"].clone();
    type Change<'a> = Box<dyn Fn(&mut BTreeMap<String, Tensor>) + 'a>;
    let broken: [(&str, Change<'_>); 6] = [
        ("input_ids is not there", Box::new(|x| drop(x.remove("input_ids")))),
        (
            "input_ids have the id 99; the model's end at 40",
            Box::new(|x| {
                let ids = ids.slice_assign(&[0..1, 2..3], &one).unwrap();
                x.insert("input_ids".into(), ids);
            }),
        ),
        (
            "attention_mask is [3, 7]",
            Box::new(|x| {
                let mask = x["attention_mask"].narrow(1, 0, 7).unwrap().contiguous().unwrap();
                x.insert("attention_mask".into(), mask);
            }),
        ),
        (
            "img_feats are [3, 4, 9]",
            Box::new(|x| {
                let regions = x["img_feats"].narrow(2, 0, 9).unwrap().contiguous().unwrap();
                x.insert("img_feats".into(), regions);
            }),
        ),
        (
            "hold no label",
            Box::new(|x| {
                x.remove("masked_lm_labels");
                x.remove("contrastive_labels");
            }),
        ),
        (
            "token_type_ids are [3, 6]",
            Box::new(|x| {
                let segments = x["token_type_ids"].narrow(1, 0, 6).unwrap().contiguous().unwrap();
                x.insert("token_type_ids".into(), segments);
            }),
        ),
    ];
    for (part, change) in &broken {
        let message = said(change.as_ref());
        assert!(message.contains(part), "{message} does not say: {part}");
    }
    for (part, change) in [
        (
            "bert.pooler.dense.bias is missing",
            &(|m: &mut ModelFolder| drop(m.tensors.remove("bert.pooler.dense.bias")))
                as &dyn Fn(&mut ModelFolder),
        ),
        ("bert.extra.weight belongs to another model", &|m| {
            let weight = m.tensors["bert.pooler.dense.weight"].clone();
            m.tensors.insert("bert.extra.weight".into(), weight);
        }),
        ("cls.seq_relationship.bias is [2], not [3]", &|m| m.config.num_contrast_classes = 3),
        ("bert.LayerNorm is missing, use_img_layernorm is true", &|m| {
            m.config.use_img_layernorm = Some(true)
        }),
    ] {
        write(change);
        let message = said(&|_| {});
        assert!(message.contains(part), "{message} does not say: {part}");
    }
}
