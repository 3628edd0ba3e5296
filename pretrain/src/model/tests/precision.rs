//! Gradients of products through bf16 beside those of f32.

use pretrain_kernels::Precision;
use pretrain_training::Gradients;

use super::packing::{examples, parameters};
use crate::model::{Batch, ModelConfig, Pass, Targets};
use crate::train::Learner;

/// Wide enough for every product but the contrastive one to go through bf16.
fn config() -> ModelConfig {
    let json = serde_json::json!({
        "vocab_size": 90, "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3,
        "intermediate_size": 130, "img_feature_dim": 10, "use_img_layernorm": 1, "num_contrast_classes": 3,
        "max_position_embeddings": 16, "initializer_range": 0.05,
    });
    serde_json::from_value(json).unwrap()
}

/// Every product rounds two factors by at most 2^-8 of themselves, about 0.2 % each on average and independently. Three
/// layers of four products each, forward and backward, make about 0.3 % x sqrt(24) = 1.5 % of a gradient's norm; twice
/// that is allowed for all gradients together, 8 % for each parameter's, and 0.5 % for losses.
#[test]
fn gradients_are_near_those_of_f32() {
    let config = config();
    let parameters = parameters(&config);
    let examples = examples(0..24);
    let (batch, targets) = (Batch::pack(&examples, &config).unwrap(), Targets::of(&examples));
    for recompute in [false, true] {
        let run = |precision| {
            let learner = Learner::new(&config, &parameters, precision, recompute).unwrap();
            let mut gradients = Gradients::zeros(&parameters);
            let counts = targets.counts().map(|count| count as f64);
            let pass = Pass::Training { seed: 3, step: 4 };
            let seen = learner.accumulate(&batch, &targets, counts, pass, &mut gradients).unwrap();
            let of_each = parameters.iter().map(|parameter| gradients.values()[parameter.range()].to_vec());
            ([seen.masked_token, seen.contrastive], of_each.collect::<Vec<Vec<f32>>>())
        };
        let [(exact_losses, exact), (losses, rounded)] = [Precision::F32, Precision::Bf16].map(run);
        for (exact, loss) in exact_losses.iter().zip(losses) {
            assert!((exact - loss).abs() < 5e-3 * exact, "losses {loss} and {exact}");
        }
        let [mut apart, mut whole] = [0.0, 0.0];
        for ((parameter, a), b) in parameters.iter().zip(&rounded).zip(&exact) {
            assert!(a.iter().all(|d| d.is_finite()), "{}", parameter.name());
            let square =
                |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
            let difference = square(&mut a.iter().zip(b).map(|(a, b)| a - b));
            let size = square(&mut b.iter().copied());
            // a key's bias moves all scores of a query together: its gradient is rounding in any precision
            if !parameter.name().ends_with("key.bias") {
                let share = (difference / size).sqrt();
                assert!(share < 0.08, "{}: {share} apart", parameter.name());
            }
            apart += difference;
            whole += size;
        }
        let share = (apart / whole).sqrt();
        assert!(share < 0.03, "{share} apart");
        if Precision::Bf16.here() == Precision::Bf16 {
            assert!(share > 1e-4, "nothing was rounded");
        }
    }
}
