//! Region features computed from pictures: boxes that people drew, the cells of a backbone's last map, or what a detector
//! finds.

mod detecting;
mod network;
mod sight;

use std::path::PathBuf;

use bytes::Bytes;
use data_specs::{CorpusSpec, EncodedImage, KeepImage, Picture, Provider};
use finetune_regions::decoding::{self, Limits};
use finetune_regions::{Error as PictureError, thumbnail};

use super::{FeatureFormat, FeatureLayout, Found, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::boxes::{BoxFormat, BoxTable, PictureBoxes};
use crate::inputs::{Input, ScanContext};
use crate::pictures::{FoundPicture, Likenesses, PictureFile, PictureSource};
use crate::plan::Ids;
use crate::reject::{Code, RejectReason};
use crate::sources::{needed, spec_error};
use crate::{Error, boxes, pictures};
use network::Network;
use sight::Sight;

/// The longer side of what a row keeps of a picture to look at.
const THUMBNAIL: u32 = 256;
/// Cells of a picture of usual shape, 600 x 800 pixels: only the size of shards is planned with it.
const USUAL_CELLS: u32 = 475;
/// What tags say of their source.
const ANNOTATED: &str = "annotated";
const CLASSIFIER: &str = "classifier";
const DETECTOR: &str = "detector";

/// Pictures, what people drew in them, and what looks at them.
pub(crate) struct Computed {
    pictures: Box<dyn PictureSource>,
    boxes: Option<(Box<dyn BoxFormat>, PathBuf)>,
    sight: Sight,
    ids: Ids,
    keep: KeepImage,
    origin: String,
    likenesses: Likenesses,
}

impl Computed {
    /// What the sections `images`, `boxes` and `regions` of a spec say.
    ///
    /// # Errors
    /// Paths and weights that are not set, keys that do not fit together.
    pub(crate) fn of(spec: &CorpusSpec) -> Result<Computed, Error> {
        let (Some(images), Some(regions)) = (&spec.images, &spec.regions) else {
            let what = "is not set, and nor are [images] and [regions]".to_string();
            return Err(spec_error("features.format".into(), what, spec.how_to_set("features.format")));
        };
        let path = needed(&images.path, "images.path", spec)?;
        let boxes = match (regions.provider, &spec.boxes) {
            (Provider::Grid | Provider::Detector, _) => None,
            (Provider::Boxes | Provider::Crops | Provider::None, None) => {
                let what = "is missing, and regions.provider takes its regions from there".to_string();
                return Err(spec_error(
                    "boxes".into(),
                    what,
                    "--set regions.provider=grid needs none, nor does --set regions.detector=DIR".into(),
                ));
            }
            (Provider::Boxes | Provider::Crops | Provider::None, Some(boxes)) => {
                let path = needed(&boxes.path, "boxes.path", spec)?;
                Some((boxes::format(boxes, &path, spec.ids)?, path))
            }
        };
        let default = match regions.provider {
            Provider::Boxes | Provider::Crops | Provider::None => ANNOTATED,
            Provider::Grid if regions.detector.is_none() => CLASSIFIER,
            Provider::Grid | Provider::Detector => DETECTOR,
        };
        Ok(Computed {
            pictures: pictures::source(images, &path)?,
            boxes,
            sight: Sight::of(spec, regions)?,
            ids: Ids(spec.ids),
            keep: images.keep,
            origin: regions.tag_origin.clone().unwrap_or_else(|| default.to_string()),
            likenesses: Likenesses {
                folders: spec.exclude.pictures.clone(),
                distance: spec.exclude.distance,
            },
        })
    }
}

impl FeatureFormat for Computed {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedPicture) -> Result<(), Error>,
    ) -> Result<ScannedFeatures, Error> {
        self.load()?;
        let mut inputs: Vec<Input> = Vec::new();
        let mut warnings = Vec::new();
        let mut places = None;
        if let Some((format, path)) = &self.boxes {
            let mut table = BoxTable::new(self.ids);
            inputs.extend(format.scan(context, &mut table)?);
            warnings.extend(table.warnings(path));
            let number = context.first_input + inputs.len() as u16;
            let (lines, input) = table.write(&context.derived.join("boxes.jsonl"), number)?;
            inputs.push(input);
            places = Some(lines);
        }
        let [width, usual] = self.sight.shape()?;
        let mut seen = Vec::new();
        let mut annotated = 0;
        let next = ScanContext { first_input: context.first_input + inputs.len() as u16, ..context };
        let scanned = self.pictures.scan(next, &mut |picture| match picture {
            FoundPicture::Reject(reject) => found(ScannedPicture::Reject(reject)),
            FoundPicture::Picture { id, span } => {
                let mut record = PictureRecord { id, source: None, spans: vec![span], shape: None };
                let mut regions = usual;
                if let Some(places) = &places {
                    let place = places.get(&*self.ids.normal(&record.id));
                    regions = place.map_or(1, |(_, boxes)| (*boxes).max(1));
                    annotated += usize::from(place.is_some());
                    record.spans.extend(place.map(|(span, _)| *span));
                }
                record.shape = Some([regions, width]);
                if !self.likenesses.folders.is_empty() {
                    seen.push((record.id.clone(), span));
                }
                found(ScannedPicture::Record(record))
            }
        })?;
        inputs.extend(scanned.inputs.iter().cloned());
        warnings.extend(scanned.warnings);
        let mut folders = scanned.folders;
        if let Some(without) = places.map(|places| places.len() - annotated).filter(|&count| count > 0) {
            warnings.push(format!("{without} pictures of the boxes' file are not among the pictures"));
        }
        for path in self.sight.files() {
            inputs.push(Input { stamp: crate::inputs::scan_file(&path, |_| Ok(()))?, path });
        }
        warnings.extend(self.sight.warnings());
        let next = ScanContext { first_input: context.first_input + inputs.len() as u16, ..context };
        let alike = self.likenesses.find(next, self.pictures.as_ref(), &scanned.inputs, &seen)?;
        inputs.extend(alike.inputs);
        folders.extend(alike.folders);
        let computed = self.sight.told(&inputs)?;
        let layout = FeatureLayout { width, geometry: None, computed };
        Ok(ScannedFeatures { inputs, layout, warnings, absent: vec![], folders, excluded: alike.excluded })
    }

    fn prepare(&self, layout: &FeatureLayout) -> Result<(), Error> {
        self.load()?;
        self.sight.check_instructions(layout)
    }

    fn decode(
        &self,
        _layout: &FeatureLayout,
        record: &PictureRecord,
        parts: &[Vec<u8>],
    ) -> Result<Picture, RejectReason> {
        let file = self.pictures.read(parts[0].clone())?;
        let pixels = decoding::decode(&file.bytes, &Limits::default()).map_err(refusal)?;
        let image = self.kept(&file, &pixels)?;
        let picture = match &self.sight {
            Sight::Detector(detecting) => detecting.look(&record.id, &pixels, &self.origin)?,
            Sight::Network(network) if self.boxes.is_none() => {
                network.cells(&record.id, &pixels, &self.origin)?
            }
            Sight::Network(network) => self.annotated(record, &pixels, parts.get(1), Some(network))?,
            Sight::Nothing => self.annotated(record, &pixels, parts.get(1), None)?,
        };
        Ok(Picture { image, ..picture })
    }

    /// The same file and the same boxes: what is computed from them is the same then.
    fn are_equal(&self, _layout: &FeatureLayout, one: Found<'_>, other: Found<'_>) -> bool {
        let file = |found: Found<'_>| self.pictures.read(found.parts[0].clone()).map(|file| file.bytes);
        let equal = match (file(one), file(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        };
        equal && one.parts.get(1) == other.parts.get(1)
    }

    fn computes(&self) -> bool {
        true
    }

    fn picture_file(&self, parts: &[Vec<u8>]) -> Result<Option<PictureFile>, RejectReason> {
        self.pictures.read(parts[0].clone()).map(Some)
    }
}

