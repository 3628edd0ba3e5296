//! Pictures in a column of Parquet files, as Hugging Face `datasets` writes them.

mod columns;
mod file;
mod kept;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::scan::{Files, check_length, rejected};
use super::{FoundPicture, PictureFile, PictureSource, ScannedPictures, id_of};
use crate::inputs::{FolderStamp, Input, ScanContext, Span, scan_file};
use crate::plan::{interrupted, name_of};
use crate::{Code, Error, RejectReason};
use columns::{Cell, Columns};
use file::{Failure, ParquetFile};
use kept::Kept;

/// A column of pictures in a Parquet file, or in all `*.parquet` of a folder in the order of their names.
///
/// The column is a struct of `bytes` and `path`, as `datasets` writes its Image feature, or plain binary.
/// A picture's id is in a column of its own, if one is named (text or whole numbers); else it is the name
/// in `path` without its ending; else `<name of the file without .parquet>-<row>`, rows counted from 0 on.
/// A row whose picture is null, or lies elsewhere (a path and no bytes), is turned away.
///
/// The scan reads the column once and writes a listing, one line a picture, with its BLAKE3: the listing
/// is the input that the plan knows.
///
/// # What a read costs
/// One picture is read and decoded with the page that it is in. Where the file has an offset index, the
/// page is found at once; else the headers of the pages before it are read too, and nothing of what they
/// hold. Recent `datasets` write pages of a megabyte; pyarrow by itself looks at a page's size only every
/// 1,024 rows, so that its pages hold so many pictures, or a whole row group. Pictures behind the one that
/// is read are therefore kept, up to 16 MiB, and the page is not.
pub struct Parquet {
    path: PathBuf,
    column: String,
    id_column: Option<String>,
    kept: Mutex<Kept>,
}

/// Pictures are read and hashed so many at a time.
const AT_A_TIME: usize = 64;

/// A line of the listing.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    /// Name of the file in the folder; empty if the source is one file.
    file: String,
    group: usize,
    /// In the group.
    row: usize,
    size: u64,
    blake3: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl Parquet {
    /// The pictures in `column` of the file or the files at `path`.
    pub fn new(path: &Path, column: &str, id_column: Option<&str>) -> Parquet {
        Parquet {
            path: path.to_path_buf(),
            column: column.to_string(),
            id_column: id_column.map(str::to_string),
            kept: Mutex::default(),
        }
    }
}

impl PictureSource for Parquet {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<ScannedPictures, Error> {
        let Files { files, folder, warning } = Files::at(&self.path, "parquet")?;
        let folder = match folder {
            Some(folder) => folder,
            None => FolderStamp::of(&self.path)?,
        };
        let mut listing = Listing::create(context)?;
        for path in &files {
            self.scan_file(context, path, &mut listing, found)?;
        }
        if listing.rows == 0 {
            let what = format!("has no rows in the column `{}`", self.column);
            return Err(broken(&self.path, what, "check that this is the right file"));
        }
        let input = listing.finish()?;
        Ok(ScannedPictures { inputs: vec![input], folders: vec![folder], warnings: Vec::from_iter(warning) })
    }

    fn read(&self, part: Vec<u8>) -> Result<PictureFile, RejectReason> {
        let listed: Listed = serde_json::from_slice(&part)
            .map_err(|error| RejectReason::new(Code::BadJson, format!("the listing is damaged: {error}")))?;
        let path = self.file(&listed.file);
        let failed =
            |what: String| RejectReason::new(Code::ReadFailed, format!("{}: {what}", path.display()));
        let bytes = {
            // What a panic leaves behind is a list of whole pictures still.
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.picture((&listed.file, &path), &self.column, listed.group, listed.row)
        };
        let bytes = bytes.map_err(|failure| failed(failure.to_string()))?;
        let planned = |bytes: &Bytes| blake3::hash(bytes).to_hex().as_str() == listed.blake3;
        match bytes.filter(planned) {
            Some(bytes) => Ok(PictureFile { bytes, path: listed.path }),
            None => Err(failed(format!(
                "row {} of row group {} is not the picture that was planned; put the file back, or build into a \
                 new folder",
                listed.row, listed.group
            ))),
        }
    }
}

