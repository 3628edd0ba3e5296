//! VinVL's exports: `features.tsv`, `predictions.tsv` and `imageid2idx.json` in a folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use data_specs::Picture;
use memchr::{memchr, memrchr};

use super::block::{RegionBlock, columns, number};
use super::geometry::picture_with_positions;
use super::id_index::{Counts, IdIndex};
use super::layout::LayoutSearch;
use super::object_labels::{Labels, tags};
use super::rows::{RowStream, broken, rejected};
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::Error;
use crate::inputs::{Input, ScanContext, Span};
use crate::reject::{Code, RejectReason};

/// Folders of VinVL features, each with:
///
/// | file | content |
/// |---|---|
/// | `features.tsv` | `image_id`, n, ..., base64 of n x (D + 6) little-endian f32 in the LAST column |
/// | `predictions.tsv` or `predictions_gt.tsv` (optional) | `image_id`, JSON `{"objects": [{"class", "rect", "conf", ...}], "image_h", "image_w", "gt_objects"?}` |
/// | `imageid2idx.json` (optional) | picture id to row number of the features (of the predictions, in a folder of their own); checked |
///
/// Predictions are found by picture id, in whatever order they are. A bare list in place of the object
/// is accepted; the size of the picture is then unknown (Oscar's loader takes 800 x 600), so there are
/// no pixel boxes. Tags have boxes of their own and belong to no region. `gt_objects` become tags of
/// origin `annotated` after the detected ones; a training configuration picks.
#[derive(Debug, Clone)]
pub struct VinvlTsv {
    /// The folders, in order: one for a data set, or one for each of its chunks.
    pub parts: Vec<VinvlPart>,
    /// What detected tags say of their source (`vinvl`).
    pub origin: String,
}

/// One folder of features in a composition.
#[derive(Debug, Clone)]
pub struct VinvlPart {
    /// Data set within a composed corpus (`coco`, `googlecc`, ...), if it is not the spec's source.
    pub source: Option<String>,
    /// Where `features.tsv` is.
    pub dir: PathBuf,
    /// Where predictions are, if not in `dir`; chunks of a data set may share one folder.
    pub labels: Option<PathBuf>,
}

/// The origin of tags that people drew or confirmed.
const ANNOTATED: &str = "annotated";

impl FeatureFormat for VinvlTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut search = LayoutSearch::new(true);
        let mut inputs: Vec<Input> = Vec::new();
        let mut warnings = Vec::new();
        let mut absent = Vec::new();
        let mut labels: Option<Predictions> = None;
        for part in &self.parts {
            let path = part.predictions(&mut absent)?;
            // Chunks that share their predictions stand side by side; the file is then read once.
            if labels.as_ref().map(|labels| &labels.path) != path.as_ref() {
                warnings.extend(labels.take().and_then(Predictions::left_over));
                if let Some(path) = &path {
                    let number = context.first_input + inputs.len() as u16;
                    // A map beside both files counts the rows of the features.
                    let own_map = path.parent() != Some(&part.dir);
                    let (predictions, input) = Predictions::scan(context, path, number, own_map)?;
                    labels = Some(predictions);
                    inputs.push(input);
                }
            }
            let number = context.first_input + inputs.len() as u16;
            inputs.push(part.scan(context, number, labels.as_mut(), &mut search, found)?);
            if path.is_none() {
                warnings.push(format!(
                    "{} has no predictions.tsv or predictions_gt.tsv: its rows get neither tags nor pixel boxes",
                    part.dir.display()
                ));
            }
        }
        warnings.extend(labels.and_then(Predictions::left_over));
        let first = self.parts.first().map_or(PathBuf::from("vinvl-tsv"), VinvlPart::features);
        Ok(ScannedFeatures { absent, ..ScannedFeatures::imported(inputs, search.finish(&first)?, warnings) })
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let (mut found, mut size) = (Vec::new(), None);
        if let Some(line) = parts.get(1) {
            let [_, json, ..] = columns::<2>(line)?;
            // Some exports repeat the size in further columns.
            let json = memchr(b'\t', json).map_or(json, |end| &json[..end]);
            let labels = Labels::parse(json, "predictions")?;
            size = labels.size()?;
            found = tags(&labels.objects, &self.origin)?;
            found.extend(tags(labels.gt_objects.as_deref().unwrap_or_default(), ANNOTATED)?);
        }
        picture_with_positions(&record.id, read_block(&parts[0])?, layout, size, found)
    }
}

impl VinvlPart {
    fn features(&self) -> PathBuf {
        self.dir.join("features.tsv")
    }

