use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pretrain_kernels::Precision;
use pretrain_training::{Gradients, Parameters};

use crate::Example;
use crate::model::{Batch, ModelConfig, PaddedBatch, Pass, Shapes, Targets, initialise};
use crate::train::Learner;

pub(crate) fn config() -> ModelConfig {
    let json = serde_json::json!({
        "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3,
        "intermediate_size": 40, "img_feature_dim": 10, "use_img_layernorm": 1, "num_contrast_classes": 3,
        "max_position_embeddings": 16, "initializer_range": 0.2,
    });
    serde_json::from_value(json).unwrap()
}

/// Samples of several lengths.
pub(crate) fn examples(places: std::ops::Range<u32>) -> Vec<Example> {
    let one = |place: u32| {
        let (tokens, regions) = (4 + place as usize % 5, place as usize % 4);
        let id = |i: usize| 1 + (7 * place + 3 * i as u32) % 49;
        Example {
            token_ids: (0..tokens).map(id).collect(),
            segment_ids: (0..tokens).map(|i| u32::from(i > 2)).collect(),
            token_labels: (0..tokens).map(|i| if i % 3 == 1 { i64::from(id(i + 1)) } else { -1 }).collect(),
            contrastive_label: i64::from(place % 3),
            regions: (0..regions * 10).map(|i| ((i as f32 + place as f32) * 0.7).sin()).collect(),
            n_regions: regions,
            place,
        }
    };
    places.map(one).collect()
}

pub(crate) fn parameters(config: &ModelConfig) -> Parameters {
    Parameters::new(&initialise(&Shapes::of_pretraining(config), config, 5).unwrap()).unwrap()
}

/// The same samples as tensors of equal lengths.
fn padded(examples: &[Example]) -> (PaddedBatch, Vec<i64>) {
    let (b, l, r, d) = (examples.len(), 8, 3, 10);
    let fill = |of: &dyn Fn(&Example) -> Vec<i64>, n: usize, rest: i64| -> Vec<i64> {
        let rows = examples.iter().map(|example| {
            let mut row = of(example);
            row.resize(n, rest);
            row
        });
        rows.flatten().collect()
    };
    let tensor = |values: Vec<i64>, n: usize| Tensor::from_vec(values, (b, n), &Device::Cpu).unwrap();
    let wide = |ids: &[u32]| ids.iter().map(|id| i64::from(*id)).collect::<Vec<i64>>();
    let text = fill(&|example| vec![1; example.token_ids.len()], l, 0);
    let regions = fill(&|example| vec![1; example.n_regions], r, 0);
    let mask = Tensor::cat(&[tensor(text, l), tensor(regions, r)], 1).unwrap();
    let features = examples.iter().flat_map(|example| {
        let mut row = example.regions.clone();
        row.resize(r * d, 9.0);
        row
    });
    let batch = PaddedBatch {
        input_ids_bl: tensor(fill(&|example| wide(&example.token_ids), l, 0), l),
        token_type_ids_bl: tensor(fill(&|example| wide(&example.segment_ids), l, 0), l),
        attention_mask: mask,
        img_feats_brd: Tensor::from_vec(features.collect::<Vec<f32>>(), (b, r, d), &Device::Cpu).unwrap(),
    };
    (batch, fill(&|example| example.token_labels.clone(), l, -1))
}

fn gradients_of(
    learner: &Learner<'_>,
    parameters: &Parameters,
    batch: &Batch,
    targets: &Targets,
) -> (f64, Vec<f32>) {
    let mut gradients = Gradients::zeros(parameters);
    let counts = targets.counts().map(|count| count as f64);
    let seen = learner.accumulate(batch, targets, counts, Pass::Evaluation, &mut gradients).unwrap();
    (seen.masked_token + seen.contrastive, gradients.values().to_vec())
}

