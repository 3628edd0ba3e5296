//! THE loop of classification.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use data_specs::{OrderOptions, SampleOrder};
use pretrain_comm::Collective;
use pretrain_kernels::soft_cross_entropy;
use pretrain_training::{Checkpoints, Gradients, Metrics, Optimiser, State, WeightAverage};
use serde::{Deserialize, Serialize};

use super::evaluate::{Evaluation, evaluate};
use super::learner::{Learner, Seen};
use super::pictures::{LabelledPictures, Pixels, Unreadable, View};
use super::settings::Settings;
use super::targets::smoothed;
use super::trained::Card;
use super::{Error, Result};
use crate::training_pass::TrainingPass;

/// Whoever watches a training, from outside.
pub trait Watch: Sync {
    /// A step was taken.
    fn step(&self, progress: &Progress);

    /// A checkpoint is not what was written, so that the run goes on from an older one.
    fn damaged(&self, reason: &pretrain_training::Error);

    /// A picture was left out.
    fn unreadable(&self, picture: &Unreadable);

    /// All pictures for evaluation were looked at.
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
    /// Epochs begun or done.
    pub epoch: f64,
    /// Mean loss of the batch.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradients before clipping.
    pub norm: f64,
    /// Pictures of the batch.
    pub pictures: u64,
    /// Seconds of the step.
    pub seconds: f64,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Updates made.
    pub step: u64,
    /// Whether all updates were made.
    pub is_done: bool,
    /// The last evaluation, if there was one.
    pub evaluation: Option<Evaluation>,
}

/// What a checkpoint keeps beside weights and optimiser: all else is a function of the settings and the step.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    unreadable: BTreeSet<u64>,
}

