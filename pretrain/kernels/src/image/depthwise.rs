//! Convolution of each channel by itself, and the means that squeeze-and-excitation asks for.
//!
//! `y[p, c] = f(bias[c] + Σ_k w[k, c] x[p + k, c])`, `mean[c] = Σ_p y[p, c] / pixels`
//!
//! 16 channels are a vector, whose weights stay in registers while it passes over some rows of a picture. 2·k operations a
//! number that is written, on 4·(1 + 1 / stride²) bytes of f32: memory is the limit. Means are gathered while the numbers are in
//! registers: of the rows of a task, then of the tasks in order.

use rayon::prelude::*;

use super::convolution::Activation;
use super::maps::{LANES, Line, Number, Shape, View, ViewMut};
use super::path::{VectorPath, Work};
use super::shared::SharedOut;
use super::vector::Lanes;
use crate::conv::Padding;

/// A depthwise convolution's weights.
#[derive(Debug)]
pub struct Depthwise {
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    activation: Activation,
    /// For every vector of channels its kernel, element by element.
    weights: Vec<Line>,
    bias: Vec<f32>,
}

impl Depthwise {
    /// Of weights in PyTorch's order `[c, 1, h, w]`.
    ///
    /// # Panics
    /// Weights and bias that do not fit together.
    pub fn new(
        w_chw: &[f32],
        [channels, height, width]: [usize; 3],
        bias_c: &[f32],
        stride: [usize; 2],
        activation: Activation,
    ) -> Self {
        let taps = height * width;
        assert!(w_chw.len() == channels * taps && bias_c.len() == channels, "weights and bias do not fit");
        assert!(taps > 0 && !stride.contains(&0), "a kernel and a stride of at least 1");
        let mut bias = bias_c.to_vec();
        bias.resize(channels.next_multiple_of(LANES), 0.0);
        let mut weights = Vec::with_capacity(bias.len() / LANES * taps);
        for first in (0..channels).step_by(LANES) {
            for tap in 0..taps {
                let weight = |lane: usize| w_chw.get((first + lane) * taps + tap).copied();
                weights.push(Line(std::array::from_fn(|lane| weight(lane).unwrap_or(0.0).to_bits())));
            }
        }
        Self { channels, kernel: [height, width], stride, activation, weights, bias }
    }

    /// Height and width of what maps of `size` become; none where the kernel is larger than the padded map.
    pub fn output_size(&self, size: [usize; 2], padding: Padding) -> Option<[usize; 2]> {
        let axis = |i: usize, padding: usize| {
            Some((size[i] + padding).checked_sub(self.kernel[i])? / self.stride[i] + 1)
        };
        Some([axis(0, padding.top + padding.bottom)?, axis(1, padding.left + padding.right)?])
    }

    /// Computes maps; the means of every picture's channels, whole vectors of them.
    ///
    /// # Panics
    /// Maps of other shapes than the convolution's.
    pub fn run<N: Number>(
        &self,
        path: VectorPath,
        x: View<'_, N>,
        padding: Padding,
        y: ViewMut<'_, N>,
    ) -> Vec<f32> {
        let (from, to) = (x.shape, y.shape);
        assert!(from.channels == self.channels && to.channels == self.channels, "channels of the maps");
        assert!(to.batch == from.batch && Some(to.size) == self.output_size(from.size, padding), "sizes");
        assert!(from.pixel == self.bias.len() && to.pixel == from.pixel, "maps of whole vectors");
        let rows = to.size[0].div_ceil(PARTS).max(LEAST_ROWS);
        let parts = to.size[0].div_ceil(rows);
        let mut sums = vec![0.0; to.batch * parts * to.pixel];
        if sums.is_empty() {
            return sums;
        }
        let out = SharedOut::new(y.numbers);
        let call = Call { layer: self, x, to, padding, out };
        sums.par_chunks_exact_mut(to.pixel).enumerate().for_each(|(at, sums)| {
            let (image, part) = (at / parts, at % parts);
            let rows = part * rows..((part + 1) * rows).min(to.size[0]);
            sums.par_chunks_mut(SLICE * LANES).with_max_len(1).enumerate().for_each(|(slice, sums)| {
                let (first, rows) = (slice * SLICE, rows.clone());
                N::send(path, Task { call: &call, image, rows, first, sums });
            });
        });
        let mut means = vec![0.0f32; to.batch * to.pixel];
        for (means, sums) in means.chunks_exact_mut(to.pixel).zip(sums.chunks_exact(parts * to.pixel)) {
            for sums in sums.chunks_exact(to.pixel) {
                means.iter_mut().zip(sums).for_each(|(mean, sum)| *mean += sum);
            }
            means.iter_mut().for_each(|mean| *mean /= to.area() as f32);
        }
        means
    }
}