impl Parquet {
    fn scan_file(
        &self,
        context: ScanContext<'_>,
        path: &Path,
        listing: &mut Listing,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let refuse = |failure: Failure| failure.of(path);
        let file = ParquetFile::open(path).map_err(refuse)?;
        let columns = Columns::find(&file, &self.column, self.id_column.as_deref())
            .map_err(|(what, hint)| broken(path, what, &hint))?;
        let name = if path == self.path { String::new() } else { name_of(path) };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut first = 0;
        for group in 0..file.groups() {
            let mut rows = columns.rows(&file, group).map_err(refuse)?;
            let mut row = 0;
            while row < rows.count() {
                interrupted(context.watch)?;
                let some = rows.next(AT_A_TIME.min(rows.count() - row)).map_err(refuse)?;
                let hashes: Vec<_> = some
                    .par_iter()
                    .map(|cell| {
                        cell.bytes.as_ref().map(|bytes| blake3::hash(bytes.data()).to_hex().to_string())
                    })
                    .collect();
                for (cell, hash) in some.into_iter().zip(hashes) {
                    context.watch.scanned(cell.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64));
                    let at = format!("row {}", first + row);
                    let id = id(&cell, columns.has_ids(), || format!("{stem}-{}", first + row));
                    let key = id.as_ref().cloned().unwrap_or_default();
                    let checked =
                        id.and_then(|_| check(&cell, &at)).map(|size| (size, hash.unwrap_or_default()));
                    match checked {
                        Err(reason) => found(rejected(context, path, None, &key, reason))?,
                        Ok((size, blake3)) => {
                            let listed =
                                Listed { file: name.clone(), group, row, size, blake3, path: cell.path };
                            let span = listing.add(&listed)?;
                            found(FoundPicture::Picture { id: key, span })?;
                        }
                    }
                    listing.rows += 1;
                    row += 1;
                }
            }
            first += row;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }
}

/// What the id column says, or the name of the picture's file, or the place.
fn id(cell: &Cell, has_ids: bool, place: impl FnOnce() -> String) -> Result<String, RejectReason> {
    if has_ids {
        return match cell.id.as_deref().map(str::trim) {
            Some(id) if !id.is_empty() => Ok(id.to_string()),
            Some(_) => Err(RejectReason::new(Code::EmptyField, format!("{} has an empty id", place()))),
            None if cell.bad_id => {
                Err(RejectReason::new(Code::BadUtf8, format!("the id of {} is not UTF-8", place())))
            }
            None => Err(RejectReason::new(Code::EmptyField, format!("{} has no id", place()))),
        };
    }
    let named = cell.path.as_deref().map(id_of).filter(|id| !id.is_empty());
    Ok(named.map_or_else(place, str::to_string))
}

/// The picture's length, if it can be read.
fn check(cell: &Cell, at: &str) -> Result<u64, RejectReason> {
    let Some(bytes) = &cell.bytes else {
        let message = match &cell.path {
            Some(path) => format!("the picture of {at} is not in the file: it has only a path (`{path}`)"),
            None => format!("the picture of {at} is null"),
        };
        return Err(RejectReason::new(Code::EmptyField, message));
    };
    let size = bytes.len() as u64;
    check_length(size, &format!("the picture of {at}"))?;
    Ok(size)
}

/// The listing while it grows.
struct Listing {
    path: PathBuf,
    out: BufWriter<File>,
    input: u16,
    /// Where the next line begins, and its number.
    offset: u64,
    line: u64,
    /// Rows met, whatever became of them.
    rows: u64,
}

impl Listing {
    fn create(context: ScanContext<'_>) -> Result<Listing, Error> {
        let path = context.derived.join("pictures.jsonl");
        let out = BufWriter::new(File::create(&path).map_err(Error::io("create", &path))?);
        Ok(Listing { path, out, input: context.first_input, offset: 0, line: 1, rows: 0 })
    }

    fn add(&mut self, listed: &Listed) -> Result<Span, Error> {
        let text = serde_json::to_string(listed).expect("a listing has only plain fields");
        writeln!(self.out, "{text}").map_err(Error::io("write", &self.path))?;
        let span = Span { input: self.input, offset: self.offset, len: text.len() as u32, line: self.line };
        self.offset += text.len() as u64 + 1;
        self.line += 1;
        Ok(span)
    }

    fn finish(self) -> Result<Input, Error> {
        let path = self.path;
        self.out.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
        Ok(Input { stamp: scan_file(&path, |_| Ok(()))?, path })
    }
}

fn broken(path: &Path, what: String, hint: &str) -> Error {
    Error::Input { path: path.to_path_buf(), line: None, what, hint: hint.into() }
}

#[cfg(test)]
mod tests;
