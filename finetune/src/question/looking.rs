//! From a picture, or a file of regions, to what a row has of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_specs::{EncodedImage, Picture};
use finetune_harness::{Error, Result};
use finetune_regions::decoding::{self, Limits, decode};
use finetune_regions::detector::Detector;
use finetune_regions::{Grid, Naming, thumbnail};
use serde::Serialize;

use super::given;
use super::reads::Reads;

/// Where regions come from.
#[derive(Debug, Clone, Default)]
pub struct Looking {
    /// A detector's folder.
    pub detector: Option<PathBuf>,
    /// Whether the cells of its map are the regions, instead of what it finds.
    pub grid: bool,
    /// Files of regions, one a picture, instead of a detector.
    pub regions: Vec<PathBuf>,
}

/// What looks at pictures for a model.
pub(super) struct Looker<'a> {
    looking: &'a Looking,
    detector: Option<Detector>,
    pub(super) reads: Reads,
    pub(super) timings: Timings,
}

/// How long each part of an answer took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Reading and decoding pictures.
    pub decode: f64,
    /// Loading the detector.
    pub load: f64,
    /// Finding regions, or reading the file of them.
    pub detect: f64,
    /// The task's model, with loading it.
    pub model: f64,
}

/// The longer side of what is kept of a picture that is only shown.
const SHOWN: u32 = 256;

impl<'a> Looker<'a> {
    /// Opens the detector, if there is one, for a model.
    ///
    /// # Errors
    /// A folder that is no model's or no detector's; vectors of another width than the model's.
    pub(super) fn open(model: &Path, looking: &'a Looking) -> Result<Looker<'a>> {
        let reads = Reads::of(model)?;
        let started = Instant::now();
        let detector = match &looking.detector {
            None => None,
            Some(folder) => {
                let detector = Detector::open(folder).map_err(|error| of_detector(folder, &error))?;
                reads.require(detector.feature_width(), folder)?;
                Some(detector)
            }
        };
        let timings = Timings { load: seconds(started.elapsed()), ..Timings::default() };
        Ok(Looker { looking, detector, reads, timings })
    }

    /// Regions of the `number`th picture of the question.
    ///
    /// # Errors
    /// A picture that cannot be read or decoded, with the reason; regions that do not fit it or the model.
    pub(super) fn look(&mut self, image: Option<&Path>, number: usize) -> Result<Picture> {
        let regions = self.looking.regions.get(number).map(PathBuf::as_path);
        self.look_with(image, regions)
    }

    /// Regions of a picture, out of a file of them, if there is one.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn look_with(&mut self, image: Option<&Path>, regions: Option<&Path>) -> Result<Picture> {
        let name = image.or(regions).ok_or_else(|| setting("--image", "is not given"))?;
        let id = name.file_name().unwrap_or(name.as_os_str()).to_string_lossy().into_owned();
        let started = Instant::now();
        let decoded = image.map(pixels).transpose()?;
        self.timings.decode += seconds(started.elapsed());
        let started = Instant::now();
        let picture = match (regions, &self.detector, &decoded) {
            (Some(path), ..) => {
                let size = decoded.as_ref().map(|(_, pixels)| [pixels.width, pixels.height]);
                let read = given::read(path, &id, size, &self.reads.origin)?;
                if let Some(width) = read.width {
                    self.reads.require(width, path)?;
                }
                read.picture
            }
            (None, Some(detector), Some((_, pixels))) => {
                let naming = Naming {
                    classes: detector.class_names(),
                    attributes: detector.attribute_names(),
                    origin: &self.reads.origin,
                };
                let size = [pixels.width, pixels.height];
                let refused = |error: finetune_regions::Error| of_picture(name, &error);
                if self.looking.grid {
                    detector.grid(pixels).map_err(refused)?.describe(&id, size, naming, Grid::SCORE)
                } else {
                    detector.detect(pixels).map_err(refused)?.describe(&id, size, naming)
                }
            }
            (None, Some(_), None) => return Err(setting("--image", "is not given")),
            (None, None, _) => {
                return Err(setting("--detector", "is not given, nor --regions for each picture"));
            }
        };
        self.timings.detect += seconds(started.elapsed());
        let kept = decoded.map(|(bytes, _)| EncodedImage { bytes: Some(Bytes::from(bytes)), path: None });
        Ok(Picture { image: kept, ..picture })
    }

    /// Runs the model, and notes how long it took.
    pub(super) fn timed<T>(&mut self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = run();
        self.timings.model += seconds(started.elapsed());
        result
    }
}

/// A picture's file and its pixels.
pub(super) fn pixels(path: &Path) -> Result<(Vec<u8>, decoding::Picture)> {
    let bytes = std::fs::read(path).map_err(data_specs::Error::io("read", path))?;
    let decoded = decode(&bytes, &Limits::default()).map_err(|error| of_picture(path, &error))?;
    Ok((bytes, decoded))
}

/// A smaller copy of a row's picture in place of its file: where many are asked about, and few are shown.
pub(super) fn shrink(picture: &mut Picture) {
    let Some(bytes) = picture.image.as_ref().and_then(|image| image.bytes.clone()) else { return };
    let small = decode(&bytes, &Limits::default()).and_then(|pixels| thumbnail(&pixels, SHOWN));
    picture.image = small.ok().map(|bytes| EncodedImage { bytes: Some(bytes.into()), path: None });
}

fn of_picture(path: &Path, error: &finetune_regions::Error) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        field: "the picture".to_owned(),
        problem: format!("is refused: {error}"),
        hint: "JPEG, PNG, WebP, GIF and BMP are read".to_owned(),
    }
}

fn of_detector(folder: &Path, error: &finetune_regions::Error) -> Error {
    Error::Unfit {
        path: folder.to_owned(),
        field: "the detector".to_owned(),
        problem: format!("is refused: {error}"),
        hint: "name a folder that `finetune detector train` or `convert` wrote".to_owned(),
    }
}

fn setting(key: &str, problem: &str) -> Error {
    let hint = "give --image with --detector, or --regions with a file for each picture".to_owned();
    Error::Setting { key: key.to_owned(), problem: problem.to_owned(), hint }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
