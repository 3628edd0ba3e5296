//! Data sets of `pipeline build`: rows with one picture and a text of the kind `label`.

use std::path::Path;

use data_specs::{Dataset, TextKind};

use super::{Found, Place};
use crate::backbone::Error;

/// Rows with a label, in the order of the shards; others are left out. The class is the first label's text.
pub(super) fn scan(path: &Path) -> Result<(Vec<Found>, Dataset), Error> {
    let data =
        |source: data_specs::Error| Error::Inputs { path: path.to_owned(), problem: source.to_string() };
    let dataset = Dataset::open(path).map_err(data)?;
    let mut found = Vec::new();
    for shard in 0..dataset.manifest().shards.len() {
        let reader = dataset.shard(shard).map_err(data)?;
        for row in 0..reader.len() {
            let label = reader.short(row).texts.iter().find(|text| text.kind == TextKind::Label);
            if let Some(label) = label {
                found.push(Found { class: label.text.clone(), place: Place::Row { shard, row } });
            }
        }
    }
    Ok((found, dataset))
}
