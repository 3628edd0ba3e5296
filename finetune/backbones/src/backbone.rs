//! A network with weights.
//!
//! b batch, n regions or cells, c channels, h and w of a map, d numbers of a vector, k classes.

use std::path::Path;
use std::sync::OnceLock;

use candle_core::{DType, Tensor};
use pretrain_kernels::image::{Number, VectorPath};
use pretrain_kernels::{Precision, global_average_pool};

use crate::architecture::{Architecture, Description};
use crate::checkpoint::Checkpoint;
use crate::efficientnet;
use crate::flavour::Flavour;
use crate::inference::{self, Engine, Parts, on};
use crate::initialise::initialise;
use crate::learning;
use crate::modules::{Linear, Mode};
use crate::resnext;
use crate::training_pass::TrainingPass;
use crate::weights::{Modules, Weights};
use crate::{Error, Result};

/// A network with weights. All doors but [`logits_in_training`](Self::logits_in_training) are for inference:
/// normalisation takes the running statistics.
///
/// A picture's output does not depend on its neighbours in the batch, nor on the number of threads, to the bit.
#[derive(Debug)]
pub struct Backbone {
    architecture: Architecture,
    flavour: Flavour,
    n_classes: usize,
    network: Network,
    precision: Precision,
    path: VectorPath,
    engine: OnceLock<Engine>,
}

/// What a network says about pictures.
#[derive(Debug, Clone)]
pub struct Output {
    /// \[b, k\].
    pub logits_bk: Tensor,
    /// timm's `features_only`: \[b, c, h, w\] at strides 2, 4, 8, 16 and 32, with
    /// [`Architecture::stage_widths`] channels.
    pub stages: [Tensor; 5],
}

#[derive(Debug)]
pub(crate) enum Network {
    EfficientNet(efficientnet::Network),
    ResNeXt(resnext::Network),
}

impl Network {
    /// What learns of it.
    pub(crate) fn learning(&self, slots: &learning::Slots) -> Result<learning::Parts> {
        match self {
            Self::EfficientNet(network) => network.learning(slots),
            Self::ResNeXt(network) => network.learning(slots),
        }
    }

    /// What it is compiled from.
    pub(crate) fn parts<N: Number>(&self) -> Result<Parts<N>> {
        match self {
            Self::EfficientNet(network) => network.parts(),
            Self::ResNeXt(network) => network.parts(),
        }
    }
}

impl Backbone {
    /// Reads weights of timm or torchvision: .safetensors, or what `torch.save` writes (.pth), with or without a
    /// trainer's wrapping. Without `n_classes` there are as many as the file's classifier has.
    ///
    /// # Errors
    /// A file that cannot be read; name, keys and `flavour` that contradict one another; tensors that are missing,
    /// surplus or of another shape, all named in one error; another number of classes; numbers that are no weights.
    pub fn load(
        architecture: Architecture,
        weights: &Path,
        flavour: Option<Flavour>,
        n_classes: Option<usize>,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open(weights)?;
        let flavour = checkpoint.flavour(architecture, flavour)?;
        let (weights, n_classes) = checkpoint.read(architecture, flavour, n_classes)?;
        Self::new(architecture, flavour, n_classes, &weights)
    }

    /// First weights as published for training, each a function of `seed` and its place. The network is untrained.
    ///
    /// # Errors
    /// No classes.
    pub fn random(architecture: Architecture, seed: u64, n_classes: usize) -> Result<Self> {
        if n_classes == 0 {
            return Err(Error::NoClasses { architecture: architecture.to_string() });
        }
        let weights = initialise(architecture, seed, n_classes)?;
        Self::new(architecture, Flavour::of_name(architecture), n_classes, &weights)
    }

    pub(crate) fn new(
        architecture: Architecture,
        flavour: Flavour,
        n_classes: usize,
        weights: &Weights,
    ) -> Result<Self> {
        let modules = Modules { weights, numerics: flavour.numerics(architecture) };
        let network = match architecture.description() {
            Description::EfficientNet(description) => {
                Network::EfficientNet(efficientnet::Network::new(&description, &modules)?)
            }
            Description::ResNeXt(description) => {
                Network::ResNeXt(resnext::Network::new(&description, &modules)?)
            }
        };
        let (precision, path, engine) = (Precision::F32, VectorPath::here(), OnceLock::new());
        Ok(Self { architecture, flavour, n_classes, network, precision, path, engine })
    }

