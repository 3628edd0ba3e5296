//! A conversion in words: what was used, renamed, unused, fresh.

use std::collections::BTreeMap;

use pretrain::{Converted, Filled, Told};

/// One line a thing, its kind in the first column; tensors that kept name and type are counted only.
pub(crate) fn table(done: &Converted) -> String {
    let mut lines = vec![format!(
        "{}: {} tensors, {} numbers, from {} ({})",
        done.to.display(),
        done.tensors.len(),
        done.parameters,
        done.weights.display(),
        done.container
    )];
    let mut line = |kind: &str, text: String| lines.push(format!("{kind:<9} {text}"));
    let is_kept =
        |filled: &&Filled| filled.source.as_deref() == Some(&filled.name) && filled.dtype == "float32";
    line("used", format!("{} tensors as they are", done.tensors.iter().filter(is_kept).count()));
    for filled in &done.tensors {
        match &filled.source {
            Some(source) if *source != filled.name => line("renamed", format!("{source} -> {}", filled.name)),
            Some(_) => {}
            None => {
                line("filled", format!("{} with {}, as the original has none", filled.name, filled.dtype))
            }
        }
    }
    let mut of_types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for filled in done.tensors.iter().filter(|filled| filled.source.is_some() && filled.dtype != "float32") {
        of_types.entry(&filled.dtype).or_default().push(&filled.name);
    }
    for (dtype, names) in of_types {
        line("converted", format!("{dtype} -> float32: {}", names.join(", ")));
    }
    for (kind, all) in [("unused", &done.unused), ("fresh", &done.fresh), ("config", &done.config)] {
        for Told { name, why } in all {
            line(kind, format!("{name}: {why}"));
        }
    }
    if let Some(task) = &done.task {
        line("task", task.clone());
    }
    for lacks in &done.lacks {
        line("lacks", lacks.clone());
    }
    lines.join("\n")
}
