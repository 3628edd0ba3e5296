//! For tests: a source of pictures over small files, from scan to bytes, and over a thousand mutants.

use std::path::{Path, PathBuf};

use super::{FoundPicture, PictureFile, PictureSource, ScannedPictures};
use crate::inputs::{InputFile, ScanContext};
use crate::{Error, Reject, RejectReason, Unwatched};

/// Index of the first file, so that a forgotten `first_input` shows.
const FIRST: u16 = 5;

/// What came of a source.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) pictures: Vec<(String, Result<PictureFile, RejectReason>)>,
    pub(super) rejects: Vec<Reject>,
    pub(super) scanned: ScannedPictures,
}

/// Scans and reads everything.
pub(super) fn run(source: &dyn PictureSource) -> Result<Trial, Error> {
    let derived = tempfile::tempdir().unwrap();
    let context =
        ScanContext { source: "src", first_input: FIRST, derived: derived.path(), watch: &Unwatched };
    let (mut found, mut rejects) = (Vec::new(), Vec::new());
    let scanned = source.scan(context, &mut |picture| {
        match picture {
            FoundPicture::Picture { id, span } => found.push((id, span)),
            FoundPicture::Reject(reject) => rejects.push(reject),
        }
        Ok(())
    })?;
    let files: Vec<_> = scanned
        .inputs
        .iter()
        .map(|input| InputFile::open_planned(&input.path, &input.stamp).unwrap())
        .collect();
    let read = |(id, span): (String, crate::inputs::Span)| {
        let part = files[usize::from(span.input - FIRST)].read(span).unwrap();
        (id, source.read(part))
    };
    Ok(Trial { pictures: found.into_iter().map(read).collect(), rejects, scanned })
}

impl Trial {
    /// The pictures that can be read.
    pub(super) fn good(&self) -> impl Iterator<Item = (&str, &PictureFile)> {
        self.pictures.iter().filter_map(|(id, file)| Some((id.as_str(), file.as_ref().ok()?)))
    }

    /// Line (where there is one), key, code and message of each reject, those of the scan first.
    pub(super) fn refused(&self) -> Vec<String> {
        let scan = self.rejects.iter().map(|reject| {
            assert_eq!((reject.source.as_str(), reject.retryable), ("src", false));
            let line = reject.line.map(|line| format!("{line} ")).unwrap_or_default();
            format!("{line}{} {:?}: {}", reject.key, reject.code, reject.message)
        });
        let read = self.pictures.iter().filter_map(|(id, file)| {
            let reason = file.as_ref().err()?;
            Some(format!("{id} {:?}: {}", reason.code, reason.message))
        });
        scan.chain(read).collect()
    }
}

/// A folder with small files.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().to_path_buf()
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A thousand mutants of a file, each mended by `mend` as far as that may be: each ends in pictures and
/// rejects, or in a typed error.
pub(super) fn mutants(
    name: &str,
    content: &[u8],
    mend: impl Fn(&mut Vec<u8>),
    source: impl Fn(&Path) -> Box<dyn PictureSource>,
) {
    let folder = Folder::new();
    let path = folder.file(name, content);
    let good = run(source(&path).as_ref()).unwrap();
    let mut random = 7u64;
    let (mut unharmed, mut harmed, mut refused) = (0, 0, 0);
    for _ in 0..1000 {
        let mut bytes = mutant(content, &mut random);
        mend(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        match run(source(&path).as_ref()) {
            Ok(trial) if trial.pictures == good.pictures && trial.rejects == good.rejects => unharmed += 1,
            Ok(_) => harmed += 1,
            Err(Error::Input { .. }) => refused += 1,
            Err(error) => panic!("{error} for a mutant of {name}"),
        }
    }
    println!("{name}: {unharmed} unharmed, {harmed} with other pictures or rejects, {refused} refused");
    assert!(harmed + refused > 0 && unharmed + harmed > 0, "{unharmed}, {harmed}, {refused}");
}

/// The bytes with a few of them changed.
pub(crate) fn mutant(bytes: &[u8], random: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize % below
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + next(3) {
        if bytes.is_empty() {
            break;
        }
        let at = next(bytes.len());
        let strange = [0, 0xff, 0x80, b'\t', b'\n', b'=', b'/', b'9', b'"', next(256) as u8];
        let byte = strange[next(strange.len())];
        match next(7) {
            0..=2 => bytes[at] = byte,
            3 => bytes[at] ^= 1 << next(8),
            4 => bytes.insert(at, byte),
            5 => drop(bytes.remove(at)),
            _ => {
                let end = (at + 1 + next(600)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
        }
    }
    bytes
}
