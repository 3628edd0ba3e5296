//! `finetune <task> train | eval | predict`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_specs::durable::write_durably;
use data_specs::{RowId, Tokenizer};
use pretrain::data::VerifyShards;
use pretrain::model::{Batch, ModelConfig, ModelFolder, Tensors};
use pretrain_comm::Solo;
use pretrain_kernels::Precision;
use serde::Serialize;

use super::Classification;
use super::answering::{Answered, answer};
use super::classified::{Classified, of_kind};
use super::folder;
use super::head::{Classifier, Head};
use crate::attention::{Attention, Explained, regions_read};
use crate::fine_tuning::{Outcome, Watch};
use crate::folder::Description;
use crate::settings::{SetSettings, Settings};
use crate::task::Scores;
use crate::texts::{Opening, Texts};
use crate::training::Train;
use crate::{DeviceChoice, Error, Result};

/// An evaluation that is asked for.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Fine-tuned model folder.
    pub model: PathBuf,
    /// Data set with annotations.
    pub data: PathBuf,
    /// Texts that are computed at once.
    pub micro: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// Predictions that are asked for.
#[derive(Debug, Clone)]
pub struct Predict {
    /// Fine-tuned model folder.
    pub model: PathBuf,
    /// Data set; annotations are not looked at.
    pub data: PathBuf,
    /// Only the row of this key.
    pub key: Option<String>,
    /// Where the official result file goes.
    pub out: Option<PathBuf>,
    /// Texts that are computed at once.
    pub micro: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// An answer to a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The row's key.
    pub key: String,
    /// The text's id.
    pub id: String,
    /// The text.
    pub text: String,
    /// The answer.
    pub answer: String,
    /// Its probability.
    pub confidence: f64,
}

impl Train {
    /// Trains; how it ended.
    ///
    /// # Errors
    /// Settings, data or network that do not fit; whatever stops the loop.
    pub fn run<C: Classification>(&self, watch: &dyn Watch) -> Result<Outcome> {
        self.run_task(watch, |settings: &Settings<C>| Classified::open(settings))
    }
}

impl Eval {
    /// All scores, as `finetune score` gives them for the predictions.
    ///
    /// # Errors
    /// Model or data that do not fit; data without annotations.
    pub fn run<C: Classification>(&self) -> Result<Scores> {
        let asked = Asking::<C>::open(&self.model, &self.data, self.precision, self.device)?;
        let rows: Vec<RowId> = asked.texts.all().collect();
        let answered = asked.answers(&rows, self.micro)?;
        asked.task.score(&answered).map_err(|problem| unfit::<C>(&self.data, "annotations", problem))
    }
}

impl Predict {
    /// Answers, in stored order.
    ///
    /// # Errors
    /// Model or data that do not fit; a key that is not there; a full disk.
    pub fn run<C: Classification>(&self) -> Result<Vec<Prediction>> {
        let asked = Asking::<C>::open(&self.model, &self.data, self.precision, self.device)?;
        let answered = asked.answers(&self.rows(&asked.texts)?, self.micro)?;
        if let Some(path) = &self.out {
            let text =
                asked.task.submission(&answered).map_err(|problem| unfit::<C>(&self.data, "ids", problem))?;
            write_durably(path, text.as_bytes(), "predictions")?;
        }
        let prediction = |answered: &Answered| Prediction {
            key: answered.place.sample().key.clone(),
            id: answered.text().id.clone(),
            text: answered.text().text.clone(),
            answer: answered.answer.clone(),
            confidence: answered.confidence,
        };
        Ok(answered.iter().map(prediction).collect())
    }

    /// What the words of each text looked at when it was answered.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn explain<C: Classification>(&self) -> Result<Vec<Explained>> {
        let asked = Asking::<C>::open(&self.model, &self.data, self.precision, self.device)?;
        let Asking { network, texts, config, tokenizer, .. } = &asked;
        let rows = self.rows(texts)?;
        let explained = |(row, answered): (&RowId, &Answered)| {
            let sample = answered.place.sample();
            let examples = texts.sequences(*row, 0)?;
            let sequences = examples.iter().enumerate().map(|(number, example)| {
                let batch = Batch::pack(std::slice::from_ref(example), config)?;
                let regions = regions_read(texts.pictures(), number, sample, texts.max_regions());
                Attention::of(network.encoder(), &batch, example, regions, tokenizer)
            });
            let Answered { answer, confidence, .. } = answered;
            Ok(Explained {
                title: format!("{} {answer} ({:.1} %)", answered.text().text, 100.0 * confidence),
                sample: answered.place.whole()?,
                sequences: sequences.collect::<Result<_>>()?,
            })
        };
        rows.iter().zip(&asked.answers(&rows, self.micro)?).map(explained).collect()
    }

    /// The texts that are asked about.
    fn rows(&self, texts: &Texts) -> Result<Vec<RowId>> {
        let Some(key) = &self.key else { return Ok(texts.all().collect()) };
        let mut kept = Vec::new();
        for row in texts.all() {
            if texts.place(row)?.sample().key == *key {
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return Err(Error::Unfit {
                path: self.data.clone(),
                field: "key".to_owned(),
                problem: format!("`{key}` is not there, or has no text of the task"),
                hint: "`pipeline peek` lists keys".to_owned(),
            });
        }
        Ok(kept)
    }
}

/// A fine-tuned model and the texts that it is asked.
struct Asking<C> {
    task: C,
    labels: Vec<String>,
    network: Classifier,
    texts: Arc<Texts>,
    config: ModelConfig,
    tokenizer: Tokenizer,
}

impl<C: Classification> Asking<C> {
    fn open(model: &Path, data: &Path, precision: Precision, device: DeviceChoice) -> Result<Self> {
        let device = device.open(0)?;
        let (task, layout) = Description::require::<C>(model, C::NAME)?;
        let labels = folder::labels(model)?;
        let loaded = ModelFolder::open(model)?;
        let tokenizer = Tokenizer::open(model)?;
        let n_sequences = task.pictures().n_sequences();
        let head = Head { settings: task.head(), n_labels: labels.len(), n_sequences };
        loaded.require(model, &head.shapes(&loaded.config))?;
        let opening = Opening {
            role: "held_out",
            sets: &[SetSettings { path: data.to_owned(), splits: None }],
            verify: VerifyShards::First,
            layout: &layout,
            pictures: task.pictures(),
            config: &loaded.config,
            tokenizer: &tokenizer,
            with_unknown: true,
            spec: C::SPEC,
            open_shards: Opening::IN_ORDER,
        };
        let texts = Arc::new(Texts::open(&opening, &of_kind::<C>(task.asking(&labels)))?);
        let weights = loaded.tensors_on(&device)?;
        let tensors = Tensors::new(&weights).computing_in(precision);
        let network = Classifier::new(&loaded.config, head, tensors)?;
        Ok(Self { task, labels, network, texts, config: loaded.config, tokenizer })
    }

    fn answers(&self, rows: &[RowId], micro: usize) -> Result<Vec<Answered>> {
        answer(&self.network, &self.labels, &self.texts, rows, micro.max(1), [2, 8], &Solo)
    }
}

fn unfit<C: Classification>(data: &Path, field: &str, problem: String) -> Error {
    Error::Unfit {
        path: data.to_owned(),
        field: field.to_owned(),
        problem,
        hint: format!("build a data set with official annotations: {}", C::SPEC),
    }
}
