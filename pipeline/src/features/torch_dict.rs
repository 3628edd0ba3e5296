//! Torch dictionaries of Oscar's first generation: picture id to tensor, picture id to labels.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use data_specs::Picture;
use serde_json::{Map, json};
use tempfile::NamedTempFile;
use torch_files::{Dict, Dtype, TorchFile, Value};

use super::block::RegionBlock;
use super::geometry::picture_with_positions;
use super::layout::LayoutSearch;
use super::object_labels::{Labels, tags};
use super::rows::{broken, rejected, scan_whole};
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::Error;
use crate::inputs::{Input, InputFile, ScanContext, Span};
use crate::reject::{Code, RejectReason};

/// What `torch.save` wrote for VQA, GQA and NLVR2 (`*_img_frcnn_feats.pt`) and for retrieval
/// (`{split}_img_{type}_feats.pt` with `{split}_{vg|gt|oid}_labels.pt`):
///
/// | file | content |
/// |---|---|
/// | features | dict of picture id (text or number) to f32 tensor n x (D + 6), the last six the position |
/// | labels (optional) | dict of picture id to labels |
///
/// The labels of a picture are a list of `{"class", "conf"?, "rect"?}`, a list of names, a JSON text of
/// either, or plain text. Plain text is one tag: where its names end is not known, and Oscar joins
/// names by spaces anyway. Tags belong to no region.
///
/// Tensors are read from their place in the file, so each must lie there as it is: f32, row-major, not
/// compressed. Labels cannot be read by place and are derived into one JSON line a picture. The sizes of
/// pictures are not known, so there are positions but no pixel boxes.
#[derive(Debug, Clone)]
pub struct TorchDict {
    /// The feature files, in order.
    pub paths: Vec<PathBuf>,
    /// The label files; together they have an entry for every picture, or there are none.
    pub labels: Vec<PathBuf>,
    /// What tags say of their source (`vg`).
    pub origin: String,
}

impl FeatureFormat for TorchDict {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut inputs = Vec::new();
        for path in self.paths.iter().chain(&self.labels) {
            inputs.push(scan_whole(context, path)?);
        }
        let mut labels = None;
        if !self.labels.is_empty() {
            let derived = context.first_input + inputs.len() as u16;
            let (lines, input) = LabelLines::derive(context, &self.labels, derived)?;
            labels = Some(lines);
            inputs.push(input);
        }
        let mut search = LayoutSearch::new(true);
        for (index, path) in self.paths.iter().enumerate() {
            let number = context.first_input + index as u16;
            scan_tensors(context, path, number, labels.as_mut(), &mut search, found)?;
        }
        let mut warnings = Vec::new();
        if let Some(unused) = labels.map(|labels| labels.lines.len() - labels.used).filter(|&n| n > 0) {
            warnings.push(format!("{unused} label entries are of pictures without features"));
        }
        let first = self.paths.first().map_or(Path::new("torch-dict"), PathBuf::as_path);
        Ok(ScannedFeatures::imported(inputs, search.finish(first)?, warnings))
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let [regions, _] = record.shape.unwrap_or_default();
        let block = RegionBlock { regions, bytes: parts[0].clone() };
        let found = match parts.get(1) {
            Some(json) => tags(&Labels::parse(json, "labels")?.objects, &self.origin)?,
            None => vec![],
        };
        picture_with_positions(&record.id, block, layout, None, found)
    }
}

