//! EfficientNet's block that learns: expand, depthwise, squeeze and excite, project. Paper: 1801.04381, section 3.3.
//!
//! b pictures, c channels. Of a block stay the maps before its three normalisations and its output. The gradient of the
//! gated map d_p is written once: how it falls to the factors, and through them to the means, is a matter of sums over a
//! picture, `d_z = (g d_p + l) f'(z)`, with `Σ d_z = g Σ d_p f'(z) + l Σ f'(z)`.

use pretrain_kernels::image::training::{
    Activated, Beside, Excited, Gate, GateGradients, Gradient, Sink, Source, Sums, activation_sums, join,
};
use pretrain_kernels::image::{Activation, Maps};

use super::layer::{Ahead, Back, Feed, Kept, Layer, Slot};
use crate::Result;

#[derive(Debug)]
pub(crate) struct Inverted {
    pub(crate) expand: Option<Layer>,
    pub(crate) depthwise: Layer,
    pub(crate) gate: GateSlots,
    pub(crate) project: Layer,
    pub(crate) is_residual: bool,
    /// Its number, and the number of all blocks.
    pub(crate) place: [usize; 2],
}

/// Weights and biases of squeeze and excitation.
#[derive(Debug)]
pub(crate) struct GateSlots {
    pub(crate) reduce: [Slot; 2],
    pub(crate) excite: [Slot; 2],
}

#[derive(Debug, Default)]
pub(crate) struct InvertedKept {
    expand: Kept,
    depthwise: Kept,
    /// Of the activation behind the depthwise convolution.
    sums: Sums,
    excited: Excited,
    project: Kept,
    /// Of every picture: drop-connect's.
    factors_b: Option<Vec<f32>>,
    x: Maps<f32>,
}

/// Maps of the way back.
#[derive(Debug, Default)]
pub(crate) struct InvertedSpace {
    gated: Maps<f32>,
    wide: Maps<f32>,
}

impl InvertedKept {
    /// What the next block reads.
    pub(crate) fn feed(&self) -> Feed<'_> {
        let sink = Sink::Slope(self.project.behind(Activation::None));
        Feed { source: Source::Plain(self.x.all()), sink }
    }
}

