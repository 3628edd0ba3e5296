//! Wide kernels: gather the input of a run of outputs into columns, then one product.
//!
//! Legend: k = an input channel and an element of the kernel, (i, kh, kw) with kw fastest; p = an output position,
//! rows of the output one after the other; b batch, g group, i and o channels of one group.
//!
//! Forward `y_op = Σ_k w_ok x_kp`, input gradient `d_x_kp = Σ_o w_ok d_y_op` scattered back, weight gradient
//! `d_w_ok = Σ_bp d_y_op x_kp`. Each reads x or d_y once and moves k·p elements in cache: 8·k·p bytes in f32 for
//! 2·o·k·p operations.

use rayon::prelude::*;

use super::geometry::Sizes;
use crate::element::Element;
use crate::product::{Matrix, MatrixMut, Shared, multiply, tile_size};

/// Columns of one tile, in elements: 1 MiB of f32.
const COLUMNS: usize = 1 << 18;

pub(crate) fn forward<T: Element>(sizes: &Sizes, x: &[T], w: &[T], y: &mut [T]) {
    let (area, taps) = (sizes.output_area(), sizes.taps());
    let rows = sizes.inputs * taps;
    let tile = tile_size(area, (COLUMNS / rows).clamp(96, 4096));
    let tiles = area.div_ceil(tile);
    let shared = Shared::new(y);
    (0..sizes.batch * sizes.groups * tiles).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (sample_group, start) = (task / tiles, task % tiles * tile);
        let count = tile.min(area - start);
        let group = sample_group % sizes.groups;
        let channels = &x[sample_group * sizes.inputs * sizes.input_area()..];
        gather(sizes, channels, sizes.inputs, start, count, columns);
        let weight = &w[group * sizes.group_weight()..][..sizes.group_weight()];
        // SAFETY: (sample and group) and the run of positions are this task's alone.
        let mut out =
            unsafe { shared.tile(sample_group * sizes.outputs * area + start, [sizes.outputs, count], area) };
        let weight = Matrix::new(weight, [sizes.outputs, rows], [rows, 1]);
        multiply(&mut out, false, weight, Matrix::new(columns, [rows, count], [count, 1]));
    });
}

/// A task owns some input channels of one group of one sample and goes through the tiles in order.
pub(crate) fn input_gradient<T: Element>(sizes: &Sizes, w: &[T], d_y: &[T], d_x: &mut [T]) {
    let (area, taps) = (sizes.output_area(), sizes.taps());
    let block = tile_size(sizes.inputs, (BLOCK_ROWS / taps).max(1));
    let blocks = sizes.inputs.div_ceil(block);
    let tile = tile_size(area, (COLUMNS / (block * taps)).clamp(96, 4096));
    let shared = Shared::new(d_x);
    (0..sizes.batch * sizes.groups * blocks).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (sample_group, first) = (task / blocks, task % blocks * block);
        let channels = block.min(sizes.inputs - first);
        let rows = channels * taps;
        let weight = &w[sample_group % sizes.groups * sizes.group_weight()..][..sizes.group_weight()];
        let weight = Matrix::new(&weight[first * taps..], [sizes.outputs, rows], [sizes.inputs * taps, 1]);
        let start_x = (sample_group * sizes.inputs + first) * sizes.input_area();
        // SAFETY: these channels of this sample are this task's alone.
        let mut planes = unsafe { shared.tile(start_x, [channels, sizes.input_area()], sizes.input_area()) };
        for start in (0..area).step_by(tile) {
            let count = tile.min(area - start);
            let gradient = &d_y[sample_group * sizes.outputs * area + start..];
            let gradient = Matrix::new(gradient, [sizes.outputs, count], [area, 1]);
            columns.clear();
            columns.resize(rows * count, T::ZERO);
            let mut out = MatrixMut::new(columns, [rows, count], count);
            multiply(&mut out, false, weight.transposed(), gradient);
            scatter(sizes, columns, channels, start, count, &mut planes);
        }
    });
}

