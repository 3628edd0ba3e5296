//! How fast shards become training batches on this machine.

use std::path::Path;
use std::time::Instant;

use data_specs::{Dataset, OrderOptions, SampleOrder, Verify};
use rayon::prelude::*;
use serde::Serialize;

use crate::Error;

/// What `pipeline bench` measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadBench {
    /// Rows an epoch.
    pub rows: u64,
    /// Pictures a batch.
    pub batch: usize,
    /// Rows a second in the first epoch, in which every shard is hashed.
    pub first_epoch_rows_per_s: f64,
    /// Rows a second in each later epoch.
    pub rows_per_s: Vec<f64>,
    /// Feature bytes a second in the last epoch.
    pub bytes_per_s: f64,
}

/// Reads `epochs` epochs in shuffled order into padded batches of `batch` x `regions` x D.
///
/// The left picture stands for a pair. Threads are those of the current rayon pool.
///
/// # Errors
/// No manifest, or shards that cannot be read.
pub fn bench_read(folder: &Path, batch: usize, regions: usize, epochs: u64) -> Result<ReadBench, Error> {
    let dataset = Dataset::with(folder, Verify::First, 16)?;
    let order = SampleOrder::new(&dataset.shard_rows(), 0, OrderOptions::default())?;
    let info = dataset.manifest().features;
    let slot = regions * info.width as usize * info.dtype.size();
    let batch = batch.max(1);
    let mut padded = vec![0; batch * slot];
    let mut speeds = Vec::new();
    let mut bytes_per_s = 0.0;
    for epoch in 0..epochs.max(1) {
        let started = Instant::now();
        let epoch = order.epoch(epoch);
        let rows: Vec<_> = epoch.iter().collect();
        let mut bytes = 0;
        for batch in rows.chunks(batch) {
            let read = padded.par_chunks_mut(slot.max(1)).zip(batch).map(|(slot, id)| {
                let shard = dataset.shard(id.shard as usize)?;
                let len = shard.fill_slot(id.row as usize, 0, slot)?;
                slot[len..].fill(0);
                Ok(len as u64)
            });
            bytes += read.collect::<Result<Vec<u64>, Error>>()?.iter().sum::<u64>();
        }
        let seconds = started.elapsed().as_secs_f64();
        speeds.push(rows.len() as f64 / seconds);
        bytes_per_s = bytes as f64 / seconds;
    }
    let first_epoch_rows_per_s = speeds.remove(0);
    Ok(ReadBench { rows: order.len(), batch, first_epoch_rows_per_s, rows_per_s: speeds, bytes_per_s })
}
