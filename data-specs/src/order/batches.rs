//! A rank's part of the global batches, and where a reader stands.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{EpochOrder, RowId, SampleOrder};
use crate::Error;

/// Where a reader stands: everything that a checkpoint must keep to go on with the next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderState {
    /// Seed of the order.
    pub seed: u64,
    /// Epoch of the next row.
    pub epoch: u64,
    /// Position of the next row within the epoch.
    pub position: u64,
    /// Rows left out by hand so far.
    pub skipped: u64,
    /// Check number of the shards' rows and the options: a state is good only for the order that made it.
    pub order: u64,
}

/// Which part of each global batch is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchShare {
    /// Rows of a global batch, over all ranks.
    pub batch: u64,
    /// Number of ranks.
    pub world: u64,
    /// This rank, from 0.
    pub rank: u64,
    /// What happens at the end of an epoch.
    pub last: LastBatch,
}

/// What a global batch does that would cross the end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastBatch {
    /// It ends with the epoch and holds fewer rows.
    Short,
    /// It goes on with the first rows of the next epoch: all batches are equally large, no row is left out.
    Carry,
}

/// This rank's rows of one global batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Epoch of the global batch's first row.
    pub epoch: u64,
    /// Rows of the global batch, over all ranks: what losses are divided by.
    pub global_rows: u64,
    /// This rank's rows; none where a short batch has fewer rows than there are ranks.
    pub rows: Vec<RowId>,
    /// The state after this batch, to be kept once it has been used.
    pub after: ReaderState,
}

impl SampleOrder {
    /// The state before the first row.
    pub fn start(&self) -> ReaderState {
        ReaderState { seed: self.seed, epoch: 0, position: 0, skipped: 0, order: self.check_number() }
    }

    /// Refuses a state that another data set, seed or shuffling made.
    pub fn check(&self, state: &ReaderState) -> Result<(), Error> {
        let refuse = |field: &str, what: String, hint: &str| {
            Err(Error::Spec { place: format!("reader state, {field}"), what, hint: hint.to_owned() })
        };
        if state.seed != self.seed {
            let what = format!("written with seed {}, the run has seed {}", state.seed, self.seed);
            return refuse("seed", what, "resume with the seed of the first run");
        }
        if state.order != self.check_number() {
            let what = "written for shards with other numbers of rows, or for another shuffling".to_owned();
            return refuse("order", what, "resume with the same data set and order options");
        }
        if state.position > 0 && state.position >= self.len() {
            let what = format!("{} of an epoch of {} rows", state.position, self.len());
            return refuse("position", what, "the checkpoint is damaged; resume from an older one");
        }
        if self.rows.checked_mul(state.epoch.saturating_add(1)).is_none() {
            return refuse("epoch", format!("{} is out of range", state.epoch), "see `position`");
        }
        Ok(())
    }

    /// The state `rows` rows further, for leaving rows out by hand: nothing is read, the cost is O(1).
    pub fn skip(&self, state: &ReaderState, rows: u64) -> Result<ReaderState, Error> {
        let state = self.checked(state)?;
        Ok(ReaderState { skipped: state.skipped.saturating_add(rows), ..self.moved(&state, rows) })
    }

