//! What tensors are called: names of older and other programs become the published ones.

use std::collections::BTreeMap;
use std::path::Path;

use super::Told;
use super::source::Source;
use crate::{Error, Result};

/// Published name to the tensor's number in the file, and what is no weight.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) tensors: BTreeMap<String, usize>,
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
    pub(super) unused: Vec<Told>,
}

pub(super) const WORDS: &str = "bert.embeddings.word_embeddings.weight";
pub(super) const DECODER: &str = "cls.predictions.decoder.weight";
pub(super) const DECODER_BIAS: &str = "cls.predictions.decoder.bias";
pub(super) const BIAS: &str = "cls.predictions.bias";

/// Data parallelism puts this before every name.
const PARALLEL: &str = "module.";
/// What a bare encoder calls its parts.
const PARTS: [&str; 5] = ["embeddings.", "encoder.", "pooler.", "img_embedding.", "LayerNorm."];
/// Buffers that some versions of transformers keep beside weights.
const BUFFERS: [&str; 2] = ["bert.embeddings.position_ids", "bert.embeddings.token_type_ids"];
/// The caption head of the first generation stands at the top.
const FIRST_CAPTION_HEAD: [&str; 2] = ["transform.", "decoder."];

impl Named {
    /// Takes a tensor away; its number in the file.
    pub(super) fn take(&mut self, name: &str) -> Option<usize> {
        self.shapes.remove(name);
        self.tensors.remove(name)
    }

    /// Names that begin so.
    pub(super) fn of(&self, prefix: &str) -> Vec<String> {
        self.tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    pub(super) fn has(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }
}

/// All tensors by their published names.
///
/// # Errors
/// Two tensors of one name.
pub(super) fn publish(path: &Path, source: &Source) -> Result<Named> {
    let entries = source.entries();
    let mut names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    while !names.is_empty() && names.iter().all(|name| name.starts_with(PARALLEL)) {
        names.iter_mut().for_each(|name| drop(name.drain(..PARALLEL.len())));
    }
    let is_bare = !names.iter().any(|name| name.starts_with("bert."))
        && names.iter().any(|name| name == "embeddings.word_embeddings.weight");
    let is_first_captioner = names.iter().any(|name| name == "decoder.weight")
        && names.iter().any(|name| name == "transform.dense.weight");
    let mut named = Named { tensors: BTreeMap::new(), shapes: BTreeMap::new(), unused: Vec::new() };
    for (number, mut name) in names.into_iter().enumerate() {
        if is_bare && PARTS.iter().any(|part| name.starts_with(part)) {
            name.insert_str(0, "bert.");
        }
        if is_first_captioner && FIRST_CAPTION_HEAD.iter().any(|part| name.starts_with(part)) {
            name.insert_str(0, "cls.predictions.");
        }
        for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] {
            if let Some(norm) = name.strip_suffix(old).filter(|norm| norm.ends_with("LayerNorm")) {
                name = format!("{norm}{new}");
            }
        }
        if BUFFERS.contains(&name.as_str()) {
            named.unused.push(Told::new(&entries[number].name, "counts places, and holds no weights"));
            continue;
        }
        if let Some(other) = named.tensors.insert(name.clone(), number) {
            return Err(Error::Unfit {
                path: path.to_owned(),
                field: name,
                problem: format!("is both `{}` and `{}`", entries[other].name, entries[number].name),
                hint: "the file mixes the names of two programs: save one of them".to_owned(),
            });
        }
        named.shapes.insert(name, entries[number].shape.clone());
    }
    if !named.tensors.contains_key(BIAS)
        && let Some(number) = named.tensors.remove(DECODER_BIAS)
    {
        named.tensors.insert(BIAS.to_owned(), number);
        named.shapes.remove(DECODER_BIAS);
        named.shapes.insert(BIAS.to_owned(), entries[number].shape.clone());
    }
    Ok(named)
}
