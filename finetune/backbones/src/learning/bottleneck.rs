//! ResNeXt's block that learns: 1 x 1, grouped 3 x 3, 1 x 1; the shortcut is added before the last activation. Paper:
//! 1611.05431, section 3.
//!
//! Of a block stay the maps before its normalisations and its output. What the grouped convolution reads, either way, is laid
//! out as a map that all blocks share.

use pretrain_kernels::image::training::{Beside, Gradient, Norm, Sink, Source, Sums, Terms, join, lay_out};
use pretrain_kernels::image::{Activation, Maps};

use super::layer::{Ahead, Back, Feed, Kept, Layer};
use crate::Result;

#[derive(Debug)]
pub(crate) struct Bottleneck {
    pub(crate) layers: [Layer; 3],
    pub(crate) shortcut: Option<Layer>,
    /// Whether anything is added at all.
    pub(crate) is_residual: bool,
}

#[derive(Debug, Default)]
pub(crate) struct BottleneckKept {
    layers: [Kept; 3],
    shortcut: Option<Kept>,
    x: Maps<f32>,
}

/// Maps that blocks share.
#[derive(Debug, Default)]
pub(crate) struct BottleneckSpace {
    laid_out: Maps<f32>,
    inner: [Maps<f32>; 2],
    past: Maps<f32>,
}

/// The gradient of a layer's map, d_z having been computed.
fn gradient<'a>(d: &'a Maps<f32>, kept: &'a Kept, terms: &'a Terms) -> Source<'a> {
    let norm: &Norm = &kept.norm;
    Source::Gradient(Gradient {
        d: Some(d.all()),
        gates_bc: None,
        levels_bc: None,
        y: kept.y.all(),
        norm,
        activation: Activation::None,
        terms,
    })
}

impl BottleneckKept {
    /// What the next block reads.
    pub(crate) fn feed(&self) -> Feed<'_> {
        let last = &self.layers[2];
        let beside = self.shortcut.as_ref().map(|shortcut| (shortcut.y.all(), &shortcut.norm));
        let sink = Sink::Joined { sum: self.x.all(), y: (last.y.all(), &last.norm), beside };
        Feed { source: Source::Plain(self.x.all()), sink }
    }
}

impl Bottleneck {
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain(&self.shortcut)
    }

    pub(crate) fn forward(
        &self,
        ahead: &mut Ahead<'_>,
        feed: &Feed<'_>,
        kept: &mut BottleneckKept,
        space: &mut BottleneckSpace,
    ) -> Result<()> {
        let [first, second, third] = &self.layers;
        let [kept_first, kept_second, kept_third] = &mut kept.layers;
        first.forward(ahead, &feed.source, kept_first)?;
        let (batch, size) = kept_first.sizes();
        space.laid_out.reshape_dense(batch, size, first.outputs());
        lay_out(ahead.path, &kept_first.activated(Activation::Relu), space.laid_out.all_mut());
        second.forward(ahead, &Source::Plain(space.laid_out.all()), kept_second)?;
        third.forward(ahead, &kept_second.activated(Activation::Relu), kept_third)?;
        if let Some(shortcut) = &self.shortcut {
            shortcut.forward(ahead, &feed.source, kept.shortcut.get_or_insert_default())?;
        }
        let beside = match (&kept.shortcut, &feed.source) {
            (Some(shortcut), _) => Beside::Normed(shortcut.y.all(), &shortcut.norm),
            (None, Source::Plain(x)) if self.is_residual => Beside::Map(*x),
            _ => Beside::Nothing,
        };
        let (batch, size) = kept_third.sizes();
        kept.x.reshape_dense(batch, size, third.outputs());
        join(ahead.path, &kept_third.behind(Activation::Relu), None, beside, kept.x.all_mut());
        Ok(())
    }

    /// From the gradient of its sum before the last activation, and the sums that came with it, to that of what it read.
    pub(crate) fn backward(
        &self,
        back: &mut Back<'_>,
        (d, sums): (&Maps<f32>, Sums),
        feed: &Feed<'_>,
        kept: &BottleneckKept,
        space: &mut BottleneckSpace,
        d_x: &mut Maps<f32>,
    ) -> Result<Sums> {
        let path = back.path;
        let [first, second, third] = &self.layers;
        let [kept_first, kept_second, kept_third] = &kept.layers;
        let [from, to] = &mut space.inner;
        let d_sum = sums.totals(0, None);
        let [_, _, height, width] = feed.source.dims();
        let size = [height, width];

        // ---- the third convolution
        let terms = third.terms(back, &kept_third.norm, [&d_sum, &sums.totals(1, None)]);
        let d_third = gradient(d, kept_third, &terms);
        third.weight_gradient(back, &d_third, &kept_second.activated(Activation::Relu));
        let (batch, inner_size) = kept_second.sizes();
        let sink = Sink::Slope(kept_second.behind(Activation::Relu));
        let inner = third.input_gradient(back, &d_third, inner_size, None, &sink, from)?;

        // ---- the second, over a map
        let terms = second.terms(back, &kept_second.norm, [&inner.totals(0, None), &inner.totals(1, None)]);
        space.laid_out.reshape_dense(batch, inner_size, second.outputs());
        lay_out(path, &gradient(from, kept_second, &terms), space.laid_out.all_mut());
        let d_second = Source::Plain(space.laid_out.all());
        second.weight_gradient(back, &d_second, &kept_first.activated(Activation::Relu));
        let sink = Sink::Slope(kept_first.behind(Activation::Relu));
        let inner = second.input_gradient(back, &d_second, size, None, &sink, to)?;

        // ---- what goes past
        let mut past = self.is_residual.then(|| d.all());
        if let (Some(shortcut), Some(kept)) = (&self.shortcut, &kept.shortcut) {
            let terms = shortcut.terms(back, &kept.norm, [&d_sum, &sums.totals(2, None)]);
            let mut d_shortcut = gradient(d, kept, &terms);
            if shortcut.reads_maps() {
                let (batch, size) = kept.sizes();
                space.laid_out.reshape_dense(batch, size, shortcut.outputs());
                lay_out(path, &d_shortcut, space.laid_out.all_mut());
                d_shortcut = Source::Plain(space.laid_out.all());
            }
            shortcut.weight_gradient(back, &d_shortcut, &feed.source);
            shortcut.input_gradient(back, &d_shortcut, size, None, &Sink::Nothing, &mut space.past)?;
            past = Some(space.past.all());
        }

        // ---- the first convolution
        let terms = first.terms(back, &kept_first.norm, [&inner.totals(0, None), &inner.totals(1, None)]);
        let d_first = gradient(to, kept_first, &terms);
        first.weight_gradient(back, &d_first, &feed.source);
        first.input_gradient(back, &d_first, size, past, &feed.sink, d_x)
    }
}
