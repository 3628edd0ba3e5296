//! From what is said of anchors to proposals. Paper: 1506.01497, section 3.3.

use super::boxes::Convention;
use super::coder::BoxCoder;
use super::nms::{best_first, nms};
use super::settings::Proposals;

impl Proposals {
    /// The proposals in a picture of `size` = width, height pixels, best first: the likeliest anchors, moved by their
    /// steps, cut at the border, without those that are too small or that a better one overlaps.
    ///
    /// `objectness` are logits, of which only the order counts; `steps` come four by four.
    pub fn of(
        &self,
        anchors: &[[f32; 4]],
        objectness: &[f32],
        steps: &[f32],
        size: [f32; 2],
        convention: Convention,
    ) -> Vec<[f32; 4]> {
        let coder = BoxCoder::of_anchors(convention);
        let steps = steps.as_chunks::<4>().0;
        let mut order = best_first(objectness);
        order.truncate(self.before);
        let moved = order.iter().map(|&at| {
            let rect = convention.clip(coder.decode(anchors[at], steps[at]), size);
            (rect, objectness[at])
        });
        let is_large = |rect: [f32; 4]| convention.size(rect).iter().all(|side| *side >= self.side_at_least);
        let (boxes, scores): (Vec<_>, Vec<_>) = moved.filter(|(rect, _)| is_large(*rect)).unzip();
        let mut kept = nms(&boxes, &scores, self.overlap, convention);
        kept.truncate(self.after);
        kept.into_iter().map(|at| boxes[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_inside_and_not_too_small() {
        let anchors = [
            [0.0, 0.0, 20.0, 20.0],
            [1.0, 0.0, 21.0, 20.0],
            [90.0, 90.0, 130.0, 130.0],
            [40.0, 40.0, 60.0, 60.0],
            [99.5, 0.0, 140.0, 30.0],
        ];
        let proposals = Proposals { hidden: 1, before: 5, after: 9, overlap: 0.7, side_at_least: 1.0 };
        let of = |proposals: Proposals| {
            let steps = [[0.0; 4]; 5];
            proposals.of(
                &anchors,
                &[0.0, 2.0, 1.0, -9.0, 5.0],
                steps.as_flattened(),
                [100.0; 2],
                Convention::Plain,
            )
        };
        let all = [[1.0, 0.0, 21.0, 20.0], [90.0, 90.0, 100.0, 100.0], [40.0, 40.0, 60.0, 60.0]];
        assert_eq!(of(proposals), all);
        assert_eq!(of(Proposals { after: 2, ..proposals }), all[..2]);
        // the best two, one of which is a strip that is too narrow
        assert_eq!(of(Proposals { before: 2, ..proposals }), all[..1]);
    }

    #[test]
    fn a_step_moves_an_anchor() {
        let proposals = Proposals { hidden: 1, before: 1, after: 1, overlap: 0.7, side_at_least: 0.0 };
        let step = [0.5, -0.25, 2f32.ln(), 0.0];
        let found = proposals.of(&[[40.0, 40.0, 60.0, 60.0]], &[0.0], &step, [200.0; 2], Convention::Plain);
        let wanted = [40.0, 35.0, 80.0, 55.0];
        assert!(found[0].iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-4), "{found:?}");
    }
}
