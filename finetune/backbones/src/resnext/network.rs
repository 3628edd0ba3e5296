//! ResNeXt with weights. Paper: 1611.05431, section 3.
//!
//! b batch, c channels, h and w of the map.

use candle_core::Tensor;
use pretrain_kernels::image::{Activation, MaxPool, Number};
use pretrain_kernels::{max_pool2d, relu};

use super::description::{self, Description};
use crate::Result;
use crate::inference::{self, Folded, Parts, classifier};
use crate::learning;
use crate::modules::{BatchNorm, Convolution, Linear, Mode};
use crate::weights::Modules;

/// Behind the stem.
const POOL: MaxPool = MaxPool { kernel: 3, stride: 2, padding: 1 };

#[derive(Debug)]
pub(crate) struct Network {
    conv: Convolution,
    norm: BatchNorm,
    stages: [Vec<Block>; 4],
    classifier: Linear,
    pools: bool,
}

#[derive(Debug)]
pub(super) struct Block {
    convs: [Convolution; 3],
    norms: [BatchNorm; 3],
    is_residual: bool,
    shortcut: Option<(Convolution, BatchNorm)>,
}

impl Network {
    pub(crate) fn new(description: &Description, modules: &Modules<'_>) -> Result<Self> {
        let stage = |blocks: &[description::Block]| {
            blocks
                .iter()
                .map(|block| Block::new(modules, block, description.cardinality))
                .collect::<Result<Vec<_>>>()
        };
        let [first, second, third, fourth] = description.stages();
        let stages = [stage(&first)?, stage(&second)?, stage(&third)?, stage(&fourth)?];
        let stride = if description.is_for_small { 1 } else { 2 };
        let (conv, norm) = (modules.convolution("conv1", stride, 1)?, modules.batch_norm("bn1")?);
        Ok(Self { conv, norm, stages, classifier: modules.linear("fc")?, pools: !description.is_for_small })
    }

