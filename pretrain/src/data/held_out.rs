//! The data sets that are evaluated on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_specs::Tokenizer;

use super::examples::Maker;
use super::feed::Feed;
use super::loader::HELD_OUT_STEP;
use super::settings::DataSettings;
use super::summary::SetSummary;
use super::table::Among;
use super::triples::{ModelInput, Opening, Triples};
use crate::objectives::ObjectiveSettings;
use crate::{Error, Example, Result};

/// The data sets of an evaluation, open and checked. Every pass over them gives the same examples.
#[derive(Debug)]
pub struct HeldOut {
    maker: Arc<Maker>,
    n_samples: u64,
    n_texts: u64,
    threads: usize,
    read_ahead: usize,
    folder: PathBuf,
}

/// One pass of one rank, batch after batch; see [`HeldOut::batches`].
#[derive(Debug)]
pub struct HeldOutBatches {
    feed: Feed<Vec<Example>>,
}

impl HeldOut {
    /// Opens the sets `data.held_out`, or nothing where there are none; `folder` as in
    /// [`TrainingData::open`](super::TrainingData::open). Replacements come from these sets, too.
    ///
    /// # Errors
    /// As there.
    pub fn open(
        settings: &DataSettings,
        objectives: &ObjectiveSettings,
        model: &ModelInput,
        tokenizer: &Tokenizer,
        seed: u64,
        folder: &Path,
    ) -> Result<Option<HeldOut>> {
        settings.validate(objectives)?;
        let (role, sets) = ("held_out", settings.held_out.as_slice());
        if sets.is_empty() {
            return Ok(None);
        }
        let triples = Triples::open(Opening { role, sets, settings, objectives, model, tokenizer, folder })?;
        let n_texts = triples.table.len(Among::All);
        if n_texts > u64::from(u32::MAX) {
            return Err(Error::Setting {
                key: "data.held_out".to_owned(),
                problem: format!("has {n_texts} texts, draws know 2^32 - 1"),
                hint: "evaluate on fewer".to_owned(),
            });
        }
        Ok(Some(HeldOut {
            maker: Arc::new(Maker::new(triples, settings, objectives, model, tokenizer, seed)),
            n_samples: settings.held_out_limit.unwrap_or(n_texts).min(n_texts),
            n_texts,
            threads: settings.threads,
            read_ahead: settings.read_ahead,
            folder: folder.to_owned(),
        }))
    }

    /// What is used of each set.
    pub fn summaries(&self) -> &[SetSummary] {
        &self.maker.triples.summaries
    }

    /// Samples of a pass over all ranks.
    pub fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// One pass: the samples in stored order, cut into batches of `micro`; batch i is rank `i % world`'s, so a rank may have
    /// one batch less than others.
    ///
    /// Of n texts and a limit of k, sample i is text `floor(i n / k)`. Its draws and its place are those of its text, so that
    /// they are the same whatever the limit, the batches and the ranks are.
    ///
    /// # Errors
    /// A rank beyond the world, batches of 0; no more threads.
    pub fn batches(&self, micro: u64, rank: usize, world: usize) -> Result<HeldOutBatches> {
        if micro == 0 || rank >= world {
            return Err(Error::Setting {
                key: "batch.micro".to_owned(),
                problem: format!("is {micro} for rank {rank} of {world}"),
                hint: "1 sample at least; ranks count from 0".to_owned(),
            });
        }
        let (n_samples, n_texts) = (self.n_samples, self.n_texts);
        let feed = Feed::start(self.threads, self.read_ahead, &self.folder, |thread| {
            let maker = self.maker.clone();
            let mut bytes = Vec::new();
            let n_batches = n_samples.div_ceil(micro);
            let own = (rank as u64..n_batches).step_by(world).skip(thread).step_by(self.threads);
            own.map(move |batch| {
                let samples = batch * micro..((batch + 1) * micro).min(n_samples);
                let example = |sample: u64| {
                    let text = (u128::from(sample) * u128::from(n_texts) / u128::from(n_samples)) as u64;
                    let id = maker.triples.table.nth(Among::All, text)?;
                    maker.example(id, HELD_OUT_STEP, text as u32, &mut bytes)
                };
                samples.map(example).collect()
            })
        })?;
        Ok(HeldOutBatches { feed })
    }
}

impl Iterator for HeldOutBatches {
    type Item = Result<Vec<Example>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.feed.take()
    }
}
