//! The network of a spec: its weights, its classes, and what the plan says of it.

use std::path::PathBuf;
use std::sync::OnceLock;

use data_specs::{
    Computed as Told, CorpusSpec, NetworkNumbers, Picture, Provider, RegionsSpec, WeightsFlavour,
};
use finetune_backbones::{Architecture, Backbone, Flavour};
use finetune_regions::{Extractor, Naming, decoding, instructions};

use super::super::FeatureLayout;
use super::super::class_list::ClassList;
use super::{finite, refusal};
use crate::Error;
use crate::inputs::Input;
use crate::reject::{Code, RejectReason};
use crate::sources::spec_error;

/// ImageNet's, for a network without weights and without a list of classes.
const CLASSES: usize = 1000;

/// A network that is loaded when it is first needed: not every command computes.
pub(super) struct Network {
    regions: RegionsSpec,
    architecture: Architecture,
    classes: Option<ClassList>,
    extractor: OnceLock<Extractor>,
}

impl Network {
    pub(super) fn of(spec: &CorpusSpec, regions: &RegionsSpec) -> Result<Network, Error> {
        let backbone =
            |what: String| spec_error("regions.backbone".into(), what, spec.how_to_set("regions.backbone"));
        let named = regions.backbone.as_deref().ok_or_else(|| backbone("is not set".into()))?;
        let architecture: Architecture =
            named.parse().map_err(|error: finetune_backbones::Error| backbone(error.to_string()))?;
        if regions.weights.is_none() && regions.random_weights.is_none() {
            let hint = format!(
                "{}; to try things out without, --set regions.random_weights=0",
                spec.how_to_set("regions.weights")
            );
            return Err(spec_error(
                "regions.weights".into(),
                "is not set: an untrained network sees nothing".into(),
                hint,
            ));
        }
        if regions.classes.is_some() && regions.provider != Provider::Grid {
            let what = "names the tags of a grid, and regions.provider is another".to_string();
            return Err(spec_error("regions.classes".into(), what, "leave it out: boxes have names".into()));
        }
        let classes = regions.classes.as_deref().map(ClassList::read).transpose()?;
        Ok(Network { regions: regions.clone(), architecture, classes, extractor: OnceLock::new() })
    }

    /// Loads the weights, if that was not done yet.
    pub(super) fn load(&self) -> Result<(), Error> {
        self.extractor().map(|_| ())
    }

    fn extractor(&self) -> Result<&Extractor, Error> {
        if let Some(extractor) = self.extractor.get() {
            return Ok(extractor);
        }
        let named = self.classes.as_ref().map(ClassList::len);
        let backbone = match (&self.regions.weights, self.regions.random_weights) {
            (Some(path), _) => {
                let flavour = self.regions.flavour.map(|flavour| match flavour {
                    WeightsFlavour::Timm => Flavour::Timm,
                    WeightsFlavour::Tf => Flavour::Tf,
                    WeightsFlavour::Torchvision => Flavour::Torchvision,
                });
                Backbone::load(self.architecture, path, flavour, named)
            }
            (None, seed) => {
                Backbone::untrained(self.architecture, seed.unwrap_or_default(), named.unwrap_or(CLASSES))
            }
        };
        let backbone = backbone.map_err(|error| {
            spec_error(
                "regions".into(),
                error.to_string(),
                "mend regions.backbone, weights or classes".into(),
            )
        })?;
        let extractor = Extractor::new(backbone, self.sides());
        let extractor = match self.regions.precision {
            NetworkNumbers::F32 => extractor,
            NetworkNumbers::Bf16 => extractor.in_bf16().ok_or_else(|| {
                let what = "is bf16, and this processor has no instructions for it".to_string();
                spec_error(
                    "regions.precision".into(),
                    what,
                    "leave it out: f32 is computed everywhere".into(),
                )
            })?,
        };
        // Two threads may both have loaded: equal networks, of which one stays.
        Ok(self.extractor.get_or_init(|| extractor))
    }

