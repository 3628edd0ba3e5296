//! `pretrain run`: from settings to a run's folder.

use std::path::PathBuf;
use std::time::Duration;

use pretrain_comm::{Collective, Solo, threads};

use super::evaluate::Evaluation;
use super::pretraining::{Outcome, Progress, Watch, pretrain};
use super::settings::{FREE, Settings};
use super::start::Start;
use crate::{Error, Result};

/// A training that is asked for.
#[derive(Debug, Clone)]
pub struct Run {
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

impl Run {
    /// Trains; how it ended.
    ///
    /// # Errors
    /// Settings, data or network that do not fit; whatever stops the loop.
    pub fn run(&self, watch: &dyn Watch) -> Result<Outcome> {
        let resolved = Settings::load(&self.config, &self.set)?;
        let settings = &resolved.settings;
        let n_micro = settings.batch.size.div_ceil(settings.batch.micro);
        if self.ranks == 0 || self.ranks as u64 > n_micro {
            return Err(Error::Setting {
                key: "--ranks".to_owned(),
                problem: format!("is {}; a batch has {n_micro} micro-batches to share", self.ranks),
                hint: "lower --ranks or batch.micro".to_owned(),
            });
        }
        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        resolved.keep_in(&self.out, &FREE)?;
        let start = Start::open(settings, &self.out.join("texts"))?;
        watch.started(&start);
        let rank = |ranks: &dyn Collective| {
            let silent = Silent(watch);
            let watch = if ranks.rank() == 0 { watch } else { &silent };
            pretrain(settings, &resolved.hash, &start, &self.out, self.resume, ranks, watch)
        };
        if self.ranks == 1 { rank(&Solo) } else { in_threads(self.ranks, &rank) }
    }
}

/// Calls `rank` once a rank, each in a thread of its own. All end together; of their errors the one that is a reason
/// counts, not those of the ranks that waited.
///
/// # Errors
/// That of the first rank with a reason.
///
/// # Panics
/// If a rank does.
pub fn in_threads<T: Send>(
    n_ranks: usize,
    rank: &(dyn Fn(&dyn Collective) -> Result<T> + Sync),
) -> Result<T> {
    let ends: Vec<Result<T>> = std::thread::scope(|scope| {
        let ranks: Vec<_> =
            threads(n_ranks, PATIENCE).into_iter().map(|ranks| scope.spawn(move || rank(&ranks))).collect();
        let ends = ranks
            .into_iter()
            .map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.collect()
    });
    let (done, mut failed): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_ok);
    failed.sort_by_key(|end| end.as_ref().is_err_and(Error::is_echo));
    failed.into_iter().chain(done).next().expect("there is a rank")
}

/// Other ranks say nothing that rank 0 does not say.
struct Silent<'a>(&'a dyn Watch);

impl Watch for Silent<'_> {
    fn started(&self, _: &Start) {}

    fn step(&self, _: &Progress) {}

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn evaluated(&self, _: u64, _: &Evaluation) {}

    fn must_stop(&self) -> bool {
        self.0.must_stop()
    }
}
