//! Taking up rejects whose cause lay outside the data: a new shard and the next manifest.

use std::collections::HashSet;
use std::path::Path;

use data_specs::{Account, Manifest, RejectsEntry};
use serde::Serialize;

use crate::build::Workshop;
use crate::output::{Lock, PLAN, REJECTS};
use crate::plan::{Plan, PlanInputs, read_recipes};
use crate::rejects_file::{RejectsWriter, read_rejects};
use crate::sources::Sources;
use crate::watch::Watch;
use crate::{Error, Unit};

/// What a retry did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Rows that were taken up.
    pub rows: u64,
    /// Rows among them that are in the data set now.
    pub recovered: u64,
    /// Version of the newest manifest.
    pub version: u32,
    /// The new shard, if any row was recovered.
    pub shard: Option<String>,
}

/// Builds again the rows whose rejects are marked retryable.
///
/// # Errors
/// No finished build, changed inputs, a folder in use; nothing is changed then.
pub fn retry(folder: &Path, watch: &dyn Watch) -> Result<Retried, Error> {
    let lock = Lock::exclusive(folder)?;
    lock.clear_pending()?;
    let mut manifest = Manifest::latest(folder)?;
    let plan = Plan::load(folder)?;
    let inputs = PlanInputs::load(folder)?;

    let mut keys = HashSet::new();
    for entry in &manifest.rejects {
        read_rejects(folder, entry, |reject| {
            if reject.retryable && reject.unit == Unit::Row {
                keys.insert(reject.key);
            }
            Ok(())
        })?;
    }
    if keys.is_empty() {
        return Ok(Retried { rows: 0, recovered: 0, version: manifest.version, shard: None });
    }
    manifest.version += 1;
    let version = manifest.version;
    watch.planned(1, 0, keys.len() as u64);

    let build_id = plan.build_id();
    let sources = Sources::of(&inputs.spec)?;
    sources.features.prepare(&plan.layout)?;
    let workshop = Workshop {
        folder,
        plan: &plan,
        build_id: &build_id,
        sources: &sources,
        inputs: &inputs.inputs,
        files: inputs.open()?,
        watch,
    };
    let plan_folder = folder.join(PLAN);
    let mut recipes = Vec::with_capacity(keys.len());
    for task in 0..plan.tasks.len() {
        for recipe in read_recipes(&Plan::recipes_path(&plan_folder, task))? {
            let recipe = recipe?;
            if keys.contains(&recipe.key) {
                recipes.push(Ok(recipe));
            }
        }
    }
    let name = format!("shard-{:05}-retry{version}.parquet", plan.tasks.len());
    let rejects_name = format!("{REJECTS}/rejects-retry{version}.parquet");
    let receipt = workshop.write_rows(recipes.into_iter(), plan.tasks.len(), &name, &rejects_name)?;

    // The files of rejects are never changed: those that held a retried row are written anew without it.
    let (mut rows, mut texts) = (Account::default(), Account::default());
    let mut rejects = Vec::new();
    for entry in &manifest.rejects {
        rejects.extend(without(folder, entry, &keys, version, &build_id[..8], &mut rows, &mut texts)?);
    }
    rejects.extend(receipt.rejects);
    manifest.rejects = rejects;
    manifest.rows = moved(manifest.rows, rows, receipt.rows);
    manifest.texts = moved(manifest.texts, texts, receipt.texts);
    let recovered = receipt.rows.written;
    if recovered > 0 {
        manifest.shards.push(receipt.shard);
    }
    for (account, what) in [(&manifest.rows, "rows"), (&manifest.texts, "texts")] {
        if !account.balances() {
            return Err(Error::Accounting { what: format!("retry, {what}"), sums: account.to_string() });
        }
    }
    if !manifest.commit(folder, &|_| {})? {
        return Err(Error::Locked { path: folder.to_path_buf(), holder: "another retry".into() });
    }
    let shard = (recovered > 0).then_some(name);
    Ok(Retried { rows: receipt.rows.read, recovered, version, shard })
}

/// `entry` without the rejects of `keys`, which are counted into `rows` and `texts`.
fn without(
    folder: &Path,
    entry: &RejectsEntry,
    keys: &HashSet<String>,
    version: u32,
    owner: &str,
    rows: &mut Account,
    texts: &mut Account,
) -> Result<Option<RejectsEntry>, Error> {
    let mut kept = Vec::new();
    let mut removed = 0;
    read_rejects(folder, entry, |reject| {
        if reject.retryable && keys.contains(&reject.key) {
            let account = if reject.unit == Unit::Row { &mut *rows } else { &mut *texts };
            crate::plan::count(account, reject.outcome);
            removed += 1;
        } else {
            kept.push(reject);
        }
        Ok(())
    })?;
    if removed == 0 {
        return Ok(Some(entry.clone()));
    }
    if kept.is_empty() {
        return Ok(None);
    }
    let stem = entry.name.trim_end_matches(".parquet");
    let mut writer = RejectsWriter::create(folder, &format!("{stem}.v{version}.parquet"), owner)?;
    kept.into_iter().try_for_each(|reject| writer.push(reject))?;
    writer.commit().map(Some)
}

fn moved(before: Account, taken: Account, added: Account) -> Account {
    let mut after = Account {
        read: before.read - taken.read,
        written: before.written - taken.written,
        rejected: before.rejected - taken.rejected,
        deduplicated: before.deduplicated - taken.deduplicated,
        filtered: before.filtered - taken.filtered,
    };
    after += added;
    after
}
