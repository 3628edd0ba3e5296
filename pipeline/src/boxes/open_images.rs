//! OpenImages' boxes: `ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,...`, a line a box.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{BoxFormat, BoxTable, NewBox};
use crate::inputs::{Input, ScanContext};
use crate::texts::record::utf8;
use crate::texts::scan::{self, Place};
use crate::{Code, Error, RejectReason};

/// Boxes of `*-annotations-bbox.csv`, named by `class-descriptions-boxable.csv`.
///
/// Columns are found by their names in the first line: `ImageID`, `LabelName`, `XMin`, `XMax`, `YMin`,
/// `YMax`, and `IsGroupOf` if it is there; others are passed over. Corners are shares of the picture's
/// width and height. A field may stand in quotes, though not go over a line's end.
///
/// Boxes with `IsGroupOf` 1 are left out, as COCO's crowds are: one box stands for more than five objects
/// that hide each other, so it is an area and not an object. (What the detectors of the papers made of
/// them we do not know.) Drawn, cut off and hidden objects, and those seen from inside, are objects.
///
/// The classes' file has a line `code,name` a class, with a first line of column names or without; every
/// class of a box must stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenImages {
    /// The boxes.
    pub boxes: PathBuf,
    /// The names of their classes.
    pub classes: PathBuf,
}

impl BoxFormat for OpenImages {
    fn scan(&self, context: ScanContext<'_>, table: &mut BoxTable) -> Result<Vec<Input>, Error> {
        let mut csv = CsvLine::new();
        let mut columns = None;
        let boxes = scan::lines(context, 0, &self.boxes, |line, place| {
            match &columns {
                None => {
                    let found = csv.fields(line.bytes).and_then(|header| Columns::find(&header));
                    columns = Some(found.map_err(|reason| self.no_boxes(reason.message))?);
                }
                Some(_) if line.bytes.trim_ascii().is_empty() => {}
                Some(columns) => {
                    let read = csv.fields(line.bytes).and_then(|fields| columns.read(&fields, table, place));
                    if let Err(reason) = read {
                        table.unreadable(&reason, || place.shown());
                    }
                }
            }
            Ok(())
        })?;
        if columns.is_none() {
            return Err(self.no_boxes("is empty".into()));
        }
        let (classes, names) = self.names(context)?;
        table.name_classes(&names).map_err(|class| {
            broken(
                &self.classes,
                None,
                format!("has no name for class {class} of the boxes"),
                "take the class descriptions of the release that the boxes are from",
            )
        })?;
        Ok(vec![boxes, classes])
    }
}

impl OpenImages {
    fn names(&self, context: ScanContext<'_>) -> Result<(Input, HashMap<String, String>), Error> {
        let mut csv = CsvLine::new();
        let mut names = HashMap::new();
        let input = scan::lines(context, 1, &self.classes, |line, _| {
            if line.bytes.trim_ascii().is_empty() {
                return Ok(());
            }
            let refuse = |what: String| {
                broken(
                    &self.classes,
                    Some(line.number),
                    what,
                    "a class is a line `code,name`: `/m/0bt9lr,Dog`",
                )
            };
            let fields = csv.fields(line.bytes).map_err(|reason| refuse(reason.message))?;
            let [code, name] = fields[..] else {
                return Err(refuse(format!("the line has {} columns, not 2", fields.len())));
            };
            let (code, name) = (code.trim(), name.trim());
            if code.is_empty() || name.is_empty() {
                return Err(refuse("code or name is empty".into()));
            }
            match names.insert(code.to_string(), name.to_string()) {
                Some(other) if other != name => {
                    Err(refuse(format!("class {code} is called `{other}` above and `{name}` here")))
                }
                _ => Ok(()),
            }
        })?;
        Ok((input, names))
    }

    fn no_boxes(&self, what: String) -> Error {
        let hint = "boxes are in *-annotations-bbox.csv, whose first line is \
                    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,...";
        broken(&self.boxes, Some(1), what, hint)
    }
}

fn broken(path: &Path, line: Option<u64>, what: String, hint: &str) -> Error {
    Error::Input { path: path.to_path_buf(), line, what, hint: hint.into() }
}

/// Where in a line the fields are.
struct Columns {
    count: usize,
    image: usize,
    class: usize,
    /// XMin, YMin, XMax, YMax.
    corners: [usize; 4],
    group: Option<usize>,
}

