//! ResNeXt as numbers. Paper: 1611.05431, table 1, form (c): one grouped convolution a block. The stride of a stage
//! is on its first 3 x 3.

use crate::efficientnet::{round_filters, round_repeats};
use crate::layer::{Layer, Walk};

/// A whole network. One group of 64 channels is the plain ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    /// Blocks of the four stages.
    pub(crate) blocks: [usize; 4],
    /// Groups of every 3 x 3.
    pub(crate) cardinality: usize,
    /// Channels of a group in the first stage.
    pub(crate) group_width: usize,
    /// A quarter of the first stage's output channels; 64 in all published networks.
    pub(crate) planes: usize,
    /// Channels behind the stem; 64 in all published networks.
    pub(crate) stem: usize,
    /// Whether it is for pictures of 32 x 32 (the paper's CIFAR networks): a stem of 3 x 3 that keeps the size, no pooling,
    /// and no fourth stage.
    pub(crate) is_for_small: bool,
    /// Whether blocks have shortcuts; the paper's table 5 takes them away.
    pub(crate) has_shortcuts: bool,
}

/// Output channels of a block over those of a plain bottleneck.
const EXPANSION: usize = 4;

/// A bottleneck: 1 x 1, grouped 3 x 3, 1 x 1, and the shortcut.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// `layer{1..4}.{j}`.
    pub(crate) name: String,
    /// Channels of the grouped convolution.
    pub(crate) width: usize,
    pub(crate) output: usize,
    pub(crate) stride: usize,
    /// Whether something is added to its output: its input, or the shortcut's convolution of it.
    pub(crate) is_residual: bool,
    /// Whether the shortcut is a convolution: where the shape changes (type B).
    pub(crate) projects: bool,
}

impl Description {
    /// The blocks of the four stages.
    pub(crate) fn stages(&self) -> [Vec<Block>; 4] {
        [0, 1, 2, 3].map(|stage: usize| {
            let block = |j: usize| Block {
                name: format!("layer{}.{j}", stage + 1),
                width: (self.group_width << stage) * self.cardinality,
                output: (self.planes << stage) * EXPANSION,
                stride: if stage > 0 && j == 0 { 2 } else { 1 },
                is_residual: self.has_shortcuts,
                projects: self.has_shortcuts && j == 0,
            };
            (0..self.blocks[stage]).map(block).collect()
        })
    }

    /// Channels behind the stem and the four stages. A stage without blocks is what is behind the one before it.
    pub(crate) fn stage_widths(&self) -> [usize; 5] {
        let mut widths = [self.stem; 5];
        for stage in 0..4 {
            widths[stage + 1] =
                if self.blocks[stage] > 0 { (self.planes << stage) * EXPANSION } else { widths[stage] };
        }
        widths
    }

    /// The same rule with every layer wider and every stage deeper. Channels between blocks are rounded as EfficientNet's;
    /// groups keep their width and get more (a single group, which is ResNet's, gets wider).
    pub(crate) fn scaled(self, width: f64, depth: f64) -> Self {
        let rounded = |n: usize| ((n as f64 * width).round() as usize).max(1);
        let (cardinality, group_width) = if self.cardinality == 1 {
            (1, rounded(self.group_width))
        } else {
            (rounded(self.cardinality), self.group_width)
        };
        Self {
            blocks: self.blocks.map(|n| round_repeats(n, depth)),
            cardinality,
            group_width,
            planes: round_filters(self.planes, width),
            stem: round_filters(self.stem, width),
            ..self
        }
    }

    pub(crate) fn layers(&self, size: [usize; 2], n_classes: usize) -> Vec<Layer> {
        let mut walk = Walk::new(size);
        if self.is_for_small {
            walk.conv_norm("conv1", "bn1", self.stem, 3, 1, 1);
        } else {
            walk.conv_norm("conv1", "bn1", self.stem, 7, 2, 1);
            walk.max_pool("maxpool");
        }
        for block in self.stages().iter().flatten() {
            let name = |part: &str| format!("{}.{part}", block.name);
            let before = walk.branch();
            walk.conv_norm(&name("conv1"), &name("bn1"), block.width, 1, 1, 1);
            walk.conv_norm(&name("conv2"), &name("bn2"), block.width, 3, block.stride, self.cardinality);
            walk.conv_norm(&name("conv3"), &name("bn3"), block.output, 1, 1, 1);
            if block.projects {
                walk.shortcut(&before, &name("downsample.0"), &name("downsample.1"), block.stride);
            }
        }
        walk.finish("fc", n_classes)
    }
}
