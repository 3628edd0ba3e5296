//! AdamW as torch has it. Paper: 1711.05101, algorithm 2.

use pretrain_kernels::AdamWForm;
use serde::{Deserialize, Serialize};

use super::{Slices, Update};

/// Decay first and by the learning rate alone, then a step along the corrected moments:
///
/// ```text
/// p <- p (1 - rate decay)
/// m <- b1 m + (1 - b1) g            v <- b2 v + (1 - b2) g²
/// p <- p - rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// b1 and b2.
    pub betas: [f64; 2],
    /// Added to the corrected root.
    pub epsilon: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], epsilon: 1e-8 }
    }
}

impl AdamW {
    pub(super) fn update(&self, update: Update, slices: Slices<'_>) {
        slices.adamw(AdamWForm::Torch, self.betas, self.epsilon, update);
    }
}
