//! Both gradients of a depthwise convolution in one pass: `d_w[k, c] += Σ_p d_y[p, c] x[p stride + k - before, c]`,
//! `d_x[r, c] = Σ_k w[k, c] d_y[(r + before - k) / stride, c]` where that is a whole number.
//!
//! A task lays some rows of d_y and of x out, 16 channels at a time, computing both on the way, and goes over them twice: the
//! sums of the first stand in registers for a stretch of rows, the second writes d_x through its sink. 4·k operations a number
//! of d_y on 4·(1 + 2 stride²) bytes and what sources and sink name.

use rayon::prelude::*;

use super::depthwise::{Depthwise, Window, for_each_slice};
use super::patch::Patch;
use super::scratch::Scratch;
use super::sink::{Run, Sink, room};
use super::source::Source;
use super::sums::Sums;
use crate::conv::Padding;
use crate::image::maps::{LANES, Shape, View, ViewMut};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::shared::SharedOut;
use crate::image::vector::{Lanes, Vector};

/// Pixels of d_y that are worth sums of weights of their own.
const PIXELS: usize = 64;

impl Depthwise {
    /// Writes the gradient of x and of what goes past the layer in `shortcut`, adds that of the weights to `d_w_chw`, and
    /// gathers what `sink` says.
    ///
    /// # Panics
    /// Maps that do not fit.
    #[expect(clippy::too_many_arguments, reason = "both gradients of a layer, once, where they are computed")]
    pub fn backward(
        &self,
        path: VectorPath,
        d_y: &Source<'_>,
        x: &Source<'_>,
        padding: Padding,
        shortcut: Option<View<'_, f32>>,
        sink: &Sink<'_>,
        d_x: ViewMut<'_, f32>,
        d_w_chw: &mut [f32],
    ) -> Sums {
        let (d, from, to) = (d_y.shape(), x.shape(), d_x.shape);
        d_y.check();
        x.check();
        sink.check(to);
        assert!(shortcut.is_none_or(|shortcut| shortcut.shape == to), "a shortcut of the input's shape");
        let taps = self.kernel * self.kernel;
        assert!(d.channels == self.channels && from.channels == self.channels && to == from, "channels");
        assert!(d.batch == from.batch && d.size == self.output_size(from.size, padding), "sizes");
        assert!(d.pixel == from.pixel && d.pixel == self.channels.next_multiple_of(LANES), "whole vectors");
        assert!(d_w_chw.len() == self.channels * taps, "a gradient of the weights' shape");
        let cut = self.rows_at_once(d);
        // rows of x that a part of d_y's rows stands for
        let rows = |part: usize| {
            let range = cut.range(part);
            let end = if part + 1 == cut.parts { from.size[0] } else { range.end * self.stride };
            (range.start * self.stride).min(from.size[0])..end.min(from.size[0])
        };
        let sizes = (0..cut.parts).map(|part| rows(part).len() * from.size[1]).collect();
        let mut sums = room(sink, to, sizes);
        // sums of weights for every few pictures, where these are small
        let together = if cut.parts == 1 { PIXELS.div_ceil(d.area().max(1)).min(d.batch.max(1)) } else { 1 };
        let groups = d.batch.div_ceil(together);
        let mut partial = vec![0.0f32; groups * cut.parts * taps * d.pixel];
        let call = Call {
            layer: self,
            d_y,
            x,
            padding,
            shortcut,
            sink,
            d,
            to,
            parts: cut.parts,
            stride: sums.stride(),
            out: SharedOut::new(d_x.numbers),
            sums: SharedOut::new(&mut sums.numbers),
            weights: SharedOut::new(&mut partial),
        };
        for_each_slice(cut, Shape { batch: groups, ..d }, together, |group, part, vectors| {
            for image in group * together..((group + 1) * together).min(d.batch) {
                let at = group * cut.parts + part;
                let place = Place { image, part, at, d_rows: cut.range(part), x_rows: rows(part) };
                f32::send(path, Task { call: &call, place, vectors: vectors.clone() });
            }
        });
        let mut totals = vec![0.0f64; taps * d.pixel];
        totals.par_chunks_exact_mut(d.pixel).enumerate().for_each(|(tap, totals)| {
            for sums in partial.chunks_exact(taps * d.pixel) {
                let sums = &sums[tap * d.pixel..(tap + 1) * d.pixel];
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(*sum));
            }
        });
        for (c, d_w) in d_w_chw.chunks_exact_mut(taps).enumerate() {
            for (tap, d_w) in d_w.iter_mut().enumerate() {
                *d_w += totals[tap * d.pixel + c] as f32;
            }
        }
        sums
    }
}

