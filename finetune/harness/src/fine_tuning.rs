//! THE loop of fine-tuning.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use pretrain::Result;
use pretrain::model::Pass;
use pretrain_comm::Collective;
use pretrain_training::{Checkpoints, Gradients, Metrics, Parameters, State, require_finite};
use serde::{Deserialize, Serialize};

use crate::batches::{Batches, Plan, Share};
use crate::settings::Settings;
use crate::task::{Scores, Task};

/// Whoever watches a training, from outside.
pub trait Watch: Sync {
    /// What is known of data and network before the first update, a line each.
    fn told(&self, line: &str);

    /// An update was made.
    fn step(&self, progress: &Progress);

    /// A checkpoint is not what was written, so that the run goes on from an older one.
    fn damaged(&self, reason: &pretrain_training::Error);

    /// All held-out samples were looked at.
    fn evaluated(&self, step: u64, scores: &Scores, is_best: bool);

    /// Whether to write a checkpoint and end after this update. Any rank may say so.
    fn must_stop(&self) -> bool;
}

/// One update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Updates made.
    pub step: u64,
    /// Updates of the whole run.
    pub total: u64,
    /// Passes over the data, with a fraction.
    pub epoch: f64,
    /// Mean over the samples of the batch.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradients before clipping.
    pub norm: f64,
    /// Samples of the batch, over all ranks.
    pub samples: u64,
    /// Seconds of the update.
    pub seconds: f64,
    /// Of these, this rank's wait for data.
    pub waited: f64,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Updates made.
    pub step: u64,
    /// Whether all updates were made.
    pub is_done: bool,
    /// The evaluation that the model was chosen by, if there was one.
    pub best: Option<Best>,
}

/// The best model so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Updates it was made by.
    pub step: u64,
    /// The task's score.
    pub score: f64,
    /// All scores.
    pub figures: BTreeMap<String, f64>,
}

/// What a checkpoint keeps beside weights and optimiser: all else is a function of the settings and the step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    best: Option<Best>,
}

