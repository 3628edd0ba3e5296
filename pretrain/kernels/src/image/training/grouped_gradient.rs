//! The gradient of a grouped convolution's weights: `d_w[o, i, k] += Σ_p d_y[p, o] x[p stride + k - before, i]`, i of o's group.
//!
//! A task takes some groups and some pictures, lays both maps out with zeros around, computing them on the way where they are
//! none, and adds products up in registers. Groups of 2, 4 or 8 stand side by side in a vector: each output picks its
//! inputs there, one after the other, beside the three elements of a kernel's row. Wider groups are outer products of 8 outputs and
//! 16 inputs. 2·i·k operations a number of d_y, on 4·(1 + stride²) bytes.

use rayon::prelude::*;

use super::filter::Filter;
use super::outer::{Operands, ROWS, add_products};
use super::patch::Patch;
use super::scratch::Scratch;
use super::source::Source;
use super::sums::Cut;
use crate::conv::Padding;
use crate::image::maps::{LANES, Line};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::vector::{Lanes, Vector};

/// Numbers of d_y that are laid out at once.
const PATCH: usize = 32 << 10;
/// Elements of a kernel's row that are gone through together, less one.
const BEYOND: usize = 2;
/// Tasks, where there are groups and pictures enough.
const TASKS: usize = 32;

/// Adds the gradient to `d_w_oihw`.
///
/// # Panics
/// Maps and weights that do not fit together; groups that are not vectors of 16, nor parts or multiples of them.
pub fn grouped_gradient(
    path: VectorPath,
    filter: &Filter,
    d_y: &Source<'_>,
    x: &Source<'_>,
    padding: Padding,
    d_w_oihw: &mut [f32],
) {
    let [outputs, width, height_k, width_k] = filter.dims;
    let (d, from) = (d_y.shape(), x.shape());
    d_y.check();
    x.check();
    assert!(outputs == width * filter.groups && from.channels == outputs, "as many outputs as inputs");
    assert!(grouped_fits(width), "groups that share vectors, or have some of their own");
    assert!(d.channels == outputs && d.batch == from.batch, "channels and pictures");
    assert!(d.size == filter.output_size(from.size, padding), "sizes");
    assert!(d_w_oihw.len() == filter.dims.iter().product::<usize>(), "a gradient of the weights' shape");
    // channels that a task sees, a vector or a whole group, and those of them whose weights are its own
    let channels = width.max(LANES);
    let own = [64, 48, 32].into_iter().find(|own| channels.is_multiple_of(*own)).unwrap_or(LANES);
    let blocks = outputs.div_ceil(own);
    let slices = TASKS.div_ceil(blocks).clamp(1, d.batch.max(1));
    let taps = height_k * width_k;
    // of a vector of narrow groups [tap, i, 16 o], of a wide group [tap, o, i]
    let sums = if width < LANES { taps * width * LANES } else { taps * own * channels };
    let mut partial = vec![0.0f32; blocks * slices * sums];
    if partial.is_empty() || d.batch == 0 {
        return;
    }
    let row = (d.size[1] * channels).max(1);
    let cut = Cut { images: 1, ..Cut::new(d.batch, d.size[0], (PATCH / row).max(2), 1) };
    partial.par_chunks_exact_mut(sums).with_max_len(1).enumerate().for_each(|(task, sums)| {
        let (block, slice) = (task / slices, task % slices);
        let images = slice * d.batch / slices..(slice + 1) * d.batch / slices;
        f32::send(
            path,
            Task { filter, d_y, x, padding, first: block * own, own, channels, images, cut, sums },
        );
    });
    d_w_oihw.par_chunks_mut(width * taps).enumerate().for_each(|(o, d_w)| {
        let (block, lane) = (o / own, o % own);
        for (at, d_w) in d_w.iter_mut().enumerate() {
            let (i, tap) = (at / taps, at % taps);
            let from = if width < LANES {
                (tap * width + i) * LANES + lane
            } else {
                (tap * own + lane) * channels + i
            };
            let sums = (0..slices).map(|slice| partial[(block * slices + slice) * sums + from]);
            *d_w += sums.sum::<f32>();
        }
    });
}

/// Whether [`grouped_gradient`] knows groups of this width: whole vectors, or 2, 4 or 8.
pub fn grouped_fits(width: usize) -> bool {
    matches!(width, 2 | 4 | 8) || width.is_multiple_of(LANES)
}

