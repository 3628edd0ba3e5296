//! EfficientNet with weights. Paper: 1905.11946, table 1; blocks as in 1801.04381, section 3.3, and 1709.01507.
//!
//! b batch, c channels, h and w of the map, s squeezed channels.

use candle_core::Tensor;
use pretrain_kernels::image::{Activation, Number};
use pretrain_kernels::{global_average_pool, scale_channels, sigmoid, swish};

use super::description::{self, BlockNames, Description};
use crate::inference::{self, Parts, classifier, excitation};
use crate::learning;
use crate::modules::{BatchNorm, Convolution, Linear, Mode};
use crate::weights::Modules;
use crate::{Error, Result};

/// Blocks of this stage and before make the map of stride 16.
const STRIDE_16: usize = 4;

#[derive(Debug)]
pub(crate) struct Network {
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    head: ConvNorm,
    classifier: Linear,
}

#[derive(Debug)]
struct ConvNorm {
    conv: Convolution,
    norm: BatchNorm,
}

#[derive(Debug)]
struct Block {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    reduce: Convolution,
    excite: Convolution,
    project: ConvNorm,
    is_residual: bool,
    /// Its number, and the number of all blocks.
    place: [usize; 2],
}

impl Network {
    pub(crate) fn new(description: &Description, modules: &Modules<'_>) -> Result<Self> {
        let stem = ConvNorm::new(modules, &["conv_stem".to_owned(), "bn1".to_owned()], 2, 1)?;
        let n_blocks = description.stages.iter().map(Vec::len).sum();
        let mut numbers = 0..n_blocks;
        let mut block = |s, (j, shape)| {
            let number = numbers.next().unwrap_or_default();
            Block::new(modules, &BlockNames::new(s, j), shape, [number, n_blocks])
        };
        let stages =
            description.stages.iter().enumerate().map(|(s, blocks)| {
                blocks.iter().enumerate().map(|shape| block(s, shape)).collect::<Result<_>>()
            });
        let stages = stages.collect::<Result<_>>()?;
        let head = ConvNorm::new(modules, &["conv_head".to_owned(), "bn2".to_owned()], 1, 1)?;
        Ok(Self { stem, stages, head, classifier: modules.linear("classifier")? })
    }

    /// The maps behind blocks 0, 1, 2, 4 and 6.
    pub(crate) fn stages(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<[Tensor; 5]> {
        let x0 = self.blocks(0..1, &self.stem.activated(x_bchw, mode)?, mode)?;
        let x1 = self.blocks(1..2, &x0, mode)?;
        let x2 = self.blocks(2..3, &x1, mode)?;
        let x4 = self.blocks(3..STRIDE_16 + 1, &x2, mode)?;
        let x6 = self.blocks(STRIDE_16 + 1..7, &x4, mode)?;
        Ok([x0, x1, x2, x4, x6])
    }

    pub(crate) fn stride16_map(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.blocks(0..STRIDE_16 + 1, &self.stem.activated(x_bchw, mode)?, mode)
    }

    /// From the map of stride 16 to that of stride 32.
    pub(crate) fn last_stage(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.blocks(STRIDE_16 + 1..7, x_bchw, mode)
    }

    /// From the last stage to what is averaged.
    pub(crate) fn head(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.head.activated(x_bchw, mode)
    }

    pub(crate) fn classifier(&self) -> &Linear {
        &self.classifier
    }

    /// What a compiled network is made of.
    pub(crate) fn parts<N: Number>(&self) -> Result<Parts<N>> {
        let blocks = |stages: std::ops::Range<usize>| {
            self.stages[stages].iter().flatten().map(Block::compiled).collect::<Result<Vec<_>>>()
        };
        let mut first = vec![inference::Block::Stem(self.stem.folded()?.stem(Activation::Swish))];
        first.extend(blocks(0..1)?);
        Ok(Parts {
            stages: [
                first,
                blocks(1..2)?,
                blocks(2..3)?,
                blocks(3..STRIDE_16 + 1)?,
                blocks(STRIDE_16 + 1..7)?,
            ],
            head: Some(inference::Block::Single(self.head.folded()?.layer(Activation::Swish))),
            classifier: classifier(&self.classifier)?,
        })
    }

    /// What learns of it.
    pub(crate) fn learning(&self, slots: &learning::Slots) -> Result<learning::Parts> {
        let blocks = self.stages.iter().flatten();
        let blocks = blocks.map(|block| Ok(learning::Block::Inverted(block.learning(slots)?)));
        Ok(learning::Parts {
            stem: slots.stem(&self.stem.conv, &self.stem.norm)?,
            activation: Activation::Swish,
            pool: None,
            blocks: blocks.collect::<Result<_>>()?,
            head: Some(slots.dense(&self.head.conv, &self.head.norm)?),
        })
    }

    fn blocks(&self, stages: std::ops::Range<usize>, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let mut blocks = self.stages[stages].iter().flatten();
        blocks.try_fold(x_bchw.clone(), |x_bchw, block| block.forward(&x_bchw, mode))
    }
}

impl ConvNorm {
    fn new(modules: &Modules<'_>, [conv, norm]: &[String; 2], stride: usize, groups: usize) -> Result<Self> {
        Ok(Self { conv: modules.convolution(conv, stride, groups)?, norm: modules.batch_norm(norm)? })
    }

