//! What the scans of picture files have in common: the files at a path, their limits, their rejects.

use std::path::{Path, PathBuf};

use super::FoundPicture;
use crate::inputs::{FolderStamp, ScanContext};
use crate::{Code, Error, Outcome, Reject, RejectReason, Stage, Unit};

/// Longest file of a picture, in the form in which it is kept. What is longer is turned away before it
/// is read, so that it costs no memory.
pub(super) const LONGEST: u64 = 64 << 20;

/// The files at a path.
pub(crate) struct Files {
    /// The file itself, or those of the folder in the order of their names.
    pub(crate) files: Vec<PathBuf>,
    /// The folder, if the path is one.
    pub(super) folder: Option<FolderStamp>,
    /// What a user should know of the folder's other files.
    pub(super) warning: Option<String>,
}

impl Files {
    /// The file at `path`, or all files of the folder there whose names end in `.ending`.
    ///
    /// # Errors
    /// A folder that cannot be read, or has no such file.
    pub(crate) fn at(path: &Path, ending: &str) -> Result<Files, Error> {
        if !path.is_dir() {
            return Ok(Files { files: vec![path.to_path_buf()], folder: None, warning: None });
        }
        let stamp = FolderStamp::of(path)?;
        let mut files = Vec::new();
        let mut others = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
            let file = entry.map_err(Error::io("list", path))?.path();
            let is_file = file.is_file();
            if is_file && file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
                files.push(file);
            } else if is_file {
                others.push(file);
            }
        }
        files.sort_by(|one, other| {
            one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
        });
        others.sort();
        let others = others.first().map(|first| {
            let name = first.file_name().unwrap_or_default().display();
            format!("{} files do not end in .{ending} and are passed over; the first: {name}", others.len())
        });
        if files.is_empty() {
            return Err(Error::Input {
                path: path.to_path_buf(),
                line: None,
                what: format!(
                    "holds no .{ending} file{}",
                    others.map(|told| format!("; {told}")).unwrap_or_default()
                ),
                hint: "name the file itself or the folder that it is in; folders below are not looked into, \
                       and compressed files have to be unpacked first"
                    .into(),
            });
        }
        if files.len() > usize::from(u16::MAX) {
            return Err(Error::Input {
                path: path.to_path_buf(),
                line: None,
                what: format!(
                    "holds {} .{ending} files, more than the {} inputs that a build can have",
                    files.len(),
                    u16::MAX
                ),
                hint: "join the smaller files".into(),
            });
        }
        let warning = others.map(|told| format!("{}: {told}", path.display()));
        Ok(Files { files, folder: Some(stamp), warning })
    }
}

/// A picture of `path` that cannot be read.
pub(super) fn rejected(
    context: ScanContext<'_>,
    path: &Path,
    line: Option<u64>,
    key: &str,
    reason: RejectReason,
) -> FoundPicture {
    FoundPicture::Reject(Reject {
        outcome: Outcome::Rejected,
        unit: Unit::Row,
        stage: Stage::Scan,
        code: reason.code,
        source: context.source.to_string(),
        file: path.display().to_string(),
        line,
        key: key.to_string(),
        message: reason.message,
        // Planning is over by the time of a retry.
        retryable: false,
    })
}

/// Why a picture of `len` bytes is not read, if it is not; `what` has that length.
pub(super) fn check_length(len: u64, what: &str) -> Result<(), RejectReason> {
    match len {
        0 => Err(RejectReason::new(Code::EmptyField, format!("{what} is empty"))),
        1..=LONGEST => Ok(()),
        _ => {
            let message = format!("{what} has {len} bytes, and none longer than {LONGEST} is read");
            Err(RejectReason::new(Code::PictureTooLarge, message))
        }
    }
}
