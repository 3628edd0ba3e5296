//! A detector that is being trained: what learns, what moves by what is seen, what stays.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use finetune_backbones::{Architecture, Statistics, TensorFile, TrainingPass, Trunk};
use pretrain_comm::Collective;
use pretrain_training::Parameters;

use super::settings::{Norm, TrainingSettings};
use crate::Error;
use crate::detector::Detector;
use crate::detector::network::Network;
use crate::detector::tensors::{self, Names, name_of, timms};

/// A detector whose weights change in place.
#[derive(Debug)]
pub(crate) struct Learner {
    network: Network,
    parameters: Parameters,
    /// Means and variances that move towards what is seen; none unless normalisation takes those of the batch.
    statistics: Parameters,
    /// All that stays.
    frozen: BTreeMap<String, Tensor>,
    /// Layers whose normalisation keeps to the running statistics, by timm's names; `None` for all.
    fixed: Option<BTreeSet<String>>,
    momentum: f32,
}

/// What normalisations saw in an update, added up over pictures and ranks.
#[derive(Debug)]
pub(crate) struct Seen(Vec<f32>);

impl Learner {
    /// # Errors
    /// Weights that do not fit.
    pub(crate) fn start(
        settings: &TrainingSettings,
        classes: &[String],
        attributes: &[String],
    ) -> Result<Self, Error> {
        let architecture = settings.detector.validate()?;
        let names = Names { classes: classes.len(), attributes: attributes.len() };
        let mut weights = tensors::first(&settings.detector, architecture, names, settings.seed)?;
        if let Some(path) = &settings.backbone {
            take_backbone(&mut weights, architecture, path)?;
        }
        if let Some(folder) = &settings.start {
            let start = Detector::open(folder)?;
            take_detector(&mut weights, &start, classes, attributes, folder)?;
        }
        Self::new(settings, architecture, weights)
    }

