//! Convolution of each channel by itself, and the means that squeeze-and-excitation asks for.
//!
//! `y[p, c] = f(bias[c] + Σ_k w[k, c] x[p + k, c])`, `mean[c] = Σ_p y[p, c] / pixels`
//!
//! 16 channels are a vector, which passes over some rows of a picture. The rows under the kernel are copied into the first
//! cache, in f32 and with zeros around, so that every window is whole and each number is fetched from afar once. 2·k operations
//! a number that is written, on 4·(1 + 1 / stride²) bytes of f32: memory is the limit. Means are gathered on the way: of the
//! rows of a task, then of the tasks in order.

use rayon::prelude::*;

use super::convolution::Activation;
use super::maps::{LANES, Line, Number, Shape, View, ViewMut};
use super::path::{VectorPath, Work};
use super::shared::SharedOut;
use super::tile::{Sums, rows_of, tiles};
use super::vector::{Lanes, Tiles, Vector};
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
        assert!(from.pixel >= self.bias.len() && to.pixel >= self.bias.len(), "maps of whole vectors");
        let rows = to.size[0].div_ceil(PARTS).max(LEAST_ROWS);
        let parts = to.size[0].div_ceil(rows);
        let mut sums = vec![0.0; to.batch * parts * to.width()];
        if sums.is_empty() {
            return sums;
        }
        let out = SharedOut::new(y.numbers);
        let call = Call { layer: self, x, to, padding, out };
        sums.par_chunks_exact_mut(to.width()).enumerate().for_each(|(at, sums)| {
            let (image, part) = (at / parts, at % parts);
            let rows = part * rows..((part + 1) * rows).min(to.size[0]);
            sums.par_chunks_mut(SLICE * LANES).with_max_len(1).enumerate().for_each(|(slice, sums)| {
                let (first, rows) = (slice * SLICE, rows.clone());
                N::send(path, Task { call: &call, image, rows, first, sums });
            });
        });
        let mut means = vec![0.0f32; to.batch * to.width()];
        for (means, sums) in means.chunks_exact_mut(to.width()).zip(sums.chunks_exact(parts * to.width())) {
            for sums in sums.chunks_exact(to.width()) {
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
        let Depthwise { kernel, stride, .. } = self.call.layer;
        // SAFETY: the path is this processor's, and the rows are this task's alone.
        unsafe {
            match (kernel, stride) {
                ([3, 3], [1, 1]) => self.rows::<V, 3, 1>(),
                ([3, 3], [2, 2]) => self.rows::<V, 3, 2>(),
                ([5, 5], [1, 1]) => self.rows::<V, 5, 1>(),
                ([5, 5], [2, 2]) => self.rows::<V, 5, 2>(),
                _ => self.rows::<V, 0, 0>(),
            }
        }
    }
}

impl<N: Number> Task<'_, N> {
    /// With a kernel of `K` x `K` at stride `S`, or of any size and stride where they are 0.
    ///
    /// # Safety
    /// Of the vectors; the rows of the output are this task's alone.
    #[inline(always)]
    unsafe fn rows<V: Lanes<N>, const K: usize, const S: usize>(self) {
        let Self { call, image, rows, first, sums } = self;
        let Call { layer, x, to, out, .. } = call;
        let picture = &x.numbers[image * x.shape.image()..(image + 1) * x.shape.image()];
        let (stride, taps) = (layer.stride, layer.kernel[0] * layer.kernel[1]);
        let [whole, small] = rows_of(V::TILES, 1);
        let mut strip = Strip::new(layer, x.shape, call.padding, [to.size[1], whole, small]);
        let mut values = Sums::default();
        for (vector, sums) in sums.chunks_exact_mut(LANES).enumerate() {
            let channel = (first + vector) * LANES;
            let weights = &layer.weights[(first + vector) * taps..][..taps];
            strip.empty();
            // SAFETY: sums and bias have whole vectors; the output's row has them at every column, and the strip at every
            // column of every tile.
            unsafe {
                let bias = V::load(layer.bias.as_ptr().add(channel));
                let mut sum = V::splat(0.0);
                for row in rows.clone() {
                    strip.take::<N, V>(picture, channel, row * stride[0]);
                    let place = image * to.image() + row * to.size[1] * to.pixel + channel;
                    let columns = to.size[1];
                    for (start, width) in tiles(columns, whole, small) {
                        let window = strip.window(row * stride[0], start * stride[1]);
                        match (V::TILES, width == whole) {
                            (Tiles::Wide, true) => window.sums::<V, K, S, 14>(weights, bias, &mut values),
                            (Tiles::Wide, false) => window.sums::<V, K, S, 7>(weights, bias, &mut values),
                            (Tiles::Middle, true) => window.sums::<V, K, S, 6>(weights, bias, &mut values),
                            (Tiles::Middle, false) => window.sums::<V, K, S, 3>(weights, bias, &mut values),
                            (Tiles::Few, true) => window.sums::<V, K, S, 2>(weights, bias, &mut values),
                            (Tiles::Few, false) => window.sums::<V, K, S, 1>(weights, bias, &mut values),
                        }
                        let there = width.min(columns - start);
                        let values = values.0.chunks_exact(LANES).take(there);
                        for (column, value) in (start..).zip(values) {
                            let value = layer.activation.of(V::load(value.as_ptr()));
                            sum = sum.add(value);
                            value.store_numbers(out.pointer(place + column * to.pixel, LANES));
                        }
                    }
                }
                sum.store(sums.as_mut_ptr());
            }
        }
    }
}

