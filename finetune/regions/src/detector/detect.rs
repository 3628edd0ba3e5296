//! A detector that looks at pictures.
//!
//! n proposals, d numbers of a vector, k classes with background, j attributes with "none".

use std::collections::BTreeMap;

use candle_core::Tensor;
use pretrain_kernels::softmax;
use rayon::prelude::*;
use serde::Serialize;

use super::coder::BoxCoder;
use super::filters::{Candidates, Filter, Found};
use super::input::Ready;
use super::network::Network;
use super::settings::{BoxRule, DetectorSettings};
use super::tensors::{self, Names, Parameters};
use crate::decoding::Picture;
use crate::detections::Detections;
use crate::grid::first_largest;
use crate::{Error, instructions};

/// Faster R-CNN on a network whose last stage looks at the regions (Papers: 1506.01497, 1512.03385 appendix A).
///
/// What is found in a picture depends on the picture alone, to the bit: not on its neighbours, nor on the number of threads.
#[derive(Debug)]
pub struct Detector {
    settings: DetectorSettings,
    classes: Vec<String>,
    attributes: Vec<String>,
    network: Network,
    weights: BTreeMap<String, Tensor>,
}

/// How regions were chosen: what a data set says of its regions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Selection {
    /// How regions that say the same were thinned out.
    pub filter: Filter,
    /// The overlap beyond which they do.
    pub overlap: f32,
    /// The threshold.
    pub score: f32,
    /// Regions that are reported even below it.
    pub at_least: usize,
    /// Regions that are reported at most.
    pub at_most: usize,
    /// Which boxes are reported.
    pub boxes: BoxRule,
}

impl Detector {
    /// A detector of these tensors, by the names of [`tensors`](super::tensors).
    ///
    /// # Errors
    /// Settings that cannot be meant; tensors that are missing, surplus or of another shape, all named in one error.
    pub(crate) fn new(
        settings: DetectorSettings,
        [classes, attributes]: [Vec<String>; 2],
        weights: BTreeMap<String, Tensor>,
    ) -> Result<Self, Error> {
        let architecture = settings.validate()?;
        let network = Network::new(&settings, architecture, &weights)?;
        Ok(Self { settings, classes, attributes, network, weights })
    }

    /// First weights, each a function of `seed` and its place: a detector that has learned nothing.
    ///
    /// # Errors
    /// Settings that cannot be meant.
    pub fn untrained(
        settings: DetectorSettings,
        classes: Vec<String>,
        attributes: Vec<String>,
        seed: u64,
    ) -> Result<Self, Error> {
        let architecture = settings.validate()?;
        let names = Names { classes: classes.len(), attributes: attributes.len() };
        let weights = tensors::first(&settings, architecture, names, seed)?;
        Self::new(settings, [classes, attributes], weights)
    }

    /// What is in a picture.
    ///
    /// # Errors
    /// A picture whose buffer does not fit its size; numbers of the network that are not finite.
    pub fn detect(&self, picture: &Picture) -> Result<Detections, Error> {
        let input = &self.settings.input;
        self.detect_ready(&input.ready(picture, input.short, self.settings.convention)?)
    }

    /// [`detect`](Self::detect) in a picture that is prepared.
    pub(crate) fn detect_ready(&self, ready: &Ready) -> Result<Detections, Error> {
        let Self { settings, network, .. } = self;
        let map_bchw = network.map(&ready.x_bchw)?;
        let proposals = self.proposals(&map_bchw, ready.size)?;
        let vectors_nd = network.vectors(&map_bchw, &proposals)?;
        let (scores_nk, steps) = network.scores_and_steps(&vectors_nd)?;
        let n_classes = self.classes.len() + 1;
        let probabilities = probabilities(&scores_nk)?;
        let boxes = self.boxes(&proposals, &steps.flatten_all()?.to_vec1()?, ready.size);
        let candidates = Candidates {
            probabilities: &probabilities,
            n_classes,
            boxes_each: boxes.len() / proposals.len().max(1),
            boxes: &boxes,
            convention: settings.convention,
        };
        let found = if proposals.is_empty() { Vec::new() } else { settings.report.apply(&candidates) };
        self.detections(&found, &vectors_nd, &map_bchw, ready)
    }

