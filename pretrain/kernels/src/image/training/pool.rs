//! The largest of a window while it learns: which number of the window it was is kept, and its gradient goes there.
//!
//! `y[p, c] = max_k x[p stride + k - padding, c]`; the first largest number, row by row, has the whole gradient. Forward 4
//! bytes a number of x and 8 of y; backward gathers, so that each number of d_x is written once: 8 bytes a number of y and
//! what the sink names.

use rayon::prelude::*;

use super::scratch::Scratch;
use super::sink::{Run, Sink, room};
use super::source::{Source, Wanted};
use super::sums::{Cut, Sums};
use crate::image::maps::{LANES, Maps, Shape, View, ViewMut};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::pooling::MaxPool;
use crate::image::shared::SharedOut;
use crate::image::vector::Lanes;

/// A pooling and what it chose.
#[derive(Debug)]
pub struct LearningPool {
    pool: MaxPool,
    /// Which number of the window, row by row, for every output.
    chosen: Maps<f32>,
}

impl LearningPool {
    /// Nothing chosen yet.
    ///
    /// # Panics
    /// Padding of more than half a window; steps of 0.
    pub fn new(pool: MaxPool) -> Self {
        assert!(pool.padding <= pool.kernel / 2 && pool.kernel > 0 && pool.stride > 0, "a window and steps");
        Self { pool, chosen: Maps::default() }
    }

    /// Computes maps.
    ///
    /// # Panics
    /// Maps that do not fit.
    pub fn forward(&mut self, path: VectorPath, x: &Source<'_>, y: ViewMut<'_, f32>) {
        let (from, to) = (x.shape(), y.shape);
        x.check();
        assert!(from.channels == to.channels && from.batch == to.batch, "maps");
        assert!(Some(to.size) == self.pool.output_size(from.size), "sizes");
        self.chosen.reshape_dense(to.batch, to.size, to.channels);
        let pool = self.pool;
        let (out, chosen) = (SharedOut::new(y.numbers), self.chosen.all_mut());
        let chosen = SharedOut::new(chosen.numbers);
        (0..to.batch * to.size[0]).into_par_iter().for_each(|row| {
            let place = [row / to.size[0], row % to.size[0]];
            f32::send(path, Choose { pool, x, from, to, place, out: &out, chosen: &chosen });
        });
    }

    /// Sends the gradient of x into a sink.
    ///
    /// # Panics
    /// Maps that do not fit what was chosen.
    pub fn backward(
        &self,
        path: VectorPath,
        d_y: View<'_, f32>,
        sink: &Sink<'_>,
        d_x: ViewMut<'_, f32>,
    ) -> Sums {
        let (d, to) = (d_y.shape, d_x.shape);
        sink.check(to);
        assert!(d == self.chosen.all().shape && to.channels == d.channels && to.batch == d.batch, "maps");
        assert!(Some(d.size) == self.pool.output_size(to.size), "sizes");
        let cut = Cut { images: 1, ..Cut::new(to.batch, to.size[0], 4, 1) };
        let sizes = (0..cut.parts).map(|part| cut.range(part).len() * to.size[1]).collect();
        let mut sums = room(sink, to, sizes);
        let call = Call {
            pool: self.pool,
            chosen: self.chosen.all(),
            d_y,
            sink,
            to,
            stride: sums.stride(),
            out: SharedOut::new(d_x.numbers),
            sums: SharedOut::new(&mut sums.numbers),
        };
        (0..to.batch * cut.parts).into_par_iter().for_each(|at| {
            let (image, rows) = (at / cut.parts, cut.range(at % cut.parts));
            f32::send(path, Return { call: &call, image, rows, at });
        });
        sums
    }
}

struct Choose<'a> {
    pool: MaxPool,
    x: &'a Source<'a>,
    from: Shape,
    to: Shape,
    /// Picture and row of the output.
    place: [usize; 2],
    out: &'a SharedOut<'a, f32>,
    chosen: &'a SharedOut<'a, f32>,
}

