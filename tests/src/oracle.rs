//! The second opinion: reads inputs and shards with none of the code under test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64_simd::STANDARD;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};

/// What one row must hold, as far as the oracle looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Features as the input has them.
    pub features: Vec<u8>,
    /// Boxes as the input has them.
    pub boxes: Vec<u8>,
    /// Texts in file order.
    pub texts: Vec<String>,
}

/// A picture's word-tag-region triples, as far as people wrote them: captions in file order, and each box with its class.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Triples {
    /// Captions.
    pub texts: Vec<String>,
    /// Class and corners x1, y1, x2, y2 in pixels.
    pub boxes: Vec<(String, [f32; 4])>,
}

/// Triples by picture id, from captions and instances in COCO's layouts.
pub fn annotated(captions: &Path, instances: &Path) -> Result<BTreeMap<u64, Triples>> {
    let read = |path: &Path| -> Result<serde_json::Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let (captions, instances) = (read(captions)?, read(instances)?);
    let list = |value: &serde_json::Value, key: &str| value[key].as_array().cloned().context(key.to_string());
    let id = |value: &serde_json::Value, key: &str| value[key].as_u64().context(key.to_string());
    let mut classes = BTreeMap::new();
    for category in list(&instances, "categories")? {
        classes.insert(id(&category, "id")?, category["name"].as_str().context("name")?.to_string());
    }
    let mut rows: BTreeMap<u64, Triples> = BTreeMap::new();
    for image in list(&captions, "images")? {
        rows.entry(id(&image, "id")?).or_default();
    }
    for caption in list(&captions, "annotations")? {
        let text = caption["caption"].as_str().context("caption")?.to_string();
        rows.entry(id(&caption, "image_id")?).or_default().texts.push(text);
    }
    for annotation in list(&instances, "annotations")? {
        let number = |at: usize| annotation["bbox"][at].as_f64().context("bbox");
        let [x, y, width, height] = [number(0)?, number(1)?, number(2)?, number(3)?];
        let corners = [x, y, x + width, y + height].map(|corner| corner as f32);
        let class = classes[&id(&annotation, "category_id")?].clone();
        rows.entry(id(&annotation, "image_id")?).or_default().boxes.push((class, corners));
    }
    Ok(rows)
}

/// Triples by picture id, from every shard file that the newest manifest of `dataset` lists.
///
/// A picture that comes twice is an error, and so are numbers of regions, boxes, tags and vectors that do not agree.
pub fn triples(dataset: &Path) -> Result<BTreeMap<u64, Triples>> {
    let mut rows = BTreeMap::new();
    for name in shard_names(dataset)? {
        let reader = SerializedFileReader::new(File::open(dataset.join(&name))?)?;
        for row in reader.get_row_iter(None)? {
            let row = row?;
            let (id, Expected { features, boxes, texts }) = read_row(&row)?;
            let corners: Vec<[f32; 4]> = boxes
                .as_chunks::<16>()
                .0
                .iter()
                .map(|rect| {
                    std::array::from_fn(|at| f32::from_le_bytes([0, 1, 2, 3].map(|byte| rect[4 * at + byte])))
                })
                .collect();
            let tags = read_tags(&row)?;
            ensure!(tags.len() == corners.len() || tags.is_empty(), "{id}: {} tags", tags.len());
            ensure!(
                !features.is_empty() && features.len() % (4 * corners.len()) == 0,
                "{id}: a vector a region"
            );
            let triples = Triples { texts, boxes: tags.into_iter().zip(corners).collect() };
            // COCO's pictures are called by their number, perhaps behind the name of their split.
            let number: u64 = id.rsplit('_').next().unwrap_or(&id).parse().with_context(|| id.clone())?;
            ensure!(rows.insert(number, triples).is_none(), "{id} is doubled");
        }
    }
    Ok(rows)
}

