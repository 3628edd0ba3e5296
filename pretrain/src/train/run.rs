//! `pretrain run`: from settings to a run's folder.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use data_specs::Manifest;
use pretrain_comm::{Collective, Deadline, Solo, Watched, threads};
use pretrain_training::config::Resolved;
use pretrain_training::require_same;

use super::evaluate::Evaluation;
use super::pretraining::{Outcome, Progress, Watch, Workplace, pretrain};
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
    /// This rank's number on its machine, where ranks are processes of several; without it the rank's. It chooses a GPU.
    pub local_rank: Option<usize>,
}

impl Run {
    /// Trains with ranks that are threads of this process; how it ended.
    ///
    /// # Errors
    /// Settings, data or network that do not fit; whatever stops the loop.
    pub fn in_threads(&self, n_ranks: usize, deadline: &Deadline, watch: &dyn Watch) -> Result<Outcome> {
        let resolved = Settings::load(&self.config, &self.set)?;
        require_work(&resolved.settings, n_ranks)?;
        let start = self.open(&resolved)?;
        watch.started(&start);
        if n_ranks == 1 {
            return in_pool(rayon::current_num_threads(), || {
                self.train(&resolved, &start, &Watched::new(Solo, deadline), watch)
            });
        }
        in_threads(n_ranks, deadline.timeout, &|ranks| {
            self.train(&resolved, &start, &Watched::new(ranks, deadline), watch)
        })
    }

    /// Trains as one rank of several that are processes, and share the file system of the run's folder; how it ended. All
    /// are asked for the same: ranks with another program, other settings, data or first weights are refused by name.
    ///
    /// # Errors
    /// As [`in_threads`](Self::in_threads); [`pretrain_training::Error::RanksDiffer`].
    pub fn as_rank(&self, ranks: &dyn Collective, deadline: &Deadline, watch: &dyn Watch) -> Result<Outcome> {
        let ranks = Watched::new(ranks, deadline);
        require_same(&ranks, "the program's version", env!("CARGO_PKG_VERSION"))?;
        let resolved = Settings::load(&self.config, &self.set)?;
        require_same(&ranks, "the settings", &resolved.text)?;
        require_work(&resolved.settings, ranks.world())?;
        let first = self.open_first(&resolved, &ranks)?;
        let start = first.map_or_else(|| self.open(&resolved), Ok)?;
        require_same(
            &ranks,
            "data sets, vocabulary or first weights",
            &identity(&resolved.settings, &start)?,
        )?;
        if ranks.rank() == 0 {
            watch.started(&start);
        }
        self.train(&resolved, &start, &ranks, watch)
    }

    /// Makes the run's folder and opens everything.
    fn open(&self, resolved: &Resolved<Settings>) -> Result<Start> {
        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        resolved.keep_in(&self.out, &FREE)?;
        Start::open(&resolved.settings, &self.out.join("texts"))
    }

