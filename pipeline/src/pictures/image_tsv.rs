//! Pictures in TSV files: `id TAB ... TAB base64`.

mod lines;

use std::path::{Path, PathBuf};

use super::scan::{check_length, rejected};
use super::{FoundPicture, PictureFile, PictureSource, ScannedPictures};
use crate::features::{LineIndex, decode_base64, id_of_line, read_flat_yaml};
use crate::inputs::{Input, Lines, ScanContext, Span, scan_file};
use crate::texts::scan::{input_index, watched, whole};
use crate::{Code, Error, RejectReason};
use lines::{LastColumn, LastColumns};

/// A TSV with a picture a line: the id in the first column, base64 of the picture's file in the last.
///
/// | of | columns |
/// |---|---|
/// | VinVL, Oscar | key, base64 |
/// | OFA | id, image id, caption, ..., base64 |
///
/// VinVL's sets have a YAML of `img: train.tsv` and other files beside it; that YAML may be given in place
/// of the TSV. Of it `img` is read, and `linelist`, a file with the numbers of the rows to take, one a line
/// from 0 on: a row that stands there twice, to be drawn more often, is one picture. Labels and sizes
/// (`label`, `hw`, `labelmap`) are passed over.
///
/// A `.lineidx` beside the TSV is not needed; one that is there must fit. Base64 may be of the plain or of
/// the URL-safe alphabet, padded. A picture's span is its base64; the line's other columns are not kept.
#[derive(Debug, Clone)]
pub struct ImageTsv {
    /// The TSV, or the YAML that names it.
    pub path: PathBuf,
}

impl PictureSource for ImageTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<ScannedPictures, Error> {
        let set = Set::at(&self.path)?;
        let mut beside = Vec::new();
        if let Some(yaml) = &set.yaml {
            beside.push(whole(context, 1, yaml)?);
        }
        let mut wanted = None;
        if let Some(list) = &set.line_list {
            let (numbers, input) = LineList::read(context, list)?;
            wanted = Some(numbers);
            beside.push(input);
        }
        let number = input_index(context, 0, &set.tsv)?;
        let mut index = LineIndex::beside(&set.tsv, false)?;
        let mut rows = LastColumns::default();
        let mut pictures = 0u64;
        let mut on_row = |row: LastColumn<'_>| {
            let LastColumn { line, start, len, .. } = row;
            index.row(Span {
                input: number,
                offset: start,
                len: u32::try_from(len).unwrap_or(u32::MAX),
                line,
            })?;
            if wanted.as_ref().is_some_and(|wanted| !wanted.has(line - 1)) {
                return Ok(());
            }
            pictures += 1;
            found(match look_at(&row, number) {
                Ok((id, span)) => FoundPicture::Picture { id, span },
                Err((id, reason)) => rejected(context, &set.tsv, Some(line), &id, reason),
            })
        };
        let stamp = scan_file(&set.tsv, |chunk| {
            watched(context, chunk)?;
            rows.push(chunk, &mut on_row)
        })?;
        let lines = rows.finish(&mut on_row)?;
        index.finish()?;
        let mut inputs = vec![Input { path: set.tsv.clone(), stamp }];
        inputs.extend(beside);
        if pictures == 0 {
            let what = if lines == 0 { "is empty" } else { "has no line that the line list takes" };
            return Err(broken(
                &set.tsv,
                None,
                what.into(),
                "name a TSV with an id and base64 of a picture a line",
            ));
        }
        let mut warnings = Vec::new();
        if let Some(wanted) = &wanted {
            wanted.check(lines, &set)?;
            warnings.extend((lines > pictures).then(|| {
                format!(
                    "{}: {} of {lines} lines are not in the line list",
                    set.tsv.display(),
                    lines - pictures
                )
            }));
        }
        Ok(ScannedPictures { inputs, folders: vec![], warnings })
    }

    fn read(&self, part: Vec<u8>) -> Result<PictureFile, RejectReason> {
        let column = part.trim_ascii();
        let url_safe = memchr::memchr2(b'-', b'_', column).is_some();
        let bytes = match base64_simd::URL_SAFE.decode_to_vec(column) {
            Ok(bytes) if url_safe => bytes,
            _ => decode_base64(column, "the picture")?,
        };
        Ok(PictureFile { bytes: bytes.into(), path: None })
    }
}

/// The id and the place of a row's picture; or the id, as far as there is one, and what is wrong.
fn look_at(row: &LastColumn<'_>, input: u16) -> Result<(String, Span), (String, RejectReason)> {
    let id = id_of_line(row.head).map_err(|reason| (String::new(), reason))?;
    let Some((offset, len)) = row.last else {
        let reason = RejectReason::new(Code::WrongColumns, "the line has one column");
        return Err((id, reason));
    };
    match check_length(len, "the last column") {
        Ok(()) => Ok((id, Span { input, offset, len: len as u32, line: row.line })),
        Err(reason) => Err((id, reason)),
    }
}

/// The files of a set.
struct Set {
    tsv: PathBuf,
    yaml: Option<PathBuf>,
    line_list: Option<PathBuf>,
}

