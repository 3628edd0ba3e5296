//! Stochastic gradient descent with momentum as torch has it; dampening is 0.

use serde::{Deserialize, Serialize};

use super::{Slices, Update};

/// Decay is part of the gradient (L2), and the learning rate is outside of the momentum:
///
/// ```text
/// g <- g + decay p                  m <- momentum m + g
/// p <- p - rate (g + momentum m)    with Nesterov's look ahead
/// p <- p - rate m                   without
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Share of the last direction that is kept.
    pub momentum: f64,
    /// Whether to look ahead.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: true }
    }
}

impl Sgd {
    pub(super) fn update(&self, update: Update, slices: Slices<'_>) {
        let (rate, decay) = (update.rate as f32, update.weight_decay as f32);
        let (momentum, nesterov) = (self.momentum as f32, self.nesterov);
        slices.for_each_of_one(|p, g, m| {
            let g = g + decay * *p;
            *m = momentum * *m + g;
            *p -= rate * if nesterov { g + momentum * *m } else { *m };
        });
    }
}
