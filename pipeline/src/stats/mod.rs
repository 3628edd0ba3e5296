//! What is in a data set: the figures behind `pipeline stats`, its page and its terminal output.
//!
//! One pass over the short columns of every shard, and over the features of every k-th row. Memory:
//! one shard's short columns a thread, and bounded counters of words, tags and answers (20 MB each at
//! worst, a few for each source and split). The figures are the same whatever the number of threads,
//! because stretches of rows have fixed ends and are added up in their order.

mod collect;
mod counter;
mod figures;
mod histogram;
mod page;
mod rejects;
mod terminal;
#[cfg(test)]
mod tests;
mod values;
mod words;

use std::path::Path;

use data_specs::{FeatureInfo, Manifest, ShardReader};
use rayon::prelude::*;

use crate::{Error, Watch};
use collect::Tallies;
use values::ValueTally;

pub use counter::{Counted, Frequencies};
pub use figures::{
    FeatureStats, NamingStats, PartStats, RejectExample, RejectStats, Stats, TagStats, TextStats, ValueStats,
};
pub use histogram::{Bin, Histogram};
pub use page::stats_page;
pub(crate) use page::{percent, thousands};
pub(crate) use terminal::{LABEL, bars, fitted, padded};

/// Rows that one thread counts before the figures are joined; fixed, because sums of floats depend on it.
const STRETCH: usize = 2048;

/// Gathers the figures of the data set in `folder`.
///
/// Sizes of files are compared with the manifest, hashes are not: that is what `verify` is for.
///
/// # Errors
/// No manifest, missing or damaged files, a signal.
pub fn stats(folder: &Path, threads: Option<usize>, watch: &dyn Watch) -> Result<Stats, Error> {
    let manifest = Manifest::latest(folder)?;
    let threads = threads.unwrap_or_else(rayon::current_num_threads).max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| Error::Io {
        op: "start threads for",
        path: folder.to_path_buf(),
        source: std::io::Error::other(error),
    })?;
    let rows = manifest.shards.iter().map(|shard| shard.rows).sum();
    watch.planned(manifest.shards.len(), 0, rows);
    let pass = Pass { folder, manifest: &manifest, every: values::sampling_step(&manifest), watch };
    let (tallies, values) = pool.install(|| pass.run(threads))?;
    let (all, parts) = tallies.finish();
    Ok(Stats {
        features: values.finish(manifest.features, pass.every),
        all,
        parts,
        rejects: rejects::count_rejects(folder, &manifest, watch)?,
        shards: manifest.shards.len() as u64,
        bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
        corpus: manifest.corpus,
        build_id: manifest.build_id,
        version: manifest.version,
        rows: manifest.rows,
        texts: manifest.texts,
        warnings: manifest.warnings,
    })
}

struct Pass<'a> {
    folder: &'a Path,
    manifest: &'a Manifest,
    every: u64,
    watch: &'a dyn Watch,
}

type Counts = (Tallies, ValueTally);

impl Pass<'_> {
    /// As many shards at a time as there are threads: no more than these are in memory.
    fn run(&self, threads: usize) -> Result<Counts, Error> {
        let mut first_rows = Vec::with_capacity(self.manifest.shards.len());
        let mut rows = 0;
        for (index, shard) in self.manifest.shards.iter().enumerate() {
            first_rows.push((index, rows));
            rows += shard.rows;
        }
        let mut counts = Counts::default();
        for wave in first_rows.chunks(threads) {
            let shards: Vec<_> = wave.par_iter().map(|&(index, first)| self.shard(index, first)).collect();
            for stretches in shards {
                for (tallies, values) in &stretches? {
                    counts.0.merge(tallies);
                    counts.1.merge(values);
                }
            }
        }
        Ok(counts)
    }

    /// The figures of each stretch of a shard whose first row has the number `first_row` in the data set.
    fn shard(&self, index: usize, first_row: u64) -> Result<Vec<Counts>, Error> {
        crate::plan::interrupted(self.watch)?;
        let entry = &self.manifest.shards[index];
        let reader = ShardReader::open(self.folder, entry, self.manifest.features, false)?;
        let starts: Vec<usize> = (0..reader.len()).step_by(STRETCH).collect();
        let stretches: Vec<_> = starts
            .into_par_iter()
            .map(|start| self.stretch(&reader, start..reader.len().min(start + STRETCH), first_row))
            .collect();
        // In order, so that of several errors it is always the first that is told.
        stretches.into_iter().collect()
    }

    fn stretch(
        &self,
        reader: &ShardReader,
        rows: std::ops::Range<usize>,
        first_row: u64,
    ) -> Result<Counts, Error> {
        let FeatureInfo { dtype, .. } = self.manifest.features;
        let (mut tallies, mut values) = Counts::default();
        let mut block = Vec::new();
        let count = rows.len() as u64;
        for row in rows {
            let sample = reader.short(row);
            tallies.add(sample);
            if (first_row + row as u64).is_multiple_of(self.every) {
                values.add_row();
                for picture in 0..sample.images.len() {
                    reader.read_features(row, picture, &mut block)?;
                    values.add_block(&block, dtype);
                }
            }
        }
        self.watch.rows(count, 0);
        Ok((tallies, values))
    }
}
