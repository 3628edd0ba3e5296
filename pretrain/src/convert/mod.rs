//! `pretrain convert`: published weights become a model folder.
//!
//! Every tensor of the file is used or told to be unused, every tensor of the model is filled or told to be fresh; nothing
//! is random in silence. Weights go through memory one tensor at a time.

mod classifier;
mod config;
mod heads;
mod names;
mod source;
mod task;
mod writing;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_specs::{Tokenizer, durable};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result};
use config::Config;
use heads::Plan;
use source::Source;

/// A conversion that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    /// A folder with weights, config and vocabulary, or a file of weights.
    pub from: PathBuf,
    /// The model folder to write; it must not hold anything yet.
    pub to: PathBuf,
    /// `config.json`, over the folder's.
    pub config: Option<PathBuf>,
    /// `vocab.txt`, `tokenizer.json` or a folder with them, over the folder's.
    pub vocabulary: Option<PathBuf>,
    /// Heads that are left to be drawn: `cls.predictions`, `cls.seq_relationship`, `classifier`.
    pub fresh: Vec<String>,
    /// What the model was fine-tuned for, over what `finetuning_task` in the config says.
    pub task: Option<String>,
    /// Answers by number, a JSON or pickled list or map.
    pub labels: Option<PathBuf>,
    /// The order of a region's last two numbers, `wh` or `hw`, over the config's.
    pub region_geometry: Option<crate::model::RegionGeometry>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Converted {
    /// The model folder.
    pub to: PathBuf,
    /// The file that weights were read from.
    pub weights: PathBuf,
    /// `safetensors` or `torch`.
    pub container: &'static str,
    /// Every tensor of the model that was written.
    pub tensors: Vec<Filled>,
    /// Numbers in them.
    pub parameters: usize,
    /// Tensors of the file that the model does not have.
    pub unused: Vec<Told>,
    /// Tensors, or heads, that the folder does not have: a training draws them.
    pub fresh: Vec<Told>,
    /// Keys of the config that were corrected or added.
    pub config: Vec<Told>,
    /// What the folder can be asked, where that is known.
    pub task: Option<String>,
    /// What is missing before it can be asked.
    pub lacks: Vec<String>,
}

/// A tensor of the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Filled {
    /// Its published name.
    pub name: String,
    /// Its name in the file; none where the original has none and the value is known.
    pub source: Option<String>,
    /// Its type in the file.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A name, and why it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// Of a tensor, a head or a key.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Told {
    fn new(name: &str, why: impl Into<String>) -> Self {
        Self { name: name.to_owned(), why: why.into() }
    }
}

impl Conversion {
    /// Reads, checks and writes; the folder is there whole or not at all.
    ///
    /// # Errors
    /// Files that are missing, damaged, no plain data or of another model; a head that would be random in silence; a folder
    /// that is there already.
    pub fn run(&self) -> Result<Converted> {
        let fresh = heads::Fresh::of(&self.fresh)?;
        refuse_existing(&self.to)?;
        if !self.from.exists() {
            return Err(Error::Unfit {
                path: self.from.clone(),
                field: "--from".to_owned(),
                problem: "is not there".to_owned(),
                hint: "name a folder or a file of published weights".to_owned(),
            });
        }
        let is_folder = self.from.is_dir();
        let weights = if is_folder { weights_of(&self.from)? } else { self.from.clone() };
        let mut config = Config::read(&self.config_path(is_folder)?)?;
        let tokenizer = Tokenizer::open(&self.vocabulary_path(is_folder)?)?;
        let source = Source::open(&weights)?;
        let named = names::publish(&weights, &source)?;
        config.fit(&weights, &named, self.region_geometry)?;
        if tokenizer.len() != config.model.vocab_size {
            return Err(Error::Unfit {
                path: self.vocabulary_path(is_folder)?,
                field: "vocabulary".to_owned(),
                problem: format!(
                    "has {} tokens, the model's vocab_size is {}",
                    tokenizer.len(),
                    config.model.vocab_size
                ),
                hint: "give the vocabulary that belongs to the model by --vocabulary".to_owned(),
            });
        }
        let mut plan = Plan::of(&source, named, &mut config, &fresh)?;
        plan.settle(&source, &mut config)?;
        let (task, files, lacks) =
            task::describe(&mut config, &plan, self.task.as_deref(), self.labels.as_deref())?;
        let folder = pending(&self.to)?;
        let parameters = writing::write(folder.path(), &source, &plan)?;
        tokenizer.write(folder.path())?;
        for (name, value) in files {
            write_json(&folder.path().join(name), &value)?;
        }
        let value = serde_json::to_value(&config.model).expect("a config is numbers and words");
        write_json(&folder.path().join("config.json"), &value)?;
        publish(folder, &self.to)?;
        Ok(Converted {
            to: self.to.clone(),
            weights,
            container: source.container(),
            tensors: plan.filled(&source),
            parameters,
            unused: plan.unused,
            fresh: plan.fresh,
            config: config.changes,
            task,
            lacks,
        })
    }

