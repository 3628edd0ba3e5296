//! The rows of a TSV as planning sees them: where each is, and the id in its first column.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use super::lineidx::LineIndex;
use super::tsv_lines::{HEAD, Line, LineSplitter};
use crate::inputs::{Input, ScanContext, Span, Stamp, scan_file};
use crate::reject::{Code, Outcome, Reject, RejectReason, Stage, Unit};
use crate::{Error, features::ScannedPicture};

/// A row: its place and its id, or why it has none.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) span: Span,
    pub(super) id: Result<String, RejectReason>,
}

/// Streams the rows of one TSV, read and hashed once by threads of its own, so that several files
/// can be walked side by side in bounded memory.
#[derive(Debug)]
pub(super) struct RowStream {
    path: PathBuf,
    receiver: Receiver<Vec<Row>>,
    ready: std::vec::IntoIter<Row>,
    scan: Option<JoinHandle<Result<Stamp, Error>>>,
    stamp: Option<Stamp>,
    index: LineIndex,
}

impl RowStream {
    /// Starts reading `path`, which is input number `input` of the plan.
    ///
    /// A `.lineidx` beside it is checked row by row; without one, `write_index` makes it.
    pub(super) fn open(path: &Path, input: u16, write_index: bool) -> Result<RowStream, Error> {
        let index = LineIndex::beside(path, write_index)?;
        let (sender, receiver) = sync_channel::<Vec<Row>>(2);
        let scan = thread::spawn({
            let path = path.to_path_buf();
            move || {
                let mut splitter = LineSplitter::default();
                let stamp = scan_file(&path, |chunk| {
                    let mut rows = Vec::new();
                    splitter.feed(chunk, |line| row(&path, input, line).map(|row| rows.push(row)))?;
                    // Nobody listens: the walk over the files has failed and says why.
                    sender.send(rows).map_err(|_| Error::Interrupted { signal: 0 })
                })?;
                let mut rows = Vec::new();
                splitter.finish(|line| row(&path, input, line).map(|row| rows.push(row)))?;
                sender.send(rows).map_err(|_| Error::Interrupted { signal: 0 })?;
                Ok(stamp)
            }
        });
        let path = path.to_path_buf();
        Ok(RowStream { path, receiver, ready: Vec::new().into_iter(), scan: Some(scan), stamp: None, index })
    }

    /// The next row; `None` after the last one.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, Error> {
        loop {
            if let Some(row) = self.ready.next() {
                self.index.row(row.span)?;
                return Ok(Some(row));
            }
            match self.receiver.recv() {
                Ok(rows) => self.ready = rows.into_iter(),
                Err(_) => break,
            }
        }
        if let Some(scan) = self.scan.take() {
            self.stamp = Some(scan.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            self.index.finish()?;
        }
        Ok(None)
    }

    /// The file's identity. Rows that nobody asked for are passed over.
    pub(super) fn into_input(mut self) -> Result<Input, Error> {
        while self.next_row()?.is_some() {}
        let stamp = self.stamp.expect("the stream ended without an error, so its scan left a stamp");
        Ok(Input { path: self.path, stamp })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The scan's reject of a row.
pub(super) fn rejected(
    context: ScanContext<'_>,
    path: &Path,
    line: u64,
    key: &str,
    reason: RejectReason,
) -> ScannedPicture {
    ScannedPicture::Reject(Reject {
        outcome: Outcome::Rejected,
        unit: Unit::Row,
        stage: Stage::Scan,
        code: reason.code,
        source: context.source.to_string(),
        file: path.display().to_string(),
        line: (line > 0).then_some(line),
        key: key.to_string(),
        message: reason.message,
        retryable: reason.code.is_retryable(),
    })
}

/// An error of a whole file.
pub(super) fn broken(
    path: &Path,
    line: Option<u64>,
    what: impl Into<String>,
    hint: impl Into<String>,
) -> Error {
    Error::Input { path: path.to_path_buf(), line, what: what.into(), hint: hint.into() }
}

fn row(path: &Path, input: u16, line: Line<'_>) -> Result<Row, Error> {
    let len = u32::try_from(line.len).map_err(|_| {
        let what = format!("the line has {} bytes, more than 4 GiB", line.len);
        broken(path, Some(line.number), what, "check that this is a text file with one picture a line")
    })?;
    let span = Span { input, offset: line.offset, len, line: line.number };
    Ok(Row { span, id: id(line) })
}

fn id(line: Line<'_>) -> Result<String, RejectReason> {
    let refuse = |code, message: String| Err(RejectReason::new(code, message));
    if line.len == 0 {
        return refuse(Code::WrongColumns, "the line is empty".into());
    }
    let Some(end) = memchr::memchr(b'\t', line.head) else {
        let place = if line.len as usize > HEAD { "in its first 1,024 bytes" } else { "in it" };
        return refuse(Code::WrongColumns, format!("the line has no tab {place}, so no id"));
    };
    match std::str::from_utf8(&line.head[..end]).map(str::trim) {
        Err(_) => refuse(Code::BadUtf8, "the id is not UTF-8".into()),
        Ok("") => refuse(Code::EmptyField, "the id is empty".into()),
        Ok(id) => Ok(id.to_string()),
    }
}
