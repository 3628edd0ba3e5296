//! Flickr30k as it was published: `1000092795.jpg#0<TAB>Two young guys with shaggy hair ...`.

use std::path::PathBuf;

use data_specs::TextKind;
use serde_json::Map;

use crate::inputs::{Input, ScanContext};
use crate::texts::record::{empty, plain_text, text_of, utf8};
use crate::texts::scan::{self, Head, Refusal};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// `results_20130124.token` of Flickr30k, `Flickr8k.token.txt`.
///
/// One record a line. The text id is the whole first column, the picture what stands before its `#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlickrToken {
    /// The file of captions.
    pub file: PathBuf,
}

impl TextFormat for FlickrToken {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let input = scan::lines(context, 0, &self.file, |line, place| found(place.told(head(line.bytes))))?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let [id, caption] = columns(&part.bytes)?;
        let caption = text_of(caption.to_string(), "caption")?;
        let text = plain_text(TextKind::Caption, id.to_string(), caption, Map::new());
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

fn head(line: &[u8]) -> Result<Head, Refusal> {
    let [id, _] = columns(line)?;
    let head = || {
        let (picture, number) = id.rsplit_once('#').unwrap_or((id, ""));
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("`{id}` does not end in `#` and the number of the caption");
            return Err(RejectReason::new(Code::BadNumber, message));
        }
        if picture.trim().is_empty() {
            return Err(empty("picture"));
        }
        Ok(Head::one(vec![picture.to_string()], id.to_string()))
    };
    head().map_err(Refusal::of(id.to_string()))
}

fn columns(line: &[u8]) -> Result<[&str; 2], RejectReason> {
    let columns: Vec<&str> = utf8(line)?.split('\t').collect();
    columns[..].try_into().map_err(|_| {
        let message = format!("has {} columns and should have 2: picture#number and caption", columns.len());
        RejectReason::new(Code::WrongColumns, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = "1000092795.jpg#0\tTwo young guys with shaggy hair .\r\n1000092795.jpg#1\t\"Two\" é , men .\na#b.jpg#12\tC \n";

    #[test]
    fn captions_by_picture_and_number() {
        let folder = Folder::new();
        let trial = run(&FlickrToken { file: folder.file("results.token", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["1000092795.jpg", "1000092795.jpg", "a#b.jpg"]);
        let texts: Vec<_> = trial.texts().iter().map(|text| (text.id.as_str(), text.text.as_str())).collect();
        let expected = [
            ("1000092795.jpg#0", "Two young guys with shaggy hair ."),
            ("1000092795.jpg#1", "\"Two\" é , men ."),
            ("a#b.jpg#12", "C "),
        ];
        assert_eq!(texts, expected);
        assert!(trial.texts().iter().all(|text| text.kind == TextKind::Caption && text.extra.is_none()));
        assert_eq!(trial.records[2].0.id, "a#b.jpg#12");
    }

    #[test]
    fn bad_lines_are_told() {
        let folder = Folder::new();
        let mut content =
            b"1.jpg#0 no tab\n\n1.jpg#0\ta\tb\n1.jpg\ta\n#0\ta\n1.jpg#\ta\n1.jpg#x\ta\n1.jpg#0\t \n1.jpg#1\t"
                .to_vec();
        content.extend_from_slice(b"\n2.jpg#\xFF\ta");
        let trial = run(&FlickrToken { file: folder.file("results.token", &content) }).unwrap();
        assert_eq!(
            trial.refused(),
            [
                "1  WrongColumns: has 1 columns and should have 2: picture#number and caption",
                "2  WrongColumns: has 1 columns and should have 2: picture#number and caption",
                "3  WrongColumns: has 3 columns and should have 2: picture#number and caption",
                "4 1.jpg BadNumber: `1.jpg` does not end in `#` and the number of the caption",
                "5 #0 EmptyField: `picture` is empty",
                "6 1.jpg# BadNumber: `1.jpg#` does not end in `#` and the number of the caption",
                "7 1.jpg#x BadNumber: `1.jpg#x` does not end in `#` and the number of the caption",
                "10  BadUtf8: is not UTF-8 from byte 6 of the record on",
                "8 1.jpg#0 EmptyField: `caption` is empty",
                "9 1.jpg#1 EmptyField: `caption` is empty",
            ]
        );
        assert!(matches!(run(&FlickrToken { file: "none".into() }).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("results.token", GOOD, Frame::Lines)], |paths| {
            Box::new(FlickrToken { file: paths[0].clone() })
        });
    }
}
