//! Model folders: what a captioning starts from, and what it leaves.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use data_specs::Tokenizer;
use finetune_harness::{
    Description, DeviceChoice, Error, Layout, ModelSettings, Network, Result, SetSettings,
};
use pretrain::model::{ModelConfig, ModelFolder};
use pretrain_kernels::Precision;
use serde_json::json;

use crate::captioner::{Captioner, DECODER, HEAD, WORDS, shapes};
use crate::settings::Captioning;

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

/// The name of both commands' models: one serves captioning and NoCaps.
pub(crate) const TASK: &str = "captioning";
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
pub(crate) fn open(
    path: &Path,
    precision: Precision,
    device: DeviceChoice,
    change: impl FnOnce(&mut Captioning) -> Result<()>,
) -> Result<Opened> {
    let device = device.open(0)?;
    let mut loaded = ModelFolder::open_untied(path)?;
    rename(path, &mut loaded.tensors)?;
    if Description::find(path)?.is_none() {
        return Err(no_head(
            path,
            "name a model that `finetune captioning train` wrote, or train one on this folder",
        ));
    }
    let (mut settings, layout): (Captioning, Layout) = Description::require(path, TASK)?;
    change(&mut settings)?;
    settings.validate(&layout)?;
    fit_decoder(path, &mut loaded.tensors, settings.tie_weights)?;
    loaded.require(path, &shapes(&loaded.config, settings.tie_weights))?;
    let captioner = Captioner::new(&loaded.config, &loaded.tensors_on(&device)?, precision)?;
    Ok(Opened { settings, layout, tokenizer: Tokenizer::open(path)?, captioner })
}

/// Writes all of a model folder; names are those of the second published layout.
pub(crate) fn write(
    folder: &Path,
    (settings, layout): (&Captioning, &Layout),
    config: &ModelConfig,
    tokenizer: &Tokenizer,
    tensors: BTreeMap<String, Tensor>,
) -> Result<()> {
    let head = [
        ("tie_weights", json!(settings.tie_weights)),
        ("freeze_embedding", json!(settings.freeze_embedding)),
        ("label_smoothing", json!(settings.label_smoothing)),
        ("drop_worst_ratio", json!(settings.drop_worst_ratio)),
        ("drop_worst_after", json!(settings.drop_worst_after)),
    ];
    Description::of(TASK, settings, layout).write(folder, (config, tensors), tokenizer, &head, &[])
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
