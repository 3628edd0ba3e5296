//! All boxes of a file, gathered by picture, and the file of lines that they become.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::{AnnotatedBox, PictureBoxes};
use crate::inputs::{Input, Span, scan_file};
use crate::plan::Ids;
use crate::{Error, RejectReason};

/// Boxes by picture, in about 40 bytes a box; attributes take 4 bytes each.
pub struct BoxTable {
    ids: Ids,
    /// Sorted, so that the order of pictures in the file does not matter.
    pictures: BTreeMap<Box<str>, Gathered>,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Why boxes are left out: count, and the first of them.
    left_out: BTreeMap<&'static str, (u64, String)>,
}

/// A box as a format finds it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBox<'a> {
    /// Corners x1, y1, x2, y2.
    pub rect: [f32; 4],
    /// The class: its name, or the number or code that [`BoxTable::name_classes`] replaces.
    pub class: &'a str,
    /// What it is like.
    pub attributes: &'a [String],
    /// Whether `rect` holds shares of width and height.
    pub relative: bool,
}

/// By picture id in its normal form: the line, and its boxes.
pub(crate) type Places = HashMap<Box<str>, (Span, u32)>;

#[derive(Debug, Default)]
struct Gathered {
    size: Option<[u32; 2]>,
    boxes: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    rect: [f32; 4],
    class: u32,
    attributes: Box<[u32]>,
    relative: bool,
}

