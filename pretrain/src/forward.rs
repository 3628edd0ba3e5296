//! `pretrain forward`: a batch in a file, the model's numbers in another, for anyone who wants to check.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};

use crate::model::{Batch, ModelFolder, PaddedBatch, Pass, PretrainingModel, Shapes, Targets};
use crate::{Error, Result};
use pretrain_training::Parameters;

/// Reads a model folder and a batch, writes outputs, losses and, on demand, all gradients; the names that were written.
///
/// In: `input_ids`, `token_type_ids` i64 \[b, l\]; `attention_mask` i64 \[b, l + r\] or \[b, l + r, l + r\]; `img_feats`
/// f32 \[b, r, d\]; by choice `masked_lm_labels` i64 \[b, l\] and `contrastive_labels` i64 \[b\], -1 for none.
///
/// Out: `hidden` \[b, l + r, h\], `pooled` \[b, h\]; with labels `mlm_logits` \[labelled, v\] and `mlm_loss`,
/// `contrastive_logits` \[b, c\] and `contrastive_loss`; with `gradients` `grad.<parameter>` of the sum of both losses.
/// Dropout is off.
///
/// # Errors
/// A folder or a batch that does not fit; gradients without labels.
pub fn forward(model: &Path, inputs: &Path, out: &Path, gradients: bool) -> Result<Vec<String>> {
    let folder = ModelFolder::open(model)?;
    let config = &folder.config;
    let weights = fill(model, &folder)?;
    let parameters = Parameters::new(&weights)?;
    let network = PretrainingModel::new(config, &parameters.tensors())?;

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
    if gradients && n_tokens + n_samples == 0 {
        return Err(Error::Input {
            tensor: "masked_lm_labels".to_owned(),
            problem: "and contrastive_labels hold no label, so that there is no loss to take gradients of"
                .to_owned(),
            hint: "give one of them, or leave out --gradients".to_owned(),
        });
    }

    let hidden_th = network.encoder().forward(&batch, Pass::Evaluation)?;
    let (b, h) = (batch.n_samples(), config.hidden_size);
    let mut outputs = BTreeMap::from([
        ("hidden".to_owned(), hidden_th.reshape((b, batch.n_rows() / b, h))?),
        ("pooled".to_owned(), network.encoder().pool(&hidden_th, &batch)?),
    ]);
    let losses = network.losses(&hidden_th, &batch, &targets)?;
    let mut total = Vec::new();
    if n_tokens > 0 {
        let mean = (losses.masked_token.sum / n_tokens as f64)?;
        let logits = network.masked_token_logits(&hidden_th, &batch, &targets)?;
        outputs.extend([("mlm_logits".to_owned(), logits), ("mlm_loss".to_owned(), mean.clone())]);
        total.push(mean);
    }
    if n_samples > 0 {
        let mean = (losses.contrastive.sum / n_samples as f64)?;
        let logits = network.contrastive_logits(&hidden_th, &batch)?;
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

/// All tensors of the pre-training model and no other.
fn fill(path: &Path, folder: &ModelFolder) -> Result<BTreeMap<String, Tensor>> {
    let shapes = Shapes::of_pretraining(&folder.config);
    folder.require(path, &shapes)?;
    Ok(folder.tensors.clone())
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