    /// Opens everything on rank 0, which may have to read all texts once and write a table of them; the others wait until
    /// that is done, however long it takes, as rank 0 keeps saying that it is alive.
    fn open_first(&self, resolved: &Resolved<Settings>, ranks: &dyn Collective) -> Result<Option<Start>> {
        const EVERY: Duration = Duration::from_millis(50);
        std::thread::scope(|scope| {
            let opening = (ranks.rank() == 0).then(|| scope.spawn(|| self.open(resolved)));
            loop {
                let is_open = opening.as_ref().is_some_and(std::thread::ScopedJoinHandle::is_finished);
                let mut said = [f64::from(u8::from(is_open))];
                ranks.all_reduce_sum_f64(&mut said)?;
                if said[0] > 0.0 {
                    break;
                }
                std::thread::sleep(EVERY);
            }
            opening
                .map(|opening| opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .transpose()
        })
    }

    fn train<C: Collective>(
        &self,
        resolved: &Resolved<Settings>,
        start: &Start,
        ranks: &Watched<C>,
        watch: &dyn Watch,
    ) -> Result<Outcome> {
        let watch = OfRank { ranks, watch, is_first: ranks.rank() == 0 };
        let device = resolved.settings.run.device.open(self.local_rank.unwrap_or(ranks.rank()))?;
        let work = Workplace { run: &self.out, resume: self.resume, device };
        pretrain(&resolved.settings, &resolved.hash, start, &work, ranks, &watch)
    }
}

/// Refuses more ranks than a batch has micro-batches.
fn require_work(settings: &Settings, n_ranks: usize) -> Result<()> {
    let n_micro = settings.batch.size.div_ceil(settings.batch.micro);
    if n_ranks == 0 || n_ranks as u64 > n_micro {
        return Err(Error::Setting {
            key: "--ranks".to_owned(),
            problem: format!("is {n_ranks}; a batch has {n_micro} micro-batches to share"),
            hint: "take fewer ranks, or lower batch.micro".to_owned(),
        });
    }
    Ok(())
}

/// What two ranks must have found the same, a line each. First weights that are drawn are a function of the settings.
fn identity(settings: &Settings, start: &Start) -> Result<String> {
    let mut lines = String::new();
    let mut line = |what: &str, hash: blake3::Hash| {
        writeln!(lines, "{what} = {hash}").expect("a String takes everything");
    };
    for set in settings.data.train.iter().chain(&settings.data.held_out) {
        let manifest = serde_json::to_vec(&Manifest::latest(&set.path)?).expect("a manifest is JSON");
        line(&format!("the manifest of {}", set.path.display()), blake3::hash(&manifest));
    }
    let mut words = blake3::Hasher::new();
    for id in 0..start.tokenizer.len() as u32 {
        words.update(start.tokenizer.token(id).unwrap_or_default().as_bytes()).update(b"\n");
    }
    line("the vocabulary", words.finalize());
    if settings.model.from.is_some() {
        let mut weights = blake3::Hasher::new();
        for (name, tensor) in &start.tensors {
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            weights.update(name.as_bytes()).update_rayon(&bytes);
        }
        line("the first weights", weights.finalize());
    }
    Ok(lines)
}

/// Calls `rank` once a rank, each in an equal share of the threads that compute, who wait for one another at most as long as
/// `patience`. All end together; of their errors the one that is a reason counts, not those of the ranks that waited.
///
/// # Errors
/// That of the first rank with a reason.
///
/// # Panics
/// If a rank does.
pub fn in_threads<T: Send>(
    n_ranks: usize,
    patience: Duration,
    rank: &(dyn Fn(&dyn Collective) -> Result<T> + Sync),
) -> Result<T> {
    // side by side in the threads of all, ranks would wait for one another's tasks
    let share = (rayon::current_num_threads() / n_ranks).max(1);
    let ends: Vec<Result<T>> = std::thread::scope(|scope| {
        let ranks = threads(n_ranks, patience).into_iter();
        let ranks: Vec<_> =
            ranks.map(|ranks| scope.spawn(move || in_pool(share, move || rank(&ranks)))).collect();
        let ends = ranks
            .into_iter()
            .map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.collect()
    });
    let (done, mut failed): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_ok);
    failed.sort_by_key(|end| end.as_ref().is_err_and(Error::is_echo));
    failed.into_iter().chain(done).next().expect("there is a rank")
}

/// Calls `work` in a pool of its own: it is one of the threads that compute, and none is woken for what it does itself.
fn in_pool<T: Send>(n_threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    // candle walks the graph of a network by calling itself: there is room as on a program's first thread
    const STACK: usize = 8 << 20;
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).stack_size(STACK).build()?.install(work)
}

/// What is known on one rank: its watchdog is told the step, and whoever watches what rank 0 says.
struct OfRank<'a, C> {
    ranks: &'a Watched<C>,
    watch: &'a dyn Watch,
    is_first: bool,
}

impl<C: Collective> Watch for OfRank<'_, C> {
    fn started(&self, _: &Start) {}

    fn step(&self, progress: &Progress) {
        self.ranks.at_step(progress.step);
        if self.is_first {
            self.watch.step(progress);
        }
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        if self.is_first {
            self.watch.damaged(reason);
        }
    }

    fn evaluated(&self, step: u64, evaluation: &Evaluation) {
        if self.is_first {
            self.watch.evaluated(step, evaluation);
        }
    }

    fn must_stop(&self) -> bool {
        self.watch.must_stop()
    }
}
