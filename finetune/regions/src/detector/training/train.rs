//! THE loop of detection.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use candle_core::Tensor;
use finetune_backbones::training::Unreadable;
use pretrain_comm::Collective;
use pretrain_training::{
    Checkpoints, Generator, Gradients, Metrics, Optimiser, State, Stream, WeightAverage, require_finite,
};
use serde::{Deserialize, Serialize};

use super::learner::{Learner, Seen};
use super::losses::{Draws, LOSSES, Objects, of_picture};
use super::settings::TrainingSettings;
use crate::Error;
use crate::detector::training_picture::{BoxCounts, TrainingPicture, TrainingPictures};
use crate::detector::{Detector, DetectorSettings};

/// Whoever watches a training, from outside.
pub trait Watch: Sync {
    /// An update was made.
    fn step(&self, progress: &Progress);

    /// A checkpoint is not what was written, so that the run goes on from an older one.
    fn damaged(&self, reason: &pretrain_training::Error);

    /// A picture was left out.
    fn unreadable(&self, picture: &Unreadable);

    /// Whether to write a checkpoint and end after this update. Any rank may say so.
    fn must_stop(&self) -> bool;
}

/// One update.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Updates made.
    pub step: u64,
    /// Updates of the whole run.
    pub total: u64,
    /// Epochs begun or done.
    pub epoch: f64,
    /// Each loss by name, and `loss`, which is what is minimised.
    pub losses: Vec<(&'static str, f64)>,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradients before clipping.
    pub norm: f64,
    /// Pictures of the update.
    pub pictures: u64,
    /// Seconds of the update.
    pub seconds: f64,
}

/// How a training ended.
#[derive(Debug)]
pub struct Outcome {
    /// Updates made.
    pub step: u64,
    /// Whether all updates were made.
    pub is_done: bool,
    /// What became of the boxes that this process has seen.
    pub boxes: BoxCounts,
    /// The detector as it is now: of averages, if there are any.
    pub detector: Detector,
}

/// A run's folder and how it is entered.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The folder: checkpoints and figures.
    pub folder: &'a Path,
    /// BLAKE3 of the settings, which a checkpoint keeps.
    pub settings_hash: &'a str,
    /// Whether to go on from the newest good checkpoint.
    pub resume: bool,
}

/// What a checkpoint keeps beside weights and optimiser: all else is a function of the settings and the update.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    unreadable: u64,
}

