//! Model folders: what a captioning starts from, and what it leaves.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use data_specs::Tokenizer;
use data_specs::durable::write_durably;
use finetune_harness::{Error, Layout, ModelSettings, Network, Result, SetSettings};
use pretrain::model::{ModelConfig, ModelFolder};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::captioner::{Captioner, DECODER, HEAD, WORDS, shapes};
use crate::settings::Captioning;

/// `finetuning.json`: with it a folder can be asked without the settings of its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) task: String,
    pub(crate) settings: Captioning,
    pub(crate) layout: Layout,
}

/// A network with its first weights.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) told: Vec<String>,
}

/// A fine-tuned model.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) settings: Captioning,
    pub(crate) layout: Layout,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) captioner: Captioner,
}

const DESCRIPTION: &str = "finetuning.json";
/// The first published layout, and what the second calls the same.
const FIRST_LAYOUT: [(&str, &str); 5] = [
    ("transform.dense.weight", "cls.predictions.transform.dense.weight"),
    ("transform.dense.bias", "cls.predictions.transform.dense.bias"),
    ("transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.weight"),
    ("transform.LayerNorm.bias", "cls.predictions.transform.LayerNorm.bias"),
    ("decoder.weight", DECODER),
];
const BIAS: &str = "cls.predictions.bias";

/// Opens what a training starts from. The head is that of the folder: one that is not there would be random, and is an error
/// unless `model.replace_head`.
pub(crate) fn first(
    settings: &Captioning,
    model: &ModelSettings,
    sets: &[SetSettings],
    seed: u64,
) -> Result<First> {
    let mut network = Network::open(model, sets)?;
    let path = network.folder().map(Path::to_owned).unwrap_or_default();
    if let Some(tensors) = network.loaded() {
        rename(&path, tensors)?;
        fit_decoder(&path, tensors, settings.tie_weights)?;
        if !model.replace_head && !tensors.contains_key("cls.predictions.transform.dense.weight") {
            return Err(no_head(
                &path,
                "start from a model that `pretrain run` or `finetune captioning train` wrote, or from BERT's; or draw a head \
                 by --set model.replace_head=true",
            ));
        }
    }
    let config = network.config.clone();
    let first =
        network.first_weights(&shapes(&config, settings.tie_weights), HEAD, model.replace_head, seed)?;
    let listed =
        |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    let mut told = vec![format!("{} layers of {}", config.num_hidden_layers, config.hidden_size)];
    told.extend(listed("drawn, as the model folder does not have them", &first.drawn));
    told.extend(listed("not of this task, left out", &first.left_out));
    Ok(First { config, tokenizer: network.tokenizer, tensors: first.tensors, told })
}

/// Opens a model that captions are asked of. `change` may replace settings before they are checked.
pub(crate) fn open(path: &Path, change: impl FnOnce(&mut Captioning) -> Result<()>) -> Result<Opened> {
    let mut loaded = ModelFolder::open_untied(path)?;
    rename(path, &mut loaded.tensors)?;
    let file = path.join(DESCRIPTION);
    let hint = "name a model that `finetune captioning train` wrote, or train one on this folder";
    if !file.is_file() {
        return Err(no_head(path, hint));
    }
    let text = std::fs::read_to_string(&file).map_err(data_specs::Error::io("read", &file))?;
    let task: Option<String> = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|json| Some(json.get("task")?.as_str()?.to_owned()));
    let unfit = |problem: String| Error::Unfit {
        path: file.clone(),
        field: "task".to_owned(),
        problem,
        hint: hint.to_owned(),
    };
    if let Some(task) = task.filter(|task| task != "captioning") {
        return Err(unfit(format!("is `{task}`, which has no caption head")));
    }
    let Description { mut settings, layout, .. } =
        serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
    change(&mut settings)?;
    settings.validate(&layout)?;
    fit_decoder(path, &mut loaded.tensors, settings.tie_weights)?;
    loaded.require(path, &shapes(&loaded.config, settings.tie_weights))?;
    let captioner = Captioner::new(&loaded.config, &loaded.tensors)?;
    Ok(Opened { settings, layout, tokenizer: Tokenizer::open(path)?, captioner })
}

