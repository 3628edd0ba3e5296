//! The gradient of a 1 x 1 convolution's weights: `d_w[o, i] += Σ_p d_y[p, o] x[p, i]`.
//!
//! A task lays some pixels of its channels out vector by vector, so that what a tile reads lies side by side, computing d_y
//! and x on the way where they are not maps, and adds the outer products of pixels up in registers: 2·o·i operations a pixel on
//! 4·(o + i) bytes, each read once for every 256 channels of the other side. Sums run over the pixels of a task in order, then
//! over tasks in order; tasks follow from the sizes alone.

use rayon::prelude::*;

use super::outer::{Operands, ROWS, add_products};
use super::scratch::Scratch;
use super::source::{Source, Wanted};
use crate::image::maps::LANES;
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::shared::SharedOut;
use crate::image::vector::{Lanes, Vector};

/// Channels of a task, of either side.
const CHANNELS: usize = 256;
/// Pixels that are laid out at once.
const PIXELS: usize = 128;
/// Tasks, where there are pixels enough.
const TASKS: usize = 32;
/// Pixels of a task, at least: each brings sums of its own.
const LEAST: usize = 4 * PIXELS;

/// Adds the gradient to `d_w_oi`. The kernel's only element saw every `stride`th pixel of x.
///
/// # Panics
/// Maps and weights that do not fit together.
pub fn pointwise_gradient(
    path: VectorPath,
    d_y: &Source<'_>,
    x: &Source<'_>,
    stride: usize,
    d_w_oi: &mut [f32],
) {
    d_y.check();
    x.check();
    let (d, from) = (d_y.shape(), x.shape());
    let (outputs, inputs) = (d.channels, from.channels);
    assert!(d.batch == from.batch && d.size == from.size.map(|n| n.div_ceil(stride)), "maps that fit");
    assert!(d_w_oi.len() == outputs * inputs, "a gradient of the weights' shape");
    let total = d.batch * d.area();
    if total == 0 {
        return;
    }
    let [blocks_o, blocks_i] = [outputs, inputs].map(|n| n.div_ceil(CHANNELS));
    let slices = (TASKS / (blocks_o * blocks_i)).clamp(1, total.div_ceil(LEAST));
    let (rows, columns) = (outputs.next_multiple_of(LANES), inputs.next_multiple_of(LANES));
    let mut partial = vec![0.0f32; slices * rows * columns];
    let out = SharedOut::new(&mut partial);
    (0..slices * blocks_o * blocks_i).into_par_iter().with_max_len(1).for_each(|task| {
        let (slice, block) = (task % slices, task / slices);
        let channels = |block: usize, n: usize| block * CHANNELS..((block + 1) * CHANNELS).min(n);
        let task = Task {
            d_y,
            x,
            stride,
            pixels: slice * total / slices..(slice + 1) * total / slices,
            rows: channels(block / blocks_i, rows),
            columns: channels(block % blocks_i, columns),
            outputs,
            out: &out,
            first: slice * rows * columns,
            row: columns,
        };
        f32::send(path, task);
    });
    // the sum first: what is added does not depend on what is there
    let first = &partial[..rows * columns];
    d_w_oi.par_chunks_mut(inputs).zip(first.par_chunks_exact(columns)).enumerate().for_each(
        |(o, (d_w, first))| {
            let mut sums = first[..inputs].to_vec();
            for slice in 1..slices {
                let more = &partial[(slice * rows + o) * columns..][..inputs];
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            d_w.iter_mut().zip(&sums).for_each(|(d_w, sum)| *d_w += sum);
        },
    );
}

struct Task<'a> {
    d_y: &'a Source<'a>,
    x: &'a Source<'a>,
    stride: usize,
    pixels: std::ops::Range<usize>,
    /// Channels of both sides, whole vectors.
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    outputs: usize,
    out: &'a SharedOut<'a, f32>,
    /// Where the sums start, and numbers of a row.
    first: usize,
    row: usize,
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let mut scratch = Scratch::of((rows + columns) / LANES * PIXELS);
        let a = scratch.numbers();
        for start in self.pixels.clone().step_by(PIXELS) {
            let count = PIXELS.min(self.pixels.end - start);
            // SAFETY: the path is this processor's; the scratch has a line for each vector and pixel; the sums of these
            // rows, columns and pixels are this task's alone.
            unsafe {
                let b = a.add(rows * PIXELS);
                self.lay::<V>(self.d_y, 1, start..start + count, self.rows.clone(), a);
                self.lay::<V>(self.x, self.stride, start..start + count, self.columns.clone(), b);
                self.multiply::<V>(a, b, count);
            }
        }
    }
}

impl Task<'_> {
    /// Vector by vector, pixel by pixel.
    #[inline(always)]
    unsafe fn lay<V: Vector>(
        &self,
        source: &Source<'_>,
        stride: usize,
        pixels: std::ops::Range<usize>,
        channels: std::ops::Range<usize>,
        to: *mut f32,
    ) {
        /// Pixels that are near while their vectors are gone through.
        const NEAR: usize = 16;
        let size = self.d_y.shape().size;
        let (area, width) = (size[0] * size[1], source.shape().size[1]);
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let (image, at) = (pixel / area, pixel % area);
            // within a row where pixels are left out, else within a picture
            let (first, rest) = if stride == 1 {
                (at, area - at)
            } else {
                let (row, column) = (at / size[1], at % size[1]);
                (row * stride * width + column * stride, size[1] - column)
            };
            let count = rest.min(pixels.end - pixel).min(NEAR);
            for channel in channels.clone().step_by(LANES) {
                let wanted = Wanted { image, first, every: stride, count, channel };
                let line = (channel - channels.start) * PIXELS + (pixel - pixels.start) * LANES;
                // SAFETY: the caller's.
                unsafe { source.write::<V>(wanted, to.add(line), LANES) };
            }
            pixel += count;
        }
    }

    #[inline(always)]
    unsafe fn multiply<V: Vector>(&self, a: *const f32, b: *const f32, count: usize) {
        const TOGETHER: usize = 3;
        let vectors = self.columns.len() / LANES;
        let mut vector = 0;
        while vector < vectors {
            let together = match vectors - vector {
                n @ (1 | 2) => n,
                4 => 2,
                _ => TOGETHER,
            };
            for o in self.rows.clone().step_by(ROWS).filter(|o| *o < self.outputs) {
                let at = o - self.rows.start;
                let column = self.columns.start + vector * LANES;
                // SAFETY: the caller's; the last of the rows' numbers is asserted to be there.
                unsafe {
                    let last = self.first + (o + ROWS - 1) * self.row + column;
                    self.out.pointer(last, together * LANES);
                    add_products::<V>(&Operands {
                        lines: 1,
                        count,
                        a: a.add(at / LANES * PIXELS * LANES + at % LANES),
                        a_steps: [LANES, 0],
                        b: b.add(vector * PIXELS * LANES),
                        b_steps: [LANES, 0],
                        b_vector: PIXELS * LANES,
                        vectors: together,
                        sums: self.out.pointer(self.first + o * self.row + column, 0),
                        row: self.row,
                    });
                }
            }
            vector += together;
        }
    }
}
