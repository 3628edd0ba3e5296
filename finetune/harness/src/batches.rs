//! Which samples an update reads: pure functions of the step.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_specs::{EpochOrder, OrderOptions, RowId, SampleOrder};
use pretrain::data::Feed;
use pretrain::train::BatchSettings;
use pretrain::{Error, Result};

use crate::task::Task;

/// The updates of a run. Each epoch is one permutation of all samples; its last batch has what is left over.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    order: Arc<SampleOrder>,
    batch: BatchSettings,
    per_epoch: u64,
    total: u64,
}

/// Which part of each batch is computed here: of its micro-batches those whose number is `rank` modulo `world`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) rank: usize,
    pub(crate) world: usize,
}

/// The micro-batches of one rank, made ahead in other threads.
#[derive(Debug)]
pub(crate) struct Batches<E> {
    feed: Feed<Vec<E>>,
}

impl Plan {
    pub(crate) fn new(n_samples: &[u64], seed: u64, batch: BatchSettings, epochs: u64) -> Result<Self> {
        let order = SampleOrder::new(n_samples, seed, OrderOptions::default())?;
        let per_epoch = order.len().div_ceil(batch.size);
        let total = per_epoch * epochs;
        if total >= u64::from(u32::MAX) {
            return Err(Error::Setting {
                key: "schedule.epochs".to_owned(),
                problem: format!("come to {total} updates; random draws know 2^32 - 1 steps"),
                hint: "take larger batches or fewer epochs".to_owned(),
            });
        }
        Ok(Self { order: Arc::new(order), batch, per_epoch, total })
    }

    /// Updates of the whole run.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Updates of an epoch.
    pub(crate) fn per_epoch(&self) -> u64 {
        self.per_epoch
    }

    /// Samples of an update, over all ranks.
    pub(crate) fn n_samples(&self, step: u64) -> u64 {
        let first = step % self.per_epoch * self.batch.size;
        self.batch.size.min(self.order.len() - first)
    }

    /// Micro-batches of an update that are this rank's; in the last batch of an epoch there may be none.
    pub(crate) fn of_rank(&self, step: u64, share: Share) -> impl Iterator<Item = u64> + use<> {
        let n_micro = self.n_samples(step).div_ceil(self.batch.micro);
        (share.rank as u64..n_micro).step_by(share.world)
    }
}

impl<E: Send + 'static> Batches<E> {
    /// Micro-batches from those of update `step` on; `folder` is named if the system has no more threads.
    pub(crate) fn start<T: Task<Example = E>>(
        task: &Arc<T>,
        plan: &Plan,
        share: Share,
        step: u64,
        [n_threads, ahead]: [usize; 2],
        folder: &Path,
    ) -> Result<Self> {
        let feed = Feed::start(n_threads, ahead, folder, |thread| Work {
            task: task.clone(),
            plan: plan.clone(),
            share,
            step,
            numbers: VecDeque::new(),
            turn: thread,
            n_threads,
            epoch: None,
        })?;
        Ok(Self { feed })
    }

    /// The next micro-batch of this rank.
    pub(crate) fn next(&mut self) -> Result<Vec<E>> {
        self.feed.take().expect("the loop asks for no more than the plan has, and not after an error")
    }

    /// How long the training has waited for data so far.
    pub(crate) fn waited(&self) -> Duration {
        self.feed.waited()
    }
}

/// The micro-batches of one thread: of those of the rank, counted through all updates, every `n_threads`-th.
struct Work<T> {
    task: Arc<T>,
    plan: Plan,
    share: Share,
    /// The next update whose micro-batches are counted; `numbers` are of the one before.
    step: u64,
    numbers: VecDeque<u64>,
    /// Micro-batches that other threads make before the next one here.
    turn: usize,
    n_threads: usize,
    epoch: Option<(u64, EpochOrder)>,
}

impl<T: Task> Work<T> {
    fn make(&mut self, step: u64, number: u64) -> Result<Vec<T::Example>> {
        let plan = &self.plan;
        let (epoch, in_epoch) = (step / plan.per_epoch, step % plan.per_epoch);
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, plan.order.epoch(epoch)));
        }
        let (_, order) = self.epoch.as_ref().expect("put there just now");
        let first = number * plan.batch.micro;
        let end = (first + plan.batch.micro).min(plan.n_samples(step));
        let example = |place: u64| {
            let position = in_epoch * plan.batch.size + place;
            let sample: RowId = order.at(position).expect("positions stay inside the epoch");
            self.task.example(sample, step as u32, place as u32)
        };
        (first..end).map(example).collect()
    }
}

impl<T: Task> Iterator for Work<T> {
    type Item = Result<Vec<T::Example>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(number) = self.numbers.pop_front() {
                if self.turn == 0 {
                    self.turn = self.n_threads - 1;
                    return Some(self.make(self.step - 1, number));
                }
                self.turn -= 1;
            }
            if self.step == self.plan.total {
                return None;
            }
            self.numbers.extend(self.plan.of_rank(self.step, self.share));
            self.step += 1;
        }
    }
}