/// Runs of rows that a picture is cut into: its own size decides, so that its sums do not depend on others. Fewer rows would
/// read too many of their neighbours'.
const PARTS: usize = 8;
const LEAST_ROWS: usize = 14;
/// Vectors of channels of a task.
const SLICE: usize = 4;

struct Call<'a, N> {
    layer: &'a Depthwise,
    x: View<'a, N>,
    to: Shape,
    padding: Padding,
    out: SharedOut<'a, N>,
}

/// Some rows of a picture, and vectors of channels from the first on.
struct Task<'a, N> {
    call: &'a Call<'a, N>,
    image: usize,
    rows: std::ops::Range<usize>,
    first: usize,
    sums: &'a mut [f32],
}

impl<N: Number> Work<N> for Task<'_, N> {
    #[inline(always)]
    fn run<V: Lanes<N>>(self) {
        let kernel = self.call.layer.kernel;
        // SAFETY: the path is this processor's, and the rows are this task's alone.
        unsafe {
            match kernel {
                [3, 3] => self.rows::<V, 3, 9>(),
                [5, 5] => self.rows::<V, 5, 25>(),
                _ => self.rows::<V, 0, 0>(),
            }
        }
    }
}

impl<N: Number> Task<'_, N> {
    /// With a kernel of `K` x `K` = `T` elements, or of any size where `K` is 0.
    ///
    /// # Safety
    /// Of the vectors; the rows of the output are this task's alone.
    #[inline(always)]
    unsafe fn rows<V: Lanes<N>, const K: usize, const T: usize>(self) {
        let Self { call, image, rows, first, sums } = self;
        let Call { layer, x, to, padding, out } = call;
        let from = x.shape;
        let picture = &x.numbers[image * from.image()..(image + 1) * from.image()];
        let window = Window::new(layer, from, *padding);
        let whole = window.whole_columns(to.size[1]);
        let taps = layer.kernel[0] * layer.kernel[1];
        for (vector, sums) in sums.chunks_exact_mut(LANES).enumerate() {
            let channel = (first + vector) * LANES;
            let weights = &layer.weights[(first + vector) * taps..][..taps];
            // SAFETY: sums and bias have whole vectors; the output's row has them at every column; windows are clipped to
            // the picture by `edge`, and need not be where `whole` columns meet whole rows.
            unsafe {
                let bias = V::load(layer.bias.as_ptr().add(channel));
                let mut near = [bias; T];
                for (near, line) in near.iter_mut().zip(weights) {
                    *near = V::load(line.0.as_ptr().cast());
                }
                let mut sum = V::splat(0.0);
                for row in rows.clone() {
                    let place = image * to.image() + row * to.size[1] * to.pixel + channel;
                    let row = window.clip(0, row);
                    let fast = if K > 0 { whole.clone() } else { 0..0 };
                    let mut column = 0;
                    while column < to.size[1] {
                        let y = out.pointer(place + column * to.pixel, LANES);
                        if fast.start <= column && column + TOGETHER <= fast.end {
                            out.pointer(place + (column + TOGETHER - 1) * to.pixel, LANES);
                            let values = if row.is_whole {
                                let at = [row.at, column];
                                window.inside::<N, V, K, T, TOGETHER>(picture, &near, bias, channel, at)
                            } else {
                                window.between::<N, V, K, TOGETHER>(
                                    picture, weights, bias, channel, row, column,
                                )
                            };
                            for (i, value) in values.iter().enumerate() {
                                let value = layer.activation.of(*value);
                                sum = sum.add(value);
                                value.store_numbers(y.add(i * to.pixel));
                            }
                            column += TOGETHER;
                            continue;
                        }
                        let value = if fast.contains(&column) {
                            window.between::<N, V, K, 1>(picture, weights, bias, channel, row, column)[0]
                        } else {
                            window.edge(picture, weights, bias, channel, row, window.clip(1, column))
                        };
                        let value = layer.activation.of(value);
                        sum = sum.add(value);
                        value.store_numbers(y);
                        column += 1;
                    }
                }
                sum.store(sums.as_mut_ptr());
            }
        }
    }
}

/// Outputs of a row that share what is loaded.
const TOGETHER: usize = 4;

/// How the kernel moves over a picture.
#[derive(Clone, Copy)]
struct Window {
    from: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
}

