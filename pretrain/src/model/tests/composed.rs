//! The whole model with its operations composed of candle's, as it computes on a GPU, beside the fused ones.

use pretrain_kernels::{Precision, composed_on_demand};
use pretrain_training::Gradients;

use super::packing::{config, examples, parameters};
use crate::Example;
use crate::model::{Batch, ModelConfig, Pass, Targets};
use crate::train::Learner;

/// Losses, and the gradients of each parameter by name.
fn step(
    config: &ModelConfig,
    examples: &[Example],
    (precision, recompute): (Precision, bool),
) -> ([f64; 2], Vec<(String, Vec<f32>)>) {
    let parameters = parameters(config);
    let learner = Learner::new(config, &parameters, precision, recompute).unwrap();
    let (batch, targets) = (Batch::pack(examples, config).unwrap(), Targets::of(examples));
    let mut gradients = Gradients::zeros(&parameters);
    let counts = targets.counts().map(|count| count as f64);
    let pass = Pass::Training { seed: 3, step: 17 };
    let seen = learner.accumulate(&batch, &targets, counts, pass, &mut gradients).unwrap();
    let of_each = parameters
        .iter()
        .map(|parameter| (parameter.name().to_owned(), gradients.values()[parameter.range()].to_vec()));
    ([seen.masked_token, seen.contrastive], of_each.collect())
}

fn assert_near(what: &str, share: f64, examples: &[Example], how: (Precision, bool)) {
    let config = config();
    let (losses, fused) = step(&config, examples, (Precision::F32, how.1));
    let (composed_losses, composed) = composed_on_demand(|| step(&config, examples, how));
    for (fused, composed) in losses.iter().zip(composed_losses) {
        assert!((fused - composed).abs() <= share * fused.abs(), "{what}: losses {composed}, fused {fused}");
    }
    let mut differ = false;
    for ((name, composed), (_, fused)) in composed.iter().zip(&fused) {
        let norm = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
        };
        let apart = norm(&mut composed.iter().zip(fused).map(|(a, b)| a - b));
        differ |= apart > 0.0;
        // a bias of keys moves all scores of a query alike: its gradient is rounding
        let size = if name.ends_with("key.bias") { 1.0 } else { norm(&mut fused.iter().copied()) };
        assert!(apart <= share * size, "{what}: {name} is {apart} apart of {size}");
    }
    assert!(differ, "{what}: the same bits, so nothing was composed");
}

/// Dropout is on: what is dropped must be the same.
#[test]
fn losses_and_all_gradients_are_those_of_the_fused_model() {
    let examples = examples(0..9);
    assert_near("at once", 1e-5, &examples, (Precision::F32, false));
    assert_near("layer by layer", 1e-5, &examples, (Precision::F32, true));
}

/// Neither regions nor hidden tokens: no operation meets an empty tensor, which would be refused, and gradients of 0 arrive.
#[test]
fn empty_parts_are_legal() {
    let bare = |one: Example| Example {
        n_regions: 0,
        regions: Vec::new(),
        token_labels: vec![-1; one.token_ids.len()],
        ..one
    };
    let examples: Vec<Example> = examples(0..4).into_iter().map(bare).collect();
    assert_near("bare", 1e-5, &examples, (Precision::F32, false));
}

/// As `precision.rs` allows it of the fused products: here results are rounded, too.
#[test]
fn gradients_in_bf16_are_near_those_of_f32() {
    assert_near("bf16", 0.12, &examples(0..24), (Precision::Bf16, false));
}
