//! One input file: its identity (size, time, BLAKE3), a pass over all of it, and reads of parts.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Error, inputs::Span};

/// Bytes per read of a scan: large enough for many threads to hash, small enough to stay in cache.
const CHUNK: usize = 4 << 20;

/// What makes a file the one that was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970; a cheap sign of change, not part of the plan's hash.
    pub modified: u128,
    /// BLAKE3 of all bytes, in hexadecimal.
    pub blake3: String,
}

/// An input opened for reads of byte ranges; safe to share between threads.
#[derive(Debug)]
pub struct InputFile {
    path: PathBuf,
    file: File,
}

impl InputFile {
    /// Opens `path` for reading.
    pub fn open(path: &Path) -> Result<InputFile, Error> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        Ok(InputFile { path: path.to_path_buf(), file })
    }

    /// Opens `path` and checks by size and time that it is still the file of `stamp`.
    pub fn open_planned(path: &Path, stamp: &Stamp) -> Result<InputFile, Error> {
        let input = InputFile::open(path)?;
        let (size, modified) = size_and_time(&input.file, path)?;
        let what = if size != stamp.size {
            format!("it had {} bytes and has {size}", stamp.size)
        } else if modified != stamp.modified {
            "it was written again since".to_string()
        } else {
            return Ok(input);
        };
        Err(Error::InputChanged { path: path.to_path_buf(), what })
    }

    /// The bytes of `span`.
    pub fn read(&self, span: Span) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; span.len as usize];
        self.file.read_exact_at(&mut bytes, span.offset).map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Passes all of `path` to `on_chunk` in order, hashing on the side, in bounded memory.
///
/// A first error of `on_chunk` ends the scan.
pub fn scan_file(path: &Path, mut on_chunk: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<Stamp, Error> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let (size, modified) = size_and_time(&file, path)?;

    // One thread reads, one hashes, the caller's looks at the bytes: three chunks in flight at most each.
    thread::scope(|scope| {
        let (to_hasher, from_reader) = sync_channel::<Vec<u8>>(2);
        let (to_caller, from_hasher) = sync_channel::<Vec<u8>>(2);
        let reader = scope.spawn(move || -> std::io::Result<u64> {
            let mut total = 0;
            loop {
                let mut chunk = Vec::with_capacity(CHUNK);
                let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk)?;
                if read == 0 {
                    return Ok(total);
                }
                total += read as u64;
                if to_hasher.send(chunk).is_err() {
                    return Ok(total); // the caller gave up and says why
                }
            }
        });
        let hasher = scope.spawn(move || {
            let mut hasher = blake3::Hasher::new();
            for chunk in from_reader {
                hasher.update(&chunk);
                if to_caller.send(chunk).is_err() {
                    break;
                }
            }
            hasher.finalize()
        });
        let mut outcome = Ok(());
        for chunk in from_hasher {
            outcome = on_chunk(&chunk);
            if outcome.is_err() {
                break;
            }
        }
        // `from_hasher` is gone by now, so a failed scan also ends the two threads.
        let read = reader.join().expect("the reader thread does not panic");
        let hash = hasher.join().expect("the hasher thread does not panic");
        outcome?;
        let read = read.map_err(Error::io("read", path))?;
        if read != size {
            let what = format!("it had {size} bytes when opened and {read} when read");
            return Err(Error::InputChanged { path: path.to_path_buf(), what });
        }
        Ok(Stamp { size, modified, blake3: hash.to_hex().to_string() })
    })
}

fn size_and_time(file: &File, path: &Path) -> Result<(u64, u128), Error> {
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if !metadata.is_file() {
        return Err(Error::Input {
            path: path.to_path_buf(),
            line: None,
            what: "is not a regular file".into(),
            hint: "name the file itself".into(),
        });
    }
    // A clock before 1970 gives time 0: size and hash still tell files apart.
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((metadata.len(), modified.map_or(0, |time| time.as_nanos())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_sees_every_byte_once_and_hashes_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        let bytes: Vec<u8> = (0..CHUNK * 2 + 77).map(|i| (i * 31 % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut seen = Vec::new();
        let stamp = scan_file(&path, |chunk| {
            seen.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, bytes);
        assert_eq!(stamp.blake3, blake3::hash(&bytes).to_hex().to_string());

        let input = InputFile::open_planned(&path, &stamp).unwrap();
        let span = Span { input: 0, offset: CHUNK as u64 - 3, len: 7, line: 1 };
        assert_eq!(input.read(span).unwrap(), bytes[CHUNK - 3..CHUNK + 4]);
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(matches!(InputFile::open_planned(&path, &stamp), Err(Error::InputChanged { .. })));
    }

    #[test]
    fn an_error_of_the_caller_ends_the_scan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, vec![0u8; CHUNK * 9]).unwrap();
        let refused =
            scan_file(&path, |_| Err(Error::Accounting { what: "this test".into(), sums: "1 = 2".into() }));
        assert!(matches!(refused, Err(Error::Accounting { .. })));
    }
}
