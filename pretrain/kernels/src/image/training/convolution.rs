//! Convolution of maps, forward and to the gradient of the input, with everything around it: what is read may be computed
//! on the way in ([`Source`]), and what is written on the way out ([`Sink`]).
//!
//! `y[p, o] = Σ_run,k w[o, run, k] x[p + run, k] (+ shortcut[p, o])`
//!
//! Tiles are those of [`Convolution`](crate::image::Convolution). Beside the map that is read and the one that is written,
//! only what source and sink name is touched, once: 4 bytes a number of each.

use rayon::prelude::*;

use super::filter::{Class, Packed, Panel};
use super::scratch::Scratch;
use super::sink::{Run, Sink, room};
use super::source::{Source, Wanted};
use super::sums::{Cut, Sums};
use crate::image::maps::{LANES, Shape, View, ViewMut};
use crate::image::path::{Numbers, VectorPath, Work};
use crate::image::shared::SharedOut;
use crate::image::tile::{Operands, Sums as TileSums, compute, rows_of, tiles};
use crate::image::vector::{Lanes, Vector};

/// Bytes of input that a task goes over panel by panel.
const INPUT: usize = 384 << 10;
/// Pixels of a task are whole tiles beside two vectors.
const ROWS: usize = 14;
/// So many tasks keep a handful of threads busy to the end; what a task packs and sums up costs little up to there.
const TASKS: usize = 24;
/// With fewer pixels a task would do little more than read weights.
const LEAST: usize = 4 * ROWS;

/// Computes a map of the shape that it has. What is read through a kernel of several elements stands as it is.
///
/// # Panics
/// Maps and weights that do not fit together; a computed source of another kernel than 1 x 1 at stride 1.
pub fn convolve(
    path: VectorPath,
    weights: &Packed,
    x: &Source<'_>,
    shortcut: Option<View<'_, f32>>,
    sink: &Sink<'_>,
    y: ViewMut<'_, f32>,
) -> Sums {
    let (from, to) = (x.shape(), y.shape);
    x.check();
    sink.check(to);
    assert!(from.channels == weights.inputs && to.channels == weights.outputs, "channels of the maps");
    let narrow = from.pixel == weights.inputs && matches!(x, Source::Plain(_));
    let is_whole = from.pixel == weights.inputs.next_multiple_of(LANES);
    assert!(if weights.is_of_pictures { narrow } else { is_whole }, "an input of whole vectors, or pictures");
    assert!(to.pixel == weights.outputs.next_multiple_of(LANES), "an output of whole vectors");
    assert!(from.batch == to.batch, "as many pictures");
    assert!(shortcut.is_none_or(|shortcut| shortcut.shape == to), "a shortcut of the output's shape");
    if !matches!(x, Source::Plain(_)) {
        let [class] = weights.classes.as_slice() else { panic!("a computed source at stride 1") };
        assert!(class.runs == [[0, 0]] && weights.step == 1 && from.size == to.size, "a 1 x 1 kernel");
    }
    let near = (INPUT / (from.pixel * size_of::<f32>()).max(1)).clamp(3 * ROWS, 48 * ROWS) / ROWS * ROWS;
    let (mut blocks, mut sizes) = (Vec::new(), Vec::new());
    for class in &weights.classes {
        let grid = [0, 1].map(|axis| (to.size[axis] + class.every - 1 - class.start[axis]) / class.every);
        let total = grid[0] * grid[1];
        let size = (to.batch * total / TASKS).clamp(LEAST.min(near), near);
        let cut = Cut::new(to.batch, total, size, ROWS);
        for part in 0..cut.parts {
            for image in (0..to.batch).step_by(cut.images) {
                let images = image..(image + cut.images).min(to.batch);
                blocks.push(Block { class, grid, images, range: cut.range(part), part: sizes.len() + part });
            }
        }
        sizes.extend((0..cut.parts).map(|part| cut.range(part).len()));
    }
    let mut sums = room(sink, to, sizes);
    let (stride, parts) = (sums.stride(), sums.sizes.len());
    let slices = |block: &Block<'_>| TASKS.div_ceil(blocks.len()).min(block.class.panels.len()).max(1);
    let tasks: Vec<(&Block<'_>, usize, usize)> = blocks
        .iter()
        .flat_map(|block| (0..slices(block)).map(move |slice| (block, slice)))
        .map(|(block, slice)| (block, slice, slices(block)))
        .collect();
    let call = Call {
        weights,
        x,
        shortcut,
        sink,
        from,
        to,
        out: SharedOut::new(y.numbers),
        sums: SharedOut::new(&mut sums.numbers),
        stride,
        parts,
    };
    tasks.into_par_iter().with_max_len(1).for_each(|(block, slice, slices)| {
        let part = |slice: usize| slice * block.class.panels.len() / slices;
        let panels = &block.class.panels[part(slice)..part(slice + 1)];
        f32::send(path, Task { call: &call, block, panels });
    });
    sums
}

/// Pixels of a task.
struct Block<'a> {
    class: &'a Class,
    /// Pixels of the class.
    grid: [usize; 2],
    images: std::ops::Range<usize>,
    range: std::ops::Range<usize>,
    /// Its place among the parts of a picture.
    part: usize,
}