/// The part of a kernel that stands on the map, along one axis.
#[derive(Clone, Copy)]
struct Clip {
    /// Elements of the kernel.
    first: usize,
    last: usize,
    /// The map's coordinate under element `first`.
    at: usize,
    is_whole: bool,
}

impl Window {
    fn new(layer: &Depthwise, from: Shape, padding: Padding) -> Self {
        Self { from, kernel: layer.kernel, stride: layer.stride, before: [padding.top, padding.left] }
    }

    fn clip(&self, axis: usize, output: usize) -> Clip {
        let start = output * self.stride[axis];
        let before = self.before[axis];
        let first = before.saturating_sub(start).min(self.kernel[axis]);
        let last =
            (self.from.size[axis] + before).saturating_sub(start).clamp(first, self.kernel[axis].max(first));
        Clip {
            first,
            last,
            at: (start + first).saturating_sub(before),
            is_whole: last - first == self.kernel[axis],
        }
    }

    /// Columns of the output whose windows lie inside of the map.
    fn whole_columns(&self, columns: usize) -> std::ops::Range<usize> {
        let first = self.before[1].div_ceil(self.stride[1]).min(columns);
        let end =
            (self.from.size[1] + self.before[1] + 1).saturating_sub(self.kernel[1]).div_ceil(self.stride[1]);
        first..end.clamp(first, columns)
    }

    /// One output whose window may leave the map.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn edge<N: Number, V: Lanes<N>>(
        &self,
        picture: &[N],
        weights: &[Line],
        bias: V,
        channel: usize,
        row: Clip,
        column: Clip,
    ) -> V {
        let mut value = bias;
        for h in row.first..row.last {
            let weights = &weights[h * self.kernel[1]..][column.first..column.last];
            let start = (row.at + h - row.first) * self.from.size[1] + column.at;
            let line = &picture[start * self.from.pixel..][..weights.len() * self.from.pixel];
            for (w, weight) in weights.iter().enumerate() {
                // SAFETY: both have 16 numbers: the line has as many whole pixels as there are weights.
                value = unsafe {
                    let x = V::load_numbers(line.as_ptr().add(w * self.from.pixel + channel));
                    x.mul_add(V::load(weight.0.as_ptr().cast()), value)
                };
            }
        }
        value
    }

    /// `C` outputs from `column` on, whose windows lie inside of the map but for some of their rows.
    ///
    /// # Safety
    /// Of the vectors, and that the windows do.
    #[inline(always)]
    unsafe fn between<N: Number, V: Lanes<N>, const K: usize, const C: usize>(
        &self,
        picture: &[N],
        weights: &[Line],
        bias: V,
        channel: usize,
        row: Clip,
        column: usize,
    ) -> [V; C] {
        let (pixel, width) = (self.from.pixel, self.from.size[1]);
        let left = column * self.stride[1] - self.before[1];
        let step = self.stride[1] * pixel;
        let mut values = [bias; C];
        for h in row.first..row.last {
            let weights = &weights[h * K..(h + 1) * K];
            // SAFETY: the caller's.
            unsafe {
                let top = row.at + h - row.first;
                let line = picture.as_ptr().add((top * width + left) * pixel + channel);
                for (w, weight) in weights.iter().enumerate() {
                    let weight = V::load(weight.0.as_ptr().cast());
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = V::load_numbers(line.add(w * pixel + i * step)).mul_add(weight, *value);
                    }
                }
            }
        }
        values
    }

    /// `C` outputs from `column` on, whose windows lie inside of the map, from its row `top` on.
    ///
    /// # Safety
    /// Of the vectors, and that the windows do.
    #[inline(always)]
    unsafe fn inside<N: Number, V: Lanes<N>, const K: usize, const T: usize, const C: usize>(
        &self,
        picture: &[N],
        weights: &[V; T],
        bias: V,
        channel: usize,
        [top, column]: [usize; 2],
    ) -> [V; C] {
        let (pixel, width) = (self.from.pixel, self.from.size[1]);
        let left = column * self.stride[1] - self.before[1];
        let step = self.stride[1] * pixel;
        let mut values = [bias; C];
        for h in 0..K {
            // SAFETY: the caller's.
            unsafe {
                let line = picture.as_ptr().add(((top + h) * width + left) * pixel + channel);
                for w in 0..K {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = V::load_numbers(line.add(w * pixel + i * step))
                            .mul_add(weights[h * K + w], *value);
                    }
                }
            }
        }
        values
    }
}