fn scan_tensors(
    context: ScanContext<'_>,
    path: &Path,
    number: u16,
    mut labels: Option<&mut LabelLines>,
    search: &mut LayoutSearch,
    found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
) -> Result<(), Error> {
    let file = open(path)?;
    let bytes = InputFile::open(path)?;
    for (key, value) in &dictionary(path, &file)?.entries {
        let id = picture_id(path, key)?;
        let (span, shape) = place(path, &file, number, &id, value)?;
        let mut spans = vec![span];
        let refused = match &mut labels {
            None => None,
            Some(labels) => match labels.of(&id) {
                Some(Ok(line)) => {
                    spans.push(line);
                    None
                }
                Some(Err(reason)) => Some(reason),
                None => {
                    Some(RejectReason::new(Code::IdMismatch, "the labels have no entry for this picture"))
                }
            },
        };
        if let Some(reason) = refused {
            found(rejected(context, path, 0, &id, reason))?;
            continue;
        }
        search.offer(path, 0, || Ok(Ok(RegionBlock { regions: shape[0], bytes: bytes.read(span)? })))?;
        found(ScannedPicture::Record(PictureRecord { id, source: None, spans, shape: Some(shape) }))?;
    }
    Ok(())
}

/// Where a picture's tensor lies in the file.
fn place(
    path: &Path,
    file: &TorchFile,
    input: u16,
    id: &str,
    value: &Value,
) -> Result<(Span, [u32; 2]), Error> {
    let refuse =
        |what: String, hint: &str| Err(broken(path, None, format!("the entry of picture {id} {what}"), hint));
    let Some(tensor) = value.as_tensor() else {
        return refuse("is no tensor".into(), "name a dictionary of picture id to feature tensor");
    };
    let small = |number: u64| u32::try_from(number).ok();
    let shape = match *tensor.shape() {
        [regions, columns] => small(regions).zip(small(columns)).zip(small(tensor.byte_len())),
        _ => None,
    };
    let Some(((regions, columns), len)) = shape else {
        let what = format!("has shape {:?}, not regions x numbers", tensor.shape());
        return refuse(what, "name a dictionary of picture id to feature tensor");
    };
    if tensor.dtype() != Dtype::Float32 {
        let what = format!("has {} numbers, not float32", tensor.dtype().name());
        return refuse(
            what,
            "save it anew: torch.save({k: v.float().contiguous() for k, v in d.items()}, path)",
        );
    }
    let Some(range) = file.byte_range(tensor) else {
        let what = "does not lie in the file as one plain run of bytes (a strided view, or compressed)";
        let hint = "save it anew: torch.save({k: v.float().contiguous() for k, v in d.items()}, path)";
        return refuse(what.into(), hint);
    };
    Ok((Span { input, offset: range.start, len, line: 0 }, [regions, columns]))
}

/// One derived JSON line for each label entry.
struct LabelLines {
    lines: HashMap<String, (Result<Span, RejectReason>, bool)>,
    used: usize,
}

impl LabelLines {
    /// Writes the labels of all `paths` beside the plan, as input number `number`.
    fn derive(
        context: ScanContext<'_>,
        paths: &[PathBuf],
        number: u16,
    ) -> Result<(LabelLines, Input), Error> {
        let target = context.derived.join(format!("labels-{number}.jsonl"));
        let create = Error::io("create", &target);
        let mut writer = BufWriter::new(NamedTempFile::new_in(context.derived).map_err(create)?);
        let (mut lines, mut offset, mut line) = (HashMap::new(), 0, 0);
        for path in paths {
            let file = open(path)?;
            for (key, value) in &dictionary(path, &file)?.entries {
                let id = picture_id(path, key)?;
                let place = objects(value).and_then(|json| {
                    let len = u32::try_from(json.len()).ok();
                    len.map(|len| (json, len)).ok_or_else(|| shape("more than 4 GiB".into()))
                });
                let place = match place {
                    Err(reason) => Err(reason),
                    Ok((json, len)) => {
                        writeln!(writer, "{json}").map_err(Error::io("write", &target))?;
                        line += 1;
                        let span = Span { input: number, offset, len, line };
                        offset += u64::from(len) + 1;
                        Ok(span)
                    }
                };
                if lines.insert(id.clone(), (place, false)).is_some() {
                    let what = format!("picture {id} has labels for the second time");
                    return Err(broken(path, None, what, "name label files that do not overlap"));
                }
            }
        }
        let temporary = writer.into_inner().map_err(|error| Error::io("write", &target)(error.into()))?;
        temporary.as_file().sync_all().map_err(Error::io("write", &target))?;
        temporary.persist(&target).map_err(|error| Error::io("rename", &target)(error.error))?;
        Ok((LabelLines { lines, used: 0 }, scan_whole(context, &target)?))
    }

