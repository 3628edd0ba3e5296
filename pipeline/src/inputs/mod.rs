//! Input files: opened once, hashed while they are scanned, read back by byte range.

mod csv_records;
mod file;
mod folder;
mod json_elements;
mod json_value;
mod lines;
mod tar_entries;

pub use csv_records::{CsvRecord, CsvRecords, csv_cells};
pub use file::{InputFile, Stamp, scan_file};
pub use folder::FolderStamp;
pub use json_elements::{Element, JsonElements, Layout};
pub use lines::{Line, Lines};
pub(crate) use tar_entries::{TarEntries, TarEntry, TarKind};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Watch;

/// A run of bytes of one input file: all that a task needs to find a record again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Index of the file in the plan's list of inputs.
    pub input: u16,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, the end of line not counted.
    pub len: u32,
    /// 1-based line of the first byte, for messages (0 where the file has no lines).
    pub line: u64,
}

/// A file that the plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// What it was when the build was planned.
    pub stamp: Stamp,
}

/// What a format is given to scan with.
#[derive(Clone, Copy)]
pub struct ScanContext<'a> {
    /// Source of the rows (`coco`, ...), for rejects.
    pub source: &'a str,
    /// Index that the first file of this scan gets in the plan.
    pub first_input: u16,
    /// Folder for files that a scan derives from inputs which cannot be read by byte range
    /// (a pickled dictionary becomes one JSON line an entry); such a file is an input like others.
    pub derived: &'a Path,
    /// Told of progress.
    pub watch: &'a dyn Watch,
}
