//! AdamW as Oscar was trained with it: the form of the library of that time, which is not torch's.

use pretrain_kernels::AdamWForm;
use serde::{Deserialize, Serialize};

use super::{Slices, Update};

/// A step whose correction is folded into its size, so that `epsilon` is added to the UNcorrected root; then decay of
/// the parameter that has just been moved:
///
/// ```text
/// m <- b1 m + (1 - b1) g            v <- b2 v + (1 - b2) g²
/// p <- p - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)
/// p <- p - rate decay p
/// ```
///
/// Without `correct_bias` the size is the rate itself, as BERT was trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OscarAdamW {
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Added to the uncorrected root.
    pub epsilon: f64,
    /// Whether the moments' start at 0 is made up for.
    pub correct_bias: bool,
}

impl Default for OscarAdamW {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], epsilon: 1e-8, correct_bias: true }
    }
}

impl OscarAdamW {
    pub(super) fn update(&self, update: Update, slices: Slices<'_>) {
        let form = AdamWForm::Transformers { correct_bias: self.correct_bias };
        slices.adamw(form, self.betas, self.epsilon, update);
    }
}