    fn of(&mut self, id: &str) -> Option<Result<Span, RejectReason>> {
        let (place, used) = self.lines.get_mut(id)?;
        self.used += usize::from(!*used);
        *used = true;
        Some(place.clone())
    }
}

/// The labels of one picture as the JSON that other formats have.
fn objects(value: &Value) -> Result<String, RejectReason> {
    if let Some(text) = value.as_str() {
        let text = text.trim();
        return match text.as_bytes().first() {
            None => Ok("[]".into()),
            // Parsed when it is decoded; here it only has to stay one line.
            Some(b'[' | b'{') => serde_json::from_str::<serde_json::Value>(text)
                .map(|json| json.to_string())
                .map_err(|error| RejectReason::new(Code::BadJson, format!("labels: {error}"))),
            Some(_) => Ok(json!([{ "class": text }]).to_string()),
        };
    }
    let items = value.as_items().ok_or_else(|| shape("neither a list nor text".into()))?;
    let object = |(index, item): (usize, &Value)| {
        if let Some(name) = item.as_str() {
            return Ok(json!({ "class": name }));
        }
        let refuse = |what: &str| shape(format!("object {index} {what}"));
        let dict = item.as_dict().ok_or_else(|| refuse("is neither a name nor a dictionary"))?;
        let class = dict.get("class").and_then(Value::as_str).ok_or_else(|| refuse("has no class"))?;
        let mut object = Map::from_iter([("class".to_string(), json!(class))]);
        if let Some(conf) = dict.get("conf") {
            let conf = conf.as_float().filter(|conf| conf.is_finite());
            object.insert("conf".into(), json!(conf.ok_or_else(|| refuse("has a conf that is no number"))?));
        }
        if let Some(rect) = dict.get("rect").filter(|rect| !matches!(rect, Value::None)) {
            let sides: Option<Vec<f64>> =
                rect.as_items().and_then(|sides| sides.iter().map(Value::as_float).collect());
            let sides = sides.filter(|sides| sides.iter().all(|side| side.is_finite()));
            object.insert("rect".into(), json!(sides.ok_or_else(|| refuse("has a rect of no numbers"))?));
        }
        Ok(object.into())
    };
    let objects: Result<Vec<serde_json::Value>, RejectReason> =
        items.iter().enumerate().map(object).collect();
    Ok(serde_json::Value::from(objects?).to_string())
}

fn shape(what: String) -> RejectReason {
    RejectReason::new(Code::BadJson, format!("labels: {what}"))
}

fn open(path: &Path) -> Result<TorchFile, Error> {
    TorchFile::open(path).map_err(|error| match error {
        torch_files::Error::Io { source, .. } => Error::io("read", path)(source),
        error => {
            broken(path, None, error.to_string(), "check that this is the file that torch.save wrote, whole")
        }
    })
}

fn dictionary<'a>(path: &Path, file: &'a TorchFile) -> Result<&'a Dict, Error> {
    file.root().as_dict().ok_or_else(|| {
        let hint = "name a file that torch.save wrote of a dictionary with picture ids as keys";
        broken(path, None, "holds no dictionary", hint)
    })
}

/// A key as text: Oscar's captioning and retrieval sets use numbers, NLVR2 names.
fn picture_id(path: &Path, key: &Value) -> Result<String, Error> {
    let id = match key {
        Value::Str(text) => text.trim().to_string(),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    };
    if !id.is_empty() {
        return Ok(id);
    }
    let hint = "name a file that torch.save wrote of a dictionary with picture ids as keys";
    Err(broken(path, None, format!("has the key {key:?}, which is no picture id"), hint))
}
