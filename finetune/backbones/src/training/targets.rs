//! What the classifier is asked to say.

/// Targets of cross-entropy: 1 for the class, and of that the share `smoothing` dealt out evenly over all classes
/// (Paper: 1512.00567, section 7).
///
/// # Shapes
/// - result: \[b, k\] end to end
pub(crate) fn smoothed(labels: &[usize], n_classes: usize, smoothing: f64) -> Vec<f32> {
    let even = (smoothing / n_classes as f64) as f32;
    let mut targets_bk = vec![even; labels.len() * n_classes];
    for (row, label) in targets_bk.chunks_exact_mut(n_classes).zip(labels) {
        row[*label] = (1.0 - smoothing + smoothing / n_classes as f64) as f32;
    }
    targets_bk
}

#[cfg(test)]
mod tests {
    use super::smoothed;

    #[test]
    fn a_share_for_everybody() {
        assert_eq!(smoothed(&[2, 0], 4, 0.0), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(smoothed(&[1], 4, 0.1), [0.025, 0.925, 0.025, 0.025]);
    }
}
