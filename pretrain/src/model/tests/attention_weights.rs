use candle_core::{D, Tensor};
use pretrain_kernels::{Attention, Precision, attention};

use super::packing::{config, examples, parameters};
use crate::model::{Batch, Encoder, Pass, Tensors};

/// With one head the weights times the values are what the kernel computes, in every layer.
#[test]
fn weights_are_those_that_the_kernel_multiplies_by() {
    let config = crate::model::ModelConfig { num_attention_heads: 1, ..config() };
    let tensors = parameters(&config).tensors();
    let encoder = Encoder::new(&config, Tensors::new(&tensors)).unwrap();
    let batch = Batch::pack(&examples(6..7), &config).unwrap();
    let weights = encoder.attention_weights(&batch).unwrap();
    assert_eq!(weights.len(), encoder.n_layers());

    let mut x_th = encoder.embed(&batch, Pass::Evaluation).unwrap();
    for (number, (layer, weights_tt)) in encoder.layers().iter().zip(&weights).enumerate() {
        let [query, key] = layer.query_and_key().map(|part| part.forward(&x_th).unwrap());
        let value_th = layer.value().forward(&x_th).unwrap();
        let qkv_t3h = Tensor::cat(&[&query, &key, &value_th], D::Minus1).unwrap();
        let how = Attention {
            heads: 1,
            sequences: &batch.sequences,
            mask: None,
            dropout: None,
            precision: Precision::F32,
        };
        let by_kernel = attention(&qkv_t3h, &how).unwrap().to_vec2::<f32>().unwrap();
        let by_weights = weights_tt.matmul(&value_th).unwrap().to_vec2::<f32>().unwrap();
        for (a, b) in by_kernel.iter().flatten().zip(by_weights.iter().flatten()) {
            assert!((a - b).abs() < 1e-5, "layer {number}: {a} {b}");
        }
        let spread = weights_tt.to_vec2::<f32>().unwrap();
        assert!(spread.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        assert!(
            spread.iter().flatten().any(|weight| (weight - 1.0 / 11.0).abs() > 1e-2),
            "they all look alike"
        );
        x_th = encoder.layer(number, &x_th, &batch, Pass::Evaluation).unwrap();
    }
    assert!(encoder.attention_weights(&Batch::pack(&examples(0..2), &config).unwrap()).is_err());
}
