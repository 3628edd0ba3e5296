//! A data set: the manifest's shards, opened on demand and verified the first time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::shard_reader::ShardReader;
use crate::{Error, Manifest};

/// When a shard's hash is compared with its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// The first time a shard is opened.
    #[default]
    First,
    /// Each time a shard is opened.
    Always,
    /// Never: sizes and rows are still compared.
    Never,
}

/// An open data set; safe to share between threads.
#[derive(Debug)]
pub struct Dataset {
    folder: PathBuf,
    manifest: Manifest,
    verify: Verify,
    /// Open shards, the most recently used last; at most `capacity` of them.
    open: Mutex<Vec<(usize, Arc<ShardReader>)>>,
    verified: Mutex<Vec<bool>>,
    capacity: usize,
}

impl Dataset {
    /// Opens the data set in `folder` by its newest manifest.
    pub fn open(folder: &Path) -> Result<Dataset, Error> {
        Dataset::with(folder, Verify::First, 16)
    }

    /// Opens a data set, keeping at most `capacity` shards open (16 is a block of the reading order).
    pub fn with(folder: &Path, verify: Verify, capacity: usize) -> Result<Dataset, Error> {
        let manifest = Manifest::latest(folder)?;
        let verified = Mutex::new(vec![false; manifest.shards.len()]);
        let capacity = capacity.max(1);
        Ok(Dataset {
            folder: folder.to_path_buf(),
            manifest,
            verify,
            open: Mutex::default(),
            verified,
            capacity,
        })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Rows of each shard, as the reading order needs them.
    pub fn shard_rows(&self) -> Vec<u64> {
        self.manifest.shards.iter().map(|shard| shard.rows).collect()
    }

    /// Shard number `index`, opened if it is not.
    ///
    /// # Errors
    /// A missing or damaged file; damage is found before a row of it is seen.
    pub fn shard(&self, index: usize) -> Result<Arc<ShardReader>, Error> {
        if let Some(reader) = self.recently_used(index) {
            return Ok(reader);
        }
        // Opened outside the lock: other threads go on reading their shards meanwhile. Two threads
        // may open the same shard at once; both get the same rows and one reader is kept.
        let verify = match self.verify {
            Verify::First => !self.lock(&self.verified)[index],
            Verify::Always => true,
            Verify::Never => false,
        };
        let entry = &self.manifest.shards[index];
        let reader = Arc::new(ShardReader::open(&self.folder, entry, self.manifest.features, verify)?);
        self.lock(&self.verified)[index] |= verify;
        let mut open = self.lock(&self.open);
        open.retain(|(shard, _)| *shard != index);
        if open.len() == self.capacity {
            open.remove(0);
        }
        open.push((index, reader.clone()));
        Ok(reader)
    }

    fn recently_used(&self, index: usize) -> Option<Arc<ShardReader>> {
        let mut open = self.lock(&self.open);
        let at = open.iter().position(|(shard, _)| *shard == index)?;
        let used = open.remove(at);
        open.push(used);
        open.last().map(|(_, reader)| reader.clone())
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        // Nothing that holds these locks can panic half-way, so a poisoned one is still consistent.
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