struct Call<'a> {
    weights: &'a Packed,
    x: &'a Source<'a>,
    shortcut: Option<View<'a, f32>>,
    sink: &'a Sink<'a>,
    from: Shape,
    to: Shape,
    out: SharedOut<'a, f32>,
    sums: SharedOut<'a, f32>,
    /// Numbers of a part's sums, and parts of a picture.
    stride: usize,
    parts: usize,
}

#[derive(Clone, Copy)]
struct Place {
    image: usize,
    at: [usize; 2],
    /// Where it is written.
    y: usize,
    is_first: bool,
}

struct Task<'a> {
    call: &'a Call<'a>,
    block: &'a Block<'a>,
    panels: &'a [Panel],
}

impl Work<f32> for Task<'_> {
    #[inline(always)]
    fn run<V: Lanes<f32>>(self) {
        let Self { call, block, panels } = self;
        let places = call.places(block);
        let count = places.len();
        if count == 0 {
            return;
        }
        let mut x = call.x_numbers();
        let is_computed = x.is_null();
        let mut scratch = Scratch::of(if is_computed { count * call.from.pixel / LANES } else { 0 });
        if is_computed {
            x = scratch.numbers();
            // SAFETY: the path is this processor's, and the scratch has room for all pixels.
            unsafe { call.computed::<V>(block, scratch.numbers()) };
        }
        let (mut offsets, mut vectors) = (Vec::new(), 0);
        let mut tile = TileSums::default();
        for panel in panels {
            let [whole, small] = rows_of(V::TILES, panel.vectors);
            if vectors != panel.vectors {
                vectors = panel.vectors;
                offsets.clear();
                for (start, rows) in tiles(count, whole, small) {
                    call.offsets(block.class, &places, start, rows, is_computed, &mut offsets);
                }
            }
            // SAFETY: the panel's weights are there, and `offsets` are of pixels that are.
            let w = unsafe { call.weights.lines.as_ptr().add(panel.line).cast::<u32>() };
            let words = panel.words * block.class.runs.len() * LANES;
            let mut ahead = w.wrapping_add(words * vectors);
            let mut at = 0;
            for (start, rows) in tiles(count, whole, small) {
                let length = rows * block.class.runs.len();
                let operands = Operands {
                    x: x.wrapping_add(panel.input),
                    offsets: &offsets[at..at + length],
                    rows,
                    words: panel.words,
                    a_word: 1,
                    w,
                    vectors,
                    ahead,
                    order: &call.weights.order,
                };
                ahead = ahead.wrapping_add(words);
                let places = &places[start..count.min(start + rows)];
                at += length;
                // SAFETY: offsets are of whole pixels, whose channels the panel's words are of; the panel has its lines;
                // pixels and sums are this task's alone, of the panel's channels.
                unsafe {
                    compute::<f32, V>(&operands, &mut tile);
                    call.finish::<V>(block, panel, places, &mut tile);
                }
            }
        }
    }
}