/// Trains a detector.
///
/// All of a run is in its folder: checkpoints, figures. With `resume` it goes on from the newest good checkpoint and does
/// what it would have done without stopping, to the bit. Each rank calls this with the same arguments; only rank 0 writes.
///
/// # Errors
/// Settings, names or weights that do not fit; numbers that are not finite; a parameter that no loss reaches; a folder that
/// holds a run already; too many unreadable pictures; a full disk; a rank that does not come. Whatever happens, the last
/// checkpoint is good.
pub fn train(
    settings: &TrainingSettings,
    pictures: &dyn TrainingPictures,
    run: Run<'_>,
    ranks: &dyn Collective,
    watch: &dyn Watch,
) -> Result<Outcome, Error> {
    // ---- what is trained
    settings.validate()?;
    let (seed, n_samples) = (settings.seed, pictures.n_samples());
    let (classes, attributes) = (pictures.classes(), attributes_of(settings, pictures)?);
    if n_samples == 0 || classes.is_empty() {
        return Err(Error::setting(
            "the pictures",
            "are none, or have no classes; there is nothing to learn".to_owned(),
        ));
    }
    if ranks.world() as u64 > settings.pictures {
        let problem =
            format!("is {}, fewer than the {} ranks that share them", settings.pictures, ranks.world());
        return Err(Error::setting("pictures", problem));
    }
    let learner = Learner::start(settings, classes, attributes)?;
    let mut optimiser =
        Optimiser::new(settings.optimiser.rule, learner.parameters(), |parameter| settings.group(parameter));
    let mut average =
        settings.optimiser.average.map(|decay| WeightAverage::new(decay, &learner.weights())).transpose()?;

    // ---- where it stands
    let damaged = |reason: &pretrain_training::Error| watch.damaged(reason);
    let (checkpoints, goes_on_from) =
        Checkpoints::of_run(run.folder, settings.run.keep, run.resume, ranks, &damaged)?;
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
    let mut metrics = (ranks.rank() == 0).then(|| Metrics::open(run.folder, step)).transpose()?;

    // ---- what lies ahead
    let (total, rates) = (settings.schedule.updates, settings.rates());
    let mut gradients = Gradients::zeros(learner.parameters());
    let mut boxes = BoxCounts::default();
    let mut is_asked_to_stop = false;

    while step < total && !is_asked_to_stop {
        let started = Instant::now();

        // ---- forward: this rank's pictures, each by itself
        let mut of_pictures = Vec::new();
        let mut seen: Seen = learner.nothing_seen();
        let mut n_unreadable = 0.0;
        for place in
            (0..settings.pictures).filter(|place| place % ranks.world() as u64 == ranks.rank() as u64)
        {
            let number = step * settings.pictures + place;
            let (epoch, at) = ((number / n_samples) as u32, number % n_samples);
            let sample = match pictures.sample(epoch, at) {
                Ok(sample) => sample,
                Err(reason) => {
                    watch.unreadable(&reason);
                    n_unreadable += 1.0;
                    continue;
                }
            };
            let name = || format!("sample {at} of epoch {epoch}");
            let sample = sample.checked([classes.len(), pictures.attributes().len()], &name, &mut boxes)?;
            let short = short_side(settings, number);
            let ready =
                settings.detector.input.ready(&sample.picture, short, settings.detector.convention)?;
            let objects = scaled(&sample, ready.scale, &settings.detector);
            let draws = Draws { seed, step, place };
            let pass = learner.pass(seed, step, place);
            of_pictures.push(of_picture(
                learner.network(),
                settings,
                &ready,
                &objects,
                draws,
                pass.as_ref(),
            )?);
            if let Some(pass) = pass {
                learner.see(&mut seen, &pass.into_statistics());
            }
        }

        // ---- what all ranks have together
        let n_losses = if settings.detector.attributes.is_some() { LOSSES.len() } else { LOSSES.len() - 1 };
        let mut together = vec![0.0; 2 * n_losses + 3];
        for sums in &of_pictures {
            for (i, (loss, count)) in sums.losses.iter().zip(&sums.counts).enumerate() {
                together[i] += f64::from(loss.to_scalar::<f32>()?);
                together[n_losses + i] += count;
            }
        }
        together[2 * n_losses] = of_pictures.len() as f64;
        together[2 * n_losses + 1] = n_unreadable;
        together[2 * n_losses + 2] = f64::from(u8::from(watch.must_stop()));
        ranks.all_reduce_sum_f64(&mut together)?;
        let (sums, rest) = together.split_at(n_losses);
        let (counts, rest) = rest.split_at(n_losses);
        let n_seen = rest[0];
        standing.unreadable += rest[1] as u64;
        is_asked_to_stop = rest[2] > 0.0;
        let so_far = (step + 1) * settings.pictures;
        if n_seen == 0.0 || standing.unreadable as f64 > (settings.run.unreadable * so_far as f64).max(1.0) {
            let problem = format!(
                "of {so_far} pictures {} cannot be read, more than the share of {}; mend the data or raise run.unreadable",
                standing.unreadable, settings.run.unreadable
            );
            return Err(Error::Sample { picture: "the pictures so far".to_owned(), problem });
        }
        // a loss of which there is nothing in all pictures is 0
        let shares: Vec<f64> = counts.iter().map(|count| 1.0 / count.max(1.0)).collect();
        let weight = |i: usize| if i == LOSSES.len() - 1 { settings.losses.attributes } else { 1.0 };
        let mut losses: Vec<(&str, f64)> = LOSSES
            .iter()
            .zip(sums.iter().zip(&shares))
            .map(|(name, (sum, share))| (*name, sum * share))
            .collect();
        let loss: f64 = losses.iter().enumerate().map(|(i, (_, loss))| weight(i) * loss).sum();
        losses.push(("loss", loss));
        for (name, value) in &losses {
            require_finite(*value, name, step)?;
        }

        // ---- backward
        gradients.clear();
        let mut parts = Vec::new();
        for sums in &of_pictures {
            for (i, loss) in sums.losses.iter().enumerate() {
                parts.push((loss * (weight(i) * shares[i]))?);
            }
        }
        // a rank may have nothing to read in an update; then it has nothing to add
        if !parts.is_empty() {
            gradients.backward(learner.parameters(), &Tensor::stack(&parts, 0)?.sum_all()?)?;
        }
        drop((parts, of_pictures));
        gradients.all_reduce(ranks)?;

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
        let epoch = (step * settings.pictures) as f64 / n_samples as f64;
        let is_last = step == total || is_asked_to_stop;
        if let Some(metrics) = metrics.as_mut().filter(|_| is_last || step % settings.run.log_every == 0) {
            let mut figures = losses.clone();
            figures.extend([
                ("rate", rate),
                ("gradient_norm", norm),
                ("epoch", epoch),
                ("unreadable", standing.unreadable as f64),
                ("boxes_clamped", boxes.clamped as f64),
                ("boxes_empty", boxes.empty as f64),
                ("pictures_per_second", n_seen / seconds),
            ]);
            metrics.record(step, "train", &figures)?;
        }
        watch.step(&Progress { step, total, epoch, losses, rate, norm, pictures: n_seen as u64, seconds });
        if ranks.rank() == 0 && (is_last || step % settings.run.checkpoint_every == 0) {
            let progress = serde_json::to_value(&standing).expect("numbers are always JSON");
            let state = State { step, seed, settings: run.settings_hash.to_owned(), progress };
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
    let weights = match &average {
        Some(average) => average.tensors()?,
        None => learner.weights(),
    };
    // copies: the parameters are this run's
    let weights = weights.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?.detach())));
    let weights = weights.collect::<Result<BTreeMap<_, _>, Error>>()?;
    let names = [classes.to_vec(), attributes.to_vec()];
    let detector = Detector::new(settings.detector.clone(), names, weights)?;
    Ok(Outcome { step, is_done: step == total, boxes, detector })
}

