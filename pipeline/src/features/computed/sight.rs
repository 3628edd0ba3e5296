//! What looks at pictures: nothing, a backbone at regions that are given, or a detector that finds them.

use std::path::PathBuf;

use data_specs::{Computed as Told, CorpusSpec, Provider, RegionsSpec};

use super::super::FeatureLayout;
use super::USUAL_CELLS;
use super::detecting::Detecting;
use super::network::{Network, check_instructions};
use crate::Error;
use crate::inputs::Input;

pub(super) enum Sight {
    /// Boxes and names are all that is wanted.
    Nothing,
    Network(Box<Network>),
    Detector(Box<Detecting>),
}

impl Sight {
    /// What the section `regions` of a spec says.
    ///
    /// # Errors
    /// A network that is not known, without weights, or with a list that does not fit.
    pub(super) fn of(spec: &CorpusSpec, regions: &RegionsSpec) -> Result<Sight, Error> {
        Ok(match (regions.provider, &regions.detector) {
            (Provider::None, _) => Sight::Nothing,
            (Provider::Detector, _) | (Provider::Grid, Some(_)) => {
                Sight::Detector(Box::new(Detecting::of(regions)))
            }
            (Provider::Boxes | Provider::Crops | Provider::Grid, _) => {
                Sight::Network(Box::new(Network::of(spec, regions)?))
            }
        })
    }

    /// Loads weights, if that was not done yet.
    pub(super) fn load(&self) -> Result<(), Error> {
        match self {
            Sight::Nothing => Ok(()),
            Sight::Network(network) => network.load(),
            Sight::Detector(detecting) => detecting.detector().map(|_| ()),
        }
    }

    /// Numbers of a vector, and the regions that shards are planned with where no boxes are given.
    pub(super) fn shape(&self) -> Result<[u32; 2], Error> {
        match self {
            Sight::Nothing => Ok([0, USUAL_CELLS]),
            Sight::Network(network) => Ok([network.width(), USUAL_CELLS]),
            Sight::Detector(detecting) => detecting.shape(),
        }
    }

    /// The files that decide what it sees.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Sight::Nothing => vec![],
            Sight::Network(network) => network.files().cloned().collect(),
            Sight::Detector(detecting) => detecting.files(),
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        match self {
            Sight::Network(network) => network.warnings(),
            Sight::Nothing | Sight::Detector(_) => vec![],
        }
    }

    /// What the plan and the manifest say of it; `inputs` are those of the plan.
    pub(super) fn told(&self, inputs: &[Input]) -> Result<Option<Told>, Error> {
        match self {
            Sight::Nothing => Ok(None),
            Sight::Network(network) => Ok(Some(network.told(network.weights_of(inputs)))),
            Sight::Detector(detecting) => detecting.told().map(Some),
        }
    }

    /// Rows of one data set are computed by one kind of processor.
    pub(super) fn check_instructions(&self, layout: &FeatureLayout) -> Result<(), Error> {
        match self {
            Sight::Nothing => Ok(()),
            Sight::Network(_) | Sight::Detector(_) => check_instructions(layout),
        }
    }
}
