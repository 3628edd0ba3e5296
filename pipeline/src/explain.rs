//! Where a row went: into which shard, or why into none.

use std::path::Path;

use data_specs::{Manifest, ShardReader};
use rayon::prelude::*;
use serde::Serialize;

use crate::rejects_file::read_rejects;
use crate::{Error, Reject};

/// One place where a key, a picture id or a text id was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "lowercase")]
pub enum Finding {
    /// In a shard.
    Shard {
        /// File name.
        shard: String,
        /// Row number in it, from 0.
        row: usize,
        /// The row's key.
        key: String,
        /// Its split.
        split: String,
        /// Regions of each picture.
        regions: Vec<u32>,
        /// Ids of its texts.
        texts: Vec<String>,
    },
    /// In the rejects.
    Reject(Reject),
}

/// Every place of `key`: a row key, a picture id or a text id.
///
/// Picture ids are also found by their trailing number (`9` finds `COCO_train2014_000000000009`).
///
/// # Errors
/// No manifest, or shards that cannot be read.
pub fn explain(folder: &Path, key: &str) -> Result<Vec<Finding>, Error> {
    let manifest = Manifest::latest(folder)?;
    let in_shards = manifest
        .shards
        .par_iter()
        .map(|entry| {
            let reader = ShardReader::open(folder, entry, manifest.features, false)?;
            let rows = (0..reader.len()).map(|row| (row, reader.short(row)));
            let hits = rows.filter(|(_, sample)| {
                let picture = |id: &str| is_same(id, key);
                is_same(&sample.key, key)
                    || sample.images.iter().any(|image| picture(&image.image_id))
                    || sample.texts.iter().any(|text| text.id == key)
            });
            let found = hits.map(|(row, sample)| Finding::Shard {
                shard: entry.name.clone(),
                row,
                key: sample.key.clone(),
                split: sample.split.clone(),
                regions: sample.images.iter().map(|image| image.regions).collect(),
                texts: sample.texts.iter().map(|text| text.id.clone()).collect(),
            });
            Ok(found.collect())
        })
        .collect::<Result<Vec<Vec<Finding>>, Error>>()?;
    let mut findings: Vec<Finding> = in_shards.into_iter().flatten().collect();
    for entry in &manifest.rejects {
        read_rejects(folder, entry, |reject| {
            if is_same(&reject.key, key) {
                findings.push(Finding::Reject(reject));
            }
            Ok(())
        })?;
    }
    Ok(findings)
}

fn is_same(id: &str, key: &str) -> bool {
    let bare = |id: &'_ str| id.rsplit_once('/').map_or(id, |(_, id)| id).to_string();
    let number = |id: &str| {
        let digits = id.rsplit_once('_').map_or(id, |(_, digits)| digits).to_string();
        (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.trim_start_matches('0').to_string())
    };
    id == key || bare(id) == key || (number(&bare(id)).is_some() && number(&bare(id)) == number(key))
}
