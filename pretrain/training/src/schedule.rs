//! Learning rates as pure functions of the step.

use serde::{Deserialize, Serialize};

/// A learning rate for every step.
///
/// During `warm_up` steps it rises in a straight line; afterwards it is `peak` times the [`Decay`]'s factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rate at the end of the warm-up.
    pub peak: f64,
    /// Steps of the warm-up; 0 for none.
    pub warm_up: u64,
    /// The rate of step 0 if there is a warm-up.
    pub warm_up_from: f64,
    /// All steps of the run, warm-up included.
    pub total: u64,
    /// What follows.
    pub decay: Decay,
}

/// How the rate falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// Not at all.
    Constant {},
    /// In a straight line from the end of the warm-up to 0 at `total`: BERT's and Oscar's.
    Linear {},
    /// Half a cosine from the end of the warm-up to `floor` times the peak at `total` (Paper: 1608.03983, eq. 5).
    Cosine {
        /// Share of the peak that is left in the end.
        floor: f64,
    },
    /// Times `factor` at each of these shares of `total`: \[0.3, 0.6, 0.9\] is ResNeXt's 30, 60, 90 of 100 epochs.
    Step {
        /// Shares of all steps, rising.
        at: Vec<f64>,
        /// What each drop multiplies by.
        factor: f64,
    },
    /// Times `factor` after every `every` steps, counted from the run's start: EfficientNet's 0.97 every 2.4 epochs.
    Staircase {
        /// Steps between drops; need not be whole. In settings: epochs.
        every: f64,
        /// What each drop multiplies by.
        factor: f64,
    },
}

impl Decay {
    /// The same, where `every` was given in epochs of so many steps.
    pub fn per_epoch(self, steps: f64) -> Self {
        match self {
            Self::Staircase { every, factor } => Self::Staircase { every: every * steps, factor },
            other => other,
        }
    }
}

impl Schedule {
    /// The rate of the update number `step`, from 0.
    ///
    /// Whether the first update takes step 0 or step 1 is the loop's choice; Oscar's pre-training does the former, its
    /// fine-tuning the latter.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_up {
            let share = step as f64 / self.warm_up as f64;
            return self.warm_up_from + (self.peak - self.warm_up_from) * share;
        }
        let left = (self.total.saturating_sub(self.warm_up)).max(1) as f64;
        let done = ((step - self.warm_up) as f64 / left).min(1.0);
        let factor = match &self.decay {
            Decay::Constant {} => 1.0,
            Decay::Linear {} => 1.0 - done,
            Decay::Cosine { floor } => {
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Decay::Step { at, factor } => {
                let share = step as f64 / self.total.max(1) as f64;
                factor.powi(at.iter().filter(|drop| share >= **drop).count() as i32)
            }
            Decay::Staircase { every, factor } => factor.powf((step as f64 / *every).floor()),
        };
        self.peak * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(peak: f64, warm_up: u64, total: u64, decay: Decay) -> Schedule {
        Schedule { peak, warm_up, warm_up_from: 0.0, total, decay }
    }

    fn near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() <= 1e-12 * wanted.abs().max(1e-3), "{got} is not {wanted}");
    }

    /// The published recipe: 0.016 for every 256 pictures, 0.97 every 2.4 epochs, 350 epochs.
    #[test]
    fn efficientnet() {
        const EPOCH: f64 = 1_281_167.0 / 2048.0;
        let staircase = Decay::Staircase { every: 2.4 * EPOCH, factor: 0.97 };
        let rates = schedule(0.016 * 2048.0 / 256.0, (5.0 * EPOCH) as u64, (350.0 * EPOCH) as u64, staircase);
        near(rates.peak, 0.128);
        near(0.016 * 4096.0 / 256.0, 0.256);
        assert_eq!(rates.rate(0), 0.0);
        near(rates.rate(rates.warm_up / 2), 0.128 * (rates.warm_up / 2) as f64 / rates.warm_up as f64);
        // the stairs are counted from the start, so two are passed when the warm-up ends
        near(rates.rate(rates.warm_up), 0.128 * 0.97f64.powi(2));
        near(rates.rate((7.3 * EPOCH) as u64), 0.128 * 0.97f64.powi(3));
        near(rates.rate((350.0 * EPOCH) as u64), 0.128 * 0.97f64.powi(145));
        assert!((rates.rate((350.0 * EPOCH) as u64) - 0.001_546).abs() < 1e-6);
    }

    #[test]
    fn resnext() {
        let decay = Decay::Step { at: vec![0.3, 0.6, 0.9], factor: 0.1 };
        let rates = schedule(0.1, 0, 1000, decay);
        for (step, wanted) in
            [(0, 0.1), (299, 0.1), (300, 0.01), (599, 0.01), (600, 1e-3), (900, 1e-4), (999, 1e-4)]
        {
            near(rates.rate(step), wanted);
        }
    }

    #[test]
    fn straight_and_cosine() {
        let oscar = schedule(5e-5, 0, 2_000_000, Decay::Linear {});
        near(oscar.rate(0), 5e-5);
        near(oscar.rate(500_000), 3.75e-5);
        assert_eq!((oscar.rate(2_000_000), oscar.rate(3_000_000)), (0.0, 0.0));
        let warm = schedule(1.0, 100, 500, Decay::Linear {});
        near(warm.rate(50), 0.5);
        near(warm.rate(100), 1.0);
        near(warm.rate(300), 0.5);
        let cosine = schedule(2.0, 0, 80, Decay::Cosine { floor: 0.1 });
        near(cosine.rate(0), 2.0);
        near(cosine.rate(20), 2.0 * (0.1 + 0.9 * 0.5 * (1.0 + 0.5f64.sqrt())));
        near(cosine.rate(80), 0.2);
        let constant = Schedule { warm_up_from: 0.5, ..schedule(1.0, 10, 20, Decay::Constant {}) };
        near(constant.rate(0), 0.5);
        near(constant.rate(5), 0.75);
        near(constant.rate(1_000_000), 1.0);
    }
}