    fn config_path(&self, is_folder: bool) -> Result<PathBuf> {
        match &self.config {
            Some(path) => Ok(path.clone()),
            None if is_folder => {
                let found = ["config.json", "bert_config.json"].map(|name| self.from.join(name));
                found.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Unfit {
                    path: self.from.clone(),
                    field: "config.json".to_owned(),
                    problem: "is not there, nor bert_config.json".to_owned(),
                    hint: "give the model's sizes by --config FILE".to_owned(),
                })
            }
            None => Err(not_given("--config", "a file of weights does not say the model's sizes")),
        }
    }

    fn vocabulary_path(&self, is_folder: bool) -> Result<PathBuf> {
        match &self.vocabulary {
            Some(path) => Ok(path.clone()),
            None if !is_folder => Err(not_given("--vocabulary", "a file of weights has no words")),
            None if ["tokenizer.json", "vocab.txt"].iter().any(|name| self.from.join(name).is_file()) => {
                Ok(self.from.clone())
            }
            None => Err(Error::Unfit {
                path: self.from.clone(),
                field: "vocabulary".to_owned(),
                problem: "is not there: neither tokenizer.json nor vocab.txt".to_owned(),
                hint: "give the model's own vocabulary by --vocabulary FILE".to_owned(),
            }),
        }
    }
}

fn not_given(key: &str, why: &str) -> Error {
    Error::Setting {
        key: key.to_owned(),
        problem: "is not given".to_owned(),
        hint: format!("{why}: give the file"),
    }
}

fn refuse_existing(to: &Path) -> Result<()> {
    let is_free = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    Err(Error::Setting {
        key: "--to".to_owned(),
        problem: format!("{} is there already and not an empty folder", to.display()),
        hint: "name a new folder".to_owned(),
    })
}

/// The file of weights in a folder; of two kinds that without pickles.
fn weights_of(folder: &Path) -> Result<PathBuf> {
    let unfit = |field: &str, problem: &str, hint: &str| Error::Unfit {
        path: folder.to_owned(),
        field: field.to_owned(),
        problem: problem.to_owned(),
        hint: hint.to_owned(),
    };
    let found = ["model.safetensors", "pytorch_model.bin"].map(|name| folder.join(name));
    if let Some(path) = found.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let index = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
    if index.iter().any(|name| folder.join(name).is_file()) {
        return Err(unfit("weights", "are in several files", "save them again as one file"));
    }
    let problem = "are not there: neither model.safetensors nor pytorch_model.bin";
    Err(unfit("weights", problem, "give the file of weights itself, with --config and --vocabulary"))
}

/// A folder beside `to`, which takes its name when it is whole.
fn pending(to: &Path) -> Result<tempfile::TempDir> {
    let parent = parent(to);
    std::fs::create_dir_all(parent).map_err(data_specs::Error::io("create", parent))?;
    let name = to.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let made = tempfile::Builder::new()
        .prefix(&format!(".{name}.convert."))
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent);
    Ok(made.map_err(data_specs::Error::io("create a folder in", parent))?)
}

fn publish(folder: tempfile::TempDir, to: &Path) -> Result<()> {
    durable::sync_folder(folder.path())?;
    std::fs::rename(folder.path(), to).map_err(data_specs::Error::io("rename to", to))?;
    // under its old name there is nothing left to remove
    let _ = folder.keep();
    Ok(durable::sync_folder(parent(to))?)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("a value is always JSON") + "\n";
    Ok(durable::write_durably(path, text.as_bytes(), "convert")?)
}

/// A JSON or text file that a person could have written.
fn read_text(path: &Path) -> Result<String> {
    const LONGEST: u64 = 64 << 20;
    let length = std::fs::metadata(path).map_err(data_specs::Error::io("read", path))?.len();
    if length > LONGEST {
        return Err(Error::Unfit {
            path: path.to_owned(),
            field: "file".to_owned(),
            problem: format!("has {length} bytes"),
            hint: "this is not the file that is meant".to_owned(),
        });
    }
    Ok(std::fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?)
}
