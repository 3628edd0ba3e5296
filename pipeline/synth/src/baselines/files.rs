//! Reading back what was written.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::Error;

/// A JSON file as a value of one type.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| layout(path, error.to_string()))
}

/// A file with one JSON object a line.
pub(crate) fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    text.lines()
        .zip(1..)
        .map(|(line, number)| {
            serde_json::from_str(line).map_err(|error| layout(path, format!("line {number}: {error}")))
        })
        .collect()
}

pub(super) fn layout(path: &Path, what: String) -> Error {
    Error::Layout { path: path.to_path_buf(), what }
}

/// Names in a folder, in order.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
        let name = entry.map_err(Error::io("list", path))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