impl Call<'_> {
    fn places(&self, block: &Block<'_>) -> Vec<Place> {
        let (to, class) = (&self.to, block.class);
        let mut places = Vec::with_capacity(block.images.len() * block.range.len());
        for image in block.images.clone() {
            for pixel in block.range.clone() {
                let at = [pixel / block.grid[1], pixel % block.grid[1]];
                let own = [0, 1].map(|axis| class.start[axis] + at[axis] * class.every);
                let y = image * to.image() + (own[0] * to.size[1] + own[1]) * to.pixel;
                places.push(Place { image, at, y, is_first: pixel == block.range.start });
            }
        }
        places
    }

    /// The numbers that are read as they stand; null where they are computed.
    fn x_numbers(&self) -> *const f32 {
        match self.x {
            Source::Plain(x) => x.numbers.as_ptr(),
            _ => std::ptr::null(),
        }
    }

    /// Lays the block's pixels out one after the other.
    ///
    /// # Safety
    /// Of the vectors; room for the block's pixels.
    #[inline(always)]
    unsafe fn computed<V: Vector>(&self, block: &Block<'_>, to: *mut f32) {
        /// Pixels that are near while their vectors are gone through.
        const NEAR: usize = 16;
        let pixel = self.from.pixel;
        for (i, image) in block.images.clone().enumerate() {
            for first in block.range.clone().step_by(NEAR) {
                let count = NEAR.min(block.range.end - first);
                let row = i * block.range.len() + first - block.range.start;
                for channel in (0..pixel).step_by(LANES) {
                    let wanted = Wanted { image, first, every: 1, count, channel };
                    // SAFETY: the caller's.
                    unsafe { self.x.write::<V>(wanted, to.add(row * pixel + channel), pixel) };
                }
            }
        }
    }

    /// Offsets of a tile: run by run, row by row. Rows beyond the last pixel repeat it.
    fn offsets(
        &self,
        class: &Class,
        places: &[Place],
        start: usize,
        rows: usize,
        is_computed: bool,
        offsets: &mut Vec<usize>,
    ) {
        let from = &self.from;
        let zeros = from.area() * from.pixel;
        let step = self.weights.step;
        for [h, w] in &class.runs {
            for row in start..start + rows {
                let row = row.min(places.len() - 1);
                if is_computed {
                    offsets.push(row * from.pixel);
                    continue;
                }
                let Place { image, at, .. } = places[row];
                // beyond the border these wrap around and are larger than any size
                let y = (at[0] * step).wrapping_add_signed(*h);
                let x = (at[1] * step).wrapping_add_signed(*w);
                let is_inside = y < from.size[0] && x < from.size[1];
                let inside = if is_inside { (y * from.size[1] + x) * from.pixel } else { zeros };
                offsets.push(image * from.image() + inside);
            }
        }
    }

    /// # Safety
    /// Of the vectors; the pixels of the output and their sums are the caller's alone, of the panel's channels.
    #[inline(always)]
    unsafe fn finish<V: Vector>(
        &self,
        block: &Block<'_>,
        panel: &Panel,
        places: &[Place],
        TileSums(tile): &mut TileSums,
    ) {
        let step = panel.vectors * LANES;
        assert!(places.len() * step <= tile.len());
        let channel = panel.vector * LANES;
        if let Some(shortcut) = &self.shortcut {
            for (row, place) in places.iter().enumerate() {
                for vector in 0..panel.vectors {
                    // SAFETY: the shortcut has the output's shape, the tile so many rows.
                    unsafe {
                        let sum = tile.as_mut_ptr().add(row * step + vector * LANES);
                        let beside = shortcut.numbers.as_ptr().add(place.y + channel + vector * LANES);
                        V::load(sum).add(V::load(beside)).store(sum);
                    }
                }
            }
        }
        let every = block.class.every * self.to.pixel;
        let mut row = 0;
        while row < places.len() {
            // as many pixels as lie evenly apart in a picture
            let Place { image, y, is_first, .. } = places[row];
            let goes_on = |n: &usize| places[row + n].image == image && places[row + n].y == y + n * every;
            let count = (0..places.len() - row).take_while(goes_on).count();
            for vector in 0..panel.vectors {
                let run = Run {
                    start: y + channel + vector * LANES,
                    every,
                    count,
                    channel: channel + vector * LANES,
                    sums: (image * self.parts + block.part) * self.stride,
                    is_first,
                };
                // SAFETY: the caller's; the tile has the rows.
                unsafe {
                    let from = tile.as_ptr().add(row * step + vector * LANES);
                    self.sink.take::<V>(run, from, step, &self.out, &self.sums, self.to.pixel);
                }
            }
            row += count;
        }
    }
}