    /// The predictions of this part, and into `absent` the names that would have been taken before
    /// them. A label folder that is named must have some.
    fn predictions(&self, absent: &mut Vec<PathBuf>) -> Result<Option<PathBuf>, Error> {
        let folder = self.labels.as_ref().unwrap_or(&self.dir);
        for path in ["predictions_gt.tsv", "predictions.tsv"].map(|name| folder.join(name)) {
            if path.exists() {
                return Ok(Some(path));
            }
            absent.push(path);
        }
        if self.labels.is_some() {
            let hint = "name the folder that holds the predictions, or leave `labels` out";
            return Err(broken(folder, None, "has neither predictions_gt.tsv nor predictions.tsv", hint));
        }
        Ok(None)
    }

    fn scan(
        &self,
        context: ScanContext<'_>,
        number: u16,
        mut labels: Option<&mut Predictions>,
        search: &mut LayoutSearch,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<Input, Error> {
        let context = ScanContext { source: self.source.as_deref().unwrap_or(context.source), ..context };
        let path = self.features();
        let mut index = IdIndex::read(&self.dir.join("imageid2idx.json"), Counts::Rows)?;
        let mut rows = RowStream::open(context, &path, number, false)?;
        while let Some(row) = rows.next_row()? {
            let line = row.span.line;
            let id = match row.id {
                Ok(id) => id,
                Err(reason) => {
                    index.iter_mut().for_each(IdIndex::nameless_row);
                    found(rejected(context, &path, line, "", reason))?;
                    continue;
                }
            };
            if let Some(index) = &mut index {
                index.row(&path, &id, row.span)?;
            }
            let mut spans = vec![row.span];
            if let Some(labels) = &mut labels {
                let Some(span) = labels.of(&id) else {
                    let message = format!("{} has no row for this picture", labels.path.display());
                    let reason = RejectReason::new(Code::IdMismatch, message);
                    found(rejected(context, &path, line, &id, reason))?;
                    continue;
                };
                spans.push(span);
            }
            search.offer_line(&path, row.span, read_block)?;
            found(ScannedPicture::Record(PictureRecord {
                id,
                source: self.source.clone(),
                spans,
                shape: None,
            }))?;
        }
        if let Some(index) = index {
            index.finish(&path)?;
        }
        rows.into_input()
    }
}

/// Where the predictions of each picture are.
struct Predictions {
    path: PathBuf,
    rows: HashMap<Box<str>, (Span, bool)>,
    used: usize,
    /// The first line without an id, and how many there are.
    nameless: Option<(u64, String, usize)>,
}

impl Predictions {
    fn scan(
        context: ScanContext<'_>,
        path: &Path,
        number: u16,
        own_map: bool,
    ) -> Result<(Predictions, Input), Error> {
        let map = path.with_file_name("imageid2idx.json");
        let mut index = if own_map { IdIndex::read(&map, Counts::Rows)? } else { None };
        let mut rows = RowStream::open(context, path, number, false)?;
        let mut found =
            Predictions { path: path.to_path_buf(), rows: HashMap::new(), used: 0, nameless: None };
        while let Some(row) = rows.next_row()? {
            match row.id {
                Ok(id) => {
                    if let Some(index) = &mut index {
                        index.row(path, &id, row.span)?;
                    }
                    if let Some((first, _)) = found.rows.get(id.as_str()) {
                        let what =
                            format!("picture {id} stands here again; the first time at line {}", first.line);
                        let hint = "remove one of the two lines, and their .lineidx and imageid2idx.json";
                        return Err(broken(path, Some(row.span.line), what, hint));
                    }
                    found.rows.insert(id.into(), (row.span, false));
                }
                Err(reason) => {
                    index.iter_mut().for_each(IdIndex::nameless_row);
                    found.nameless.get_or_insert((row.span.line, reason.message, 0)).2 += 1;
                }
            }
        }
        if let Some(index) = index {
            index.finish(path)?;
        }
        Ok((found, rows.into_input()?))
    }

    fn of(&mut self, id: &str) -> Option<Span> {
        let (span, used) = self.rows.get_mut(id)?;
        self.used += usize::from(!*used);
        *used = true;
        Some(*span)
    }

    /// What a user should know about lines that no picture took.
    fn left_over(self) -> Option<String> {
        let unused = self.rows.len() - self.used;
        let nameless = self.nameless.as_ref().map_or(0, |(_, _, count)| *count);
        if unused + nameless == 0 {
            return None;
        }
        let first_unused = self.rows.values().filter(|(_, used)| !used).map(|(span, _)| span.line).min();
        let mut text = format!("{}: ", self.path.display());
        if let Some(line) = first_unused {
            text += &format!("{unused} lines are of pictures without features (the first is line {line})");
        }
        if let Some((line, message, count)) = &self.nameless {
            let and = if unused > 0 { "; " } else { "" };
            text += &format!("{and}{count} lines are unreadable (the first is line {line}: {message})");
        }
        Some(text)
    }
}

fn read_block(line: &[u8]) -> Result<RegionBlock, RejectReason> {
    let [_, regions, rest] = columns::<3>(line)?;
    let features = memrchr(b'\t', rest).map_or(rest, |tab| &rest[tab + 1..]);
    RegionBlock::from_base64(number(regions, "the count of regions")?, features)
}
