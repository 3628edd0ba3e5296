//! Checking a data set against its manifest, believing nothing that the build said about itself.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use data_specs::durable::is_pending;
use data_specs::{Account, Manifest, ShardEntry, ShardReader};
use rayon::prelude::*;
use serde::Serialize;

use crate::output::REJECTS;
use crate::rejects_file::read_rejects;
use crate::{Error, Outcome, Unit};

/// What `pipeline verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether everything is as the manifest says and the accounts balance.
    pub ok: bool,
    /// Version of the manifest.
    pub version: u32,
    /// BLAKE3 of the plan.
    pub build_id: String,
    /// Rows in the shards, counted there.
    pub rows: u64,
    /// Texts in the shards, counted there.
    pub texts: u64,
    /// Rejected rows and texts, counted in the reject files.
    pub rejected: u64,
    /// Rejected rows among them.
    pub rejected_rows: u64,
    /// Rejected texts among them.
    pub rejected_texts: u64,
    /// Where the rows went, as the manifest says.
    pub row_account: Account,
    /// Where the texts went, as the manifest says.
    pub text_account: Account,
    /// The shards, with the hashes found on the disk.
    pub shards: Vec<VerifiedShard>,
    /// Everything that is wrong, in sentences.
    pub problems: Vec<String>,
    /// Files that no manifest lists: leftovers of a build that was killed and not resumed.
    pub stray: Vec<String>,
}

/// One shard as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedShard {
    /// File name.
    pub name: String,
    /// Rows counted.
    pub rows: u64,
    /// BLAKE3 of its bytes.
    pub blake3: String,
}

/// Reads every byte of the data set in `folder` and compares.
///
/// # Errors
/// No manifest, or one that cannot be read; damage to shards is a finding, not an error.
pub fn verify(folder: &Path) -> Result<Verification, Error> {
    let manifest = Manifest::latest(folder)?;
    let mut problems = Vec::new();
    let checked: Vec<_> =
        manifest.shards.par_iter().map(|entry| check_shard(folder, &manifest, entry)).collect();
    let mut shards = Vec::new();
    let mut keys = HashSet::new();
    let (mut rows, mut texts) = (0, 0);
    for (entry, shard) in manifest.shards.iter().zip(checked) {
        match shard {
            Err(error) => problems.push(error.to_string()),
            Ok(shard) => {
                rows += shard.keys.len() as u64;
                texts += shard.texts;
                for (key, row) in shard.keys.into_iter().zip(0..) {
                    if !keys.insert(key) {
                        problems
                            .push(format!("{} row {row}: its key stands in the data set before", entry.name));
                    }
                }
                problems.extend(shard.problems);
                let blake3 = entry.blake3.clone(); // opening the shard compared it with the file's
                shards.push(VerifiedShard { name: entry.name.clone(), rows: entry.rows, blake3 });
            }
        }
    }
    let mut away: BTreeMap<(Unit, Outcome), u64> = BTreeMap::new();
    for entry in &manifest.rejects {
        let mut entries = 0;
        let read = read_rejects(folder, entry, |reject| {
            *away.entry((reject.unit, reject.outcome)).or_default() += 1;
            entries += 1;
            Ok(())
        });
        match read {
            Err(error) => problems.push(error.to_string()),
            Ok(()) if entries != entry.entries => {
                problems.push(format!(
                    "{} has {entries} entries, its manifest says {}",
                    entry.name, entry.entries
                ));
            }
            Ok(()) => {}
        }
    }
    let found = |unit: Unit, outcome: Outcome| away.get(&(unit, outcome)).copied().unwrap_or(0);
    for (unit, account, written, what) in
        [(Unit::Row, manifest.rows, rows, "rows"), (Unit::Text, manifest.texts, texts, "texts")]
    {
        let counted = Account {
            read: account.read,
            written,
            rejected: found(unit, Outcome::Rejected),
            deduplicated: found(unit, Outcome::Deduplicated),
            filtered: found(unit, Outcome::Filtered),
        };
        if counted != account || !counted.balances() {
            problems.push(format!("{what}: the manifest says {account}; the files hold {counted}"));
        }
    }
    let (rejected_rows, rejected_texts) =
        (found(Unit::Row, Outcome::Rejected), found(Unit::Text, Outcome::Rejected));
    Ok(Verification {
        ok: problems.is_empty(),
        version: manifest.version,
        build_id: manifest.build_id.clone(),
        rows,
        texts,
        rejected: rejected_rows + rejected_texts,
        rejected_rows,
        rejected_texts,
        row_account: manifest.rows,
        text_account: manifest.texts,
        shards,
        problems,
        stray: stray_files(folder, &manifest)?,
    })
}

struct CheckedShard {
    /// 128 bits of each key's hash: enough to tell keys apart, small enough for millions.
    keys: Vec<u128>,
    texts: u64,
    problems: Vec<String>,
}

fn check_shard(folder: &Path, manifest: &Manifest, entry: &ShardEntry) -> Result<CheckedShard, Error> {
    let reader = ShardReader::open(folder, entry, manifest.features, true)?;
    let mut shard = CheckedShard { keys: Vec::with_capacity(reader.len()), texts: 0, problems: Vec::new() };
    for at in 0..reader.len() {
        let row = reader.short(at);
        let hash = blake3::hash(row.key.as_bytes());
        let bytes: [u8; 16] = hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes");
        shard.keys.push(u128::from_le_bytes(bytes));
        shard.texts += row.texts.len() as u64;
        let mut wrong =
            |what: String| shard.problems.push(format!("{} row {at} ({}): {what}", entry.name, row.key));
        if !matches!(row.images.len(), 1 | 2) {
            wrong(format!("{} pictures where a row has one or two", row.images.len()));
        }
        for picture in &row.images {
            let regions = picture.regions as i32;
            let beyond = |tag: &data_specs::Tag| tag.region.is_some_and(|at| !(0..regions).contains(&at));
            if picture.tags.iter().chain(&picture.attributes).any(beyond) {
                wrong(format!("a tag of a region beyond the {regions} of `{}`", picture.image_id));
            }
        }
    }
    if shard.texts != entry.texts {
        let what = format!("{} has {} texts, its manifest says {}", entry.name, shard.texts, entry.texts);
        shard.problems.push(what);
    }
    Ok(shard)
}

fn stray_files(folder: &Path, manifest: &Manifest) -> Result<Vec<String>, Error> {
    let mut stray = Vec::new();
    for (place, prefix) in [(folder.to_path_buf(), ""), (folder.join(REJECTS), "rejects/")] {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        for entry in entries {
            let name = entry.map_err(Error::io("read", &place))?.file_name().to_string_lossy().into_owned();
            let name = format!("{prefix}{name}");
            let listed = manifest.shards.iter().any(|shard| shard.name == name)
                || manifest.rejects.iter().any(|rejects| rejects.name == name);
            if !listed && (name.ends_with(".parquet") || is_pending(name.trim_start_matches(prefix))) {
                stray.push(name);
            }
        }
    }
    stray.sort();
    Ok(stray)
}
