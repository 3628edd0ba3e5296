//! The tensors of a detector: names, shapes, first values.
//!
//! Names are maskrcnn-benchmark's, so that its files are ours; within trunk and head they are timm's.
//!
//! | part | names |
//! |---|---|
//! | trunk | `backbone.body.` and timm's name; of ResNeXt the first layer is `backbone.body.stem.conv1` |
//! | head | `roi_heads.box.feature_extractor.head.` and timm's name |
//! | proposals | `rpn.head.conv`, `rpn.head.cls_logits`, `rpn.head.bbox_pred` |
//! | boxes | `roi_heads.box.predictor.cls_score`, `roi_heads.box.predictor.bbox_pred` |
//! | attributes | `attribute.predictor.cls_embedding`, `attribute.predictor.fc_attr`, `attribute.predictor.attr_score` |

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use finetune_backbones::{Architecture, Trunk, TrunkPart};
use pretrain_training::{Generator, Stream};
use serde::Serialize;

use super::settings::DetectorSettings;
use crate::Error;

/// How many classes and attributes a detector knows, background and "none" not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Classes.
    pub classes: usize,
    /// Attributes; 0 without a branch for them.
    pub attributes: usize,
}

/// Trainable numbers of a detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// What makes the map.
    pub trunk: u64,
    /// What looks at regions.
    pub head: u64,
    /// What proposes.
    pub proposals: u64,
    /// Classes and boxes.
    pub boxes: u64,
    /// Attributes.
    pub attributes: u64,
    /// All of them.
    pub total: u64,
}

/// A tensor.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: Kind,
}

/// Where a tensor belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Trunk,
    Head,
    /// Of a layer of our own; weights start normal with this deviation.
    Proposals(f64),
    Boxes(f64),
    Attributes(f64),
}

const TRUNK: &str = "backbone.body.";
const STEM: &str = "backbone.body.stem.";
const HEAD: &str = "roi_heads.box.feature_extractor.head.";

/// The detector's name of a tensor of the network.
pub(crate) fn name_of(timm: &str, part: TrunkPart) -> String {
    match part {
        TrunkPart::Last => format!("{HEAD}{timm}"),
        TrunkPart::Map if timm.starts_with("conv1.") || timm.starts_with("bn1.") => format!("{STEM}{timm}"),
        TrunkPart::Map => format!("{TRUNK}{timm}"),
    }
}

/// timm's name of a tensor of trunk or head.
pub(crate) fn timms(name: &str) -> Option<&str> {
    let trunk = || name.strip_prefix(STEM).or_else(|| name.strip_prefix(TRUNK));
    name.strip_prefix(HEAD).or_else(trunk)
}

/// All tensors, statistics of normalisation among them.
pub(crate) fn all(settings: &DetectorSettings, architecture: Architecture, names: Names) -> Vec<Described> {
    let mut tensors: Vec<Described> = Trunk::tensors(architecture)
        .into_iter()
        .map(|(timm, shape, part)| Described {
            name: name_of(&timm, part),
            shape,
            kind: if part == TrunkPart::Map { Kind::Trunk } else { Kind::Head },
        })
        .collect();
    let mut layer = |name: &str, shape: &[usize], kind: Kind| {
        let (outputs, name) = (shape[0], name.to_owned());
        tensors.push(Described { name: format!("{name}.weight"), shape: shape.to_vec(), kind });
        tensors.push(Described { name: format!("{name}.bias"), shape: vec![outputs], kind });
    };
    let (map, width) = (architecture.stage_widths()[3], architecture.feature_width());
    let (hidden, anchors) = (settings.proposals.hidden, settings.anchors.per_cell());
    let scores = names.classes + 1;
    let steps = 4 * if settings.boxes.shared { 1 } else { scores };
    layer("rpn.head.conv", &[hidden, map, 3, 3], Kind::Proposals(0.01));
    layer("rpn.head.cls_logits", &[anchors, hidden, 1, 1], Kind::Proposals(0.01));
    layer("rpn.head.bbox_pred", &[4 * anchors, hidden, 1, 1], Kind::Proposals(0.01));
    layer("roi_heads.box.predictor.cls_score", &[scores, width], Kind::Boxes(0.01));
    layer("roi_heads.box.predictor.bbox_pred", &[steps, width], Kind::Boxes(0.001));
    if let Some(attributes) = &settings.attributes {
        let kind = Kind::Attributes(0.01);
        layer("attribute.predictor.fc_attr", &[attributes.hidden, width + attributes.embedding], kind);
        layer("attribute.predictor.attr_score", &[names.attributes + 1, attributes.hidden], kind);
        tensors.push(Described {
            name: "attribute.predictor.cls_embedding.weight".to_owned(),
            shape: vec![scores, attributes.embedding],
            kind,
        });
    }
    tensors
}

/// First values of all tensors, each a function of `seed` and its place: trunk and head as a classifier starts, the layers
/// of our own normal as published, their biases 0.
///
/// # Errors
/// The tensor library's.
pub(crate) fn first(
    settings: &DetectorSettings,
    architecture: Architecture,
    names: Names,
    seed: u64,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let network = Trunk::first_weights(architecture, seed)?;
    let drawn = all(settings, architecture, names).into_iter().zip(0u32..).map(|(tensor, number)| {
        let Described { name, shape, kind } = tensor;
        if let Some(values) = timms(&name).and_then(|timm| network.get(timm)) {
            return Ok((name, values.clone()));
        }
        let (Kind::Proposals(deviation) | Kind::Boxes(deviation) | Kind::Attributes(deviation)) = kind else {
            return Err(Error::setting("detector", format!("has no first values for {name}")));
        };
        let n = shape.iter().product::<usize>() as u64;
        let generator = Generator::new(seed, Stream::Weights, number);
        let values: Vec<f32> = if name.ends_with(".bias") {
            vec![0.0; n as usize]
        } else {
            (0..n).map(|index| generator.normal(index, 0.0, deviation) as f32).collect()
        };
        Ok((name, Tensor::from_vec(values, shape, &Device::Cpu)?))
    });
    drawn.collect()
}

impl DetectorSettings {
    /// The trainable numbers of a detector with so many names; nothing is allocated. Frozen normalisation counts with its
    /// weight and bias, not with its statistics.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn parameters(&self, names: Names) -> Result<Parameters, Error> {
        let architecture = self.validate()?;
        let mut counted = Parameters { trunk: 0, head: 0, proposals: 0, boxes: 0, attributes: 0, total: 0 };
        for tensor in all(self, architecture, names) {
            if Trunk::is_statistic(&tensor.name) {
                continue;
            }
            let n = tensor.shape.iter().map(|&n| n as u64).product::<u64>();
            let part = match tensor.kind {
                Kind::Trunk => &mut counted.trunk,
                Kind::Head => &mut counted.head,
                Kind::Proposals(_) => &mut counted.proposals,
                Kind::Boxes(_) => &mut counted.boxes,
                Kind::Attributes(_) => &mut counted.attributes,
            };
            *part += n;
            counted.total += n;
        }
        Ok(counted)
    }
}
