//! ROUGE-L as coco-caption computes it.
//!
//! Paper: Lin, ACL 2004 workshop. Precision and recall are maximised over the references separately,
//! `F = (1 + b^2) P R / (R + b^2 P)` with `b = 1.2`.

/// ROUGE-L of one candidate. Words are compared by number; they come from splitting at single spaces,
/// so that an empty caption has one (empty) word.
pub(crate) fn rouge_l<'a>(candidate: &[u32], references: impl Iterator<Item = &'a [u32]>) -> f64 {
    const BETA_SQUARED: f64 = 1.2 * 1.2;
    let mut precision: f64 = 0.0;
    let mut recall: f64 = 0.0;
    let mut row = Vec::new();
    for reference in references {
        let common = longest_common_subsequence(candidate, reference, &mut row) as f64;
        precision = precision.max(common / candidate.len() as f64);
        recall = recall.max(common / reference.len() as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    (1.0 + BETA_SQUARED) * precision * recall / (recall + BETA_SQUARED * precision)
}

fn longest_common_subsequence(a: &[u32], b: &[u32], row: &mut Vec<u32>) -> u32 {
    row.clear();
    row.resize(b.len() + 1, 0);
    for &left in a {
        let mut diagonal = 0;
        for (position, &right) in b.iter().enumerate() {
            let above = row[position + 1];
            row[position + 1] = if left == right { diagonal + 1 } else { above.max(row[position]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_are_taken_separately() {
        // Precision 1 against the long reference, recall 1 against the short one.
        let got = rouge_l(&[1, 2, 3], [&[1, 2, 3, 4, 5, 6][..], &[1, 2]].into_iter());
        assert!((got - 1.0).abs() < 1e-12, "{got}");
    }

    #[test]
    fn order_counts_and_nothing_in_common_is_zero() {
        let got = rouge_l(&[1, 2, 3, 4], [&[4, 3, 2, 1][..]].into_iter());
        assert!((got - 0.25).abs() < 1e-12);
        assert_eq!(rouge_l(&[1], [&[2][..]].into_iter()), 0.0);
    }
}
