//! What stands beside the weights of a fine-tuned model: what it was asked, and the labels it answers with.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::Tokenizer;
use data_specs::durable::write_durably;
use pretrain::model::{ModelConfig, ModelFolder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Classification;
use super::head::Head;
use crate::settings::Layout;
use crate::{Error, Result};

/// `finetuning.json`: with it a folder can be asked without the settings of its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) task: String,
    /// Section `task` of the settings.
    pub(super) settings: Value,
    pub(super) layout: Layout,
}

const DESCRIPTION: &str = "finetuning.json";
const LABELS: &str = "labels.json";

impl Description {
    pub(super) fn of<C: Classification>(task: &C, layout: &Layout) -> Self {
        let settings = serde_json::to_value(task).expect("settings of a task are words and numbers");
        Self { task: C::NAME.to_owned(), settings, layout: layout.clone() }
    }

    /// The folder's, if it was fine-tuned at all.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(DESCRIPTION);
        if path.is_file() { read(&path).map(Some) } else { Ok(None) }
    }

    /// The folder's, which must be of this task.
    pub(super) fn require<C: Classification>(folder: &Path) -> Result<(C, Layout)> {
        let unfit = |problem: String| Error::Unfit {
            path: folder.join(DESCRIPTION),
            field: "task".to_owned(),
            problem,
            hint: format!("name a model that `finetune {} train` wrote", C::NAME),
        };
        let found = Self::find(folder)?.ok_or_else(|| unfit("is not there".to_owned()))?;
        if found.task != C::NAME {
            return Err(unfit(format!("is `{}`, not `{}`", found.task, C::NAME)));
        }
        let task = serde_json::from_value(found.settings).map_err(|error| unfit(error.to_string()))?;
        Ok((task, found.layout))
    }
}

/// The labels of a folder, by number.
pub(super) fn labels(folder: &Path) -> Result<Vec<String>> {
    read(&folder.join(LABELS))
}

/// Writes all of a model folder.
pub(super) fn write(
    folder: &Path,
    description: &Description,
    (config, head): (&ModelConfig, &Head),
    labels: &[String],
    tokenizer: &Tokenizer,
    tensors: BTreeMap<String, Tensor>,
) -> Result<()> {
    let mut config = config.clone();
    let settings = serde_json::to_value(head.settings).expect("a head's settings are words and numbers");
    for (key, value) in [
        ("finetuning_task", json!(description.task)),
        ("num_labels", json!(head.n_labels)),
        ("num_choice", json!(head.n_sequences)),
        ("classifier", settings["classifier"].clone()),
        ("cls_hidden_scale", settings["cls_hidden_scale"].clone()),
        ("use_layernorm", json!(head.has_norm(&config))),
        ("loss_type", settings["loss_type"].clone()),
    ] {
        config.other.insert(key.to_owned(), value);
    }
    ModelFolder { config, tensors }.write(folder)?;
    tokenizer.write(folder)?;
    for (name, value) in [(LABELS, json!(labels)), (DESCRIPTION, json!(description))] {
        let text = serde_json::to_string_pretty(&value).expect("a value is always JSON") + "\n";
        write_durably(&folder.join(name), text.as_bytes(), "model")?;
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        field: "JSON".to_owned(),
        problem: error.to_string(),
        hint: "the file is damaged; export the model again".to_owned(),
    })
}
