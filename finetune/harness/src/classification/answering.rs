//! A network answers the texts of a data set.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use candle_core::D;
use data_specs::{RowId, Text};
use pretrain::data::Feed;
use pretrain::model::Pass;
use pretrain::{Example, Result};
use pretrain_comm::Collective;

use super::head::Classifier;
use crate::texts::{Place, Texts};

/// A text with the network's answer.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Where the text stands, with all that its row says.
    pub place: Place,
    /// The answer.
    pub answer: String,
    /// Its probability.
    pub confidence: f64,
    /// What it is worth by the targets that the network learns from; 0 where the text's answer is unknown.
    pub worth: f64,
    /// Whether there is such a target.
    pub is_known: bool,
}

impl Answered {
    /// The text.
    pub fn text(&self) -> &Text {
        self.place.text()
    }
}

/// Answers `rows` of the texts, micro-batch by micro-batch, shared among the ranks; all get all answers. `network` should
/// not remember what it computes.
pub(super) fn answer(
    network: &Classifier,
    labels: &[String],
    texts: &Arc<Texts>,
    rows: &[RowId],
    micro: usize,
    [n_threads, ahead]: [usize; 2],
    ranks: &dyn Collective,
) -> Result<Vec<Answered>> {
    let parts: Vec<(usize, Vec<RowId>)> =
        rows.chunks(micro).enumerate().map(|(number, part)| (number * micro, part.to_vec())).collect();
    let own: Vec<_> = parts.into_iter().skip(ranks.rank()).step_by(ranks.world()).collect();
    let mut feed = Feed::start(n_threads, ahead, Path::new("."), |thread| {
        let parts: VecDeque<_> = own.iter().skip(thread).step_by(n_threads).cloned().collect();
        let texts = texts.clone();
        parts.into_iter().map(move |(first, rows)| {
            let mut sequences: Vec<Example> = Vec::new();
            for (place, row) in rows.iter().enumerate() {
                sequences.extend(texts.sequences(*row, place as u32)?);
            }
            Ok((first, rows.len(), sequences))
        })
    })?;
    // label and probability of every row; a rank knows its own and adds nothing to the others'
    let mut found = vec![0.0; 2 * rows.len()];
    while let Some(part) = feed.take() {
        let (first, n, sequences) = part?;
        let logits_bc = network.forward(&sequences, Pass::Evaluation)?;
        let best = logits_bc.argmax(D::Minus1)?.to_vec1::<u32>()?;
        let probabilities = network.probabilities(&logits_bc)?.to_vec2::<f32>()?;
        for (place, (label, of_labels)) in best.iter().zip(probabilities).enumerate().take(n) {
            found[2 * (first + place)] = f64::from(*label);
            found[2 * (first + place) + 1] = f64::from(of_labels[*label as usize]);
        }
    }
    ranks.all_reduce_sum_f64(&mut found)?;
    let answered = rows.iter().zip(found.chunks_exact(2)).map(|(row, found)| {
        let target = texts.target(*row);
        let label = found[0] as u32;
        let worth =
            target.iter().find(|(known, _)| *known == label).map_or(0.0, |(_, worth)| f64::from(*worth));
        Ok(Answered {
            place: texts.place(*row)?,
            answer: labels[label as usize].clone(),
            confidence: found[1],
            worth,
            is_known: !target.is_empty(),
        })
    });
    answered.collect()
}