/// Fine-tunes the network over `tensors`.
///
/// All of a run is in the folder `run`: checkpoints, figures, and the model folder `model`: the best one on the held-out
/// samples, or the last one where there are none. With `resume` it goes on from the newest good checkpoint and does what it
/// would have done without stopping, to the bit. Each rank calls this with the same arguments; only rank 0 writes.
///
/// # Errors
/// Numbers that are not finite, on all ranks and before anything is updated; a folder that holds a run already; a failed
/// read; a full disk; a rank that does not come. Whatever happens, the last checkpoint is good.
#[expect(clippy::too_many_arguments, reason = "each is another thing, and one caller names them all")]
pub fn fine_tune<T: Task, S>(
    settings: &Settings<S>,
    settings_hash: &str,
    task: &Arc<T>,
    tensors: &BTreeMap<String, Tensor>,
    run: &Path,
    resume: bool,
    ranks: &dyn Collective,
    watch: &dyn Watch,
) -> Result<Outcome> {
    // ---- what is trained
    let seed = settings.seed;
    let parameters = Parameters::on(&settings.run.device.open(ranks.rank())?, tensors)?;
    let network = task.network(&parameters.tensors())?;
    let mut optimiser = settings.optimiser.of(&parameters, ranks);

    // ---- where it stands
    let damaged = |reason: &pretrain_training::Error| watch.damaged(reason);
    let (checkpoints, goes_on_from) = Checkpoints::of_run(run, settings.run.keep, resume, ranks, &damaged)?;
    let (mut step, mut best): (u64, Option<Best>) = (0, None);
    if let Some(checkpoint) = goes_on_from {
        parameters.restore(&checkpoint.tensors("model")?)?;
        optimiser.restore(&parameters, &checkpoint.tensors("optimiser")?)?;
        step = checkpoint.state().step;
        best = checkpoint.progress::<Kept>()?.best;
    }
    let mut metrics = (ranks.rank() == 0).then(|| Metrics::open(run, step)).transpose()?;

    // ---- what lies ahead
    let plan = Plan::new(&task.n_samples(), seed, settings.batch, settings.schedule.epochs)?;
    let (total, per_epoch) = (plan.total(), plan.per_epoch());
    let rates = settings.rates(total);
    let share = Share { rank: ranks.rank(), world: ranks.world() };
    let reading = [settings.data.threads, settings.data.read_ahead];
    let mut batches = Batches::start(task, &plan, share, step, reading, run)?;
    let mut gradients = Gradients::zeros(&parameters);
    let evaluate_every = settings.run.evaluate_every.unwrap_or(per_epoch);
    let mut is_asked_to_stop = false;

    while step < total && !is_asked_to_stop {
        let started = Instant::now();
        let waited_before = batches.waited();

        // ---- gradients, added up over micro-batches and ranks
        let n_samples = plan.n_samples(step);
        gradients.clear();
        let mut sums = [0.0, f64::from(u8::from(watch.must_stop())), 0.0];
        for _ in plan.of_rank(step, share) {
            let examples = batches.next()?;
            let loss = task.loss(&network, &examples, Pass::Training { seed, step })?;
            sums[0] += f64::from(loss.to_scalar::<f32>()?);
            sums[2] += task.weight(&examples, step);
            gradients.backward(&parameters, &(loss / n_samples as f64)?)?;
        }
        ranks.all_reduce_sum_f64(&mut sums)?;
        let weight = sums[2].max(1.0);
        let loss = sums[0] / weight;
        is_asked_to_stop = sums[1] > 0.0;
        require_finite(loss, "the task's loss", step)?;
        gradients.all_reduce(ranks)?;
        if weight != n_samples as f64 {
            gradients.scale(n_samples as f64 / weight);
        }

        // ---- the update; its rate is that of the next step, as in the published scripts
        let norm = gradients.clip(&parameters, settings.optimiser.clip, step)?;
        let rate = rates.rate(step + 1);
        optimiser.step(&parameters, &gradients, rate)?;
        optimiser.share(&parameters, ranks)?;
        step += 1;

        // ---- everything below only tells, chooses and keeps
        let progress = Progress {
            step,
            total,
            epoch: step as f64 / per_epoch as f64,
            loss,
            rate,
            norm,
            samples: n_samples,
            seconds: started.elapsed().as_secs_f64(),
            waited: (batches.waited() - waited_before).as_secs_f64(),
        };
        watch.step(&progress);
        let is_last = step == total || is_asked_to_stop;
        if let Some(metrics) = metrics.as_mut().filter(|_| is_last || step % settings.run.log_every == 0) {
            metrics.record(step, "train", &progress.figures())?;
        }
        if (step == total || step % evaluate_every == 0)
            && let Some(scores) = task.evaluate(&forgetful(task.as_ref(), &parameters)?, ranks)?
        {
            let is_best = best.as_ref().is_none_or(|best| scores.main > best.score);
            if let Some(metrics) = &mut metrics {
                let figures: Vec<(&str, f64)> =
                    scores.figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                metrics.record(step, "eval", &figures)?;
                watch.evaluated(step, &scores, is_best);
            }
            if is_best {
                best = Some(Best { step, score: scores.main, figures: scores.figures });
                if ranks.rank() == 0 {
                    task.write(parameters.on_host(), &run.join("model"))?;
                }
            }
        }
        if (is_last || step % settings.run.checkpoint_every == 0)
            && let Some(remembered) = optimiser.save_on(&parameters, ranks)?
        {
            let progress =
                serde_json::to_value(Kept { best: best.clone() }).expect("numbers are always JSON");
            let state = State { step, seed, settings: settings_hash.to_owned(), progress };
            let files = BTreeMap::from([("model", parameters.on_host()), ("optimiser", remembered)]);
            checkpoints.commit(&state, &files, &|_| {})?;
        }
    }
    if ranks.rank() == 0 && best.is_none() {
        task.write(parameters.on_host(), &run.join("model"))?;
    }
    // nobody leaves before the last checkpoint is there
    ranks.barrier()?;
    Ok(Outcome { step, is_done: step == total, best })
}

/// The network over the same numbers, without memory of what it computes.
fn forgetful<T: Task>(task: &T, parameters: &Parameters) -> Result<T::Network> {
    task.network(&parameters.tensors().into_iter().map(|(name, tensor)| (name, tensor.detach())).collect())
}

impl Progress {
    fn figures(&self) -> [(&'static str, f64); 6] {
        [
            ("loss", self.loss),
            ("rate", self.rate),
            ("gradient_norm", self.norm),
            ("epoch", self.epoch),
            ("samples_per_second", self.samples as f64 / self.seconds),
            ("data_wait_share", self.waited / self.seconds),
        ]
    }
}
