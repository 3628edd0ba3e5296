//! A few bytes from rank 0 to the others by a file: put there whole, and only where nothing is.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Before the bytes, so that another file is noticed.
const MAGIC: &[u8; 8] = b"oscar-id";
/// Between looks for the file.
const PAUSE: Duration = Duration::from_millis(50);

/// Puts `bytes` at `path`, where nothing may be.
///
/// # Errors
/// Something is there: of a start that was not finished, or another run's; the system's.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    let write = || {
        let mut file = File::create_new(&part)?;
        file.write_all(MAGIC)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // unlike a rename it does not replace what is there
        std::fs::hard_link(&part, path)
    };
    let written = write();
    // what is left over harms nobody
    drop(std::fs::remove_file(&part));
    written.map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::AlreadyExists => "is there already: of an earlier start, or of another run".to_owned(),
            _ => error.to_string(),
        };
        failed(path, &problem)
    })
}

/// Waits for `N` bytes at `path`.
///
/// # Errors
/// They do not come within `patience`; something else is there; the system's.
pub(super) fn fetch<const N: usize>(path: &Path, patience: Duration) -> Result<[u8; N]> {
    let start = Instant::now();
    loop {
        match std::fs::read(path) {
            Ok(read) => {
                let bytes = read.strip_prefix(MAGIC).and_then(|bytes| bytes.try_into().ok());
                return bytes.ok_or_else(|| failed(path, "is no file of rank 0's"));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(path, &error.to_string()));
            }
            Err(_) if start.elapsed() > patience => {
                let operation = format!("the meeting at {}", path.display());
                return Err(Error::Late { rank: 0, operation, number: 0, waited: start.elapsed() });
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn failed(path: &Path, problem: &str) -> Error {
    Error::Unavailable {
        what: "the file of --rendezvous",
        problem: format!("{} {problem}", path.display()),
        hint: "name a file that is not there yet, in a folder that all machines see, and another one for each start",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rank_0_says_arrives_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        let said: [u8; 128] = std::array::from_fn(|i| i as u8);
        std::thread::scope(|scope| {
            let others: Vec<_> =
                (0..3).map(|_| scope.spawn(|| fetch::<128>(&path, Duration::from_secs(60)))).collect();
            std::thread::sleep(2 * PAUSE);
            publish(&path, &said).unwrap();
            for other in others {
                assert_eq!(other.join().unwrap().unwrap(), said);
            }
        });
        let error = publish(&path, &said).unwrap_err().to_string();
        assert!(error.contains("id is there already") && error.contains("hint:"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a part is left over");

        std::fs::write(&path, "of another kind").unwrap();
        let error = fetch::<128>(&path, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("is no file of rank 0's"), "{error}");
        let error = fetch::<128>(&folder.path().join("none"), Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::Late { rank: 0, .. }), "{error}");
    }
}
