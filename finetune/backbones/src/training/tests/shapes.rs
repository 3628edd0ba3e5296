//! Pictures drawn here: three patterns in many colours, for trainings of seconds.

use std::path::Path;

use pretrain_training::optimiser::{AdamW, Rule, Sgd};
use pretrain_training::{Decay, Generator, Stream};

use super::super::Evaluation;
use super::super::pictures::{LabelledPictures, Unreadable, View};
use super::super::settings::{
    BatchSettings, Decayed, LossSettings, NetworkSettings, OptimiserSettings, RunSettings, ScheduleSettings,
    Settings,
};
use super::super::train::{Progress, Watch};

/// Discs, and bars across and down, somewhere in a picture, in a colour of their own on a ground of another.
pub(super) struct Shapes {
    pub(super) n: u64,
    /// Another set of pictures for each.
    pub(super) seed: u64,
    pub(super) side: usize,
    pub(super) classes: Vec<String>,
    /// Numbers of pictures that cannot be read.
    pub(super) broken: Vec<u64>,
    /// A picture that holds a NaN.
    pub(super) poisoned: Option<u64>,
}

impl Shapes {
    pub(super) fn new(n: u64, seed: u64) -> Self {
        let classes = ["disc", "across", "down"].map(str::to_owned).to_vec();
        Self { n, seed, side: 32, classes, broken: Vec::new(), poisoned: None }
    }
}

impl LabelledPictures for Shapes {
    fn n_pictures(&self) -> u64 {
        self.n
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn class_of(&self, picture: u64) -> usize {
        (picture % 3) as usize
    }

    fn side(&self) -> usize {
        self.side
    }

    fn load(&self, picture: u64, view: View, x_chw: &mut [f32]) -> Result<(), Unreadable> {
        if self.broken.contains(&picture) {
            return Err(Unreadable { name: format!("shape {picture}"), reason: "is broken".to_owned() });
        }
        let step = match view {
            View::Evaluation => 0,
            View::Training { epoch } => epoch + 1,
        };
        let fixed = Generator::new(self.seed, Stream::Weights, 0);
        let changed = Generator::new(self.seed, Stream::Augmentation, step);
        let number = |i: u64, low: f64, high: f64| fixed.uniform(picture * 16 + i, low, high);
        let shift = |i: u64| if step == 0 { 0.0 } else { changed.uniform(picture * 16 + i, -2.0, 2.0) };
        let (row, column, radius) =
            (number(0, 10.0, 22.0) + shift(0), number(1, 10.0, 22.0) + shift(1), number(2, 5.0, 11.0));
        for c in 0..3 {
            let (front, back) = (number(3 + c as u64, 0.5, 2.0), number(6 + c as u64, -2.0, -0.5));
            for y in 0..self.side {
                for x in 0..self.side {
                    let (dy, dx) = (y as f64 - row, x as f64 - column);
                    let is_bar = |distance: f64| distance.rem_euclid(radius) < 0.5 * radius;
                    let is_inside = match picture % 3 {
                        0 => dy * dy + dx * dx < radius * radius,
                        1 => is_bar(dy),
                        _ => is_bar(dx),
                    };
                    x_chw[(c * self.side + y) * self.side + x] = if is_inside { front } else { back } as f32;
                }
            }
        }
        if self.poisoned == Some(picture) {
            x_chw[7] = f32::NAN;
        }
        Ok(())
    }
}

/// Says stop after a step, if told so.
#[derive(Default)]
pub(super) struct Quiet {
    pub(super) stop_at: Option<u64>,
    pub(super) losses: std::sync::Mutex<Vec<f64>>,
    pub(super) damaged: std::sync::Mutex<Vec<String>>,
}

impl Watch for Quiet {
    fn step(&self, progress: &Progress) {
        self.losses.lock().unwrap().push(progress.loss);
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        self.damaged.lock().unwrap().push(reason.to_string());
    }

    fn unreadable(&self, _: &Unreadable) {}

    fn evaluated(&self, _: u64, _: &Evaluation) {}

    fn must_stop(&self) -> bool {
        // asked during a step, so that one less is done
        self.stop_at.is_some_and(|step| self.losses.lock().unwrap().len() as u64 + 1 >= step)
    }
}

/// A short training with everything switched on.
pub(super) fn settings(architecture: &str) -> Settings {
    let is_efficientnet = architecture.contains("efficientnet");
    Settings {
        seed: 4,
        network: NetworkSettings {
            architecture: architecture.to_owned(),
            weights: None,
            new_classifier: false,
            zero_classifier: true,
            zero_residual: !is_efficientnet,
            drop_connect: if is_efficientnet { 0.1 } else { 0.0 },
            dropout: 0.1,
            norm_momentum: None,
        },
        batch: BatchSettings { size: 24, micro: 12 },
        optimiser: OptimiserSettings {
            rule: if is_efficientnet { Rule::AdamW(AdamW::default()) } else { Rule::Sgd(Sgd::default()) },
            weight_decay: 1e-4,
            decayed: Decayed::Weights,
            clip: Some(5.0),
            average: None,
        },
        schedule: ScheduleSettings {
            epochs: 2.0,
            peak: if is_efficientnet { 5e-3 } else { 0.02 },
            warm_up: 0.2,
            warm_up_from: 0.0,
            decay: Decay::Cosine { floor: 0.0 },
        },
        loss: LossSettings { label_smoothing: 0.05, ..LossSettings::default() },
        run: RunSettings { checkpoint_every: 4, ..RunSettings::default() },
    }
}

/// Number of lines of figures in a run.
pub(super) fn figures(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
