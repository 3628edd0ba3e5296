//! Tensors of any network on a disk.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::checkpoint::Checkpoint;

/// A file of named tensors: .safetensors, or what `torch.save` writes (.pth), with or without a trainer's wrapping.
///
/// Names are without the prefixes that data parallelism and compilation put before all of them; counters of training
/// steps are left out. Nothing but the header is in memory until a tensor is read.
#[derive(Debug)]
pub struct TensorFile(Checkpoint);

impl TensorFile {
    /// Opens a file and reads what it holds, but no numbers.
    ///
    /// # Errors
    /// A file that cannot be read, is of another format, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(Checkpoint::open(path)?))
    }

    /// The shapes of all tensors by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.0.shapes()
    }

    /// One tensor, as f32.
    ///
    /// # Errors
    /// A name that is not there; numbers of another kind than float32, float16 and bfloat16, that are not finite, or
    /// variances below 0.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let values = self.0.values(name)?;
        let shape = self.0.shape(name).unwrap_or(&[]);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}
