//! What stands beside the weights of a fine-tuned model: what it was asked.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::Tokenizer;
use data_specs::durable::write_durably;
use pretrain::model::{ModelConfig, ModelFolder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::settings::Layout;
use crate::{Error, Result};

/// `finetuning.json`: with it a folder can be asked without the settings of its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The task's name in commands.
    pub task: String,
    /// Section `task` of the settings.
    pub settings: Value,
    /// How texts lie beside pictures.
    pub layout: Layout,
}

const DESCRIPTION: &str = "finetuning.json";

impl Description {
    /// Of a task's settings.
    pub fn of(name: &str, task: &impl Serialize, layout: &Layout) -> Self {
        let settings = serde_json::to_value(task).expect("settings of a task are words and numbers");
        Self { task: name.to_owned(), settings, layout: layout.clone() }
    }

    /// The folder's, if it was fine-tuned at all.
    ///
    /// # Errors
    /// A damaged file.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(DESCRIPTION);
        if path.is_file() { read(&path).map(Some) } else { Ok(None) }
    }

    /// The settings of the folder, which must be of this task.
    ///
    /// # Errors
    /// A folder that was not fine-tuned, or for another task.
    pub fn require<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<(T, Layout)> {
        let unfit = |problem: String| Error::Unfit {
            path: folder.join(DESCRIPTION),
            field: "task".to_owned(),
            problem,
            hint: format!(
                "name a model that `finetune {name} train` wrote, or that `pretrain convert --task {name}` did"
            ),
        };
        let found = Self::find(folder)?.ok_or_else(|| unfit("is not there".to_owned()))?;
        if found.task != name {
            return Err(unfit(format!("is `{}`, not `{name}`", found.task)));
        }
        let task = serde_json::from_value(found.settings).map_err(|error| unfit(error.to_string()))?;
        Ok((task, found.layout))
    }

    /// Writes all of a model folder; `head` are the keys of `config.json` that describe the head, `beside` are further
    /// JSON files.
    ///
    /// # Errors
    /// The system's.
    pub fn write(
        &self,
        folder: &Path,
        (config, tensors): (&ModelConfig, BTreeMap<String, Tensor>),
        tokenizer: &Tokenizer,
        head: &[(&str, Value)],
        beside: &[(&str, Value)],
    ) -> Result<()> {
        let mut config = config.clone();
        config.other.insert("finetuning_task".to_owned(), json!(self.task));
        for (key, value) in head {
            config.other.insert((*key).to_owned(), value.clone());
        }
        ModelFolder { config, tensors }.write(folder)?;
        tokenizer.write(folder)?;
        for (name, value) in beside.iter().chain(&[(DESCRIPTION, json!(self))]) {
            let text = serde_json::to_string_pretty(value).expect("a value is always JSON") + "\n";
            write_durably(&folder.join(name), text.as_bytes(), "model")?;
        }
        Ok(())
    }
}

pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        field: "JSON".to_owned(),
        problem: error.to_string(),
        hint: "the file is damaged; export the model again".to_owned(),
    })
}
