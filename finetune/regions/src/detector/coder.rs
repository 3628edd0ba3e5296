//! Boxes as steps from other boxes. Paper: 1311.2524, appendix C.
//!
//! From a box of centre (x, y) and size (w, h) to one of (X, Y), (W, H): `dx = wx (X - x) / w`, `dy = wy (Y - y) / h`,
//! `dw = ww ln(W / w)`, `dh = wh ln(H / h)`, with weights w* that bring the four to like sizes.

use super::boxes::Convention;

/// What a step of size may be before its exponential: a thousandth of a map's stride of 16 the other way round.
const MOST: f32 = 4.135_166_6; // ln(1000 / 16)

/// The way there and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxCoder {
    /// Of dx, dy, dw and dh.
    pub weights: [f32; 4],
    /// How boxes are measured.
    pub convention: Convention,
}

impl BoxCoder {
    /// The steps of anchors, which are not weighted.
    pub fn of_anchors(convention: Convention) -> Self {
        Self { weights: [1.0; 4], convention }
    }

    /// The step from `from` to `to`.
    pub fn encode(&self, from: [f32; 4], to: [f32; 4]) -> [f32; 4] {
        let [wx, wy, ww, wh] = self.weights;
        let ([w, h], [x, y]) = self.parts(from);
        let ([to_w, to_h], [to_x, to_y]) = self.parts(to);
        [wx * (to_x - x) / w, wy * (to_y - y) / h, ww * (to_w / w).ln(), wh * (to_h / h).ln()]
    }

    /// Where a step from `from` leads. Steps of size end at [`MOST`].
    pub fn decode(&self, from: [f32; 4], [dx, dy, dw, dh]: [f32; 4]) -> [f32; 4] {
        let [wx, wy, ww, wh] = self.weights;
        let ([w, h], [x, y]) = self.parts(from);
        let (dw, dh) = ((dw / ww).min(MOST), (dh / wh).min(MOST));
        let (to_x, to_y) = (dx / wx * w + x, dy / wy * h + y);
        let (half_w, half_h) = (0.5 * (dw.exp() * w), 0.5 * (dh.exp() * h));
        let extra = self.convention.extra();
        [to_x - half_w, to_y - half_h, to_x + half_w - extra, to_y + half_h - extra]
    }

    /// Size and centre.
    fn parts(&self, rect: [f32; 4]) -> ([f32; 2], [f32; 2]) {
        let [width, height] = self.convention.size(rect);
        ([width, height], [rect[0] + 0.5 * width, rect[1] + 0.5 * height])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for convention in [Convention::Plain, Convention::Legacy] {
            for weights in [[1.0; 4], [10.0, 10.0, 5.0, 5.0]] {
                let coder = BoxCoder { weights, convention };
                let (from, to) = ([3.0, 5.0, 40.0, 21.0], [10.5, 1.0, 33.0, 60.0]);
                let back = coder.decode(from, coder.encode(from, to));
                assert!(back.iter().zip(to).all(|(got, to)| (got - to).abs() < 1e-4), "{back:?}");
            }
        }
    }

    /// Worked out by hand: sizes 10 and 20, centres 5 and 12 in the legacy measure.
    #[test]
    fn by_hand() {
        let coder = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0], convention: Convention::Legacy };
        let step = coder.encode([0.0, 0.0, 9.0, 9.0], [2.0, 2.0, 21.0, 21.0]);
        let ln2 = 2f32.ln();
        assert_eq!(step, [7.0, 7.0, 5.0 * ln2, 5.0 * ln2]);
    }

    #[test]
    fn no_step_is_beyond_bounds() {
        let coder = BoxCoder::of_anchors(Convention::Plain);
        let [x1, _, x2, _] = coder.decode([0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 1e9, 0.0]);
        assert!((x2 - x1 - 1000.0).abs() < 0.01, "{}", x2 - x1);
    }
}