impl BoxTable {
    /// An empty table in which picture ids are compared as `ids` says.
    pub(crate) fn new(ids: Ids) -> BoxTable {
        BoxTable {
            ids,
            pictures: BTreeMap::new(),
            names: Vec::new(),
            numbers: HashMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Notes how large a picture was when it was annotated; it may have no boxes.
    pub fn size(&mut self, id: &str, width: u32, height: u32) {
        self.picture(id).size = Some([width, height]);
    }

    /// Adds a box. One without area, or of numbers that are none, is left out and counted.
    ///
    /// `place` tells where it stands, for the warning.
    pub fn add(&mut self, id: &str, new: &NewBox<'_>, place: impl FnOnce() -> String) {
        let [x1, y1, x2, y2] = new.rect;
        if !new.rect.iter().all(|x| x.is_finite()) {
            return self.leave_out("have corners that are no numbers", place);
        }
        if x2 <= x1 || y2 <= y1 {
            return self.leave_out("have no area", place);
        }
        let class = self.number(new.class);
        let attributes = new.attributes.iter().map(|name| self.number(name)).collect();
        self.picture(id).boxes.push(Kept { rect: new.rect, class, attributes, relative: new.relative });
    }

    /// Counts a box that cannot be used.
    pub fn leave_out(&mut self, why: &'static str, place: impl FnOnce() -> String) {
        self.left_out.entry(why).or_insert_with(|| (0, place())).0 += 1;
    }

    /// Counts a record that cannot be read.
    pub fn unreadable(&mut self, reason: &RejectReason, place: impl FnOnce() -> String) {
        self.leave_out("are in records that cannot be read", || format!("{}: {}", place(), reason.message));
    }

    /// Replaces class numbers by names.
    ///
    /// # Errors
    /// The first class of a box that has none.
    pub fn name_classes(&mut self, names: &HashMap<String, String>) -> Result<(), String> {
        let mut used = vec![false; self.names.len()];
        for kept in self.pictures.values().flat_map(|gathered| &gathered.boxes) {
            used[kept.class as usize] = true;
        }
        for (code, used) in self.names.iter_mut().zip(used) {
            match names.get(code) {
                Some(name) => code.clone_from(name),
                None if used => return Err(code.clone()),
                None => {}
            }
        }
        // Later additions must not meet the old codes.
        self.numbers.clear();
        Ok(())
    }

    /// What a user should know about boxes that were left out of `path`.
    pub(crate) fn warnings(&self, path: &Path) -> Vec<String> {
        let told = |(why, (count, first)): (&&str, &(u64, String))| {
            format!("{}: {count} boxes {why}; the first: {first}", path.display())
        };
        self.left_out.iter().map(told).collect()
    }

    /// Writes one line a picture to `path`, which is input `number`; returns where each picture's line is, and how many
    /// boxes stand there.
    pub(crate) fn write(self, path: &Path, number: u16) -> Result<(Places, Input), Error> {
        let mut out = BufWriter::new(File::create(path).map_err(Error::io("create", path))?);
        let mut places = HashMap::with_capacity(self.pictures.len());
        let (mut offset, mut line) = (0, 1);
        let name = |number: u32| self.names[number as usize].clone();
        for (id, Gathered { size, boxes }) in self.pictures {
            let count = boxes.len() as u32;
            let boxes = boxes.into_iter().map(|kept| AnnotatedBox {
                rect: kept.rect,
                class: name(kept.class),
                attributes: kept.attributes.iter().map(|&number| name(number)).collect(),
                relative: kept.relative,
            });
            let picture = PictureBoxes { id: id.to_string(), size, boxes: boxes.collect() };
            let text = serde_json::to_string(&picture).expect("boxes have only plain fields");
            writeln!(out, "{text}").map_err(Error::io("write", path))?;
            places.insert(id, (Span { input: number, offset, len: text.len() as u32, line }, count));
            offset += text.len() as u64 + 1;
            line += 1;
        }
        out.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
        let input = Input { path: path.to_path_buf(), stamp: scan_file(path, |_| Ok(()))? };
        Ok((places, input))
    }

    fn picture(&mut self, id: &str) -> &mut Gathered {
        let id = self.ids.normal(id).into_owned().into_boxed_str();
        self.pictures.entry(id).or_default()
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_string());
        self.numbers.insert(name.to_string(), number);
        number
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use data_specs::IdMatching;

    /// The lines that the boxes of `format` become, and the warnings.
    pub(in crate::boxes) fn lines(
        format: &dyn super::super::BoxFormat,
    ) -> Result<(Vec<PictureBoxes>, Vec<String>), Error> {
        let folder = tempfile::tempdir().unwrap();
        let mut table = BoxTable::new(Ids(IdMatching::TrailingDigits));
        let context = crate::inputs::ScanContext {
            source: "src",
            first_input: 5,
            derived: folder.path(),
            watch: &crate::Unwatched,
        };
        let inputs = format.scan(context, &mut table)?;
        assert!(inputs.iter().all(|input| input.stamp.size > 0));
        let warnings = table.warnings(Path::new("FILE"));
        let path = folder.path().join("boxes.jsonl");
        let (places, input) = table.write(&path, 9).unwrap();
        let file = crate::inputs::InputFile::open_planned(&path, &input.stamp).unwrap();
        let mut spans: Vec<_> = places.into_iter().collect();
        spans.sort_by_key(|(_, (span, _))| span.offset);
        let read = |(id, (span, count)): (Box<str>, (Span, u32))| {
            let found: PictureBoxes = serde_json::from_slice(&file.read(span).unwrap()).unwrap();
            assert_eq!((&*id, count as usize), (&*found.id, found.boxes.len()));
            found
        };
        Ok((spans.into_iter().map(read).collect(), warnings))
    }

    #[test]
    fn boxes_without_area_are_left_out_and_counted() {
        let mut table = BoxTable::new(Ids(IdMatching::Exact));
        for (at, rect) in
            [[0.0, 0.0, 0.0, 5.0], [3.0, 0.0, 2.0, 5.0], [0.0, f32::NAN, 2.0, 5.0], [0.0, 0.0, 1.0, 1.0]]
                .iter()
                .enumerate()
        {
            let new = NewBox { rect: *rect, class: "dog", attributes: &[], relative: false };
            table.add("a", &new, || format!("line {at}"));
        }
        let warnings = table.warnings(Path::new("f"));
        assert_eq!(
            warnings,
            [
                "f: 1 boxes have corners that are no numbers; the first: line 2",
                "f: 2 boxes have no area; the first: line 0"
            ]
        );
        assert_eq!(table.pictures["a"].boxes.len(), 1);
    }
}
