//! Convolution of each channel by itself, forward: `y[p, c] = Σ_k w[k, c] x[p + k, c]`.
//!
//! A task lays some rows of a picture out with zeros around, 16 channels at a time, computing them on the way where they are
//! no map, and moves the kernel over that patch: 2·k operations a number that is written, on 4·(1 + stride²) bytes.

use rayon::prelude::*;

use super::patch::Patch;
use super::scratch::Scratch;
use super::sink::{Run, Sink, room};
use super::source::Source;
use super::sums::{Cut, Sums};
use crate::conv::Padding;
use crate::image::maps::{LANES, Line, Shape, ViewMut};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::shared::SharedOut;
use crate::image::vector::{Lanes, Vector};

/// A depthwise convolution's weights, taken anew for every step.
#[derive(Debug)]
pub struct Depthwise {
    pub(super) channels: usize,
    /// Rows and columns of the kernel.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// For every vector of channels its kernel, element by element.
    pub(super) weights: Vec<Line>,
}

/// Numbers of a patch: what the second cache holds beside other things.
pub(super) const PATCH: usize = 32 << 10;

impl Depthwise {
    /// Of `channels` channels, with a square kernel.
    ///
    /// # Panics
    /// No channels, elements or steps.
    pub fn new(channels: usize, kernel: usize, stride: usize) -> Self {
        assert!(channels > 0 && kernel > 0 && stride > 0, "a kernel and a stride of at least 1");
        let weights = vec![Line([0; 16]); channels.div_ceil(LANES) * kernel * kernel];
        Self { channels, kernel, stride, weights }
    }

    /// Takes weights in PyTorch's order `[c, 1, h, w]`.
    ///
    /// # Panics
    /// Another number of weights.
    pub fn take(&mut self, w_chw: &[f32]) {
        let taps = self.kernel * self.kernel;
        assert!(w_chw.len() == self.channels * taps, "weights and shape");
        for (c, weights) in w_chw.chunks_exact(taps).enumerate() {
            let lines = &mut self.weights[c / LANES * taps..][..taps];
            lines.iter_mut().zip(weights).for_each(|(line, weight)| line.0[c % LANES] = weight.to_bits());
        }
    }

    /// Height and width of what maps of `size` become.
    pub fn output_size(&self, size: [usize; 2], padding: Padding) -> [usize; 2] {
        let axis = |n: usize| n.checked_sub(self.kernel).map_or(0, |n| n / self.stride + 1);
        [axis(size[0] + padding.top + padding.bottom), axis(size[1] + padding.left + padding.right)]
    }

    /// Computes maps, and sums for their normalisation.
    ///
    /// # Panics
    /// Maps that do not fit.
    pub fn forward(&self, path: VectorPath, x: &Source<'_>, padding: Padding, y: ViewMut<'_, f32>) -> Sums {
        let (from, to) = (x.shape(), y.shape);
        x.check();
        assert!(from.channels == self.channels && to.channels == self.channels, "channels of the maps");
        assert!(to.batch == from.batch && to.size == self.output_size(from.size, padding), "sizes");
        assert!(from.pixel == to.pixel && to.pixel == self.channels.next_multiple_of(LANES), "whole vectors");
        let cut = self.rows_at_once(to);
        let sizes = (0..cut.parts).map(|part| cut.range(part).len() * to.size[1]).collect();
        let mut sums = room(&Sink::Moments, to, sizes);
        let call = Call {
            layer: self,
            x,
            padding,
            to,
            stride: sums.stride(),
            out: SharedOut::new(y.numbers),
            sums: SharedOut::new(&mut sums.numbers),
        };
        for_each_slice(cut, to, 1, |image, part, vectors| {
            f32::send(
                path,
                Task { call: &call, image, part, rows: cut.range(part), parts: cut.parts, vectors },
            );
        });
        sums
    }

    /// Rows of the output that a task takes at once.
    pub(super) fn rows_at_once(&self, to: Shape) -> Cut {
        let row = ((to.size[1] + self.kernel) * self.stride * LANES).max(1);
        let rows = (PATCH / row).max(self.kernel) / self.stride;
        Cut { images: 1, ..Cut::new(to.batch, to.size[0], rows.max(2), 1) }
    }
}

/// Deals out pictures (`each` stands for several), their parts and their vectors of channels, some of these at a time.
pub(super) fn for_each_slice(
    cut: Cut,
    to: Shape,
    each: usize,
    work: impl Fn(usize, usize, std::ops::Range<usize>) + Sync,
) {
    /// Numbers that are written by a task, at least, where there are channels enough.
    const LEAST: usize = 1 << 14;
    let vectors = to.pixel / LANES;
    let together = LEAST.div_ceil((each * cut.size * to.size[1] * LANES).max(1)).clamp(1, vectors.max(1));
    let slices = vectors.div_ceil(together);
    (0..to.batch * cut.parts * slices).into_par_iter().with_max_len(1).for_each(|task| {
        let (at, slice) = (task / slices, task % slices);
        work(at / cut.parts, at % cut.parts, slice * together..((slice + 1) * together).min(vectors));
    });
}

