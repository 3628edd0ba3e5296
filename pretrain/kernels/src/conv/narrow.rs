//! Depthwise kernels and groups of few channels, without gathering.
//!
//! A plane is laid out so that every kernel element meets it in one straight line, whatever the stride and dilation:
//! zeros are written around it, and rows and columns are sorted by their remainder modulo the stride ("phases"). In a
//! phase all lines have the same length as the lines of the output, a few columns longer. Output q (row times line
//! length plus column) then needs element `offset_t + q` for kernel element t:
//!
//! `y_oq = Σ_it w_oit x_i[offset_t + q]`, summed over i, then t. The columns q beyond a row's end are computed and not
//! kept. The input gradient is the same sum over d_y, phase by phase, the weight gradient a dot product a tap.
//!
//! 2·o·i·t operations an output; x and y pass memory once: 4·(x + y) bytes in f32.

use rayon::prelude::*;

use super::geometry::Sizes;
use crate::element::Element;
use crate::simd::{Kernel, widest};

pub(crate) fn forward<T: Element>(sizes: &Sizes, x: &[T], w: &[T], y: &mut [T]) {
    let lines = Lines::new(sizes);
    let offsets = lines.offsets(sizes);
    let (area_in, area_out) = (sizes.input_area(), sizes.output_area());
    y.par_chunks_mut(sizes.outputs * area_out).enumerate().for_each_init(
        Scratch::new,
        |scratch, (task, y)| {
            let w = &w[task % sizes.groups * sizes.group_weight()..][..sizes.group_weight()];
            let Scratch { planes, out } = scratch;
            lay_out(planes, sizes.inputs * lines.plane);
            for (plane, x) in
                planes.chunks_exact_mut(lines.plane).zip(x[task * sizes.inputs * area_in..].chunks(area_in))
            {
                lines.spread(sizes, x, plane);
            }
            lay_out(out, sizes.outputs * lines.padded);
            widest(Correlate {
                out,
                stride: lines.padded,
                inputs: planes,
                plane: lines.plane,
                offsets: &offsets,
                w,
            });
            for (y, out) in y.chunks_exact_mut(area_out).zip(out.chunks_exact(lines.padded)) {
                for (y, out) in y.chunks_exact_mut(sizes.output[1]).zip(out.chunks(lines.line)) {
                    y.copy_from_slice(&out[..sizes.output[1]]);
                }
            }
        },
    );
}

pub(crate) fn input_gradient<T: Element>(sizes: &Sizes, w: &[T], d_y: &[T], d_x: &mut [T]) {
    let lines = Lines::new(sizes);
    let offsets = lines.offsets(sizes);
    let taps = sizes.taps();
    let (area_in, area_out) = (sizes.input_area(), sizes.output_area());
    let reach = lines.phase.next_multiple_of(LANES);
    // d_y with zeros before and after, so that every tap of every element of a phase finds something.
    let front = lines.phase;
    let plane = front + lines.padded.max(reach) + reach;
    d_x.par_chunks_mut(sizes.inputs * area_in).enumerate().for_each_init(
        Scratch::new,
        |scratch, (task, d_x)| {
            let w = &w[task % sizes.groups * sizes.group_weight()..][..sizes.group_weight()];
            let Scratch { planes, out } = scratch;
            lay_out(planes, sizes.outputs * plane);
            let d_y = &d_y[task * sizes.outputs * area_out..];
            for (plane, d_y) in planes.chunks_exact_mut(plane).zip(d_y.chunks(area_out)) {
                for (to, from) in plane[front..]
                    .chunks_mut(lines.line)
                    .zip(d_y.chunks_exact(sizes.output[1]).take(sizes.output[0]))
                {
                    to[..from.len()].copy_from_slice(from);
                }
            }
            for phase in 0..lines.phases() {
                // The taps that meet this phase, and their weights with input and output channels exchanged.
                let met: Vec<usize> = (0..taps).filter(|&tap| offsets[tap] / lines.phase == phase).collect();
                if met.is_empty() {
                    continue; // a stride beyond the kernel: nothing saw these elements
                }
                let back: Vec<usize> = met.iter().map(|&tap| front - offsets[tap] % lines.phase).collect();
                let mut weight = Vec::with_capacity(sizes.inputs * sizes.outputs * met.len());
                for i in 0..sizes.inputs {
                    for o in 0..sizes.outputs {
                        weight.extend(met.iter().map(|&tap| w[(o * sizes.inputs + i) * taps + tap]));
                    }
                }
                lay_out(out, sizes.inputs * reach);
                widest(Correlate { out, stride: reach, inputs: planes, plane, offsets: &back, w: &weight });
                for (d_x, out) in d_x.chunks_exact_mut(area_in).zip(out.chunks_exact(reach)) {
                    lines.collect(sizes, phase, out, d_x);
                }
            }
        },
    );
}

