//! A model folder: `config.json`, `model.safetensors`, tokenizer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};
use data_specs::durable::write_durably;

use super::config::ModelConfig;
use super::parameters::Shapes;
use crate::{Error, Result};

/// Config and weights of a folder; the tokenizer is opened by those who need one.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// `config.json`.
    pub config: ModelConfig,
    /// `model.safetensors`, by the names of published models, in f32.
    pub tensors: BTreeMap<String, Tensor>,
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// Published files hold the tied matrix a second time.
const DECODER: &str = "cls.predictions.decoder.weight";
const DECODER_BIAS: &str = "cls.predictions.decoder.bias";
const WORDS: &str = "bert.embeddings.word_embeddings.weight";

impl ModelFolder {
    /// The weights where a network is to compute.
    ///
    /// # Errors
    /// No room there.
    pub fn tensors_on(&self, device: &Device) -> Result<BTreeMap<String, Tensor>> {
        let moved = self.tensors.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_device(device)?)));
        moved.collect()
    }

    /// Reads a folder. A decoder that repeats the word embeddings is left out: the two are one matrix here.
    ///
    /// # Errors
    /// Files that are missing, damaged or contradict each other.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = Self::open_untied(folder)?;
        if read.tensors.contains_key(DECODER) {
            return Err(Error::Unfit {
                path: folder.join(WEIGHTS),
                field: DECODER.to_owned(),
                problem: format!("differs from {WORDS}"),
                hint: "pre-training ties the two; this is a head of another kind".to_owned(),
            });
        }
        Ok(read)
    }

    /// Reads a folder whose decoder may be a matrix of its own, which then is among the tensors.
    ///
    /// # Errors
    /// Files that are missing, damaged or contradict each other.
    pub fn open_untied(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(data_specs::Error::io("read", &path))?;
        let mut config: ModelConfig = serde_json::from_str(&text).map_err(|error| Error::Unfit {
            path: path.clone(),
            field: "config".to_owned(),
            problem: error.to_string(),
            hint: "a model folder has the keys of BERT's config.json".to_owned(),
        })?;
        let path = folder.join(WEIGHTS);
        if !path.is_file() {
            return Err(Error::Unfit {
                path: folder.to_owned(),
                field: WEIGHTS.to_owned(),
                problem: "is not there".to_owned(),
                hint: "a model folder holds config.json, model.safetensors and a tokenizer".to_owned(),
            });
        }
        let read = candle_core::safetensors::load(&path, &Device::Cpu).map_err(|error| Error::Unfit {
            path: path.clone(),
            field: "tensors".to_owned(),
            problem: error.to_string(),
            hint: "the file is damaged or no safetensors file".to_owned(),
        })?;
        let mut tensors: BTreeMap<String, Tensor> = read
            .into_iter()
            .map(|(name, tensor)| Ok((name, tensor.to_dtype(candle_core::DType::F32)?)))
            .collect::<Result<_>>()?;
        untie(&mut tensors)?;
        let has_norm = tensors.contains_key("bert.LayerNorm.weight");
        match config.use_img_layernorm {
            None => config.use_img_layernorm = Some(has_norm),
            Some(said) if said != has_norm => {
                return Err(Error::Unfit {
                    path,
                    field: "bert.LayerNorm".to_owned(),
                    problem: format!(
                        "{}, use_img_layernorm is {said}",
                        if has_norm { "is there" } else { "is missing" }
                    ),
                    hint: "correct use_img_layernorm in config.json".to_owned(),
                });
            }
            Some(_) => {}
        }
        config.validate()?;
        Ok(Self { config, tensors })
    }

    /// Refuses a folder whose tensors are not exactly `shapes`.
    ///
    /// # Errors
    /// All tensors that are missing, of another shape, or of another model.
    pub fn require(&self, folder: &Path, shapes: &Shapes) -> Result<()> {
        let mut problems = Vec::new();
        for (name, shape) in shapes.iter() {
            match self.tensors.get(name).map(Tensor::dims) {
                None => problems.push(format!("{name} is missing")),
                Some(dims) if dims != shape => problems.push(format!("{name} is {dims:?}, not {shape:?}")),
                Some(_) => {}
            }
        }
        let known: BTreeSet<&str> = shapes.iter().map(|(name, _)| name).collect();
        let others = self.tensors.keys().filter(|name| !known.contains(name.as_str()));
        problems.extend(others.map(|name| format!("{name} belongs to another model")));
        if problems.is_empty() {
            return Ok(());
        }
        let (count, some) = (problems.len(), problems.iter().take(8).cloned().collect::<Vec<_>>().join("; "));
        Err(Error::Unfit {
            path: folder.join(WEIGHTS),
            field: format!("{count} tensors"),
            problem: format!("do not fit config.json: {some}{}", if count > 8 { "; ..." } else { "" }),
            hint: "config and weights must be of one model".to_owned(),
        })
    }

    /// Writes config and weights, whole or not at all; the tied matrix once, under the word embeddings' name.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(data_specs::Error::io("create", folder))?;
        let mut text = serde_json::to_string_pretty(&self.config).expect("numbers and words are always JSON");
        text.push('\n');
        let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(&self.tensors, Some(metadata)).map_err(|error| Error::Unfit {
            path: folder.join(WEIGHTS),
            field: "tensors".to_owned(),
            problem: error.to_string(),
            hint: "please report this".to_owned(),
        })?;
        write_durably(&folder.join(WEIGHTS), &bytes, "model")?;
        Ok(write_durably(&folder.join(CONFIG), text.as_bytes(), "model")?)
    }
}

/// Leaves out the second copy of the tied matrix.
fn untie(tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    if let (Some(decoder), Some(words)) = (tensors.get(DECODER), tensors.get(WORDS)) {
        let same = decoder.dims() == words.dims()
            && decoder.flatten_all()?.to_vec1::<f32>()? == words.flatten_all()?.to_vec1::<f32>()?;
        if same {
            tensors.remove(DECODER);
        }
    }
    // transformers stores the bias twice
    if tensors.contains_key("cls.predictions.bias") {
        tensors.remove(DECODER_BIAS);
    }
    tensors.remove("bert.embeddings.position_ids");
    Ok(())
}
