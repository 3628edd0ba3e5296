//! A convolution's weights in the order in which tiles read them.

use super::{Convolution, Panel};
use crate::image::maps::{LANES, Line, Number};
use crate::image::tile::MOST_VECTORS;

impl<N: Number> Convolution<N> {
    /// Panels of the widest runs of vectors that see the same inputs, `seen(vector)`, from first to last.
    pub(super) fn pack(
        &mut self,
        seen: impl Fn(usize) -> (usize, usize),
        weight: impl Fn(usize, [usize; 2], usize) -> f32,
    ) {
        let n_vectors = self.bias.len() / LANES;
        let mut vector = 0;
        while vector < n_vectors {
            let (input, end) = seen(vector);
            let alike = (vector..n_vectors).take_while(|&v| seen(v) == (input, end)).count();
            let vectors = if alike == MOST_VECTORS { alike } else { alike.min(2) };
            let words = (end - input).div_ceil(N::A_WORD);
            self.panels.push(Panel { input, words, vector, vectors, line: self.weights.len() });
            for run in &self.runs {
                for word in 0..words {
                    for v in vector..vector + vectors {
                        self.weights.push(Line(std::array::from_fn(|lane| {
                            let o = v * LANES + lane;
                            N::word([0, 1].map(|part| {
                                let k = input + word * N::A_WORD + part;
                                if o < self.outputs && k < end { weight(o, *run, k) } else { 0.0 }
                            }))
                        })));
                    }
                }
            }
            vector += vectors;
        }
        // tiles of one width after the other share their offsets
        self.panels.sort_by_key(|panel| panel.vectors);
    }

    /// Panels of one vector, whose outputs pick the `width` inputs of their groups from the 16 channels beside them.
    pub(super) fn pack_narrow(&mut self, w_oihw: &[f32], width: usize) {
        let words = width / N::A_WORD;
        for word in 0..words {
            let lane = |lane: usize| (lane / width * words + word) as u32;
            self.order.push(Line(std::array::from_fn(lane)));
        }
        let taps = self.runs.len();
        for vector in 0..self.bias.len() / LANES {
            let (input, line) = (vector * LANES, self.weights.len());
            self.panels.push(Panel { input, words, vector, vectors: 1, line });
            for tap in 0..taps {
                for word in 0..words {
                    self.weights.push(Line(std::array::from_fn(|lane| {
                        let o = input + lane;
                        N::word([0, 1].map(|part| {
                            let i = word * N::A_WORD + part;
                            if o < self.outputs && i < width {
                                w_oihw[(o * width + i) * taps + tap]
                            } else {
                                0.0
                            }
                        }))
                    })));
                }
            }
        }
    }
}
