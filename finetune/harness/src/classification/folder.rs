//! What a classification keeps beside its weights: the labels it answers with.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::Tokenizer;
use pretrain::model::ModelConfig;
use serde_json::json;

use super::head::Head;
use crate::folder::{Description, read};
use crate::{Error, Result};

const LABELS: &str = "labels.json";

/// The labels of a folder, by number.
pub(super) fn labels(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(LABELS);
    if !path.is_file() {
        return Err(Error::Unfit {
            path,
            field: "labels".to_owned(),
            problem: "are not there, so that nobody knows what the classifier answers".to_owned(),
            hint: "convert the published model with its list of answers: pretrain convert --labels FILE"
                .to_owned(),
        });
    }
    read(&path)
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
    let settings = serde_json::to_value(head.settings).expect("a head's settings are words and numbers");
    let keys = [
        ("num_labels", json!(head.n_labels)),
        ("num_choice", json!(head.n_sequences)),
        ("classifier", settings["classifier"].clone()),
        ("cls_hidden_scale", settings["cls_hidden_scale"].clone()),
        ("use_layernorm", json!(head.has_norm(config))),
        ("loss_type", settings["loss_type"].clone()),
    ];
    description.write(folder, (config, tensors), tokenizer, &keys, &[(LABELS, json!(labels))])
}