/// A task owns one group's weight and adds samples up in order.
pub(crate) fn weight_gradient<T: Element>(sizes: &Sizes, x: &[T], d_y: &[T], d_w: &mut [T]) {
    let lines = Lines::new(sizes);
    let offsets = lines.offsets(sizes);
    let taps = sizes.taps();
    let (area_in, area_out) = (sizes.input_area(), sizes.output_area());
    d_w.par_chunks_mut(sizes.group_weight()).enumerate().for_each_init(
        Scratch::new,
        |scratch, (group, d_w)| {
            let Scratch { planes, out } = scratch;
            let mut sums = vec![[0.0; 16]; sizes.group_weight()];
            for sample in 0..sizes.batch {
                let task = sample * sizes.groups + group;
                lay_out(planes, sizes.inputs * lines.plane);
                let x = &x[task * sizes.inputs * area_in..];
                for (plane, x) in planes.chunks_exact_mut(lines.plane).zip(x.chunks(area_in)) {
                    lines.spread(sizes, x, plane);
                }
                for o in 0..sizes.outputs {
                    // Zeros stand in the columns that are no outputs, and add nothing.
                    lay_out(out, lines.padded);
                    let d_y = &d_y[(task * sizes.outputs + o) * area_out..][..area_out];
                    for (to, from) in out.chunks_mut(lines.line).zip(d_y.chunks_exact(sizes.output[1])) {
                        to[..from.len()].copy_from_slice(from);
                    }
                    for (i, plane) in planes.chunks_exact(lines.plane).enumerate() {
                        let sums = &mut sums[(o * sizes.inputs + i) * taps..][..taps];
                        widest(Dots { sums, d_y: out, plane, offsets: &offsets });
                    }
                }
            }
            for (d_w, sum) in d_w.iter_mut().zip(sums) {
                *d_w = T::from_f64(sum.iter().sum());
            }
        },
    );
}

/// Outputs that are computed together.
const LANES: usize = 64;

struct Scratch<T> {
    planes: Vec<T>,
    out: Vec<T>,
}

impl<T> Scratch<T> {
    fn new() -> Self {
        Self { planes: Vec::new(), out: Vec::new() }
    }
}

/// All zeros, `length` of them.
fn lay_out<T: Element>(buffer: &mut Vec<T>, length: usize) {
    buffer.clear();
    buffer.resize(length, T::ZERO);
}

/// Where the elements of a plane stand.
struct Lines {
    /// From one row of a phase, and of the output, to the next.
    line: usize,
    /// Outputs with the columns that are not kept, in whole lanes.
    padded: usize,
    /// Elements of one phase.
    phase: usize,
    /// Elements of all phases, and so many more that the last lanes stay inside.
    plane: usize,
    stride: [usize; 2],
}

impl Lines {
    fn new(sizes: &Sizes) -> Self {
        let extra = |axis: usize| (sizes.kernel[axis] - 1) * sizes.dilation[axis] / sizes.stride[axis];
        let line = sizes.output[1] + extra(1);
        let padded = (sizes.output[0] * line).next_multiple_of(LANES);
        let phase = (sizes.output[0] + extra(0)) * line;
        let phases = sizes.stride[0] * sizes.stride[1];
        Self { line, padded, phase, plane: phases * phase + padded, stride: sizes.stride }
    }

    fn phases(&self) -> usize {
        self.stride[0] * self.stride[1]
    }

    /// For every tap the element that output 0 meets.
    fn offsets(&self, sizes: &Sizes) -> Vec<usize> {
        let mut offsets = Vec::with_capacity(sizes.taps());
        for kh in 0..sizes.kernel[0] {
            for kw in 0..sizes.kernel[1] {
                let (row, column) = (kh * sizes.dilation[0], kw * sizes.dilation[1]);
                let phase = row % self.stride[0] * self.stride[1] + column % self.stride[1];
                offsets.push(phase * self.phase + row / self.stride[0] * self.line + column / self.stride[1]);
            }
        }
        offsets
    }

    /// Calls `visit(row of the map, its first column, first element in the phase, length)` for the part of every row
    /// that belongs to the phase; along it the column grows by the stride.
    fn for_each_row(&self, sizes: &Sizes, phase: usize, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let [phase_h, phase_w] = [phase / self.stride[1], phase % self.stride[1]];
        let rows = self.phase / self.line;
        for row in 0..rows {
            let padded_row = row * self.stride[0] + phase_h;
            if padded_row < sizes.before[0] || padded_row - sizes.before[0] >= sizes.input[0] {
                continue;
            }
            // Columns c of the phase with 0 <= c * stride + phase_w - before < width.
            let first = sizes.before[1].saturating_sub(phase_w).div_ceil(self.stride[1]);
            let end = (sizes.input[1] + sizes.before[1]).saturating_sub(phase_w).div_ceil(self.stride[1]);
            let end = end.min(self.line);
            if first < end {
                let column = first * self.stride[1] + phase_w - sizes.before[1];
                visit(padded_row - sizes.before[0], column, row * self.line + first, end - first);
            }
        }
    }