impl Columns {
    fn find(header: &[&str]) -> Result<Columns, RejectReason> {
        let at = |name: &str| {
            let mut found = (0..header.len()).filter(|&at| header[at].trim() == name);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => Err(wrong(format!("the first line names no column {name}"))),
                (Some(_), Some(_)) => Err(wrong(format!("the first line names the column {name} twice"))),
            }
        };
        let has_groups = header.iter().any(|name| name.trim() == "IsGroupOf");
        Ok(Columns {
            count: header.len(),
            image: at("ImageID")?,
            class: at("LabelName")?,
            corners: [at("XMin")?, at("YMin")?, at("XMax")?, at("YMax")?],
            group: has_groups.then(|| at("IsGroupOf")).transpose()?,
        })
    }

    fn read(&self, fields: &[&str], table: &mut BoxTable, place: &Place<'_>) -> Result<(), RejectReason> {
        if fields.len() != self.count {
            return Err(wrong(format!("the line has {} columns, not {}", fields.len(), self.count)));
        }
        let (image, class) = (fields[self.image].trim(), fields[self.class].trim());
        for (text, name) in [(image, "ImageID"), (class, "LabelName")] {
            if text.is_empty() {
                return Err(RejectReason::new(Code::EmptyField, format!("{name} is empty")));
            }
        }
        let mut rect = [0.0; 4];
        for (corner, &column) in rect.iter_mut().zip(&self.corners) {
            *corner = fields[column].trim().parse().map_err(|_| {
                let shown: String = fields[column].chars().take(40).collect();
                RejectReason::new(Code::BadNumber, format!("a corner is `{shown}`, not a number"))
            })?;
        }
        if self.group.is_some_and(|group| fields[group].trim() == "1") {
            return Ok(());
        }
        // A little over is rounding; far over, the numbers are pixels.
        if rect.iter().any(|corner: &f32| !(-SLACK..=1.0 + SLACK).contains(corner)) {
            table.leave_out("have corners that are no shares of width and height", || place.shown());
            return Ok(());
        }
        table.add(image, &NewBox { rect, class, attributes: &[], relative: true }, || place.shown());
        Ok(())
    }
}

const SLACK: f32 = 0.01;

fn wrong(message: String) -> RejectReason {
    RejectReason::new(Code::WrongColumns, message)
}

/// Splits one line after the other.
struct CsvLine {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvLine {
    fn new() -> CsvLine {
        CsvLine { reader: ReaderBuilder::new().build(), text: vec![0; 1 << 10], ends: vec![0; 64] }
    }

