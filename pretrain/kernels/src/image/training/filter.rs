//! Weights of a convolution in the order in which tiles read them, packed anew for every step: for the layer itself, and for
//! the gradient of its input.
//!
//! Forward, output p reads x at `p stride + h - before`. Backward, the gradient at x's pixel r reads d_y at
//! `(r + before - h) / stride` where that is a whole number: with stride 2 the pixels fall into four classes by the parity of
//! their row and column, each of which sees its own elements of the kernel and no zeros in between.

use rayon::prelude::*;

use crate::conv::Padding;
use crate::image::maps::{LANES, Line};
use crate::image::shared::SharedOut;
use crate::image::tile::MOST_VECTORS;

/// A convolution without bias: weights `[o, i of a group, h, w]`, a square stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Of the weights.
    pub dims: [usize; 4],
    /// Steps between outputs, of both axes.
    pub stride: usize,
    /// Groups that do not see one another.
    pub groups: usize,
}

/// Packed weights. The memory is kept.
#[derive(Debug, Default)]
pub struct Packed {
    /// Channels that are read, and that are written.
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Steps in the map that is read.
    pub(super) step: usize,
    pub(super) classes: Vec<Class>,
    pub(super) lines: Vec<Line>,
    /// Of narrow groups, for every word: the lane in which each output's input stands.
    pub(super) order: Vec<Line>,
    /// Whether the inputs are pictures whose pixels are as narrow as can be.
    pub(super) is_of_pictures: bool,
}

/// Pixels that see the same elements of the kernel.
#[derive(Debug, Clone)]
pub(super) struct Class {
    /// The first of them, and steps to the next.
    pub(super) start: [usize; 2],
    pub(super) every: usize,
    /// Where an element of the kernel reads, from the pixel's place among its class times the step.
    pub(super) runs: Vec<[isize; 2]>,
    /// Which elements these are.
    taps: Vec<usize>,
    pub(super) panels: Vec<Panel>,
}

/// Weights of one to three vectors of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    /// First input channel, and how many.
    pub(super) input: usize,
    pub(super) words: usize,
    /// First vector of output channels, and how many.
    pub(super) vector: usize,
    pub(super) vectors: usize,
    /// Where its weights start.
    pub(super) line: usize,
}

/// Which way weights are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Backward,
    /// Forward, over pictures: a row of the kernel is one run.
    Pictures,
}

impl Filter {
    /// Height and width of what maps of `size` become.
    pub fn output_size(&self, size: [usize; 2], padding: Padding) -> [usize; 2] {
        let axis = |i: usize, padding: usize| {
            (size[i] + padding).checked_sub(self.dims[2 + i]).map_or(0, |n| n / self.stride + 1)
        };
        [axis(0, padding.top + padding.bottom), axis(1, padding.left + padding.right)]
    }

    pub(super) fn inputs(&self) -> usize {
        self.dims[1] * self.groups
    }

    pub(super) fn taps(&self) -> usize {
        self.dims[2] * self.dims[3]
    }

    fn check(&self, w_oihw: &[f32]) {
        assert!(
            w_oihw.len() == self.dims.iter().product::<usize>() && !w_oihw.is_empty(),
            "weights and shape"
        );
        assert!(self.dims[0].is_multiple_of(self.groups) && self.stride > 0, "groups divide the outputs");
    }
}

impl Packed {
    /// Weights for the layer.
    ///
    /// # Panics
    /// Weights that do not fit the filter.
    pub fn take_forward(&mut self, filter: &Filter, w_oihw: &[f32], padding: Padding) {
        filter.check(w_oihw);
        let [outputs, _, height, width] = filter.dims;
        (self.inputs, self.outputs, self.step) = (filter.inputs(), outputs, filter.stride);
        let taps = || (0..height * width).map(|tap| [tap / width, tap % width]);
        let runs =
            taps().map(|[h, w]| [h as isize - padding.top as isize, w as isize - padding.left as isize]);
        let class = Class {
            start: [0, 0],
            every: 1,
            runs: runs.collect(),
            taps: (0..height * width).collect(),
            panels: Vec::new(),
        };
        self.classes = vec![class];
        self.pack(filter, w_oihw, Way::Forward);
    }

    /// Weights for a layer of pictures that bring their own zeros
    /// ([`Maps::take_pictures`](crate::image::Maps::take_pictures)).
    ///
    /// # Panics
    /// Weights that do not fit the filter; groups.
    pub fn take_pictures(&mut self, filter: &Filter, w_oihw: &[f32]) {
        filter.check(w_oihw);
        assert!(filter.groups == 1, "pictures have no groups");
        let [outputs, inputs, height, _] = filter.dims;
        (self.inputs, self.outputs, self.step) = (inputs, outputs, filter.stride);
        let runs = (0..height as isize).map(|h| [h, 0]).collect();
        let taps = (0..height).collect();
        self.classes = vec![Class { start: [0, 0], every: 1, runs, taps, panels: Vec::new() }];
        self.pack(filter, w_oihw, Way::Pictures);
    }

    /// Weights for the gradient of its input.
    ///
    /// # Panics
    /// Weights that do not fit the filter.
    pub fn take_backward(&mut self, filter: &Filter, w_oihw: &[f32], padding: Padding) {
        filter.check(w_oihw);
        let [outputs, _, height, width] = filter.dims;
        (self.inputs, self.outputs, self.step) = (outputs, filter.inputs(), 1);
        let stride = filter.stride;
        self.classes.clear();
        for start in 0..stride * stride {
            let start = [start / stride, start % stride];
            let mut class =
                Class { start, every: stride, runs: Vec::new(), taps: Vec::new(), panels: Vec::new() };
            for tap in 0..height * width {
                let at = |axis: usize, before: usize, element: usize| {
                    (start[axis] + before) as isize - element as isize
                };
                let at = [at(0, padding.top, tap / width), at(1, padding.left, tap % width)];
                if at.iter().all(|at| at.rem_euclid(stride as isize) == 0) {
                    class.runs.push(at.map(|at| at / stride as isize));
                    class.taps.push(tap);
                }
            }
            self.classes.push(class);
        }
        self.pack(filter, w_oihw, Way::Backward);
    }

