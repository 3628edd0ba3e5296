//! Oscar's captioning data sets: a yaml that names a feature, a label and a size TSV, row by row alike.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use data_specs::Picture;
use memchr::{memchr, memchr_iter, memmem};
use serde::Deserialize;

use super::block::{RegionBlock, columns};
use super::geometry::picture_with_positions;
use super::layout::LayoutSearch;
use super::object_labels::{Labels, bad_json, side, tags};
use super::rows::{Row, RowStream, broken, rejected, scan_whole};
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture, flat_yaml};
use crate::Error;
use crate::inputs::{ScanContext, Span};
use crate::reject::{Code, RejectReason};

/// A data set of Oscar (`train.yaml`), whose keys `feature`, `label` and `hw` name TSVs of two columns,
/// absolute or relative to the yaml:
///
/// | file | second column, after the key |
/// |---|---|
/// | `feature` | `{"num_boxes": n, "features": base64 of n x (D + 6) little-endian f32}` |
/// | `label` (may be null: no tags) | `[{"class", "conf", "rect": [x1, y1, x2, y2]}, ...]` |
/// | `hw` (may be null: no sizes, so no pixel boxes) | `[{"height", "width"}]` |
///
/// Row i of each is the same picture. One row that is not is rejected; two running mean that the files
/// have shifted, and that ends the scan, as another number of rows does. Tags have boxes of their own
/// and do not belong to regions. A `.lineidx` beside a TSV is checked; none is needed.
#[derive(Debug)]
pub struct OscarTsv {
    yaml: PathBuf,
    feature: PathBuf,
    label: Option<PathBuf>,
    hw: Option<PathBuf>,
    origin: String,
    write_index: bool,
}

impl OscarTsv {
    /// The data set that `yaml` describes.
    ///
    /// `origin` is what its tags say of their source (`vg`); `write_index` leaves a `.lineidx` beside
    /// each TSV that has none, for Oscar's own programs.
    ///
    /// # Errors
    /// A yaml that cannot be read, is more than flat `key: value` lines, or names no features.
    pub fn from_yaml(yaml: &Path, origin: &str, write_index: bool) -> Result<OscarTsv, Error> {
        let folder = yaml.parent().unwrap_or(Path::new(""));
        let mut pairs = flat_yaml::read(yaml)?;
        let mut file = |key: &str| {
            let value = pairs.iter_mut().find(|(known, _)| known == key).and_then(|(_, value)| value.take());
            value.map(|value| folder.join(value)) // an absolute path replaces the folder
        };
        let feature = file("feature").ok_or_else(|| {
            broken(yaml, None, "names no `feature` file", "add a line `feature: train.feature.tsv`")
        })?;
        let (label, hw) = (file("label"), file("hw"));
        Ok(OscarTsv { yaml: yaml.into(), feature, label, hw, origin: origin.into(), write_index })
    }
}

impl FeatureFormat for OscarTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut inputs = vec![scan_whole(context, &self.yaml)?];
        let open = |path: &PathBuf, number: u16| {
            RowStream::open(context, path, context.first_input + number, self.write_index)
        };
        let mut features = open(&self.feature, 1)?;
        let mut partners = Vec::new();
        for path in [&self.label, &self.hw].into_iter().flatten() {
            partners.push(open(path, 2 + partners.len() as u16)?);
        }

        let mut search = LayoutSearch::new(true);
        let mut mismatch_before = false;
        while let Some(row) = features.next_row()? {
            let line = row.span.line;
            let joined = join(&row, features.path(), &mut partners)?;
            let mismatch = matches!(&joined, Err(reason) if reason.code == Code::IdMismatch);
            match (row.id, joined) {
                (Ok(id), Ok(spans)) => {
                    search.offer_line(features.path(), row.span, read_block)?;
                    found(ScannedPicture::Record(PictureRecord { id, source: None, spans, shape: None }))?;
                }
                (Ok(_), Err(reason)) if mismatch && mismatch_before => {
                    let hint = "the files have shifted against each other: put files of one export together";
                    let what = format!("{}, and the row before differs too", reason.message);
                    return Err(broken(features.path(), Some(line), what, hint));
                }
                (Ok(id), Err(reason)) => {
                    found(rejected(context, features.path(), line, &id, reason))?;
                }
                (Err(reason), _) => found(rejected(context, features.path(), line, "", reason))?,
            }
            mismatch_before = mismatch;
        }
        for partner in &mut partners {
            if let Some(row) = partner.next_row()? {
                return Err(uneven(partner.path(), row.span.line, features.path()));
            }
        }

        inputs.push(features.into_input()?);
        for partner in partners {
            inputs.push(partner.into_input()?);
        }
        let mut warnings = Vec::new();
        if self.label.is_none() {
            warnings.push(format!("{} names no `label` file: rows get no tags", self.yaml.display()));
        }
        if self.hw.is_none() {
            warnings.push(format!("{} names no `hw` file: rows get no pixel boxes", self.yaml.display()));
        }
        Ok(ScannedFeatures::imported(inputs, search.finish(&self.feature)?, warnings))
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let mut others = parts[1..].iter();
        let tags = match self.label.as_ref().and_then(|_| others.next()) {
            Some(line) => {
                let [_, json] = columns::<2>(line)?;
                tags(&Labels::parse(json, "labels")?.objects, &self.origin)?
            }
            None => vec![],
        };
        let size = match self.hw.as_ref().and_then(|_| others.next()) {
            Some(line) => Some(read_size(line)?),
            None => None,
        };
        picture_with_positions(&record.id, read_block(&parts[0])?, layout, size, tags)
    }
}

