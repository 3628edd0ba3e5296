//! One line a row: everything that a task needs to build it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::features::PictureRecord;
use crate::inputs::Span;

/// How to build one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowRecipe {
    pub(crate) key: String,
    pub(crate) source: String,
    pub(crate) split: String,
    pub(crate) pictures: Vec<PictureRecord>,
    pub(crate) texts: Vec<TextRecipe>,
}

/// How to read one record of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextRecipe {
    /// Number of the text section among the active ones.
    pub(crate) section: u8,
    /// Texts in the record.
    pub(crate) texts: u32,
    pub(crate) spans: Vec<Span>,
}

impl RowRecipe {
    /// Texts that the row should have.
    pub(crate) fn text_count(&self) -> u64 {
        self.texts.iter().map(|record| u64::from(record.texts)).sum()
    }
}

/// Reads the recipes of a task in order.
pub(crate) fn read_recipes(
    path: &Path,
) -> Result<impl Iterator<Item = Result<RowRecipe, Error>> + use<>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let path = path.to_path_buf();
    Ok(BufReader::with_capacity(1 << 18, file).lines().zip(1..).map(move |(line, number)| {
        let line = line.map_err(Error::io("read", &path))?;
        serde_json::from_str(&line).map_err(|error| Error::Output {
            path: path.clone(),
            what: format!("line {number} is no recipe: {error}"),
            hint: "the plan is damaged: build into a new folder".into(),
        })
    }))
}