impl Inverted {
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.expand.iter().chain([&self.depthwise, &self.project])
    }

    /// Whether it adds what it reads without a convolution in between, so that it needs a map.
    pub(crate) fn reads_maps(&self) -> bool {
        self.is_residual || self.expand.is_some()
    }

    pub(crate) fn forward(
        &self,
        ahead: &mut Ahead<'_>,
        feed: &Feed<'_>,
        kept: &mut InvertedKept,
    ) -> Result<()> {
        let wide = match &self.expand {
            Some(expand) => {
                expand.forward(ahead, &feed.source, &mut kept.expand)?;
                kept.expand.activated(Activation::Swish)
            }
            None => feed.source,
        };
        self.depthwise.forward(ahead, &wide, &mut kept.depthwise)?;
        let (batch, size) = kept.depthwise.sizes();
        kept.sums = activation_sums(ahead.path, &kept.depthwise.behind(Activation::Swish));
        let area = (size[0] * size[1]) as f64;
        let means_bc = kept.sums.of_pictures(0).iter().map(|sum| (sum / area) as f32).collect();
        kept.excited = self.gate.with(|gate| gate.forward(means_bc))?;
        let gated = gated(&kept.depthwise, &kept.excited);
        self.project.forward(ahead, &gated, &mut kept.project)?;
        let beside = match (&feed.source, self.is_residual) {
            (Source::Plain(x), true) => Beside::Map(*x),
            _ => Beside::Nothing,
        };
        let factors_b = ahead.pass.drop_factors(self.place).filter(|_| self.is_residual);
        kept.factors_b = factors_b.map(|factors| factors.iter().map(|factor| *factor as f32).collect());
        kept.x.reshape_dense(batch, size, self.project.outputs());
        let behind = kept.project.behind(Activation::None);
        join(ahead.path, &behind, kept.factors_b.as_deref(), beside, kept.x.all_mut());
        Ok(())
    }

    /// From the gradient of its output, and the sums that came with it, to that of what it read.
    pub(crate) fn backward(
        &self,
        back: &mut Back<'_>,
        (d, sums): (&Maps<f32>, Sums),
        feed: &Feed<'_>,
        kept: &InvertedKept,
        space: &mut InvertedSpace,
        d_x: &mut Maps<f32>,
    ) -> Result<Sums> {
        // ---- the projection
        let factors = kept.factors_b.as_deref();
        let totals = [0, 1].map(|kind| sums.totals(kind, factors));
        let terms = self.project.terms(back, &kept.project.norm, [&totals[0], &totals[1]]);
        let pixel = totals[0].len();
        let factors_bc: Option<Vec<f32>> = factors
            .map(|factors| factors.iter().flat_map(|factor| std::iter::repeat_n(*factor, pixel)).collect());
        let d_project = Source::Gradient(Gradient {
            d: Some(d.all()),
            gates_bc: factors_bc.as_deref(),
            levels_bc: None,
            y: kept.project.y.all(),
            norm: &kept.project.norm,
            activation: Activation::None,
            terms: &terms,
        });
        self.project.weight_gradient(back, &d_project, &gated(&kept.depthwise, &kept.excited));
        let (batch, size) = kept.depthwise.sizes();
        let sink = Sink::Gated(kept.depthwise.behind(Activation::Swish));
        let gated = self.project.input_gradient(back, &d_project, size, None, &sink, &mut space.gated)?;

        // ---- the gate
        let d_gates: Vec<f32> = gated.of_pictures(0).iter().map(|sum| *sum as f32).collect();
        let mut levels_bc = self.gate.backward(back, &kept.excited, &d_gates)?;
        let area = (size[0] * size[1]) as f32;
        levels_bc.iter_mut().for_each(|level| *level /= area);

        // ---- the depthwise convolution
        let gates_bc = &kept.excited.gates_bc;
        let wide = gates_bc.len() / batch.max(1);
        let totals = [1, 2].map(|kind| {
            let (of_gated, of_means) = (gated.of_pictures(kind), kept.sums.of_pictures(kind));
            let mut totals = vec![0.0f64; wide];
            for (at, (gated, means)) in of_gated.iter().zip(&of_means).enumerate() {
                totals[at % wide] += f64::from(gates_bc[at]) * gated + f64::from(levels_bc[at]) * means;
            }
            totals
        });
        let terms = self.depthwise.terms(back, &kept.depthwise.norm, [&totals[0], &totals[1]]);
        let d_depthwise = Source::Gradient(Gradient {
            d: Some(space.gated.all()),
            gates_bc: Some(gates_bc),
            levels_bc: Some(&levels_bc),
            y: kept.depthwise.y.all(),
            norm: &kept.depthwise.norm,
            activation: Activation::Swish,
            terms: &terms,
        });
        let past = self.is_residual.then(|| d.all());
        let Some(expand) = &self.expand else {
            return self.depthwise.depthwise_gradients(
                back,
                &d_depthwise,
                &feed.source,
                past,
                &feed.sink,
                d_x,
            );
        };
        let x = kept.expand.activated(Activation::Swish);
        let sink = Sink::Slope(kept.expand.behind(Activation::Swish));
        let sums =
            self.depthwise.depthwise_gradients(back, &d_depthwise, &x, None, &sink, &mut space.wide)?;

        // ---- the expansion
        let totals = [0, 1].map(|kind| sums.totals(kind, None));
        let terms = expand.terms(back, &kept.expand.norm, [&totals[0], &totals[1]]);
        let d_expand = Source::Gradient(Gradient {
            d: Some(space.wide.all()),
            gates_bc: None,
            levels_bc: None,
            y: kept.expand.y.all(),
            norm: &kept.expand.norm,
            activation: Activation::None,
            terms: &terms,
        });
        expand.weight_gradient(back, &d_expand, &feed.source);
        let (_, size) = kept.expand.sizes();
        expand.input_gradient(back, &d_expand, size, past, &feed.sink, d_x)
    }
}

/// What the projection reads.
fn gated<'a>(depthwise: &'a Kept, excited: &'a Excited) -> Source<'a> {
    Source::Activated(Activated {
        y: depthwise.y.all(),
        norm: &depthwise.norm,
        activation: Activation::Swish,
        gates_bc: Some(&excited.gates_bc),
    })
}

impl GateSlots {
    fn with<R>(&self, work: impl FnOnce(Gate<'_>) -> R) -> Result<R> {
        let [[reduce, reduce_bias], [excite, excite_bias]] = [
            [self.reduce[0].numbers()?, self.reduce[1].numbers()?],
            [self.excite[0].numbers()?, self.excite[1].numbers()?],
        ];
        Ok(work(Gate {
            reduce: &reduce,
            reduce_bias: &reduce_bias,
            excite: &excite,
            excite_bias: &excite_bias,
        }))
    }

    fn backward(&self, back: &mut Back<'_>, excited: &Excited, d_gates_bc: &[f32]) -> Result<Vec<f32>> {
        let zeros = |slot: &Slot| slot.look(|numbers| vec![0.0; numbers.len()]);
        let mut reduce = [zeros(&self.reduce[0])?, zeros(&self.reduce[1])?];
        let mut excite = [zeros(&self.excite[0])?, zeros(&self.excite[1])?];
        let d_means_bc = self.with(|gate| {
            let ([reduce, reduce_bias], [excite, excite_bias]) = (&mut reduce, &mut excite);
            let gradients = GateGradients { reduce, reduce_bias, excite, excite_bias };
            gate.backward(excited, d_gates_bc, gradients)
        })?;
        for (slot, gradient) in self.reduce.iter().zip(&reduce).chain(self.excite.iter().zip(&excite)) {
            back.add(slot, gradient);
        }
        Ok(d_means_bc)
    }
}
