//! `pretrain bench`: the speed of training steps on made-up samples, to be put beside other programs.

use std::time::Instant;

use pretrain_kernels::Precision;
use pretrain_training::optimiser::{OscarAdamW, Rule};
use pretrain_training::{Generator, Gradients, Optimiser, Parameters, Stream};
use serde::Serialize;

use crate::model::{
    Batch, ModelConfig, Pass, RegionGeometry, Shapes, Targets, initialise, training_operations,
};
use crate::train::{DataSizes, Learner, OptimiserSettings, Sizes};
use crate::{DeviceChoice, Error, Example, Result};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bench {
    /// The network.
    pub sizes: Sizes,
    /// Samples of a step.
    pub batch: usize,
    /// Tokens of a sample, all of them real.
    pub text: usize,
    /// Regions of a sample.
    pub regions: usize,
    /// Steps, after one that is not counted.
    pub steps: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Whether activations are computed again.
    pub recompute: bool,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// What was measured: medians over the steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Seconds of a whole step.
    pub median_step_s: f64,
    /// Samples a second.
    pub samples_per_s: f64,
    /// Seconds until the losses are known.
    pub forward_s: f64,
    /// Seconds from there to the gradients.
    pub backward_s: f64,
    /// Seconds of clipping and update.
    pub optimiser_s: f64,
    /// The process's largest resident memory.
    pub peak_rss_bytes: u64,
    /// Share of this machine's instruction peak in that precision that the products of a step make; 0 on a GPU, whose
    /// peak is not measured.
    pub limit_share: f64,
    /// Masked-token plus contrastive loss of each step.
    pub losses: Vec<f64>,
}

/// BERT's vocabulary, a detector's vectors, two classes: the published base model.
const DATA: DataSizes = DataSizes { vocab_size: 30_522, img_feature_dim: 2054, num_contrast_classes: 2 };
/// Tokens that are hidden.
const MASKED: f64 = 0.15;
/// As Oscar+ was trained.
const PUBLISHED: OptimiserSettings = OptimiserSettings {
    rule: Rule::OscarAdamW(OscarAdamW { betas: [0.9, 0.999], epsilon: 1e-8, correct_bias: true }),
    weight_decay: 0.01,
    clip: Some(10.0),
    zero: false,
};
const SEED: u64 = 88;
/// Tensors of a bench are numbered above those of any network.
const DRAWS: u32 = 1 << 31;

impl Bench {
    /// Trains for some steps, with dropout, clipping and the published AdamW.
    ///
    /// # Errors
    /// Sizes that cannot be; those of the operations.
    pub fn run(&self) -> Result<Report> {
        for (key, value) in [("--batch", self.batch), ("--text", self.text), ("--steps", self.steps)] {
            if value == 0 {
                let (problem, hint) = ("is 0".to_owned(), "it is at least 1".to_owned());
                return Err(Error::Setting { key: key.to_owned(), problem, hint });
            }
        }
        let device = self.device.open(0)?;
        let config = self.sizes.config(DATA, RegionGeometry::Wh)?;
        let parameters =
            Parameters::on(&device, &initialise(&Shapes::of_pretraining(&config), &config, SEED)?)?;
        let learner = Learner::new(&config, &parameters, self.precision, self.recompute)?;
        let mut optimiser =
            Optimiser::new(PUBLISHED.rule, &parameters, |parameter| PUBLISHED.group(parameter));
        let mut gradients = Gradients::zeros(&parameters);

        let mut seconds: [Vec<f64>; 4] = Default::default();
        let mut losses = Vec::new();
        let mut operations = 0.0;
        for step in 0..=self.steps as u64 {
            let examples = self.examples(&config, step);
            let batch = Batch::pack(&examples, &config)?;
            let targets = Targets::of(&examples);
            operations = training_operations(&config, &batch, targets.counts()[0]);
            let counts = targets.counts().map(|count| count as f64);
            let started = Instant::now();
            gradients.clear();
            let pass = Pass::Training { seed: SEED, step };
            let seen = learner.accumulate(&batch, &targets, counts, pass, &mut gradients)?;
            let before = Instant::now();
            gradients.clip(&parameters, PUBLISHED.clip, step)?;
            optimiser.step(&parameters, &gradients, 5e-5)?;
            let parts = [started.elapsed(), before.elapsed()].map(|elapsed| elapsed.as_secs_f64());
            losses.push(seen.masked_token / counts[0].max(1.0) + seen.contrastive / counts[1]);
            if step > 0 {
                let parts = [parts[0], seen.forward_s, seen.backward_s, parts[1]];
                seconds.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
            }
        }
        let [median_step_s, forward_s, backward_s, optimiser_s] = seconds.map(median);
        let peak =
            if device.is_cpu() { pretrain_kernels::measured_peak(self.precision) } else { f64::INFINITY };
        Ok(Report {
            median_step_s,
            samples_per_s: self.batch as f64 / median_step_s,
            forward_s,
            backward_s,
            optimiser_s,
            peak_rss_bytes: peak_rss_bytes(),
            limit_share: operations / median_step_s / peak,
            losses,
        })
    }

    /// Samples whose words, regions and labels are functions of the step.
    fn examples(&self, config: &ModelConfig, step: u64) -> Vec<Example> {
        let words = Generator::new(SEED, Stream::Weights, DRAWS + 2 * step as u32);
        let regions = Generator::new(SEED, Stream::Weights, DRAWS + 2 * step as u32 + 1);
        let width = self.regions * config.img_feature_dim;
        let example = |place: usize| {
            let ids: Vec<u32> = (0..self.text)
                .map(|i| {
                    1000 + words.below((place * self.text + i) as u64, config.vocab_size as u64 - 1000) as u32
                })
                .collect();
            let n_labels = (self.text as f64 * MASKED).round().max(1.0) as usize;
            let token_labels = (0..self.text)
                .map(|i| if i * n_labels % self.text < n_labels { i64::from(ids[i]) } else { -1 })
                .collect();
            Example {
                segment_ids: (0..self.text).map(|i| u32::from(i >= self.text / 2)).collect(),
                token_ids: ids,
                token_labels,
                contrastive_label: place as i64 % 2,
                regions: (0..width).map(|i| regions.unit((place * width + i) as u64) as f32).collect(),
                n_regions: self.regions,
                place: place as u32,
            }
        };
        (0..self.batch).map(example).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// 0 where the system does not say.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
