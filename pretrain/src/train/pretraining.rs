//! THE loop of pre-training.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use pretrain_comm::Collective;
use pretrain_kernels::{Precision, measured_peak};
use pretrain_training::{Checkpoints, Gradients, Metrics, Parameters, State, require_finite, require_same};
use serde::{Deserialize, Serialize};

use super::evaluate::{Evaluation, Probes, evaluate};
use super::settings::Settings;
use super::start::Start;
use super::step::Learner;
use crate::Result;
use crate::data::{Share, Standing};
use crate::model::{Batch, ModelFolder, Pass, PretrainingModel, Targets, Tensors, training_operations};

/// Whoever watches a training, from outside.
pub trait Watch: Sync {
    /// Data and network are there.
    fn started(&self, start: &Start);

    /// A step was taken.
    fn step(&self, progress: &Progress);

    /// A checkpoint is not what was written, so that the run goes on from an older one.
    fn damaged(&self, reason: &pretrain_training::Error);

    /// All held-out samples were looked at.
    fn evaluated(&self, step: u64, evaluation: &Evaluation);

    /// Whether to write a checkpoint and end after this step. Any rank may say so.
    fn must_stop(&self) -> bool;
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Updates made.
    pub step: u64,
    /// Updates of the whole run.
    pub total: u64,
    /// Mean over the hidden tokens of the batch.
    pub masked_token_loss: f64,
    /// Mean over its samples.
    pub contrastive_loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradients before clipping.
    pub norm: f64,
    /// Samples of the batch, over all ranks.
    pub samples: u64,
    /// Seconds of the step.
    pub seconds: f64,
    /// Of these, this rank's wait for data.
    pub waited: f64,
    /// Share that the products make of what the processors could do in `model.precision`, of all ranks together. 0 on a GPU,
    /// whose peak is not measured.
    pub limit_share: f64,
}

/// Where a rank works.
#[derive(Debug, Clone)]
pub struct Workplace<'a> {
    /// The run's folder.
    pub run: &'a Path,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// Where its network computes.
    pub device: Device,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Updates made.
    pub step: u64,
    /// Whether all updates were made.
    pub is_done: bool,
    /// The last evaluation, if there was one.
    pub evaluation: Option<Evaluation>,
}

/// What a checkpoint keeps beside weights and optimiser: all else is a function of the settings and the step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    data: Standing,
}

