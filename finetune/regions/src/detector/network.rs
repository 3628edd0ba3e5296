//! The layers of a detector over its tensors. Paper: 1506.01497, sections 3.1 and 3.3.
//!
//! b pictures (one), c channels, h and w of a map, a anchors a cell, m = h w a anchors, n regions, d numbers of a vector,
//! k classes with background, j attributes with "none".

use std::collections::BTreeMap;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use finetune_backbones::{Architecture, TrainingPass, Trunk};
use pretrain_kernels::image::{Activation, Convolution, Maps, VectorPath};
use pretrain_kernels::{ConvGeometry, Padding, RoiAlign, conv2d, embedding, linear, relu};

use super::anchors::STRIDE;
use super::settings::DetectorSettings;
use super::tensors;
use crate::Error;

/// A detector that computes, of fixed tensors or of variables.
#[derive(Debug)]
pub(crate) struct Network {
    trunk: Trunk,
    rpn: [Layer; 3],
    score: Layer,
    step: Layer,
    attributes: Option<AttributeBranch>,
    roi_align: RoiAlign,
    anchors: usize,
    compiled: OnceLock<CompiledRpn>,
}

#[derive(Debug)]
struct Layer {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct AttributeBranch {
    embedding_ke: Tensor,
    hidden: Layer,
    score: Layer,
}

/// What the proposals' layers say of every anchor, cell by cell and row by row.
#[derive(Debug, Clone)]
pub(crate) struct OfAnchors {
    /// \[m\]: logits of there being something.
    pub(crate) objectness_m: Tensor,
    /// \[m, 4\].
    pub(crate) steps_m4: Tensor,
}

impl Network {
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub(crate) fn new(
        settings: &DetectorSettings,
        architecture: Architecture,
        weights: &BTreeMap<String, Tensor>,
    ) -> Result<Self, Error> {
        let of_trunk = weights
            .iter()
            .filter_map(|(name, tensor)| tensors::timms(name).map(|timm| (timm.to_owned(), tensor.clone())));
        let trunk = Trunk::new(architecture, settings.epsilon, &of_trunk.collect())?;
        let get = |name: String| {
            let missing =
                || Error::setting("detector", format!("has no tensor {name}; its folder is damaged"));
            weights.get(&name).cloned().ok_or_else(missing)
        };
        let layer = |name: &str| -> Result<Layer, Error> {
            Ok(Layer { weight: get(format!("{name}.weight"))?, bias: get(format!("{name}.bias"))? })
        };
        let attributes = match &settings.attributes {
            Some(_) => Some(AttributeBranch {
                embedding_ke: get("attribute.predictor.cls_embedding.weight".to_owned())?,
                hidden: layer("attribute.predictor.fc_attr")?,
                score: layer("attribute.predictor.attr_score")?,
            }),
            None => None,
        };
        let regions = settings.regions;
        Ok(Self {
            trunk,
            rpn: [layer("rpn.head.conv")?, layer("rpn.head.cls_logits")?, layer("rpn.head.bbox_pred")?],
            score: layer("roi_heads.box.predictor.cls_score")?,
            step: layer("roi_heads.box.predictor.bbox_pred")?,
            attributes,
            roi_align: RoiAlign {
                output: [regions.bins; 2],
                spatial_scale: 1.0 / f64::from(STRIDE),
                sampling_ratio: regions.samples,
                aligned: regions.aligned,
            },
            anchors: settings.anchors.per_cell(),
            compiled: OnceLock::new(),
        })
    }

    /// The map of stride 16, without gradients.
    ///
    /// # Shapes
    /// - `x_bchw`: \[1, 3, h, w\]
    /// - result: \[1, c, ceil(h / 16), ceil(w / 16)\]
    pub(crate) fn map(&self, x_bchw: &Tensor) -> Result<Tensor, Error> {
        Ok(self.trunk.stride16_map(x_bchw)?)
    }

    /// What the last stage makes of the whole picture, without gradients.
    ///
    /// # Shapes
    /// - `x_bchw`: \[1, 3, h, w\]
    /// - result: \[1, d, ceil(h / 32), ceil(w / 32)\]
    pub(crate) fn head_map(&self, x_bchw: &Tensor) -> Result<Tensor, Error> {
        Ok(self.trunk.head_map(x_bchw)?)
    }

    /// As [`map`](Self::map), with gradients.
    pub(crate) fn map_in_training(
        &self,
        x_bchw: &Tensor,
        pass: Option<&TrainingPass>,
    ) -> Result<Tensor, Error> {
        Ok(self.trunk.stride16_map_in_training(x_bchw, pass)?)
    }

    /// What the proposals' layers say of every anchor, without gradients.
    ///
    /// # Shapes
    /// - `map_bchw`: \[1, c, h, w\]
    pub(crate) fn of_anchors(&self, map_bchw: &Tensor) -> Result<OfAnchors, Error> {
        let compiled = match self.compiled.get() {
            Some(compiled) => compiled,
            None => {
                let compiled = CompiledRpn::new(&self.rpn)?;
                self.compiled.get_or_init(|| compiled)
            }
        };
        compiled.run(map_bchw, self.anchors)
    }

