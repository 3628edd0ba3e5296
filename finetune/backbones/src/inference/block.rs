//! The blocks of both families on maps.

use pretrain_kernels::Padding;
use pretrain_kernels::image::{
    Convolution, Depthwise, Excitation, Maps, MaxPool, Number, VectorPath, View, ViewMut,
};

use crate::modules::PaddingRule;
use crate::{Error, Result};

/// A convolution of a network, with its rule for borders.
#[derive(Debug)]
pub(crate) struct Layer<C> {
    pub(crate) conv: C,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) rule: PaddingRule,
}

/// What goes from maps to maps as a whole.
#[derive(Debug)]
pub(crate) enum Block<N> {
    /// Of pictures: only the first.
    Stem(Layer<Convolution<N>>),
    Pool(MaxPool, usize),
    Single(Layer<Convolution<N>>),
    /// Expand, depthwise, squeeze and excite, project.
    Inverted {
        expand: Option<Layer<Convolution<N>>>,
        depthwise: Layer<Depthwise>,
        width: usize,
        excitation: Excitation,
        project: Layer<Convolution<N>>,
        is_residual: bool,
    },
    /// 1 x 1, grouped 3 x 3, 1 x 1; the shortcut is added before the last activation.
    Bottleneck {
        convs: [Layer<Convolution<N>>; 3],
        shortcut: Option<Layer<Convolution<N>>>,
        /// Whether anything is added at all.
        is_residual: bool,
    },
}

/// Maps inside of blocks, and between them.
#[derive(Debug)]
pub(crate) struct Space<N> {
    pictures: Maps<N>,
    /// Behind the stem.
    seen: Maps<N>,
    between: [Maps<N>; 2],
    inner: [Maps<N>; 2],
}

impl<N: Number> Default for Space<N> {
    fn default() -> Self {
        Self {
            pictures: Maps::default(),
            seen: Maps::default(),
            between: Default::default(),
            inner: Default::default(),
        }
    }
}

impl<C> Layer<C> {
    fn padding(&self, size: [usize; 2]) -> Padding {
        self.rule.padding(size, [self.kernel; 2], [self.stride; 2])
    }

    /// Both families pad so that only the stride makes maps smaller.
    fn size(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|n| n.div_ceil(self.stride))
    }
}

impl<N: Number> Layer<Convolution<N>> {
    fn run(
        &self,
        path: VectorPath,
        x: View<'_, N>,
        factors_bc: Option<&[f32]>,
        shortcut: Option<View<'_, N>>,
        y: ViewMut<'_, N>,
    ) {
        let [_, _, height, width] = x.dims();
        self.conv.run(path, x, self.padding([height, width]), factors_bc, shortcut, y);
    }

    /// Into maps that take the shape.
    fn run_into(&self, path: VectorPath, x: View<'_, N>, y: &mut Maps<N>) {
        let [batch, _, height, width] = x.dims();
        y.reshape(batch, self.size([height, width]), self.conv.outputs());
        self.run(path, x, None, None, y.all_mut());
    }
}

