//! What came out of a run.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::durable::write_durably;
use pretrain_training::Checkpoints;
use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::architecture::Architecture;
use crate::backbone::Backbone;
use crate::flavour::Flavour;
use crate::names;

/// Which network a run trains, `network.json` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// timm's name, or one of our own.
    pub architecture: String,
    /// Whose padding and epsilon it has: `timm`, `tf` or `torchvision`.
    pub flavour: String,
    /// Names of the classes, in the order of the classifier's outputs.
    pub classes: Vec<String>,
}

/// Weights of a run's newest good checkpoint.
#[derive(Debug)]
pub struct Trained {
    /// Which network.
    pub card: Card,
    /// Updates made.
    pub step: u64,
    /// Whether these are averages.
    pub is_average: bool,
    architecture: Architecture,
    flavour: Flavour,
    weights: BTreeMap<String, Tensor>,
}

const FILE: &str = "network.json";
const COUNTER: &str = "updates";

impl Card {
    pub(crate) fn new(backbone: &Backbone, classes: &[String]) -> Self {
        Self {
            architecture: backbone.architecture().to_string(),
            flavour: backbone.flavour().name().to_owned(),
            classes: classes.to_vec(),
        }
    }

    /// Puts it into a run's folder; or, where one is there, requires that it is the same.
    pub(crate) fn keep_in(&self, run: &Path) -> Result<()> {
        if run.join(FILE).exists() {
            let there = Self::read(run)?;
            if there == *self {
                return Ok(());
            }
            return Err(Error::Classes {
                what: format!("{} was trained for", run.display()),
                found: there.classes.len(),
                expected: self.classes.len(),
                hint: "the pictures have other classes than at the start; give the same pictures, or start a new run",
            });
        }
        let text = serde_json::to_string_pretty(self).expect("names are always JSON");
        Ok(write_durably(&run.join(FILE), text.as_bytes(), "network")?)
    }

    fn read(run: &Path) -> Result<Self> {
        let path = run.join(FILE);
        let bytes = std::fs::read(&path).map_err(data_specs::Error::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("is damaged: {error}");
            pretrain_training::Error::Damaged { path, problem }.into()
        })
    }
}

impl Trained {
    /// Opens the newest good checkpoint of a run: the averages, if there are any and `last` does not ask for the last
    /// weights.
    ///
    /// # Errors
    /// No run, or no good checkpoint in it.
    pub fn open(run: &Path, last: bool) -> Result<Self> {
        let card = Card::read(run)?;
        let folder = run.join("checkpoints");
        let newest = Checkpoints::look_at(&folder).newest()?;
        let Some(checkpoint) = newest.checkpoint else {
            let damaged = newest.damaged.iter().map(|error| format!("; {error}")).collect();
            return Err(pretrain_training::Error::NoCheckpoint { run: run.to_owned(), damaged }.into());
        };
        let is_average = !last && checkpoint.path().join("average.safetensors").exists();
        let mut weights = checkpoint.tensors(if is_average { "average" } else { "model" })?;
        weights.remove(COUNTER);
        let architecture = card.architecture.parse()?;
        let flavour = Flavour::named(&card.flavour).ok_or_else(|| Error::Setting {
            key: "network.json: flavour",
            problem: format!("is {:?}", card.flavour),
            hint: "it is timm, tf or torchvision",
        })?;
        Ok(Self { step: checkpoint.state().step, card, is_average, architecture, flavour, weights })
    }

    /// The network, for inference.
    ///
    /// # Errors
    /// Tensors that are missing.
    pub fn backbone(&self) -> Result<Backbone> {
        Ok(Backbone::new(self.architecture, self.flavour, self.card.classes.len(), &self.weights)?)
    }

    /// All tensors, by the names of timm or of torchvision.
    ///
    /// # Errors
    /// Names of a library in which the same tensors would compute something else.
    pub fn named(&self, library: Flavour) -> Result<BTreeMap<String, Tensor>> {
        let refuse = |problem: &str, hint: &'static str| {
            let problem = format!("is {library} for {} of {}: {problem}", self.architecture, self.flavour);
            Err(Error::Setting { key: "--names", problem, hint })
        };
        if !self.architecture.is_efficientnet() || library != Flavour::Torchvision {
            return Ok(self.weights.clone());
        }
        if self.flavour == Flavour::Tf {
            return refuse("torchvision has no SAME padding", "export under timm's names");
        }
        if self.flavour.numerics(self.architecture) != library.numerics(self.architecture) {
            return refuse("torchvision computes it with another epsilon", "export under timm's names");
        }
        let renamed = self.weights.iter().map(|(timm, tensor)| {
            let name =
                names::in_torchvision(timm).ok_or_else(|| crate::Error::Internal { tensor: timm.clone() })?;
            Ok((name, tensor.clone()))
        });
        renamed.collect()
    }
}
