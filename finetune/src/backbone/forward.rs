//! `finetune backbone forward`: pictures in, logits and stages out.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use finetune_backbones::{Architecture, Backbone, Flavour, Output};
use pretrain_kernels::Precision;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::Error;

/// Runs a network with given weights over pictures that are normalised already.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Which network.
    pub architecture: Architecture,
    /// .safetensors or .pth.
    pub weights: PathBuf,
    /// .safetensors with `x`, f32 \[b, 3, h, w\].
    pub inputs: PathBuf,
    /// The .safetensors to write: `logits` \[b, k\], `stage1` to `stage5` \[b, c, h, w\].
    pub out: PathBuf,
    /// Whose weights they are, where name and keys leave it open.
    pub flavour: Option<Flavour>,
    /// The numbers that the network computes with.
    pub precision: Precision,
}

impl Forward {
    /// Writes the file, whole or not at all; what is in it.
    ///
    /// # Errors
    /// Weights, flavour or pictures that do not fit; files that cannot be read or written.
    pub fn run(&self) -> Result<Value, Error> {
        let x_bchw = pictures(&self.inputs)?;
        let backbone = Backbone::load(self.architecture, &self.weights, self.flavour, None)?;
        let backbone = backbone.in_precision(self.precision);
        let Output { logits_bk, stages: [stage1, stage2, stage3, stage4, stage5] } =
            backbone.forward(&x_bchw)?;
        let tensors = [
            ("logits", logits_bk),
            ("stage1", stage1),
            ("stage2", stage2),
            ("stage3", stage3),
            ("stage4", stage4),
            ("stage5", stage5),
        ];
        let shapes: serde_json::Map<String, Value> =
            tensors.iter().map(|(name, tensor)| ((*name).to_owned(), json!(tensor.dims()))).collect();
        let bytes = safetensors::serialize(tensors, None).map_err(candle_core::Error::from)?;
        data_specs::durable::write_durably(&self.out, &bytes, "forward")?;
        Ok(json!({
            "arch": self.architecture.to_string(),
            "flavour": backbone.flavour().name(),
            "out": self.out.display().to_string(),
            "shapes": shapes,
        }))
    }
}

/// `x` of a .safetensors file.
fn pictures(path: &Path) -> Result<Tensor, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let inputs = |problem: String| Error::Inputs { path: path.to_owned(), problem };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
        inputs(format!("is no .safetensors file ({error}); save x as f32 [b, 3, h, w] in one"))
    })?;
    let x = tensors.tensor("x").map_err(|_| {
        let mut names = tensors.names();
        names.sort_unstable();
        inputs(format!("holds no tensor x, but {names:?}; name the pictures x"))
    })?;
    if x.dtype() != Dtype::F32 {
        return Err(inputs(format!("x is {:?}; save it as F32", x.dtype())));
    }
    let values: Vec<f32> = x.data().as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    Ok(Tensor::from_vec(values, x.shape(), &Device::Cpu)?)
}
