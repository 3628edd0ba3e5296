//! `finetune backbone bench`: the speed of a network on made-up pictures, to be put beside other programs.

use std::time::Instant;

use candle_core::{Device, Tensor};
use finetune_backbones::training::{Learner, NetworkSettings};
use finetune_backbones::{Architecture, Backbone, Summary, TrainingPass};
use pretrain_kernels::{Precision, measured_peak, soft_cross_entropy};
use pretrain_training::optimiser::{Rule, Sgd};
use pretrain_training::{Generator, Gradients, Group, Optimiser, Stream};
use serde::Serialize;

use super::Error;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bench {
    /// Which network; its weights are drawn.
    pub architecture: Architecture,
    /// Pictures at once.
    pub batch: usize,
    /// Height and width of a picture.
    pub size: usize,
    /// In which numbers; training is in f32.
    pub precision: Precision,
    /// What is done with the pictures.
    pub mode: BenchMode,
    /// How often, after two times that are not counted.
    pub repeats: usize,
}

/// What is done with the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenchMode {
    /// Logits.
    Forward,
    /// Logits, gradients of all weights, and an update with momentum.
    Train,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Seconds for a batch.
    pub median_s: f64,
    /// Pictures a second.
    pub images_per_s: f64,
    /// The process's largest resident memory.
    pub peak_rss_bytes: u64,
    /// Share of this machine's instruction peak in that precision that multiplications make; a training step has three
    /// times those of its logits.
    pub limit_share: f64,
}

const N_CLASSES: usize = 1000;
const SEED: u64 = 88;
/// Both families make maps 32 times smaller.
const SMALLEST: usize = 32;
/// Pictures are numbered above the tensors of any network.
const PICTURES: u32 = 1 << 31;

impl Bench {
    /// Measures.
    ///
    /// # Errors
    /// Sizes that cannot be; those of the operations.
    pub fn run(&self) -> Result<BenchReport, Error> {
        self.check()?;
        let Self { architecture, batch, size, precision, mode, repeats } = *self;
        let generator = Generator::new(SEED, Stream::Weights, PICTURES);
        let values = (0..(batch * 3 * size * size) as u64).map(|i| generator.uniform(i, -2.0, 2.0) as f32);
        let x_bchw = Tensor::from_vec(values.collect::<Vec<f32>>(), (batch, 3, size, size), &Device::Cpu)?;
        let median_s = match mode {
            BenchMode::Forward => {
                let backbone = Backbone::random(architecture, SEED, N_CLASSES)?.in_precision(precision);
                median(repeats, |_| Ok(backbone.logits(&x_bchw).map(drop)?))?
            }
            BenchMode::Train => self.training(&x_bchw)?,
        };
        let peak_rss_bytes = peak_rss_bytes();
        let macs = Summary::new(architecture, [size; 2], N_CLASSES).macs as f64 * batch as f64;
        let passes = if mode == BenchMode::Train { 3.0 } else { 1.0 };
        Ok(BenchReport {
            median_s,
            images_per_s: batch as f64 / median_s,
            peak_rss_bytes,
            limit_share: 2.0 * passes * macs / median_s / measured_peak(precision),
        })
    }

    fn check(&self) -> Result<(), Error> {
        let usage = |problem: String| Err(Error::Usage { problem });
        if self.batch == 0 || self.repeats == 0 {
            return usage("--batch and --repeats are at least 1".to_owned());
        }
        if self.size < SMALLEST {
            return usage(format!(
                "--size {} is less than the network's strides make one cell of; give at least {SMALLEST}",
                self.size
            ));
        }
        if self.mode == BenchMode::Train {
            let cells = self.batch * self.size.div_ceil(SMALLEST).pow(2);
            if cells < 2 {
                return usage(format!(
                    "--batch {} at --size {} leaves one value a channel, which has no variance; give more pictures",
                    self.batch, self.size
                ));
            }
            if self.precision == Precision::Bf16 {
                return usage("--mode train is in f32; leave --dtype bf16 to --mode forward".to_owned());
            }
        }
        Ok(())
    }

    fn training(&self, x_bchw: &Tensor) -> Result<f64, Error> {
        let settings = NetworkSettings {
            architecture: self.architecture.to_string(),
            weights: None,
            new_classifier: false,
            zero_classifier: false,
            zero_residual: false,
            drop_connect: 0.0,
            dropout: 0.0,
            norm_momentum: None,
        };
        let learner = Learner::start(&settings, SEED, N_CLASSES)?;
        let rule = Rule::Sgd(Sgd { momentum: 0.9, nesterov: false });
        let group = Group { weight_decay: 0.0, rate_factor: 1.0 };
        let mut optimiser = Optimiser::new(rule, learner.parameters(), |_| group);
        let mut gradients = Gradients::zeros(learner.parameters());
        let targets_bk = Tensor::full(1.0 / N_CLASSES as f32, (self.batch, N_CLASSES), &Device::Cpu)?;
        median(self.repeats, |step| {
            gradients.clear();
            let places = (0..self.batch as u64).collect();
            let pass = TrainingPass::new(SEED, step, places, 0.0, 0.0);
            let forward = learner.forward(x_bchw, &pass)?;
            let sum = soft_cross_entropy(&forward.logits_bk, &targets_bk)
                .and_then(|losses| Ok(losses.sum_all()?))
                .map_err(finetune_backbones::Error::from)?;
            forward.backward(&sum, &mut gradients)?;
            gradients.scale(1.0 / self.batch as f64);
            Ok(optimiser.step(learner.parameters(), &gradients, 1e-3)?)
        })
    }
}

/// The median time of some runs, after two.
fn median(repeats: usize, mut work: impl FnMut(u64) -> Result<(), Error>) -> Result<f64, Error> {
    const UNCOUNTED: usize = 2;
    let mut seconds = Vec::with_capacity(repeats);
    for step in 0..repeats + UNCOUNTED {
        let started = Instant::now();
        work(step as u64)?;
        if step >= UNCOUNTED {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// 0 where the system does not say.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
