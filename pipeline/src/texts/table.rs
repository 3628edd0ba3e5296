//! Texts in a table of any make: CSV, TSV, JSON lines or Parquet, with the columns that the spec names.

mod delimited;
mod json_lines;
mod parquet_lines;
mod picture;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use data_specs::{Answer, Column, TableColumns, Text, TextKind};
use serde_json::Map;

use crate::inputs::{Input, ScanContext};
use crate::texts::record::{empty, is_not, lacks, plain_text, text_of};
use crate::texts::scan::{self, Head, Place, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};
use json_lines::JsonRow;
use picture::{Addresses, id_in};

/// A table of texts; the ending of the file says how it is written.
///
/// * `.csv`: commas; cells may be in double quotes and then hold commas, line breaks and doubled quotes.
/// * `.tsv`, `.tab`: tabs, no quotes; every line is a record.
/// * `.jsonl`, `.ndjson`: one JSON object a line.
/// * `.parquet`: columns of text or numbers, `image.path` inside a structure. It cannot be read by byte range,
///   so the scan writes the named columns of each row as one JSON line to a derived file, the second input.
///
/// Columns are named as the file's first line, its keys or its schema name them. In CSV and TSV they may be
/// numbers from 1 instead; then the file has no line of names and its first line is a record.
///
/// One record a row. Its id is the `id` column, or else `<file>:<line>`, in Parquet `<file>:<row>` from 1. The
/// picture may be an id, or a path or URL, which stands for the name of its file ([`id_in`]). An empty cell is
/// no answer, no label, no split. Columns that the spec does not name are left out: a table has no official
/// fields to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Section of the spec, for messages.
    section: String,
    file: PathBuf,
    columns: TableColumns,
    kind: TextKind,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Csv,
    Tsv,
    JsonLines,
    Parquet,
}

/// One row of a table, whatever it is written in.
trait Row {
    /// What `column` says, if anything.
    fn cell(&self, column: &Column) -> Result<Option<String>, RejectReason>;
}

impl Table {
    /// The texts of `file`, all of which are of `kind`; `section` is the section of the spec that says so.
    ///
    /// # Errors
    /// A file whose ending is none of a table, or columns that such a file, or such a text, does not have.
    pub fn new(section: &str, file: &Path, columns: TableColumns, kind: TextKind) -> Result<Table, Error> {
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let layout = match ending.as_str() {
            "csv" => Layout::Csv,
            "tsv" | "tab" => Layout::Tsv,
            "jsonl" | "ndjson" => Layout::JsonLines,
            "parquet" => Layout::Parquet,
            _ => {
                return Err(Error::Input {
                    path: file.to_path_buf(),
                    line: None,
                    what: "does not end as a table does".into(),
                    hint: "a table is a .csv, .tsv, .tab, .jsonl, .ndjson or .parquet, not compressed as a whole"
                        .into(),
                });
            }
        };
        let table = Table { section: section.to_string(), file: file.to_path_buf(), columns, kind, layout };
        table.check_columns()?;
        Ok(table)
    }

    fn check_columns(&self) -> Result<(), Error> {
        let wrong = |what: &str, hint: &str| {
            let place = format!("{}.columns", self.section);
            Err(data_specs::Error::Spec { place, what: what.into(), hint: hint.into() }.into())
        };
        let numbers = self.named().filter(|column| matches!(column, Column::Number(_))).count();
        if self.named().any(|column| *column == Column::Number(0)) {
            return wrong("a column has the number 0", "count columns from 1");
        }
        if numbers > 0 && !matches!(self.layout, Layout::Csv | Layout::Tsv) {
            return wrong("a column of this file has a name, not a number", "name columns by their keys");
        }
        if numbers > 0 && numbers < self.named().count() {
            return wrong(
                "some columns are numbers, some are names",
                "give numbers if the file has no line of names, names if it has one",
            );
        }
        if self.columns.answer.is_some() && self.kind != TextKind::Question {
            return wrong("`answer` belongs to questions", "set kind = \"question\", or leave answer out");
        }
        if self.columns.label.is_some() && !matches!(self.kind, TextKind::Statement | TextKind::Label) {
            return wrong(
                "`label` belongs to statements and labels",
                "set kind = \"statement\" or \"label\", or leave label out",
            );
        }
        Ok(())
    }

