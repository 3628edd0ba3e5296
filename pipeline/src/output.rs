//! The output folder: what lies where in it, who may write to it, and clearing up after a crash.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use data_specs::durable::is_pending;
use fs4::FileExt;

use crate::Error;

/// Folder of receipts, one a task.
pub(crate) const RECEIPTS: &str = "_receipts";
/// Folder of files about rows that are in no shard.
pub(crate) const REJECTS: &str = "rejects";
/// Folder of the plan.
pub(crate) const PLAN: &str = "_plan";
/// A plan being written; renamed to [`PLAN`] when it is whole.
const PLAN_PENDING: &str = "_plan.tmp";
const LOCK: &str = "_lock";

/// The file name of shard `task`.
pub(crate) fn shard_name(task: usize) -> String {
    format!("shard-{task:05}.parquet")
}

/// The file name of the rejects of `task`, within the data set.
pub(crate) fn rejects_name(task: usize) -> String {
    format!("{REJECTS}/rejects-{task:05}.parquet")
}

/// The rejects that planning found.
pub(crate) const PLAN_REJECTS: &str = "rejects/rejects-plan.parquet";

/// The right to write into an output folder, given up when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    folder: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the folder for this process alone, creating it if need be.
    pub(crate) fn exclusive(folder: &Path) -> Result<Lock, Error> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        Lock::take(folder, |file| FileExt::try_lock(file).is_ok())
    }

    /// Takes the folder together with other processes that work on tasks of the same plan.
    pub(crate) fn shared(folder: &Path) -> Result<Lock, Error> {
        Lock::take(folder, |file| FileExt::try_lock_shared(file).is_ok())
    }

    fn take(folder: &Path, take: impl FnOnce(&File) -> bool) -> Result<Lock, Error> {
        let path = folder.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        if !take(&file) {
            let mut holder = String::new();
            // The holder's name only makes the message better: a failed read must not hide the refusal.
            let read = file.read_to_string(&mut holder);
            if read.is_err() || holder.trim().is_empty() {
                holder = "a process that left no name".into();
            }
            return Err(Error::Locked { path: folder.to_path_buf(), holder: holder.trim().to_string() });
        }
        let name = format!("process {}\n", std::process::id());
        file.set_len(0).and_then(|()| file.rewind()).map_err(Error::io("write", &path))?;
        file.write_all(name.as_bytes()).map_err(Error::io("write", &path))?;
        Ok(Lock { folder: folder.to_path_buf(), _file: file })
    }

    /// Removes what crashed writers left under temporary names. Only for the one holder of the folder.
    pub(crate) fn clear_pending(&self) -> Result<(), Error> {
        for folder in [self.folder.clone(), self.folder.join(RECEIPTS), self.folder.join(REJECTS)] {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", &folder)(error)),
            };
            for entry in entries {
                let path = entry.map_err(Error::io("read", &folder))?.path();
                let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                if name == PLAN_PENDING {
                    std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
                } else if is_pending(&name) {
                    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// A fresh folder to write a plan into.
    pub(crate) fn pending_plan(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join(PLAN_PENDING);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        }
        std::fs::create_dir(&path).map_err(Error::io("create", &path))?;
        Ok(path)
    }
}