#[test]
fn packed_is_padded() {
    let config = config();
    let parameters = parameters(&config);
    let learner = Learner::new(&config, &parameters, Precision::F32, false).unwrap();
    let examples = examples(0..6);
    let targets = Targets::of(&examples);
    let packed = Batch::pack(&examples, &config).unwrap();
    assert_eq!(
        packed.n_rows(),
        examples.iter().map(|one| one.token_ids.len() + one.n_regions).sum::<usize>()
    );
    let (loss, gradients) = gradients_of(&learner, &parameters, &packed, &targets);

    let (padded, token_labels) = padded(&examples);
    let batch = Batch::padded(&padded, &config).unwrap();
    let targets = Targets { token_labels, ..targets };
    let (other_loss, others) = gradients_of(&learner, &parameters, &batch, &targets);
    assert!((loss - other_loss).abs() < 1e-4, "{loss}, padded {other_loss}");
    let largest = gradients.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let apart = gradients.iter().zip(&others).fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(largest > 0.01 && apart < 1e-5 * largest, "{apart} apart of {largest}");
}

#[test]
fn computing_activations_again_changes_no_bit() {
    let config = config();
    let parameters = parameters(&config);
    let examples = examples(3..9);
    let (batch, targets) = (Batch::pack(&examples, &config).unwrap(), Targets::of(&examples));
    let run = |recompute: bool| {
        let learner = Learner::new(&config, &parameters, Precision::F32, recompute).unwrap();
        let mut gradients = Gradients::zeros(&parameters);
        let pass = Pass::Training { seed: 3, step: 17 };
        let seen = learner.accumulate(&batch, &targets, [7.0, 6.0], pass, &mut gradients).unwrap();
        (seen.masked_token, seen.contrastive, gradients)
    };
    let kept = run(false);
    assert_eq!(kept, run(true));
    assert!(
        parameters
            .iter()
            .all(|one| kept.2.values()[one.range()].iter().any(|x| *x != 0.0)
                || one.name().ends_with("key.bias")),
        "a parameter without a gradient"
    );
}

/// Dropout's draws belong to samples, whatever they are computed beside.
#[test]
fn micro_batches_are_the_batch() {
    let config = config();
    let parameters = parameters(&config);
    let learner = Learner::new(&config, &parameters, Precision::F32, false).unwrap();
    let all = examples(0..6);
    let counts = Targets::of(&all).counts().map(|count| count as f64);
    let run = |sizes: &[usize]| {
        let mut gradients = Gradients::zeros(&parameters);
        let (mut rest, mut loss) = (all.as_slice(), 0.0);
        for size in sizes {
            let (micro, others) = rest.split_at(*size);
            rest = others;
            let (batch, targets) = (Batch::pack(micro, &config).unwrap(), Targets::of(micro));
            let pass = Pass::Training { seed: 3, step: 17 };
            let seen = learner.accumulate(&batch, &targets, counts, pass, &mut gradients).unwrap();
            loss += seen.masked_token / counts[0] + seen.contrastive / counts[1];
        }
        (loss, gradients.values().to_vec())
    };
    let (loss, whole) = run(&[6]);
    for sizes in [&[3, 3][..], &[1, 4, 1]] {
        let (other, parts) = run(sizes);
        let largest = whole.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let apart = whole.iter().zip(&parts).fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!((loss - other).abs() < 1e-5 && apart < 2e-6 * largest, "{sizes:?}: {apart} of {largest}");
    }
}

/// No regions at all, no hidden token at all: legal, with gradients of 0.
#[test]
fn empty_parts_are_legal() {
    // so wide that products are cut into tiles
    let config = ModelConfig { vocab_size: 800, img_feature_dim: 790, ..config() };
    let parameters = parameters(&config);
    let learner = Learner::new(&config, &parameters, Precision::F32, false).unwrap();
    let examples: Vec<Example> = examples(0..4)
        .into_iter()
        .map(|one| Example {
            n_regions: 0,
            regions: Vec::new(),
            token_labels: vec![-1; one.token_ids.len()],
            ..one
        })
        .collect();
    let (batch, targets) = (Batch::pack(&examples, &config).unwrap(), Targets::of(&examples));
    let mut gradients = Gradients::zeros(&parameters);
    let seen = learner.accumulate(&batch, &targets, [1.0, 4.0], Pass::Evaluation, &mut gradients).unwrap();
    assert_eq!(seen.masked_token, 0.0);
    let of: BTreeMap<&str, f32> = parameters
        .iter()
        .map(|one| (one.name(), gradients.values()[one.range()].iter().fold(0f32, |sum, x| sum + x.abs())))
        .collect();
    assert_eq!((of["bert.img_embedding.weight"], of["cls.predictions.bias"]), (0.0, 0.0));
    assert!(of["bert.pooler.dense.weight"] > 0.0);
}
