//! For tests: a format over small files, from scan to texts, and over a thousand mutants of them.

use std::path::{Path, PathBuf};

use data_specs::Text;

use crate::inputs::{
    CsvRecord, CsvRecords, Element, Input, InputFile, JsonElements, Layout, Line, Lines, ScanContext, Span,
};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat, TextRecord};
use crate::{Code, Error, Reject, RejectReason, Unwatched};

/// Index of the first file, so that a forgotten `first_input` shows.
const FIRST: u16 = 5;

/// What came of a format.
pub(super) struct Trial {
    pub(super) records: Vec<(TextRecord, Result<ParsedTexts, RejectReason>)>,
    pub(super) rejects: Vec<Reject>,
    pub(super) inputs: Vec<Input>,
}

/// Scans and parses everything.
pub(super) fn run(format: &dyn TextFormat) -> Result<Trial, Error> {
    let derived = tempfile::tempdir().unwrap();
    let context =
        ScanContext { source: "src", first_input: FIRST, derived: derived.path(), watch: &Unwatched };
    let (mut records, mut rejects) = (Vec::new(), Vec::new());
    let inputs = format.scan(context, &mut |found| {
        match found {
            ScannedText::Record(record) => records.push(record),
            ScannedText::Reject(reject) => rejects.push(reject),
        }
        Ok(())
    })?;
    let files: Vec<_> =
        inputs.iter().map(|input| InputFile::open_planned(&input.path, &input.stamp).unwrap()).collect();
    let parse = |record: TextRecord| {
        let part = |span: &Span| {
            let file = &files[usize::from(span.input - FIRST)];
            Part { span: *span, bytes: file.read(*span).unwrap() }
        };
        let parts: Vec<Part> = record.spans.iter().map(part).collect();
        let parsed = format.parse(&parts);
        if let Ok(parsed) = &parsed {
            assert_eq!(parsed.texts.len() + parsed.rejected.len(), record.texts as usize);
        }
        (record, parsed)
    };
    Ok(Trial { records: records.into_iter().map(parse).collect(), rejects, inputs })
}

impl Trial {
    /// All texts; every record must be good.
    pub(super) fn texts(&self) -> Vec<&Text> {
        assert_eq!(self.rejects, []);
        self.records.iter().flat_map(|(_, parsed)| &parsed.as_ref().unwrap().texts).collect()
    }

    /// The pictures of the records, `|` between left and right.
    pub(super) fn images(&self) -> Vec<String> {
        self.records.iter().map(|(record, _)| record.images.join("|")).collect()
    }

    /// Line, key, code and message of each reject, those of the scan first, and then of each record that does
    /// not parse.
    pub(super) fn refused(&self) -> Vec<String> {
        let scan = self.rejects.iter().map(|reject| {
            assert_eq!((reject.source.as_str(), reject.retryable), ("src", false));
            assert!(self.inputs.iter().any(|input| input.path.display().to_string() == reject.file));
            format!("{} {} {:?}: {}", reject.line.unwrap(), reject.key, reject.code, reject.message)
        });
        let parse = self.records.iter().filter_map(|(record, parsed)| {
            let reason = parsed.as_ref().err()?;
            Some(format!("{} {} {:?}: {}", record.spans[0].line, record.id, reason.code, reason.message))
        });
        scan.chain(parse).collect()
    }
}

/// A folder with small files.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// How the records of a file are counted.
#[derive(Clone, Copy)]
pub(super) enum Frame {
    Json(Layout),
    Lines,
    /// Records of CSV, perhaps after a line of names.
    Csv {
        names: bool,
    },
    /// A table to look things up in.
    Unasked,
}

