//! Files of lines `key TAB value`, read one line at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Bytes of a line at most: thousands of boxes.
const LONGEST_LINE: u64 = 16 << 20;

/// The lines of a file. Empty ones are passed over.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    number: usize,
    text: String,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    path: &'a Path,
    number: usize,
    /// White space around it is gone.
    text: &'a str,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), number: 0, text: String::new() })
    }

    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        loop {
            self.text.clear();
            self.number += 1;
            let line = (&mut self.file).take(LONGEST_LINE).read_line(&mut self.text);
            let here = Line { path: &self.path, number: self.number, text: "" };
            match line {
                Ok(0) => return Ok(None),
                Ok(n) if n as u64 == LONGEST_LINE && !self.text.ends_with('\n') => {
                    let problem = format!("is longer than {LONGEST_LINE} bytes");
                    return Err(here.wrong(problem, "lines are `key TAB value`"));
                }
                Ok(_) if self.text.trim().is_empty() => {}
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(here.wrong("is not UTF-8".to_owned(), "save the file in that encoding"));
                }
                Err(source) => return Err(Error::Read { path: self.path.clone(), source }),
            }
        }
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text).trim();
        Ok(Some(Line { path: &self.path, number: self.number, text }))
    }
}

impl<'a> Line<'a> {
    /// Key and value, without white space around them; what stands behind a second tab is not read.
    pub(super) fn pair(&self) -> Result<(&'a str, &'a str)> {
        let mut columns = self.text.split('\t').map(str::trim);
        match (columns.next(), columns.next()) {
            (Some(key), Some(value)) if !key.is_empty() && !value.is_empty() => Ok((key, value)),
            _ => Err(self.wrong("has no second column".to_owned(), "write `key TAB value`")),
        }
    }

    /// A key, and a value that is a list with commas between.
    pub(super) fn list(&self) -> Result<(&'a str, Vec<&'a str>)> {
        let (key, value) = self.pair()?;
        let listed: Vec<&str> = value.split(',').map(str::trim).collect();
        if listed.contains(&"") {
            let problem = format!("the list of `{key}` has an empty entry");
            return Err(self.wrong(problem, "write `key TAB one,two`, without a comma at the end"));
        }
        Ok((key, listed))
    }

    /// Refuses a key that was there before.
    pub(super) fn once(&self, is_new: bool, key: &str) -> Result<()> {
        if is_new {
            return Ok(());
        }
        Err(self.wrong(format!("`{key}` was there before"), "keep one line of each key"))
    }

    pub(super) fn wrong(&self, problem: String, hint: &'static str) -> Error {
        Error::Content { path: self.path.to_owned(), line: self.number, problem, hint }
    }
}
