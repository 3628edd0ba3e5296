//! The pre-training corpus of Oscar+ (VinVL): a TSV of image id, label id and text, and files of answers.
//!
//! ```text
//! coco_391895        coco_391895              A man with a red helmet on a small moped.
//! googlecc_3_12345   googlecc_3_12345         author : a life in photography
//! coco_391895        coco_qa_391895_458752    What is the man riding?
//! ```
//! `QA_fileB.tsv`: qa id (`458752`), then `{"labels": ["moped"]}`. `QA_qaid2idx.json` beside it says in which row
//! of that file an id stands; the file says so itself, so the index is not read and cannot be stale.

use std::path::{Path, PathBuf};

use data_specs::{Answer, TextKind};
use serde_json::Value;

use crate::inputs::{Input, ScanContext};
use crate::texts::partners::{Half, Partners, ShortId};
use crate::texts::record::{Fields, empty, is_not, kind, plain_text, text_of, utf8};
use crate::texts::scan::{self, Head, Place, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// A corpus such as `coco_flickr30k_gqa.tsv`.
///
/// One record a line, its picture reported as `<dataset>/<image id>` ([`CorpusImage`]); the chunk of data sets
/// that come in chunks is in the row's `extra`. The text id is `<label id>:<line>`, because the captions of a
/// picture have one label id. Lines with answers are questions, all others captions. The answer files are
/// tables to look things up in: what no line asks for is no reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OscarPlus {
    /// The corpus TSV.
    pub corpus: PathBuf,
    /// The answers, for corpora with questions.
    pub answers: Vec<QaFile>,
}

/// The answers to the questions about the pictures of one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QaFile {
    /// First part of the image ids (`coco`, `gqa`, ...); `None` for all data sets that have no file of their own.
    pub dataset: Option<String>,
    /// The `QA_fileB.tsv`.
    pub file: PathBuf,
}

impl QaFile {
    /// Those below `folder`: its own `QA_fileB.tsv` for all data sets, and those of its sub-folders, which are
    /// named like their data sets.
    ///
    /// # Errors
    /// A folder that cannot be read, or has none.
    pub fn in_folder(folder: &Path) -> Result<Vec<QaFile>, Error> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            let (dataset, file) = match entry.file_name().into_string() {
                Ok(name) if name == QA_FILE => (None, entry.path()),
                Ok(name) => (Some(name), entry.path().join(QA_FILE)),
                Err(_) => continue, // no data set has such a name
            };
            if file.is_file() {
                files.push(QaFile { dataset, file });
            }
        }
        if files.is_empty() {
            return Err(Error::Input {
                path: folder.to_path_buf(),
                line: None,
                what: format!("has no {QA_FILE}"),
                hint: "name the label folder of Oscar+, or one with a sub-folder for each data set".into(),
            });
        }
        files.sort_by(|a, b| a.dataset.cmp(&b.dataset)); // the order of a folder is nobody's
        Ok(files)
    }
}

const QA_FILE: &str = "QA_fileB.tsv";

/// The parts of an image id of the corpus, `<dataset>_[<chunk>_]<image id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorpusImage<'a> {
    /// `coco`, `flickr30k`, `gqa`, `googlecc`, ... as it is written.
    pub dataset: &'a str,
    /// Folder of the features, for the large data sets.
    pub chunk: Option<&'a str>,
    /// The picture's id in its data set.
    pub image: &'a str,
}

/// Data sets whose image ids have a chunk; `cc` is another name of `googlecc`.
const CHUNKED: [&str; 6] = ["googlecc", "cc", "sbu", "oi", "objects365", "tagoi"];

impl<'a> CorpusImage<'a> {
    /// The parts of `id`, if it has them.
    pub fn parse(id: &'a str) -> Option<CorpusImage<'a>> {
        let (dataset, rest) = id.split_once('_')?;
        let (chunk, image) = match CHUNKED.contains(&dataset).then(|| rest.split_once('_')) {
            Some(parts) => parts.map(|(chunk, image)| (Some(chunk), image))?,
            None => (None, rest),
        };
        let whole = !dataset.is_empty() && !image.is_empty() && chunk != Some("");
        whole.then_some(CorpusImage { dataset, chunk, image })
    }
}

impl TextFormat for OscarPlus {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let mut tables = Vec::new();
        let mut inputs = Vec::new();
        for (nth, answers) in (1..).zip(&self.answers) {
            let mut halves = Vec::new();
            inputs.push(scan::lines(context, nth, &answers.file, |line, place| {
                match qa_id(line.bytes) {
                    Ok(id) => halves.push(Half { id, image: None, span: place.span }),
                    Err(reason) => found(place.reject(String::new(), reason))?,
                }
                Ok(())
            })?);
            tables.push((answers.dataset.as_deref(), Partners::new(halves)));
        }
        let corpus = scan::lines(context, 0, &self.corpus, |line, place| {
            found(match row(line.bytes, place, &mut tables) {
                Ok(record) => record,
                Err(refusal) => place.reject(refusal.key, refusal.reason),
            })
        })?;
        inputs.insert(0, corpus);
        Ok(inputs)
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let (row, answers) = match parts {
            [row] => (row, None),
            [row, answers] => (row, Some(answers)),
            _ => return Err(scan::wrong_parts("one or two", parts.len())),
        };
        let [image, label, text] = columns(&row.bytes)?;
        let mut fields = match answers {
            None => None,
            Some(answers) => {
                let [_, json] = columns(&answers.bytes)?;
                Some(Fields::parse(json.as_bytes())?)
            }
        };
        let answers = match &mut fields {
            None => Vec::new(),
            Some(fields) => fields.list("labels")?.into_iter().map(answer).collect::<Result<_, _>>()?,
        };
        let kind = if fields.is_some() { TextKind::Question } else { TextKind::Caption };
        let rest = fields.map(Fields::rest).unwrap_or_default();
        let id = text_id(label, row.span.line);
        let mut text = plain_text(kind, id, text_of(text.to_string(), "text")?, rest);
        text.answers = answers;

