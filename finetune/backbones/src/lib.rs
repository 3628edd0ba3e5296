//! EfficientNet (Paper: 1905.11946) and ResNeXt (Paper: 1611.05431) with the weights of timm and torchvision.
//!
//! An [`Architecture`] is a name of timm's and knows every layer, parameter and multiplication without a tensor
//! ([`Summary`]). A [`Backbone`] is an architecture with weights: logits, five stages, and the two ways in which
//! regions look at pictures. A [`Flavour`] is what the same name means in another library: padding, epsilon, keys.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use finetune_backbones::{Architecture, Backbone};
//!
//! let architecture: Architecture = "resnext50_32x4d".parse()?;
//! let backbone = Backbone::load(architecture, "weights.safetensors".as_ref(), None, None)?;
//! # let x_bchw = candle_core::Tensor::zeros((1, 3, 224, 224), candle_core::DType::F32, &candle_core::Device::Cpu)?;
//! let output = backbone.forward(&x_bchw)?;
//! assert_eq!(output.stages[3].dims()[1], architecture.stage_widths()[3]);
//! # Ok(()) }
//! ```

mod architecture;
mod backbone;
mod checkpoint;
mod class_map;
mod efficientnet;
mod error;
mod flavour;
mod inference;
mod initialise;
mod layer;
mod learning;
mod modules;
mod names;
mod nearest;
mod resnext;
mod summary;
mod tensor_file;
#[cfg(test)]
mod tests;
pub mod training;
mod training_pass;
mod trunk;
mod untrained;
mod weights;

pub use architecture::Architecture;
pub use backbone::{Backbone, Output};
pub use class_map::ClassMap;
pub use error::{Error, Result};
pub use flavour::Flavour;
pub use nearest::nearest;
pub use resnext::Form;
pub use summary::{LayerSummary, Summary};
pub use tensor_file::TensorFile;
pub use training_pass::{Statistics, TrainingPass};
pub use trunk::{Trunk, TrunkPart};
