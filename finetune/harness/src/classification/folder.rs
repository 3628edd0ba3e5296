//! What a classification keeps beside its weights: the labels it answers with.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use data_specs::Tokenizer;
use pretrain::model::ModelConfig;
use serde_json::json;

use super::head::Head;
use crate::Result;
use crate::folder::{Description, read};

const LABELS: &str = "labels.json";

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
