//! A convolution and its normalisation that learn, and what of them is kept for the way back.

use std::collections::HashMap;

use candle_core::{Storage, Tensor, TensorId};
use pretrain_kernels::Padding;
use pretrain_kernels::image::training::{
    Activated, Behind, Depthwise, Filter, Norm, Packed, Sink, Source, Sums, Terms, convolve, grouped_fits,
    grouped_gradient, pointwise_gradient, stem_gradient,
};
use pretrain_kernels::image::{Activation, Maps, VectorPath, View};
use pretrain_training::{Gradients, Parameters, Reached};

use crate::modules::{self, BatchNorm, PaddingRule};
use crate::training_pass::TrainingPass;
use crate::{Error, Result};

/// Which parameter a tensor is.
pub(crate) struct Slots(HashMap<TensorId, usize>);

/// A parameter, and its number.
#[derive(Debug)]
pub(crate) struct Slot {
    tensor: Tensor,
    number: usize,
}

/// How a layer's weights are laid over its input.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Of pictures.
    Stem,
    Dense,
    Depthwise,
}

/// A convolution without bias, then batch normalisation.
#[derive(Debug)]
pub(crate) struct Layer {
    kind: Kind,
    filter: Filter,
    rule: PaddingRule,
    weight: Slot,
    name: String,
    norm_weight: Slot,
    norm_bias: Slot,
    mean_c: Tensor,
    variance_c: Tensor,
    epsilon: f64,
}

/// What a layer made: the map before normalisation, and what that is.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) y: Maps<f32>,
    pub(crate) norm: Norm,
}

/// What a block reads, and where the gradient of it goes.
#[derive(Clone, Copy)]
pub(crate) struct Feed<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) sink: Sink<'a>,
}

/// The way there.
pub(crate) struct Ahead<'s> {
    pub(crate) path: VectorPath,
    pub(crate) pass: &'s TrainingPass,
    pub(crate) packed: &'s mut Packed,
}

/// The way back.
pub(crate) struct Back<'s> {
    pub(crate) path: VectorPath,
    pub(crate) packed: &'s mut Packed,
    pub(crate) gradients: &'s mut Gradients,
    pub(crate) parameters: &'s Parameters,
    pub(crate) reached: &'s mut Reached,
}

impl Slots {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self(parameters.iter().enumerate().map(|(number, one)| (one.tensor().id(), number)).collect())
    }

    pub(crate) fn of(&self, tensor: &Tensor) -> Result<Slot> {
        let number = self.0.get(&tensor.id()).copied();
        let number = number.ok_or_else(|| Error::Internal { tensor: format!("{:?}", tensor.shape()) })?;
        Ok(Slot { tensor: tensor.clone(), number })
    }

    pub(crate) fn stem(&self, conv: &modules::Convolution, norm: &BatchNorm) -> Result<Layer> {
        self.layer(conv, norm, Kind::Stem)
    }

    pub(crate) fn dense(&self, conv: &modules::Convolution, norm: &BatchNorm) -> Result<Layer> {
        self.layer(conv, norm, Kind::Dense)
    }

    pub(crate) fn depthwise(&self, conv: &modules::Convolution, norm: &BatchNorm) -> Result<Layer> {
        self.layer(conv, norm, Kind::Depthwise)
    }

    fn layer(&self, conv: &modules::Convolution, norm: &BatchNorm, kind: Kind) -> Result<Layer> {
        let (o, i, h, w) = conv.w_oihw.dims4()?;
        Ok(Layer {
            kind,
            filter: Filter { dims: [o, i, h, w], stride: conv.stride, groups: conv.groups },
            rule: conv.padding,
            weight: self.of(&conv.w_oihw)?,
            name: norm.name.clone(),
            norm_weight: self.of(&norm.weight_c)?,
            norm_bias: self.of(&norm.bias_c)?,
            mean_c: norm.mean_c.clone(),
            variance_c: norm.variance_c.clone(),
            epsilon: norm.epsilon,
        })
    }
}

