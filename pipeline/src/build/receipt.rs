//! Receipts: a task is done when its receipt is there, and not before.

use std::io::Write;
use std::path::{Path, PathBuf};

use data_specs::durable::PendingFile;
use data_specs::{Account, RejectsEntry, ShardEntry};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::output::RECEIPTS;
use crate::watch::{Phase, Watch};

/// What a finished task leaves behind for the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    pub(crate) build_id: String,
    pub(crate) task: usize,
    pub(crate) shard: ShardEntry,
    pub(crate) rejects: Option<RejectsEntry>,
    pub(crate) rows: Account,
    pub(crate) texts: Account,
}

impl Receipt {
    fn path(folder: &Path, task: usize) -> PathBuf {
        folder.join(RECEIPTS).join(format!("{task:05}.json"))
    }

    /// Commits the receipt; its shard must be durable by now.
    pub(crate) fn commit(&self, folder: &Path, watch: &dyn Watch) -> Result<(), Error> {
        let path = Receipt::path(folder, self.task);
        let mut file = PendingFile::create(&path, &self.build_id[..8])?;
        let text = serde_json::to_string_pretty(self).expect("a receipt has only plain fields");
        file.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
        file.commit(&|phase| Phase::of_receipt(phase).into_iter().for_each(|phase| watch.phase(phase)))?;
        Ok(())
    }

    /// The receipt of `task`, if it is there, belongs to this build and its shard has the right size.
    ///
    /// A receipt that cannot be read counts as missing: the task is done again.
    pub(crate) fn load(folder: &Path, build_id: &str, task: usize) -> Result<Option<Receipt>, Error> {
        let path = Receipt::path(folder, task);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let Ok(receipt) = serde_json::from_str::<Receipt>(&text) else { return Ok(None) };
        let there = |name: &str, bytes: u64| {
            std::fs::metadata(folder.join(name)).is_ok_and(|found| found.len() == bytes)
        };
        let whole = receipt.build_id == build_id
            && receipt.task == task
            && there(&receipt.shard.name, receipt.shard.bytes)
            && receipt.rejects.as_ref().is_none_or(|rejects| there(&rejects.name, rejects.bytes));
        Ok(whole.then_some(receipt))
    }
}