    /// The same network with inference in these numbers: activations and weights of bf16 where the processor has
    /// instructions for them, sums in f32. Training is not concerned.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, engine: OnceLock::new(), ..self }
    }

    /// The same network with inference along `path`.
    #[cfg(test)]
    pub(crate) fn along(self, path: VectorPath) -> Self {
        Self { path, engine: OnceLock::new(), ..self }
    }

    /// Logits and all stages of normalised pictures.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    ///
    /// # Errors
    /// Another shape or type.
    pub fn forward(&self, x_bchw: &Tensor) -> Result<Output> {
        check_map("x", x_bchw, 3)?;
        let Some(engine) = self.engine()? else { return self.output(x_bchw, Mode::Inference) };
        let mut stages = Vec::with_capacity(5);
        let logits_bk = on!(engine, network => network.logits(x_bchw, |stage| stages.push(stage), true))?;
        let stages = stages.try_into().expect("a network has five stages");
        Ok(Output { logits_bk, stages })
    }

    /// The logits of [`forward`](Self::forward) alone.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    /// - result: \[b, k\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn logits(&self, x_bchw: &Tensor) -> Result<Tensor> {
        check_map("x", x_bchw, 3)?;
        match self.engine()? {
            Some(engine) => on!(engine, network => network.logits(x_bchw, drop, false)),
            None => Ok(self.output(x_bchw, Mode::Inference)?.logits_bk),
        }
    }

    /// Logits in training: normalisation takes the statistics of the batch, which `pass` collects, and blocks and
    /// numbers are left out as it draws. Samples of a batch depend on one another.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\]
    /// - result: \[b, k\]
    ///
    /// # Errors
    /// Another shape than the pass is for, or a last map of a single value, which has no variance.
    pub fn logits_in_training(&self, x_bchw: &Tensor, pass: &TrainingPass) -> Result<Tensor> {
        self.check_pictures(x_bchw, pass)?;
        Ok(self.output(x_bchw, Mode::Training(pass))?.logits_bk)
    }

    /// Refuses pictures that a pass is not for.
    pub(crate) fn check_pictures(&self, x_bchw: &Tensor, pass: &TrainingPass) -> Result<()> {
        match x_bchw.dims() {
            [b, 3, _, _] if *b == pass.n_samples() => Ok(()),
            _ => Err(unfit("x", format!("[{}, 3, h, w]", pass.n_samples()), x_bchw)),
        }
    }

    /// The map in which regions are looked up: ResNeXt's third layer, EfficientNet's blocks 0 to 4.
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
            None => self.stride16_layers(x_bchw),
        }
    }

    /// The vectors of regions cut out of [`stride16_map`](Self::stride16_map): the last stage (and EfficientNet's
    /// head) on each, then the mean.
    ///
    /// # Shapes
    /// - `rois_nchw`: \[n, [`stage_widths`](Architecture::stage_widths)\[3\], h, w\], f32; 14 x 14 as a rule
    /// - result: \[n, [`feature_width`](Self::feature_width)\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn region_vectors(&self, rois_nchw: &Tensor) -> Result<Tensor> {
        check_map("the regions", rois_nchw, self.architecture.stage_widths()[3])?;
        match self.engine()? {
            Some(engine) => on!(engine, network => network.region_vectors(rois_nchw)),
            None => Ok(global_average_pool(&self.last_layers(rois_nchw)?)?),
        }
    }

    /// The last map before the mean, whose columns are the vectors of grid cells.
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    /// - result: \[b, [`feature_width`](Self::feature_width), ceil(h / 32), ceil(w / 32)\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn head_map(&self, x_bchw: &Tensor) -> Result<Tensor> {
        check_map("x", x_bchw, 3)?;
        match self.engine()? {
            Some(engine) => on!(engine, network => network.head_map(x_bchw)),
            None => self.last_layers(&self.stride16_layers(x_bchw)?),
        }
    }

    /// The classifier's opinion of vectors: of regions, or of single cells of [`head_map`](Self::head_map), whose
    /// mean over a picture is the picture's logits (class activation maps, Paper: 1512.04150).
    ///
    /// # Shapes
    /// - `vectors_nd`: \[n, [`feature_width`](Self::feature_width)\], f32
    /// - result: \[n, k\]
    ///
    /// # Errors
    /// Another shape or type.
    pub fn classify(&self, vectors_nd: &Tensor) -> Result<Tensor> {
        let width = self.feature_width();
        match vectors_nd.dims() {
            [_, d] if *d == width && vectors_nd.dtype() == DType::F32 => match self.engine()? {
                Some(engine) => on!(engine, network => network.classify(vectors_nd)),
                None => self.classifier().forward(vectors_nd),
            },
            _ => Err(unfit("the vectors", format!("[n, {width}] of F32"), vectors_nd)),
        }
    }

    /// Numbers of a region's or cell's vector.
    pub fn feature_width(&self) -> usize {
        self.architecture.feature_width()
    }

    /// Mean and standard deviation that pixels from 0 to 1 are normalised with.
    pub fn normalisation(&self) -> ([f32; 3], [f32; 3]) {
        self.architecture.normalisation()
    }

    /// Classes of the classifier.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whose padding and epsilon it has.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// [`forward`](Self::forward) in the type of the weights.
    pub(crate) fn output(&self, x_bchw: &Tensor, mode: Mode<'_>) -> Result<Output> {
        let stages = match &self.network {
            Network::EfficientNet(network) => network.stages(x_bchw, mode)?,
            Network::ResNeXt(network) => network.stages(x_bchw, mode)?,
        };
        let averaged_bd = global_average_pool(&self.head(&stages[4], mode)?)?;
        let averaged_bd = match mode {
            Mode::Inference => averaged_bd,
            Mode::Training(pass) => pass.dropout(&averaged_bd)?,
        };
        Ok(Output { logits_bk: self.classifier().forward(&averaged_bd)?, stages })
    }

    /// How its layers learn, if there are kernels for all of them.
    pub(crate) fn plan(&self, slots: &learning::Slots, path: VectorPath) -> Result<Option<learning::Plan>> {
        Ok(learning::Plan::new(self.network.learning(slots)?, path))
    }

    /// The compiled network, made at the first call; none of weights that change under it.
    fn engine(&self) -> Result<Option<&Engine>> {
        if !inference::is_fixed(&self.classifier().w_oi) {
            return Ok(None);
        }
        if let Some(engine) = self.engine.get() {
            return Ok(Some(engine));
        }
        let engine = Engine::new(&self.network, self.precision, self.path)?;
        Ok(Some(self.engine.get_or_init(|| engine)))
    }

    /// [`stride16_map`](Self::stride16_map) of tensors.
    fn stride16_layers(&self, x_bchw: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::EfficientNet(network) => network.stride16_map(x_bchw, Mode::Inference),
            Network::ResNeXt(network) => network.stride16_map(x_bchw, Mode::Inference),
        }
    }

    /// From the map of stride 16 to what is averaged, of tensors.
    fn last_layers(&self, x_bchw: &Tensor) -> Result<Tensor> {
        let last_bchw = match &self.network {
            Network::EfficientNet(network) => network.last_stage(x_bchw, Mode::Inference)?,
            Network::ResNeXt(network) => network.last_stage(x_bchw, Mode::Inference)?,
        };
        self.head(&last_bchw, Mode::Inference)
    }

    /// From the last stage to what is averaged.
    fn head(&self, last_bchw: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match &self.network {
            Network::EfficientNet(network) => network.head(last_bchw, mode),
            Network::ResNeXt(_) => Ok(last_bchw.clone()),
        }
    }

    pub(crate) fn classifier(&self) -> &Linear {
        match &self.network {
            Network::EfficientNet(network) => network.classifier(),
            Network::ResNeXt(network) => network.classifier(),
        }
    }
}

pub(crate) fn check_map(tensor: &'static str, x_bchw: &Tensor, channels: usize) -> Result<()> {
    match x_bchw.dims() {
        [_, c, h, w] if *c == channels && *h > 0 && *w > 0 && x_bchw.dtype() == DType::F32 => Ok(()),
        _ => Err(unfit(tensor, format!("[b, {channels}, h, w] of F32"), x_bchw)),
    }
}

fn unfit(tensor: &'static str, expected: String, got: &Tensor) -> Error {
    Error::Input { tensor, expected, got: format!("{:?} of {:?}", got.dims(), got.dtype()) }
}
