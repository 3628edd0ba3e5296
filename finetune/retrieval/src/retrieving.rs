//! Retrieval with its data, as the loop knows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use data_specs::{RowId, Tokenizer};
use finetune_harness::{
    Description, Error, Layout, Network, Opened, Opening, Pictures, Result, Scores, Settings, Task,
};
use pretrain::Example;
use pretrain::model::{ModelConfig, Pass, Tensors};
use pretrain_comm::Collective;
use pretrain_kernels::Precision;
use serde_json::json;

use crate::candidates::{published, require_tags, shortlist};
use crate::gallery::{Captions, Gallery, SPEC};
use crate::matcher::{CLASSES, HEAD, Matcher, loss};
use crate::negatives::{Negative, Negatives};
use crate::pairs::Pairs;
use crate::report::report;
use crate::scoring::Scorer;
use crate::settings::{Direction, Retrieval};
use crate::similarity::Similarity;

/// The task, its data and what is held out.
#[derive(Debug)]
pub(crate) struct Retrieving {
    direction: Direction,
    settings: Retrieval,
    config: ModelConfig,
    tokenizer: Tokenizer,
    layout: Layout,
    micro: usize,
    train: Gallery,
    /// The first caption of every shard.
    sections: Vec<u32>,
    negatives: Negatives,
    held_out: Option<HeldOut>,
    precision: Precision,
}

#[derive(Debug)]
struct HeldOut {
    gallery: Gallery,
    pairs: Pairs,
}

/// A caption beside its picture, and a wrong pair.
#[derive(Debug)]
pub(crate) struct Right {
    pair: [Example; 2],
}

impl Retrieving {
    /// Opens model and data, each checked against the other.
    pub(crate) fn open(direction: Direction, settings: &Settings<Retrieval>) -> Result<Opened<Self>> {
        let (task, data, model) = (&settings.task, &settings.data, &settings.model);
        task.validate(direction)?;
        let network = Network::open(model, &data.train)?;
        let config = network.config.clone();
        refuse_other_head(&network, model.replace_head)?;
        let first =
            network.first_weights(&Matcher::shapes(&config), HEAD, model.replace_head, settings.seed)?;
        let with_tags = with_tags(&data.layout);
        let opening = Opening {
            role: "train",
            sets: &data.train,
            verify: data.verify,
            layout: &with_tags,
            pictures: Pictures::One,
            config: &config,
            tokenizer: &network.tokenizer,
            with_unknown: false,
            spec: SPEC,
            open_shards: usize::MAX, // any picture may be the negative of any other
        };
        let train = Gallery::open(&opening, Captions::UpTo(task.captions_per_image))?;
        let mut negatives = Negatives { seed: settings.seed, n_drawn: task.hard_negatives, similarity: None };
        if task.hard_negatives > 1 {
            let similarity = Similarity::new(&train);
            require_tags(&similarity, "task.hard_negatives")?;
            negatives.similarity = Some(similarity);
        }
        let held_out = match data.held_out.as_slice() {
            [] => None,
            sets => {
                let opening = Opening { role: "held_out", sets, ..opening };
                let gallery = Gallery::open(&opening, Captions::Exactly(task.captions_per_image, None))?;
                let pairs = match (&task.minival, task.candidates) {
                    (Some(path), _) => published(&gallery, path)?,
                    (None, Some(n)) => shortlist(&gallery, direction, n, true)?,
                    (None, None) => Pairs::all(gallery.n_pictures(), gallery.n_captions()),
                };
                Some(HeldOut { gallery, pairs })
            }
        };
        let mut told = vec![format!("{} layers of {}", config.num_hidden_layers, config.hidden_size)];
        for (what, names) in [
            ("drawn, as the model folder does not have them", &first.drawn),
            ("not of this task, left out", &first.left_out),
        ] {
            told.extend((!names.is_empty()).then(|| format!("{what}: {}", names.join(", "))));
        }
        told.push(train.summary("to learn from"));
        told.extend(held_out.as_ref().map(|HeldOut { gallery, pairs }| {
            format!("{}; {} pairs are scored", gallery.summary("held out"), pairs.len())
        }));
        let sections = train.n_samples().into_iter().scan(0, |end, n| {
            let first = *end;
            *end += n as u32;
            Some(first)
        });
        let task = Self {
            direction,
            settings: task.clone(),
            tokenizer: network.tokenizer,
            layout: data.layout.clone(),
            micro: settings.batch.micro as usize,
            sections: sections.collect(),
            train,
            negatives,
            held_out,
            config,
            precision: model.precision,
        };
        Ok(Opened { task: Arc::new(task), tensors: first.tensors, told })
    }