    /// All that the network says of a prepared picture, for comparison with other programs: `map` \[1, c, h, w\],
    /// `objectness` \[m\] and `anchor_steps` \[m, 4\] of every anchor, `proposals` \[n, 4\] in pixels of the prepared
    /// picture, `vectors` \[n, d\], `scores` \[n, k\] (logits, background first), `box_steps`, and with a branch for them
    /// `attributes` \[n, j\] (logits, "none" first) of the likeliest class that is not background.
    ///
    /// # Shapes
    /// - `x_bchw`: \[1, 3, h, w\]
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x_bchw: &Tensor) -> Result<BTreeMap<&'static str, Tensor>, Error> {
        let network = &self.network;
        let map_bchw = network.map(x_bchw)?;
        let said = network.of_anchors(&map_bchw)?;
        let (_, _, height, width) = x_bchw.dims4()?;
        let proposals = self.proposals(&map_bchw, [width as f32, height as f32])?;
        let vectors_nd = network.vectors(&map_bchw, &proposals)?;
        let (scores_nk, box_steps) = network.scores_and_steps(&vectors_nd)?;
        let likeliest = |logits_k: &Vec<f32>| first_largest(&logits_k[1..]).0 as u32 + 1;
        let classes: Vec<u32> = scores_nk.to_vec2::<f32>()?.iter().map(likeliest).collect();
        let attributes = network.attributes(&vectors_nd, &classes)?;
        let corners = Tensor::from_slice(proposals.as_flattened(), (proposals.len(), 4), x_bchw.device())?;
        let mut all = BTreeMap::from([
            ("map", map_bchw),
            ("objectness", said.objectness_m),
            ("anchor_steps", said.steps_m4),
            ("proposals", corners),
            ("vectors", vectors_nd),
            ("scores", scores_nk),
            ("box_steps", box_steps),
        ]);
        all.extend(attributes.map(|attributes| ("attributes", attributes)));
        Ok(all)
    }

    /// What is in each of several pictures. They are looked at one after the other with all cores: padded to one size they
    /// would see one another's zeros.
    pub fn detect_batch(&self, pictures: &[Picture]) -> Vec<Result<Detections, Error>> {
        pictures.iter().map(|picture| self.detect(picture)).collect()
    }

    /// Names of the classes, background not among them.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// Names of the attributes; none without a branch for them.
    pub fn attribute_names(&self) -> &[String] {
        &self.attributes
    }

    /// Numbers of a region's vector.
    pub fn feature_width(&self) -> usize {
        self.network.width()
    }

    /// What it is, beside weights and names.
    pub fn settings(&self) -> &DetectorSettings {
        &self.settings
    }

    /// How regions are chosen, for the record of what is made of them.
    pub fn selection(&self) -> Selection {
        let report = self.settings.report;
        Selection {
            filter: report.filter,
            overlap: report.overlap,
            score: report.score,
            at_least: report.at_least,
            at_most: report.at_most,
            boxes: self.settings.boxes.report,
        }
    }

    /// BLAKE3 of settings, names, weights and the kind of processor, on which the last bits depend.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut hasher = blake3::Hasher::new();
        let said = serde_json::json!({
            "settings": self.settings, "classes": self.classes, "attributes": self.attributes,
            "instructions": instructions(),
        });
        hasher.update(data_specs::canonical_json(&said).as_bytes());
        for (name, tensor) in &self.weights {
            hasher.update(format!("\n{name} {:?}\n", tensor.dims()).as_bytes());
            let values = tensor.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update_rayon(&bytes);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Its trainable numbers, part by part.
    ///
    /// # Errors
    /// As [`DetectorSettings::parameters`].
    pub fn parameters(&self) -> Result<Parameters, Error> {
        self.settings.parameters(self.names())
    }

    pub(crate) fn names(&self) -> Names {
        Names { classes: self.classes.len(), attributes: self.attributes.len() }
    }

    pub(crate) fn weights(&self) -> &BTreeMap<String, Tensor> {
        &self.weights
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Proposals in the prepared picture.
    pub(crate) fn proposals(&self, map_bchw: &Tensor, size: [f32; 2]) -> Result<Vec<[f32; 4]>, Error> {
        let settings = &self.settings;
        let said = self.network.of_anchors(map_bchw)?;
        let (_, _, height, width) = map_bchw.dims4()?;
        let anchors = settings.anchors.of_map(settings.convention, [height, width]);
        let objectness = said.objectness_m.to_vec1::<f32>()?;
        let steps = said.steps_m4.flatten_all()?.to_vec1::<f32>()?;
        Ok(settings.proposals.of(&anchors, &objectness, &steps, size, settings.convention))
    }

    /// One box a proposal, or one for each class of a proposal.
    fn boxes(&self, proposals: &[[f32; 4]], steps: &[f32], size: [f32; 2]) -> Vec<[f32; 4]> {
        let Self { settings, .. } = self;
        let convention = settings.convention;
        if settings.boxes.report == BoxRule::Proposals {
            return proposals.to_vec();
        }
        let coder = BoxCoder { weights: settings.boxes.weights, convention };
        let steps = steps.as_chunks::<4>().0;
        let each = steps.len() / proposals.len().max(1);
        let decoded = steps
            .par_iter()
            .enumerate()
            .map(|(at, step)| convention.clip(coder.decode(proposals[at / each], *step), size));
        decoded.collect()
    }

    /// What is reported, in pixels of the picture as it was given.
    fn detections(
        &self,
        found: &[Found],
        vectors_nd: &Tensor,
        map_bchw: &Tensor,
        ready: &Ready,
    ) -> Result<Detections, Error> {
        let [wider, higher] = ready.scale;
        let all = vectors_nd.flatten_all()?.to_vec1::<f32>()?;
        let width = self.feature_width();
        let vectors: Vec<f32> =
            found.iter().flat_map(|one| &all[one.proposal * width..][..width]).copied().collect();
        Ok(Detections {
            boxes: found
                .iter()
                .map(|one| {
                    let [x1, y1, x2, y2] = one.rect;
                    [x1 / wider, y1 / higher, x2 / wider, y2 / higher]
                })
                .collect(),
            classes: found.iter().map(|one| one.class).collect(),
            scores: found.iter().map(|one| one.score).collect(),
            attributes: self.attributes_of(found, &vectors, map_bchw)?,
            vectors,
        })
    }

    /// As published, attributes are asked of what is seen in the box that is reported.
    fn attributes_of(
        &self,
        found: &[Found],
        vectors: &[f32],
        map_bchw: &Tensor,
    ) -> Result<Vec<Vec<(usize, f32)>>, Error> {
        let Some(rule) = self.settings.attributes.filter(|_| !found.is_empty()) else {
            return Ok(vec![Vec::new(); found.len()]);
        };
        let vectors_nd = match self.settings.boxes.report {
            BoxRule::Proposals => {
                Tensor::from_slice(vectors, (found.len(), self.feature_width()), map_bchw.device())?
            }
            BoxRule::Regressed => {
                let boxes: Vec<[f32; 4]> = found.iter().map(|one| one.rect).collect();
                self.network.vectors(map_bchw, &boxes)?
            }
        };
        let classes: Vec<u32> = found.iter().map(|one| one.class as u32 + 1).collect();
        let Some(logits_nj) = self.network.attributes(&vectors_nd, &classes)? else {
            return Ok(vec![Vec::new(); found.len()]);
        };
        let rows = softmax(&logits_nj)?.to_vec2::<f32>()?;
        let of_row = |row: &Vec<f32>| {
            let mut likely: Vec<(usize, f32)> =
                row.iter().copied().skip(1).enumerate().filter(|(_, p)| *p > rule.score).collect();
            likely.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            likely.truncate(rule.at_most);
            likely
        };
        Ok(rows.iter().map(of_row).collect())
    }
}

/// Probabilities of the classes, background first, of region after region.
pub(super) fn probabilities(scores_nk: &Tensor) -> Result<Vec<f32>, Error> {
    let probabilities = softmax(scores_nk)?.flatten_all()?.to_vec1::<f32>()?;
    if probabilities.iter().any(|p| !p.is_finite()) {
        let problem = "says numbers that are not finite of this picture; its training has failed";
        return Err(Error::setting("the detector", problem.to_owned()));
    }
    Ok(probabilities)
}
