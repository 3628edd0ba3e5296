//! Files that are there whole or not at all: temporary name, fsync, rename, fsync of the folder.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::Error;

/// Marks a file as unfinished; [`is_pending`] knows it again after a crash.
const SUFFIX: &str = ".tmp";

/// A moment of a commit at which a process may die; tests let it die at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPhase {
    /// All bytes are written, none is known to be on the disk.
    Written,
    /// The bytes are on the disk under the temporary name.
    Synced,
    /// The file has its final name; the folder entry may not be on the disk.
    Renamed,
    /// Nothing can be lost any more.
    Durable,
}

/// A file being written under a temporary name beside its final one.
///
/// Dropped without [`commit`](PendingFile::commit), it leaves nothing behind.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    temporary: TempPath,
    target: PathBuf,
}

impl PendingFile {
    /// Creates the temporary file of `target`: `.<name>.<owner>.<random>.tmp` in the same folder.
    pub fn create(target: &Path, owner: &str) -> Result<PendingFile, Error> {
        let folder = target.parent().unwrap_or(Path::new("."));
        let name = target.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let (file, temporary) = tempfile::Builder::new()
            .prefix(&format!(".{name}.{owner}."))
            .suffix(SUFFIX)
            // Shards are for others to read, as the umask allows; tempfile's default is 0600.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(Error::io("create a file in", folder))
            .map(NamedTempFile::into_parts)?;
        Ok(PendingFile { file, temporary, target: target.to_path_buf() })
    }

    /// Makes the file permanent, replacing an older one of that name.
    pub fn commit(self, on_phase: &dyn Fn(CommitPhase)) -> Result<(), Error> {
        self.publish(on_phase, |temporary, target| temporary.persist(target).map_err(|error| error.error))
            .map(|_| ())
    }

    /// Makes the file permanent unless one of that name exists; `false` if it does.
    pub fn commit_new(self, on_phase: &dyn Fn(CommitPhase)) -> Result<bool, Error> {
        self.publish(on_phase, |temporary, target| {
            temporary.persist_noclobber(target).map_err(|error| error.error)
        })
    }

    fn publish(
        self,
        on_phase: &dyn Fn(CommitPhase),
        rename: impl FnOnce(TempPath, &Path) -> io::Result<()>,
    ) -> Result<bool, Error> {
        let PendingFile { file, temporary, target } = self;
        on_phase(CommitPhase::Written);
        file.sync_all().map_err(Error::io("fsync", &target))?;
        on_phase(CommitPhase::Synced);
        match rename(temporary, &target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(Error::io("rename to", &target)(error)),
        }
        on_phase(CommitPhase::Renamed);
        sync_folder(target.parent().unwrap_or(Path::new(".")))?;
        on_phase(CommitPhase::Durable);
        Ok(true)
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes `bytes` to `target` so that a crash leaves the old file or the new one.
pub fn write_durably(target: &Path, bytes: &[u8], owner: &str) -> Result<(), Error> {
    let mut file = PendingFile::create(target, owner)?;
    file.write_all(bytes).map_err(Error::io("write", target))?;
    file.commit(&|_| {})
}

/// Whether `name` is that of a file which was never committed.
pub fn is_pending(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Makes the names in `folder` permanent.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(Error::io("fsync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn a_file_appears_only_when_committed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("shard");
        let mut file = PendingFile::create(&target, "b1").unwrap();
        file.write_all(b"abc").unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.len() == 1 && is_pending(&names[0]) && names[0].starts_with(".shard.b1."), "{names:?}");

        let phases = RefCell::new(Vec::new());
        file.commit(&|phase| phases.borrow_mut().push(phase)).unwrap();
        use CommitPhase::*;
        assert_eq!(*phases.borrow(), [Written, Synced, Renamed, Durable]);
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_dropped_file_leaves_nothing_and_an_old_one_is_not_overwritten_by_commit_new() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("manifest-0.json");
        drop(PendingFile::create(&target, "b1").unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        write_durably(&target, b"first", "b1").unwrap();
        let mut second = PendingFile::create(&target, "b2").unwrap();
        second.write_all(b"second").unwrap();
        assert!(!second.commit_new(&|_| {}).unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