    /// The maps behind the stem's activation and the four stages.
    pub(crate) fn stages(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<[Tensor; 5]> {
        let stem = self.stem(x_bchw, mode)?;
        let x1 = self.blocks(0, &self.pool(&stem)?, mode)?;
        let x2 = self.blocks(1, &x1, mode)?;
        let x3 = self.blocks(2, &x2, mode)?;
        let x4 = self.blocks(3, &x3, mode)?;
        Ok([stem, x1, x2, x3, x4])
    }

    pub(crate) fn stride16_map(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let stem = self.pool(&self.stem(x_bchw, mode)?)?;
        (0..3).try_fold(stem, |x_bchw, stage| self.blocks(stage, &x_bchw, mode))
    }

    /// From the map of stride 16 to that of stride 32, which is averaged.
    pub(crate) fn last_stage(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        self.blocks(3, x_bchw, mode)
    }

    pub(crate) fn classifier(&self) -> &Linear {
        &self.classifier
    }

    /// What a compiled network is made of.
    pub(crate) fn parts<N: Number>(&self) -> Result<Parts<N>> {
        let blocks = |stage: usize| self.stages[stage].iter().map(Block::compiled);
        let stem = Folded::new(&self.conv, &self.norm)?.stem(Activation::Relu);
        let channels = self.conv.w_oihw.dims4()?.0;
        let pooled = self.pools.then_some(Ok(inference::Block::Pool(POOL, channels)));
        Ok(Parts {
            stages: [
                vec![inference::Block::Stem(stem)],
                pooled.into_iter().chain(blocks(0)).collect::<Result<_>>()?,
                blocks(1).collect::<Result<_>>()?,
                blocks(2).collect::<Result<_>>()?,
                blocks(3).collect::<Result<_>>()?,
            ],
            head: None,
            classifier: classifier(&self.classifier)?,
        })
    }

    /// What learns of it.
    pub(crate) fn learning(&self, slots: &learning::Slots) -> Result<learning::Parts> {
        let blocks = self.stages.iter().flatten();
        let blocks = blocks.map(|block| Ok(learning::Block::Bottleneck(block.learning(slots)?)));
        Ok(learning::Parts {
            stem: slots.stem(&self.conv, &self.norm)?,
            activation: Activation::Relu,
            pool: self.pools.then_some(POOL),
            blocks: blocks.collect::<Result<_>>()?,
            head: None,
        })
    }

    fn stem(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        Ok(relu(&self.norm.forward(&self.conv.forward(x_bchw)?, mode)?)?)
    }

    /// The largest of 3 x 3 at every second place; padding never wins.
    fn pool(&self, x_bchw: &Tensor) -> Result<Tensor> {
        if self.pools { Ok(max_pool2d(x_bchw, [3, 3], [2, 2], [1, 1])?) } else { Ok(x_bchw.clone()) }
    }

    fn blocks(&self, stage: usize, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let mut blocks = self.stages[stage].iter();
        blocks.try_fold(x_bchw.clone(), |x_bchw, block| block.forward(&x_bchw, mode))
    }
}

impl Block {
    pub(super) fn new(modules: &Modules<'_>, block: &description::Block, cardinality: usize) -> Result<Self> {
        let name = |part: &str| format!("{}.{part}", block.name);
        let convs = [
            modules.convolution(&name("conv1"), 1, 1)?,
            modules.convolution(&name("conv2"), block.stride, cardinality)?,
            modules.convolution(&name("conv3"), 1, 1)?,
        ];
        let norms = [
            modules.batch_norm(&name("bn1"))?,
            modules.batch_norm(&name("bn2"))?,
            modules.batch_norm(&name("bn3"))?,
        ];
        let shortcut = if block.projects {
            let conv = modules.convolution(&name("downsample.0"), block.stride, 1)?;
            Some((conv, modules.batch_norm(&name("downsample.1"))?))
        } else {
            None
        };
        Ok(Self { convs, norms, is_residual: block.is_residual, shortcut })
    }

    fn compiled<N: Number>(&self) -> Result<inference::Block<N>> {
        let folded = |i: usize| Folded::new(&self.convs[i], &self.norms[i]);
        let shortcut = self.shortcut.as_ref().map(|(conv, norm)| Folded::new(conv, norm)).transpose()?;
        Ok(inference::Block::Bottleneck {
            convs: [
                folded(0)?.layer(Activation::Relu),
                folded(1)?.layer(Activation::Relu),
                folded(2)?.layer(Activation::Relu),
            ],
            shortcut: shortcut.map(|shortcut| shortcut.layer(Activation::None)),
            is_residual: self.is_residual,
        })
    }

    fn learning(&self, slots: &learning::Slots) -> Result<learning::Bottleneck> {
        let layer = |i: usize| slots.dense(&self.convs[i], &self.norms[i]);
        let shortcut = self.shortcut.as_ref().map(|(conv, norm)| slots.dense(conv, norm));
        Ok(learning::Bottleneck {
            layers: [layer(0)?, layer(1)?, layer(2)?],
            shortcut: shortcut.transpose()?,
            is_residual: self.is_residual,
        })
    }

    pub(super) fn forward(&self, input_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let normed = |i: usize, x_bchw: &Tensor| self.norms[i].forward(&self.convs[i].forward(x_bchw)?, mode);
        let x_bchw = relu(&normed(0, input_bchw)?)?;
        let x_bchw = relu(&normed(1, &x_bchw)?)?;
        let x_bchw = normed(2, &x_bchw)?;
        let sum_bchw = match &self.shortcut {
            Some((conv, norm)) => (x_bchw + norm.forward(&conv.forward(input_bchw)?, mode)?)?,
            None if self.is_residual => (x_bchw + input_bchw)?,
            None => x_bchw,
        };
        Ok(relu(&sum_bchw)?)
    }
}