    fn new(
        settings: &TrainingSettings,
        architecture: Architecture,
        weights: BTreeMap<String, Tensor>,
    ) -> Result<Self, Error> {
        let stages = Trunk::first_stages(architecture, settings.frozen_stages);
        let layer = |name: &str| name.rsplit_once('.').map_or(name, |(layer, _)| layer).to_owned();
        let is_norm = |name: &str| weights.contains_key(&format!("{}.running_mean", layer(name)));
        let is_in_frozen_stage = |name: &str| timms(name).is_some_and(|timm| stages.contains(&layer(timm)));
        let (mut learned, mut seen, mut frozen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in &weights {
            let stays = is_in_frozen_stage(name) || settings.norm == Norm::Frozen && is_norm(name);
            let is_statistic = Trunk::is_statistic(name);
            let to = match (stays, is_statistic) {
                (false, false) => &mut learned,
                (false, true) if settings.norm == Norm::Batch => &mut seen,
                _ => &mut frozen,
            };
            to.insert(name.clone(), tensor.clone());
        }
        let (parameters, statistics) = (Parameters::new(&learned)?, Parameters::new(&seen)?);
        let mut all = frozen.clone();
        all.extend(parameters.tensors());
        all.extend(statistics.tensors());
        let network = Network::new(&settings.detector, architecture, &all)?;
        let fixed = (settings.norm == Norm::Batch).then_some(stages);
        let momentum = Trunk::momentum(architecture) as f32;
        Ok(Self { network, parameters, statistics, frozen, fixed, momentum })
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// All tensors by name. They change with the next update.
    pub(crate) fn weights(&self) -> BTreeMap<String, Tensor> {
        let mut all = self.frozen.clone();
        all.extend(self.parameters.tensors());
        all.extend(self.statistics.tensors());
        all
    }

    /// Replaces all tensors that are not frozen.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub(crate) fn set_weights(&self, weights: &BTreeMap<String, Tensor>) -> Result<(), Error> {
        self.parameters.restore(weights)?;
        Ok(self.statistics.restore(weights)?)
    }

    /// The pass of one picture, where normalisation takes its statistics from it.
    pub(crate) fn pass(&self, seed: u64, step: u64, place: u64) -> Option<TrainingPass> {
        let fixed = self.fixed.clone()?;
        Some(TrainingPass::new(seed, step, vec![place], 0.0, 0.0).fixing(fixed))
    }

    /// Nothing seen yet.
    pub(crate) fn nothing_seen(&self) -> Seen {
        Seen(vec![0.0; self.statistics.n_values()])
    }

    /// Adds what a picture has shown.
    pub(crate) fn see(&self, seen: &mut Seen, shown: &[Statistics]) {
        let shown: BTreeMap<&str, &Statistics> = shown.iter().map(|one| (one.layer.as_str(), one)).collect();
        for statistic in self.statistics.iter() {
            let timm = timms(statistic.name()).and_then(|timm| timm.rsplit_once('.'));
            let Some((shown, part)) = timm.and_then(|(layer, part)| Some((shown.get(layer)?, part))) else {
                continue;
            };
            let values = if part == "running_mean" { &shown.mean } else { &shown.variance };
            seen.0[statistic.range()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }

    /// Moves the running statistics towards the mean of what the pictures of all ranks have shown.
    ///
    /// # Errors
    /// A rank that does not come.
    pub(crate) fn move_statistics(
        &self,
        mut seen: Seen,
        n_pictures: f64,
        ranks: &dyn Collective,
    ) -> Result<(), Error> {
        if seen.0.is_empty() {
            return Ok(());
        }
        ranks.all_reduce_sum(&mut seen.0)?;
        let mut values = self.statistics.values()?;
        for (value, sum) in values.iter_mut().zip(&seen.0) {
            *value = (1.0 - self.momentum) * *value + self.momentum * (sum / n_pictures as f32);
        }
        Ok(self.statistics.set_values(&values)?)
    }
}

#[cfg(test)]
impl Learner {
    /// A learner of exactly these tensors, those that are frozen among them.
    pub(super) fn of_weights(&self, settings: &TrainingSettings, weights: &BTreeMap<String, Tensor>) -> Self {
        let architecture = settings.detector.validate().unwrap();
        Self::new(settings, architecture, weights.clone()).unwrap()
    }
}

/// Weights of a classifier for the network; its classifier is left.
fn take_backbone(
    weights: &mut BTreeMap<String, Tensor>,
    architecture: Architecture,
    path: &std::path::Path,
) -> Result<(), Error> {
    let file = TensorFile::open(path)?;
    let shapes = file.shapes();
    let mut missing = Vec::new();
    for (timm, shape, part) in Trunk::tensors(architecture) {
        match shapes.get(&timm) {
            Some(found) if *found == shape => {
                weights.insert(name_of(&timm, part), file.tensor(&timm)?);
            }
            _ => missing.push(timm),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let shown = missing.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    let problem = format!(
        "{} tensors of {architecture} are missing or of another shape: {shown}; give weights of this network under \
         timm's names, as `finetune backbone export` writes them",
        missing.len()
    );
    Err(Error::Detector { path: path.to_owned(), problem })
}

/// Weights of another detector. Those of classes and attributes are taken where the names are the same.
fn take_detector(
    weights: &mut BTreeMap<String, Tensor>,
    start: &Detector,
    classes: &[String],
    attributes: &[String],
    folder: &std::path::Path,
) -> Result<(), Error> {
    let (has_classes, has_attributes) =
        (start.class_names() == classes, start.attribute_names() == attributes);
    for (name, own) in weights.iter_mut() {
        let is_named = name.starts_with("roi_heads.box.predictor.") || name.starts_with("attribute.");
        if is_named && (!has_classes || name.starts_with("attribute.") && !has_attributes) {
            continue;
        }
        match start.weights().get(name) {
            Some(theirs) if theirs.dims() == own.dims() => *own = theirs.clone(),
            // a branch that the other one does not have begins anew
            None if name.starts_with("attribute.") => {}
            _ => {
                let problem = format!(
                    "{name} is missing there or of another shape; start from a detector of the same settings"
                );
                return Err(Error::Detector { path: folder.to_owned(), problem });
            }
        }
    }
    Ok(())
}