/// Trains a network on `pictures` and, from time to time, looks how good it is on `held_out`.
///
/// All of a run is in the folder `run`: checkpoints, figures, `network.json`. With `resume` it goes on from the newest good
/// checkpoint and does what it would have done without stopping, to the bit. Each rank calls this with the same
/// arguments; only rank 0 writes.
///
/// # Errors
/// Settings, classes or weights that do not fit; numbers that are not finite, with step and layer; a folder that holds
/// a run already; too many unreadable pictures; a full disk; a rank that does not come. Whatever happens, the last
/// checkpoint is good.
#[expect(clippy::too_many_arguments, reason = "everything that a run is, once, where it starts")]
pub fn train(
    settings: &Settings,
    settings_hash: &str,
    pictures: &dyn LabelledPictures,
    held_out: Option<&dyn LabelledPictures>,
    run: &Path,
    resume: bool,
    ranks: &dyn Collective,
    watch: &dyn Watch,
) -> Result<Outcome> {
    // ---- what is trained
    settings.validate()?;
    let (seed, n_pictures, side) = (settings.seed, pictures.n_pictures(), pictures.side());
    let n_classes = pictures.classes().len();
    if let Some(held_out) = held_out.filter(|held_out| held_out.classes() != pictures.classes()) {
        return Err(Error::Classes {
            what: "the pictures for evaluation have".to_owned(),
            found: held_out.classes().len(),
            expected: n_classes,
            hint: "both need the same classes, by name",
        });
    }
    let learner = Learner::start(&settings.network, seed, n_classes)?;
    let mut optimiser =
        Optimiser::new(settings.optimiser.rule, learner.parameters(), |parameter| settings.group(parameter));
    let mut average =
        settings.optimiser.average.map(|decay| WeightAverage::new(decay, &learner.weights())).transpose()?;

    // ---- where it stands
    let damaged = |reason: &pretrain_training::Error| watch.damaged(reason);
    let (checkpoints, goes_on_from) = Checkpoints::of_run(run, settings.run.keep, resume, ranks, &damaged)?;
    let (mut step, mut standing) = (0, Standing::default());
    if let Some(checkpoint) = goes_on_from {
        learner.set_weights(&checkpoint.tensors("model")?)?;
        optimiser.restore(learner.parameters(), &checkpoint.tensors("optimiser")?)?;
        if let Some(average) = &mut average {
            average.restore(checkpoint.tensors("average")?)?;
        }
        step = checkpoint.state().step;
        standing = checkpoint.progress()?;
    }
    let mut metrics = if ranks.rank() == 0 {
        Card::new(learner.backbone(), pictures.classes()).keep_in(run)?;
        Some(Metrics::open(run, step)?)
    } else {
        None
    };

    // ---- what lies ahead
    let total = settings.n_steps(n_pictures);
    let rates = settings.rates(n_pictures);
    let order = SampleOrder::new(&[n_pictures], seed, OrderOptions::default())?;
    let mut epoch_order = (0, order.epoch(0));
    let evaluate_every =
        (settings.run.evaluate_every * settings.steps_per_epoch(n_pictures)).round().max(1.0) as u64;
    let mut gradients = Gradients::zeros(learner.parameters());
    let mut evaluation = None;
    let mut is_asked_to_stop = false;

    while step < total && !is_asked_to_stop {
        let started = Instant::now();

        // ---- this step's pictures: the next places of an endless sequence of permuted epochs
        let first = step * settings.batch.size;
        let mut batch = Vec::with_capacity(settings.batch.size as usize);
        for place in first..first + settings.batch.size {
            let epoch = place / n_pictures;
            if epoch_order.0 != epoch {
                epoch_order = (epoch, order.epoch(epoch));
            }
            let row = epoch_order.1.at(place % n_pictures).map_or(0, |row| row.row);
            batch.push((row, View::Training { epoch: epoch as u32 }));
        }

        // ---- gradients of this rank's micro-batches, added up
        gradients.clear();
        let mut seen: Seen = learner.nothing_seen();
        let (mut loss, mut n_seen) = (0.0, 0.0);
        let mut newly_unreadable = Vec::new();
        let micro_batches = batch.chunks(settings.batch.micro as usize).enumerate();
        for (number, wanted) in micro_batches.filter(|(i, _)| i % ranks.world() == ranks.rank()) {
            let mut pixels = Pixels::load(pictures, wanted);
            for (picture, reason) in std::mem::take(&mut pixels.unreadable) {
                watch.unreadable(&reason);
                newly_unreadable.push((picture, reason));
            }
            if pixels.is_empty() {
                continue;
            }
            let n = pixels.len();
            let mut targets = smoothed(&pixels.labels, n_classes, settings.loss.label_smoothing);
            let draws = [seed, step, number as u64];
            settings.loss.mixing.apply(&mut pixels.values, &mut targets, [side, n_classes], draws);
            let first_place = number as u64 * settings.batch.micro;
            let places = pixels.places.iter().map(|place| first_place + *place as u64).collect();
            let targets_bk = Tensor::from_vec(targets, (n, n_classes), &Device::Cpu)?;

            let network = &settings.network;
            let pass = TrainingPass::new(seed, step, places, network.drop_connect, network.dropout);
            let forward = learner.forward(&pixels.tensor(side)?, &pass)?;
            let sum = soft_cross_entropy(&forward.logits_bk, &targets_bk)?.sum_all()?;
            let value = f64::from(sum.to_scalar::<f32>()?);
            if !value.is_finite() {
                let layer = pass.first_not_finite().unwrap_or_else(|| "the classifier".to_owned());
                return Err(Error::NotFinite { step, loss: value / n as f64, layer });
            }
            forward.backward(&sum, &mut gradients)?;
            learner.see(&mut seen, &pass.into_statistics(), n);
            (loss, n_seen) = (loss + value, n_seen + n as f64);
        }

        // ---- what all ranks have together
        let mut sums = [loss, n_seen, f64::from(u8::from(watch.must_stop()))];
        ranks.all_reduce_sum_f64(&mut sums)?;
        let ids: Vec<f64> = newly_unreadable.iter().map(|(picture, _)| *picture as f64).collect();
        standing.unreadable.extend(ranks.gather(&ids)?.iter().flatten().map(|picture| *picture as u64));
        let n_unreadable = standing.unreadable.len();
        if n_unreadable as f64 > settings.run.unreadable * n_pictures as f64 || sums[1] == 0.0 {
            let last = newly_unreadable.last().map(|(_, bad)| format!("{}: {}", bad.name, bad.reason));
            return Err(Error::Unreadable {
                unreadable: n_unreadable,
                pictures: n_pictures,
                allowed: settings.run.unreadable,
                last: last.unwrap_or_else(|| "with another rank".to_owned()),
            });
        }
        let (loss, n_seen) = (sums[0] / sums[1], sums[1]);
        is_asked_to_stop = sums[2] > 0.0;
        gradients.all_reduce(ranks)?;
        gradients.scale(1.0 / n_seen);

        // ---- the update
        let norm = gradients.clip(learner.parameters(), settings.optimiser.clip, step)?;
        let rate = rates.rate(step);
        optimiser.step(learner.parameters(), &gradients, rate)?;
        learner.move_statistics(seen, n_seen, ranks)?;
        if let Some(average) = &mut average {
            average.update(&learner.weights())?;
        }
        step += 1;

        // ---- everything below only tells and keeps
        let seconds = started.elapsed().as_secs_f64();
        let epoch = (step * settings.batch.size) as f64 / n_pictures as f64;
        watch.step(&Progress { step, total, epoch, loss, rate, norm, pictures: n_seen as u64, seconds });
        let is_last = step == total || is_asked_to_stop;
        if let Some(metrics) = metrics.as_mut().filter(|_| is_last || step % settings.run.log_every == 0) {
            let figures = [
                ("loss", loss),
                ("rate", rate),
                ("gradient_norm", norm),
                ("epoch", epoch),
                ("unreadable", n_unreadable as f64),
                ("pictures_per_second", n_seen / seconds),
            ];
            metrics.record(step, "train", &figures)?;
        }
        if let Some(held_out) = held_out.filter(|_| step == total || step % evaluate_every == 0) {
            let weights = match &average {
                Some(average) => average.tensors()?,
                None => learner.fixed_weights(),
            };
            let backbone = learner.with_weights(&weights)?;
            let found = evaluate(&backbone, held_out, settings.batch.micro, settings.run.unreadable, ranks)?;
            if let Some(metrics) = &mut metrics {
                let figures = [("top1", found.top1), ("top5", found.top5), ("loss", found.loss)];
                metrics.record(step, "eval", &figures)?;
                watch.evaluated(step, &found);
            }
            evaluation = Some(found);
        }
        if ranks.rank() == 0 && (is_last || step % settings.run.checkpoint_every == 0) {
            let progress = serde_json::to_value(&standing).expect("numbers are always JSON");
            let state = State { step, seed, settings: settings_hash.to_owned(), progress };
            let mut files = BTreeMap::from([
                ("model", learner.weights()),
                ("optimiser", optimiser.save(learner.parameters())?),
            ]);
            if let Some(average) = &average {
                files.insert("average", average.save()?);
            }
            checkpoints.commit(&state, &files, &|_| {})?;
        }
    }
    // nobody leaves before the last checkpoint is there
    ranks.barrier()?;
    Ok(Outcome { step, is_done: step == total, evaluation })
}