    /// The columns that the spec names.
    fn named(&self) -> impl Iterator<Item = &Column> {
        let TableColumns { image, text, id, answer, label, split } = &self.columns;
        [Some(image), Some(text), id.as_ref(), answer.as_ref(), label.as_ref(), split.as_ref()]
            .into_iter()
            .flatten()
    }

    /// The spec asks for `missing` where the file has `found`.
    fn no_column(&self, missing: &str, found: &str) -> Error {
        Error::Input {
            path: self.file.clone(),
            line: None,
            what: format!("has no column `{missing}`; it has {found}"),
            hint: format!("name its columns in {}.columns", self.section),
        }
    }

    /// The id of the row on this line.
    fn id(&self, row: &dyn Row, line: u64) -> Result<String, RejectReason> {
        match &self.columns.id {
            Some(column) => needed(row, column),
            None => Ok(format!("{}:{line}", crate::plan::name_of(&self.file))),
        }
    }

    /// What planning needs to know of the row at `place`.
    fn head(&self, row: &dyn Row, place: &Place<'_>, addresses: &mut Addresses) -> Result<Head, Refusal> {
        let id = self.id(row, place.span.line)?;
        let mut head = || {
            let cell = needed(row, &self.columns.image)?;
            let image = id_in(&cell);
            if image.is_empty() {
                let message = format!("{} is `{cell}`, which names no file", shown(&self.columns.image));
                return Err(RejectReason::new(Code::EmptyField, message));
            }
            addresses.check(image, &cell, place.span.line)?;
            let split = optional(row, &self.columns.split)?;
            Ok(Head { split, ..Head::one(vec![image.to_string()], id.clone()) })
        };
        head().map_err(Refusal::of(id.clone()))
    }

    /// The text of the row that stands on this line.
    fn text(&self, row: &dyn Row, line: u64) -> Result<ParsedTexts, RejectReason> {
        let id = self.id(row, line)?;
        let text = text_of(needed(row, &self.columns.text)?, &name(&self.columns.text))?;
        let mut text: Text = plain_text(self.kind, id, text, Map::new());
        let answer = optional(row, &self.columns.answer)?;
        text.answers = answer.into_iter().map(|text| Answer { text, score: None }).collect();
        if let Some(column) = &self.columns.label {
            text.label = optional(row, &self.columns.label)?.map(|cell| label(&cell, column)).transpose()?;
        }
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

impl TextFormat for Table {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        match self.layout {
            Layout::Csv | Layout::Tsv => Ok(vec![delimited::scan(self, context, found)?]),
            Layout::JsonLines => Ok(vec![json_lines::scan(self, context, 0, &self.file, found)?]),
            Layout::Parquet => {
                let original = scan::whole(context, 0, &self.file)?;
                // The index of the input keeps the files of two sections apart.
                let lines = context.derived.join(format!("table-{}.jsonl", context.first_input));
                parquet_lines::write(self, context, &lines)?;
                Ok(vec![original, json_lines::scan(self, context, 1, &lines, found)?])
            }
        }
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        match self.layout {
            Layout::Csv | Layout::Tsv => delimited::parse(self, parts),
            Layout::JsonLines | Layout::Parquet => {
                let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
                self.text(&JsonRow::parse(&part.bytes)?, part.span.line)
            }
        }
    }
}

/// A cell that must say something.
fn needed(row: &dyn Row, column: &Column) -> Result<String, RejectReason> {
    match row.cell(column)? {
        Some(cell) if cell.trim().is_empty() => Err(empty(&name(column))),
        Some(cell) => Ok(cell),
        None => Err(lacks(&name(column))),
    }
}

/// A cell that may be empty, or a column that may not be named.
fn optional(row: &dyn Row, column: &Option<Column>) -> Result<Option<String>, RejectReason> {
    let Some(column) = column else { return Ok(None) };
    Ok(row.cell(column)?.filter(|cell| !cell.trim().is_empty()))
}

fn label(cell: &str, column: &Column) -> Result<i32, RejectReason> {
    cell.trim().parse().map_err(|_| {
        let RejectReason { message, .. } = is_not(&name(column), "a whole number", &format!("`{cell}`"));
        RejectReason::new(Code::BadNumber, message)
    })
}

/// A column in messages, without quotes.
fn name(column: &Column) -> String {
    match column {
        Column::Number(number) => format!("column {number}"),
        Column::Name(name) => name.clone(),
    }
}

/// A column in messages.
fn shown(column: &Column) -> String {
    format!("`{}`", name(column))
}

/// Names in messages: `a`, `b`.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "no columns".into() } else { names.join(", ") }
}