/// Looks at a tensor's numbers where they are.
pub(crate) fn with_numbers<R>(tensor: &Tensor, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let unfit = |tensor: &Tensor| Error::Input {
        tensor: "a weight",
        expected: "f32 side by side on the CPU".to_owned(),
        got: format!("{:?} of {:?}", tensor.dims(), tensor.dtype()),
    };
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return Err(unfit(tensor)) };
    let Some((start, end)) = layout.contiguous_offsets() else { return Err(unfit(tensor)) };
    Ok(look(&storage.as_slice::<f32>()?[start..end]))
}

impl Slot {
    pub(crate) fn look<R>(&self, look: impl FnOnce(&[f32]) -> R) -> Result<R> {
        with_numbers(&self.tensor, look)
    }

    pub(crate) fn numbers(&self) -> Result<Vec<f32>> {
        self.look(<[f32]>::to_vec)
    }
}

impl Back<'_> {
    pub(crate) fn sums_of(&mut self, slot: &Slot) -> &mut [f32] {
        self.gradients.sums_of(self.parameters, slot.number, self.reached)
    }

    pub(crate) fn add(&mut self, slot: &Slot, gradient: &[f32]) {
        self.sums_of(slot).iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
    }
}

impl Kept {
    pub(crate) fn behind(&self, activation: Activation) -> Behind<'_> {
        Behind { y: self.y.all(), norm: &self.norm, activation }
    }

    pub(crate) fn activated(&self, activation: Activation) -> Source<'_> {
        Source::Activated(Activated { y: self.y.all(), norm: &self.norm, activation, gates_bc: None })
    }

    /// Batch, height and width.
    pub(crate) fn sizes(&self) -> (usize, [usize; 2]) {
        let [batch, _, height, width] = self.y.all().dims();
        (batch, [height, width])
    }
}

impl Layer {
    /// Whether there are kernels for it.
    pub(crate) fn fits(&self) -> bool {
        let Filter { dims: [o, i, h, w], groups, .. } = self.filter;
        match self.kind {
            Kind::Stem => groups == 1,
            Kind::Depthwise => i == 1 && o == groups && h == w,
            Kind::Dense if groups == 1 && [h, w] == [1, 1] => true,
            Kind::Dense => o == i * groups && grouped_fits(i),
        }
    }

    /// Channels that it makes.
    pub(crate) fn outputs(&self) -> usize {
        self.filter.dims[0]
    }

    pub(crate) fn padding(&self, size: [usize; 2]) -> Padding {
        let [_, _, h, w] = self.filter.dims;
        self.rule.padding(size, [h, w], [self.filter.stride; 2])
    }

    /// Whether what it reads has to be a map.
    pub(crate) fn reads_maps(&self) -> bool {
        self.filter.dims[2..] != [1, 1] || self.filter.stride != 1
    }

    /// Computes the map, and what its normalisation is.
    pub(crate) fn forward(&self, ahead: &mut Ahead<'_>, x: &Source<'_>, kept: &mut Kept) -> Result<()> {
        let [batch, channels, height, width] = x.dims();
        let Filter { dims: [outputs, _, kernel, _], stride, .. } = self.filter;
        let padding = self.padding([height, width]);
        let sums = match self.kind {
            Kind::Depthwise => {
                let mut layer = Depthwise::new(channels, kernel, stride);
                self.weight.look(|weights| layer.take(weights))?;
                kept.y.reshape_dense(batch, layer.output_size([height, width], padding), outputs);
                layer.forward(ahead.path, x, padding, kept.y.all_mut())
            }
            Kind::Stem => {
                // the zeros are the pictures' own
                let padding = Padding::default();
                self.weight.look(|weights| ahead.packed.take_pictures(&self.filter, weights))?;
                kept.y.reshape_dense(batch, self.filter.output_size([height, width], padding), outputs);
                convolve(ahead.path, ahead.packed, x, None, &Sink::Moments, kept.y.all_mut())
            }
            Kind::Dense => {
                self.weight.look(|weights| ahead.packed.take_forward(&self.filter, weights, padding))?;
                kept.y.reshape_dense(batch, self.filter.output_size([height, width], padding), outputs);
                convolve(ahead.path, ahead.packed, x, None, &Sink::Moments, kept.y.all_mut())
            }
        };
        kept.norm = self.normalisation(ahead.pass, &sums, kept)?;
        Ok(())
    }

