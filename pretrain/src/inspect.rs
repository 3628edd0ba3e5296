//! `pretrain inspect`: what a model folder or a run holds.

use std::path::{Path, PathBuf};

use pretrain_training::Checkpoints;
use serde::Serialize;

use crate::model::{ModelConfig, ModelFolder, Shapes};
use crate::{Error, Result};

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Inspection {
    /// A model folder.
    Model {
        /// Where.
        path: PathBuf,
        /// `config.json`, defaults included.
        config: Box<ModelConfig>,
        /// Tensors in `model.safetensors`; a tied matrix counts once.
        tensors: usize,
        /// Numbers in them.
        parameters: usize,
        /// Of the pre-training model, what the folder lacks.
        missing: Vec<String>,
        /// What the folder has beside it: heads of tasks.
        other: Vec<String>,
        /// Tensors with a number that is not finite.
        not_finite: Vec<String>,
    },
    /// The folder of a run.
    Run {
        /// Where.
        path: PathBuf,
        /// Updates of its newest good checkpoint.
        step: Option<u64>,
        /// Checkpoints that are not what was written.
        damaged: Vec<String>,
        /// Whether `model` is there.
        has_model: bool,
        /// The last line of figures of each kind.
        figures: std::collections::BTreeMap<String, serde_json::Value>,
    },
}

/// Looks at a folder.
///
/// # Errors
/// A folder that is neither; damaged files.
pub fn inspect(path: &Path) -> Result<Inspection> {
    if path.join("checkpoints").is_dir() {
        return inspect_run(path);
    }
    if !path.join("config.json").is_file() {
        return Err(Error::Unfit {
            path: path.to_owned(),
            field: "folder".to_owned(),
            problem: "holds neither config.json nor checkpoints".to_owned(),
            hint: "give a model folder, or the --out of a run".to_owned(),
        });
    }
    let ModelFolder { config, tensors } = ModelFolder::open(path)?;
    let shapes = Shapes::of_pretraining(&config);
    let wanted: Vec<&str> = shapes.iter().map(|(name, _)| name).collect();
    let mut not_finite = Vec::new();
    for (name, tensor) in &tensors {
        let sum =
            tensor.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).map(f64::abs).sum::<f64>();
        if !sum.is_finite() {
            not_finite.push(name.clone());
        }
    }
    Ok(Inspection::Model {
        path: path.to_owned(),
        tensors: tensors.len(),
        parameters: tensors.values().map(|tensor| tensor.elem_count()).sum(),
        missing: wanted
            .iter()
            .filter(|name| !tensors.contains_key(**name))
            .map(|name| (*name).to_owned())
            .collect(),
        other: tensors.keys().filter(|name| !wanted.contains(&name.as_str())).cloned().collect(),
        not_finite,
        config: Box::new(config),
    })
}

fn inspect_run(path: &Path) -> Result<Inspection> {
    let newest = Checkpoints::look_at(&path.join("checkpoints")).newest()?;
    let lines = path.join("metrics.jsonl");
    let text = match std::fs::read_to_string(&lines) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.map_err(data_specs::Error::io("read", &lines))?,
    };
    let mut figures = std::collections::BTreeMap::new();
    // a line that a crash cut short is no line
    for line in text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        if let Some(kind) = line["kind"].as_str() {
            figures.insert(kind.to_owned(), line.clone());
        }
    }
    Ok(Inspection::Run {
        path: path.to_owned(),
        step: newest.checkpoint.map(|checkpoint| checkpoint.state().step),
        damaged: newest.damaged.iter().map(ToString::to_string).collect(),
        has_model: path.join("model/model.safetensors").is_file(),
        figures,
    })
}