/// A task owns some input channels of some outputs' weights and adds samples and tiles up in order.
pub(crate) fn weight_gradient<T: Element>(sizes: &Sizes, x: &[T], d_y: &[T], d_w: &mut [T]) {
    let (area, taps) = (sizes.output_area(), sizes.taps());
    let block = tile_size(sizes.inputs, (BLOCK_ROWS / taps).max(1));
    let blocks = sizes.inputs.div_ceil(block);
    let tile = tile_size(area, (COLUMNS / (block * taps)).clamp(96, 4096));
    let shared = Shared::new(d_w);
    (0..sizes.groups * blocks).into_par_iter().for_each_init(Vec::new, |columns, task| {
        let (group, first) = (task / blocks, task % blocks * block);
        let channels = block.min(sizes.inputs - first);
        let rows = channels * taps;
        let start_w = group * sizes.group_weight() + first * taps;
        // SAFETY: these input channels of this group are this task's alone.
        let mut out = unsafe { shared.tile(start_w, [sizes.outputs, rows], sizes.inputs * taps) };
        for sample in 0..sizes.batch {
            let sample_group = sample * sizes.groups + group;
            let planes = &x[(sample_group * sizes.inputs + first) * sizes.input_area()..];
            for start in (0..area).step_by(tile) {
                let count = tile.min(area - start);
                gather(sizes, planes, channels, start, count, columns);
                let gradient = &d_y[sample_group * sizes.outputs * area + start..];
                let gradient = Matrix::new(gradient, [sizes.outputs, count], [area, 1]);
                let columns = Matrix::new(columns, [rows, count], [count, 1]);
                multiply(&mut out, true, gradient, columns.transposed());
            }
        }
    });
}

/// Rows of columns that one task of the gradients holds.
const BLOCK_ROWS: usize = 144;

/// `columns[k, p - start]` = what kernel element k of output p sees, zero outside of the map.
fn gather<T: Element>(
    sizes: &Sizes,
    x: &[T],
    channels: usize,
    start: usize,
    count: usize,
    columns: &mut Vec<T>,
) {
    columns.clear();
    columns.resize(channels * sizes.taps() * count, T::ZERO);
    let step = sizes.stride[1];
    for_each_run(sizes, channels, start, count, |row, to, from, length| {
        let to = &mut columns[row * count + to..][..length];
        if step == 1 {
            to.copy_from_slice(&x[from..from + length]);
        } else {
            for (to, from) in to.iter_mut().zip(x[from..].iter().step_by(step)) {
                *to = *from;
            }
        }
    });
}

/// The reverse of [`gather`]: adds every element of the columns to where it came from.
fn scatter<T: Element>(
    sizes: &Sizes,
    columns: &[T],
    channels: usize,
    start: usize,
    count: usize,
    planes: &mut MatrixMut<'_, T>,
) {
    let (area, step) = (sizes.input_area(), sizes.stride[1]);
    for_each_run(sizes, channels, start, count, |row, from, to, length| {
        let (plane, to) = (to / area, to % area);
        let from = &columns[row * count + from..][..length];
        for (to, from) in planes.row(plane)[to..].iter_mut().step_by(step).zip(from) {
            *to += *from;
        }
    });
}

/// Calls `visit(k, column, element of x, length)` for every stretch of one output row in which kernel element k meets
/// the map. Along the stretch the column grows by 1 and the element of x by the stride.
fn for_each_run(
    sizes: &Sizes,
    channels: usize,
    start: usize,
    count: usize,
    mut visit: impl FnMut(usize, usize, usize, usize),
) {
    let [_, width_out] = sizes.output;
    let [_, width] = sizes.input;
    let end = start + count;
    for kh in 0..sizes.kernel[0] {
        let (rows, first_row) = sizes.meets(0, kh);
        for kw in 0..sizes.kernel[1] {
            let (columns, first_column) = sizes.meets(1, kw);
            for oh in rows.start.max(start / width_out)..rows.end.min(end.div_ceil(width_out)) {
                let line = oh * width_out;
                let from = columns.start.max(start.saturating_sub(line));
                let to = columns.end.min(end - line);
                if from >= to {
                    continue;
                }
                let ih = first_row + (oh - rows.start) * sizes.stride[0];
                let iw = first_column + (from - columns.start) * sizes.stride[1];
                for channel in 0..channels {
                    let k = channel * sizes.taps() + kh * sizes.kernel[1] + kw;
                    let x = channel * sizes.input_area() + ih * width + iw;
                    visit(k, line + from - start, x, to - from);
                }
            }
        }
    }
}
