//! Convolution of maps with everything that follows it: bias, shortcut, activation.
//!
//! `y[p, o] = f(bias[o] + Σ_run,k w[o, run, k] x[p, run, k] (+ shortcut[p, o]))`
//!
//! Legend: p an output pixel of a picture, o an output channel, run a stretch of numbers that lie side by side in x: the
//! input channels under one element of the kernel, or one row of it.
//!
//! Nothing is gathered: a tile reads its pixels where they stand (every run of every pixel has an offset, of a pixel of
//! zeros beyond the border), broadcasts their numbers word by word and multiplies 16 to 48 output channels. With k numbers a
//! pixel that is 2·k·o operations on 4·(k + o) bytes of maps, and panels of weights that stay in the second cache, into which
//! each is fetched while the one before it is multiplied: of few pixels, weights are more bytes than maps.
//! An output's sum runs over k in the order of the weights, whatever tile it is in.

mod pack;
mod pass;

use rayon::prelude::*;

use super::maps::{LANES, Line, Number, View, ViewMut};
use super::path::VectorPath;
use super::shared::SharedOut;
use super::vector::Vector;
use crate::conv::{ConvGeometry, Padding};
use pass::{Call, Task};

/// What follows a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`; NaN stays.
    Relu,
    /// `x / (1 + e^-x)`.
    Swish,
}

impl Activation {
    #[inline(always)]
    pub(crate) unsafe fn of<V: Vector>(self, x: V) -> V {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            match self {
                Self::None => x,
                Self::Relu => V::splat(0.0).max(x),
                Self::Swish => x.mul(x.sigmoid()),
            }
        }
    }
}

/// A convolution's weights in the order in which they are read. A 1 x 1 kernel on maps of one pixel is a linear layer.
#[derive(Debug)]
pub struct Convolution<N> {
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    activation: Activation,
    /// Steps of runs in the map, in pixels.
    runs: Vec<[usize; 2]>,
    panels: Vec<Panel>,
    weights: Vec<Line>,
    /// Whole vectors.
    bias: Vec<f32>,
    whole_pixels: bool,
    /// Of narrow groups, for every word: the lane in which each output's input stands.
    order: Vec<Line>,
    numbers: std::marker::PhantomData<N>,
}

/// Weights of one to three vectors of output channels.
#[derive(Debug, Clone, Copy)]
struct Panel {
    /// First input channel, and words of a run.
    input: usize,
    words: usize,
    /// First vector of output channels, and how many.
    vector: usize,
    vectors: usize,
    /// Where its weights start.
    line: usize,
}

impl<N: Number> Convolution<N> {
    /// Of weights in PyTorch's order `[o, i of a group, h, w]`, with a bias. Padding is given with the maps, and dilation
    /// is 1: `geometry` gives stride and groups.
    ///
    /// # Panics
    /// Weights, bias and groups that do not fit together.
    pub fn new(
        w_oihw: &[f32],
        dims: [usize; 4],
        bias_o: &[f32],
        geometry: &ConvGeometry,
        activation: Activation,
    ) -> Self {
        let [outputs, inputs, height, width] = dims;
        let taps = (0..height).flat_map(|h| (0..width).map(move |w| [h, w])).collect();
        let per_group = outputs / geometry.groups;
        assert!(per_group * geometry.groups == outputs, "groups divide the output channels");
        let mut this = Self::empty(dims, inputs * geometry.groups, bias_o, geometry.stride, activation, taps);
        if per_group == inputs
            && inputs < LANES
            && LANES.is_multiple_of(inputs)
            && inputs.is_multiple_of(N::A_WORD)
        {
            this.pack_narrow(w_oihw, inputs);
            return this;
        }
        // a vector of outputs sees the inputs of all groups that it has a part of
        let seen = |vector: usize| {
            let last = ((vector + 1) * LANES).min(outputs) - 1;
            let (first, last) = (vector * LANES / per_group, last / per_group);
            (first * inputs, (last + 1) * inputs)
        };
        let weight = |o: usize, [h, w]: [usize; 2], i: usize| {
            let first = o / per_group * inputs;
            let is_seen = i >= first && i < first + inputs;
            if is_seen { w_oihw[((o * inputs + i - first) * height + h) * width + w] } else { 0.0 }
        };
        this.pack(seen, weight);
        this
    }