    fn fields(&mut self, line: &[u8]) -> Result<Vec<&str>, RejectReason> {
        utf8(line)?;
        // Quotes only ever shorten a field.
        if self.text.len() < line.len() {
            self.text.resize(line.len(), 0);
        }
        self.reader.reset();
        let (mut read, mut written, mut ended) = (0, 0, 0);
        loop {
            // An empty input ends the record.
            let (outcome, input, output, ends) =
                self.reader.read_record(&line[read..], &mut self.text[written..], &mut self.ends[ended..]);
            (read, written, ended) = (read + input, written + output, ended + ends);
            match outcome {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        let mut from = 0;
        let mut fields = Vec::with_capacity(ended);
        for &end in &self.ends[..ended] {
            fields.push(utf8(&self.text[from..end])?);
            from = end;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::PictureBoxes;
    use super::super::table::tests::lines;
    use super::super::trial::mutants;
    use super::*;

    const HEADER: &str = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside";
    const CLASSES: &str = "/m/0bt9lr,Dog\n/m/01g317,Person\n/m/unused,\"Salt, and pepper\"\n";

    fn read(boxes: &str, classes: &str) -> Result<(Vec<PictureBoxes>, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let files = OpenImages { boxes: folder.path().join("b.csv"), classes: folder.path().join("c.csv") };
        std::fs::write(&files.boxes, boxes).unwrap();
        std::fs::write(&files.classes, classes).unwrap();
        lines(&files)
    }

    fn told(pictures: &[PictureBoxes]) -> Vec<(&str, &str, [f32; 4])> {
        assert!(pictures.iter().all(|picture| picture.size.is_none()));
        let boxes =
            pictures.iter().flat_map(|picture| picture.boxes.iter().map(move |found| (picture, found)));
        boxes
            .map(|(picture, found)| {
                assert!(found.relative);
                (picture.id.as_str(), found.class.as_str(), found.rect)
            })
            .collect()
    }

    fn good() -> String {
        format!(
            "{HEADER}\n\
             000b,xclick,/m/0bt9lr,1,0.25,0.5,0.125,1,0,0,0,0,0\n\
             000a,xclick,/m/01g317,1,0,1,0,1,1,1,-1,1,1\n\
             000a,activemil,\"/m/0bt9lr\",1,0.5,0.75,0.5,0.75,0,0,0,0,0\r\n\
             000a,xclick,/m/01g317,1,0,0.5,0,0.5,0,0,1,0,0\n"
        )
    }

    #[test]
    fn boxes_are_shares_and_groups_are_left_out() {
        let expected = [
            ("000a", "Person", [0.0, 0.0, 1.0, 1.0]),
            ("000a", "Dog", [0.5, 0.5, 0.75, 0.75]),
            ("000b", "Dog", [0.25, 0.125, 0.5, 1.0]),
        ];
        let (pictures, warnings) = read(&good(), CLASSES).unwrap();
        assert_eq!(told(&pictures), expected);
        assert_eq!(warnings, Vec::<String>::new());

        // Columns are known by their names, and a release may lack those that are not needed.
        let other = "YMax,YMin,XMax,XMin,LabelName,ImageID\n1,0.125,0.5,0.25,/m/0bt9lr,000b\n1,0,1,0,/m/01g317,000a\n\n\
                     0.75,0.5,0.75,0.5,/m/0bt9lr,000a";
        let with_header = format!("LabelName,DisplayName\n{CLASSES}");
        assert_eq!(told(&read(other, &with_header).unwrap().0), expected);
    }

    #[test]
    fn the_order_of_pictures_does_not_matter() {
        let text = good();
        let mut lines: Vec<_> = text.lines().collect();
        lines[1..].sort();
        assert_eq!(read(&lines.join("\n"), CLASSES).unwrap().0.len(), 2);
        lines.swap(1, 2); // two boxes of one picture keep the order of the file, so only these two change
        let (one, _) = read(&lines.join("\n"), CLASSES).unwrap();
        lines[1..].rotate_right(1); // the other picture comes first
        let (other, _) = read(&lines.join("\n"), CLASSES).unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_bad_line_costs_itself() {
        for (bad, word) in [
            ("000a,xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0", "12 columns, not 13"),
            ("000a,xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0,0,0", "14 columns, not 13"),
            (",xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0,0", "ImageID is empty"),
            ("000a,xclick,,1,0,1,0,1,0,0,0,0,0", "LabelName is empty"),
            ("000a,xclick,/m/0bt9lr,1,zero,1,0,1,0,0,0,0,0", "a corner is `zero`, not a number"),
            ("000a,xclick,/m/0bt9lr,1,0,640,0,480,0,0,0,0,0", "no shares of width and height"),
            ("000a,xclick,/m/0bt9lr,1,nan,1,0,1,0,0,0,0,0", "no shares of width and height"),
            ("000a,xclick,/m/0bt9lr,1,-1,1,0,1,0,0,0,0,0", "no shares of width and height"),
            ("000a,xclick,/m/0bt9lr,1,0.5,0.5,0,1,0,0,0,0,0", "have no area"),
            ("000a,\"xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0,0", "2 columns, not 13"),
        ] {
            let (pictures, warnings) = read(&format!("{}{bad}\n", good()), CLASSES).unwrap();
            assert_eq!(told(&pictures).len(), 3, "{bad}");
            let [warning] = warnings.as_slice() else { panic!("{bad}: {warnings:?}") };
            assert!(warning.contains(word) && warning.contains("b.csv:6"), "{bad}: {warning}");
        }
        let mut bytes = good().into_bytes();
        bytes.extend_from_slice(b"\xff,xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0,0\n");
        let folder = tempfile::tempdir().unwrap();
        let files = OpenImages { boxes: folder.path().join("b.csv"), classes: folder.path().join("c.csv") };
        std::fs::write(&files.boxes, bytes).unwrap();
        std::fs::write(&files.classes, CLASSES).unwrap();
        assert!(lines(&files).unwrap().1[0].contains("UTF-8"));
    }

    #[test]
    fn files_of_another_layout_and_classes_without_names_are_errors() {
        for (boxes, classes, words) in [
            ("", CLASSES, ["b.csv", "is empty"]),
            ("ImageID,Source,LabelName,Confidence\n", CLASSES, ["b.csv:1", "no column XMin"]),
            (
                "000b,xclick,/m/0bt9lr,1,0.25,0.5,0.125,1,0,0,0,0,0\n",
                CLASSES,
                ["b.csv:1", "no column ImageID"],
            ),
            ("ImageID,LabelName,XMin,XMax,YMin,YMax,XMin\n", CLASSES, ["b.csv:1", "column XMin twice"]),
            ("{\"a\": 1}", CLASSES, ["b.csv:1", "hint: "]),
            (&good(), "/m/0bt9lr,Dog\n", ["c.csv", "no name for class /m/01g317"]),
            (&good(), "/m/0bt9lr,Dog\n/m/01g317\n", ["c.csv:2", "1 columns, not 2"]),
            (&good(), "/m/0bt9lr,Dog\n/m/01g317, \n", ["c.csv:2", "is empty"]),
            (&good(), "/m/0bt9lr,Dog\n/m/0bt9lr,Cat\n", ["c.csv:2", "called `Dog` above"]),
            (&good(), "", ["c.csv", "no name for class"]),
        ] {
            let said = read(boxes, classes).unwrap_err().to_string();
            assert!(words.iter().all(|word| said.contains(word)) && said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn no_mutant_panics() {
        mutants(&[("b.csv", &good()), ("c.csv", CLASSES)], |paths| {
            Box::new(OpenImages { boxes: paths[0].clone(), classes: paths[1].clone() })
        });
    }
}