/// The attributes that are learned: none without a branch for them.
fn attributes_of<'a>(
    settings: &TrainingSettings,
    pictures: &'a dyn TrainingPictures,
) -> Result<&'a [String], Error> {
    match settings.detector.attributes {
        Some(_) if pictures.attributes().is_empty() => {
            let problem =
                "asks for a branch for attributes, but the pictures have none; leave the section out";
            Err(Error::setting("detector.attributes", problem.to_owned()))
        }
        Some(_) => Ok(pictures.attributes()),
        None => Ok(&[]),
    }
}

/// The short side that a sample is brought to.
fn short_side(settings: &TrainingSettings, number: u64) -> u32 {
    /// Away from what else is drawn for a sample in this stream.
    const SIDES: u64 = 1 << 62;
    match settings.short_sides.as_slice() {
        [] => settings.detector.input.short,
        sides => {
            let generator = Generator::new(settings.seed, Stream::Augmentation, 0);
            sides[generator.below(SIDES + number, sides.len() as u64) as usize]
        }
    }
}

/// What is in a sample, in pixels of the prepared picture; of attributes no more than are learned from.
fn scaled(sample: &TrainingPicture, [wider, higher]: [f32; 2], detector: &DetectorSettings) -> Objects {
    let at_most = detector.attributes.map_or(0, |attributes| attributes.at_most);
    let some = |attributes: &Vec<usize>| {
        let mut attributes = attributes.clone();
        attributes.sort_unstable();
        attributes.dedup();
        attributes.truncate(at_most);
        attributes
    };
    Objects {
        boxes: sample
            .boxes
            .iter()
            .map(|[x1, y1, x2, y2]| [x1 * wider, y1 * higher, x2 * wider, y2 * higher])
            .collect(),
        classes: sample.classes.clone(),
        attributes: sample.attributes.iter().map(some).collect(),
    }
}