    /// The batches from `state` on, epoch after epoch without end.
    ///
    /// Global batch g of a fresh start is the positions [g B, (g + 1) B). Rank r of w takes the contiguous part
    /// [floor(r n / w), floor((r + 1) n / w)) of its n rows, so that the ranks' parts in rank order are the
    /// global batch for every world size. K workers of a rank read every K-th batch each:
    /// `batches.skip(k).step_by(K)` passes over the others without computing their rows.
    pub fn batches(&self, state: &ReaderState, share: BatchShare) -> Result<Batches<'_>, Error> {
        let state = self.checked(state)?;
        let BatchShare { batch, world, rank, .. } = share;
        if batch == 0 || batch > u64::from(u32::MAX) || rank >= world || world > batch {
            return Err(Error::Spec {
                place: "batch".to_owned(),
                what: format!("rank {rank} of {world} cannot take part in batches of {batch} rows"),
                hint: "a batch has 1 to 2^32 - 1 rows, at least one for each rank; ranks count from 0"
                    .to_owned(),
            });
        }
        Ok(Batches { order: self, share, state, current: (state.epoch, self.epoch(state.epoch)) })
    }

    /// Batches of an epoch that starts with a batch of its own; with [`LastBatch::Carry`] the last one carries.
    pub fn batches_per_epoch(&self, batch: u64) -> u64 {
        self.len().div_ceil(batch.max(1))
    }

    fn checked(&self, state: &ReaderState) -> Result<ReaderState, Error> {
        if self.is_empty() {
            return Err(Error::Spec {
                place: "data set".to_owned(),
                what: "it has no rows to read".to_owned(),
                hint: "`pipeline stats` shows what was filtered or rejected".to_owned(),
            });
        }
        self.check(state).map(|()| *state)
    }

    /// Position after `rows` more rows. Needs a data set that is not empty.
    fn moved(&self, state: &ReaderState, rows: u64) -> ReaderState {
        let (epochs, left) = (rows / self.rows, rows % self.rows);
        // position and left are both below self.rows; a sum beyond u64 could only mean u64-sized data sets.
        let position = u128::from(state.position) + u128::from(left);
        let carry = position >= u128::from(self.rows);
        let position = if carry { position - u128::from(self.rows) } else { position };
        ReaderState {
            epoch: state.epoch + epochs + u64::from(carry),
            position: u64::try_from(position).expect("reduced below self.rows, a u64"),
            ..*state
        }
    }

    /// 53 bits, so that the number survives JSON readers that hold numbers as f64.
    fn check_number(&self) -> u64 {
        let mut hasher = blake3::Hasher::new_derive_key("oscar 2026 identity of an order");
        hasher.update(&[u8::from(self.options.shuffle)]);
        hasher.update(&(self.options.block_shards as u64).to_le_bytes());
        for rows in &self.shard_rows {
            hasher.update(&rows.to_le_bytes());
        }
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes) >> 11
    }
}

/// The batches of one rank; see [`SampleOrder::batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    order: &'a SampleOrder,
    share: BatchShare,
    state: ReaderState,
    /// The epoch that was read last, made anew when another one is needed.
    current: (u64, EpochOrder),
}

impl Batches<'_> {
    /// The state before the next batch.
    pub fn state(&self) -> ReaderState {
        self.state
    }

    /// Rows of the next global batch.
    fn global_rows(&self) -> u64 {
        match self.share.last {
            LastBatch::Short => self.share.batch.min(self.order.rows - self.state.position),
            LastBatch::Carry => self.share.batch,
        }
    }

    fn row(&mut self, state: &ReaderState) -> RowId {
        if self.current.0 != state.epoch {
            self.current = (state.epoch, self.order.epoch(state.epoch));
        }
        self.current.1.at(state.position).expect("`moved` keeps positions inside the epoch")
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (before, global_rows) = (self.state, self.global_rows());
        let part = part_of(global_rows, &self.share);
        let rows = part.map(|offset| self.row(&self.order.moved(&before, offset))).collect();
        self.state = self.order.moved(&before, global_rows);
        Some(Batch { epoch: before.epoch, global_rows, rows, after: self.state })
    }

    fn nth(&mut self, n: usize) -> Option<Batch> {
        for _ in 0..n {
            self.state = self.order.moved(&self.state, self.global_rows());
        }
        self.next()
    }
}

/// The contiguous part of `n` rows that a rank takes. Products fit: n and the world are below 2^32.
fn part_of(n: u64, share: &BatchShare) -> Range<u64> {
    share.rank * n / share.world..(share.rank + 1) * n / share.world
}
