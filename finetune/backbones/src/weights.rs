//! Tensors by timm's names, and layers made of them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::flavour::Numerics;
use crate::modules::{BatchNorm, Convolution, Linear, PaddingRule};
use crate::{Error, Result};

/// Every tensor of a network under timm's name.
pub(crate) type Weights = BTreeMap<String, Tensor>;

/// Makes the layers of a network.
#[derive(Debug)]
pub(crate) struct Modules<'w> {
    pub(crate) weights: &'w Weights,
    pub(crate) numerics: Numerics,
}

impl Modules<'_> {
    pub(crate) fn convolution(&self, name: &str, stride: usize, groups: usize) -> Result<Convolution> {
        let padding = self.numerics.padding;
        Ok(Convolution { w_oihw: self.tensor(name, "weight")?, bias_o: None, stride, groups, padding })
    }

    /// 1 x 1.
    pub(crate) fn convolution_with_bias(&self, name: &str) -> Result<Convolution> {
        let (w_oihw, bias_o) = (self.tensor(name, "weight")?, Some(self.tensor(name, "bias")?));
        Ok(Convolution { w_oihw, bias_o, stride: 1, groups: 1, padding: PaddingRule::Symmetric })
    }

    pub(crate) fn batch_norm(&self, name: &str) -> Result<BatchNorm> {
        Ok(BatchNorm {
            name: name.to_owned(),
            weight_c: self.tensor(name, "weight")?,
            bias_c: self.tensor(name, "bias")?,
            mean_c: self.tensor(name, "running_mean")?,
            variance_c: self.tensor(name, "running_var")?,
            epsilon: self.numerics.epsilon,
        })
    }

    pub(crate) fn linear(&self, name: &str) -> Result<Linear> {
        Ok(Linear { w_oi: self.tensor(name, "weight")?, bias_o: self.tensor(name, "bias")? })
    }

    fn tensor(&self, layer: &str, part: &str) -> Result<Tensor> {
        let tensor = format!("{layer}.{part}");
        self.weights.get(&tensor).cloned().ok_or(Error::Internal { tensor })
    }
}