    /// Writes a map into the zeros of a plane.
    fn spread<T: Element>(&self, sizes: &Sizes, x: &[T], plane: &mut [T]) {
        for phase in 0..self.phases() {
            self.for_each_row(sizes, phase, |row, column, to, length| {
                let to = &mut plane[phase * self.phase + to..][..length];
                let from = &x[row * sizes.input[1] + column..(row + 1) * sizes.input[1]];
                if self.stride[1] == 1 {
                    to.copy_from_slice(&from[..length]);
                } else {
                    for (to, from) in to.iter_mut().zip(from.iter().step_by(self.stride[1])) {
                        *to = *from;
                    }
                }
            });
        }
    }

    /// The reverse: one phase back into the map.
    fn collect<T: Element>(&self, sizes: &Sizes, phase: usize, out: &[T], d_x: &mut [T]) {
        self.for_each_row(sizes, phase, |row, column, from, length| {
            let to = &mut d_x[row * sizes.input[1] + column..(row + 1) * sizes.input[1]];
            for (to, from) in to.iter_mut().step_by(self.stride[1]).zip(&out[from..][..length]) {
                *to = *from;
            }
        });
    }
}

/// `out_o[q] = Σ_ij w_oij inputs_i[offset_j + q]`, i before j.
struct Correlate<'a, T> {
    /// One run of `stride` elements an output, whole lanes.
    out: &'a mut [T],
    stride: usize,
    /// One run of `plane` elements an input.
    inputs: &'a [T],
    plane: usize,
    offsets: &'a [usize],
    w: &'a [T],
}

impl<T: Element> Kernel for Correlate<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { out, stride, inputs, plane, offsets, w } = self;
        let rows = inputs.len() / plane * offsets.len();
        let together = out.len() / stride / TOGETHER * TOGETHER;
        let (out, out_rest) = out.split_at_mut(together * stride);
        let (w, w_rest) = w.split_at(together * rows);
        for (out, w) in out.chunks_exact_mut(TOGETHER * stride).zip(w.chunks_exact(TOGETHER * rows)) {
            correlate::<T, TOGETHER>(out, inputs, plane, offsets, w);
        }
        for (out, w) in out_rest.chunks_exact_mut(stride).zip(w_rest.chunks_exact(rows)) {
            correlate::<T, 1>(out, inputs, plane, offsets, w);
        }
    }
}

/// Outputs that share what is loaded. Each one's sum is in the same order as alone.
const TOGETHER: usize = 4;

/// `O` outputs, `LANES` elements of each at a time.
#[inline(always)]
fn correlate<T: Element, const O: usize>(
    out: &mut [T],
    inputs: &[T],
    plane: usize,
    offsets: &[usize],
    w: &[T],
) {
    let (stride, rows) = (out.len() / O, w.len() / O);
    for q in (0..stride).step_by(LANES) {
        let mut sums = [[T::ZERO; LANES]; O];
        let mut row = 0;
        for input in inputs.chunks_exact(plane) {
            for offset in offsets {
                let x = &input[offset + q..][..LANES];
                let weights: [T; O] = std::array::from_fn(|o| w[o * rows + row]);
                for lane in 0..LANES {
                    for o in 0..O {
                        sums[o][lane] += weights[o] * x[lane];
                    }
                }
                row += 1;
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            out[o * stride + q..][..LANES].copy_from_slice(sums);
        }
    }
}

/// `Σ_16 sums_j += Σ_q d_y[q] plane[offset_j + q]`: sums over `RUN` elements in T, all else in f64.
struct Dots<'a, T> {
    /// 16 partial sums an offset.
    sums: &'a mut [[f64; 16]],
    /// Whole lanes.
    d_y: &'a [T],
    plane: &'a [T],
    offsets: &'a [usize],
}

/// 64 products and sums in each lane.
const RUN: usize = 64 * LANES;

impl<T: Element> Kernel for Dots<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { sums, d_y, plane, offsets } = self;
        for start in (0..d_y.len()).step_by(RUN) {
            let d_y = &d_y[start..d_y.len().min(start + RUN)];
            for (sums, offset) in sums.iter_mut().zip(offsets) {
                let x = &plane[offset + start..][..d_y.len()];
                let mut lanes = [T::ZERO; LANES];
                for (d_y, x) in d_y.chunks_exact(LANES).zip(x.chunks_exact(LANES)) {
                    for lane in 0..LANES {
                        lanes[lane] += d_y[lane] * x[lane];
                    }
                }
                for lane in 0..16 {
                    let sum = (lanes[lane] + lanes[lane + 16]) + (lanes[lane + 32] + lanes[lane + 48]);
                    sums[lane] += sum.to_f64();
                }
            }
        }
    }
}