    /// Numbers of a vector.
    pub(super) fn width(&self) -> u32 {
        self.architecture.feature_width() as u32
    }

    /// The vectors of the regions of a picture.
    pub(super) fn vectors(
        &self,
        picture: &decoding::Picture,
        rects: &[[f32; 4]],
    ) -> Result<Vec<f32>, RejectReason> {
        let extractor = self.ready()?;
        let vectors = match self.regions.provider {
            Provider::Crops => extractor.crops(picture, rects, self.regions.crop_side),
            Provider::Boxes | Provider::Grid | Provider::Detector | Provider::None => {
                extractor.boxes(picture, rects)
            }
        };
        vectors.map_err(refusal)
    }

    /// The cells of a picture, with tags where classes have names.
    pub(super) fn cells(
        &self,
        id: &str,
        pixels: &decoding::Picture,
        origin: &str,
    ) -> Result<Picture, RejectReason> {
        let grid = self.ready()?.grid(pixels).map_err(refusal)?;
        finite(&grid.vectors)?;
        let classes = self.classes.as_ref().map_or(&[][..], ClassList::names);
        let naming = Naming { classes, attributes: &[], origin };
        Ok(grid.describe(id, [pixels.width, pixels.height], naming, self.regions.tag_score))
    }

    fn ready(&self) -> Result<&Extractor, RejectReason> {
        self.extractor().map_err(|error| RejectReason::new(Code::ReadFailed, error.to_string()))
    }

    /// Short and long side of what it sees: pictures, or crops of them.
    fn sides(&self) -> [u32; 2] {
        match self.regions.provider {
            Provider::Crops => [self.regions.crop_side; 2],
            Provider::Boxes | Provider::Grid | Provider::Detector | Provider::None => {
                [self.regions.short_side, self.regions.long_side]
            }
        }
    }

    /// The files that decide what it sees, the weights first.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.regions.weights.iter().chain(&self.regions.classes)
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(seed) = self.regions.random_weights {
            warnings.push(format!(
                "untrained: the weights of {} are drawn from seed {seed}, so features tell pictures apart and mean nothing",
                self.architecture
            ));
        }
        if self.regions.provider == Provider::Grid && self.classes.is_none() {
            warnings.push(
                "no class list: rows get no tags; set `regions.classes` to the names of the classifier's classes, one a line"
                    .into(),
            );
        }
        warnings
    }

    /// BLAKE3 of the weights among the inputs of the plan.
    pub(super) fn weights_of(&self, inputs: &[Input]) -> Option<String> {
        let path = self.regions.weights.as_ref()?;
        inputs.iter().rev().find(|input| input.path == *path).map(|input| input.stamp.blake3.clone())
    }

    /// What the plan and the manifest say of it.
    pub(super) fn told(&self, weights: Option<String>) -> Told {
        let seed = self.regions.random_weights.unwrap_or_default();
        let flavour = self.extractor.get().map(|extractor| extractor.backbone().flavour());
        let flavour = flavour.map(|flavour| format!(" ({flavour})")).unwrap_or_default();
        Told {
            provider: crate::rejects_file::word(&self.regions.provider),
            backbone: format!("{}{flavour}", self.architecture),
            weights: weights.unwrap_or_else(|| format!("untrained, seed {seed}")),
            instructions: instructions(),
            precision: match self.regions.precision {
                NetworkNumbers::F32 => None,
                numbers @ NetworkNumbers::Bf16 => Some(crate::rejects_file::word(&numbers)),
            },
            sides: self.sides(),
            selection: None,
        }
    }
}

/// Rows of one data set are computed by one kind of processor.
pub(super) fn check_instructions(layout: &FeatureLayout) -> Result<(), Error> {
    let Some(planned) = &layout.computed else { return Ok(()) };
    let here = instructions();
    if planned.instructions == here {
        return Ok(());
    }
    Err(spec_error(
        "regions".into(),
        format!("the build was planned for {}, and this machine computes with {here}", planned.instructions),
        "go on where it was planned, or build into a new folder: other instructions give other last digits"
            .into(),
    ))
}
