//! A scan in progress: where each record lies, and what is told of it.

use std::path::Path;

use crate::inputs::{
    CsvRecord, CsvRecords, Element, Input, JsonElements, Layout, Line, Lines, ScanContext, Span, Stamp,
    scan_file,
};
use crate::texts::{ScannedText, TextRecord};
use crate::{Code, Error, Outcome, Reject, RejectReason, Stage, Unit};

/// No line of text is longer; what is longer is not text.
const MAX_LINE: u32 = 16 << 20;

/// Passes the elements of `path`, the `nth` file of a format, to `on`, each with its place.
///
/// Returns the file as an input, and those arrays of the layout that it has.
pub(crate) fn elements(
    context: ScanContext<'_>,
    nth: u16,
    path: &Path,
    layout: Layout,
    mut on: impl FnMut(Element<'_>, &Place<'_>) -> Result<(), Error>,
) -> Result<(Input, Vec<&'static str>), Error> {
    let input = input_index(context, nth, path)?;
    let mut on_element = |element: Element<'_>| {
        // An element is at most MAX_ELEMENT bytes long.
        let len = element.bytes.len() as u32;
        let span = Span { input, offset: element.offset, len, line: element.line };
        on(element, &Place { source: context.source, path, span, by_line: false })
    };
    let mut elements = JsonElements::new(path, layout);
    let stamp = scan_file(path, |chunk| {
        watched(context, chunk)?;
        elements.push(chunk, &mut on_element)
    })?;
    Ok((as_input(path, stamp), elements.finish()?))
}

/// Passes the lines of `path`, the `nth` file of a format, to `on`, each with its place.
pub(crate) fn lines(
    context: ScanContext<'_>,
    nth: u16,
    path: &Path,
    mut on: impl FnMut(Line<'_>, &Place<'_>) -> Result<(), Error>,
) -> Result<Input, Error> {
    let input = input_index(context, nth, path)?;
    let mut on_line = |line: Line<'_>| {
        // A line is at most MAX_LINE bytes long.
        let span = Span { input, offset: line.offset, len: line.bytes.len() as u32, line: line.number };
        on(line, &Place { source: context.source, path, span, by_line: true })
    };
    let mut lines = Lines::new(path, MAX_LINE);
    let stamp = scan_file(path, |chunk| {
        watched(context, chunk)?;
        lines.push(chunk, &mut on_line)
    })?;
    lines.finish(&mut on_line)?;
    Ok(as_input(path, stamp))
}

/// Passes the records of `path`, a CSV file and the `nth` of a format, to `on`, each with its place.
pub(crate) fn csv_records(
    context: ScanContext<'_>,
    nth: u16,
    path: &Path,
    mut on: impl FnMut(CsvRecord<'_>, &Place<'_>) -> Result<(), Error>,
) -> Result<Input, Error> {
    let input = input_index(context, nth, path)?;
    let mut on_record = |record: CsvRecord<'_>| {
        // A record is at most MAX_LINE bytes long.
        let span = Span { input, offset: record.offset, len: record.bytes.len() as u32, line: record.line };
        on(record, &Place { source: context.source, path, span, by_line: false })
    };
    let mut records = CsvRecords::new(path, MAX_LINE);
    let stamp = scan_file(path, |chunk| {
        watched(context, chunk)?;
        records.push(chunk, &mut on_record)
    })?;
    records.finish(&mut on_record)?;
    Ok(as_input(path, stamp))
}

/// `path`, the `nth` file of a format, as an input that is not read by record.
pub(crate) fn whole(context: ScanContext<'_>, nth: u16, path: &Path) -> Result<Input, Error> {
    input_index(context, nth, path)?;
    Ok(as_input(path, scan_file(path, |chunk| watched(context, chunk))?))
}

/// What a record says of itself while it is scanned.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) images: Vec<String>,
    pub(crate) id: String,
    pub(crate) split: Option<String>,
    /// How many texts are in it.
    pub(crate) texts: u32,
}

/// Why a record is of no use, and what it is called as far as that could be read.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) key: String,
    pub(crate) reason: RejectReason,
}

impl From<RejectReason> for Refusal {
    /// Nothing could be read that names the record.
    fn from(reason: RejectReason) -> Refusal {
        Refusal { key: String::new(), reason }
    }
}

impl Refusal {
    /// To be given to `map_err`, once the record's name is known.
    pub(crate) fn of(key: String) -> impl FnOnce(RejectReason) -> Refusal {
        |reason| Refusal { key, reason }
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) source: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) span: Span,
    /// Whether the line is enough to find it; a JSON file is often one line.
    pub(crate) by_line: bool,
}

impl Place<'_> {
    /// A record that lies here and nowhere else.
    pub(crate) fn told(&self, head: Result<Head, Refusal>) -> ScannedText {
        match head {
            Ok(head) => head.at(vec![self.span]),
            Err(refusal) => self.reject(refusal.key, refusal.reason),
        }
    }

    /// File, line and byte, for messages.
    pub(crate) fn shown(&self) -> String {
        format!("{}:{} (byte {})", self.path.display(), self.span.line, self.span.offset)
    }

    /// The record here is of no use.
    pub(crate) fn reject(&self, key: String, reason: RejectReason) -> ScannedText {
        let RejectReason { code, mut message } = reason;
        if !self.by_line {
            message.push_str(&format!(" (the record begins at byte {})", self.span.offset));
        }
        ScannedText::Reject(Reject {
            outcome: Outcome::Rejected,
            unit: Unit::Text,
            stage: Stage::Scan,
            code,
            source: self.source.to_string(),
            file: self.path.display().to_string(),
            line: Some(self.span.line).filter(|&line| line > 0),
            key,
            message,
            retryable: code.is_retryable(),
        })
    }
}

impl Head {
    /// A record of one text, as most are.
    pub(crate) fn one(images: Vec<String>, id: String) -> Head {
        Head { images, id, split: None, texts: 1 }
    }

    /// The record, with the bytes that it consists of.
    pub(crate) fn at(self, spans: Vec<Span>) -> ScannedText {
        let Head { images, id, split, texts } = self;
        ScannedText::Record(TextRecord { images, id, split, texts, spans })
    }
}

/// A record whose spans are not as many as its format has: only a plan of another version can do that.
pub(crate) fn wrong_parts(expected: &str, found: usize) -> RejectReason {
    RejectReason::new(Code::WrongLength, format!("the record has {found} spans where {expected} make it"))
}

/// Tells of progress, and ends the scan if it was interrupted.
pub(crate) fn watched(context: ScanContext<'_>, chunk: &[u8]) -> Result<(), Error> {
    context.watch.scanned(chunk.len() as u64);
    match context.watch.interrupted() {
        Some(signal) => Err(Error::Interrupted { signal }),
        None => Ok(()),
    }
}

/// The index of `path`, the `nth` file of a format.
pub(crate) fn input_index(context: ScanContext<'_>, nth: u16, path: &Path) -> Result<u16, Error> {
    context.first_input.checked_add(nth).ok_or_else(|| Error::Input {
        path: path.to_path_buf(),
        line: None,
        what: format!("is more than the {} inputs that a build can have", u16::MAX),
        hint: "join the smaller files".into(),
    })
}

fn as_input(path: &Path, stamp: Stamp) -> Input {
    Input { path: path.to_path_buf(), stamp }
}