struct Call<'a> {
    layer: &'a Depthwise,
    d_y: &'a Source<'a>,
    x: &'a Source<'a>,
    padding: Padding,
    shortcut: Option<View<'a, f32>>,
    sink: &'a Sink<'a>,
    d: Shape,
    to: Shape,
    parts: usize,
    stride: usize,
    out: SharedOut<'a, f32>,
    sums: SharedOut<'a, f32>,
    weights: SharedOut<'a, f32>,
}

struct Place {
    image: usize,
    part: usize,
    /// Among the sums of weights.
    at: usize,
    d_rows: std::ops::Range<usize>,
    x_rows: std::ops::Range<usize>,
}

struct Task<'a> {
    call: &'a Call<'a>,
    place: Place,
    vectors: std::ops::Range<usize>,
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { call, place, vectors } = self;
        let (seen, gradients) = (call.seen(&place), call.gradients(&place));
        let mut scratch = Scratch::of(seen.lines() + gradients.lines() + call.to.size[1]);
        for vector in vectors {
            let channel = vector * LANES;
            let x = scratch.numbers();
            // SAFETY: the path is this processor's; the scratch has room for both patches and a row of d_x; rows, sums and
            // sums of weights are this task's alone, of these channels.
            unsafe {
                let d = x.add(seen.lines() * LANES);
                let line = d.add(gradients.lines() * LANES);
                seen.fill::<V>(call.x, place.image, channel, x);
                gradients.fill::<V>(call.d_y, place.image, channel, d);
                match call.layer.kernel {
                    3 => call.add_weights::<V, 3, 3>(&place, vector, (&seen, x), (&gradients, d)),
                    5 => call.add_weights::<V, 5, 5>(&place, vector, (&seen, x), (&gradients, d)),
                    _ => call.add_weights::<V, 1, 1>(&place, vector, (&seen, x), (&gradients, d)),
                }
                call.inputs::<V>(&place, vector, (&gradients, d), line);
            }
        }
    }
}

