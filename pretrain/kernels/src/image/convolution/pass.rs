//! One run of a convolution: tasks of some pixels and panels.

use super::{Convolution, Panel};
use crate::conv::Padding;
use crate::image::maps::{LANES, Line, Number, Shape, View, pixel_of};
use crate::image::path::Work;
use crate::image::shared::SharedOut;
use crate::image::tile::{Operands, Sums, compute, rows_of, tiles};
use crate::image::vector::Lanes;

/// One run of a layer.
pub(super) struct Call<'a, N> {
    pub(super) layer: &'a Convolution<N>,
    pub(super) x: View<'a, N>,
    pub(super) padding: Padding,
    pub(super) factors_bc: Option<&'a [f32]>,
    pub(super) shortcut: Option<View<'a, N>>,
    pub(super) out: SharedOut<'a, N>,
    pub(super) to: Shape,
}

/// Bytes of input that a task goes over panel by panel.
const INPUT: usize = 512 << 10;
/// Pixels of a task are whole tiles beside two vectors, of which a task has at most so many.
const ROWS: usize = 14;
const MOST_TILES: usize = 48;
/// Tasks of a thread, so that none waits long for the others, as long as each has so many tiles.
const TASKS: usize = 4;
const LEAST_TILES: usize = 2;

impl<N: Number> Call<'_, N> {
    /// Pixels of a task, and slices that the panels are dealt in. Neither changes a bit.
    ///
    /// Weights are read once for every part of the pixels, and pixels once for every slice of the weights: parts as large
    /// as stay near, then slices. Where the input is scaled, each slice would do that anew.
    pub(super) fn cuts(&self) -> (usize, usize) {
        let tiles = (self.to.batch * self.to.area()).div_ceil(ROWS).max(1);
        let bytes = tiles * ROWS * self.x.shape.pixel * size_of::<N>();
        let mut parts = bytes.div_ceil(INPUT).max(tiles.div_ceil(MOST_TILES)).min(tiles);
        let (threads, mut slices) = (rayon::current_num_threads(), 1);
        let wanted = TASKS * threads;
        if threads > 1 && parts < wanted {
            let most = if self.factors_bc.is_some() { threads } else { wanted };
            slices = wanted.div_ceil(parts).min(most).min(self.layer.panels.len()).max(1);
            parts = parts.max(wanted.div_ceil(slices).min(tiles / LEAST_TILES));
            if !(parts * slices).is_multiple_of(threads) {
                parts = parts.next_multiple_of(threads).min(tiles);
            }
        }
        (tiles.div_ceil(parts) * ROWS, slices)
    }

    /// Some pixels in order.
    fn places(&self, first: usize, count: usize) -> Vec<Place> {
        let (area, [height, width]) = (self.to.area(), self.to.size);
        let (image, pixel) = (first / area, first % area);
        let y = image * self.to.image() + pixel * self.to.pixel;
        let mut next = Place { image, at: [pixel / width, pixel % width], y };
        let place = |_| {
            let this = next;
            next.at[1] += 1;
            next.y += self.to.pixel;
            if next.at[1] == width {
                next.at = [next.at[0] + 1, 0];
            }
            if next.at[0] == height {
                // a pixel of zeros ends a picture
                next = Place { image: next.image + 1, at: [0; 2], y: next.y + self.to.pixel };
            }
            this
        };
        (0..count).map(place).collect()
    }
}

/// A pixel of the output: its picture, row and column, and where its numbers stand.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    at: [usize; 2],
    y: usize,
}

/// Some pixels of some panels.
pub(super) struct Task<'a, N> {
    pub(super) call: &'a Call<'a, N>,
    /// First pixel, and how many.
    pub(super) range: [usize; 2],
    pub(super) panels: &'a [Panel],
}

impl<N: Number> Work<N> for Task<'_, N> {
    #[inline(always)]
    fn run<V: Lanes<N>>(self) {
        let Self { call, range: [first, count], panels } = self;
        let layer = call.layer;
        let places = call.places(first, count);
        // SAFETY: the path is this processor's.
        let scaled = unsafe { call.scaled::<V>(&places) };
        let x = scaled.as_ref().map_or(call.x.numbers.as_ptr(), |scaled| scaled.as_ptr().cast());
        let (mut offsets, mut vectors) = (Vec::new(), 0);
        let mut sums = Sums::default();
        for (i, panel) in panels.iter().enumerate() {
            let [whole, small] = rows_of(V::TILES, panel.vectors);
            if vectors != panel.vectors {
                vectors = panel.vectors;
                offsets.clear();
                for (start, rows) in tiles(count, whole, small) {
                    call.offsets(&places, start, rows, scaled.is_some(), &mut offsets);
                }
            }
            // SAFETY: the panel's weights are there, and `offsets` checks what it gives away.
            let w = unsafe { layer.weights.as_ptr().add(panel.line).cast::<u32>() };
            let words = panel.words * layer.runs.len() * 16;
            let mut ahead = w.wrapping_add(words * panel.vectors);
            let input = panels.get(i + 1).map(|next| next.input).filter(|input| *input != panel.input);
            let mut at = 0;
            for (start, rows) in tiles(count, whole, small) {
                let length = rows * layer.runs.len();
                let operands = Operands {
                    x: x.wrapping_add(panel.input),
                    offsets: &offsets[at..at + length],
                    rows,
                    words: panel.words,
                    a_word: N::A_WORD,
                    w,
                    vectors,
                    ahead,
                    order: &layer.order,
                };
                ahead = ahead.wrapping_add(words);
                at += length;
                let places = &places[start..count.min(start + rows)];
                // SAFETY: offsets are of whole pixels inside of x, whose runs end in the pixel (or, of whole pixels,
                // before the pixel of zeros ends), and the panel has its words; the output's pixels are this task's.
                unsafe {
                    call.fetch::<V>(panel, places);
                    if let Some(input) = input {
                        call.fetch_input::<V>(x.wrapping_add(input), vectors * LANES, &operands);
                    }
                    compute::<N, V>(&operands, &mut sums);
                    call.finish::<V>(panel, places, &sums);
                }
            }
        }
    }
}

