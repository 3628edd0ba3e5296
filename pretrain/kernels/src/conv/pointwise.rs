//! 1 x 1 kernels at stride 1: products over the positions p as they lie in memory.
//!
//! `y_op = Σ_i w_oi x_ip`, `d_x_ip = Σ_o w_oi d_y_op`, `d_w_oi = Σ_bp d_y_op x_ip`: 2·o·i·p operations on
//! 4·(i·p + o·p + o·i) bytes in f32.

use rayon::prelude::*;

use super::geometry::Sizes;
use crate::element::Element;
use crate::product::{Matrix, Shared, multiply, tile_size};

const POSITIONS: usize = 768;
const CHANNELS: usize = 288;

pub(crate) fn forward<T: Element>(sizes: &Sizes, x: &[T], w: &[T], y: &mut [T]) {
    let weight = |group: usize| {
        let weight = &w[group * sizes.group_weight()..][..sizes.group_weight()];
        Matrix::new(weight, [sizes.outputs, sizes.inputs], [sizes.inputs, 1])
    };
    let out = [sizes.outputs, sizes.inputs];
    per_sample(sizes, out, weight, x, y);
}

pub(crate) fn input_gradient<T: Element>(sizes: &Sizes, w: &[T], d_y: &[T], d_x: &mut [T]) {
    let weight = |group: usize| {
        let weight = &w[group * sizes.group_weight()..][..sizes.group_weight()];
        Matrix::new(weight, [sizes.outputs, sizes.inputs], [sizes.inputs, 1]).transposed()
    };
    let out = [sizes.inputs, sizes.outputs];
    per_sample(sizes, out, weight, d_y, d_x);
}

/// A task owns a block of the weight and adds samples and runs of positions up in order.
pub(crate) fn weight_gradient<T: Element>(sizes: &Sizes, x: &[T], d_y: &[T], d_w: &mut [T]) {
    let area = sizes.output_area();
    let (block_o, block_i) = (tile_size(sizes.outputs, BLOCK), tile_size(sizes.inputs, BLOCK));
    let (blocks_o, blocks_i) = (sizes.outputs.div_ceil(block_o), sizes.inputs.div_ceil(block_i));
    let run = tile_size(area, RUN);
    let shared = Shared::new(d_w);
    (0..sizes.groups * blocks_o * blocks_i).into_par_iter().for_each(|task| {
        let (group, o, i) =
            (task / (blocks_o * blocks_i), task / blocks_i % blocks_o * block_o, task % blocks_i * block_i);
        let (count_o, count_i) = (block_o.min(sizes.outputs - o), block_i.min(sizes.inputs - i));
        let start = group * sizes.group_weight() + o * sizes.inputs + i;
        // SAFETY: this block of the weight is this task's alone.
        let mut out = unsafe { shared.tile(start, [count_o, count_i], sizes.inputs) };
        for sample in 0..sizes.batch {
            let sample_group = sample * sizes.groups + group;
            for start in (0..area).step_by(run) {
                let count = run.min(area - start);
                let gradient = &d_y[(sample_group * sizes.outputs + o) * area + start..];
                let gradient = Matrix::new(gradient, [count_o, count], [area, 1]);
                let input = &x[(sample_group * sizes.inputs + i) * area + start..];
                let input = Matrix::new(input, [count_i, count], [area, 1]);
                multiply(&mut out, true, gradient, input.transposed());
            }
        }
    });
}

/// Blocks of the weight's gradient, and the positions that one product sums over.
const BLOCK: usize = 144;
const RUN: usize = 1024;

/// `to = weight(group) · from` for every sample and group, in tiles of channels and positions.
fn per_sample<'a, T: Element>(
    sizes: &Sizes,
    [rows, depth]: [usize; 2],
    weight: impl Fn(usize) -> Matrix<'a, T> + Sync,
    from: &[T],
    to: &mut [T],
) {
    let area = sizes.output_area();
    let (tile_p, tile_r) = (tile_size(area, POSITIONS), tile_size(rows, CHANNELS));
    let (tiles_p, tiles_r) = (area.div_ceil(tile_p), rows.div_ceil(tile_r));
    let shared = Shared::new(to);
    (0..sizes.batch * sizes.groups * tiles_p * tiles_r).into_par_iter().for_each(|task| {
        let (sample_group, p, r) =
            (task / (tiles_p * tiles_r), task / tiles_r % tiles_p * tile_p, task % tiles_r * tile_r);
        let (count_p, count_r) = (tile_p.min(area - p), tile_r.min(rows - r));
        // SAFETY: these channels and positions of this sample are this task's alone.
        let mut out = unsafe { shared.tile((sample_group * rows + r) * area + p, [count_r, count_p], area) };
        let input = Matrix::new(&from[sample_group * depth * area + p..], [depth, count_p], [area, 1]);
        multiply(&mut out, false, weight(sample_group % sizes.groups).rows(r, count_r), input);
    });
}
