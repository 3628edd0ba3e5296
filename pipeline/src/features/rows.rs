//! The rows of a TSV as planning sees them: where each is, and the id in its first column.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use memchr::memchr;

use super::lineidx::LineIndex;
use crate::inputs::{Input, Line, Lines, ScanContext, Span, Stamp, scan_file};
use crate::reject::{Code, Outcome, Reject, RejectReason, Stage, Unit};
use crate::{Error, Watch, features::ScannedPicture, plan::interrupted};

/// 500 regions of 2,054 numbers take 5.5 MB; far more than that is no line of features.
const LONGEST_LINE: u32 = 256 << 20;

/// Bytes in which an id and its tab must lie.
pub(crate) const LONGEST_ID: usize = 1024;

/// A row: its place and its id, or why it has none.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) span: Span,
    pub(super) id: Result<String, RejectReason>,
}

/// The rows that end in one chunk of the file.
struct Batch {
    rows: Vec<Row>,
    bytes: usize,
}

/// Streams the rows of one TSV, read and hashed once by threads of its own, so that several files
/// can be walked side by side in bounded memory.
pub(super) struct RowStream<'a> {
    path: PathBuf,
    watch: &'a dyn Watch,
    receiver: Receiver<Batch>,
    ready: std::vec::IntoIter<Row>,
    scan: Option<JoinHandle<Result<Stamp, Error>>>,
    stamp: Option<Stamp>,
    index: LineIndex,
}

impl<'a> RowStream<'a> {
    /// Starts reading `path`, which is input number `input` of the plan.
    ///
    /// A `.lineidx` beside it is checked row by row; without one, `write_index` makes it.
    pub(super) fn open(
        context: ScanContext<'a>,
        path: &Path,
        input: u16,
        write_index: bool,
    ) -> Result<RowStream<'a>, Error> {
        let index = LineIndex::beside(path, write_index)?;
        let (sender, receiver) = sync_channel::<Batch>(2);
        let scan = thread::spawn({
            let path = path.to_path_buf();
            move || {
                let mut lines = Lines::new(&path, LONGEST_LINE);
                let send = |rows, bytes| {
                    // Nobody listens: the walk over the files has failed and says why.
                    sender.send(Batch { rows, bytes }).map_err(|_| Error::Interrupted { signal: 0 })
                };
                let stamp = scan_file(&path, |chunk| {
                    let mut rows = Vec::new();
                    lines.push(chunk, &mut |line| {
                        rows.push(row(input, line));
                        Ok(())
                    })?;
                    send(rows, chunk.len())
                })?;
                lines.finish(&mut |line| send(vec![row(input, line)], 0))?;
                Ok(stamp)
            }
        });
        let path = path.to_path_buf();
        let ready = Vec::new().into_iter();
        Ok(RowStream { path, watch: context.watch, receiver, ready, scan: Some(scan), stamp: None, index })
    }

    /// The next row; `None` after the last one.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, Error> {
        loop {
            if let Some(row) = self.ready.next() {
                self.index.row(row.span)?;
                return Ok(Some(row));
            }
            match self.receiver.recv() {
                Ok(batch) => {
                    self.watch.scanned(batch.bytes as u64);
                    interrupted(self.watch)?;
                    self.ready = batch.rows.into_iter();
                }
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

/// Stamps a whole file that is not read by rows.
pub(super) fn scan_whole(context: ScanContext<'_>, path: &Path) -> Result<Input, Error> {
    let stamp = scan_file(path, |chunk| {
        context.watch.scanned(chunk.len() as u64);
        interrupted(context.watch)
    })?;
    Ok(Input { path: path.to_path_buf(), stamp })
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

fn row(input: u16, line: Line<'_>) -> Row {
    let len = line.bytes.len() as u32; // at most LONGEST_LINE
    let span = Span { input, offset: line.offset, len, line: line.number };
    Row { span, id: id(line.bytes) }
}

/// The id in front of a line's first tab; the first [`LONGEST_ID`] bytes of the line are enough.
pub(crate) fn id(line: &[u8]) -> Result<String, RejectReason> {
    let refuse = |code, message: String| Err(RejectReason::new(code, message));
    if line.is_empty() {
        return refuse(Code::WrongColumns, "the line is empty".into());
    }
    let Some(end) = memchr(b'\t', &line[..line.len().min(LONGEST_ID)]) else {
        return refuse(Code::WrongColumns, format!("no tab in the first {LONGEST_ID} bytes, so no id"));
    };
    match std::str::from_utf8(&line[..end]).map(str::trim) {
        Err(_) => refuse(Code::BadUtf8, "the id is not UTF-8".into()),
        Ok("") => refuse(Code::EmptyField, "the id is empty".into()),
        Ok(id) => Ok(id.to_string()),
    }
}