impl<N: Number> Call<'_, N> {
    /// Offsets of a tile: run by run, row by row. Rows beyond the last pixel repeat it.
    fn offsets(
        &self,
        places: &[Place],
        start: usize,
        rows: usize,
        is_scaled: bool,
        offsets: &mut Vec<usize>,
    ) {
        let (from, layer) = (self.x.shape, self.layer);
        let (zeros, pixel) = (from.area() * from.pixel, pixel_of::<N>(from.channels));
        for [h, w] in &layer.runs {
            offsets.extend((start..start + rows).map(|row| {
                let row = row.min(places.len() - 1);
                if is_scaled {
                    return row * pixel;
                }
                let Place { image, at, .. } = places[row];
                // beyond the border these wrap around and are larger than any size
                let y = (at[0] * layer.stride[0] + h).wrapping_sub(self.padding.top);
                let x = (at[1] * layer.stride[1] + w).wrapping_sub(self.padding.left);
                let is_inside = y < from.size[0] && x < from.size[1];
                let inside = if is_inside { (y * from.size[1] + x) * from.pixel } else { zeros };
                image * from.image() + inside
            }));
        }
    }

    /// The input times its factors, pixels one after the other.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn scaled<V: Lanes<N>>(&self, places: &[Place]) -> Option<Vec<Line>> {
        let factors = self.factors_bc?;
        let (from, width) = (self.x.shape, self.x.shape.width());
        let pixel = pixel_of::<N>(from.channels);
        let lines = (places.len() * pixel * size_of::<N>()).div_ceil(size_of::<Line>());
        // written through the pointer, and read through it
        let mut scaled: Vec<Line> = Vec::with_capacity(lines);
        let to = scaled.as_mut_ptr().cast::<N>();
        for (row, place) in places.iter().enumerate() {
            let start = place.image * from.image() + (place.at[0] * from.size[1] + place.at[1]) * from.pixel;
            let numbers = &self.x.numbers[start..start + width];
            let factors = &factors[place.image * width..][..width];
            for c in (0..width).step_by(LANES) {
                // SAFETY: whole vectors of a pixel, of as many factors, and of the lines' room.
                unsafe {
                    let x = V::load_numbers(numbers.as_ptr().add(c));
                    let x = x.mul(V::load(factors.as_ptr().add(c)));
                    x.store_numbers(to.add(row * pixel + c));
                }
            }
        }
        Some(scaled)
    }

    /// Has the caches read what [`finish`](Self::finish) is going to.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn fetch<V: Lanes<N>>(&self, panel: &Panel, places: &[Place]) {
        let Some(shortcut) = &self.shortcut else { return };
        for place in places {
            for vector in 0..panel.vectors {
                let channel = (panel.vector + vector) * LANES;
                // SAFETY: the caller's.
                unsafe { V::fetch(shortcut.numbers.as_ptr().wrapping_add(place.y + channel).cast()) }
            }
        }
    }

    /// Has the caches read what the next panel's tile reads of its pixels, where that is something else than this one's:
    /// under the last rows and columns of the kernel, as many as it moves by.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn fetch_input<V: Lanes<N>>(&self, x: *const N, numbers: usize, tile: &Operands<'_, N>) {
        let Convolution { runs, kernel, stride, .. } = self.layer;
        let is_new = |run: &[usize; 2]| (0..2).all(|axis| run[axis] + stride[axis] >= kernel[axis]);
        for (_, offsets) in
            runs.iter().zip(tile.offsets.chunks_exact(tile.rows)).filter(|(run, _)| is_new(run))
        {
            for offset in offsets {
                for line in (0..numbers).step_by(64 / size_of::<N>()) {
                    // SAFETY: the caller's.
                    unsafe { V::fetch(x.wrapping_add(offset + line).cast()) }
                }
            }
        }
    }

    /// Bias, shortcut, activation.
    ///
    /// # Safety
    /// Of the vectors; the pixels and the panel's channels of the output are the caller's alone.
    #[inline(always)]
    unsafe fn finish<V: Lanes<N>>(&self, panel: &Panel, places: &[Place], sums: &Sums) {
        let Convolution { activation, bias, .. } = self.layer;
        let (channel, numbers) = (panel.vector * LANES, panel.vectors * LANES);
        for (row, place) in places.iter().enumerate() {
            let at = place.y + channel;
            // SAFETY: the sums are of that many rows and vectors; bias, shortcut and output have whole vectors.
            unsafe {
                let out = self.out.pointer(at, numbers);
                for lane in (0..numbers).step_by(LANES) {
                    let sum = V::load(sums.0.as_ptr().add(row * numbers + lane));
                    let mut y = sum.add(V::load(bias.as_ptr().add(channel + lane)));
                    if let Some(shortcut) = &self.shortcut {
                        y = y.add(V::load_numbers(shortcut.numbers.as_ptr().add(at + lane)));
                    }
                    activation.of(y).store_numbers(out.add(lane));
                }
            }
        }
    }
}