    fn pack(&mut self, filter: &Filter, w_oihw: &[f32], way: Way) {
        let (outputs, n_vectors) = (self.outputs, self.outputs.div_ceil(LANES));
        // channels of a group that are written and read
        let written = outputs / filter.groups;
        let read = match way {
            Way::Pictures => filter.dims[3] * self.inputs,
            Way::Forward | Way::Backward => self.inputs / filter.groups,
        };
        self.is_of_pictures = way == Way::Pictures;
        let is_narrow = written == read && read < LANES && LANES.is_multiple_of(read) && filter.groups > 1;
        self.order.clear();
        if is_narrow {
            self.order.extend(
                (0..read).map(|word| Line(std::array::from_fn(|lane| (lane / read * read + word) as u32))),
            );
        }
        // a vector of outputs sees the inputs of all groups that it has a part of
        let seen = |vector: usize| {
            let last = ((vector + 1) * LANES).min(outputs) - 1;
            (vector * LANES / written * read, (last / written + 1) * read)
        };
        let mut line = 0;
        for class in &mut self.classes {
            let mut vector = 0;
            while vector < n_vectors {
                let (input, end) =
                    if is_narrow { (vector * LANES, vector * LANES + read) } else { seen(vector) };
                let alike =
                    (vector..n_vectors).take_while(|&v| !is_narrow && seen(v) == (input, end)).count();
                // three vectors, but no single one at the end where two and two would do
                let vectors = match alike {
                    0 | 1 => 1,
                    2 | 4 => 2,
                    _ => MOST_VECTORS,
                };
                let words = end - input;
                class.panels.push(Panel { input, words, vector, vectors, line });
                line += class.runs.len() * words * vectors;
                vector += vectors;
            }
            // tiles of one width after the other share their offsets
            class.panels.sort_by_key(|panel| panel.vectors);
        }
        if self.lines.len() < line {
            self.lines.resize(line, Line([0; 16]));
        }
        let out = SharedOut::new(&mut self.lines);
        let group = Group { filter: *filter, way, written, read, outputs, is_narrow };
        let panels: Vec<(&Class, &Panel)> = self
            .classes
            .iter()
            .flat_map(|class| class.panels.iter().map(move |panel| (class, panel)))
            .collect();
        panels.par_iter().for_each(|(class, panel)| {
            let count = class.runs.len() * panel.words * panel.vectors;
            // SAFETY: a panel's lines are its own.
            let lines = unsafe { std::slice::from_raw_parts_mut(out.pointer(panel.line, count), count) };
            group.fill(w_oihw, class, panel, lines);
        });
    }
}

/// How weights are found.
struct Group {
    filter: Filter,
    way: Way,
    written: usize,
    read: usize,
    outputs: usize,
    is_narrow: bool,
}

impl Group {
    fn fill(&self, w_oihw: &[f32], class: &Class, panel: &Panel, lines: &mut [Line]) {
        if self.filter.groups == 1 && self.filter.taps() == 1 {
            return self.fill_pointwise(w_oihw, panel, lines);
        }
        let (inner, taps) = (self.filter.dims[1], self.filter.taps());
        let mut lines = lines.iter_mut();
        for tap in &class.taps {
            for word in 0..panel.words {
                for (v, line) in (panel.vector..panel.vector + panel.vectors).zip(&mut lines) {
                    for (lane, number) in line.0.iter_mut().enumerate() {
                        let to = v * LANES + lane;
                        let group = to / self.written;
                        // inputs count from the panel's first, or from the first of the output's group
                        let from = if self.is_narrow { group * self.read + word } else { panel.input + word };
                        *number = 0;
                        if to >= self.outputs || from / self.read != group {
                            continue;
                        }
                        let (o, i, tap) = match self.way {
                            Way::Forward => (to, from % self.read, *tap),
                            Way::Backward => (from, to % self.written, *tap),
                            Way::Pictures => (to, from % inner, tap * self.filter.dims[3] + from / inner),
                        };
                        *number = w_oihw[(o * inner + i) * taps + tap].to_bits();
                    }
                }
            }
        }
    }

    /// Of a matrix `[o, i]`, in blocks that stay near.
    fn fill_pointwise(&self, w_oi: &[f32], panel: &Panel, lines: &mut [Line]) {
        let Panel { words, vector, vectors, .. } = *panel;
        let inner = self.filter.dims[1];
        let first = vector * LANES;
        let count = (vectors * LANES).min(self.outputs - first);
        if count < vectors * LANES {
            lines.fill(Line([0; 16]));
        }
        match self.way {
            Way::Backward => {
                for (row, lines) in w_oi.chunks_exact(inner).zip(lines.chunks_exact_mut(vectors)) {
                    for (from, line) in row[first..first + count].chunks(LANES).zip(lines) {
                        line.0.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_bits());
                    }
                }
            }
            Way::Forward | Way::Pictures => {
                for block in (0..words).step_by(LANES) {
                    let end = (block + LANES).min(words);
                    for lane in 0..count {
                        let row = &w_oi[(first + lane) * inner..][block..end];
                        let lines = lines[block * vectors + lane / LANES..].iter_mut().step_by(vectors);
                        for (line, weight) in lines.zip(row) {
                            line.0[lane % LANES] = weight.to_bits();
                        }
                    }
                }
            }
        }
    }
}
