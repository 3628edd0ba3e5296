//! In which order rows are read: a pure function of (seed, epoch, position).

mod batches;
mod permutation;

use serde::{Deserialize, Serialize};

pub use self::batches::{Batch, BatchShare, Batches, LastBatch, ReaderState};
use self::permutation::Permutation;
use crate::Error;

/// The reading order of a data set.
///
/// For each epoch the shards are permuted, the permuted shards are cut into blocks of
/// [`OrderOptions::block_shards`], and the rows of a block are permuted:
///
/// ```text
/// shards:   s' = P(seed, epoch)            empty ones left out
/// blocks:   block b = the next 10 (or more) shards of s'
/// rows:     position p of block b -> row P(seed, epoch, b)(p - start of b) of the block's shards in a line
/// ```
///
/// Nothing else enters: neither world size, workers, threads nor what was read before. So any process can ask
/// for any position, and resuming is asking for the next one. A block's rows lie in few files, so that a
/// reader opens ten shards at a time and not all of them; rows of one shard meet those of nine others.
#[derive(Debug, Clone)]
pub struct SampleOrder {
    shard_rows: Vec<u64>,
    /// Indices of the shards that hold rows.
    filled: Vec<u32>,
    rows: u64,
    seed: u64,
    options: OrderOptions,
}

/// How rows are shuffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderOptions {
    /// Whether to shuffle at all; evaluation reads shards and rows as they lie.
    pub shuffle: bool,
    /// Shards whose rows are mixed. More mix better and keep more files open.
    pub block_shards: usize,
}

impl Default for OrderOptions {
    fn default() -> OrderOptions {
        OrderOptions { shuffle: true, block_shards: 10 }
    }
}

/// A row of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Index of the shard in the manifest.
    pub shard: u32,
    /// Row within the shard.
    pub row: u64,
}

impl SampleOrder {
    /// The order of a data set whose shards hold `shard_rows` rows; empty shards are allowed.
    pub fn new(shard_rows: &[u64], seed: u64, options: OrderOptions) -> Result<SampleOrder, Error> {
        let bad = |place: &str, what: String, hint: &str| Error::Spec {
            place: format!("order.{place}"),
            what,
            hint: hint.to_owned(),
        };
        if options.block_shards == 0 {
            return Err(bad("block_shards", "a block of 0 shards holds no rows".into(), "10 or more"));
        }
        let shards = u32::try_from(shard_rows.len()).map_err(|_| {
            bad("shards", format!("{} shards", shard_rows.len()), "build with a larger `shard.rows`")
        })?;
        let rows =
            shard_rows.iter().try_fold(0_u64, |sum, &rows| sum.checked_add(rows)).ok_or_else(|| {
                bad("rows", "more rows than 2^64".into(), "run `pipeline verify` on the data set")
            })?;
        let filled = (0..shards).filter(|&shard| shard_rows[shard as usize] > 0).collect();
        Ok(SampleOrder { shard_rows: shard_rows.to_vec(), filled, rows, seed, options })
    }

    /// Rows of an epoch.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The order of one epoch: O(shards) time and memory, then O(log shards) a position.
    pub fn epoch(&self, epoch: u64) -> EpochOrder {
        let shuffle = self.options.shuffle;
        let shards: Vec<u32> = if shuffle {
            let n = self.filled.len() as u64;
            let permutation = Permutation::new(n, "oscar 2026 order of shards", [self.seed, epoch, 0]);
            (0..n).map(|place| self.filled[permutation.at(place) as usize]).collect()
        } else {
            self.filled.clone()
        };

        let mut starts = Vec::with_capacity(shards.len() + 1);
        let mut start = 0;
        for &shard in &shards {
            starts.push(start);
            start += self.shard_rows[shard as usize];
        }
        starts.push(start);

        // The last block takes what is left over, so that none holds fewer shards than asked for.
        let n_blocks = if shuffle { (shards.len() / self.options.block_shards).max(1) } else { 0 };
        let blocks = (0..n_blocks)
            .map(|block| {
                let first = block * self.options.block_shards;
                let end =
                    if block + 1 == n_blocks { shards.len() } else { first + self.options.block_shards };
                let (start, rows) = (starts[first], starts[end] - starts[first]);
                let key = [self.seed, epoch, block as u64];
                Block { start, rows: Permutation::new(rows, "oscar 2026 order of rows", key) }
            })
            .collect();
        EpochOrder { shards, starts, blocks }
    }

    /// The row at `position` of `epoch`, or `None` beyond the end.
    ///
    /// O(shards): whoever asks for many positions of an epoch asks [`SampleOrder::epoch`] once.
    pub fn at(&self, epoch: u64, position: u64) -> Option<RowId> {
        self.epoch(epoch).at(position)
    }
}

/// The order of one epoch.
#[derive(Debug, Clone)]
pub struct EpochOrder {
    /// Shards that hold rows, as they are read.
    shards: Vec<u32>,
    /// Rows before `shards[i]`, and at the end all rows.
    starts: Vec<u64>,
    /// Empty where rows are read as they lie.
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    start: u64,
    rows: Permutation,
}

impl EpochOrder {
    /// The row at `position`, or `None` beyond the end.
    pub fn at(&self, position: u64) -> Option<RowId> {
        if position >= self.len() {
            return None;
        }
        let line = match self.blocks.partition_point(|block| block.start <= position).checked_sub(1) {
            Some(index) => {
                let block = &self.blocks[index];
                block.start + block.rows.at(position - block.start)
            }
            None => position,
        };
        let index = self.starts.partition_point(|&start| start <= line) - 1;
        Some(RowId { shard: self.shards[index], row: line - self.starts[index] })
    }

    /// Rows of the epoch.
    pub fn len(&self) -> u64 {
        self.starts[self.shards.len()]
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows, from the first position to the last.
    pub fn iter(&self) -> impl Iterator<Item = RowId> + '_ {
        (0..self.len()).map_while(|position| self.at(position))
    }
}

#[cfg(test)]
mod tests;
