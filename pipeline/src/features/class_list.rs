//! A list of class names, one a line: what the class numbers of a detector mean.

use std::path::{Path, PathBuf};

use super::rows::broken;
use crate::inputs::{Input, scan_file};
use crate::reject::{Code, RejectReason};
use crate::{Error, inputs::InputFile, inputs::Span};

/// Far above any list; a feature file named by mistake is not read into memory.
const LARGEST: u64 = 16 << 20;

/// Class names by number, counted from 0 without the background.
#[derive(Debug, Clone)]
pub(super) struct ClassList {
    path: PathBuf,
    blake3: String,
    names: Vec<String>,
}

impl ClassList {
    /// Reads `path`. A line is one name as it stands, synonyms and all ("sidewalk,side walk").
    ///
    /// Some lists start with `__background__`; detectors do not count it, and neither does this.
    pub(super) fn read(path: &Path) -> Result<ClassList, Error> {
        let size = path.metadata().map_err(Error::io("read", path))?.len();
        if size > LARGEST {
            let what = format!("has {size} bytes, too many for a list of class names");
            return Err(broken(path, None, what, "name the list itself, one class a line"));
        }
        let all = Span { input: 0, offset: 0, len: size as u32, line: 1 };
        let bytes = InputFile::open(path)?.read(all)?;
        let mut names = Vec::new();
        for (index, line) in bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|&b| b == b'\n').enumerate() {
            let refuse = |what: &str| {
                broken(path, Some(index as u64 + 1), what, "a class list has one name a line, in UTF-8")
            };
            match std::str::from_utf8(line).map(str::trim) {
                Err(_) => return Err(refuse("the name is not UTF-8")),
                Ok("") => {
                    return Err(refuse(
                        "the line is empty, so the numbers of the classes after it are in doubt",
                    ));
                }
                Ok("__background__") if index == 0 => {}
                Ok(name) => names.push(name.to_string()),
            }
        }
        Ok(ClassList { path: path.to_path_buf(), blake3: blake3::hash(&bytes).to_hex().to_string(), names })
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// All names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of class `id`.
    pub(super) fn name(&self, id: i64) -> Result<&str, RejectReason> {
        usize::try_from(id).ok().and_then(|id| self.names.get(id)).map(String::as_str).ok_or_else(|| {
            let message =
                format!("class {id} is not among the {} of {}", self.names.len(), self.path.display());
            RejectReason::new(Code::UnknownClass, message)
        })
    }

    /// The file as an input of the plan, if it still says what was read.
    pub(super) fn input(&self) -> Result<Input, Error> {
        let stamp = scan_file(&self.path, |_| Ok(()))?;
        if stamp.blake3 != self.blake3 {
            let what = "it was written again while the build was being planned".to_string();
            return Err(Error::InputChanged { path: self.path.clone(), what });
        }
        Ok(Input { path: self.path.clone(), stamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<ClassList, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocab.txt");
        std::fs::write(&path, text).unwrap();
        ClassList::read(&path)
    }

    #[test]
    fn names_are_lines_counted_from_zero() {
        for text in [&b"yolk\ngoal,post\r\nbathroom"[..], b"__background__\nyolk\ngoal,post\nbathroom\n"] {
            let list = read(text).unwrap();
            assert_eq!(list.name(0), Ok("yolk"));
            assert_eq!(list.name(1), Ok("goal,post"));
            assert_eq!(list.name(2), Ok("bathroom"));
            for unknown in [-1, 3, i64::MAX, i64::MIN] {
                assert_eq!(list.name(unknown).unwrap_err().code, Code::UnknownClass);
            }
        }
    }

    #[test]
    fn a_gap_or_strange_bytes_are_named_by_line() {
        for bad in [&b"yolk\n\nbathroom\n"[..], b"yolk\n\xff\n", b"yolk\n\n"] {
            assert!(matches!(read(bad), Err(Error::Input { line: Some(2), .. })));
        }
    }
}
