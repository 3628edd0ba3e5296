//! EfficientNet as numbers. Paper: 1905.11946, table 1 and section 3.3; the released coefficients are not powers of
//! alpha, beta and gamma for one phi, so they are listed.

use crate::layer::{Layer, Walk};

/// How a variant differs from B0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaling {
    /// Factor of channels.
    pub(crate) width: f64,
    /// Factor of blocks a stage.
    pub(crate) depth: f64,
}

/// A whole network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    pub(crate) stem: usize,
    pub(crate) stages: Vec<Vec<Block>>,
    pub(crate) head: usize,
}

/// An inverted residual: expand, depthwise, squeeze and excite, project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) input: usize,
    /// Channels of the depthwise convolution; as many as `input` in the first stage, which does not expand.
    pub(crate) expanded: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Channels between squeeze and excitation: a quarter of `input`, not of `expanded`.
    pub(crate) squeezed: usize,
}

/// The names of a block's layers in timm. In the first stage `conv_pw` projects; elsewhere it expands.
#[derive(Debug, Clone)]
pub(crate) struct BlockNames {
    /// None in the first stage.
    pub(crate) expand: Option<[String; 2]>,
    pub(crate) depthwise: [String; 2],
    pub(crate) reduce: String,
    pub(crate) excite: String,
    pub(crate) project: [String; 2],
}

/// A stage of B0.
struct Stage {
    expansion: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    repeats: usize,
}

const B0: [Stage; 7] = [
    Stage { expansion: 1, output: 16, kernel: 3, stride: 1, repeats: 1 },
    Stage { expansion: 6, output: 24, kernel: 3, stride: 2, repeats: 2 },
    Stage { expansion: 6, output: 40, kernel: 5, stride: 2, repeats: 2 },
    Stage { expansion: 6, output: 80, kernel: 3, stride: 2, repeats: 3 },
    Stage { expansion: 6, output: 112, kernel: 5, stride: 1, repeats: 3 },
    Stage { expansion: 6, output: 192, kernel: 5, stride: 2, repeats: 4 },
    Stage { expansion: 6, output: 320, kernel: 3, stride: 1, repeats: 1 },
];
const B0_STEM: usize = 32;
const B0_HEAD: usize = 1280;

/// The largest drop-connect rate of all released variants, approached by the last block.
const DROP_CONNECT: f64 = 0.2;

impl Description {
    pub(crate) fn new(scaling: Scaling) -> Self {
        let stem = round_filters(B0_STEM, scaling.width);
        let mut input = stem;
        let mut stages = Vec::with_capacity(B0.len());
        for stage in &B0 {
            let output = round_filters(stage.output, scaling.width);
            let blocks = (0..round_repeats(stage.repeats, scaling.depth)).map(|j| {
                let block = Block {
                    input,
                    expanded: input * stage.expansion,
                    output,
                    kernel: stage.kernel,
                    stride: if j == 0 { stage.stride } else { 1 },
                    squeezed: (input / 4).max(1),
                };
                input = output;
                block
            });
            stages.push(blocks.collect());
        }
        Self { stem, stages, head: round_filters(B0_HEAD, scaling.width) }
    }

    /// Channels behind blocks 0, 1, 2, 4 and 6, the last ones at strides 2, 4, 8, 16 and 32.
    pub(crate) fn stage_widths(&self) -> [usize; 5] {
        [0, 1, 2, 4, 6].map(|s: usize| self.stages[s].last().map_or(0, |block| block.output))
    }

    /// The chance to leave a block out in training, growing linearly from 0 over all blocks.
    pub(crate) fn drop_rates(&self) -> Vec<f64> {
        let n_blocks = self.stages.iter().map(Vec::len).sum::<usize>();
        (0..n_blocks).map(|i| DROP_CONNECT * i as f64 / n_blocks as f64).collect()
    }

    pub(crate) fn layers(&self, size: [usize; 2], n_classes: usize) -> Vec<Layer> {
        let mut walk = Walk::new(size);
        walk.conv_norm("conv_stem", "bn1", self.stem, 3, 2, 1);
        for (s, stage) in self.stages.iter().enumerate() {
            for (j, block) in stage.iter().enumerate() {
                let names = BlockNames::new(s, j);
                let expanded = block.expanded;
                if let Some([conv, norm]) = &names.expand {
                    walk.conv_norm(conv, norm, expanded, 1, 1, 1);
                }
                let [conv, norm] = &names.depthwise;
                walk.conv_norm(conv, norm, expanded, block.kernel, block.stride, expanded);
                walk.squeeze_excite(&names.reduce, &names.excite, block.squeezed);
                let [conv, norm] = &names.project;
                walk.conv_norm(conv, norm, block.output, 1, 1, 1);
            }
        }
        walk.conv_norm("conv_head", "bn2", self.head, 1, 1, 1);
        walk.finish("classifier", n_classes)
    }
}

impl Block {
    /// Whether its input is added to its output.
    pub(crate) fn is_residual(&self) -> bool {
        self.stride == 1 && self.input == self.output
    }
}

impl BlockNames {
    /// Of block `j` of stage `s`, both from 0.
    pub(crate) fn new(s: usize, j: usize) -> Self {
        let pair = |conv: &str, norm: &str| [conv, norm].map(|part| format!("blocks.{s}.{j}.{part}"));
        let (expand, depthwise, project) = if s == 0 {
            (None, pair("conv_dw", "bn1"), pair("conv_pw", "bn2"))
        } else {
            (Some(pair("conv_pw", "bn1")), pair("conv_dw", "bn2"), pair("conv_pwl", "bn3"))
        };
        let [reduce, excite] = pair("se.conv_reduce", "se.conv_expand");
        Self { expand, depthwise, reduce, excite, project }
    }
}

/// Scaled channels: a multiple of 8 that is not more than a tenth below.
pub(crate) fn round_filters(channels: usize, width: f64) -> usize {
    const DIVISOR: usize = 8;
    let scaled = channels as f64 * width;
    let rounded = ((scaled + DIVISOR as f64 / 2.0) as usize / DIVISOR * DIVISOR).max(DIVISOR);
    if (rounded as f64) < 0.9 * scaled { rounded + DIVISOR } else { rounded }
}

/// Scaled blocks of a stage, rounded up.
pub(crate) fn round_repeats(repeats: usize, depth: f64) -> usize {
    (depth * repeats as f64).ceil() as usize
}
