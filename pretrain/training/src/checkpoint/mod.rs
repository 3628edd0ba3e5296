//! Checkpoints: folders that are there whole or not at all, and are found again after a crash.
//!
//! ```text
//! checkpoints/step-000000200/model.safetensors       tensors, one file a kind
//!                            optimiser.safetensors
//!                            state.json              step, seed, settings, progress; size and BLAKE3 of the others
//! ```
//!
//! All files are written and synced in a folder with a temporary name, which is then renamed and its parent synced. So
//! a full disk, a crash, or `kill -9` at any moment leaves the older checkpoints as they were. Whether a checkpoint is
//! good is not believed but checked, file by file, when one is looked for.

mod reading;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use data_specs::durable::{CommitPhase, is_pending, sync_folder};
use data_specs::hash_file;
use pretrain_comm::Collective;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use reading::{Checkpoint, Newest};

use crate::{Error, Result};

/// Where the checkpoints of one run are.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: NonZeroUsize,
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Updates made.
    pub step: u64,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// BLAKE3 of the settings.
    pub settings: String,
    /// What else the loop needs to go on: where it stands in its data, best score so far.
    pub progress: Value,
}

/// `state.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    state: State,
    files: BTreeMap<String, StoredFile>,
    /// BLAKE3 of the canonical JSON of the two above.
    check: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFile {
    bytes: u64,
    blake3: String,
}

const STATE: &str = "state.json";
const PREFIX: &str = "step-";

impl Checkpoints {
    /// Checkpoints in `folder`, which is made if it is not there. The newest `keep` are kept. What a dead process left
    /// unfinished is removed: only one process may write to a run.
    ///
    /// # Errors
    /// The system's.
    pub fn open(folder: &Path, keep: NonZeroUsize) -> Result<Self> {
        fs::create_dir_all(folder).map_err(data_specs::Error::io("create", folder))?;
        for name in names(folder)?.into_iter().filter(|name| is_pending(name)) {
            let path = folder.join(name);
            fs::remove_dir_all(&path).map_err(data_specs::Error::io("remove", &path))?;
        }
        Ok(Self { folder: folder.to_owned(), keep })
    }

    /// The checkpoints of the run in `run`, and the one that it goes on from: with `resume` the newest good one, otherwise
    /// none. `damaged` is told what is wrong with newer ones. Every rank calls this; rank 0 clears away what a dead process
    /// left before the others look.
    ///
    /// # Errors
    /// [`Error::RunExists`], [`Error::NoCheckpoint`]; the system's; a rank that does not come.
    pub fn of_run(
        run: &Path,
        keep: u64,
        resume: bool,
        ranks: &dyn Collective,
        damaged: &dyn Fn(&Error),
    ) -> Result<(Self, Option<Checkpoint>)> {
        let folder = run.join("checkpoints");
        let keep = NonZeroUsize::new(keep as usize).unwrap_or(NonZeroUsize::MIN);
        if ranks.rank() == 0 {
            Self::open(&folder, keep)?;
        }
        ranks.barrier()?;
        let checkpoints = Self::open(&folder, keep)?;
        let newest = checkpoints.newest()?;
        newest.damaged.iter().for_each(damaged);
        let is_new = newest.damaged.is_empty() && newest.checkpoint.is_none();
        match (resume, newest.checkpoint) {
            (true, None) => {
                let damaged = newest.damaged.iter().map(|error| format!("; {error}")).collect();
                Err(Error::NoCheckpoint { run: run.to_owned(), damaged })
            }
            (false, _) if !is_new => Err(Error::RunExists { run: run.to_owned() }),
            (_, checkpoint) => Ok((checkpoints, checkpoint)),
        }
    }

