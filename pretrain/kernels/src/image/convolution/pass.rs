//! One run of a convolution: tasks of some pixels and panels.

use super::{Convolution, Panel};
use crate::conv::Padding;
use crate::image::maps::{LANES, Line, Number, Shape, View};
use crate::image::path::Work;
use crate::image::shared::SharedOut;
use crate::image::tile::{MOST_SUMS, Operands, compute, rows_of};
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

/// Bytes of input that a task goes over panel by panel, and of weights that it may leave to others.
const INPUT: usize = 384 << 10;
/// Pixels of a task are whole tiles beside two vectors.
const ROWS: usize = 14;

impl<N: Number> Call<'_, N> {
    /// Pixels of a task, and slices that the panels are dealt in. Neither changes a bit.
    pub(super) fn cuts(&self) -> (usize, usize) {
        let total = self.to.batch * self.to.area();
        let bytes = (self.x.shape.pixel * size_of::<N>()).max(1);
        let near = (INPUT / bytes).clamp(3 * ROWS, 48 * ROWS) / ROWS * ROWS;
        let threads = rayon::current_num_threads();
        if threads == 1 || total > 4 * threads * near {
            return (near, 1);
        }
        // few pixels: as large parts of them as there are, and slices of the weights
        let blocks = total.div_ceil(near).max(1);
        let pixels = total.div_ceil(blocks).next_multiple_of(ROWS).max(ROWS);
        let slices = (4 * threads).div_ceil(blocks).clamp(1, self.layer.panels.len());
        (pixels, slices)
    }

    /// Where a pixel's numbers stand in x, or the zeros beyond the border, and in y.
    fn place(&self, pixel: usize) -> Place {
        let area = self.to.area();
        let (image, pixel) = (pixel / area, pixel % area);
        let at = [pixel / self.to.size[1], pixel % self.to.size[1]];
        Place { image, at, y: image * self.to.image() + pixel * self.to.pixel }
    }
}

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
        let places: Vec<Place> = (first..first + count).map(|pixel| call.place(pixel)).collect();
        // SAFETY: the path is this processor's.
        let scaled = unsafe { call.scaled::<V>(&places) };
        let x = scaled.as_ref().map_or(call.x.numbers.as_ptr(), |scaled| scaled.as_ptr().cast());
        let (mut offsets, mut vectors) = (Vec::new(), 0);
        let mut sums = Sums([0.0; MOST_SUMS]);
        for panel in panels {
            let [whole, small] = rows_of(V::TILES, panel.vectors);
            if vectors != panel.vectors {
                vectors = panel.vectors;
                offsets.clear();
                for start in tiles(count, whole, small) {
                    let rows = rows_at(start, count, whole, small);
                    call.offsets(&places, start, rows, scaled.is_some(), &mut offsets);
                }
            }
            // SAFETY: the panel's weights are there, and `offsets` checks what it gives away.
            let w = unsafe { layer.weights.as_ptr().add(panel.line).cast::<u32>() };
            let mut at = 0;
            for start in tiles(count, whole, small) {
                let rows = rows_at(start, count, whole, small);
                let length = rows * layer.runs.len();
                let operands = Operands {
                    x: x.wrapping_add(panel.input),
                    offsets: &offsets[at..at + length],
                    rows,
                    words: panel.words,
                    a_word: N::A_WORD,
                    w,
                    vectors,
                    order: &layer.order,
                };
                at += length;
                let places = &places[start..count.min(start + rows)];
                // SAFETY: offsets are of whole pixels inside of x, whose runs end in the pixel (or, of whole pixels,
                // before the pixel of zeros ends), and the panel has its words; the output's pixels are this task's.
                unsafe {
                    compute::<N, V>(&operands, &mut sums.0);
                    call.finish::<V>(panel, places, &sums.0);
                }
            }
        }
    }
}

/// Aligned for whole vectors.
#[repr(align(64))]
struct Sums([f32; MOST_SUMS]);

/// First rows of tiles: whole ones, then small ones.
fn tiles(count: usize, whole: usize, small: usize) -> impl Iterator<Item = usize> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let this = start;
        start += rows_at(this, count, whole, small);
        (this < count).then_some(this)
    })
}

fn rows_at(start: usize, count: usize, whole: usize, small: usize) -> usize {
    if count.saturating_sub(start) > small { whole } else { small }
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
        let zeros = from.area() * from.pixel;
        for [h, w] in &layer.runs {
            for row in start..start + rows {
                let row = row.min(places.len() - 1);
                if is_scaled {
                    offsets.push(row * from.pixel);
                    continue;
                }
                let Place { image, at, .. } = places[row];
                // beyond the border these wrap around and are larger than any size
                let y = (at[0] * layer.stride[0] + h).wrapping_sub(self.padding.top);
                let x = (at[1] * layer.stride[1] + w).wrapping_sub(self.padding.left);
                let is_inside = y < from.size[0] && x < from.size[1];
                let inside = if is_inside { (y * from.size[1] + x) * from.pixel } else { zeros };
                offsets.push(image * from.image() + inside);
            }
        }
    }

    /// The input times its factors, pixels one after the other.
    ///
    /// # Safety
    /// Of the vectors.
    #[inline(always)]
    unsafe fn scaled<V: Lanes<N>>(&self, places: &[Place]) -> Option<Vec<Line>> {
        let factors = self.factors_bc?;
        let (from, pixel) = (self.x.shape, self.x.shape.pixel);
        let lines = (places.len() * pixel * size_of::<N>()).div_ceil(size_of::<Line>());
        let mut scaled = vec![Line([0; 16]); lines];
        let to = scaled.as_mut_ptr().cast::<N>();
        for (row, place) in places.iter().enumerate() {
            let start = place.image * from.image() + (place.at[0] * from.size[1] + place.at[1]) * pixel;
            let numbers = &self.x.numbers[start..start + pixel];
            let factors = &factors[place.image * pixel..][..pixel];
            for c in (0..pixel).step_by(LANES) {
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

    /// Bias, shortcut, activation.
    ///
    /// # Safety
    /// Of the vectors; the pixels and the panel's channels of the output are the caller's alone.
    #[inline(always)]
    unsafe fn finish<V: Lanes<N>>(&self, panel: &Panel, places: &[Place], sums: &[f32; MOST_SUMS]) {
        let activation = self.layer.activation;
        for (row, place) in places.iter().enumerate() {
            for vector in 0..panel.vectors {
                let channel = (panel.vector + vector) * LANES;
                // SAFETY: the sums are of that many rows and vectors; bias, shortcut and output have whole vectors.
                unsafe {
                    let sum = V::load(sums.as_ptr().add((row * panel.vectors + vector) * LANES));
                    let mut y = sum.add(V::load(self.layer.bias.as_ptr().add(channel)));
                    if let Some(shortcut) = &self.shortcut {
                        y = y.add(V::load_numbers(shortcut.numbers.as_ptr().add(place.y + channel)));
                    }
                    activation.of(y).store_numbers(self.out.pointer(place.y + channel, LANES));
                }
            }
        }
    }
}
