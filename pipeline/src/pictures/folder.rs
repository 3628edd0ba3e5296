//! Picture files in a folder and the folders below it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::{FoundPicture, PictureFile, PictureSource, ScannedPictures, id_of, is_picture_name};
use crate::inputs::{FolderStamp, Input, ScanContext, Span, scan_file};
use crate::{Code, Error, Outcome, Reject, RejectReason, Stage, Unit};

/// A folder of pictures.
///
/// A file is a picture if its name ends as one (`.jpg`, `.png`, ...) and does not begin with a dot; its
/// id is the name without ending, whatever folder it is in. Links are followed. The scan reads every
/// file once and writes a listing, one line a picture in the order of the paths, with its BLAKE3: the
/// listing is the input that the plan knows, so pictures may move as a whole, but not change.
#[derive(Debug, Clone)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
}

/// Pictures are read and hashed so many at a time.
const AT_A_TIME: usize = 256;

/// A line of the listing.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    path: String,
    size: u64,
    blake3: String,
}

impl PictureSource for Folder {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<ScannedPictures, Error> {
        let listing = context.derived.join("pictures.jsonl");
        let stamp = FolderStamp::of(&self.path)?;
        let (names, others) = self.names()?;
        if names.is_empty() {
            return Err(Error::Input {
                path: self.path.clone(),
                line: None,
                what: "holds no pictures (.jpg, .png, .webp, .gif, .bmp), nor do the folders below it".into(),
                hint: "name the folder that the pictures are in; tars and Parquet have images.format of their own"
                    .into(),
            });
        }
        let mut out = BufWriter::new(File::create(&listing).map_err(Error::io("create", &listing))?);
        let (mut offset, mut line) = (0, 1);
        for some in names.chunks(AT_A_TIME) {
            crate::plan::interrupted(context.watch)?;
            let hashed: Vec<_> = some.par_iter().map(|name| self.look_at(name)).collect();
            for (name, listed) in some.iter().zip(hashed) {
                let listed = match listed {
                    Ok(listed) => listed,
                    Err(reason) => {
                        found(FoundPicture::Reject(reject(context, name, reason)))?;
                        continue;
                    }
                };
                context.watch.scanned(listed.size);
                let text = serde_json::to_string(&listed).expect("a listing has only plain fields");
                writeln!(out, "{text}").map_err(Error::io("write", &listing))?;
                let span = Span { input: context.first_input, offset, len: text.len() as u32, line };
                found(FoundPicture::Picture { id: id_of(&listed.path).to_string(), span })?;
                offset += text.len() as u64 + 1;
                line += 1;
            }
        }
        out.into_inner().map_err(|error| Error::io("write", &listing)(error.into_error()))?;
        let input = Input { stamp: scan_file(&listing, |_| Ok(()))?, path: listing };
        let warnings = match others {
            0 => vec![],
            others => vec![format!("{}: {others} files are no pictures by their names", self.path.display())],
        };
        Ok(ScannedPictures { inputs: vec![input], folders: vec![stamp], warnings })
    }

    fn read(&self, part: Vec<u8>) -> Result<PictureFile, RejectReason> {
        let listed: Listed = serde_json::from_slice(&part)
            .map_err(|error| RejectReason::new(Code::BadJson, format!("the listing is damaged: {error}")))?;
        let path = self.path.join(&listed.path);
        let failed =
            |what: String| RejectReason::new(Code::ReadFailed, format!("{}: {what}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        if blake3::hash(&bytes).to_hex().as_str() != listed.blake3 {
            return Err(failed(
                "is not the picture that was planned; put it back, or build into a new folder".into(),
            ));
        }
        Ok(PictureFile { bytes: bytes.into(), path: Some(listed.path) })
    }
}

impl Folder {
    /// Paths of pictures from the folder on, sorted by their bytes, and how many other files there are.
    fn names(&self) -> Result<(Vec<PathBuf>, u64), Error> {
        let mut names = Vec::new();
        let mut others = 0;
        for entry in WalkDir::new(&self.path).follow_links(true) {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&self.path).to_path_buf();
                Error::io("list", &path)(error.into())
            })?;
            let name = entry.file_name().to_string_lossy();
            if entry.file_type().is_dir() || name.starts_with('.') {
                continue;
            }
            if is_picture_name(&name) {
                names.push(entry.path().strip_prefix(&self.path).unwrap_or(entry.path()).to_path_buf());
            } else {
                others += 1;
            }
        }
        names.sort_by(|one, other| {
            one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
        });
        Ok((names, others))
    }

    fn look_at(&self, name: &Path) -> Result<Listed, RejectReason> {
        let Some(text) = name.to_str() else {
            return Err(RejectReason::new(Code::BadUtf8, "the file name is not UTF-8"));
        };
        let bytes = std::fs::read(self.path.join(name))
            .map_err(|error| RejectReason::new(Code::ReadFailed, error.to_string()))?;
        if bytes.is_empty() {
            return Err(RejectReason::new(Code::EmptyField, "the file is empty"));
        }
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        Ok(Listed { path: text.to_string(), size: bytes.len() as u64, blake3 })
    }
}