    fn folded(&self) -> Result<inference::Folded> {
        inference::Folded::new(&self.conv, &self.norm)
    }

    fn linear(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x_bchw)?, mode)
    }

    fn activated(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        Ok(swish(&self.linear(x_bchw, mode)?)?)
    }
}

impl Block {
    fn new(
        modules: &Modules<'_>,
        names: &BlockNames,
        block: &description::Block,
        place: [usize; 2],
    ) -> Result<Self> {
        let expand = names.expand.as_ref().map(|names| ConvNorm::new(modules, names, 1, 1)).transpose()?;
        Ok(Self {
            expand,
            depthwise: ConvNorm::new(modules, &names.depthwise, block.stride, block.expanded)?,
            reduce: modules.convolution_with_bias(&names.reduce)?,
            excite: modules.convolution_with_bias(&names.excite)?,
            project: ConvNorm::new(modules, &names.project, 1, 1)?,
            is_residual: block.is_residual(),
            place,
        })
    }

    fn compiled<N: Number>(&self) -> Result<inference::Block<N>> {
        let expand = self
            .expand
            .as_ref()
            .map(|expand| Ok::<_, crate::Error>(expand.folded()?.layer(Activation::Swish)));
        Ok(inference::Block::Inverted {
            expand: expand.transpose()?,
            depthwise: self.depthwise.folded()?.depthwise(Activation::Swish),
            width: self.depthwise.conv.groups,
            excitation: excitation(&self.reduce, &self.excite)?,
            project: self.project.folded()?.layer(Activation::None),
            is_residual: self.is_residual,
        })
    }

    fn learning(&self, slots: &learning::Slots) -> Result<learning::Inverted> {
        let expand = self.expand.as_ref().map(|expand| slots.dense(&expand.conv, &expand.norm));
        let gate = |conv: &Convolution| {
            let bias_o =
                conv.bias_o.as_ref().ok_or_else(|| Error::Internal { tensor: "a gate's bias".to_owned() });
            Ok::<_, Error>([slots.of(&conv.w_oihw)?, slots.of(bias_o?)?])
        };
        Ok(learning::Inverted {
            expand: expand.transpose()?,
            depthwise: slots.depthwise(&self.depthwise.conv, &self.depthwise.norm)?,
            gate: learning::GateSlots { reduce: gate(&self.reduce)?, excite: gate(&self.excite)? },
            project: slots.dense(&self.project.conv, &self.project.norm)?,
            is_residual: self.is_residual,
            place: self.place,
        })
    }

    fn forward(&self, input_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let expanded = self.expand.as_ref().map(|expand| expand.activated(input_bchw, mode)).transpose()?;
        let x_bchw = self.depthwise.activated(expanded.as_ref().unwrap_or(input_bchw), mode)?;
        let gated_bchw = scale_channels(&x_bchw, &self.gate(&x_bchw)?)?;
        // no activation behind the projection: the bottleneck is linear
        let y_bchw = self.project.linear(&gated_bchw, mode)?;
        if !self.is_residual {
            return Ok(y_bchw);
        }
        let y_bchw = match mode {
            Mode::Inference => y_bchw,
            Mode::Training(pass) => pass.drop_connect(&y_bchw, self.place)?,
        };
        Ok((y_bchw + input_bchw)?)
    }

    /// Squeeze and excitation: a factor for every channel, `[b, c]`.
    fn gate(&self, x_bchw: &Tensor) -> Result<Tensor> {
        let squeezed_bs = swish(&self.reduce.on_averages(&global_average_pool(x_bchw)?)?)?;
        Ok(sigmoid(&self.excite.on_averages(&squeezed_bs)?)?)
    }
}