/// A thousand mutants of each of `files`, the others as they are: no panic, and everything that a file has is
/// in a record or in a reject, or the file is refused with a typed error.
pub(super) fn mutants(files: &[(&str, &str, Frame)], format: impl Fn(&[PathBuf]) -> Box<dyn TextFormat>) {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = files.iter().map(|(name, content, _)| folder.file(name, content)).collect();
    let format = format(&paths);
    assert_eq!(
        run(format.as_ref()).unwrap().refused(),
        Vec::<String>::new(),
        "the files themselves are good"
    );
    let mut random = 7u64;
    let (mut whole, mut refused) = (0, 0);
    for (path, (name, content, _)) in paths.iter().zip(files) {
        for _ in 0..1000 {
            std::fs::write(path, mutant(content.as_bytes(), &mut random)).unwrap();
            match run(format.as_ref()) {
                Ok(trial) => {
                    check_accounts(&trial, &paths, files);
                    whole += 1;
                }
                Err(Error::Input { .. }) => refused += 1,
                Err(error) => panic!("{error} for a mutant of {name}"),
            }
        }
        std::fs::write(path, content).unwrap();
    }
    assert!(whole > 200 && whole + refused == 1000 * files.len(), "{whole} scanned, {refused} refused");
}

fn mutant(bytes: &[u8], random: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) as usize % below
    };
    let marks = b"{}[]\",:\\ \n\t_-0an\xFF";
    let mut bytes = bytes.to_vec();
    let at = next(bytes.len());
    match next(5) {
        0 => bytes[at] = next(256) as u8,
        1 => bytes[at] = marks[next(marks.len())],
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, marks[next(marks.len())]),
        _ => {
            let end = (at + next(40)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
    }
    bytes
}

fn check_accounts(trial: &Trial, paths: &[PathBuf], files: &[(&str, &str, Frame)]) {
    for (path, (_, _, frame)) in paths.iter().zip(files) {
        let bytes = std::fs::read(path).unwrap();
        let input = FIRST + trial.inputs.iter().position(|input| input.path == *path).unwrap() as u16;
        let spans = trial.records.iter().flat_map(|(record, _)| &record.spans);
        let mut told: Vec<u64> = spans.filter(|span| span.input == input).map(|span| span.offset).collect();
        let rejects = || trial.rejects.iter().filter(|reject| reject.file == path.display().to_string());
        let (due, by_line) = match frame {
            Frame::Json(layout) => (element_offsets(path, &bytes, *layout), false),
            Frame::Lines => (line_offsets(path, &bytes), true),
            Frame::Csv { names } => {
                (record_offsets(path, &bytes).into_iter().skip(usize::from(*names)).collect(), false)
            }
            Frame::Unasked => continue,
        };
        told.extend(rejects().map(|reject| {
            let begins = reject.message.rsplit("(the record begins at byte ").next().unwrap();
            if by_line {
                due[reject.line.unwrap() as usize - 1]
            } else {
                begins.trim_end_matches(')').parse().unwrap()
            }
        }));
        let untold = due.iter().filter(|offset| !told.contains(offset)).count();
        // A question that disagrees with its annotation is one reject for both.
        let pairs = trial.rejects.iter().filter(|reject| reject.code == Code::IdMismatch).count();
        assert!(untold <= pairs, "{untold} untold in {}", String::from_utf8_lossy(&bytes));
    }
}

fn element_offsets(path: &Path, bytes: &[u8], layout: Layout) -> Vec<u64> {
    let mut offsets = Vec::new();
    let mut elements = JsonElements::new(path, layout);
    for piece in bytes.chunks(11) {
        let on_element = |element: Element<'_>| {
            offsets.push(element.offset);
            Ok(())
        };
        elements.push(piece, &mut { on_element }).unwrap();
    }
    elements.finish().unwrap();
    offsets
}

fn record_offsets(path: &Path, bytes: &[u8]) -> Vec<u64> {
    let mut offsets = Vec::new();
    let mut on_record = |record: CsvRecord<'_>| {
        offsets.push(record.offset);
        Ok(())
    };
    let mut records = CsvRecords::new(path, 1 << 20);
    records.push(bytes, &mut on_record).unwrap();
    records.finish(&mut on_record).unwrap();
    offsets
}

fn line_offsets(path: &Path, bytes: &[u8]) -> Vec<u64> {
    let mut offsets = Vec::new();
    let mut on_line = |line: Line<'_>| {
        offsets.push(line.offset);
        Ok(())
    };
    let mut lines = Lines::new(path, 1 << 20);
    lines.push(bytes, &mut on_line).unwrap();
    lines.finish(&mut on_line).unwrap();
    offsets
}
