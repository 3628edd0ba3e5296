//! LXMERT's feature files (airsplay's extractor): boxes, vectors, and a class and an attribute a region.

use std::path::{Path, PathBuf};

use data_specs::{Picture, Tag};

use super::block::{RegionBlock, columns, f32_rows, i64s, number, pixels};
use super::boxes::check_boxes;
use super::class_list::ClassList;
use super::layout::LayoutSearch;
use super::single_tsv::scan_single_tsv;
use super::{FeatureFormat, FeatureLayout, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::Error;
use crate::inputs::ScanContext;
use crate::reject::RejectReason;

/// TSV of LXMERT, one picture a line, ten columns (n regions, all numbers little-endian in base64):
///
/// | column | content |
/// |---|---|
/// | `img_id` | the id as the file has it (`COCO_train2014_000000132417`) |
/// | `img_h`, `img_w` | pixels; height first |
/// | `objects_id`, `objects_conf` | n x i64 class, n x f32 confidence |
/// | `attrs_id`, `attrs_conf` | n x i64 attribute, n x f32 confidence |
/// | `num_boxes` | n |
/// | `boxes` | n x 4 f32, corners in pixels |
/// | `features` | n x D f32 |
///
/// Class and attribute numbers count from 0 without the background, as the lines of the Visual Genome
/// lists do; the name is the whole line (`sidewalk,side walk`). Tag i belongs to region i.
#[derive(Debug)]
pub struct LxmertTsv {
    paths: Vec<PathBuf>,
    objects: Option<ClassList>,
    attributes: Option<ClassList>,
    /// Lists that were looked for beside the features and are not there.
    absent: Vec<PathBuf>,
    origin: String,
}

impl LxmertTsv {
    /// Feature files in order, and the lists that name their classes.
    ///
    /// A list that is not given is looked for beside the first file: `vg_objects_vocab.txt` or
    /// `objects_vocab.txt`, `vg_attributes_vocab.txt` or `attributes_vocab.txt`. Without one there are
    /// no tags, or no attributes, and the scan warns. `origin` is what tags say of their source (`vg`).
    ///
    /// # Errors
    /// A list that is given and cannot be read, or is no list of names.
    pub fn new(
        paths: Vec<PathBuf>,
        classes: Option<&Path>,
        attributes: Option<&Path>,
        origin: &str,
    ) -> Result<LxmertTsv, Error> {
        let folder = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let mut absent = Vec::new();
        let mut list = |given: Option<&Path>, names: [&str; 2]| {
            if let Some(path) = given {
                return ClassList::read(path).map(Some);
            }
            for path in names.map(|name| folder.join(name)) {
                if path.exists() {
                    return ClassList::read(&path).map(Some);
                }
                absent.push(path);
            }
            Ok(None)
        };
        let objects = list(classes, OBJECT_LISTS)?;
        let attributes = list(attributes, ATTRIBUTE_LISTS)?;
        Ok(LxmertTsv { paths, objects, attributes, absent, origin: origin.to_string() })
    }

    fn named(
        &self,
        list: Option<&ClassList>,
        (ids, id_name): (&[u8], &str),
        (scores, score_name): (&[u8], &str),
        regions: u32,
    ) -> Result<Vec<Tag>, RejectReason> {
        // The columns are checked whether or not there are names for them.
        let ids = i64s(ids, regions, id_name)?;
        let scores = f32_rows::<1>(scores, regions, score_name)?;
        let Some(list) = list else { return Ok(vec![]) };
        let tag = |(region, (&id, &[score])): (usize, (&i64, &[f32; 1]))| {
            Ok(Tag {
                name: list.name(id)?.to_string(),
                score: Some(score),
                region: Some(region as i32),
                rect: None,
                origin: self.origin.clone(),
            })
        };
        ids.iter().zip(&scores).enumerate().map(tag).collect()
    }
}

const OBJECT_LISTS: [&str; 2] = ["vg_objects_vocab.txt", "objects_vocab.txt"];
const ATTRIBUTE_LISTS: [&str; 2] = ["vg_attributes_vocab.txt", "attributes_vocab.txt"];

impl FeatureFormat for LxmertTsv {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        let mut search = LayoutSearch::new(false);
        let mut inputs = Vec::new();
        for path in &self.paths {
            let input = context.first_input + inputs.len() as u16;
            inputs.push(scan_single_tsv(context, path, input, None, (&mut search, read_block), found)?);
        }
        for list in [&self.objects, &self.attributes].into_iter().flatten() {
            inputs.push(list.input()?);
        }
        let mut warnings = Vec::new();
        for (list, what, option, names) in [
            (&self.objects, "tags", "classes", OBJECT_LISTS),
            (&self.attributes, "attributes", "attributes", ATTRIBUTE_LISTS),
        ] {
            if list.is_none() {
                let [one, other] = names;
                warnings.push(format!(
                    "no class list: rows get no {what}; set `{option}`, or put {one} or {other} beside the features"
                ));
            }
        }
        let first = self.paths.first().map_or(Path::new("lxmert-tsv"), PathBuf::as_path);
        Ok(ScannedFeatures {
            absent: self.absent.clone(),
            ..ScannedFeatures::imported(inputs, search.finish(first)?, warnings)
        })
    }

    fn decode(
        &self,
        layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let [
            _,
            height,
            width,
            objects,
            object_scores,
            attributes,
            attribute_scores,
            regions,
            boxes,
            features,
        ] = columns::<10>(&parts[0])?;
        let (width, height) = (pixels(width, "img_w")?, pixels(height, "img_h")?);
        let regions = number(regions, "num_boxes")?;
        let boxes = f32_rows::<4>(boxes, regions, "boxes")?;
        check_boxes(&boxes, Some([width as f32, height as f32]))?;
        let tags = self.named(
            self.objects.as_ref(),
            (objects, "objects_id"),
            (object_scores, "objects_conf"),
            regions,
        )?;
        let attributes = self.named(
            self.attributes.as_ref(),
            (attributes, "attrs_id"),
            (attribute_scores, "attrs_conf"),
            regions,
        )?;
        Ok(Picture {
            image_id: record.id.clone(),
            width: Some(width),
            height: Some(height),
            regions,
            boxes: Some(boxes),
            features: RegionBlock::from_base64(regions, features)?.into_features(layout.width)?,
            tags,
            attributes,
            ..Picture::default()
        })
    }
}

fn read_block(line: &[u8]) -> Result<RegionBlock, RejectReason> {
    let [.., regions, _, features] = columns::<10>(line)?;
    RegionBlock::from_base64(number(regions, "num_boxes")?, features)
}
