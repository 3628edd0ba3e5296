//! JSON files too large to be held as one value: pieces are written as they come.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;

/// A file that is written piece by piece.
pub(crate) struct Pieces {
    out: BufWriter<File>,
    path: PathBuf,
    first: bool,
}

impl Pieces {
    pub(crate) fn create(path: &Path) -> Result<Pieces, Error> {
        let out = BufWriter::new(File::create(path).map_err(Error::io("create", path))?);
        Ok(Pieces { out, path: path.to_path_buf(), first: true })
    }

    /// Text as it is: brackets, keys.
    pub(crate) fn raw(&mut self, text: &str) -> Result<&mut Pieces, Error> {
        self.first = true;
        self.out.write_all(text.as_bytes()).map_err(Error::io("write", &self.path))?;
        Ok(self)
    }

    /// An element of the list that `raw` opened.
    pub(crate) fn element(&mut self, value: &Value) -> Result<(), Error> {
        self.separate()?;
        self.out.write_all(value.to_string().as_bytes()).map_err(Error::io("write", &self.path))
    }

    /// A member of the object that `raw` opened.
    pub(crate) fn member(&mut self, key: &str, value: &Value) -> Result<(), Error> {
        self.separate()?;
        write!(self.out, "{}: {value}", Value::from(key)).map_err(Error::io("write", &self.path))
    }

    /// A line of its own.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Error> {
        writeln!(self.out, "{text}").map_err(Error::io("write", &self.path))
    }

    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::io("write", &self.path))
    }

    fn separate(&mut self) -> Result<(), Error> {
        let separator: &[u8] = if self.first { b"\n" } else { b",\n" };
        self.first = false;
        self.out.write_all(separator).map_err(Error::io("write", &self.path))
    }
}

pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::io("write", path))
}