/// Pre-trains the network of `start`.
///
/// All of a run is in the folder `work.run`: checkpoints, figures, and in the end the model folder `model`. With `work.resume` it
/// goes on from the newest good checkpoint and does what it would have done without stopping, to the bit. Each rank calls
/// this with the same arguments; only rank 0 writes.
///
/// # Errors
/// Numbers that are not finite, on all ranks and before anything is updated; a folder that holds a run already; a failed
/// read; a full disk; a rank that does not come. Whatever happens, the last checkpoint is good.
pub fn pretrain(
    settings: &Settings,
    settings_hash: &str,
    start: &Start,
    work: &Workplace<'_>,
    ranks: &dyn Collective,
    watch: &dyn Watch,
) -> Result<Outcome> {
    let Workplace { run, resume, device } = work;
    // ---- what is trained
    let (seed, config) = (settings.seed, &start.config);
    let precision = settings.model.precision;
    let parameters = Parameters::on(device, &start.tensors)?;
    let learner = Learner::new(config, &parameters, precision, settings.model.recompute)?;
    let mut optimiser = settings.optimiser.of(&parameters, ranks);
    let probes = Probes::new(&settings.run.probes, &start.tokenizer)?;

    // ---- where it stands
    let damaged = |reason: &pretrain_training::Error| watch.damaged(reason);
    let (checkpoints, goes_on_from) = Checkpoints::of_run(run, settings.run.keep, *resume, ranks, &damaged)?;
    let (mut step, mut standing) = (0, start.data.start());
    if let Some(checkpoint) = goes_on_from {
        parameters.restore(&checkpoint.tensors("model")?)?;
        optimiser.restore(&parameters, &checkpoint.tensors("optimiser")?)?;
        step = checkpoint.state().step;
        standing = checkpoint.progress::<Kept>()?.data;
    }
    require_same(ranks, "the checkpoint that they go on from", &format!("updates = {step}"))?;
    let mut metrics = (ranks.rank() == 0).then(|| Metrics::open(run, step)).transpose()?;

    // ---- what lies ahead
    let total = settings.schedule.steps;
    let rates = settings.rates();
    let share = Share {
        batch: settings.batch.size,
        micro: settings.batch.micro,
        rank: ranks.rank(),
        world: ranks.world(),
    };
    let mut loader = start.data.load(share, step, &standing)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut peak = [if device.is_cpu() { measured_peak(precision) } else { f64::INFINITY }];
    ranks.all_reduce_sum_f64(&mut peak)?;
    let mut evaluation = None;
    let mut is_asked_to_stop = false;

    while step < total && !is_asked_to_stop {
        let started = Instant::now();

        // ---- this rank's micro-batches, and what all ranks are asked together
        let waited_before = loader.waited();
        let mut micro_batches = Vec::new();
        for _ in 0..loader.per_step() {
            micro_batches.push(loader.micro_batch()?);
        }
        let waited = (loader.waited() - waited_before).as_secs_f64();
        let packed = micro_batches
            .iter()
            .map(|micro| Ok((Batch::pack(&micro.examples, config)?, Targets::of(&micro.examples))));
        let packed: Vec<(Batch, Targets)> = packed.collect::<Result<_>>()?;
        if let Some(last) = micro_batches.pop() {
            standing = last.after;
        }
        let mut counts = [0.0, 0.0, 0.0, f64::from(u8::from(watch.must_stop()))];
        for (batch, targets) in &packed {
            let [tokens, samples] = targets.counts();
            counts[0] += tokens as f64;
            counts[1] += samples as f64;
            counts[2] += training_operations(config, batch, tokens);
        }
        ranks.all_reduce_sum_f64(&mut counts)?;
        let [n_tokens, n_samples, operations, stop] = counts;
        is_asked_to_stop = stop > 0.0;

        // ---- gradients, added up over micro-batches and ranks
        gradients.clear();
        let mut losses = [0.0, 0.0];
        for (batch, targets) in &packed {
            let pass = Pass::Training { seed, step };
            let seen = learner.accumulate(batch, targets, [n_tokens, n_samples], pass, &mut gradients)?;
            losses = [losses[0] + seen.masked_token, losses[1] + seen.contrastive];
        }
        ranks.all_reduce_sum_f64(&mut losses)?;
        let masked_token_loss = losses[0] / n_tokens.max(1.0);
        let contrastive_loss = losses[1] / n_samples.max(1.0);
        require_finite(masked_token_loss, "the masked-token loss", step)?;
        require_finite(contrastive_loss, "the contrastive loss", step)?;
        gradients.all_reduce(ranks)?;

        // ---- the update
        let norm = gradients.clip(&parameters, settings.optimiser.clip, step)?;
        let rate = rates.rate(step);
        optimiser.step(&parameters, &gradients, rate)?;
        optimiser.share(&parameters, ranks)?;
        step += 1;

        // ---- everything below only tells and keeps
        let seconds = started.elapsed().as_secs_f64();
        let progress = Progress {
            step,
            total,
            masked_token_loss,
            contrastive_loss,
            rate,
            norm,
            samples: n_samples as u64,
            seconds,
            waited,
            limit_share: operations / seconds / peak[0],
        };
        watch.step(&progress);
        let is_last = step == total || is_asked_to_stop;
        if let Some(metrics) = metrics.as_mut().filter(|_| is_last || step % settings.run.log_every == 0) {
            metrics.record(step, "train", &progress.figures())?;
        }
        if let Some(held_out) =
            start.held_out.as_ref().filter(|_| step == total || step % settings.run.evaluate_every == 0)
        {
            let network = forgetful(&parameters, start, precision)?;
            let found = evaluate(&network, config, held_out, settings.batch.micro, &probes, ranks)?;
            if let Some(metrics) = &mut metrics {
                metrics.record(step, "eval", &found.figures())?;
                watch.evaluated(step, &found);
            }
            evaluation = Some(found);
        }
        if (is_last || step % settings.run.checkpoint_every == 0)
            && let Some(remembered) = optimiser.save_on(&parameters, ranks)?
        {
            let progress =
                serde_json::to_value(Kept { data: standing.clone() }).expect("numbers are always JSON");
            let state = State { step, seed, settings: settings_hash.to_owned(), progress };
            let files = BTreeMap::from([("model", parameters.on_host()), ("optimiser", remembered)]);
            checkpoints.commit(&state, &files, &|_| {})?;
        }
    }
    if ranks.rank() == 0 {
        let model = ModelFolder { config: config.clone(), tensors: parameters.on_host() };
        model.write(&run.join("model"))?;
        start.tokenizer.write(&run.join("model"))?;
    }
    // nobody leaves before the last checkpoint is there
    ranks.barrier()?;
    Ok(Outcome { step, is_done: step == total, evaluation })
}

/// The network over the same numbers, without memory of what it computes.
fn forgetful(parameters: &Parameters, start: &Start, precision: Precision) -> Result<PretrainingModel> {
    let detached: BTreeMap<_, _> =
        parameters.tensors().into_iter().map(|(name, tensor)| (name, tensor.detach())).collect();
    PretrainingModel::new(&start.config, Tensors::new(&detached).computing_in(precision))
}

impl Progress {
    fn figures(&self) -> [(&'static str, f64); 8] {
        [
            ("loss", self.masked_token_loss + self.contrastive_loss),
            ("masked_token_loss", self.masked_token_loss),
            ("contrastive_loss", self.contrastive_loss),
            ("rate", self.rate),
            ("gradient_norm", self.norm),
            ("samples_per_second", self.samples as f64 / self.seconds),
            ("data_wait_share", self.waited / self.seconds),
            ("limit_share", self.limit_share),
        ]
    }
}

impl Evaluation {
    fn figures(&self) -> Vec<(&str, f64)> {
        let mut figures = vec![
            ("masked_token_loss", self.masked_token_loss),
            ("contrastive_loss", self.contrastive_loss),
            ("word_accuracy", self.word_accuracy),
            ("tag_accuracy", self.tag_accuracy),
            ("contrastive_accuracy", self.contrastive_accuracy),
        ];
        figures.extend(self.probes.iter().map(|(name, share)| (name.as_str(), *share)));
        figures
    }
}
