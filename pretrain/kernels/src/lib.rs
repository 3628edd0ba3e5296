//! Operations with backward on candle tensors, f32 and f64. Of convolutional networks: convolution (dense,
//! grouped, depthwise), batch normalisation, pooling, RoIAlign. Of transformers: attention over packed sequences, layer
//! normalisation with the residual, embeddings, linear layers with GELU, cross-entropy over a vocabulary. For both:
//! activations, dropout from a counter, scaled channels, cross-entropy of soft targets, losses of detectors, one-pass
//! AdamW. Convolutional networks have layers of their own in [`image`], which need no tensor in between: trained ones, and
//! in [`image::training`] those that learn.
//!
//! * A result depends neither on the number of threads nor on the neighbours in a batch, to the bit: work is cut into
//!   tiles that the sizes of one sample fix, each computed by one thread, and sums run in a fixed order.
//! * Inputs may be views; they are made contiguous first. Batches of zero samples are legal.
//! * What transformers need computes on CUDA devices, too (feature `cuda`): composed of candle's operations, so that a
//!   tensor's device alone decides. What draws draws the same there. Everything else wants tensors on the CPU.
//! * Gradients reach every argument unless an operation says otherwise. They are no functions of tensors themselves:
//!   second derivatives are not there.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use pretrain_kernels::{ConvGeometry, Padding, conv2d, global_average_pool, swish};
//!
//! # fn main() -> pretrain_kernels::Result<()> {
//! let x_bchw = Tensor::ones((2, 8, 15, 20), DType::F32, &Device::Cpu)?;
//! let w_oihw = Var::ones((8, 1, 3, 3), DType::F32, &Device::Cpu)?;
//! let depthwise = ConvGeometry {
//!     stride: [2, 2],
//!     padding: Padding::same([15, 20], [3, 3], [2, 2], [1, 1]),
//!     groups: 8,
//!     ..ConvGeometry::default()
//! };
//! let y_bc = global_average_pool(&swish(&conv2d(&x_bchw, &w_oihw, None, &depthwise)?)?)?;
//! assert_eq!(y_bc.dims(), [2, 8]);
//! assert!(y_bc.sum_all()?.backward()?.get(&w_oihw).is_some());
//! # Ok(()) }
//! ```

mod activation;
mod adamw;
mod attention;
mod attention_over;
mod batch_norm;
#[cfg_attr(not(target_arch = "x86_64"), path = "bf16_absent.rs")]
mod bf16;
mod collected;
mod composed;
mod concatenate;
mod conv;
mod cross_entropy;
mod dropout;
mod element;
mod embedding;
mod error;
mod handover;
pub mod image;
mod layer_norm;
mod linear;
mod linear_gelu;
mod peak;
mod philox;
mod pointwise_losses;
mod pool;
mod precision;
mod process;
mod product;
mod roi_align;
mod scale;
mod simd;
mod small_products;
mod soft_cross_entropy;
mod softmax;
mod sublayer;
mod sums;
mod tiles;

pub use activation::{relu, sigmoid, swish, tanh};
pub use adamw::{AdamWForm, AdamWSlices, AdamWStep, adamw, squared_norm};
pub use attention::{Attention, AttentionMask, Sequences, attention};
pub use attention_over::{KeySpan, attention_over};
pub use batch_norm::{batch_norm_inference, batch_norm_training};
pub use collected::{Collected, backward_into};
#[cfg(feature = "composed-on-demand")]
pub use composed::composed_on_demand;
pub use concatenate::concatenate;
pub use conv::{ConvGeometry, Padding, conv2d};
pub use cross_entropy::{CrossEntropy, cross_entropy, vocabulary_cross_entropy, vocabulary_cross_entropy_in};
pub use dropout::{Dropout, dropout};
pub use embedding::{embedding, embedding_sum};
pub use error::{Error, Result};
pub use layer_norm::{layer_norm, residual_layer_norm};
pub use linear::{linear, linear_in};
pub use linear_gelu::{linear_gelu, linear_gelu_in};
pub use peak::measured_peak;
pub use philox::philox4x32;
pub use pointwise_losses::{binary_cross_entropy, smooth_l1};
pub use pool::{global_average_pool, max_pool2d};
pub use precision::Precision;
pub use process::prepare_process;
pub use roi_align::{RoiAlign, roi_align};
pub use scale::scale_channels;
pub use soft_cross_entropy::soft_cross_entropy;
pub use softmax::softmax;
pub use sublayer::{Affine, SublayerEnd, attention_sublayer, feed_forward_sublayer};