impl Computed {
    fn load(&self) -> Result<(), Error> {
        self.sight.load()
    }

    /// A picture with the boxes that people drew in it, and what the network sees there, if there is one.
    fn annotated(
        &self,
        record: &PictureRecord,
        pixels: &decoding::Picture,
        line: Option<&Vec<u8>>,
        network: Option<&Network>,
    ) -> Result<Picture, RejectReason> {
        let boxes = match line {
            Some(line) => serde_json::from_slice(line).map_err(|error| {
                RejectReason::new(Code::BadJson, format!("the line of boxes is damaged: {error}"))
            })?,
            None => PictureBoxes { id: record.id.clone(), size: None, boxes: vec![] },
        };
        let mut picture = Picture {
            image_id: record.id.clone(),
            width: Some(pixels.width),
            height: Some(pixels.height),
            ..Picture::default()
        };
        boxes.name_regions(&mut picture, &self.origin);
        let mut rects = boxes.in_pixels(pixels.width, pixels.height)?;
        if let Some(network) = network {
            if rects.is_empty() {
                rects.push([0.0, 0.0, pixels.width as f32, pixels.height as f32]);
            }
            let vectors = network.vectors(pixels, &rects)?;
            finite(&vectors)?;
            picture.features = Bytes::from_iter(vectors.into_iter().flat_map(f32::to_le_bytes));
        }
        picture.regions = rects.len() as u32;
        picture.boxes = Some(rects);
        Ok(picture)
    }

    fn kept(
        &self,
        file: &PictureFile,
        pixels: &decoding::Picture,
    ) -> Result<Option<EncodedImage>, RejectReason> {
        let bytes = match self.keep {
            KeepImage::None => None,
            KeepImage::Thumbnail => Some(thumbnail(pixels, THUMBNAIL).map_err(refusal)?.into()),
            KeepImage::Full => return Ok(Some(file.whole())),
        };
        Ok(Some(EncodedImage { bytes, path: file.path.clone() }))
    }
}

/// Whether numbers can stand in a row.
fn finite(vectors: &[f32]) -> Result<(), RejectReason> {
    match vectors.iter().position(|x| !x.is_finite()) {
        Some(at) => {
            let message = format!("number {at} of the computed features is {}", vectors[at]);
            Err(RejectReason::new(Code::NonFinite, message))
        }
        None => Ok(()),
    }
}

/// A picture's trouble as a reject.
pub(crate) fn refusal(error: PictureError) -> RejectReason {
    let code = match &error {
        PictureError::Truncated { .. } => Code::PictureTruncated,
        PictureError::TooLarge { .. } => Code::PictureTooLarge,
        PictureError::UnknownFormat { .. } | PictureError::Unsupported { .. } => Code::PictureUnsupported,
        PictureError::DecoderPanicked { .. } => Code::DecoderPanic,
        _ => Code::PictureMalformed,
    };
    RejectReason::new(code, error.to_string())
}
