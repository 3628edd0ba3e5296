//! Self-critical training (Paper: 1612.00563).
//!
//! Captions are drawn from the model as it stands, compared with a baseline by CIDEr-D, and made likelier or less likely by how
//! much better they are. Published code takes gradients through the decoding itself, a step a token. Here decoding keeps no
//! gradients; one pass over all drawn captions of a picture follows, in which each token is asked for by a `[MASK]` of its own
//! that sees what decoding showed it: the same probabilities at once ([`asked_captions`]), with tags and regions computed once
//! for all captions of a picture. (All positions of one sequence without those `[MASK]`s would be other probabilities.)
//!
//! Captions are drawn without dropout, other than in the published code, and the pass has dropout as every training pass.

use data_specs::{SpecialIds, Tokenizer};
use finetune_metrics::captions::{DocumentFrequencies, Frequencies};
use pretrain::Result;
use pretrain::model::{Incremental, Pass};

use crate::captioner::Captioner;
use crate::decoding::{Caption, Draws, GreedySettings, SamplingSettings, greedy, sample};
use crate::losses::weighted;
use crate::pictures::Picture;
use crate::remembering::Remembering;
use crate::sequence::{Laid, Room, asked_captions};
use crate::settings::{BaselineKind, SelfCritical};
use crate::{Baseline, Rewards, caption_text, rewards};

/// A picture that captions are drawn for.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    pub(crate) picture: Picture,
    pub(crate) references: Vec<String>,
    /// In the batch of all ranks.
    pub(crate) place: u32,
}

/// What drawing and comparing need beside the network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Critic<'a> {
    pub(crate) settings: &'a SelfCritical,
    /// None: of the references of the batch.
    pub(crate) frequencies: Option<&'a DocumentFrequencies>,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) room: Room,
}

impl Critic<'_> {
    /// `Σ_pictures -1/S Σ_s reward_s · mean log p(tokens of s)`, with S drawn captions a picture.
    pub(crate) fn loss(
        &self,
        network: &Captioner,
        drawings: &[Drawing],
        [seed, step]: [u64; 2],
        pass: Pass,
    ) -> Result<candle_core::Tensor> {
        let (drawn, rewarded) = self.draw(&network.forgetful()?, drawings, [seed, step])?;
        let samples = self.settings.samples as f64;
        let (mut labels, mut weights) = (Vec::new(), Vec::new());
        for (captions, rewards) in drawn.iter().zip(&rewarded.rewards) {
            for (caption, reward) in captions.iter().zip(rewards) {
                let n = caption.tokens.len();
                labels.extend(&caption.tokens);
                weights.extend(std::iter::repeat_n((reward / (samples * n as f64)) as f32, n));
            }
        }
        let logits_kv = log_odds(network, drawings, &drawn, self.room, self.tokenizer.special(), pass)?;
        weighted(&logits_kv, &labels, weights)
    }

    /// Captions and what they are worth.
    pub(crate) fn draw(
        &self,
        captioner: &Captioner,
        drawings: &[Drawing],
        [seed, step]: [u64; 2],
    ) -> Result<(Vec<Vec<Caption>>, Rewards)> {
        let special = self.tokenizer.special();
        let SelfCritical { samples, max_length, baseline, .. } = *self.settings;
        let pictures: Vec<&Picture> = drawings.iter().map(|drawing| &drawing.picture).collect();
        let incremental = Incremental::new(&captioner.encoder)?;
        let mut model = Remembering::new(captioner, &incremental, &pictures, self.room, special)?;
        let text = |caption: &Caption| caption_text(self.tokenizer, caption);
        let greedy: Option<Vec<String>> = match baseline {
            BaselineKind::Greedy => {
                let settings = GreedySettings { max_length, ..GreedySettings::default() };
                let captions = greedy(&mut model.clone(), pictures.len(), special, &settings)?;
                Some(captions.iter().map(text).collect::<crate::Result<_>>()?)
            }
            BaselineKind::Sample => None,
        };
        let settings = SamplingSettings { max_length, samples, ..SamplingSettings::default() };
        let first_image = drawings.first().map_or(0, |drawing| u64::from(drawing.place));
        let draws = Draws { seed, step: step as u32, first_image };
        let drawn = sample(&mut model, pictures.len(), special, &settings, draws)?;
        let texts = drawn.iter().map(|captions| captions.iter().map(text).collect());
        let texts: Vec<Vec<String>> = texts.collect::<crate::Result<_>>()?;
        let references: Vec<Vec<String>> =
            drawings.iter().map(|drawing| drawing.references.clone()).collect();
        let baseline = greedy.as_deref().map_or(Baseline::OtherSamples, Baseline::Greedy);
        let frequencies = self.frequencies.map_or(Frequencies::Candidates, Frequencies::Given);
        let rewarded = rewards(&texts, baseline, &references, frequencies)?;
        Ok((drawn, rewarded))
    }
}

/// Logits of every token of every caption, in their order, as they were when it was drawn.
///
/// # Shapes
/// - result: \[tokens of all captions, v\]
pub(crate) fn log_odds(
    network: &Captioner,
    drawings: &[Drawing],
    drawn: &[Vec<Caption>],
    room: Room,
    special: SpecialIds,
    pass: Pass,
) -> Result<candle_core::Tensor> {
    let laid = drawings.iter().zip(drawn).map(|(drawing, captions)| {
        let captions: Vec<&[u32]> = captions.iter().map(|caption| caption.tokens.as_slice()).collect();
        let tokens = asked_captions(&captions, special).into_iter();
        Laid::new(tokens, &drawing.picture, room, special, drawing.place)
    });
    let laid: Vec<Laid> = laid.collect();
    // of the pairs of a token and its [MASK], the second
    let asked: Vec<Vec<usize>> =
        laid.iter().map(|sample| sample.written().skip(1).step_by(2).collect()).collect();
    network.head.logits(&network.hidden(&laid, &asked, pass)?)
}
