//! `finetune <task> train`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use candle_core::Tensor;
use pretrain::train::in_threads;
use pretrain_comm::{Collective, Solo};
use pretrain_training::config::{Resolved, load, resolve};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fine_tuning::{Outcome, Progress, Watch, fine_tune};
use crate::settings::{FREE, SetSettings, Settings};
use crate::task::{Scores, Task};
use crate::{Error, Result};

/// A training that is asked for.
#[derive(Debug, Clone)]
pub struct Train {
    /// Settings in TOML.
    pub config: PathBuf,
    /// `section.key=value`, over the file's.
    pub set: Vec<String>,
    /// Data set to learn from; over `data.train`.
    pub data: Option<PathBuf>,
    /// Model folder to start from; over `model.from`.
    pub model: Option<PathBuf>,
    /// The run's folder.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// Ranks, which are threads of this process.
    pub ranks: usize,
}

/// How long ranks wait for one another: longer than any step, evaluation or checkpoint takes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What a training starts with.
#[derive(Debug)]
pub struct Opened<T> {
    /// The task with its data.
    pub task: Arc<T>,
    /// First weights of all that is trained.
    pub tensors: BTreeMap<String, Tensor>,
    /// What is known before the first update.
    pub told: Vec<String>,
}

impl Train {
    /// Trains what `open` makes of the settings, whose section `task` is an `S`.
    ///
    /// # Errors
    /// Settings, data or network that do not fit; whatever stops the loop.
    pub fn run_task<S, T>(
        &self,
        watch: &dyn Watch,
        open: impl FnOnce(&Settings<S>) -> Result<Opened<T>>,
    ) -> Result<Outcome>
    where
        S: Serialize + DeserializeOwned + Sync,
        T: Task,
    {
        let resolved = self.settings::<S>()?;
        let settings = &resolved.settings;
        let n_micro = settings.batch.size.div_ceil(settings.batch.micro);
        if self.ranks == 0 || self.ranks as u64 > n_micro {
            return Err(Error::Setting {
                key: "--ranks".to_owned(),
                problem: format!("is {}; a batch has {n_micro} micro-batches to share", self.ranks),
                hint: "lower --ranks or batch.micro".to_owned(),
            });
        }
        let opened = open(settings)?;
        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        resolved.keep_in(&self.out, &FREE)?;
        opened.told.iter().for_each(|line| watch.told(line));
        let rank = |ranks: &dyn Collective| {
            let silent = Silent(watch);
            let watch = if ranks.rank() == 0 { watch } else { &silent };
            let Self { out, resume, .. } = self;
            fine_tune(settings, &resolved.hash, &opened.task, &opened.tensors, out, *resume, ranks, watch)
        };
        if self.ranks == 1 { rank(&Solo) } else { in_threads(self.ranks, PATIENCE, &rank) }
    }

    fn settings<S: Serialize + DeserializeOwned>(&self) -> Result<Resolved<Settings<S>>> {
        if !self.config.is_file() {
            return Err(Error::Setting {
                key: "--config".to_owned(),
                problem: format!("{} is no file", self.config.display()),
                hint: "finetune/configs has presets; a run keeps its settings in config.toml".to_owned(),
            });
        }
        let mut settings: Settings<S> = load(&self.config, &self.set)?.settings;
        if let Some(path) = &self.data {
            settings.data.train = vec![SetSettings { path: path.clone(), splits: None }];
        }
        if let Some(path) = &self.model {
            settings.model.from = Some(path.clone());
        }
        settings.validate()?;
        Ok(resolve(settings)?)
    }
}

/// Other ranks say nothing that rank 0 does not say.
struct Silent<'a>(&'a dyn Watch);

impl Watch for Silent<'_> {
    fn told(&self, _: &str) {}

    fn step(&self, _: &Progress) {}

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn evaluated(&self, _: u64, _: &Scores, _: bool) {}

    fn must_stop(&self) -> bool {
        self.0.must_stop()
    }
}
