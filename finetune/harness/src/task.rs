//! What the loop asks of a task.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use candle_core::Tensor;
use data_specs::RowId;
use pretrain::Result;
use pretrain::model::Pass;
use pretrain_comm::Collective;
use serde::Serialize;
use serde_json::Value;

/// A task with its data, opened once for all ranks.
pub trait Task: Debug + Send + Sync + 'static {
    /// What the network reads of one sample, and what it should say.
    type Example: Debug + Send + 'static;
    /// Encoder and head.
    type Network;

    /// Samples that are learnt from, section by section: those of one file each, which the order keeps together.
    fn n_samples(&self) -> Vec<u64>;

    /// A sample, at its place in the batch of all ranks; a pure function of its arguments.
    ///
    /// # Errors
    /// A failed read, with file and row.
    fn example(&self, sample: RowId, step: u32, place: u32) -> Result<Self::Example>;

    /// The network over tensors, which stay those of the caller.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    fn network(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Self::Network>;

    /// The sum of the losses of all samples, which the loop divides by the [`weight`](Self::weight) of those of all ranks.
    ///
    /// # Errors
    /// Those of the operations.
    fn loss(&self, network: &Self::Network, examples: &[Self::Example], pass: Pass) -> Result<Tensor>;

    /// What the sum of the losses of these samples is divided by, together with those of all micro-batches and ranks; without
    /// a word of the task it is their number. A loss that counts tokens says how many there are.
    fn weight(&self, examples: &[Self::Example], step: u64) -> f64 {
        let _ = step;
        examples.len() as f64
    }

    /// How good the network is on the held-out samples, shared among the ranks; none where there are none.
    ///
    /// # Errors
    /// A failed read, those of the operations, a rank that does not come.
    fn evaluate(&self, network: &Self::Network, ranks: &dyn Collective) -> Result<Option<Scores>>;

    /// Writes the model folder: config, weights, tokenizer, and what the task keeps beside them.
    ///
    /// # Errors
    /// The system's.
    fn write(&self, tensors: BTreeMap<String, Tensor>, folder: &Path) -> Result<()>;
}

/// How good a network is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The one that models are chosen by; larger is better.
    pub main: f64,
    /// All of them, as `finetune score` prints them, and what else is known.
    pub all: Value,
    /// Those that go into the run's figures.
    pub figures: BTreeMap<String, f64>,
}
