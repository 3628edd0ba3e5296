//! The losses of one picture. Paper: 1506.01497, equation 1; attributes as bottom-up attention's published code has them.
//!
//! m anchors, n proposals that are learned from, k classes with background, j attributes with "none".

use candle_core::Tensor;
use finetune_backbones::TrainingPass;
use pretrain_kernels::{binary_cross_entropy, cross_entropy, smooth_l1, soft_cross_entropy};
use pretrain_training::{Generator, Stream};

use super::matcher::Match;
use super::settings::TrainingSettings;
use crate::Error;
use crate::detector::coder::BoxCoder;
use crate::detector::input::Ready;
use crate::detector::network::{Network, OfAnchors};
use crate::detector::settings::Proposals;

/// What is in a picture, in pixels of the prepared one.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    pub(crate) boxes: Vec<[f32; 4]>,
    /// Background not counted.
    pub(crate) classes: Vec<usize>,
    pub(crate) attributes: Vec<Vec<usize>>,
}

/// Sums of losses, and of what they are divided by.
#[derive(Debug)]
pub(crate) struct Sums {
    /// Scalars with gradients, in the order of [`LOSSES`].
    pub(crate) losses: Vec<Tensor>,
    /// Of each loss, how much there is.
    pub(crate) counts: Vec<f64>,
}

/// Names of the losses; the last only with a branch for attributes.
pub(crate) const LOSSES: [&str; 5] = ["objectness", "anchor_boxes", "classes", "boxes", "attributes"];

/// Where chance comes from, for one picture of an update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// The picture's place in the global batch.
    pub(crate) place: u64,
}

impl Draws {
    fn generator(&self, stream: Stream) -> Generator {
        Generator::new(self.seed, stream, self.step as u32)
    }
}

/// The sums of a picture's losses, with gradients to all variables.
///
/// # Errors
/// The kernels'.
pub(crate) fn of_picture(
    network: &Network,
    settings: &TrainingSettings,
    ready: &Ready,
    objects: &Objects,
    draws: Draws,
    pass: Option<&TrainingPass>,
) -> Result<Sums, Error> {
    let map_bchw = network.map_in_training(&ready.x_bchw, pass)?;
    let said = network.of_anchors_in_training(&map_bchw)?;
    let (_, _, height, width) = map_bchw.dims4()?;
    let anchors = settings.detector.anchors.of_map(settings.detector.convention, [height, width]);

    let ([objectness, anchor_boxes], n_anchors) =
        of_anchors(settings, &said, &anchors, ready, objects, draws)?;

    // ---- proposals as they are now: where they come from is no part of what is learned
    let proposals = Proposals {
        before: settings.samples.before,
        after: settings.samples.after,
        ..settings.detector.proposals
    };
    let objectness_m = said.objectness_m.detach().to_vec1::<f32>()?;
    let steps = said.steps_m4.detach().flatten_all()?.to_vec1::<f32>()?;
    let mut boxes = proposals.of(&anchors, &objectness_m, &steps, ready.size, settings.detector.convention);
    boxes.extend(&objects.boxes);
    let chosen = Chosen::draw(settings, &boxes, objects, draws);

    let vectors_nd = network.vectors_in_training(&map_bchw, &chosen.boxes, pass)?;
    let (scores_nk, steps) = network.scores_and_steps(&vectors_nd)?;
    let labels: Vec<i64> = chosen.labels.iter().map(|label| *label as i64).collect();
    let classes = cross_entropy(&scores_nk, &labels)?.sum;
    let box_steps = chosen.box_steps(settings, &steps)?;
    let boxes = smooth_l1(&box_steps, &chosen.targets, settings.losses.box_beta)?;

    let n_regions = labels.len() as f64;
    let mut sums = Sums {
        losses: vec![objectness, anchor_boxes, classes, boxes],
        counts: vec![n_anchors, n_anchors, n_regions, n_regions],
    };
    if let Some(attributes) = chosen.attributes(network, &vectors_nd, objects)? {
        sums.losses.push(attributes);
        sums.counts.push(chosen.things.len() as f64);
    }
    Ok(sums)
}

