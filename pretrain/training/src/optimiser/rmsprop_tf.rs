//! RMSProp as TensorFlow has it: EfficientNet's. torch's is another and goes unstable with the published settings.

use serde::{Deserialize, Serialize};

use super::{Slices, Update};

/// `epsilon` is inside of the root, the mean square starts at 1, and the learning rate is inside of the momentum, so
/// that a drop of it takes effect with delay. Decay is part of the gradient (L2):
///
/// ```text
/// g <- g + decay p                  s <- s + (1 - rho) (g² - s)
/// m <- momentum m + rate g / sqrt(s + epsilon)
/// p <- p - m
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsPropTf {
    /// Share of the old mean square that is kept.
    pub rho: f64,
    /// Share of the last step that is kept.
    pub momentum: f64,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl Default for RmsPropTf {
    fn default() -> Self {
        Self { rho: 0.9, momentum: 0.9, epsilon: 1e-3 }
    }
}

impl RmsPropTf {
    pub(super) fn update(&self, update: Update, slices: Slices<'_>) {
        let (rate, decay) = (update.rate as f32, update.weight_decay as f32);
        let (new, momentum, epsilon) = ((1.0 - self.rho) as f32, self.momentum as f32, self.epsilon as f32);
        slices.for_each(|p, g, s, m| {
            let g = g + decay * *p;
            *s += new * (g * g - *s);
            *m = momentum * *m + rate * g / (*s + epsilon).sqrt();
            *p -= *m;
        });
    }
}
