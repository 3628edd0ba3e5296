//! The data sets that are trained on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_specs::Tokenizer;

use super::examples::Maker;
use super::loader::{Loader, Share};
use super::order::{Mix, Standing};
use super::settings::DataSettings;
use super::summary::SetSummary;
use super::triples::{ModelInput, Opening, Triples};
use crate::Result;
use crate::objectives::ObjectiveSettings;

/// The data sets of a training, open and checked.
#[derive(Debug)]
pub struct TrainingData {
    maker: Arc<Maker>,
    mix: Arc<Mix>,
    threads: usize,
    read_ahead: usize,
    folder: PathBuf,
}

impl TrainingData {
    /// Opens the sets `data.train`.
    ///
    /// `folder` keeps the table of their texts, 100 to 200 bytes a text. Where it is there already and of the same data, it is
    /// used as it is; otherwise all shards are read through once, without their features. Ranks that share a file system
    /// call this one after the other, or all of them make the same table.
    ///
    /// # Errors
    /// Settings that cannot be meant; data sets that fit neither them nor the model, with file, field and remedy; a missing or
    /// damaged shard; a full disk.
    pub fn open(
        settings: &DataSettings,
        objectives: &ObjectiveSettings,
        model: &ModelInput,
        tokenizer: &Tokenizer,
        seed: u64,
        folder: &Path,
    ) -> Result<TrainingData> {
        settings.validate(objectives)?;
        let (role, sets) = ("train", settings.train.as_slice());
        let triples = Triples::open(Opening { role, sets, settings, objectives, model, tokenizer, folder })?;
        let weights: Vec<f64> = sets.iter().map(|set| set.weight).collect();
        let mix = Mix::new(&triples, &weights, seed)?;
        let maker = Maker::new(triples, settings, objectives, model, tokenizer, seed);
        Ok(TrainingData {
            maker: Arc::new(maker),
            mix: Arc::new(mix),
            threads: settings.threads,
            read_ahead: settings.read_ahead,
            folder: folder.to_owned(),
        })
    }

    /// What is used of each set.
    pub fn summaries(&self) -> &[SetSummary] {
        &self.maker.triples.summaries
    }

    /// Texts of all sets together.
    pub fn n_texts(&self) -> u64 {
        self.mix.n_texts()
    }

    /// Where a training begins.
    pub fn start(&self) -> Standing {
        self.mix.start()
    }

    /// Starts the threads that read for one rank from `step` on, where the training stands as its checkpoint says.
    ///
    /// # Errors
    /// A share that leaves a rank without work; a standing of other data, another seed or another batch size.
    pub fn load(&self, share: Share, step: u64, standing: &Standing) -> Result<Loader> {
        let threads = [self.threads, self.read_ahead];
        Loader::start(&self.maker, &self.mix, share, step, standing, threads, &self.folder)
    }
}