impl Call<'_> {
    /// What the part's rows of d_y saw.
    fn seen(&self, place: &Place) -> Patch {
        let Depthwise { kernel, stride, .. } = *self.layer;
        Patch {
            start: [
                (place.d_rows.start * stride) as isize - self.padding.top as isize,
                -(self.padding.left as isize),
            ],
            rows: (place.d_rows.len().max(1) - 1) * stride + kernel,
            columns: (self.d.size[1].max(1) - 1) * stride + kernel,
        }
    }

    /// What saw the part's rows of x, and the part's rows of d_y.
    fn gradients(&self, place: &Place) -> Patch {
        let (first, end) = self.reach(place.x_rows.clone(), self.padding.top);
        let (first, end) = (first.min(place.d_rows.start as isize), end.max(place.d_rows.end as isize));
        let (left, right) = self.reach(0..self.to.size[1], self.padding.left);
        let (left, right) = (left.min(0), right.max(self.d.size[1] as isize));
        Patch { start: [first, left], rows: (end - first) as usize, columns: (right - left) as usize }
    }

    /// Along an axis, the outputs that may have seen these inputs.
    fn reach(&self, inputs: std::ops::Range<usize>, before: usize) -> (isize, isize) {
        let (kernel, stride) = (self.layer.kernel as isize, self.layer.stride as isize);
        let first = (inputs.start as isize + before as isize - kernel + 1).div_euclid(stride);
        let last = (inputs.end as isize - 1 + before as isize).div_euclid(stride);
        (first, last + 1)
    }

    /// Adds up `Σ_p d_y[p] x[p + k]` over the part's rows, `A` x `B` elements of the kernel at a time.
    #[inline(always)]
    unsafe fn add_weights<V: Vector, const A: usize, const B: usize>(
        &self,
        place: &Place,
        vector: usize,
        (seen, x): (&Patch, *const f32),
        (gradients, d): (&Patch, *const f32),
    ) {
        /// Places whose sums stay in registers, near enough.
        const STRETCH: usize = 64;
        let Depthwise { kernel, stride, .. } = *self.layer;
        let (width, taps) = (self.d.size[1], kernel * kernel);
        let rows = STRETCH.div_ceil(width.max(1));
        let first = place.at * taps * self.d.pixel + vector * LANES;
        for h in (0..kernel).step_by(A) {
            for w in (0..kernel).step_by(B) {
                for start in place.d_rows.clone().step_by(rows) {
                    // SAFETY: of the caller: patches hold what rows and elements see; the sums are its alone.
                    unsafe {
                        let mut sums = [[V::splat(0.0); B]; A];
                        for row in start..(start + rows).min(place.d_rows.end) {
                            let at = (row as isize - gradients.start[0]) as usize * gradients.columns;
                            let mut d = d.add((at as isize - gradients.start[1]) as usize * LANES);
                            let at = ((row - place.d_rows.start) * stride + h) * seen.columns + w;
                            let mut x = x.add(at * LANES);
                            for _ in 0..width {
                                let gradient = V::load(d);
                                for (i, sums) in sums.iter_mut().enumerate() {
                                    for (j, sum) in sums.iter_mut().enumerate() {
                                        let x = V::load(x.add((i * seen.columns + j) * LANES));
                                        *sum = x.mul_add(gradient, *sum);
                                    }
                                }
                                d = d.add(LANES);
                                x = x.add(stride * LANES);
                            }
                        }
                        for (i, sums) in sums.iter().enumerate() {
                            for (j, sum) in sums.iter().enumerate() {
                                let at = first + ((h + i) * kernel + w + j) * self.d.pixel;
                                let total = self.weights.pointer(at, LANES);
                                V::load(total).add(*sum).store(total);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Writes the part's rows of d_x.
    #[inline(always)]
    unsafe fn inputs<V: Vector>(
        &self,
        place: &Place,
        vector: usize,
        (gradients, d): (&Patch, *const f32),
        line: *mut f32,
    ) {
        let Depthwise { kernel, stride, weights, .. } = self.layer;
        let (kernel, stride) = (*kernel, *stride);
        let (to, channel) = (self.to, vector * LANES);
        let weights =
            weights[vector * kernel * kernel..(vector + 1) * kernel * kernel].as_ptr().cast::<f32>();
        // elements that meet an input at this place: the last of them first, whose output is the first
        let elements = |at: usize| {
            let first = at % stride;
            let count = kernel.saturating_sub(first).div_ceil(stride);
            (first + count.saturating_sub(1) * stride, count)
        };
        for row in place.x_rows.clone() {
            let (last_h, count_h) = elements(row + self.padding.top);
            for start in 0..stride.min(to.size[1]) {
                let (last_w, count_w) = elements(start + self.padding.left);
                let at = |at: usize, last: usize, first: isize| {
                    ((at as isize - last as isize).div_euclid(stride as isize) - first) as usize
                };
                let count = (to.size[1] - start).div_ceil(stride);
                // SAFETY: the patch holds all outputs that saw the row; the line has room for it.
                unsafe {
                    let x = if count_h * count_w == 0 {
                        d
                    } else {
                        let h = at(row + self.padding.top, last_h, gradients.start[0]);
                        let w = at(start + self.padding.left, last_w, gradients.start[1]);
                        d.add((h * gradients.columns + w) * LANES)
                    };
                    let window = Window {
                        x,
                        row: gradients.columns * LANES,
                        step: LANES,
                        taps: [count_h, count_w],
                        weights: weights.add((last_h * kernel + last_w) * LANES),
                        weights_row: -((stride * kernel) as isize),
                        weights_step: -(stride as isize),
                    };
                    window.line::<V>(count, line.add(start * LANES), stride * LANES);
                }
            }
            let start = place.image * to.image() + row * to.size[1] * to.pixel + channel;
            if let Some(shortcut) = &self.shortcut {
                for column in 0..to.size[1] {
                    // SAFETY: the shortcut has the shape of d_x, the line a vector a column.
                    unsafe {
                        let beside = V::load(shortcut.numbers.as_ptr().add(start + column * to.pixel));
                        let number = line.add(column * LANES);
                        V::load(number).add(beside).store(number);
                    }
                }
            }
            let run = Run {
                start,
                every: to.pixel,
                count: to.size[1],
                channel,
                sums: (place.image * self.parts + place.part) * self.stride,
                is_first: row == place.x_rows.start,
            };
            // SAFETY: the caller's.
            unsafe { self.sink.take::<V>(run, line, LANES, &self.out, &self.sums, to.pixel) };
        }
    }
}