/// The spans of a picture in all files, or why its rows do not go together.
fn join(
    row: &Row,
    feature_path: &Path,
    partners: &mut [RowStream<'_>],
) -> Result<Result<Vec<Span>, RejectReason>, Error> {
    let mut spans = Ok(vec![row.span]);
    for partner in partners {
        let Some(other) = partner.next_row()? else {
            return Err(uneven(feature_path, row.span.line, partner.path()));
        };
        let difference = match (&row.id, &other.id) {
            (Ok(id), Ok(other)) if id == other => None,
            (Ok(id), Ok(other)) => Some(format!("is of picture {other}, not {id}")),
            (Ok(id), Err(reason)) => Some(format!("should be of picture {id}, but {}", reason.message)),
            (Err(_), _) => None, // the feature row is rejected for its own fault
        };
        if let (Some(difference), true) = (difference, spans.is_ok()) {
            let message = format!("{}:{} {difference}", partner.path().display(), other.span.line);
            spans = Err(RejectReason::new(Code::IdMismatch, message));
        }
        if let Ok(spans) = &mut spans {
            spans.push(other.span);
        }
    }
    Ok(spans)
}

fn uneven(longer: &Path, line: u64, shorter: &Path) -> Error {
    let what = format!("goes on, but {} ends after {} rows", shorter.display(), line - 1);
    broken(longer, Some(line), what, "the files go row by row: put files of one export together")
}

#[derive(Deserialize)]
struct FeatureRecord<'a> {
    num_boxes: u32,
    #[serde(borrow)]
    features: Cow<'a, str>,
}

fn read_block(line: &[u8]) -> Result<RegionBlock, RejectReason> {
    let [_, json] = columns::<2>(line)?;
    if let Some(block) = read_usual(json) {
        return Ok(block);
    }
    let record: FeatureRecord = serde_json::from_slice(json).map_err(|error| bad_json("features", &error))?;
    RegionBlock::from_base64(record.num_boxes, record.features.as_bytes())
}

/// Reads a record as exporters write it; `None` leaves anything odd to the JSON reader.
///
/// The features are 400 KB of text in which a JSON reader seeks escapes byte by byte, twice the work of
/// decoding them. So they are cut out, and only the rest is read as JSON.
fn read_usual(json: &[u8]) -> Option<RegionBlock> {
    const KEY: &[u8] = b"\"features\"";
    let key = memmem::find(&json[..json.len().min(256)], KEY)?;
    let nested = memchr_iter(b'{', &json[..key]).count() != 1;
    let value = json[key + KEY.len()..].trim_ascii_start().strip_prefix(b":")?;
    let text = value.trim_ascii_start().strip_prefix(b"\"")?;
    let (before, end) = (&json[..json.len() - text.len()], memchr(b'"', text)?);
    let rest = [before, &text[end..]].concat();
    let record: FeatureRecord = serde_json::from_slice(&rest).ok()?;
    let usual = !nested && record.features.is_empty();
    usual.then(|| RegionBlock::from_base64(record.num_boxes, &text[..end]).ok()).flatten()
}

#[derive(Deserialize)]
struct Size {
    #[serde(deserialize_with = "side")]
    height: Option<u32>,
    #[serde(deserialize_with = "side")]
    width: Option<u32>,
}

/// `[{"height": h, "width": w}]`, or the same without the list.
fn read_size(line: &[u8]) -> Result<(u32, u32), RejectReason> {
    let [_, json] = columns::<2>(line)?;
    let bare = json.trim_ascii_start().first() == Some(&b'{');
    let size = if bare {
        serde_json::from_slice::<Size>(json)
    } else {
        serde_json::from_slice::<[Size; 1]>(json).map(|[size]| size)
    };
    let size = size.map_err(|error| bad_json("hw", &error))?;
    let known = size.width.zip(size.height);
    known.ok_or_else(|| RejectReason::new(Code::BadJson, "hw: a side is null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_what_json_says() {
        for json in [
            r#"{"num_boxes": 1, "features": "AAAA"}"#,
            r#" { "features" : "AAAA" , "num_boxes":1,"more":{"features":"BBBB"}}"#,
        ] {
            let block = read_usual(json.as_bytes());
            assert_eq!(block, Some(RegionBlock { regions: 1, bytes: vec![0; 3] }), "{json}");
        }
        // Odd or wrong: left to the JSON reader.
        for (json, bytes) in [
            (r#"{"more": {"features": "BBBB"}, "features": "AAAA", "num_boxes": 1}"#, Some(vec![0; 3])),
            (r#"{"num_boxes": 1, "features": "\/\/\/\/"}"#, Some(vec![255; 3])),
            (r#"{"num_boxes": 1, "f": "features", "features": "AAAA"}"#, Some(vec![0; 3])),
            (r#"{"num_boxes": 1, "features": "AAAA", "features": "AAAA"}"#, None),
            (r#"{"num_boxes": 1, "features": "AA\"AA"}"#, None),
            (r#"{"num_boxes": 1, "features": "AAAA"} x"#, None),
            (r#"{"num_boxes": 1, "features": 3}"#, None),
            (r#"{"features": "AAAA"}"#, None),
        ] {
            assert_eq!(read_usual(json.as_bytes()), None, "{json}");
            let block = read_block(format!("7\t{json}").as_bytes());
            assert_eq!(block.ok().map(|block| block.bytes), bytes, "{json}");
        }
    }
}