struct Task<'a> {
    filter: &'a Filter,
    d_y: &'a Source<'a>,
    x: &'a Source<'a>,
    padding: Padding,
    /// First output, and how many.
    first: usize,
    own: usize,
    /// Inputs of a group, or a vector of them.
    channels: usize,
    images: std::ops::Range<usize>,
    cut: Cut,
    sums: &'a mut [f32],
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(mut self) {
        let [_, width, height_k, width_k] = self.filter.dims;
        let stride = self.filter.stride;
        let (vectors, own) = (self.channels / LANES, self.own / LANES);
        let first = self.first / self.channels * self.channels;
        let d_width = self.d_y.shape().size[1];
        for image in self.images.clone() {
            for part in 0..self.cut.parts {
                let rows = self.cut.range(part);
                // narrow groups look at outputs beyond both ends of a row
                let beyond = if width < LANES { BEYOND } else { 0 };
                let d = Patch {
                    start: [rows.start as isize, -(beyond as isize)],
                    rows: rows.len(),
                    columns: d_width + 2 * beyond,
                };
                let x = Patch {
                    start: [
                        (rows.start * stride) as isize - self.padding.top as isize,
                        -(self.padding.left as isize),
                    ],
                    rows: (rows.len() - 1) * stride + height_k,
                    columns: (d_width - 1) * stride + width_k,
                };
                let mut scratch = Scratch::of(d.lines() * own + x.lines() * vectors);
                let d_numbers = scratch.numbers();
                // SAFETY: the path is this processor's; the scratch has room for the vectors of both patches, which hold all
                // that outputs of these rows saw.
                unsafe {
                    let x_numbers = d_numbers.add(d.lines() * own * LANES);
                    for vector in 0..own {
                        let channel = self.first + vector * LANES;
                        d.fill::<V>(self.d_y, image, channel, d_numbers.add(vector * d.lines() * LANES));
                    }
                    for vector in 0..vectors {
                        let channel = first + vector * LANES;
                        x.fill::<V>(self.x, image, channel, x_numbers.add(vector * x.lines() * LANES));
                    }
                    match width {
                        2 => self.narrow::<V, 2>((&d, d_numbers), (&x, x_numbers)),
                        4 => self.narrow::<V, 4>((&d, d_numbers), (&x, x_numbers)),
                        8 => self.narrow::<V, 8>((&d, d_numbers), (&x, x_numbers)),
                        _ => self.wide::<V>((&d, d_numbers), (&x, x_numbers)),
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// Outer products, element by element of the kernel.
    #[inline(always)]
    unsafe fn wide<V: Vector>(
        &mut self,
        (d, d_numbers): (&Patch, *const f32),
        (x, x_numbers): (&Patch, *const f32),
    ) {
        let [_, _, height_k, width_k] = self.filter.dims;
        let (stride, channels) = (self.filter.stride, self.channels);
        for tap in 0..height_k * width_k {
            for o in (0..self.own).step_by(ROWS) {
                let at = (tap * self.own + o) * channels;
                // SAFETY: the caller's; the sums have 8 rows of whole vectors from `at` on.
                unsafe {
                    let start = (tap / width_k) * x.columns + tap % width_k;
                    add_products::<V>(&Operands {
                        lines: d.rows,
                        count: d.columns,
                        a: d_numbers.add(o / LANES * d.lines() * LANES + o % LANES),
                        a_steps: [LANES, d.columns * LANES],
                        b: x_numbers.add(start * LANES),
                        b_steps: [stride * LANES, stride * x.columns * LANES],
                        b_vector: x.lines() * LANES,
                        vectors: channels / LANES,
                        sums: self.sums[at..at + ROWS * channels].as_mut_ptr(),
                        row: channels,
                    });
                }
            }
        }
    }

    /// Groups of `W` in a vector: every output picks its group's inputs.
    #[inline(always)]
    unsafe fn narrow<V: Lanes<f32>, const W: usize>(
        &mut self,
        (d, d_numbers): (&Patch, *const f32),
        (x, x_numbers): (&Patch, *const f32),
    ) {
        let [_, _, height_k, width_k] = self.filter.dims;
        let order: [Line; W] =
            std::array::from_fn(|word| Line(std::array::from_fn(|lane| (lane / W * W + word) as u32)));
        for h in 0..height_k {
            let mut w = 0;
            while w < width_k {
                // SAFETY: the caller's.
                unsafe {
                    if self.filter.stride == 1 && width_k - w >= 3 {
                        self.together::<V, W, 3>([h, w], &order, (d, d_numbers), (x, x_numbers));
                        w += 3;
                    } else {
                        self.together::<V, W, 1>([h, w], &order, (d, d_numbers), (x, x_numbers));
                        w += 1;
                    }
                }
            }
        }
    }

    /// `T` elements of a kernel's row: what is picked of an input serves the outputs that saw it under each of them.
    #[inline(always)]
    unsafe fn together<V: Lanes<f32>, const W: usize, const T: usize>(
        &mut self,
        [h, w]: [usize; 2],
        order: &[Line; W],
        (d, d_numbers): (&Patch, *const f32),
        (x, x_numbers): (&Patch, *const f32),
    ) {
        let (stride, width_k) = (self.filter.stride, self.filter.dims[3]);
        // SAFETY: the caller's; sums have a vector for each element and input.
        unsafe {
            let mut sums = [[V::splat(0.0); W]; T];
            let columns = d.columns - 2 * BEYOND;
            for row in 0..d.rows {
                let d = d_numbers.add((row * d.columns + BEYOND) * LANES);
                let x = x_numbers.add(((row * stride + h) * x.columns + w) * LANES);
                // input `at` from the first element on was seen by output `at - t` under element t
                for at in 0..columns + T - 1 {
                    let words = V::own_words(x.add(at * stride * LANES));
                    let mut gradients = [V::own_words(d.add(at * LANES)); T];
                    for (t, gradient) in gradients.iter_mut().enumerate().skip(1) {
                        *gradient = V::own_words(d.add(at * LANES).sub(t * LANES));
                    }
                    for i in 0..W {
                        let picked = V::pick(words, order[i].0.as_ptr());
                        for t in 0..T {
                            sums[t][i] = sums[t][i].add_products(picked, gradients[t]);
                        }
                    }
                }
            }
            for (t, sums) in sums.iter().enumerate() {
                for (i, sum) in sums.iter().enumerate() {
                    let at = ((h * width_k + w + t) * W + i) * LANES;
                    let total = self.sums[at..at + LANES].as_mut_ptr();
                    V::load(total).add(*sum).store(total);
                }
            }
        }
    }
}