/// Writes all of a model folder; names are those of the second published layout.
pub(crate) fn write(
    folder: &Path,
    description: &Description,
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: BTreeMap<String, Tensor>,
) -> Result<()> {
    let mut config = config.clone();
    let settings = &description.settings;
    for (key, value) in [
        ("finetuning_task", json!(description.task)),
        ("tie_weights", json!(settings.tie_weights)),
        ("freeze_embedding", json!(settings.freeze_embedding)),
        ("label_smoothing", json!(settings.label_smoothing)),
        ("drop_worst_ratio", json!(settings.drop_worst_ratio)),
        ("drop_worst_after", json!(settings.drop_worst_after)),
    ] {
        config.other.insert(key.to_owned(), value);
    }
    ModelFolder { config, tensors }.write(folder)?;
    tokenizer.write(folder)?;
    let text = serde_json::to_string_pretty(description).expect("settings are words and numbers") + "\n";
    Ok(write_durably(&folder.join(DESCRIPTION), text.as_bytes(), "model")?)
}

/// Calls the tensors of the first published layout as the second does. It has no bias of the vocabulary: that is 0.
fn rename(path: &Path, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let n_old = FIRST_LAYOUT.iter().filter(|(old, _)| tensors.contains_key(*old)).count();
    if n_old == 0 {
        return Ok(());
    }
    let unfit = |problem: String| Error::Unfit {
        path: path.join("model.safetensors"),
        field: "the caption head".to_owned(),
        problem,
        hint: "convert the checkpoint again; a head is transform.* and decoder.weight, or cls.predictions.*"
            .to_owned(),
    };
    if let Some(both) = tensors.keys().find(|name| name.starts_with(HEAD)) {
        return Err(unfit(format!("is there twice: as transform.* or decoder.weight, and as {both}")));
    }
    if let Some((missing, _)) = FIRST_LAYOUT.iter().find(|(old, _)| !tensors.contains_key(*old)) {
        return Err(unfit(format!("lacks {missing}")));
    }
    for (old, new) in FIRST_LAYOUT {
        let tensor = tensors.remove(old).expect("all of them were seen");
        tensors.insert(new.to_owned(), tensor);
    }
    let words = tensors[DECODER].dim(0)?;
    tensors.insert(BIAS.to_owned(), Tensor::zeros(words, DType::F32, &Device::Cpu)?);
    Ok(())
}

/// A decoder that is to be tied must not differ from the word embeddings; one of its own begins as they are.
fn fit_decoder(path: &Path, tensors: &mut BTreeMap<String, Tensor>, tied: bool) -> Result<()> {
    let words = tensors.get(WORDS).cloned();
    match (tensors.get(DECODER), words) {
        (Some(decoder), Some(words)) if tied => {
            let same = decoder.dims() == words.dims()
                && decoder.flatten_all()?.to_vec1::<f32>()? == words.flatten_all()?.to_vec1::<f32>()?;
            if !same {
                return Err(Error::Unfit {
                    path: path.join("model.safetensors"),
                    field: "the decoder".to_owned(),
                    problem: "differs from the word embeddings, which it is to be tied to".to_owned(),
                    hint: "keep it by --set task.tie_weights=false".to_owned(),
                });
            }
            tensors.remove(DECODER);
        }
        (None, Some(words)) if !tied && tensors.contains_key(BIAS) => {
            tensors.insert(DECODER.to_owned(), words.copy()?);
        }
        _ => {}
    }
    Ok(())
}

fn no_head(path: &Path, hint: &str) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        field: "the caption head".to_owned(),
        problem: "is not there".to_owned(),
        hint: hint.to_owned(),
    }
}