/// The names of a picture's tags, each of which must belong to the region of its number.
fn read_tags(row: &Row) -> Result<Vec<String>> {
    let Some(Field::Group(picture)) = row.get_list(3)?.elements().first() else {
        anyhow::bail!("a picture is a struct")
    };
    let tags = picture.get_column_iter().find(|(name, _)| *name == "tags");
    let Some((_, Field::ListInternal(tags))) = tags else { anyhow::bail!("tags are a list") };
    let mut names = Vec::new();
    for tag in tags.elements() {
        let Field::Group(tag) = tag else { anyhow::bail!("a tag is a struct") };
        let mut name = None;
        for (key, field) in tag.get_column_iter() {
            match (key.as_str(), field) {
                ("name", Field::Str(text)) => name = Some(text.clone()),
                ("box", Field::Int(region)) => ensure!(*region as usize == names.len(), "tags out of order"),
                _ => {}
            }
        }
        names.push(name.context("a tag has a name")?);
    }
    Ok(names)
}

/// Rows by picture id, from a feature TSV of ten columns and captions in COCO's layout.
pub fn expected(features: &Path, captions: Option<&Path>) -> Result<BTreeMap<String, Expected>> {
    let mut texts: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    if let Some(path) = captions {
        let value: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        for annotation in value["annotations"].as_array().context("annotations")? {
            let id = annotation["image_id"].as_u64().context("image_id")?;
            texts.entry(id).or_default().push(annotation["caption"].as_str().context("caption")?.to_string());
        }
    }
    let mut rows = BTreeMap::new();
    for line in fs::read_to_string(features)?.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        ensure!(columns.len() == 10, "{} columns", columns.len());
        let decode = |text: &str| STANDARD.decode_to_vec(text).map_err(|error| anyhow::anyhow!("{error}"));
        let number: u64 = columns[0].rsplit('_').next().context("id")?.parse()?;
        let row = Expected {
            features: decode(columns[9])?,
            boxes: decode(columns[8])?,
            texts: texts.remove(&number).unwrap_or_default(),
        };
        rows.insert(columns[0].to_string(), row);
    }
    Ok(rows)
}

/// Rows by picture id, from every shard file that the newest manifest of `dataset` lists.
///
/// A key that comes twice is an error: nothing may be doubled.
pub fn found(dataset: &Path) -> Result<BTreeMap<String, Expected>> {
    let mut rows = BTreeMap::new();
    for name in shard_names(dataset)? {
        let reader = SerializedFileReader::new(File::open(dataset.join(&name))?)?;
        for row in reader.get_row_iter(None)? {
            let row = row?;
            let (id, content) = read_row(&row)?;
            ensure!(rows.insert(id.clone(), content).is_none(), "{id} is doubled");
        }
    }
    Ok(rows)
}

/// The shards of the newest manifest in order.
pub fn shard_names(dataset: &Path) -> Result<Vec<String>> {
    let mut newest = None;
    for version in 0.. {
        let path = dataset.join(format!("manifest-{version}.json"));
        if !path.exists() {
            break;
        }
        newest = Some(path);
    }
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(newest.context("no manifest")?)?)?;
    let shards = manifest["shards"].as_array().context("shards")?;
    shards.iter().map(|shard| Ok(shard["name"].as_str().context("name")?.to_string())).collect()
}

/// Every file of a data set that readers see, by name.
pub fn published_files(dataset: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for folder in ["", "rejects", "_receipts"] {
        let path = dataset.join(folder);
        if !path.exists() {
            continue;
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && name != "_lock" {
                files.insert(format!("{folder}/{name}"), fs::read(entry.path())?);
            }
        }
    }
    Ok(files)
}

fn read_row(row: &Row) -> Result<(String, Expected)> {
    let images = row.get_list(3)?;
    ensure!(images.len() == 1, "{} pictures", images.len());
    let Some(Field::Group(picture)) = images.elements().first() else {
        anyhow::bail!("a picture is a struct")
    };
    let mut id = None;
    let mut content = Expected { features: Vec::new(), boxes: Vec::new(), texts: Vec::new() };
    for (name, field) in picture.get_column_iter() {
        match (name.as_str(), field) {
            ("image_id", Field::Str(text)) => id = Some(text.clone()),
            ("features", Field::Bytes(bytes)) => content.features = bytes.data().to_vec(),
            ("boxes", Field::Bytes(bytes)) => content.boxes = bytes.data().to_vec(),
            _ => {}
        }
    }
    for text in row.get_list(4)?.elements() {
        let Field::Group(text) = text else { anyhow::bail!("a text is a struct") };
        content.texts.push(text.get_string(2)?.clone());
    }
    Ok((id.context("a picture has an id")?, content))
}
