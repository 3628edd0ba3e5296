//! `finetune backbone scale`: networks of other sizes by one rule, trained and compared. Paper: 1905.11946.

mod question;
mod report;

use std::path::{Path, PathBuf};

use data_specs::durable::write_durably;
use finetune_backbones::Architecture;
use finetune_backbones::training::{Evaluation, Watch};
use pretrain_kernels::Precision;
use pretrain_training::Checkpoints;
use serde::{Deserialize, Serialize};

pub use question::Question;
pub use report::{ScaleReport, ScaleRow};

use super::Error;
use super::eval::Eval;
use super::pictures::Index;
use super::settings::{FREE, TrainSettings};
use super::train::Train;
use question::Point;

/// Trains every network that a question asks for, with the same settings, and ranks them.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Settings of one training in TOML: `network.architecture` and `input.side` are the base.
    pub config: PathBuf,
    /// `section.key=value`, over the file's.
    pub set: Vec<String>,
    /// The study's folder: its settings, a run for each network, results.
    pub out: PathBuf,
    /// What is asked.
    pub question: Question,
    /// Whether to say only what would be trained, and what it costs.
    pub dry_run: bool,
}

/// How good a network is on the held-out pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// Share of pictures whose class is the likeliest.
    pub top1: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Updates.
    pub steps: u64,
}

/// What a study's folder keeps of its question.
const STUDY: &str = "study.json";
/// What a run's folder in it keeps when it is done.
const SCORE: &str = "score.json";

impl Scale {
    /// Trains what is not trained yet; `None` where a signal ended it, after which the same command goes on.
    ///
    /// # Errors
    /// Everything that can be known before the first training is said before it: a question without an answer, networks
    /// that cannot be made, settings that cannot be meant, a folder that holds another study. Then whatever stops a
    /// training.
    pub fn run(&self, watch: &dyn Watch) -> Result<Option<ScaleReport>, Error> {
        let resolved = TrainSettings::load(&self.config, &self.set)?;
        let settings = &resolved.settings;
        let usage = |problem: &str| Error::Usage { problem: problem.to_owned() };
        if settings.data.held_out.is_none() {
            return Err(usage("networks are ranked by pictures that they have not seen; set data.held_out"));
        }
        if settings.network.weights.is_some() {
            return Err(usage("weights of one size do not fit another; leave network.weights out"));
        }
        let base: Architecture = settings.network.architecture.parse()?;
        let points = self.question.points(base, settings.input.side)?;
        for point in &points {
            settings.input.preparation(point.architecture)?;
        }
        let data = &settings.data;
        let n_classes = Index::open(&data.train, data.format, data.classes.as_deref())?.classes().len();
        let base = Point::base(base, settings.input.side)?;
        if self.dry_run {
            return Ok(Some(ScaleReport::new(&self.question, &base, &points, &[], n_classes)));
        }

        std::fs::create_dir_all(&self.out).map_err(data_specs::Error::io("create", &self.out))?;
        self.keep_question()?;
        resolved.keep_in(&self.out, &FREE)?;
        let mut scores = Vec::with_capacity(points.len());
        for point in &points {
            match self.score(point, watch)? {
                Some(score) => scores.push(score),
                None => return Ok(None),
            }
        }
        let report = ScaleReport::new(&self.question, &base, &points, &scores, n_classes);
        let json = serde_json::to_vec_pretty(&report).expect("numbers and names are always JSON");
        for (file, bytes) in [
            ("results.json", json),
            ("results.txt", report.table().into_bytes()),
            ("results.svg", report.chart().unwrap_or_default().into_bytes()),
        ] {
            write_durably(&self.out.join(file), &bytes, "scale")?;
        }
        Ok(Some(report))
    }

    /// Refuses a folder that answers another question; begins one that answers none.
    fn keep_question(&self) -> Result<(), Error> {
        let path = self.out.join(STUDY);
        if !path.exists() {
            let json = serde_json::to_vec(&self.question).expect("numbers and names are always JSON");
            return Ok(write_durably(&path, &json, "scale")?);
        }
        let there: Question = read(&path)?;
        if there == self.question {
            return Ok(());
        }
        let text = |question: &Question| serde_json::to_string(question).unwrap_or_default();
        let (then, now) = (text(&there), text(&self.question));
        let problem = format!(
            "{} holds the study of another question: {then} then, {now} now; name another folder",
            self.out.display()
        );
        Err(Error::Usage { problem })
    }

    /// Trains a network, or goes on training it, or reads how good it was; `None` where a signal ended it.
    fn score(&self, point: &Point, watch: &dyn Watch) -> Result<Option<Score>, Error> {
        let run = self.out.join("runs").join(point.name());
        let path = run.join(SCORE);
        if path.exists() {
            return Ok(Some(read(&path)?));
        }
        let own = [
            format!("network.architecture={:?}", point.architecture.to_string()),
            format!("input.side={}", point.side),
        ];
        let set = self.set.iter().cloned().chain(own).collect();
        // one that was stopped before its first checkpoint begins again
        let checkpoints = run.join("checkpoints");
        let resume = checkpoints.exists() && {
            let newest = Checkpoints::look_at(&checkpoints).newest()?;
            newest.checkpoint.is_some() || !newest.damaged.is_empty()
        };
        let train = Train { config: self.config.clone(), set, out: run.clone(), resume, ranks: 1 };
        let outcome = train.run(watch)?;
        if !outcome.is_done {
            return Ok(None);
        }
        let Evaluation { top1, loss, .. } = match outcome.evaluation {
            Some(evaluation) => evaluation,
            // it was done before, and ended before its score was kept
            None => {
                let precision = Precision::F32;
                Eval { run, data: None, format: None, last: false, confusion: None, precision }.run()?.1
            }
        };
        let score = Score { top1, loss, steps: outcome.step };
        let json = serde_json::to_vec(&score).expect("numbers are always JSON");
        write_durably(&path, &json, "scale")?;
        Ok(Some(score))
    }
}

/// A file of the study.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Inputs {
        path: path.to_owned(),
        problem: format!("is damaged: {error}; take it away, and it is made again"),
    })
}
