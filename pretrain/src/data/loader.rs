//! Micro-batches, ahead of the training.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::examples::Maker;
use super::feed::Feed;
use super::order::{Drawn, Epochs, Mix, Standing};
use crate::{Error, Example, Result};

/// Which part of each global batch is read here. The batch is cut into consecutive micro-batches; number i is rank
/// `i % world`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Samples of a step, over all ranks.
    pub batch: u64,
    /// Samples of a micro-batch; the last one of a step may have fewer.
    pub micro: u64,
    /// This rank, from 0.
    pub rank: usize,
    /// Number of ranks; at most the number of micro-batches.
    pub world: usize,
}

/// One micro-batch of this rank.
#[derive(Debug, Clone, PartialEq)]
pub struct MicroBatch {
    /// Updates made before the one that it is for.
    pub step: u64,
    /// Its number in the step's batch.
    pub number: u64,
    /// Its samples; their places are those in the step's batch.
    pub examples: Vec<Example>,
    /// Where the training stands once the whole step is done: what the step's checkpoint keeps.
    pub after: Standing,
}

/// Gives the micro-batches of one rank, step after step without end.
///
/// Threads make them ahead of the training; dropping the loader ends them.
#[derive(Debug)]
pub struct Loader {
    feed: Feed<MicroBatch>,
    per_step: u64,
}

/// The step that draws of evaluation are made at; no training gets there.
pub(super) const HELD_OUT_STEP: u32 = u32::MAX;

impl Share {
    fn validate(&self) -> Result<()> {
        let refuse = |problem: String, hint: &str| {
            Err(Error::Setting { key: "batch".to_owned(), problem, hint: hint.to_owned() })
        };
        if self.batch == 0 || self.micro == 0 || self.micro > self.batch || self.batch > u64::from(u32::MAX) {
            let problem =
                format!("of {} samples cannot be cut into micro-batches of {}", self.batch, self.micro);
            return refuse(
                problem,
                "a micro-batch has 1 sample at least, a batch as many as a micro-batch at least",
            );
        }
        if self.rank >= self.world || self.world as u64 > self.n_micro() {
            let (n, world, rank) = (self.n_micro(), self.world, self.rank);
            let problem = format!("has {n} micro-batches, too few for rank {rank} of {world}");
            return refuse(problem, "every rank needs one: take smaller micro-batches or fewer ranks");
        }
        Ok(())
    }

    fn n_micro(&self) -> u64 {
        self.batch.div_ceil(self.micro)
    }

    /// Numbers of this rank's micro-batches in a step.
    fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        (self.rank as u64..self.n_micro()).step_by(self.world)
    }
}

impl Loader {
    pub(super) fn start(
        maker: &Arc<Maker>,
        mix: &Arc<Mix>,
        share: Share,
        step: u64,
        standing: &Standing,
        [n_threads, ahead]: [usize; 2],
        folder: &Path,
    ) -> Result<Loader> {
        share.validate()?;
        mix.check(standing)?;
        if standing.samples != step * share.batch {
            let problem = format!(
                "was {} samples a step up to step {step}",
                standing.samples as f64 / step.max(1) as f64
            );
            let hint = "resume with the batch.size of the run";
            return Err(Error::Setting { key: "batch.size".to_owned(), problem, hint: hint.to_owned() });
        }
        let feed = Feed::start(n_threads, ahead, folder, |thread| Work {
            maker: maker.clone(),
            mix: mix.clone(),
            share,
            step,
            standing: standing.clone(),
            batch: Vec::new(),
            numbers: VecDeque::new(),
            turn: thread,
            n_threads,
            epochs: Epochs::default(),
            bytes: Vec::new(),
        })?;
        Ok(Loader { feed, per_step: share.numbers().count() as u64 })
    }

    /// The next micro-batch of this rank: [`per_step`](Loader::per_step) of them, then those of the next step.
    ///
    /// # Errors
    /// A shard that is missing or damaged, a failed read, with file and row.
    ///
    /// # Panics
    /// After an error: there is nothing more to ask for.
    pub fn micro_batch(&mut self) -> Result<MicroBatch> {
        self.feed.take().expect("micro-batches are without end; after an error nobody asks for more")
    }

    /// Micro-batches of this rank in a step.
    pub fn per_step(&self) -> u64 {
        self.per_step
    }

    /// How long the training has waited for data so far.
    pub fn waited(&self) -> Duration {
        self.feed.waited()
    }
}

/// The micro-batches of one thread: of those of the rank, counted through all steps, every `n_threads`-th.
struct Work {
    maker: Arc<Maker>,
    mix: Arc<Mix>,
    share: Share,
    /// The next step to be drawn; `batch` and `numbers` are of the one before.
    step: u64,
    standing: Standing,
    batch: Vec<Drawn>,
    /// Micro-batches of the rank that are still to come in this step.
    numbers: VecDeque<u64>,
    /// Micro-batches that other threads make before the next one here.
    turn: usize,
    n_threads: usize,
    epochs: Epochs,
    bytes: Vec<u8>,
}

impl Work {
    fn make(&mut self, number: u64) -> Result<MicroBatch> {
        let step = self.step - 1;
        let draws_at = u32::try_from(step).ok().filter(|step| *step < HELD_OUT_STEP);
        let draws_at = draws_at.ok_or_else(|| Error::Setting {
            key: "schedule".to_owned(),
            problem: format!("comes to step {step}; random draws know 2^32 - 1 steps"),
            hint: "take larger batches".to_owned(),
        })?;
        let first = number * self.share.micro;
        let end = (first + self.share.micro).min(self.share.batch);
        let mut examples = Vec::with_capacity((end - first) as usize);
        for place in first..end {
            let text = self.mix.text(self.batch[place as usize], &mut self.epochs);
            examples.push(self.maker.example(text, draws_at, place as u32, &mut self.bytes)?);
        }
        Ok(MicroBatch { step, number, examples, after: self.standing.clone() })
    }
}

impl Iterator for Work {
    type Item = Result<MicroBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(number) = self.numbers.pop_front() {
                if self.turn == 0 {
                    self.turn = self.n_threads - 1;
                    return Some(self.make(number));
                }
                self.turn -= 1;
            }
            self.batch.clear();
            self.batch.extend((0..self.share.batch).map(|_| self.mix.next(&mut self.standing)));
            self.numbers.extend(self.share.numbers());
            self.step += 1;
        }
    }
}