impl Set {
    fn at(path: &Path) -> Result<Set, Error> {
        if path.is_dir() {
            let hint =
                "name the TSV itself, or the YAML of the set: a folder also has TSVs of labels and sizes";
            return Err(broken(path, None, "is a folder".into(), hint));
        }
        let ends_in = |ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        if !ends_in("yaml") && !ends_in("yml") {
            return Ok(Set { tsv: path.to_path_buf(), yaml: None, line_list: None });
        }
        let pairs = read_flat_yaml(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = |key: &str| {
            let value = pairs.iter().find(|(known, _)| known == key).and_then(|(_, value)| value.as_ref());
            value.map(|value| folder.join(value))
        };
        let Some(tsv) = file("img") else {
            let hint = "the YAML of a set with pictures has a line `img: FILE.tsv`";
            return Err(broken(path, None, "names no file of pictures (`img`)".into(), hint));
        };
        Ok(Set { tsv, yaml: Some(path.to_path_buf()), line_list: file("linelist") })
    }
}

/// The rows to take.
struct LineList(Vec<(u64, u64)>);

/// Digits of a number, generously.
const LONGEST_NUMBER: u32 = 64;

impl LineList {
    fn read(context: ScanContext<'_>, path: &Path) -> Result<(LineList, Input), Error> {
        let mut numbers = Vec::new();
        let mut lines = Lines::new(path, LONGEST_NUMBER);
        let mut on_line = |line: crate::inputs::Line<'_>| {
            let text = std::str::from_utf8(line.bytes).map(str::trim).unwrap_or("?");
            if !text.is_empty() {
                let number = text.parse().map_err(|_| {
                    let hint = "a line list has the number of a row a line, from 0 on";
                    broken(path, Some(line.number), format!("`{text}` is no number of a row"), hint)
                })?;
                numbers.push((number, line.number));
            }
            Ok(())
        };
        let stamp = scan_file(path, |chunk| {
            watched(context, chunk)?;
            lines.push(chunk, &mut on_line)
        })?;
        lines.finish(&mut on_line)?;
        numbers.sort_unstable();
        numbers.dedup_by_key(|(number, _)| *number);
        Ok((LineList(numbers), Input { path: path.to_path_buf(), stamp }))
    }

    fn has(&self, row: u64) -> bool {
        self.0.binary_search_by_key(&row, |(number, _)| *number).is_ok()
    }

    /// Every number must be one of a row.
    fn check(&self, rows: u64, set: &Set) -> Result<(), Error> {
        match self.0.last() {
            Some(&(number, line)) if number >= rows => {
                let list = set.line_list.as_deref().unwrap_or(&set.tsv);
                let what = format!("takes row {number}, and {} has {rows} (from 0 on)", set.tsv.display());
                Err(broken(list, Some(line), what, "is the line list of this file?"))
            }
            _ => Ok(()),
        }
    }
}

