//! Cached decoding against computing everything anew.

use candle_core::{Device, Tensor};
use data_specs::SpecialIds;
use pretrain::model::{Incremental, ModelConfig, Pass, initialise};
use pretrain_kernels::Precision;
use pretrain_training::{Generator, Stream};
use serde_json::json;

use crate::captioner::{Captioner, shapes};
use crate::constrained::{Automaton, ConstrainedSettings, Constraint, constrained_beam_search};
use crate::decoding::{
    BeamSettings, Caption, Draws, GreedySettings, ModelError, NextToken, Open, SamplingSettings, beam_search,
    greedy, sample,
};
use crate::pictures::Picture;
use crate::remembering::Remembering;
use crate::self_critical::{Drawing, log_odds};
use crate::sequence::{Laid, Room, one_caption};

const SPECIAL: SpecialIds = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
const ROOM: Room = Room { caption: 9, tags: 6, first_tag: 12 };
const VOCABULARY: usize = 40;
const WIDTH: usize = 13;

fn captioner(tied: bool) -> Captioner {
    let config = json!({
        "vocab_size": VOCABULARY, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 40, "max_position_embeddings": 20, "img_feature_dim": WIDTH,
        "use_img_layernorm": true, "initializer_range": 0.4,
    });
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let mut tensors = initialise(&shapes(&config, tied), &config, 5).unwrap();
    // some captions end, some do not
    let mut bias = vec![0f32; VOCABULARY];
    bias[SPECIAL.sep as usize] = 4.0;
    tensors
        .insert("cls.predictions.bias".to_owned(), Tensor::from_vec(bias, VOCABULARY, &Device::Cpu).unwrap());
    Captioner::new(&config, &tensors, Precision::F32).unwrap()
}

/// Pictures of 0 to 4 tags and 0 to 3 regions, never without both.
fn pictures(n: usize) -> Vec<Picture> {
    let generator = Generator::new(3, Stream::DrawnPictures, 0);
    let of = |number: usize| {
        let n_regions = if number.is_multiple_of(5) { 2 } else { number % 4 };
        Picture {
            tags: (0..number % 5).map(|tag| 20 + (7 * number + tag) as u32 % 20).collect(),
            regions: (0..n_regions * WIDTH)
                .map(|i| generator.normal((1000 * number + i) as u64, 0.0, 1.0) as f32)
                .collect(),
            n_regions,
        }
    };
    (0..n).map(of).collect()
}

/// Computes everything anew for every token.
struct Recomputing<'a> {
    captioner: &'a Captioner,
    pictures: Vec<&'a Picture>,
}

impl NextToken for Recomputing<'_> {
    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> Result<(), ModelError> {
        let laid = open.rows().iter().enumerate().map(|(row, known)| {
            let mut tokens = open.tokens(row).to_vec();
            tokens.push(SPECIAL.mask);
            Laid::new(one_caption(&tokens), self.pictures[known.image], ROOM, SPECIAL, row as u32)
        });
        let laid: Vec<Laid> = laid.collect();
        let asked = vec![vec![open.length()]; laid.len()];
        let hidden = self.captioner.hidden(&laid, &asked, Pass::Evaluation)?;
        logits_rv.copy_from_slice(&self.captioner.head.logits(&hidden)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}

/// Asks both, and compares.
struct Both<'a>(Remembering<'a>, Recomputing<'a>, f32);

impl NextToken for Both<'_> {
    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> Result<(), ModelError> {
        let mut cached = vec![f32::NAN; logits_rv.len()];
        self.0.logits(open, &mut cached)?;
        self.1.logits(open, logits_rv)?;
        let apart = cached.iter().zip(logits_rv).fold(0f32, |apart, (a, b)| apart.max((a - *b).abs()));
        assert!(apart < 1e-4, "length {}: {apart} apart", open.length());
        self.2 = self.2.max(apart);
        Ok(())
    }
}

fn cached<'a>(captioner: &'a Captioner, pictures: &[&Picture]) -> Remembering<'a> {
    let incremental = Incremental::new(&captioner.encoder).unwrap();
    Remembering::new(captioner, &incremental, pictures, ROOM, SPECIAL).unwrap()
}

fn constraint(pieces: &[&[u32]]) -> Constraint {
    Constraint::new(pieces.iter().map(|forms| forms.to_vec()).collect())
}