    /// As [`of_anchors`](Self::of_anchors), with gradients.
    pub(crate) fn of_anchors_in_training(&self, map_bchw: &Tensor) -> Result<OfAnchors, Error> {
        let [hidden, score, step] = &self.rpn;
        let around = ConvGeometry { padding: Padding::symmetric(1), ..ConvGeometry::default() };
        let hidden_bchw = relu(&conv2d(map_bchw, &hidden.weight, Some(&hidden.bias), &around)?)?;
        let by_cell = |layer: &Layer| -> Result<Tensor, Error> {
            let y_bchw = conv2d(&hidden_bchw, &layer.weight, Some(&layer.bias), &ConvGeometry::default())?;
            Ok(y_bchw.permute((0, 2, 3, 1))?.contiguous()?)
        };
        let (objectness, steps) = (by_cell(score)?, by_cell(step)?);
        let m = objectness.elem_count();
        Ok(OfAnchors { objectness_m: objectness.reshape(m)?, steps_m4: steps.reshape((m, 4))? })
    }

    /// The vectors of boxes in pixels of the prepared picture, without gradients.
    ///
    /// # Shapes
    /// - result: \[n, d\]
    pub(crate) fn vectors(&self, map_bchw: &Tensor, boxes: &[[f32; 4]]) -> Result<Tensor, Error> {
        Ok(self.trunk.region_vectors(map_bchw, boxes, &self.roi_align)?)
    }

    /// As [`vectors`](Self::vectors), with gradients.
    pub(crate) fn vectors_in_training(
        &self,
        map_bchw: &Tensor,
        boxes: &[[f32; 4]],
        pass: Option<&TrainingPass>,
    ) -> Result<Tensor, Error> {
        Ok(self.trunk.region_vectors_in_training(map_bchw, boxes, &self.roi_align, pass)?)
    }

    /// # Shapes
    /// - `vectors_nd`: \[n, d\]
    /// - result: \[n, k\] logits; \[n, 4 k\] steps, or \[n, 4\] where classes share them
    pub(crate) fn scores_and_steps(&self, vectors_nd: &Tensor) -> Result<(Tensor, Tensor), Error> {
        let scores_nk = linear(vectors_nd, &self.score.weight, Some(&self.score.bias))?;
        Ok((scores_nk, linear(vectors_nd, &self.step.weight, Some(&self.step.bias))?))
    }

    /// The attributes of regions of given classes (background is 0), if there is a branch for them.
    ///
    /// # Shapes
    /// - `vectors_nd`: \[n, d\]; `classes`: n
    /// - result: \[n, j\] logits, "none" first
    pub(crate) fn attributes(&self, vectors_nd: &Tensor, classes: &[u32]) -> Result<Option<Tensor>, Error> {
        let Some(branch) = &self.attributes else { return Ok(None) };
        let embedded_ne = embedding(&branch.embedding_ke, classes)?;
        let joined = Tensor::cat(&[vectors_nd, &embedded_ne], 1)?;
        let hidden = relu(&linear(&joined, &branch.hidden.weight, Some(&branch.hidden.bias))?)?;
        Ok(Some(linear(&hidden, &branch.score.weight, Some(&branch.score.bias))?))
    }

    /// Numbers of a vector.
    pub(crate) fn width(&self) -> usize {
        self.trunk.architecture().feature_width()
    }
}

/// The proposals' layers without anything between them: scores and steps are one convolution.
#[derive(Debug)]
struct CompiledRpn {
    hidden: Convolution<f32>,
    both: Convolution<f32>,
}

impl CompiledRpn {
    fn new([hidden, score, step]: &[Layer; 3]) -> Result<Self, Error> {
        let numbers = |tensor: &Tensor| -> Result<Vec<f32>, Error> { Ok(tensor.flatten_all()?.to_vec1()?) };
        let (outputs, inputs, height, width) = hidden.weight.dims4()?;
        let dims = [outputs, inputs, height, width];
        let geometry = ConvGeometry::default();
        let (weight, bias) = (numbers(&hidden.weight)?, numbers(&hidden.bias)?);
        let joined =
            |a: &Tensor, b: &Tensor| -> Result<Vec<f32>, Error> { Ok([numbers(a)?, numbers(b)?].concat()) };
        let (all_weights, all_biases) =
            (joined(&score.weight, &step.weight)?, joined(&score.bias, &step.bias)?);
        let both = [all_biases.len(), outputs, 1, 1];
        Ok(Self {
            hidden: Convolution::new(&weight, dims, &bias, &geometry, Activation::Relu),
            both: Convolution::new(&all_weights, both, &all_biases, &geometry, Activation::None),
        })
    }

    fn run(&self, map_bchw: &Tensor, anchors: usize) -> Result<OfAnchors, Error> {
        let (b, c, h, w) = map_bchw.dims4()?;
        let path = VectorPath::here();
        let [mut from, mut hidden, mut both] = [(); 3].map(|()| Maps::<f32>::default());
        from.take_tensor(&map_bchw.flatten_all()?.to_vec1::<f32>()?, [b, c, h, w]);
        hidden.reshape(b, [h, w], self.hidden.outputs());
        self.hidden.run(path, from.all(), Padding::symmetric(1), None, None, hidden.all_mut());
        both.reshape(b, [h, w], self.both.outputs());
        self.both.run(path, hidden.all(), Padding::default(), None, None, both.all_mut());
        // channels first: planes of scores, then of steps
        let planes = both.all().to_tensor();
        let (cells, m) = (h * w, h * w * anchors);
        let at = |channel: usize, cell: usize| planes[channel * cells + cell];
        let mut objectness = Vec::with_capacity(m);
        let mut steps = Vec::with_capacity(4 * m);
        for cell in 0..cells {
            objectness.extend((0..anchors).map(|channel| at(channel, cell)));
            steps.extend((anchors..5 * anchors).map(|channel| at(channel, cell)));
        }
        Ok(OfAnchors {
            objectness_m: Tensor::from_vec(objectness, m, &Device::Cpu)?,
            steps_m4: Tensor::from_vec(steps, (m, 4), &Device::Cpu)?,
        })
    }
}
