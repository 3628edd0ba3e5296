//! The scan that formats share whose files hold one whole picture a line.

use std::path::Path;

use super::id_index::IdIndex;
use super::layout::{LayoutSearch, ReadBlock};
use super::rows::{RowStream, rejected};
use super::{PictureRecord, ScannedPicture};
use crate::Error;
use crate::inputs::{Input, ScanContext};

/// Reports the pictures of `path`, input number `input` of the plan, and shows `search` its rows.
pub(super) fn scan_single_tsv(
    context: ScanContext<'_>,
    path: &Path,
    input: u16,
    mut index: Option<IdIndex>,
    (search, read): (&mut LayoutSearch, ReadBlock),
    found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
) -> Result<Input, Error> {
    let mut rows = RowStream::open(context, path, input, false)?;
    while let Some(row) = rows.next_row()? {
        match row.id {
            Ok(id) => {
                if let Some(index) = &mut index {
                    index.row(path, &id, row.span)?;
                }
                search.offer_line(path, row.span, read)?;
                found(ScannedPicture::Record(PictureRecord {
                    id,
                    source: None,
                    spans: vec![row.span],
                    shape: None,
                }))?;
            }
            Err(reason) => {
                if let Some(index) = &mut index {
                    index.nameless_row();
                }
                found(rejected(context, path, row.span.line, "", reason))?;
            }
        }
    }
    if let Some(index) = index {
        index.finish(path)?;
    }
    rows.into_input()
}