/// Whether there is something at anchors, and where; and of how many anchors that is asked.
fn of_anchors(
    settings: &TrainingSettings,
    said: &OfAnchors,
    anchors: &[[f32; 4]],
    ready: &Ready,
    objects: &Objects,
    draws: Draws,
) -> Result<([Tensor; 2], f64), Error> {
    let convention = settings.detector.convention;
    let mut matches = settings.anchor_matcher().matches(&objects.boxes, anchors, convention);
    if settings.samples.inside_only {
        for (one, anchor) in matches.iter_mut().zip(anchors) {
            if !convention.is_inside(*anchor, ready.size) {
                *one = Match::Neither;
            }
        }
    }
    let generator = draws.generator(Stream::Anchors);
    let [things, ground] = settings.samples.anchors.sample(&matches, &generator, draws.place);
    let labels: Vec<f32> = [vec![1.0; things.len()], vec![0.0; ground.len()]].concat();
    let asked = [things.clone(), ground].concat();
    let objectness = binary_cross_entropy(&rows(&said.objectness_m, &asked)?, &labels)?;
    let coder = BoxCoder::of_anchors(convention);
    let targets: Vec<f32> = things
        .iter()
        .flat_map(|at| match matches[*at] {
            Match::Object(object) => coder.encode(anchors[*at], objects.boxes[object]),
            Match::Ground | Match::Neither => [0.0; 4],
        })
        .collect();
    let steps = smooth_l1(&rows(&said.steps_m4, &things)?, &targets, settings.losses.anchor_beta)?;
    Ok(([objectness, steps], asked.len() as f64))
}

/// Proposals that are learned from.
struct Chosen {
    boxes: Vec<[f32; 4]>,
    /// Background is 0.
    labels: Vec<usize>,
    /// Of the boxes those that belong to an object, and to which.
    things: Vec<(usize, usize)>,
    /// Their steps, four by four.
    targets: Vec<f32>,
}

impl Chosen {
    fn draw(settings: &TrainingSettings, boxes: &[[f32; 4]], objects: &Objects, draws: Draws) -> Self {
        let convention = settings.detector.convention;
        let matches = settings.proposal_matcher().matches(&objects.boxes, boxes, convention);
        let generator = draws.generator(Stream::Proposals);
        let [things, ground] = settings.samples.proposals.sample(&matches, &generator, draws.place);
        let mut all = [things, ground].concat();
        all.sort_unstable();
        let coder = BoxCoder { weights: settings.detector.boxes.weights, convention };
        let mut chosen =
            Self { boxes: Vec::new(), labels: Vec::new(), things: Vec::new(), targets: Vec::new() };
        for at in all {
            let label = match matches[at] {
                Match::Object(object) => {
                    chosen.things.push((chosen.boxes.len(), object));
                    chosen.targets.extend(coder.encode(boxes[at], objects.boxes[object]));
                    objects.classes[object] + 1
                }
                Match::Ground | Match::Neither => 0,
            };
            chosen.boxes.push(boxes[at]);
            chosen.labels.push(label);
        }
        chosen
    }

    /// The steps of those that belong to an object, under its class.
    fn box_steps(&self, settings: &TrainingSettings, steps: &Tensor) -> Result<Tensor, Error> {
        let (n, width) = steps.dims2()?;
        let each = width / 4;
        let by_class = steps.reshape((n * each, 4))?;
        let row = |(at, _): &(usize, usize)| {
            at * each + if settings.detector.boxes.shared { 0 } else { self.labels[*at] }
        };
        rows(&by_class, &self.things.iter().map(row).collect::<Vec<_>>())
    }

    /// A region's attributes share its target evenly; a region without any counts, but asks for nothing.
    fn attributes(
        &self,
        network: &Network,
        vectors_nd: &Tensor,
        objects: &Objects,
    ) -> Result<Option<Tensor>, Error> {
        let at: Vec<usize> = self.things.iter().map(|(at, _)| *at).collect();
        let classes: Vec<u32> = at.iter().map(|at| self.labels[*at] as u32).collect();
        let Some(logits_nj) = network.attributes(&rows(vectors_nd, &at)?, &classes)? else { return Ok(None) };
        let (n, j) = logits_nj.dims2()?;
        let mut targets = vec![0f32; n * j];
        for (row, (_, object)) in targets.chunks_exact_mut(j).zip(&self.things) {
            let attributes = &objects.attributes[*object];
            attributes.iter().for_each(|one| row[one + 1] = 1.0 / attributes.len() as f32);
        }
        let targets_nj = Tensor::from_vec(targets, (n, j), logits_nj.device())?;
        Ok(Some(soft_cross_entropy(&logits_nj, &targets_nj)?.sum_all()?))
    }
}

/// Rows of a tensor, with gradient; perhaps none.
fn rows(tensor: &Tensor, numbers: &[usize]) -> Result<Tensor, Error> {
    let numbers: Vec<u32> = numbers.iter().map(|number| *number as u32).collect();
    let n = numbers.len();
    Ok(tensor.index_select(&Tensor::from_vec(numbers, n, tensor.device())?, 0)?)
}
