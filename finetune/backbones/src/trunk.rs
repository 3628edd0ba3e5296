//! A network cut in two for a detector: what makes the map in which regions are looked up, and the last stage, which
//! looks at what is cut out of it.
//!
//! b batch, n regions, c channels, h and w of a map, d numbers of a vector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use pretrain_kernels::image::VectorPath;
use pretrain_kernels::{Precision, RoiAlign, global_average_pool, roi_align};

use crate::architecture::{Architecture, Description};
use crate::backbone::{Network, check_map};
use crate::efficientnet;
use crate::flavour::Flavour;
use crate::inference::{self, Engine, on};
use crate::initialise::initialise;
use crate::layer::is_statistic;
use crate::modules::Mode;
use crate::resnext;
use crate::training_pass::TrainingPass;
use crate::weights::{Modules, Weights};
use crate::{Error, Result};

/// A network without a classifier, whose tensors are given by timm's names.
///
/// Tensors that are variables learn; what they are not stays as it is, and is not computed backward. In inference the
/// output for a picture or region depends neither on its neighbours nor on the number of threads, to the bit.
#[derive(Debug)]
pub struct Trunk {
    architecture: Architecture,
    network: Network,
    is_fixed: bool,
    engine: OnceLock<Engine>,
}

/// The two parts of a [`Trunk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkPart {
    /// From the picture to the map of stride 16.
    Map,
    /// From there to what is averaged.
    Last,
}

/// The classifier that a network is built with, and that nobody asks.
const N_CLASSES: usize = 1;

impl Trunk {
    /// A network of these tensors. `epsilon` is what normalisation adds to variances; without it that of the name. Frozen
    /// normalisation of maskrcnn-benchmark adds 0.
    ///
    /// # Errors
    /// Tensors that are missing; a variance that with epsilon is not above 0.
    pub fn new(
        architecture: Architecture,
        epsilon: Option<f64>,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut numerics = Flavour::of_name(architecture).numerics(architecture);
        numerics.epsilon = epsilon.unwrap_or(numerics.epsilon);
        for (name, variance_c) in weights.iter().filter(|(name, _)| name.ends_with(".running_var")) {
            let values = variance_c.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
            if values.iter().any(|variance| variance + numerics.epsilon <= 0.0) {
                return Err(Error::Input {
                    tensor: "a running variance",
                    expected: format!("above 0 with an epsilon of {}", numerics.epsilon),
                    got: format!("0 in {name}"),
                });
            }
        }
        let mut all = weights.clone();
        for (name, shape) in architecture.tensors(N_CLASSES) {
            if architecture.is_classifier(&name) {
                all.insert(name, Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?);
            }
        }
        let modules = Modules { weights: &all, numerics };
        let network = match architecture.description() {
            Description::EfficientNet(description) => {
                Network::EfficientNet(efficientnet::Network::new(&description, &modules)?)
            }
            Description::ResNeXt(description) => {
                Network::ResNeXt(resnext::Network::new(&description, &modules)?)
            }
        };
        let is_fixed = all.values().all(inference::is_fixed);
        Ok(Self { architecture, network, is_fixed, engine: OnceLock::new() })
    }

    /// The tensors that a network needs: timm's names, shapes, and the part that each belongs to.
    pub fn tensors(architecture: Architecture) -> Vec<(String, Vec<usize>, TrunkPart)> {
        let tensors = architecture.tensors(N_CLASSES).into_iter();
        let tensors = tensors.filter(|(name, _)| !architecture.is_classifier(name));
        tensors
            .map(|(name, shape)| {
                let is_last = ["layer4.", "blocks.5.", "blocks.6.", "conv_head.", "bn2."]
                    .iter()
                    .any(|last| name.starts_with(last));
                (name, shape, if is_last { TrunkPart::Last } else { TrunkPart::Map })
            })
            .collect()
    }