    fn normalisation(&self, pass: &TrainingPass, sums: &Sums, kept: &Kept) -> Result<Norm> {
        let (weight, bias) = (self.norm_weight.numbers()?, self.norm_bias.numbers()?);
        if pass.fixes(&self.name) {
            let (mean, variance) = (
                with_numbers(&self.mean_c, <[f32]>::to_vec)?,
                with_numbers(&self.variance_c, <[f32]>::to_vec)?,
            );
            return Ok(Norm::of_running(&mean, &variance, &weight, &bias, self.epsilon));
        }
        let (batch, [height, width]) = kept.sizes();
        let values = batch * height * width;
        if values < 2 {
            return Err(Error::Input {
                tensor: "the map before a normalisation",
                expected: "at least two values a channel to take statistics of".to_owned(),
                got: format!("{values} before {}", self.name),
            });
        }
        let norm = Norm::of_batch(sums, &weight, &bias, self.epsilon);
        let (mean, variance) = norm.statistics();
        pass.observe_numbers(&self.name, mean, variance, values);
        Ok(norm)
    }

    /// From `Σ d_z` and `Σ d_z (y - centre)`.
    pub(crate) fn terms(&self, back: &mut Back<'_>, norm: &Norm, sums: [&[f64]; 2]) -> Terms {
        let channels = self.outputs();
        let (mut d_weight_c, mut d_bias_c) = (vec![0.0; channels], vec![0.0; channels]);
        let terms = norm.backward(sums, &mut d_weight_c, &mut d_bias_c);
        back.add(&self.norm_weight, &d_weight_c);
        back.add(&self.norm_bias, &d_bias_c);
        terms
    }

    /// Adds the gradient of the weights. A stem's x are its pictures.
    pub(crate) fn weight_gradient(&self, back: &mut Back<'_>, d_y: &Source<'_>, x: &Source<'_>) {
        let path = back.path;
        let [_, _, height, width] = x.dims();
        let padding = self.padding([height, width]);
        let d_w = back.sums_of(&self.weight);
        match (self.kind, x) {
            (Kind::Stem, Source::Plain(pictures)) => {
                stem_gradient(path, &self.filter, d_y, *pictures, d_w);
            }
            _ if self.filter.dims[2..] == [1, 1] => pointwise_gradient(path, d_y, x, self.filter.stride, d_w),
            _ => grouped_gradient(path, &self.filter, d_y, x, padding, d_w),
        }
    }

    /// The gradient of a map of `size` that it read, and of what went past it in `shortcut`, to where that goes.
    pub(crate) fn input_gradient(
        &self,
        back: &mut Back<'_>,
        d_y: &Source<'_>,
        size: [usize; 2],
        shortcut: Option<View<'_, f32>>,
        sink: &Sink<'_>,
        d_x: &mut Maps<f32>,
    ) -> Result<Sums> {
        let padding = self.padding(size);
        self.weight.look(|weights| back.packed.take_backward(&self.filter, weights, padding))?;
        d_x.reshape_dense(d_y.dims()[0], size, self.filter.dims[1] * self.filter.groups);
        Ok(convolve(back.path, back.packed, d_y, shortcut, sink, d_x.all_mut()))
    }

    /// Both gradients of a depthwise convolution.
    pub(crate) fn depthwise_gradients(
        &self,
        back: &mut Back<'_>,
        d_y: &Source<'_>,
        x: &Source<'_>,
        shortcut: Option<View<'_, f32>>,
        sink: &Sink<'_>,
        d_x: &mut Maps<f32>,
    ) -> Result<Sums> {
        let [batch, channels, height, width] = x.dims();
        let mut layer = Depthwise::new(channels, self.filter.dims[2], self.filter.stride);
        self.weight.look(|weights| layer.take(weights))?;
        d_x.reshape_dense(batch, [height, width], channels);
        let (path, padding) = (back.path, self.padding([height, width]));
        let d_w = back.sums_of(&self.weight);
        Ok(layer.backward(path, d_y, x, padding, shortcut, sink, d_x.all_mut(), d_w))
    }
}