    fn lay(&self, Negative { picture, caption }: Negative, place: u32) -> Result<Example> {
        self.train.example(picture, caption, &self.layout, place)
    }
}

/// Tags are read even where none stand beside captions: likeness by words needs them.
pub(crate) fn with_tags(layout: &Layout) -> Layout {
    Layout { tags: true, ..layout.clone() }
}

/// A head of two classes that another task has trained says something else.
fn refuse_other_head(network: &Network, replace: bool) -> Result<()> {
    let Some(folder) = network.folder().filter(|_| !replace) else { return Ok(()) };
    match Description::find(folder)? {
        Some(found) if Direction::of(&found.task).is_none() => Err(Error::Unfit {
            path: folder.to_owned(),
            field: "the head".to_owned(),
            problem: format!("answers `{}`, not whether caption and picture belong together", found.task),
            hint: "draw a new head by --set model.replace_head=true".to_owned(),
        }),
        _ => Ok(()),
    }
}

impl Task for Retrieving {
    type Example = Right;
    type Network = Matcher;

    fn n_samples(&self) -> Vec<u64> {
        self.train.n_samples()
    }

    fn example(&self, sample: RowId, step: u32, place: u32) -> Result<Right> {
        let caption = self.sections[sample.shard as usize] + sample.row as u32;
        let own = Negative { picture: self.train.picture_of(caption), caption };
        let wrong = self.negatives.of(&self.train, caption, step, place);
        Ok(Right { pair: [self.lay(own, 2 * place)?, self.lay(wrong, 2 * place + 1)?] })
    }

    fn network(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Matcher> {
        Matcher::new(
            &self.config,
            self.settings.attention,
            Tensors::new(tensors).computing_in(self.precision),
        )
    }

    fn loss(&self, network: &Matcher, examples: &[Right], pass: Pass) -> Result<Tensor> {
        let all: Vec<Example> = examples.iter().flat_map(|right| right.pair.iter().cloned()).collect();
        let labels = [1, 0].repeat(examples.len());
        loss(&network.logits(&all, pass)?, &labels)
    }

    fn evaluate(&self, network: &Matcher, ranks: &dyn Collective) -> Result<Option<Scores>> {
        let Some(HeldOut { gallery, pairs }) = &self.held_out else { return Ok(None) };
        let scorer = Scorer {
            matcher: network,
            gallery,
            max_tokens: self.layout.max_tokens,
            tags: self.layout.tags,
            micro: 2 * self.micro,
        };
        let scores = scorer.score(pairs, ranks, &|_| {})?;
        let is_whole = self.settings.minival.is_none() && self.settings.candidates.is_none();
        let directions = match (self.direction, is_whole) {
            (Direction::Images, true) => vec![Direction::Images, Direction::Texts],
            (Direction::Texts, true) => vec![Direction::Texts, Direction::Images],
            (one, false) => vec![one],
        };
        Ok(Some(report(gallery, pairs, &scores, &directions, &[])))
    }

    fn write(&self, tensors: BTreeMap<String, Tensor>, folder: &Path) -> Result<()> {
        // where candidates come from is the training's, not the model's
        let settings = Retrieval { candidates: None, minival: None, ..self.settings.clone() };
        let description = Description::of(self.direction.name(), &settings, &self.layout);
        let head =
            [("num_labels", json!(CLASSES)), ("classifier", json!("linear")), ("loss_type", json!("ce"))];
        description.write(folder, (&self.config, tensors), &self.tokenizer, &head, &[])
    }
}