struct Call<'a> {
    layer: &'a Depthwise,
    x: &'a Source<'a>,
    padding: Padding,
    to: Shape,
    stride: usize,
    out: SharedOut<'a, f32>,
    sums: SharedOut<'a, f32>,
}

struct Task<'a> {
    call: &'a Call<'a>,
    image: usize,
    part: usize,
    rows: std::ops::Range<usize>,
    parts: usize,
    vectors: std::ops::Range<usize>,
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { call, image, part, rows, parts, vectors } = self;
        let Depthwise { kernel, stride, weights, .. } = call.layer;
        let (to, padding) = (call.to, call.padding);
        let patch = Patch {
            start: [(rows.start * stride) as isize - padding.top as isize, -(padding.left as isize)],
            rows: (rows.len().max(1) - 1) * stride + kernel,
            columns: (to.size[1].max(1) - 1) * stride + kernel,
        };
        let mut scratch = Scratch::of(patch.lines() + to.size[1]);
        for vector in vectors {
            let (channel, taps) = (vector * LANES, kernel * kernel);
            let weights = weights[vector * taps..(vector + 1) * taps].as_ptr().cast::<f32>();
            let x = scratch.numbers();
            // SAFETY: the path is this processor's; the scratch has room for the patch and a row of the output; rows and sums
            // are this task's alone, of these channels.
            unsafe {
                patch.fill::<V>(call.x, image, channel, x);
                let line = x.add(patch.lines() * LANES);
                for row in rows.clone() {
                    let window = Window {
                        x: x.add((row - rows.start) * stride * patch.columns * LANES),
                        row: patch.columns * LANES,
                        step: stride * LANES,
                        taps: [*kernel, *kernel],
                        weights,
                        weights_row: *kernel as isize,
                        weights_step: 1,
                    };
                    window.line::<V>(to.size[1], line, LANES);
                    let run = Run {
                        start: image * to.image() + row * to.size[1] * to.pixel + channel,
                        every: to.pixel,
                        count: to.size[1],
                        channel,
                        sums: (image * parts + part) * call.stride,
                        is_first: row == rows.start,
                    };
                    Sink::Moments.take::<V>(run, line, LANES, &call.out, &call.sums, to.pixel);
                }
            }
        }
    }
}

/// A kernel, or some of its elements, over a row of a patch.
pub(super) struct Window {
    /// What the first output's first element sees.
    pub(super) x: *const f32,
    /// Numbers from row to row of the patch, and from output to output.
    pub(super) row: usize,
    pub(super) step: usize,
    /// Rows and columns of elements.
    pub(super) taps: [usize; 2],
    /// The first element's 16 weights; lines from row to row, and from column to column.
    pub(super) weights: *const f32,
    pub(super) weights_row: isize,
    pub(super) weights_step: isize,
}

impl Window {
    /// Some outputs of a row, `apart` numbers from one to the next.
    ///
    /// # Safety
    /// Of the vectors; the patch has what the outputs see, `to` has room.
    #[inline(always)]
    pub(super) unsafe fn line<V: Vector>(&self, count: usize, to: *mut f32, apart: usize) {
        let mut at = 0;
        // SAFETY: the caller's.
        unsafe {
            while count - at >= 8 {
                self.outputs::<V, 8>(at, to.add(at * apart), apart);
                at += 8;
            }
            if count - at >= 4 {
                self.outputs::<V, 4>(at, to.add(at * apart), apart);
                at += 4;
            }
            while at < count {
                self.outputs::<V, 1>(at, to.add(at * apart), apart);
                at += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn outputs<V: Vector, const C: usize>(&self, at: usize, to: *mut f32, apart: usize) {
        // SAFETY: of `line`.
        unsafe {
            match self.taps {
                [3, 3] => self.fixed::<V, C, 3>(at, to, apart),
                [5, 5] => self.fixed::<V, C, 5>(at, to, apart),
                _ => {
                    let mut values = [V::splat(0.0); C];
                    for h in 0..self.taps[0] {
                        for w in 0..self.taps[1] {
                            self.element::<V, C>(at, h, w, &mut values);
                        }
                    }
                    for (i, value) in values.iter().enumerate() {
                        value.store(to.add(i * apart));
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn fixed<V: Vector, const C: usize, const K: usize>(&self, at: usize, to: *mut f32, apart: usize) {
        // SAFETY: of `line`.
        unsafe {
            let mut values = [V::splat(0.0); C];
            for h in 0..K {
                for w in 0..K {
                    self.element::<V, C>(at, h, w, &mut values);
                }
            }
            for (i, value) in values.iter().enumerate() {
                value.store(to.add(i * apart));
            }
        }
    }

    #[inline(always)]
    unsafe fn element<V: Vector, const C: usize>(&self, at: usize, h: usize, w: usize, values: &mut [V; C]) {
        // SAFETY: of `line`.
        unsafe {
            let line = h as isize * self.weights_row + w as isize * self.weights_step;
            let weight = V::load(self.weights.offset(line * LANES as isize));
            let x = self.x.add(h * self.row + w * LANES + at * self.step);
            for (i, value) in values.iter_mut().enumerate() {
                *value = V::load(x.add(i * self.step)).mul_add(weight, *value);
            }
        }
    }
}
