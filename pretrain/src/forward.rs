//! `pretrain forward`: a batch in a file, the model's numbers in another, for anyone who wants to check.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::model::{
    Batch, Encoder, Linear, MaskedTokenHead, ModelConfig, ModelFolder, PaddedBatch, Pass, Shapes, Targets,
    Tensors, labelled, rows,
};
use crate::{DeviceChoice, Error, Result};
use pretrain_kernels::cross_entropy;
use pretrain_training::Parameters;

/// Reads a model folder and a batch, writes outputs, losses and, on demand, all gradients; the names that were written.
///
/// In: `input_ids`, `token_type_ids` i64 \[b, l\]; `attention_mask` i64 \[b, l + r\] or \[b, l + r, l + r\]; `img_feats`
/// f32 \[b, r, d\]; by choice `masked_lm_labels` i64 \[b, l\] and `contrastive_labels` i64 \[b\], -1 for none.
///
/// Out: `hidden` \[b, l + r, h\], `pooled` \[b, h\]; with labels `mlm_logits` \[labelled, v\] and `mlm_loss`,
/// `contrastive_logits` \[b, c\] and `contrastive_loss`; with `gradients` `grad.<parameter>` of the sum of both losses.
/// Dropout is off. A folder may lack either head, have a decoder of its own, and a classifier, which is not asked.
///
/// # Errors
/// A folder or a batch that does not fit; labels of a head that the folder lacks; gradients without labels.
pub fn forward(
    model: &Path,
    inputs: &Path,
    out: &Path,
    gradients: bool,
    device: DeviceChoice,
) -> Result<Vec<String>> {
    let folder = ModelFolder::open_untied(model)?;
    let config = folder.config.clone();
    let config = &config;
    let weights = fill(model, folder)?;
    let parameters = Parameters::on(&device.open(0)?, &weights)?;
    let network = Network::new(config, &parameters.tensors())?;

    let read = candle_core::safetensors::load(inputs, &Device::Cpu).map_err(|error| Error::Unfit {
        path: inputs.to_owned(),
        field: "tensors".to_owned(),
        problem: error.to_string(),
        hint: "the inputs are a safetensors file".to_owned(),
    })?;
    let input = |name: &str| {
        read.get(name).cloned().ok_or_else(|| Error::Unfit {
            path: inputs.to_owned(),
            field: name.to_owned(),
            problem: "is not there".to_owned(),
            hint: "it holds input_ids, token_type_ids, attention_mask, img_feats".to_owned(),
        })
    };
    let padded = PaddedBatch {
        input_ids_bl: input("input_ids")?,
        token_type_ids_bl: input("token_type_ids")?,
        attention_mask: input("attention_mask")?,
        img_feats_brd: input("img_feats")?,
    };
    let batch = Batch::padded(&padded, config)?;
    let targets = targets(&read, &padded)?;
    let [n_tokens, n_samples] = targets.counts();
    for (labels, n, is_there, head) in [
        ("masked_lm_labels", n_tokens, network.masked_token.is_some(), PREDICTIONS),
        ("contrastive_labels", n_samples, network.contrastive.is_some(), RELATIONSHIP),
    ] {
        if n > 0 && !is_there {
            return Err(Error::Input {
                tensor: labels.to_owned(),
                problem: format!("ask {head}, which {} does not have", model.display()),
                hint: "leave them out, or name a model with this head".to_owned(),
            });
        }
    }
    if gradients && n_tokens + n_samples == 0 {
        return Err(Error::Input {
            tensor: "masked_lm_labels".to_owned(),
            problem: "and contrastive_labels hold no label, so that there is no loss to take gradients of"
                .to_owned(),
            hint: "give one of them, or leave out --gradients".to_owned(),
        });
    }

    let hidden_th = network.encoder.forward(&batch, Pass::Evaluation)?;
    let pooled_bh = network.encoder.pool(&hidden_th, &batch)?;
    let (b, h) = (batch.n_samples(), config.hidden_size);
    let mut outputs = BTreeMap::from([
        ("hidden".to_owned(), hidden_th.reshape((b, batch.n_rows() / b, h))?),
        ("pooled".to_owned(), pooled_bh.clone()),
    ]);
    let mut total = Vec::new();
    if let Some(head) = network.masked_token.filter(|_| n_tokens > 0) {
        let (asked, labels) = labelled(&batch, &targets);
        let asked_kh = rows(&hidden_th, &asked)?;
        let mean = (head.loss(&asked_kh, &labels)?.sum / n_tokens as f64)?;
        let logits = head.logits(&asked_kh)?;
        outputs.extend([("mlm_logits".to_owned(), logits), ("mlm_loss".to_owned(), mean.clone())]);
        total.push(mean);
    }
    if let Some(head) = network.contrastive.filter(|_| n_samples > 0) {
        let logits = head.forward(&pooled_bh)?;
        let mean = (cross_entropy(&logits, &targets.contrastive_labels)?.sum / n_samples as f64)?;
        outputs.extend([
            ("contrastive_logits".to_owned(), logits),
            ("contrastive_loss".to_owned(), mean.clone()),
        ]);
        total.push(mean);
    }
    if gradients {
        let store = Tensor::stack(&total, 0)?.sum_all()?.backward()?;
        for parameter in parameters.iter() {
            let name = format!("grad.{}", parameter.name());
            // of two losses one may be absent, and its head with it
            let gradient = match store.get(parameter.tensor()) {
                Some(gradient) => gradient.contiguous()?,
                None => parameter.tensor().zeros_like()?,
            };
            outputs.insert(name, gradient);
        }
    }
    for output in outputs.values_mut() {
        *output = output.to_device(&Device::Cpu)?;
    }
    let names = outputs.keys().cloned().collect();
    let bytes =
        safetensors::serialize(&outputs, None::<HashMap<String, String>>).map_err(|error| Error::Unfit {
            path: out.to_owned(),
            field: "tensors".to_owned(),
            problem: error.to_string(),
            hint: "please report this".to_owned(),
        })?;
    data_specs::durable::write_durably(out, &bytes, "forward")?;
    Ok(names)
}

