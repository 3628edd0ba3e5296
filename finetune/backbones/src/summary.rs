//! Parameters and multiplications, exactly, from the description alone.

use serde::Serialize;

use crate::architecture::Architecture;
use crate::layer::{Layer, Operation};

/// What a network costs at one size of picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Trainable numbers; running statistics are none.
    pub params: u64,
    /// Multiplications (each with an addition) of convolutions and products for one picture. Normalisation,
    /// activations, pooling and gates are not counted, as in the papers.
    pub macs: u64,
    /// In the order of computation.
    pub layers: Vec<LayerSummary>,
}

/// One line of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// timm's name.
    pub name: String,
    /// `conv`, `depthwise_conv`, `grouped_conv`, `batch_norm`, `linear`, `max_pool` or `global_pool`.
    pub kind: &'static str,
    /// Channels, height, width; channels alone behind the pooling.
    pub output: Vec<usize>,
    /// Trainable numbers.
    pub params: u64,
    /// Multiplications.
    pub macs: u64,
}

impl Summary {
    /// Adds up `architecture` with `n_classes` classes for a picture of `size` = \[h, w\].
    pub fn new(architecture: Architecture, size: [usize; 2], n_classes: usize) -> Self {
        let layers: Vec<LayerSummary> =
            architecture.layers(size, n_classes).into_iter().map(LayerSummary::from).collect();
        let total = |part: fn(&LayerSummary) -> u64| layers.iter().map(part).sum();
        Self { params: total(|layer| layer.params), macs: total(|layer| layer.macs), layers }
    }
}

impl From<Layer> for LayerSummary {
    fn from(layer: Layer) -> Self {
        let kind = match layer.operation {
            Operation::Convolution { groups: 1, .. } => "conv",
            Operation::Convolution { inputs, groups, .. } if inputs == groups => "depthwise_conv",
            Operation::Convolution { .. } => "grouped_conv",
            Operation::BatchNorm { .. } => "batch_norm",
            Operation::Linear { .. } => "linear",
            Operation::MaxPool => "max_pool",
            Operation::GlobalPool => "global_pool",
        };
        let (params, macs) = (layer.params(), layer.macs());
        Self { name: layer.name, kind, output: layer.output, params, macs }
    }
}