    /// As [`new`](Self::new) without groups, for the maps of [`Maps::take_pictures`](super::Maps::take_pictures): zeros
    /// around are theirs, and a row of the kernel is one run.
    ///
    /// # Panics
    /// Weights and bias that do not fit together.
    pub fn over_whole_pixels(
        w_oihw: &[f32],
        dims: [usize; 4],
        bias_o: &[f32],
        stride: [usize; 2],
        activation: Activation,
    ) -> Self {
        let [_, inputs, height, width] = dims;
        let rows = (0..height).map(|h| [h, 0]).collect();
        let mut this = Self::empty(dims, inputs, bias_o, stride, activation, rows);
        this.whole_pixels = true;
        let weight = |o: usize, [h, _]: [usize; 2], k: usize| {
            w_oihw[((o * inputs + k % inputs) * height + h) * width + k / inputs]
        };
        this.pack(|_| (0, width * inputs), weight);
        this
    }

    fn empty(
        [outputs, group_inputs, height, width]: [usize; 4],
        inputs: usize,
        bias_o: &[f32],
        stride: [usize; 2],
        activation: Activation,
        runs: Vec<[usize; 2]>,
    ) -> Self {
        assert!(bias_o.len() == outputs && outputs > 0 && group_inputs > 0, "a bias for each output");
        assert!(!stride.contains(&0) && height * width > 0, "a kernel and a stride of at least 1");
        let mut bias = bias_o.to_vec();
        bias.resize(outputs.next_multiple_of(LANES), 0.0);
        Self {
            inputs,
            outputs,
            kernel: [height, width],
            stride,
            activation,
            runs,
            panels: Vec::new(),
            weights: Vec::new(),
            bias,
            whole_pixels: false,
            order: Vec::new(),
            numbers: std::marker::PhantomData,
        }
    }

    /// Height and width of what maps of `size` become; none where the kernel is larger than the padded map.
    pub fn output_size(&self, size: [usize; 2], padding: Padding) -> Option<[usize; 2]> {
        let axis = |i: usize, padding: usize| {
            Some((size[i] + padding).checked_sub(self.kernel[i])? / self.stride[i] + 1)
        };
        Some([axis(0, padding.top + padding.bottom)?, axis(1, padding.left + padding.right)?])
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Computes maps. `factors_bc` scales the input's channels, whole vectors of them, and only a 1 x 1 kernel at
    /// stride 1 takes them; the `shortcut` is added before the activation.
    ///
    /// # Panics
    /// Maps of other shapes than the convolution's.
    pub fn run(
        &self,
        path: VectorPath,
        x: View<'_, N>,
        padding: Padding,
        factors_bc: Option<&[f32]>,
        shortcut: Option<View<'_, N>>,
        y: ViewMut<'_, N>,
    ) {
        let (from, to) = (x.shape, y.shape);
        assert!(from.channels == self.inputs && to.channels == self.outputs, "channels of the maps");
        assert!(to.batch == from.batch && Some(to.size) == self.output_size(from.size, padding), "sizes");
        assert!(to.width() == self.bias.len() && to.width() <= to.pixel, "an output of whole vectors");
        if self.whole_pixels {
            assert!(from.pixel == self.inputs && padding == Padding::default(), "zeros of their own");
        } else {
            assert!(from.width() <= from.pixel, "an input of whole vectors");
        }
        if let Some(shortcut) = shortcut {
            assert!(shortcut.shape == to, "a shortcut of the output's shape");
        }
        if let Some(factors) = factors_bc {
            assert!(factors.len() == from.batch * from.width() && from.size == to.size, "a factor a channel");
            assert!(self.kernel == [1, 1] && self.stride == [1, 1], "factors for a 1 x 1 kernel");
        }
        let out = SharedOut::new(y.numbers);
        let call = Call { layer: self, x, padding, factors_bc, shortcut, out, to };
        let (pixels, slices) = call.cuts();
        let total = to.batch * to.area();
        (0..total.div_ceil(pixels) * slices).into_par_iter().with_max_len(1).for_each(|task| {
            let (block, slice) = (task / slices, task % slices);
            let part = |slice: usize| slice * self.panels.len() / slices;
            let first = block * pixels;
            let range = [first, pixels.min(total - first)];
            N::send(path, Task { call: &call, range, panels: &self.panels[part(slice)..part(slice + 1)] });
        });
    }
}
