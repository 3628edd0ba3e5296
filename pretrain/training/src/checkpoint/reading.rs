//! Checkpoints that are believed only after every byte was checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use data_specs::hash_file;
use serde::de::DeserializeOwned;

use super::{STATE, State, Stored, check};
use crate::{Error, Result};

/// A checkpoint whose files are as they were written.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    state: State,
}

/// What was found.
#[derive(Debug)]
pub struct Newest {
    /// The newest good one; none for a new run.
    pub checkpoint: Option<Checkpoint>,
    /// What is wrong with those that are newer, the newest first.
    pub damaged: Vec<Error>,
}

impl Checkpoint {
    /// Checks every file.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first difference.
    pub fn open(path: &Path) -> Result<Self> {
        let damaged = |name: &str, problem: String| Error::Damaged { path: path.join(name), problem };
        let text = fs::read_to_string(path.join(STATE)).map_err(|error| damaged(STATE, error.to_string()))?;
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| damaged(STATE, error.to_string()))?;
        if check(&stored.state, &stored.files) != stored.check {
            return Err(damaged(STATE, "was changed after it was written".to_owned()));
        }
        for (name, file) in &stored.files {
            let path = path.join(name);
            let bytes = fs::metadata(&path).map_err(|error| damaged(name, error.to_string()))?.len();
            if bytes != file.bytes {
                return Err(damaged(name, format!("has {bytes} bytes of {}", file.bytes)));
            }
            if hash_file(&path)? != file.blake3 {
                return Err(damaged(name, "holds other bytes than were written".to_owned()));
            }
        }
        Ok(Self { path: path.to_owned(), state: stored.state })
    }

    /// What it says of itself.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What else the loop kept in it.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it is nothing that this loop keeps.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.state.progress.clone())
            .map_err(|error| Error::Damaged { path: self.path.clone(), problem: error.to_string() })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors of one file, named without `.safetensors`.
    ///
    /// # Errors
    /// There is no such file.
    pub fn tensors(&self, name: &str) -> Result<BTreeMap<String, Tensor>> {
        let path = self.path.join(format!("{name}.safetensors"));
        let bytes = fs::read(&path).map_err(data_specs::Error::io("read", &path))?;
        Ok(candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?.into_iter().collect())
    }
}
