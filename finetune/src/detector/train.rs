//! `finetune detector train`: from shards and settings to a run's folder and a detector.

use std::path::{Path, PathBuf};
use std::time::Duration;

use finetune_backbones::training::Unreadable;
use finetune_regions::detection_samples::{DetectionSamples, SampleSettings};
use finetune_regions::detector::training::{Outcome, Progress, Run, TrainingSettings, Watch, train};
use finetune_regions::detector::{TrainingPicture, TrainingPictures};
use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::config::{Resolved, load};
use serde::{Deserialize, Serialize};

use super::Error;

/// Trains a detector on data sets of `pipeline build`.
#[derive(Debug, Clone)]
pub struct Train {
    /// Settings in TOML.
    pub config: PathBuf,
    /// `section.key=value`, over the file's.
    pub set: Vec<String>,
    /// A data set, instead of the settings' sources.
    pub data: Option<PathBuf>,
    /// Weights of the network to start from, instead of the settings'.
    pub backbone: Option<PathBuf>,
    /// The run's folder.
    pub out: PathBuf,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// Ranks, which are threads of this process.
    pub ranks: usize,
}

/// How a training ended, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trained {
    /// Updates made.
    pub step: u64,
    /// Whether all updates were made.
    pub is_done: bool,
    /// Pictures with boxes.
    pub pictures: u64,
    /// Classes that are told apart.
    pub classes: usize,
    /// Attributes that are.
    pub attributes: usize,
    /// Boxes of this process's samples that reached out of their picture and were cut.
    pub boxes_clamped: u64,
    /// Boxes without area, which were left out.
    pub boxes_empty: u64,
    /// The detector's folder, once the training is done.
    pub detector: Option<PathBuf>,
}

/// The tree of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    data: SampleSettings,
    training: TrainingSettings,
}

/// How long ranks wait for one another: longer than any update or checkpoint takes.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Keys that may differ when a run is resumed: they change how it is done, not what comes out.
const FREE: [&str; 3] = ["training.run.log_every", "training.run.checkpoint_every", "training.run.keep"];
/// The folder of the detector in that of the run.
const DETECTOR: &str = "detector";

impl Train {
    /// Trains; how it ended.
    ///
    /// # Errors
    /// Settings, data sets or weights that do not fit; whatever stops the loop.
    pub fn run(&self, watch: &dyn Watch) -> Result<Trained, Error> {
        let resolved = self.settings()?;
        let Tree { data, training } = &resolved.settings;
        training.validate()?;
        if self.ranks == 0 || self.ranks as u64 > training.pictures {
            let problem =
                format!("{} ranks cannot share the {} pictures of an update", self.ranks, training.pictures);
            return Err(Error::Usage {
                problem: format!("{problem}; lower --ranks or raise training.pictures"),
            });
        }
        let samples = Samples(DetectionSamples::open(data, training.seed)?);
        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        resolved.keep_in(&self.out, &FREE)?;
        let run = Run { folder: &self.out, settings_hash: &resolved.hash, resume: self.resume };
        let outcome = if self.ranks == 1 {
            train(training, &samples, run, &Solo, watch)?
        } else {
            in_threads(self.ranks, training, &samples, run, watch)?
        };
        let path = self.out.join(DETECTOR);
        if outcome.is_done {
            if path.exists() {
                std::fs::remove_dir_all(&path).map_err(data_specs::Error::io("remove", &path))?;
            }
            outcome.detector.save(&path)?;
        }
        Ok(Trained {
            step: outcome.step,
            is_done: outcome.is_done,
            pictures: samples.0.n_pictures(),
            classes: samples.classes().len(),
            attributes: outcome.detector.attribute_names().len(),
            boxes_clamped: outcome.boxes.clamped,
            boxes_empty: outcome.boxes.empty,
            detector: outcome.is_done.then_some(path),
        })
    }

    fn settings(&self) -> Result<Resolved<Tree>, Error> {
        let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let mut set = self.set.clone();
        set.extend(self.data.as_ref().map(|path| format!("data.sources=[{{ path = {} }}]", quoted(path))));
        set.extend(self.backbone.as_ref().map(|path| format!("training.backbone={}", quoted(path))));
        Ok(load(&self.config, &set)?)
    }
}

/// All ranks end together; of their errors the one that is a reason counts, not those of the ranks that waited.
fn in_threads(
    n_ranks: usize,
    settings: &TrainingSettings,
    samples: &Samples,
    run: Run<'_>,
    watch: &dyn Watch,
) -> Result<Outcome, Error> {
    let ends: Vec<Result<Outcome, finetune_regions::Error>> = std::thread::scope(|scope| {
        let ranks = threads(n_ranks, PATIENCE).into_iter();
        let ranks: Vec<_> = ranks
            .map(|rank| {
                scope.spawn(move || {
                    let silent = Silent(watch);
                    let watch = if rank.rank() == 0 { watch } else { &silent };
                    train(settings, samples, run, &rank, watch)
                })
            })
            .collect();
        let joined = ranks
            .into_iter()
            .map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    });
    let (mut done, mut failed): (Vec<_>, Vec<_>) = ends.into_iter().partition(Result::is_ok);
    failed.sort_by_key(|end| matches!(end, Err(error) if error.is_echo()));
    let first = if failed.is_empty() { done.drain(..).next() } else { failed.into_iter().next() };
    Ok(first.ok_or_else(|| Error::Usage { problem: "no ranks".to_owned() })??)
}

/// Samples of shards, as the loop sees them.
pub(super) struct Samples(pub(super) DetectionSamples);

impl TrainingPictures for Samples {
    fn n_samples(&self) -> u64 {
        self.0.len()
    }

    fn classes(&self) -> &[String] {
        self.0.classes().list()
    }

    fn attributes(&self) -> &[String] {
        self.0.attributes().list()
    }

    fn sample(&self, epoch: u32, place: u64) -> Result<TrainingPicture, Unreadable> {
        self.0.sample(u64::from(epoch) * self.0.len() + place).map_err(|error| Unreadable {
            name: format!("sample {place} of epoch {epoch}"),
            reason: error.to_string(),
        })
    }
}

/// Other ranks say only what rank 0 cannot know: which pictures are unreadable.
struct Silent<'a>(&'a dyn Watch);

impl Watch for Silent<'_> {
    fn step(&self, _: &Progress) {}

    fn damaged(&self, _: &pretrain_training::Error) {}

    fn unreadable(&self, picture: &Unreadable) {
        self.0.unreadable(picture);
    }

    fn must_stop(&self) -> bool {
        self.0.must_stop()
    }
}