type Decode = Box<dyn Fn(&mut dyn NextToken, usize) -> Vec<Vec<Caption>>>;

fn ways() -> Vec<(&'static str, Decode)> {
    let greedily: Decode = Box::new(|model, n| {
        let settings = GreedySettings { max_length: 11, ..GreedySettings::default() };
        greedy(model, n, SPECIAL, &settings).unwrap().into_iter().map(|one| vec![one]).collect()
    });
    let drawn: Decode = Box::new(|model, n| {
        let settings = SamplingSettings { max_length: 11, samples: 3, ..SamplingSettings::default() };
        sample(model, n, SPECIAL, &settings, Draws { seed: 4, step: 2, first_image: 0 }).unwrap()
    });
    let beams: Decode = Box::new(|model, n| {
        let settings = BeamSettings { max_length: 11, beams: 4, keep: 2, ..BeamSettings::default() };
        beam_search(model, n, SPECIAL, &settings).unwrap()
    });
    let constrained: Decode = Box::new(|model, n| {
        let constraints = [constraint(&[&[8, 9]]), constraint(&[&[10], &[11, 12]])];
        let automaton = Automaton::new(&constraints).unwrap();
        let settings = ConstrainedSettings { max_length: 9, beams: 2, satisfy: 2 };
        let found = constrained_beam_search(model, &vec![automaton; n], SPECIAL, &settings).unwrap();
        assert!(found.iter().all(|found| found.satisfied == [true, true]));
        found.into_iter().map(|found| vec![found.caption]).collect()
    });
    vec![("greedy", greedily), ("drawn", drawn), ("beams", beams), ("constrained", constrained)]
}

#[test]
fn cached_is_uncached() {
    let pictures = pictures(7);
    let all: Vec<&Picture> = pictures.iter().collect();
    for tied in [true, false] {
        let captioner = captioner(tied);
        let mut lengths = std::collections::BTreeSet::new();
        for (name, decode) in ways() {
            let mut both = Both(
                cached(&captioner, &all),
                Recomputing { captioner: &captioner, pictures: all.clone() },
                0.0,
            );
            let wanted = decode(&mut both, 7);
            assert!(both.2 > 0.0, "two ways, the same bits? {name}");
            let got = decode(&mut cached(&captioner, &all), 7);
            for (got, wanted) in got.iter().flatten().zip(wanted.iter().flatten()) {
                assert_eq!(got.tokens, wanted.tokens, "{name}");
                assert!((got.score - wanted.score).abs() < 1e-4, "{name}");
            }
            lengths.extend(wanted.iter().flatten().map(|caption| caption.tokens.len()));
            // a picture's captions do not depend on the others
            let alone = decode(&mut cached(&captioner, &[all[0]]), 1);
            assert_eq!(alone[0], got[0], "{name}");
        }
        assert!(lengths.len() > 3, "captions end at different lengths: {lengths:?}");
    }
}

/// The pass that gradients come from gives the probabilities that captions were drawn with.
#[test]
fn probabilities_of_training_are_those_of_decoding() {
    let (captioner, pictures) = (captioner(true), pictures(5));
    let all: Vec<&Picture> = pictures.iter().collect();
    let settings = SamplingSettings { max_length: 12, samples: 4, ..SamplingSettings::default() };
    let draws = Draws { seed: 9, step: 1, first_image: 0 };
    let drawn = sample(&mut cached(&captioner, &all), 5, SPECIAL, &settings, draws).unwrap();
    let drawings: Vec<Drawing> = pictures
        .iter()
        .zip(0..)
        .map(|(picture, place)| Drawing { picture: picture.clone(), references: vec![], place })
        .collect();
    let logits: Tensor = log_odds(&captioner, &drawings, &drawn, ROOM, SPECIAL, Pass::Evaluation).unwrap();
    let mut rows = logits.to_vec2::<f32>().unwrap().into_iter();
    for caption in drawn.iter().flatten() {
        let mut sum = 0.0;
        for token in &caption.tokens {
            let row = rows.next().unwrap();
            let normaliser: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum += f64::from(row[*token as usize]) - normaliser.ln();
        }
        let apart = (sum / caption.tokens.len() as f64 - caption.score).abs();
        assert!(apart < 1e-5, "{caption:?}: {apart} apart");
    }
    assert!(rows.next().is_none());
}
