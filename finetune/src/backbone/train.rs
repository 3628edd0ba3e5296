//! `finetune backbone train`: from pictures and settings to a run's folder.

use std::path::PathBuf;
use std::time::Duration;

use finetune_backbones::Architecture;
use finetune_backbones::training::{self, LabelledPictures, Outcome, Settings, Watch};
use pretrain_comm::{Collective, Solo, threads};

use super::Error;
use super::pictures::{Index, Pictures};
use super::settings::{FREE, TrainSettings};

/// Trains a network on labelled pictures.
#[derive(Debug, Clone)]
pub struct Train {
    /// Settings in TOML.
    pub config: PathBuf,
    /// `section.key=value`, over the file's.
    pub set: Vec<String>,
    /// The run's folder.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// Ranks, which are threads of this process.
    pub ranks: usize,
}

/// How long ranks wait for one another: longer than any step, evaluation or checkpoint takes.
const PATIENCE: Duration = Duration::from_secs(1800);

impl Train {
    /// Trains; how it ended.
    ///
    /// # Errors
    /// Settings, pictures or weights that do not fit; whatever stops the loop.
    pub fn run(&self, watch: &dyn Watch) -> Result<Outcome, Error> {
        let resolved = TrainSettings::load(&self.config, &self.set)?;
        let settings = &resolved.settings;
        let training = settings.training();
        let shares = settings.batch.size / settings.batch.micro.max(1);
        if self.ranks == 0 || self.ranks as u64 > shares {
            let problem = format!("{} ranks cannot share the {shares} micro-batches of a batch", self.ranks);
            return Err(Error::Usage { problem: format!("{problem}; lower --ranks or batch.micro") });
        }
        let architecture: Architecture = settings.network.architecture.parse()?;
        let pictures = |index: Index| -> Result<Pictures, Error> {
            let preparation = settings.input.preparation(architecture)?;
            Ok(Pictures { index, preparation, augmentation: settings.augmentation, seed: settings.seed })
        };
        let data = &settings.data;
        let shown = pictures(Index::open(&data.train, data.format, data.classes.as_deref())?)?;
        let held_out = data
            .held_out
            .as_ref()
            .map(|path| Index::open(path, data.format, Some(shown.index.classes())).and_then(pictures));
        let held_out = held_out.transpose()?;

        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        resolved.keep_in(&self.out, &FREE)?;
        let one = Ranked {
            settings: &training,
            hash: &resolved.hash,
            shown: &shown,
            held_out: held_out.as_ref().map(|pictures| pictures as &dyn LabelledPictures),
            train: self,
            watch,
        };
        if self.ranks == 1 { one.run(&Solo) } else { one.in_threads(self.ranks) }
    }
}

/// What every rank does.
#[derive(Clone, Copy)]
struct Ranked<'a> {
    settings: &'a Settings,
    hash: &'a str,
    shown: &'a Pictures,
    held_out: Option<&'a dyn LabelledPictures>,
    train: &'a Train,
    watch: &'a dyn Watch,
}

impl Ranked<'_> {
    fn run(&self, ranks: &dyn Collective) -> Result<Outcome, Error> {
        let Self { settings, hash, shown, held_out, train: Train { out, resume, .. }, watch } = *self;
        let silent = Silent(watch);
        let watch = if ranks.rank() == 0 { watch } else { &silent };
        Ok(training::train(settings, hash, shown, held_out, out, *resume, ranks, watch)?)
    }

    /// All ranks end together; of their errors the one that is a reason counts, not those of the ranks that waited.
    fn in_threads(&self, n_ranks: usize) -> Result<Outcome, Error> {
        let ends: Vec<Result<Outcome, Error>> = std::thread::scope(|scope| {
            let ranks = threads(n_ranks, PATIENCE).into_iter();
            let ranks: Vec<_> = ranks.map(|ranks| scope.spawn(move || self.run(&ranks))).collect();
            let joined = ranks
                .into_iter()
                .map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.collect()
        });
        let (done, mut failed): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_ok);
        failed.sort_by_key(|end| matches!(end, Err(Error::Training(error)) if error.is_echo()));
        failed.into_iter().chain(done).next().unwrap_or(Err(Error::Usage { problem: "no ranks".to_owned() }))
    }
}

/// Other ranks say only what rank 0 cannot know: which pictures are unreadable.
struct Silent<'a>(&'a dyn Watch);

impl Watch for Silent<'_> {
    fn step(&self, _: &training::Progress) {}

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn unreadable(&self, picture: &training::Unreadable) {
        self.0.unreadable(picture);
    }

    fn evaluated(&self, _: u64, _: &training::Evaluation) {}

    fn must_stop(&self) -> bool {
        self.0.must_stop()
    }
}
