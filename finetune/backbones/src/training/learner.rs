//! A network that is being trained: its parameters, its running statistics, and how they move.

use std::collections::BTreeMap;

use candle_core::Tensor;
use pretrain_comm::Collective;
use pretrain_kernels::image::VectorPath;
use pretrain_training::Parameters;

use super::settings::NetworkSettings;
use super::{Error, Result};
use crate::architecture::Architecture;
use crate::backbone::Backbone;
use crate::checkpoint::Checkpoint;
use crate::flavour::Flavour;
use crate::initialise::initialise;
use crate::layer::is_statistic;
use crate::learning::{Plan, Slots};
use crate::training_pass::Statistics;
use crate::weights::Weights;

/// A network whose weights change in place.
#[derive(Debug)]
pub struct Learner {
    backbone: Backbone,
    parameters: Parameters,
    /// Means and variances of normalisation: kept like parameters, but moved by what is seen and not by gradients.
    statistics: Parameters,
    momentum: f64,
    /// How its layers learn; none where only the operations on tensors know one of them.
    plan: Option<Plan>,
}

/// What normalisations saw in a step, added up over micro-batches and ranks, each as often as it has pictures.
#[derive(Debug)]
pub(crate) struct Seen {
    sums: Vec<f32>,
}

impl Learner {
    /// Weights as the settings say: drawn, or from a file whose classifier fits or is drawn anew.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn start(settings: &NetworkSettings, seed: u64, n_classes: usize) -> Result<Self> {
        let architecture: Architecture = settings.architecture.parse()?;
        let drawn = || {
            let mut weights = initialise(architecture, seed, n_classes)?;
            let is_zero = |name: &str| {
                let is_last = name.starts_with("layer") && name.ends_with(".bn3.weight");
                settings.zero_classifier && architecture.is_classifier(name)
                    || settings.zero_residual && is_last
            };
            for (_, tensor) in weights.iter_mut().filter(|(name, _)| is_zero(name)) {
                *tensor = tensor.zeros_like()?;
            }
            Ok::<_, Error>(weights)
        };
        let Some(path) = &settings.weights else {
            let weights = drawn()?;
            return Self::new(
                architecture,
                Flavour::of_name(architecture),
                n_classes,
                weights,
                settings.norm_momentum,
            );
        };
        let checkpoint = Checkpoint::open(path)?;
        let flavour = checkpoint.flavour(architecture, None)?;
        let (mut weights, found) = checkpoint.read(architecture, flavour, None)?;
        if settings.new_classifier {
            weights.extend(drawn()?.into_iter().filter(|(name, _)| architecture.is_classifier(name)));
        } else if found != n_classes {
            return Err(Error::Classes {
                what: format!("{} has", path.display()),
                found,
                expected: n_classes,
                hint: "set network.new_classifier = true, or give pictures of the same classes",
            });
        }
        Self::new(architecture, flavour, n_classes, weights, settings.norm_momentum)
    }

    /// A network with these weights, by timm's names.
    pub(crate) fn new(
        architecture: Architecture,
        flavour: Flavour,
        n_classes: usize,
        weights: Weights,
        momentum: Option<f64>,
    ) -> Result<Self> {
        let (statistics, parameters): (Weights, Weights) =
            weights.into_iter().partition(|(name, _)| is_statistic(name));
        let (parameters, statistics) = (Parameters::new(&parameters)?, Parameters::new(&statistics)?);
        let all = parameters.tensors().into_iter().chain(statistics.tensors()).collect();
        let backbone = Backbone::new(architecture, flavour, n_classes, &all)?;
        let momentum = momentum.unwrap_or(flavour.numerics(architecture).momentum);
        let plan = backbone.plan(&Slots::new(&parameters), VectorPath::here())?;
        Ok(Self { backbone, parameters, statistics, momentum, plan })
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The network as it is now, and as it will be after the next step.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// What is trained.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// All tensors by timm's names, statistics among them.
    pub fn weights(&self) -> BTreeMap<String, Tensor> {
        self.parameters.tensors().into_iter().chain(self.statistics.tensors()).collect()
    }

    /// As [`weights`](Self::weights), for a network that does not learn: until the next step.
    pub(crate) fn fixed_weights(&self) -> BTreeMap<String, Tensor> {
        self.weights().into_iter().map(|(name, tensor)| (name, tensor.detach())).collect()
    }

    /// Replaces all tensors.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub fn set_weights(&self, weights: &BTreeMap<String, Tensor>) -> Result<()> {
        for own in [&self.parameters, &self.statistics] {
            let mut values = Vec::with_capacity(own.n_values());
            for parameter in own.iter() {
                let name = parameter.name().to_owned();
                let tensor = weights.get(&name).filter(|tensor| tensor.shape() == parameter.tensor().shape());
                let tensor = tensor.ok_or(crate::Error::Internal { tensor: name })?;
                values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
            }
            own.set_values(&values)?;
        }
        Ok(())
    }

    /// A network with other weights, such as their averages.
    ///
    /// # Errors
    /// Tensors that are missing.
    pub(crate) fn with_weights(&self, weights: &BTreeMap<String, Tensor>) -> Result<Backbone> {
        let Self { backbone, .. } = self;
        Ok(Backbone::new(backbone.architecture(), backbone.flavour(), backbone.n_classes(), weights)?)
    }

    /// Nothing seen yet.
    pub(crate) fn nothing_seen(&self) -> Seen {
        Seen { sums: vec![0.0; self.statistics.n_values()] }
    }

    /// Adds what a micro-batch of `n_pictures` has shown.
    pub(crate) fn see(&self, seen: &mut Seen, observed: &[Statistics], n_pictures: usize) {
        let observed: BTreeMap<&str, &Statistics> =
            observed.iter().map(|observed| (observed.layer.as_str(), observed)).collect();
        for statistic in self.statistics.iter() {
            let Some((layer, part)) = statistic.name().rsplit_once('.') else { continue };
            let Some(observed) = observed.get(layer) else { continue };
            let values = if part == "running_mean" { &observed.mean } else { &observed.variance };
            let sums = &mut seen.sums[statistic.range()];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += n_pictures as f32 * value);
        }
    }

    /// Moves the running statistics towards the mean of what all micro-batches of all ranks saw of `n_pictures`:
    /// `r <- (1 - momentum) r + momentum seen`.
    ///
    /// # Errors
    /// A rank that does not come.
    pub(crate) fn move_statistics(
        &self,
        mut seen: Seen,
        n_pictures: f64,
        ranks: &dyn Collective,
    ) -> Result<()> {
        ranks.all_reduce_sum(&mut seen.sums)?;
        let momentum = self.momentum as f32;
        let mut values = self.statistics.values()?;
        for (value, sum) in values.iter_mut().zip(&seen.sums) {
            *value = (1.0 - momentum) * *value + momentum * (sum / n_pictures as f32);
        }
        Ok(self.statistics.set_values(&values)?)
    }
}
