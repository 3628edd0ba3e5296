//! `pretrain bench`: the speed of training steps on made-up samples, to be put beside other programs.

use std::time::{Duration, Instant};

use pretrain_comm::{Collective, Solo};
use pretrain_kernels::{Precision, measured_peak};
use pretrain_training::optimiser::{OscarAdamW, Rule};
use pretrain_training::{Generator, Gradients, Optimiser, Parameters, Stream};
use serde::Serialize;

use crate::model::{
    Batch, ModelConfig, Pass, RegionGeometry, Shapes, Targets, initialise, training_operations,
};
use crate::train::{DataSizes, Learner, OptimiserSettings, Sizes, in_threads};
use crate::{DeviceChoice, Error, Example, Result};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bench {
    /// The network.
    pub sizes: Sizes,
    /// Ranks, which are threads here and share the samples and the threads that compute.
    pub ranks: usize,
    /// Samples of a step, of all ranks.
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

/// What was measured: medians over the steps, of rank 0.
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
    /// Seconds of the sum over ranks.
    pub reduce_s: f64,
    /// Seconds of clipping and update.
    pub optimiser_s: f64,
    /// The process's largest resident memory.
    pub peak_rss_bytes: u64,
    /// Share of the threads' instruction peak in that precision, of all ranks, that the products of a step make; 0 on a GPU,
    /// whose peak is not measured.
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
/// How long ranks wait for one another.
const PATIENCE: Duration = Duration::from_secs(600);
/// Tensors of a bench are numbered above those of any network.
const DRAWS: u32 = 1 << 31;

impl Bench {
    /// Trains for some steps, with dropout, clipping and the published AdamW.
    ///
    /// # Errors
    /// Sizes that cannot be; those of the operations.
    pub fn run(&self) -> Result<Report> {
        let least = [
            ("--ranks", self.ranks, 1),
            ("--batch", self.batch, self.ranks),
            ("--text", self.text, 1),
            ("--steps", self.steps, 1),
        ];
        for (key, value, least) in least {
            if value < least {
                let (problem, hint) = (format!("is {value}"), format!("it is at least {least}"));
                return Err(Error::Setting { key: key.to_owned(), problem, hint });
            }
        }
        if self.ranks == 1 {
            return self.run_rank(&Solo);
        }
        in_threads(self.ranks, PATIENCE, &|ranks| self.run_rank(ranks))
    }

    fn run_rank(&self, ranks: &dyn Collective) -> Result<Report> {
        let device = self.device.open(ranks.rank())?;
        let config = self.sizes.config(DATA, RegionGeometry::Wh)?;
        let parameters =
            Parameters::on(&device, &initialise(&Shapes::of_pretraining(&config), &config, SEED)?)?;
        let learner = Learner::new(&config, &parameters, self.precision, self.recompute)?;
        let mut optimiser =
            Optimiser::new(PUBLISHED.rule, &parameters, |parameter| PUBLISHED.group(parameter));
        let mut gradients = Gradients::zeros(&parameters);

        let mut seconds: [Vec<f64>; 5] = Default::default();
        let mut losses = Vec::new();
        let mut operations = 0.0;
        for step in 0..=self.steps as u64 {
            let examples = self.examples(&config, step);
            let counts = Targets::of(&examples).counts();
            operations = training_operations(&config, &Batch::pack(&examples, &config)?, counts[0]);
            let own = [ranks.rank(), ranks.rank() + 1].map(|rank| rank * self.batch / ranks.world());
            let examples = &examples[own[0]..own[1]];
            let (batch, targets) = (Batch::pack(examples, &config)?, Targets::of(examples));
            let counts = counts.map(|count| count as f64);
            ranks.barrier()?;
            let started = Instant::now();
            gradients.clear();
            let pass = Pass::Training { seed: SEED, step };
            let seen = learner.accumulate(&batch, &targets, counts, pass, &mut gradients)?;
            let before = Instant::now();
            gradients.all_reduce(ranks)?;
            let reduced = Instant::now();
            gradients.clip(&parameters, PUBLISHED.clip, step)?;
            optimiser.step(&parameters, &gradients, 5e-5)?;
            let [whole, last] = [started, reduced].map(|since| since.elapsed().as_secs_f64());
            let mut sums = [seen.masked_token, seen.contrastive];
            ranks.all_reduce_sum_f64(&mut sums)?;
            losses.push(sums[0] / counts[0].max(1.0) + sums[1] / counts[1]);
            if step > 0 {
                let reduce = (reduced - before).as_secs_f64();
                let parts = [whole, seen.forward_s, seen.backward_s, reduce, last];
                seconds.iter_mut().zip(parts).for_each(|(all, part)| all.push(part));
            }
        }
        let [median_step_s, forward_s, backward_s, reduce_s, optimiser_s] = seconds.map(median);
        let mut peak = [if device.is_cpu() { measured_peak(self.precision) } else { f64::INFINITY }];
        ranks.all_reduce_sum_f64(&mut peak)?;
        Ok(Report {
            median_step_s,
            samples_per_s: self.batch as f64 / median_step_s,
            forward_s,
            backward_s,
            reduce_s,
            optimiser_s,
            peak_rss_bytes: peak_rss_bytes(),
            limit_share: operations / median_step_s / peak[0],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset_sizes;

    fn bench() -> Bench {
        Bench {
            sizes: preset_sizes("debug").unwrap(),
            ranks: 1,
            batch: 5,
            text: 12,
            regions: 3,
            steps: 3,
            precision: Precision::F32,
            recompute: false,
            device: DeviceChoice::default(),
        }
    }

    #[test]
    fn ranks_share_a_batch_and_see_the_same_losses() {
        let one = bench().run().unwrap();
        let two = Bench { ranks: 2, ..bench() }.run().unwrap();
        assert_eq!((one.losses.len(), two.losses.len()), (4, 4));
        for (one, two) in one.losses.iter().zip(&two.losses) {
            assert!((one - two).abs() < 1e-5 * one.abs(), "{one} and {two}");
        }
        assert!(one.losses[0] != one.losses[3] && two.median_step_s > 0.0);
        assert!(two.samples_per_s > 0.0 && two.limit_share > 0.0 && two.limit_share < 1.0, "{two:?}");
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let refused = |bench: Bench| bench.run().unwrap_err().to_string();
        assert_eq!(refused(Bench { ranks: 0, ..bench() }), "--ranks is 0\n  hint: it is at least 1");
        assert_eq!(refused(Bench { ranks: 6, ..bench() }), "--batch is 5\n  hint: it is at least 6");
        assert_eq!(refused(Bench { steps: 0, ..bench() }), "--steps is 0\n  hint: it is at least 1");
    }
}
