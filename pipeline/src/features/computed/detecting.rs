//! The detector of a spec.

use std::path::PathBuf;
use std::sync::OnceLock;

use data_specs::{Computed as Told, Picture, Provider, RegionsSpec, canonical_json};
use finetune_regions::detector::Detector;
use finetune_regions::{Naming, decoding, instructions};

use super::{USUAL_CELLS, refusal};
use crate::Error;
use crate::reject::{Code, RejectReason};
use crate::sources::spec_error;

/// A detector that is loaded when it is first needed: not every command looks.
pub(super) struct Detecting {
    folder: PathBuf,
    /// Least probability of a tag, where the cells of its map are the regions and not what it finds.
    cells: Option<f32>,
    detector: OnceLock<Detector>,
}

impl Detecting {
    /// That of the folder, which the spec is known to name.
    pub(super) fn of(regions: &RegionsSpec) -> Detecting {
        Detecting {
            folder: regions.detector.clone().unwrap_or_default(),
            cells: (regions.provider == Provider::Grid).then_some(regions.tag_score),
            detector: OnceLock::new(),
        }
    }

    /// The detector, loaded if that was not done yet.
    pub(super) fn detector(&self) -> Result<&Detector, Error> {
        if let Some(detector) = self.detector.get() {
            return Ok(detector);
        }
        let detector = Detector::open(&self.folder).map_err(|error| {
            let hint = "name a folder that `finetune detector train` or `convert` wrote".into();
            spec_error("regions.detector".into(), error.to_string(), hint)
        })?;
        // Two threads may both have loaded: equal detectors, of which one stays.
        Ok(self.detector.get_or_init(|| detector))
    }

    /// The files that decide what it sees.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        Detector::files(&self.folder)
    }

    /// Numbers of a vector, and regions of a picture at most: only the size of shards is planned with the latter.
    pub(super) fn shape(&self) -> Result<[u32; 2], Error> {
        let detector = self.detector()?;
        let regions = match self.cells {
            Some(_) => USUAL_CELLS,
            None => detector.selection().at_most as u32,
        };
        Ok([detector.feature_width() as u32, regions])
    }

    /// What the plan and the manifest say of it.
    pub(super) fn told(&self) -> Result<Told, Error> {
        let detector = self.detector()?;
        let weights = detector.fingerprint().map_err(|error| {
            spec_error("regions.detector".into(), error.to_string(), "train or convert it again".into())
        })?;
        let settings = detector.settings();
        let selection = serde_json::to_value(detector.selection()).expect("words and finite numbers");
        let provider = if self.cells.is_some() { Provider::Grid } else { Provider::Detector };
        Ok(Told {
            provider: crate::rejects_file::word(&provider),
            backbone: settings.architecture.clone(),
            weights,
            instructions: instructions(),
            precision: None,
            sides: [settings.input.short, settings.input.long_at_most],
            selection: self.cells.is_none().then(|| canonical_json(&selection)),
        })
    }

    /// What is in a picture, as a single question has it too.
    pub(super) fn look(
        &self,
        id: &str,
        pixels: &decoding::Picture,
        origin: &str,
    ) -> Result<Picture, RejectReason> {
        let detector =
            self.detector().map_err(|error| RejectReason::new(Code::ReadFailed, error.to_string()))?;
        let size = [pixels.width, pixels.height];
        let naming =
            Naming { classes: detector.class_names(), attributes: detector.attribute_names(), origin };
        match self.cells {
            Some(least) => Ok(detector.grid(pixels).map_err(refusal)?.describe(id, size, naming, least)),
            None => Ok(detector.detect(pixels).map_err(refusal)?.describe(id, size, naming)),
        }
    }
}
