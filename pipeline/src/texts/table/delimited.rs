//! Rows of CSV and TSV. A record's spans are its own and, where the file has one, the line of names.

use data_specs::Column;

use super::picture::Addresses;
use super::{Layout, Row, Table, listed, name, shown};
use crate::inputs::{Input, ScanContext, Span, csv_cells};
use crate::texts::record::{lacks, utf8};
use crate::texts::scan::{self, Place};
use crate::texts::{ParsedTexts, Part, ScannedText};
use crate::{Code, Error, RejectReason};

/// Reports every record of the table's file.
pub(super) fn scan(
    table: &Table,
    context: ScanContext<'_>,
    found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
) -> Result<Input, Error> {
    let mut first = None;
    let mut addresses = Addresses::default();
    let mut on_record = |bytes: &[u8], place: &Place<'_>| {
        let cells = cells(table.layout, bytes);
        let first = match &first {
            Some(first) => first,
            None => {
                let this = First::of(table, &cells, place.span)?;
                let is_record = this.names.is_empty();
                let this = first.insert(this);
                if !is_record {
                    return Ok(());
                }
                this
            }
        };
        if cells.len() != first.width {
            let what = if first.names.is_empty() { "first" } else { "line of names" };
            let message = format!("has {} columns, the {what} has {}", cells.len(), first.width);
            return found(place.reject(String::new(), RejectReason::new(Code::WrongColumns, message)));
        }
        match table.head(&DelimitedRow { cells, names: &first.names }, place, &mut addresses) {
            Ok(head) => found(head.at([place.span].into_iter().chain(first.span).collect())),
            Err(refusal) => found(place.reject(refusal.key, refusal.reason)),
        }
    };
    let input = match table.layout {
        Layout::Csv => {
            scan::csv_records(context, 0, &table.file, |record, place| on_record(record.bytes, place))
        }
        _ => scan::lines(context, 0, &table.file, |line, place| on_record(line.bytes, place)),
    }?;
    if first.is_none() {
        return Err(Error::Input {
            path: table.file.clone(),
            line: None,
            what: "is empty".into(),
            hint: "is it the file of texts?".into(),
        });
    }
    Ok(input)
}

/// The text of a record from its bytes and those of the line of names.
pub(super) fn parse(table: &Table, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
    let (part, names) = match parts {
        [part] => (part, Vec::new()),
        [part, names] => (part, cells(table.layout, &names.bytes)),
        _ => return Err(scan::wrong_parts("one, or two,", parts.len())),
    };
    let row = DelimitedRow { cells: cells(table.layout, &part.bytes), names: &names };
    table.text(&row, part.span.line)
}

/// What the first record of a file decides.
struct First {
    /// The names in it, if columns have names.
    names: Vec<Vec<u8>>,
    span: Option<Span>,
    width: usize,
}

impl First {
    fn of(table: &Table, cells: &[Vec<u8>], span: Span) -> Result<First, Error> {
        let width = cells.len();
        let by_name = table.named().all(|column| matches!(column, Column::Name(_)));
        for column in table.named() {
            let times = match column {
                Column::Number(number) => usize::from(*number as usize <= width),
                Column::Name(name) => cells.iter().filter(|cell| *cell == name.as_bytes()).count(),
            };
            match (times, by_name) {
                (1, _) => {}
                (0, true) => {
                    let names: Vec<_> = cells.iter().map(|cell| String::from_utf8_lossy(cell)).collect();
                    let names = listed(names.iter().map(AsRef::as_ref));
                    return Err(table.no_column(&name(column), &names));
                }
                (0, false) => return Err(table.no_column(&name(column), &format!("{width} columns"))),
                _ => {
                    return Err(Error::Input {
                        path: table.file.clone(),
                        line: Some(span.line),
                        what: format!("has {times} columns {}", shown(column)),
                        hint: "rename one of them".into(),
                    });
                }
            }
        }
        match by_name {
            true => Ok(First { names: cells.to_vec(), span: Some(span), width }),
            false => Ok(First { names: Vec::new(), span: None, width }),
        }
    }
}

struct DelimitedRow<'a> {
    cells: Vec<Vec<u8>>,
    names: &'a [Vec<u8>],
}

impl Row for DelimitedRow<'_> {
    fn cell(&self, column: &Column) -> Result<Option<String>, RejectReason> {
        let at = match column {
            // From 1, which the spec was checked for.
            Column::Number(number) => (*number as usize).checked_sub(1),
            Column::Name(name) => self.names.iter().position(|cell| cell == name.as_bytes()),
        };
        let cell = at.and_then(|at| self.cells.get(at)).ok_or_else(|| lacks(&name(column)))?;
        Ok(Some(utf8(cell).map_err(|reason| in_cell(reason, column))?.to_string()))
    }
}

/// `utf8` counts from the beginning of what it is given.
fn in_cell(reason: RejectReason, column: &Column) -> RejectReason {
    RejectReason::new(reason.code, format!("{} {}", shown(column), reason.message.replace("record", "cell")))
}

fn cells(layout: Layout, record: &[u8]) -> Vec<Vec<u8>> {
    match layout {
        Layout::Csv => csv_cells(record),
        _ => record.split(|&byte| byte == b'\t').map(<[u8]>::to_vec).collect(),
    }
}