fn broken(path: &Path, line: Option<u64>, what: String, hint: &str) -> Error {
    Error::Input { path: path.to_path_buf(), line, what, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::trial::{self, Folder};
    use super::*;

    fn base64(bytes: &[u8]) -> String {
        base64_simd::STANDARD.encode_to_string(bytes)
    }

    fn told(trial: &trial::Trial) -> Vec<(&str, &[u8])> {
        trial.good().map(|(id, file)| (id, &file.bytes[..])).collect()
    }

    fn source(path: &Path) -> ImageTsv {
        ImageTsv { path: path.to_path_buf() }
    }

    #[test]
    fn pictures_are_in_the_last_column() {
        let folder = Folder::new();
        let odd = [0xfb, 0xff, 0xfe, 0x3f];
        let url_safe = base64_simd::URL_SAFE.encode_to_string(odd);
        assert!(url_safe.contains('-') && url_safe.contains('_'));
        let text = format!(
            "\u{feff}1\t{}\n2\timage 2\ta caption\t{} \r\n3\t{}\n4\t{url_safe}",
            base64(b"one"),
            base64(b"two"),
            base64(&odd)
        );
        let path = folder.file("a.tsv", &text);
        let trial = trial::run(&source(&path)).unwrap();
        let expected = [("1", &b"one"[..]), ("2", b"two"), ("3", &odd), ("4", &odd)];
        assert_eq!(told(&trial), expected);
        assert!(trial.refused().is_empty() && trial.scanned.warnings.is_empty());

        // Other line ends and a final one change nothing but places.
        let other = format!("{}\n", text.replace("\r\n", "\n").replace('\u{feff}', ""));
        assert_eq!(told(&trial::run(&source(&folder.file("b.tsv", other))).unwrap()), expected);
    }

    #[test]
    fn bad_rows_are_told_by_line() {
        let folder = Folder::new();
        let long = "A".repeat((64 << 20) + 4);
        let good = base64(b"good");
        let rows = [
            ("1\tAAA", "1 BadBase64"),
            ("2\t!!!!", "2 BadBase64"),
            ("3\tAA_+", "3 BadBase64"),
            ("4", "3  WrongColumns: no tab"),
            ("", "4  WrongColumns: the line is empty"),
            ("\tAAAA", "5  EmptyField: the id is empty"),
            ("7\tx\t", "6 7 EmptyField: the last column is empty"),
            (&format!("8\t{long}"), "7 8 PictureTooLarge: the last column has 67108868 bytes"),
            (&format!("{}\tAAAA", "9".repeat(2000)), "8  WrongColumns: no tab in the first"),
            (&format!("10\t{good}"), ""),
        ];
        let text: Vec<_> = rows.iter().map(|(row, _)| *row).collect();
        // Rows refused by the scan have their line; the others come behind.
        let trial = trial::run(&source(&folder.file("a.tsv", text.join("\n")))).unwrap();
        assert_eq!(told(&trial), [("10", &b"good"[..])]);
        let refused = trial.refused();
        let expected = [
            "4  WrongC",
            "5  WrongC",
            "6  Empty",
            "7 7 Empty",
            "8 8 PictureTooLarge",
            "9  WrongC",
            "1 BadB",
            "2 BadB",
            "3 BadB",
        ];
        assert_eq!(refused.len(), expected.len(), "{refused:?}");
        for (refused, expected) in refused.iter().zip(expected) {
            assert!(refused.starts_with(expected), "{refused}");
        }
        let bytes = [&b"\xff\tAAAA\n"[..], b"1\tAAAA\n"].concat();
        assert!(
            trial::run(&source(&folder.file("b.tsv", bytes))).unwrap().refused()[0].starts_with("1  BadUtf8")
        );
    }

    #[test]
    fn an_index_beside_the_file_must_fit() {
        let folder = Folder::new();
        let path = folder.file("a.tsv", "1\tAAAA\n2\tAAAA\n");
        folder.file("a.lineidx", "0\n7\n");
        assert_eq!(trial::run(&source(&path)).unwrap().good().count(), 2);
        for (stale, word) in
            [("0\n8\n", "offset 8"), ("0\n", "ends after 1"), ("0\n7\n9\n", "goes on"), ("x\n", "offset")]
        {
            folder.file("a.lineidx", stale);
            let said = trial::run(&source(&path)).unwrap_err().to_string();
            assert!(said.contains("a.lineidx") && said.contains(word), "{said}");
        }
    }

    #[test]
    fn a_set_names_its_file_and_its_rows() {
        let folder = Folder::new();
        folder.file("train.tsv", "a\tAAAA\nb\tAAAA\nc\tAAAA\n");
        folder.file("rows.tsv", "2\n0\n0\n");
        let yaml = folder.file("train.yaml", "img: train.tsv\nlabel: none.tsv\nlinelist: rows.tsv\n");
        let trial = trial::run(&source(&yaml)).unwrap();
        assert_eq!(trial.good().map(|(id, _)| id).collect::<Vec<_>>(), ["a", "c"]);
        assert!(trial.scanned.warnings[0].contains("1 of 3 lines are not in the line list"));
        let inputs: Vec<_> =
            trial.scanned.inputs.iter().map(|input| input.path.file_name().unwrap()).collect();
        assert_eq!(inputs, ["train.tsv", "train.yaml", "rows.tsv"]);
        for (list, word) in
            [("0\n3\n", "rows.tsv:2: takes row 3"), ("0\nx\n", "rows.tsv:2: `x`"), ("", "no line that")]
        {
            folder.file("rows.tsv", list);
            let said = trial::run(&source(&yaml)).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
        for (text, word) in
            [("img: null\n", "`img`"), ("label: x.tsv\n", "`img`"), ("a: [1]\n", "train.yaml:1")]
        {
            let said = trial::run(&source(&folder.file("train.yaml", text))).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn files_that_hold_no_pictures_are_refused() {
        let folder = Folder::new();
        let said = trial::run(&source(&folder.file("a.tsv", ""))).unwrap_err().to_string();
        assert!(said.contains("is empty"), "{said}");
        let said = trial::run(&source(&folder.path())).unwrap_err().to_string();
        assert!(said.contains("is a folder"), "{said}");
        assert!(matches!(trial::run(&source(&folder.path().join("x.tsv"))), Err(Error::Io { .. })));
    }

    #[test]
    fn no_mutant_panics() {
        let text =
            format!("1\t{}\n2\tx\ty\t{}\n3\t{}\n", base64(&[7; 40]), base64(b"two"), base64(&[0xff; 9]));
        trial::mutants("a.tsv", text.as_bytes(), |_| (), |path| Box::new(source(path)));
    }

    #[test]
    fn vinvls_own_set_is_read() {
        let Some(data) = crate::texts::real_files::reference_data() else { return };
        let folder = data.join("features/vinvl_mini_tsv");
        let expected: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        for name in ["train.tsv", "train.yaml"] {
            let trial = trial::run(&source(&folder.join(name))).unwrap();
            assert_eq!((trial.pictures.len(), trial.refused().len()), (expected.len(), 0));
            for ((id, file), expected) in trial.good().zip(&expected) {
                assert_eq!(id, expected["key"]);
                assert_eq!(file.bytes.len() as u64, expected["jpeg_bytes"]);
                let hash = Sha256::digest(&file.bytes);
                let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(hash, expected["sha256"]);
            }
        }
    }
}
