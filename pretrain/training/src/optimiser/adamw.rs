//! AdamW as torch has it. Paper: 1711.05101, algorithm 2.

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
        let [b1, b2] = self.betas;
        let corrections = self.betas.map(|beta| 1.0 - beta.powf(update.number as f64));
        let keep = (1.0 - update.rate * update.weight_decay) as f32;
        let size = (update.rate / corrections[0]) as f32;
        let root = corrections[1].sqrt() as f32;
        let (b1, b2, epsilon) = (b1 as f32, b2 as f32, self.epsilon as f32);
        let (new1, new2) = ((1.0 - self.betas[0]) as f32, (1.0 - self.betas[1]) as f32);
        slices.for_each(|p, g, m, v| {
            *p *= keep;
            *m = b1 * *m + new1 * g;
            *v = b2 * *v + new2 * g * g;
            *p -= size * *m / (v.sqrt() / root + epsilon);
        });
    }
}
