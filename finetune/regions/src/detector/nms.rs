//! Of boxes that overlap, the best one.

use super::boxes::Convention;

/// The boxes that no better one overlaps by more than `threshold`, best first; of equal scores the first. Boxes are
/// better or worse by `scores`; NaN is worst.
///
/// An overlap of exactly the threshold stays, as in torchvision and in maskrcnn-benchmark on a graphics card; the latter
/// on a processor removes it.
pub fn nms(boxes: &[[f32; 4]], scores: &[f32], threshold: f32, convention: Convention) -> Vec<usize> {
    let areas: Vec<f32> = boxes.iter().map(|rect| convention.area(*rect)).collect();
    nms_by(scores, |one, other| {
        convention.overlap_of(boxes[one], areas[one], boxes[other], areas[other]) > threshold
    })
}

/// As [`nms`], where two boxes are the same by another rule.
pub(super) fn nms_by(scores: &[f32], are_same: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let order = best_first(scores);
    let mut is_out = vec![false; scores.len()];
    let mut kept = Vec::new();
    for (place, &best) in order.iter().enumerate() {
        if is_out[best] {
            continue;
        }
        kept.push(best);
        for &other in &order[place + 1..] {
            is_out[other] = is_out[other] || are_same(best, other);
        }
    }
    kept
}

/// Numbers of the scores, the highest first, equal ones in their order, NaN last.
pub(super) fn best_first(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let key = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
    order.sort_by(|a, b| key(scores[*b]).total_cmp(&key(scores[*a])).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_each_heap_stays() {
        let boxes =
            [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [20.0, 0.0, 30.0, 10.0], [2.0, 0.0, 12.0, 10.0]];
        // 9 / 11 between the first two and between the second and the fourth, 8 / 12 between the first and the fourth
        assert_eq!(nms(&boxes, &[0.5, 0.9, 0.1, 0.8], 0.7, Convention::Plain), [1, 2]);
        assert_eq!(nms(&boxes, &[0.9, 0.5, 0.1, 0.8], 0.7, Convention::Plain), [0, 3, 2]);
        assert_eq!(nms(&boxes, &[0.9, 0.9, 0.9, 0.9], 0.9, Convention::Plain), [0, 1, 2, 3]);
        assert_eq!(nms(&boxes, &[f32::NAN, 0.1, 0.2, 0.3], 0.5, Convention::Plain), [3, 2]);
        assert!(nms(&[], &[], 0.5, Convention::Plain).is_empty());
    }

    #[test]
    fn exactly_the_threshold_stays() {
        let boxes = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]];
        assert_eq!(nms(&boxes, &[1.0, 0.5], 0.5, Convention::Plain), [0, 1]);
        assert_eq!(nms(&boxes, &[1.0, 0.5], 0.49, Convention::Plain), [0]);
        // 6 of 11 rows in the legacy measure
        assert_eq!(nms(&boxes, &[1.0, 0.5], 0.5, Convention::Legacy), [0]);
    }
}