const PREDICTIONS: &str = "cls.predictions.";
const RELATIONSHIP: &str = "cls.seq_relationship.";
const DECODER: &str = "cls.predictions.decoder.weight";

/// The encoder and what a folder has of both heads.
struct Network {
    encoder: Encoder,
    masked_token: Option<MaskedTokenHead>,
    contrastive: Option<Linear>,
}

impl Network {
    fn new(config: &ModelConfig, tensors: &BTreeMap<String, Tensor>) -> Result<Self> {
        let has = |head: &str| tensors.keys().any(|name| name.starts_with(head));
        let all = Tensors::new(tensors);
        let encoder = Encoder::new(config, all)?;
        let decoder_vh = tensors.get(DECODER).unwrap_or(encoder.word_embeddings());
        let (h, classes) = (config.hidden_size, config.num_contrast_classes);
        let masked_token =
            has(PREDICTIONS).then(|| MaskedTokenHead::new(config, all, decoder_vh)).transpose()?;
        let relationship = RELATIONSHIP.trim_end_matches('.');
        let contrastive = has(RELATIONSHIP).then(|| all.linear(relationship, classes, h)).transpose()?;
        Ok(Self { masked_token, contrastive, encoder })
    }
}

/// All tensors of the encoder and of the heads that the folder has, and no other; a classifier is left out.
fn fill(path: &Path, mut folder: ModelFolder) -> Result<BTreeMap<String, Tensor>> {
    folder.tensors.retain(|name, _| !name.starts_with("classifier."));
    let mut shapes = Shapes::of_encoder(&folder.config);
    let has = |head: &str| folder.tensors.keys().any(|name| name.starts_with(head));
    let is_asked = |name: &str| {
        !name.starts_with("cls.")
            || [PREDICTIONS, RELATIONSHIP].iter().any(|head| name.starts_with(head) && has(head))
    };
    for (name, shape) in Shapes::of_pretraining(&folder.config).iter().filter(|(name, _)| is_asked(name)) {
        shapes.add(name.to_owned(), shape);
    }
    if folder.tensors.contains_key(DECODER) {
        shapes.add(DECODER.to_owned(), &[folder.config.vocab_size, folder.config.hidden_size]);
    }
    folder.require(path, &shapes)?;
    Ok(folder.tensors)
}

fn targets(read: &HashMap<String, Tensor>, padded: &PaddedBatch) -> Result<Targets> {
    let (b, l) = padded.input_ids_bl.dims2()?;
    let labels = |name: &str, wanted: &[usize]| {
        let Some(tensor) = read.get(name) else { return Ok(vec![-1; wanted.iter().product()]) };
        if tensor.dims() != wanted {
            let problem = format!("are {:?}", tensor.dims());
            return Err(Error::Input { tensor: name.to_owned(), problem, hint: format!("{wanted:?}") });
        }
        tensor.flatten_all()?.to_vec1::<i64>().map_err(|_| Error::Input {
            tensor: name.to_owned(),
            problem: format!("are {:?}", tensor.dtype()),
            hint: "i64, -1 where nothing is asked".to_owned(),
        })
    };
    Ok(Targets {
        token_labels: labels("masked_lm_labels", &[b, l])?,
        contrastive_labels: labels("contrastive_labels", &[b])?,
    })
}