impl Work<f32> for Choose<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { pool: MaxPool { kernel, stride, padding }, x, from, to, place: [image, p], out, chosen } =
            self;
        let start = (p * stride).saturating_sub(padding);
        let rows = start..(p * stride + kernel - padding).min(from.size[0]);
        let width = from.size[1];
        let mut scratch = Scratch::of(rows.len() * width);
        let lines = scratch.numbers();
        for channel in (0..to.pixel).step_by(LANES) {
            let wanted = Wanted { image, first: start * width, every: 1, count: rows.len() * width, channel };
            // SAFETY: the path is this processor's; the scratch has room for the rows, in which the windows lie; the output's
            // row is this task's alone.
            unsafe {
                x.write::<V>(wanted, lines, LANES);
                for q in 0..to.size[1] {
                    let left = (q * stride).saturating_sub(padding);
                    let columns = left..(q * stride + kernel - padding).min(width);
                    let number = |h: usize, w: usize| {
                        ((h + padding - p * stride) * kernel + w + padding - q * stride) as f32
                    };
                    let mut largest = V::load(lines.add(left * LANES));
                    let mut which = V::splat(number(start, left));
                    for h in rows.clone() {
                        for w in columns.clone() {
                            let value = V::load(lines.add(((h - start) * width + w) * LANES));
                            which = value.where_greater(largest, V::splat(number(h, w)), which);
                            largest = value.where_greater(largest, value, largest);
                        }
                    }
                    let at = image * to.image() + (p * to.size[1] + q) * to.pixel + channel;
                    largest.store(out.pointer(at, LANES));
                    which.store(chosen.pointer(at, LANES));
                }
            }
        }
    }
}

struct Call<'a> {
    pool: MaxPool,
    chosen: View<'a, f32>,
    d_y: View<'a, f32>,
    sink: &'a Sink<'a>,
    to: Shape,
    stride: usize,
    out: SharedOut<'a, f32>,
    sums: SharedOut<'a, f32>,
}

struct Return<'a> {
    call: &'a Call<'a>,
    image: usize,
    rows: std::ops::Range<usize>,
    at: usize,
}

impl Work<f32> for Return<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { call, image, rows, at } = self;
        let MaxPool { kernel, stride, padding } = call.pool;
        let (d, to) = (call.d_y.shape, call.to);
        // outputs whose windows hold an input
        let windows = |input: usize, outputs: usize| {
            let first = (input + padding + 1).saturating_sub(kernel).div_ceil(stride);
            first..((input + padding) / stride + 1).min(outputs)
        };
        let mut scratch = Scratch::of(to.size[1]);
        let line = scratch.numbers();
        for row in rows.clone() {
            for channel in (0..to.pixel).step_by(LANES) {
                for column in 0..to.size[1] {
                    // SAFETY: the path is this processor's; windows are those of outputs that are there; the line has a vector
                    // a column.
                    unsafe {
                        let mut sum = V::splat(0.0);
                        for p in windows(row, d.size[0]) {
                            for q in windows(column, d.size[1]) {
                                let number =
                                    (row + padding - p * stride) * kernel + column + padding - q * stride;
                                let at = image * d.image() + (p * d.size[1] + q) * d.pixel + channel;
                                let which = V::load(call.chosen.numbers.as_ptr().add(at));
                                let gradient = V::load(call.d_y.numbers.as_ptr().add(at));
                                let here =
                                    which.where_equal(V::splat(number as f32), gradient, V::splat(0.0));
                                sum = sum.add(here);
                            }
                        }
                        sum.store(line.add(column * LANES));
                    }
                }
                let run = Run {
                    start: image * to.image() + row * to.size[1] * to.pixel + channel,
                    every: to.pixel,
                    count: to.size[1],
                    channel,
                    sums: at * call.stride,
                    is_first: row == rows.start,
                };
                // SAFETY: rows and sums are this task's alone.
                unsafe { call.sink.take::<V>(run, line, LANES, &call.out, &call.sums, to.pixel) };
            }
        }
    }
}
