//! Every operation against a plain f64 reference with a derived error bound, against finite differences, against
//! PyTorch's values and gradients, and against itself on other numbers of threads and in other batches.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod adamw;
mod attention;
mod attention_over;
mod batch_norm;
mod bf16;
mod bits;
mod conv;
mod cross_entropy;
mod draw;
mod dropout;
mod elementwise;
mod embedding;
mod golden;
mod image;
mod layer_norm;
mod linear_gelu;
mod pointwise_losses;
mod pool;
mod proof;
mod roi_align;
mod scale;
mod soft_cross_entropy;
mod sublayer;
mod training;
mod training_norms;
mod traps;