fn reject(context: ScanContext<'_>, name: &Path, reason: RejectReason) -> Reject {
    let name = name.to_string_lossy().into_owned();
    Reject {
        outcome: Outcome::Rejected,
        unit: Unit::Row,
        stage: Stage::Scan,
        code: reason.code,
        source: context.source.to_string(),
        line: None,
        key: id_of(&name).to_string(),
        message: reason.message,
        // Planning is over by the time of a retry.
        retryable: false,
        file: name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;
    use crate::inputs::InputFile;

    fn scan(folder: &Folder, derived: &Path) -> (Vec<FoundPicture>, Result<ScannedPictures, Error>) {
        let context = ScanContext { source: "src", first_input: 3, derived, watch: &Unwatched };
        let mut all = Vec::new();
        let scanned = folder.scan(context, &mut |found| {
            all.push(found);
            Ok(())
        });
        (all, scanned)
    }

    #[test]
    fn pictures_come_in_the_order_of_their_paths_and_are_read_back() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("pictures");
        std::fs::create_dir_all(root.join("b/deep")).unwrap();
        std::fs::create_dir_all(place.path().join("derived")).unwrap();
        for (name, content) in [
            ("b/deep/2.PNG", "two"),
            ("b/1.jpg", "one"),
            ("a.jpeg", "zero"),
            ("b/.3.jpg", "hidden"),
            ("notes.txt", "no"),
        ] {
            std::fs::write(root.join(name), content).unwrap();
        }
        std::fs::write(root.join("empty.gif"), "").unwrap();
        let folder = Folder { path: root.clone() };
        let (found, scanned) = scan(&folder, &place.path().join("derived"));
        let scanned = scanned.unwrap();
        assert!(scanned.warnings[0].contains("1 files are no pictures"), "{:?}", scanned.warnings);
        let listing = InputFile::open(&scanned.inputs[0].path).unwrap();
        let read = |span: &Span| folder.read(listing.read(*span).unwrap());
        let mut seen = Vec::new();
        for found in &found {
            match found {
                FoundPicture::Picture { id, span } => {
                    let file = read(span).unwrap();
                    seen.push((id.as_str(), file.path.unwrap(), file.bytes.to_vec()));
                }
                FoundPicture::Reject(reject) => {
                    assert_eq!((reject.code, reject.key.as_str()), (Code::EmptyField, "empty"));
                }
            }
        }
        let expected = [("a", "a.jpeg", "zero"), ("1", "b/1.jpg", "one"), ("2", "b/deep/2.PNG", "two")];
        let expected = expected.map(|(id, path, bytes)| (id, path.to_string(), bytes.as_bytes().to_vec()));
        assert_eq!(seen, expected);

        // A picture that changed after planning is not taken for the one that was planned.
        assert_eq!(FolderStamp::of(&root).unwrap(), scanned.folders[0]);
        std::fs::write(root.join("a.jpeg"), "Zero").unwrap();
        std::fs::remove_file(root.join("b/1.jpg")).unwrap();
        assert_ne!(FolderStamp::of(&root).unwrap().blake3, scanned.folders[0].blake3);
        let codes: Vec<_> = found
            .iter()
            .filter_map(|found| match found {
                FoundPicture::Picture { span, .. } => {
                    Some(read(span).map(|_| ()).map_err(|reason| reason.code))
                }
                FoundPicture::Reject(_) => None,
            })
            .collect();
        assert_eq!(codes, [Err(Code::ReadFailed), Err(Code::ReadFailed), Ok(())]);
    }

    #[test]
    fn a_folder_without_pictures_is_an_error_that_says_so() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a.txt"), "x").unwrap();
        let said = scan(&Folder { path: place.path().into() }, place.path()).1.unwrap_err().to_string();
        assert!(said.contains("holds no pictures"), "{said}");
        let none = Folder { path: place.path().join("none") };
        assert!(matches!(scan(&none, place.path()).1, Err(Error::Io { .. })));
    }
}
