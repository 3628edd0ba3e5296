//! The gradient of the weights of a convolution of pictures: `d_w[o, h, k] += Σ_p d_y[p, o] x[p stride + h, k]`, k the numbers
//! of a row of the kernel, which lie side by side in a picture.
//!
//! A task takes rows of a picture, lays d_y and the rows that each of them saw out, and adds outer products of 8 outputs and
//! 16 numbers of x up in registers.

use rayon::prelude::*;

use super::filter::Filter;
use super::outer::{Operands, ROWS, add_products};
use super::scratch::Scratch;
use super::source::{Source, Wanted};
use super::sums::Cut;
use crate::image::maps::{LANES, View};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::vector::Lanes;

/// Sums of weights that wait to be added up, as many as this times the weights.
const TASKS: usize = 32;

/// Adds the gradient to `d_w_oihw`. `pictures` are those of [`Maps::take_pictures`](crate::image::Maps::take_pictures).
///
/// # Panics
/// Maps and weights that do not fit together; groups.
pub fn stem_gradient(
    path: VectorPath,
    filter: &Filter,
    d_y: &Source<'_>,
    pictures: View<'_, f32>,
    d_w_oihw: &mut [f32],
) {
    let [outputs, inputs, height, width] = filter.dims;
    let (d, from) = (d_y.shape(), pictures.shape);
    d_y.check();
    assert!(d.channels == outputs && from.pixel == inputs && d.batch == from.batch, "channels and pictures");
    assert!(d.size == filter.output_size(from.size, Default::default()) && filter.groups == 1, "sizes");
    assert!(d_w_oihw.len() == filter.dims.iter().product::<usize>(), "a gradient of the weights' shape");
    let rows = (d.batch * d.size[0]).div_ceil(TASKS);
    let cut = Cut { images: 1, ..Cut::new(d.batch, d.size[0], rows, 1) };
    let columns = (width * inputs).next_multiple_of(LANES);
    let sums = height * d.pixel * columns;
    let mut partial = vec![0.0f32; d.batch * cut.parts * sums];
    if partial.is_empty() {
        return;
    }
    partial.par_chunks_exact_mut(sums).with_max_len(1).enumerate().for_each(|(at, sums)| {
        let (image, rows) = (at / cut.parts, cut.range(at % cut.parts));
        f32::send(path, Task { filter, d_y, pictures, image, rows, columns, sums });
    });
    d_w_oihw.par_chunks_mut(inputs * height * width).enumerate().for_each(|(o, d_w)| {
        for (at, d_w) in d_w.iter_mut().enumerate() {
            let (i, h, w) = (at / (height * width), at / width % height, at % width);
            let from = (h * d.pixel + o) * columns + w * inputs + i;
            *d_w += partial[from..].iter().step_by(sums).map(|sum| f64::from(*sum)).sum::<f64>() as f32;
        }
    });
}

struct Task<'a> {
    filter: &'a Filter,
    d_y: &'a Source<'a>,
    pictures: View<'a, f32>,
    image: usize,
    rows: std::ops::Range<usize>,
    columns: usize,
    /// `[h, o, k]`
    sums: &'a mut [f32],
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { filter, d_y, pictures, image, rows, columns, sums } = self;
        let [outputs, inputs, height, _] = filter.dims;
        let (d, from) = (d_y.shape(), pictures.shape);
        let (count, line) = (d.size[1], from.size[1] * inputs);
        // what is read beyond a row's end is multiplied into sums that nobody looks at
        let room = line.next_multiple_of(LANES) + columns;
        let vectors = d.pixel / LANES;
        let mut scratch = Scratch::of(vectors * count + height * room / LANES + 1);
        let a = scratch.numbers();
        for row in rows {
            // SAFETY: the path is this processor's; the scratch has room for a row of d_y and the rows that it saw; the sums
            // have 8 rows of whole vectors for every 8 outputs.
            unsafe {
                for vector in 0..vectors {
                    let wanted =
                        Wanted { image, first: row * count, every: 1, count, channel: vector * LANES };
                    d_y.write::<V>(wanted, a.add(vector * count * LANES), LANES);
                }
                let b = a.add(vectors * count * LANES);
                for h in 0..height {
                    let start = image * from.image() + (row * filter.stride + h) * line;
                    let x = &pictures.numbers[start..start + line];
                    let to = b.add(h * room);
                    std::ptr::copy_nonoverlapping(x.as_ptr(), to, line);
                    std::ptr::write_bytes(to.add(line), 0, room - line);
                    for o in (0..outputs).step_by(ROWS) {
                        let at = (h * d.pixel + o) * columns;
                        add_products::<V>(&Operands {
                            lines: 1,
                            count,
                            a: a.add(o / LANES * count * LANES + o % LANES),
                            a_steps: [LANES, 0],
                            b: to,
                            b_steps: [filter.stride * inputs, 0],
                            b_vector: LANES,
                            vectors: columns / LANES,
                            sums: sums[at..at + ROWS * columns].as_mut_ptr(),
                            row: columns,
                        });
                    }
                }
            }
        }
    }
}