/// Rows of one vector of channels that are under the kernel, with the zeros around them.
struct Strip {
    from: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
    /// Vectors of a row, and `kernel` rows of them; row r, counted from the padding's first, is line r modulo these.
    width: usize,
    lines: Vec<Line>,
    /// The row that is read next.
    next: usize,
}

impl Strip {
    /// For tiles over so many columns of the output.
    fn new(layer: &Depthwise, from: Shape, padding: Padding, [columns, whole, small]: [usize; 3]) -> Self {
        let Depthwise { kernel, stride, .. } = *layer;
        let last = tiles(columns, whole, small).last().map_or(0, |(start, width)| start + width);
        let width = last.saturating_sub(1) * stride[1] + kernel[1];
        let lines = vec![Line([0; 16]); kernel[0] * width];
        Self { from, kernel, stride, before: [padding.top, padding.left], width, lines, next: 0 }
    }

    /// For the next vector of channels.
    fn empty(&mut self) {
        self.next = 0;
    }

    /// Reads the rows under a kernel whose first is `first`, counted as above. Columns of zeros stay what they are.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn take<N: Number, V: Lanes<N>>(&mut self, picture: &[N], channel: usize, first: usize) {
        let (pixel, columns) = (self.from.pixel, self.from.size[1]);
        let end = first + self.kernel[0];
        for row in self.next.max(first)..end {
            let line = row % self.kernel[0] * self.width;
            let line = &mut self.lines[line..line + self.width];
            let Some(row) = row.checked_sub(self.before[0]).filter(|row| *row < self.from.size[0]) else {
                line.fill(Line([0; 16]));
                continue;
            };
            let count = columns.min(self.width.saturating_sub(self.before[1]));
            let row = &picture[row * columns * pixel..(row + 1) * columns * pixel];
            assert!(channel + LANES <= pixel);
            // SAFETY: 16 numbers at `channel` of every pixel, and as many columns behind the zeros as are written.
            unsafe {
                let (from, ahead) = (row.as_ptr().add(channel), columns * pixel * self.stride[0]);
                let to = line.as_mut_ptr().wrapping_add(self.before[1]);
                for column in 0..count {
                    let from = from.add(column * pixel);
                    V::fetch(from.wrapping_add(ahead).cast());
                    V::load_numbers(from).store(to.add(column).cast());
                }
            }
        }
        self.next = end;
    }

    /// Windows whose first row and column are these, counted as above.
    fn window(&self, row: usize, column: usize) -> Window<'_> {
        Window { strip: self, row, column }
    }
}

/// Where windows begin that stand side by side in the strip.
struct Window<'a> {
    strip: &'a Strip,
    row: usize,
    column: usize,
}

impl Window<'_> {
    /// The sums of `C` windows.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn sums<V: Vector, const K: usize, const S: usize, const C: usize>(
        &self,
        weights: &[Line],
        bias: V,
        out: &mut Sums,
    ) {
        let Self { strip, row, column } = *self;
        let stride = if S > 0 { S } else { strip.stride[1] };
        let [height, width] = if K > 0 { [K; 2] } else { strip.kernel };
        assert!(column + (C - 1) * stride + width <= strip.width && weights.len() == height * width);
        let mut sums = [bias; C];
        for h in 0..height {
            let line = (row + h) % height * strip.width + column;
            // SAFETY: the strip has a line at every column of the windows, as was just asserted.
            unsafe {
                let line = strip.lines.as_ptr().add(line).cast::<f32>();
                for w in 0..width {
                    let weight = V::load(weights.as_ptr().add(h * width + w).cast());
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = V::load(line.add((i * stride + w) * LANES)).mul_add(weight, *sum);
                    }
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            // SAFETY: there is room for the most sums of a tile.
            unsafe { sum.store(out.0.as_mut_ptr().add(i * LANES)) };
        }
    }
}
