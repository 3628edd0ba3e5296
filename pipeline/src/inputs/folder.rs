//! A folder as a whole: whether anything below it came, went or was written.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::Error;

/// What a folder held when it was looked through, told by names, sizes and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderStamp {
    /// The folder.
    pub path: PathBuf,
    /// BLAKE3 of the sorted paths of all files with size and time.
    pub blake3: String,
}

impl FolderStamp {
    /// Looks through `path` and the folders below it; a single file counts as a folder of one.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn of(path: &Path) -> Result<FolderStamp, Error> {
        let mut files = Vec::new();
        for entry in WalkDir::new(path).follow_links(true) {
            let listed = entry.and_then(|entry| {
                let metadata = entry.metadata()?;
                Ok((entry, metadata))
            });
            let (entry, metadata) = listed.map_err(|error| {
                let place = error.path().unwrap_or(path).to_path_buf();
                Error::io("list", &place)(error.into())
            })?;
            if metadata.is_dir() {
                continue;
            }
            let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let name = entry.path().strip_prefix(path).unwrap_or(entry.path()).as_os_str();
            let time = time.map_or(0, |time| time.as_nanos());
            files.push((name.as_encoded_bytes().to_vec(), metadata.len(), time));
        }
        files.sort();
        let mut hasher = blake3::Hasher::new();
        for (name, size, time) in files {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(&name);
            hasher.update(&size.to_le_bytes());
            hasher.update(&time.to_le_bytes());
        }
        Ok(FolderStamp { path: path.to_path_buf(), blake3: hasher.finalize().to_hex().to_string() })
    }
}
