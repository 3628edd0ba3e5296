//! Layers as numbers: what a network is before it has weights.

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A square kernel of `kernel` x `kernel`.
    Convolution { inputs: usize, outputs: usize, kernel: usize, groups: usize, bias: bool },
    /// With running statistics.
    BatchNorm { channels: usize },
    /// Always with bias.
    Linear { inputs: usize, outputs: usize },
    /// Without weights.
    MaxPool,
    /// Without weights.
    GlobalPool,
}

/// A layer of a network under timm's name, at one size of picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    /// Channels, height, width; channels alone once the map is averaged.
    pub(crate) output: Vec<usize>,
}

impl Layer {
    /// Names and shapes of its tensors in PyTorch's order, running statistics among them.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let named = |part: &str, shape: &[usize]| (format!("{}.{part}", self.name), shape.to_vec());
        match self.operation {
            Operation::Convolution { inputs, outputs, kernel, groups, bias } => {
                let mut tensors = vec![named("weight", &[outputs, inputs / groups, kernel, kernel])];
                tensors.extend(bias.then(|| named("bias", &[outputs])));
                tensors
            }
            Operation::BatchNorm { channels } => {
                ["weight", "bias", "running_mean", "running_var"].map(|part| named(part, &[channels])).into()
            }
            Operation::Linear { inputs, outputs } => {
                vec![named("weight", &[outputs, inputs]), named("bias", &[outputs])]
            }
            Operation::MaxPool | Operation::GlobalPool => Vec::new(),
        }
    }

    /// Trainable numbers.
    pub(crate) fn params(&self) -> u64 {
        let tensors = self.tensors();
        let trainable = tensors.iter().filter(|(name, _)| !is_statistic(name));
        trainable.map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }

    /// Multiplications of convolutions and products; nothing else is counted, as in the papers.
    pub(crate) fn macs(&self) -> u64 {
        let outputs: u64 = self.output.iter().map(|&n| n as u64).product();
        match self.operation {
            Operation::Convolution { inputs, kernel, groups, .. } => {
                outputs * (inputs / groups * kernel * kernel) as u64
            }
            Operation::Linear { inputs, .. } => outputs * inputs as u64,
            Operation::BatchNorm { .. } | Operation::MaxPool | Operation::GlobalPool => 0,
        }
    }
}

/// Whether a tensor is a running mean or variance: kept, not trained.
pub(crate) fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// Writes a network down layer by layer and keeps track of the map.
///
/// Every convolution of the two families that keeps its size or halves it has `ceil(n / stride)` outputs, whichever
/// way it is padded.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    channels: usize,
    map: [usize; 2],
    layers: Vec<Layer>,
}

impl Walk {
    /// Starts at a picture of `size` = \[h, w\].
    pub(crate) fn new(size: [usize; 2]) -> Self {
        Self { channels: 3, map: size, layers: Vec::new() }
    }

    /// A convolution without bias, and batch normalisation.
    pub(crate) fn conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        outputs: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
    ) {
        let inputs = self.channels;
        self.shrink(stride);
        self.channels = outputs;
        self.push(conv, Operation::Convolution { inputs, outputs, kernel, groups, bias: false });
        self.push(norm, Operation::BatchNorm { channels: outputs });
    }

    /// Squeeze and excitation: two 1 x 1 convolutions with bias on the averaged map.
    pub(crate) fn squeeze_excite(&mut self, reduce: &str, expand: &str, squeezed: usize) {
        let channels = self.channels;
        for (name, inputs, outputs) in [(reduce, channels, squeezed), (expand, squeezed, channels)] {
            let operation = Operation::Convolution { inputs, outputs, kernel: 1, groups: 1, bias: true };
            self.layers.push(Layer { name: name.to_owned(), operation, output: vec![outputs, 1, 1] });
        }
    }

    /// The largest of 3 x 3, at every second place.
    pub(crate) fn max_pool(&mut self, name: &str) {
        self.shrink(2);
        self.push(name, Operation::MaxPool);
    }

    /// A convolution beside the others, from what the map was at `before`.
    pub(crate) fn shortcut(&mut self, before: &Branch, conv: &str, norm: &str, stride: usize) {
        let outputs = self.channels;
        (self.channels, self.map) = (before.channels, before.map);
        self.conv_norm(conv, norm, outputs, 1, stride, 1);
    }

    /// Where a shortcut begins.
    pub(crate) fn branch(&self) -> Branch {
        Branch { channels: self.channels, map: self.map }
    }

    /// Averages the map and classifies; all layers.
    pub(crate) fn finish(mut self, classifier: &str, n_classes: usize) -> Vec<Layer> {
        let inputs = self.channels;
        let pool =
            Layer { name: "global_pool".to_owned(), operation: Operation::GlobalPool, output: vec![inputs] };
        let operation = Operation::Linear { inputs, outputs: n_classes };
        let linear = Layer { name: classifier.to_owned(), operation, output: vec![n_classes] };
        self.layers.extend([pool, linear]);
        self.layers
    }

    fn shrink(&mut self, stride: usize) {
        self.map = self.map.map(|n| n.div_ceil(stride));
    }

    fn push(&mut self, name: &str, operation: Operation) {
        let output = vec![self.channels, self.map[0], self.map[1]];
        self.layers.push(Layer { name: name.to_owned(), operation, output });
    }
}

/// A place in a [`Walk`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch {
    channels: usize,
    map: [usize; 2],
}
