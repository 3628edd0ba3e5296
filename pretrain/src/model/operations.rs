//! How much a step computes.

use super::batch::Batch;
use super::config::ModelConfig;

/// Multiplications and additions of the products of a training step over a batch with `labelled` hidden tokens: forward
/// once, backward twice. Everything that is not a product is left out.
pub fn training_operations(config: &ModelConfig, batch: &Batch, labelled: usize) -> f64 {
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let rows = batch.n_rows();
    let pairs: usize = batch.sequences.iter().map(|tokens| tokens.len().pow(2)).sum();
    let of_layer = rows * (4 * h * h + 2 * h * i) + pairs * 2 * h;
    let regions = rows - batch.token_rows.len();
    let products = config.num_hidden_layers * of_layer
        + regions * config.img_feature_dim * h
        + labelled * h * (config.vocab_size + h);
    6.0 * products as f64
}