        let mut parsed = ParsedTexts { texts: vec![text], ..ParsedTexts::default() };
        if let Some(chunk) = CorpusImage::parse(image).and_then(|image| image.chunk) {
            parsed.row_extra.insert("chunk".into(), Value::String(chunk.to_string()));
        }
        Ok(parsed)
    }
}

fn row(
    line: &[u8],
    place: &Place<'_>,
    tables: &mut [(Option<&str>, Partners)],
) -> Result<ScannedText, Refusal> {
    let [image, label, _] = columns(line)?;
    let id = text_id(label, place.span.line);
    let mut record = || {
        let Some(corpus_image) = CorpusImage::parse(image) else {
            return Err(is_not("image id", "<dataset>_[<chunk>_]<image id>", &format!("{image:?}")));
        };
        let mut spans = vec![place.span];
        if let Some(question) = question_of(&corpus_image, label)? {
            let dataset = corpus_image.dataset;
            let of = |wanted| tables.iter().position(|(known, _)| *known == wanted);
            let Some(table) = of(Some(dataset)).or_else(|| of(None)) else {
                let message = format!("is a question, and no file has the answers of {dataset}");
                return Err(RejectReason::new(Code::NoPartner, message));
            };
            let Some(half) = tables[table].1.find(question) else {
                let message = format!("question {question} of {dataset} is not in its file of answers");
                return Err(RejectReason::new(Code::NoPartner, message));
            };
            spans.push(half.span);
        }
        let images = vec![format!("{}/{}", corpus_image.dataset, corpus_image.image)];
        Ok(Head::one(images, id.clone()).at(spans))
    };
    record().map_err(Refusal::of(id.clone()))
}

/// The qa id of a label id that belongs to a question, `...qa..._<image id>_<qa id>`; none for captions.
fn question_of<'a>(image: &CorpusImage<'_>, label: &'a str) -> Result<Option<&'a str>, RejectReason> {
    let before_image = |label: &'a str| label.strip_suffix(image.image)?.strip_suffix('_');
    if let Some((front, question)) = label.rsplit_once('_')
        && before_image(front).is_some_and(|front| front.contains("qa"))
        && !question.is_empty()
    {
        return Ok(Some(question));
    }
    let same = |front: &str| {
        let first = front.split('_').next().unwrap_or_default();
        first == image.dataset || [first, image.dataset].iter().all(|name| matches!(*name, "cc" | "googlecc"))
    };
    if before_image(label).is_some_and(same) {
        return Ok(None);
    }
    let CorpusImage { dataset, image, .. } = image;
    let message = format!("label id {label:?} is not of picture {image} of {dataset}");
    Err(RejectReason::new(Code::IdMismatch, message))
}

fn qa_id(line: &[u8]) -> Result<ShortId, RejectReason> {
    let [id, _] = columns(line)?;
    if id.is_empty() { Err(empty("qa id")) } else { Ok(ShortId::new(id)) }
}

/// The columns of a line; all but the last one without blanks around them.
fn columns<const N: usize>(line: &[u8]) -> Result<[&str; N], RejectReason> {
    let line = utf8(line)?;
    let mut columns = [""; N];
    let mut count = 0;
    for column in line.split('\t') {
        if count < N {
            columns[count] = if count + 1 < N { column.trim() } else { column };
        }
        count += 1;
    }
    if count != N {
        return Err(RejectReason::new(
            Code::WrongColumns,
            format!("has {count} columns and should have {N}"),
        ));
    }
    Ok(columns)
}

fn answer(label: Value) -> Result<Answer, RejectReason> {
    match label {
        Value::String(text) => Ok(Answer { text, score: None }),
        other => Err(is_not("labels", "a list of strings", kind(&other))),
    }
}

fn text_id(label: &str, line: u64) -> String {
    format!("{label}:{line}")
}

#[cfg(test)]
mod tests;