impl<N: Number> Block<N> {
    /// Channels of what it makes.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Stem(layer) | Self::Single(layer) | Self::Inverted { project: layer, .. } => {
                layer.conv.outputs()
            }
            Self::Bottleneck { convs: [_, _, layer], .. } => layer.conv.outputs(),
            Self::Pool(_, channels) => *channels,
        }
    }

    /// The size of what it makes of maps of `size`, and the numbers a picture that it has in use, beside its input.
    pub(crate) fn sizes(&self, size: [usize; 2]) -> Result<([usize; 2], usize)> {
        let area = |[h, w]: [usize; 2]| h * w;
        let outputs = self.outputs();
        Ok(match self {
            Self::Stem(layer) | Self::Single(layer) => {
                let to = layer.size(size);
                (to, area(to) * outputs)
            }
            Self::Pool(pool, channels) => {
                let to = pool.output_size(size).ok_or_else(|| Error::Input {
                    tensor: "the map before the pooling",
                    expected: "at least 1 x 1".to_owned(),
                    got: format!("{} x {}", size[0], size[1]),
                })?;
                (to, (area(to) + area(size)) * channels)
            }
            Self::Inverted { expand, depthwise, width, .. } => {
                let to = depthwise.size(size);
                let before = if expand.is_some() { area(size) } else { 0 };
                (to, (before + area(to)) * width + area(to) * outputs)
            }
            Self::Bottleneck { convs: [first, second, _], .. } => {
                let to = second.size(size);
                (to, (area(size) + area(to)) * first.conv.outputs() + 2 * area(to) * outputs)
            }
        })
    }

    fn forward(&self, path: VectorPath, x: View<'_, N>, inner: &mut [Maps<N>; 2], y: ViewMut<'_, N>) {
        let [batch, _, height, width] = x.dims();
        let [first_maps, second_maps] = inner;
        match self {
            Self::Stem(layer) => layer.conv.run(path, x, Padding::default(), None, None, y),
            Self::Single(layer) => layer.run(path, x, None, None, y),
            Self::Pool(pool, _) => pool.run(path, x, y),
            Self::Inverted { expand, depthwise, width: channels, excitation, project, is_residual } => {
                let wide = match expand {
                    Some(expand) => {
                        expand.run_into(path, x, first_maps);
                        first_maps.all()
                    }
                    None => x,
                };
                second_maps.reshape(batch, depthwise.size([height, width]), *channels);
                let padding = depthwise.padding([height, width]);
                let means_bc = depthwise.conv.run(path, wide, padding, second_maps.all_mut());
                let factors_bc = excitation.factors(path, &means_bc);
                // no activation behind the projection: the bottleneck is linear
                project.run(path, second_maps.all(), Some(&factors_bc), is_residual.then_some(x), y);
            }
            Self::Bottleneck { convs: [first, second, third], shortcut, is_residual } => {
                first.run_into(path, x, first_maps);
                second.run_into(path, first_maps.all(), second_maps);
                let beside = match shortcut {
                    Some(shortcut) => {
                        shortcut.run_into(path, x, first_maps);
                        first_maps.all()
                    }
                    None => x,
                };
                third.run(path, second_maps.all(), None, is_residual.then_some(beside), y);
            }
        }
    }
}

/// All blocks one after the other.
fn chain<N: Number>(
    path: VectorPath,
    blocks: &[Block<N>],
    x: View<'_, N>,
    between: &mut [Maps<N>; 2],
    inner: &mut [Maps<N>; 2],
    y: ViewMut<'_, N>,
) -> Result<()> {
    let [from, to] = between;
    let Some((last, blocks)) = blocks.split_last() else { return Ok(()) };
    let [batch, _, height, width] = x.dims();
    let mut size = [height, width];
    for (i, block) in blocks.iter().enumerate() {
        (size, _) = block.sizes(size)?;
        to.reshape(batch, size, block.outputs());
        let x = if i == 0 { x } else { from.all() };
        block.forward(path, x, inner, to.all_mut());
        std::mem::swap(from, to);
    }
    let x = if blocks.is_empty() { x } else { from.all() };
    last.forward(path, x, inner, y);
    Ok(())
}

impl<N: Number> Space<N> {
    /// Blocks whose first sees pictures in a tensor's order.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, c, h, w\]
    pub(crate) fn pass_pictures(
        &mut self,
        path: VectorPath,
        blocks: &[Block<N>],
        x_bchw: &[f32],
        shape: [usize; 4],
        y: ViewMut<'_, N>,
    ) -> Result<()> {
        let [batch, _, height, width] = shape;
        let Some((stem @ Block::Stem(layer), rest)) = blocks.split_first() else { return Ok(()) };
        let Padding { top, bottom, left, right } = layer.padding([height, width]);
        self.pictures.take_pictures(x_bchw, shape, [top, bottom], [left, right]);
        if rest.is_empty() {
            stem.forward(path, self.pictures.all(), &mut self.inner, y);
            return Ok(());
        }
        let (size, _) = stem.sizes([height, width])?;
        let mut seen = std::mem::take(&mut self.seen);
        seen.reshape(batch, size, stem.outputs());
        stem.forward(path, self.pictures.all(), &mut self.inner, seen.all_mut());
        let done = chain(path, rest, seen.all(), &mut self.between, &mut self.inner, y);
        self.seen = seen;
        done
    }

    /// Blocks from maps.
    pub(crate) fn pass_maps(
        &mut self,
        path: VectorPath,
        blocks: &[Block<N>],
        x: View<'_, N>,
        y: ViewMut<'_, N>,
    ) -> Result<()> {
        chain(path, blocks, x, &mut self.between, &mut self.inner, y)
    }
}