    /// Checkpoints in `folder` as they are, to read only: another process may be writing there.
    pub fn look_at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), keep: NonZeroUsize::MAX }
    }

    /// Writes a checkpoint, whole or not at all, and removes those that are too many; its folder. `files` are tensors by
    /// the name of their file, without `.safetensors`. `on_phase` is told of the moments at which a process may die.
    ///
    /// # Errors
    /// [`Error::NotWritten`]; then nothing has changed.
    pub fn commit(
        &self,
        state: &State,
        files: &BTreeMap<&str, BTreeMap<String, Tensor>>,
        on_phase: &dyn Fn(CommitPhase),
    ) -> Result<PathBuf> {
        let target = self.folder.join(format!("{PREFIX}{:09}", state.step));
        let temporary = self.pending(&target);
        let done = write(&temporary, state, files, on_phase).and_then(|()| self.publish(&temporary, &target));
        if let Err(source) = done {
            // As much room as possible for those who come; the error that counts is the first one.
            let _ = fs::remove_dir_all(&temporary);
            return Err(Error::NotWritten { path: target, source });
        }
        on_phase(CommitPhase::Renamed);
        sync_folder(&self.folder)?;
        on_phase(CommitPhase::Durable);
        let steps = self.steps()?;
        for (_, path) in steps.iter().take(steps.len().saturating_sub(self.keep.get())) {
            self.remove(path)?;
        }
        Ok(target)
    }

    /// The newest checkpoint whose files are all as they were written, and what is wrong with newer ones.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest(&self) -> Result<Newest> {
        let mut damaged = Vec::new();
        for (_, path) in self.steps()?.into_iter().rev() {
            match Checkpoint::open(&path) {
                Ok(checkpoint) => return Ok(Newest { checkpoint: Some(checkpoint), damaged }),
                Err(error) => damaged.push(error),
            }
        }
        Ok(Newest { checkpoint: None, damaged })
    }

    /// An older checkpoint of the same step, which can only be a damaged one, makes way.
    fn publish(&self, temporary: &Path, target: &Path) -> std::result::Result<(), data_specs::Error> {
        if target.exists() {
            let aside = self.folder.join(".replaced.tmp");
            fs::rename(target, &aside).map_err(data_specs::Error::io("rename", target))?;
            fs::remove_dir_all(&aside).map_err(data_specs::Error::io("remove", &aside))?;
        }
        fs::rename(temporary, target).map_err(data_specs::Error::io("rename to", target))
    }

    /// Renamed first: a folder that is half removed must not look like a checkpoint.
    fn remove(&self, path: &Path) -> Result<()> {
        let pending = self.pending(path);
        fs::rename(path, &pending).map_err(data_specs::Error::io("rename", path))?;
        Ok(fs::remove_dir_all(&pending).map_err(data_specs::Error::io("remove", &pending))?)
    }

    fn pending(&self, path: &Path) -> PathBuf {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.folder.join(format!(".{name}.tmp"))
    }

    /// By step, the newest last.
    fn steps(&self) -> Result<Vec<(u64, PathBuf)>> {
        let step = |name: &String| name.strip_prefix(PREFIX)?.parse::<u64>().ok();
        let names = names(&self.folder)?;
        let mut steps: Vec<_> =
            names.iter().filter_map(|name| Some((step(name)?, self.folder.join(name)))).collect();
        steps.sort_unstable();
        Ok(steps)
    }
}

fn names(folder: &Path) -> std::result::Result<Vec<String>, data_specs::Error> {
    let entries = fs::read_dir(folder).map_err(data_specs::Error::io("read", folder))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().map_err(data_specs::Error::io("read", folder))
}

fn write(
    folder: &Path,
    state: &State,
    files: &BTreeMap<&str, BTreeMap<String, Tensor>>,
    on_phase: &dyn Fn(CommitPhase),
) -> std::result::Result<(), data_specs::Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(data_specs::Error::io("remove", folder))?;
    }
    fs::create_dir(folder).map_err(data_specs::Error::io("create", folder))?;
    let mut stored = BTreeMap::new();
    for (name, tensors) in files {
        let name = format!("{name}.safetensors");
        let path = folder.join(&name);
        safetensors::serialize_to_file(tensors, None, &path).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => data_specs::Error::io("write", &path)(source),
            other => data_specs::Error::io("write", &path)(std::io::Error::other(other)),
        })?;
        let bytes = fs::metadata(&path).map_err(data_specs::Error::io("read", &path))?.len();
        stored.insert(name, StoredFile { bytes, blake3: hash_file(&path)? });
    }
    let stored = Stored { state: state.clone(), check: check(state, &stored), files: stored };
    let path = folder.join(STATE);
    let text = serde_json::to_string_pretty(&stored)
        .map_err(|error| data_specs::Error::io("write", &path)(error.into()))?;
    File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(data_specs::Error::io("write", &path))?;
    on_phase(CommitPhase::Written);
    for name in stored.files.keys().map(String::as_str).chain([STATE]) {
        let path = folder.join(name);
        File::open(&path).and_then(|file| file.sync_all()).map_err(data_specs::Error::io("fsync", &path))?;
    }
    sync_folder(folder)?;
    on_phase(CommitPhase::Synced);
    Ok(())
}

/// BLAKE3 over what `state.json` says, so that it cannot be changed without being noticed.
fn check(state: &State, files: &BTreeMap<String, StoredFile>) -> String {
    let said = serde_json::json!({ "state": state, "files": files });
    blake3::hash(data_specs::canonical_json(&said).as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests;