    /// First weights, as a classifier of the same name would start, each a function of `seed` and its place.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn first_weights(architecture: Architecture, seed: u64) -> Result<BTreeMap<String, Tensor>> {
        let mut weights: Weights = initialise(architecture, seed, N_CLASSES)?;
        weights.retain(|name, _| !architecture.is_classifier(name));
        Ok(weights)
    }

    /// Whether a tensor is a running mean or variance, which moves by what is seen and not by gradients.
    pub fn is_statistic(name: &str) -> bool {
        is_statistic(name)
    }

    /// The layers of the first `n` stages by timm's names: the stem, then ResNeXt's layers, EfficientNet's blocks.
    pub fn first_stages(architecture: Architecture, n: usize) -> BTreeSet<String> {
        let is_among = |layer: &str| match layer.split('.').next().unwrap_or_default() {
            "conv1" | "bn1" | "conv_stem" => n > 0,
            first => {
                let number = match first.strip_prefix("layer") {
                    Some(number) => number.parse::<usize>().ok(),
                    None => layer
                        .split('.')
                        .nth(1)
                        .and_then(|number| number.parse().ok())
                        .map(|block: usize| block + 1),
                };
                number.is_some_and(|number| number < n)
            }
        };
        let layers = Self::tensors(architecture).into_iter().filter(|(_, _, part)| *part == TrunkPart::Map);
        let layers = layers.filter_map(|(name, ..)| Some(name.rsplit_once('.')?.0.to_owned()));
        layers.filter(|layer| is_among(layer)).collect()
    }

    /// The map of stride 16 in inference.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    /// - result: \[b, [`stage_widths`](Architecture::stage_widths)\[3\], ceil(h / 16), ceil(w / 16)\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn stride16_map(&self, x_bchw: &Tensor) -> Result<Tensor> {
        check_map("x", x_bchw, 3)?;
        match self.engine()? {
            Some(engine) => on!(engine, network => network.stride16_map(x_bchw)),
            None => self.map_of(x_bchw, Mode::Inference),
        }
    }

    /// What the last stage makes of the whole picture, in inference: the mean over it would be the picture's vector.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    /// - result: \[b, [`feature_width`](Architecture::feature_width), ceil(h / 32), ceil(w / 32)\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn head_map(&self, x_bchw: &Tensor) -> Result<Tensor> {
        check_map("x", x_bchw, 3)?;
        match self.engine()? {
            Some(engine) => on!(engine, network => network.head_map(x_bchw)),
            None => self.last_of(&self.map_of(x_bchw, Mode::Inference)?, Mode::Inference),
        }
    }

    /// The vectors of boxes x1, y1, x2, y2, in pixels of the picture, that are cut out of its map, in inference.
    ///
    /// # Shapes
    /// - `map_bchw`: \[1, [`stage_widths`](Architecture::stage_widths)\[3\], h, w\], f32
    /// - result: \[n, [`feature_width`](Architecture::feature_width)\]
    ///
    /// # Errors
    /// Another shape or type; corners that are not finite.
    pub fn region_vectors(&self, map_bchw: &Tensor, boxes: &[[f32; 4]], how: &RoiAlign) -> Result<Tensor> {
        check_map("the map", map_bchw, self.architecture.stage_widths()[3])?;
        if boxes.is_empty() {
            let width = self.architecture.feature_width();
            return Ok(Tensor::zeros((0, width), candle_core::DType::F32, &Device::Cpu)?);
        }
        match self.engine()? {
            Some(engine) => on!(engine, network => network.boxes_vectors(map_bchw, boxes, how)),
            None => self.vectors_of(map_bchw, boxes, how, Mode::Inference),
        }
    }

    /// As [`stride16_map`](Self::stride16_map), with gradients. With a pass, normalisation takes the statistics of the
    /// batch but where the pass says otherwise, and the pass collects them; without one it takes the running ones.
    ///
    /// # Errors
    /// Another shape; a map of a single value a channel, which has no variance.
    pub fn stride16_map_in_training(&self, x_bchw: &Tensor, pass: Option<&TrainingPass>) -> Result<Tensor> {
        check_map("x", x_bchw, 3)?;
        self.map_of(x_bchw, pass.map_or(Mode::Inference, Mode::Training))
    }

    /// As [`region_vectors`](Self::region_vectors), with gradients; statistics as in
    /// [`stride16_map_in_training`](Self::stride16_map_in_training).
    ///
    /// # Errors
    /// The same.
    pub fn region_vectors_in_training(
        &self,
        map_bchw: &Tensor,
        boxes: &[[f32; 4]],
        how: &RoiAlign,
        pass: Option<&TrainingPass>,
    ) -> Result<Tensor> {
        check_map("the map", map_bchw, self.architecture.stage_widths()[3])?;
        self.vectors_of(map_bchw, boxes, how, pass.map_or(Mode::Inference, Mode::Training))
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Share of a batch's statistics in the running ones, as the name has it.
    pub fn momentum(architecture: Architecture) -> f64 {
        Flavour::of_name(architecture).numerics(architecture).momentum
    }

    fn engine(&self) -> Result<Option<&Engine>> {
        if !self.is_fixed {
            return Ok(None);
        }
        if let Some(engine) = self.engine.get() {
            return Ok(Some(engine));
        }
        let engine = Engine::new(&self.network, Precision::F32, VectorPath::here())?;
        Ok(Some(self.engine.get_or_init(|| engine)))
    }

    fn map_of(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match &self.network {
            Network::EfficientNet(network) => network.stride16_map(x_bchw, mode),
            Network::ResNeXt(network) => network.stride16_map(x_bchw, mode),
        }
    }

    fn vectors_of(
        &self,
        map_bchw: &Tensor,
        boxes: &[[f32; 4]],
        how: &RoiAlign,
        mode: Mode<'_>,
    ) -> Result<Tensor> {
        let rois: Vec<f32> = boxes.iter().flat_map(|&[x1, y1, x2, y2]| [0.0, x1, y1, x2, y2]).collect();
        let rois_n5 = Tensor::from_vec(rois, (boxes.len(), 5), &Device::Cpu)?.to_dtype(map_bchw.dtype())?;
        let rois_nchw = &roi_align(map_bchw, &rois_n5, how)?;
        Ok(global_average_pool(&self.last_of(rois_nchw, mode)?)?)
    }

    fn last_of(&self, map_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match &self.network {
            Network::EfficientNet(network) => network.head(&network.last_stage(map_bchw, mode)?, mode),
            Network::ResNeXt(network) => network.last_stage(map_bchw, mode),
        }
    }
}
