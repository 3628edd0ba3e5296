//! Which tensors the model gets, and which heads are there, left out or fresh.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::classifier::{CLASSIFIER, Classifier};
use super::config::Config;
use super::names::{BIAS, DECODER, DECODER_BIAS, Named, WORDS};
use super::source::Source;
use super::{Filled, Told};
use crate::model::Shapes;
use crate::{Error, Result};

const PREDICTIONS: &str = "cls.predictions";
const RELATIONSHIP: &str = "cls.seq_relationship";
const HEADS: [&str; 3] = [PREDICTIONS, RELATIONSHIP, CLASSIFIER];
const REGIONS: &str = "bert.img_embedding.";

/// Heads that are to be drawn, not taken.
#[derive(Debug)]
pub(super) struct Fresh(BTreeSet<&'static str>);

/// Where the numbers of a tensor come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    File(usize),
    /// The original has no such bias, which is a bias of zeros.
    Zeros,
}

/// What is written and what is told.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tensors: Vec<(String, Vec<usize>, From)>,
    /// Pairs that must be equal: the first is written, the second is a copy of it.
    pub(super) copies: Vec<[usize; 2]>,
    /// The decoder, where it may be the word embeddings' second copy; with the number of those.
    pub(super) decoder: Option<[usize; 2]>,
    pub(super) classifier: Option<Classifier>,
    pub(super) has_caption_head: bool,
    pub(super) unused: Vec<Told>,
    pub(super) fresh: Vec<Told>,
}

impl Fresh {
    pub(super) fn of(asked: &[String]) -> Result<Self> {
        let known = |name: &String| {
            HEADS.into_iter().find(|known| known == name).ok_or_else(|| Error::Setting {
                key: "--head".to_owned(),
                problem: format!("`{name}` is no head"),
                hint: format!("NAME=fresh with one of {}", HEADS.join(", ")),
            })
        };
        asked.iter().map(known).collect::<Result<_>>().map(Self)
    }

    fn has(&self, head: &str) -> bool {
        self.0.contains(head)
    }
}

impl Plan {
    /// Divides the tensors of a file among encoder, heads and the unused.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape; a head that would be random in silence.
    pub(super) fn of(source: &Source, mut named: Named, config: &mut Config, fresh: &Fresh) -> Result<Self> {
        let mut plan = Self {
            tensors: Vec::new(),
            copies: Vec::new(),
            decoder: None,
            classifier: None,
            has_caption_head: false,
            unused: std::mem::take(&mut named.unused),
            fresh: Vec::new(),
        };
        let mut problems = Vec::new();
        plan.encoder(&mut named, config, &mut problems);
        for head in HEADS {
            let names = named.of(&format!("{head}."));
            let there = !names.is_empty();
            if fresh.has(head) {
                plan.leave(source, &mut named, &names, "a fresh head was asked for");
                plan.fresh.push(Told::new(head, "as asked for by --head; not in the folder"));
            } else if let (false, Some(reason)) = (there, expected(head, config)) {
                return Err(Error::Unfit {
                    path: source.path().to_owned(),
                    field: head.to_owned(),
                    problem: format!("is not there, but {reason}"),
                    hint: format!(
                        "take the file that has it, or let a training draw it by --head {head}=fresh"
                    ),
                });
            } else if !there {
                if head != CLASSIFIER {
                    plan.fresh.push(Told::new(head, "not in the file; pre-training needs it"));
                }
            } else {
                match head {
                    PREDICTIONS => plan.predictions(&mut named, config, &mut problems),
                    RELATIONSHIP => plan.relationship(source, &mut named, config, &mut problems),
                    _ => plan.classifier(source, &mut named, config, &mut problems)?,
                }
            }
        }
        let others = named.of("bert.encoder.");
        problems.extend(others.into_iter().map(|name| format!("{name} belongs to another model")));
        if !problems.is_empty() {
            let (count, shown) = (problems.len(), problems.iter().take(8).cloned().collect::<Vec<_>>());
            return Err(Error::Unfit {
                path: source.path().to_owned(),
                field: format!("{count} tensors"),
                problem: format!(
                    "do not fit {}: {}{}",
                    config.path.display(),
                    shown.join("; "),
                    if count > shown.len() { "; ..." } else { "" }
                ),
                hint: "config and weights must be of one model".to_owned(),
            });
        }
        let left: Vec<String> = named.of("");
        plan.leave(source, &mut named, &left, "no part of the model or its heads");
        plan.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(plan)
    }

    /// Compares what the file has twice. A decoder that repeats the word embeddings is left out, for the two are one matrix
    /// here; another one stays, and the config says so.
    ///
    /// # Errors
    /// Copies that differ, numbers that are not finite.
    pub(super) fn settle(&mut self, source: &Source, config: &mut Config) -> Result<()> {
        for [first, second] in &self.copies {
            let (name, copy) = (&source.entries()[*first].name, &source.entries()[*second].name);
            if source.f32_bytes(*first)? != source.f32_bytes(*second)? {
                return Err(Error::Unfit {
                    path: source.path().to_owned(),
                    field: copy.clone(),
                    problem: format!("differs from {name}, whose copy it is"),
                    hint: "the file is damaged, or one of the two was changed alone".to_owned(),
                });
            }
            self.unused.push(Told::new(copy, format!("the same as {name}")));
        }
        let Some([words, decoder]) = self.decoder else { return Ok(()) };
        if source.f32_bytes(words)? == source.f32_bytes(decoder)? {
            self.tensors.retain(|(name, ..)| name != DECODER);
            let why = format!("tied: the same as {}", source.entries()[words].name);
            self.unused.push(Told::new(&source.entries()[decoder].name, why));
            self.decoder = None;
        } else {
            config.set("tie_weights", json!(false), "the decoder differs from the word embeddings");
        }
        Ok(())
    }

    /// Every tensor that was written, beside its name in the file.
    pub(super) fn filled(&self, source: &Source) -> Vec<Filled> {
        let filled = self.tensors.iter().map(|(name, shape, from)| {
            let entry = match from {
                From::File(number) => Some(&source.entries()[*number]),
                From::Zeros => None,
            };
            Filled {
                name: name.clone(),
                source: entry.map(|entry| entry.name.clone()),
                dtype: entry.map_or("zeros".to_owned(), |entry| entry.dtype.clone()),
                shape: shape.clone(),
            }
        });
        filled.collect()
    }

    fn encoder(&mut self, named: &mut Named, config: &Config, problems: &mut Vec<String>) {
        let shapes = Shapes::of_encoder(&config.model);
        if named.has(REGIONS) {
            self.take(named, &shapes, problems);
            return;
        }
        let mut of_words = Shapes::default();
        for (name, shape) in shapes.iter() {
            if name.starts_with(REGIONS) {
                self.fresh.push(Told::new(name, "the file knows no regions; a training draws it"));
            } else {
                of_words.add(name.to_owned(), shape);
            }
        }
        self.take(named, &of_words, problems);
    }

    /// Takes exactly these tensors, or says what is wrong with them.
    fn take(&mut self, named: &mut Named, shapes: &Shapes, problems: &mut Vec<String>) {
        for (name, shape) in shapes.iter() {
            let found = named.shapes.get(name).cloned();
            match (named.take(name), found) {
                (Some(number), Some(found)) if found == shape => {
                    self.tensors.push((name.to_owned(), found, From::File(number)));
                }
                (_, Some(found)) => problems.push(format!("{name} is {found:?}, not {shape:?}")),
                (_, None) => problems.push(format!("{name} is missing")),
            }
        }
    }

    fn predictions(&mut self, named: &mut Named, config: &mut Config, problems: &mut Vec<String>) {
        let (v, h) = (config.model.vocab_size, config.model.hidden_size);
        let mut shapes = Shapes::default();
        shapes.linear("cls.predictions.transform.dense", h, h);
        shapes.norm("cls.predictions.transform.LayerNorm", h);
        let has_bias = named.shapes.contains_key(BIAS);
        if has_bias {
            shapes.add(BIAS.to_owned(), &[v]);
        } else if named.shapes.contains_key(DECODER) {
            self.tensors.push((BIAS.to_owned(), vec![v], From::Zeros));
        } else {
            problems.push(format!("{BIAS} is missing"));
        }
        let own_decoder = named.shapes.contains_key(DECODER);
        if own_decoder {
            shapes.add(DECODER.to_owned(), &[v, h]);
        }
        self.take(named, &shapes, problems);
        let number = |name: &str| {
            self.tensors.iter().find_map(|(known, _, from)| match from {
                From::File(number) if known == name => Some(*number),
                _ => None,
            })
        };
        if let (Some(words), Some(decoder)) = (number(WORDS), number(DECODER)) {
            self.decoder = Some([words, decoder]);
        }
        if let (Some(bias), Some(copy)) = (number(BIAS), named.shapes.get(DECODER_BIAS).cloned()) {
            match named.take(DECODER_BIAS) {
                Some(second) if copy == [v] => self.copies.push([bias, second]),
                _ => problems.push(format!("{DECODER_BIAS} is {copy:?}, not {:?}", [v])),
            }
        }
        self.has_caption_head = true;
    }

    /// Another number of rows than the config's is no error: as published, the head is then drawn.
    fn relationship(
        &mut self,
        source: &Source,
        named: &mut Named,
        config: &mut Config,
        problems: &mut Vec<String>,
    ) {
        let rows = named.shapes.get("cls.seq_relationship.weight").and_then(|shape| shape.first()).copied();
        let said = config.said("num_contrast_classes").is_some();
        let classes = config.model.num_contrast_classes;
        let has_classes = |rows: usize| if said { rows == classes } else { (2..=3).contains(&rows) };
        match rows {
            Some(rows) if has_classes(rows) => {
                if !said {
                    config
                        .changes
                        .push(Told::new("num_contrast_classes", format!("{rows}: of {RELATIONSHIP}")));
                }
                config.model.num_contrast_classes = rows;
                let mut shapes = Shapes::default();
                shapes.linear(RELATIONSHIP, rows, config.model.hidden_size);
                self.take(named, &shapes, problems);
            }
            _ => {
                let why = match rows {
                    Some(rows) if said => format!("has {rows} classes, the config {classes}"),
                    Some(rows) => format!("has {rows} classes; 2 or 3 can be learnt"),
                    None => "has no weight".to_owned(),
                };
                let names = named.of("cls.seq_relationship.");
                self.leave(source, named, &names, &why);
                self.fresh.push(Told::new(RELATIONSHIP, format!("{why}; a training draws it")));
            }
        }
    }

    fn classifier(
        &mut self,
        source: &Source,
        named: &mut Named,
        config: &mut Config,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        let head = Classifier::of(source, named, config)?;
        self.take(named, &head.shapes(config.model.hidden_size), problems);
        let surplus = named.of("classifier.").into_iter();
        problems.extend(surplus.map(|name| format!("{name} belongs to another classifier")));
        head.write_down(config);
        self.classifier = Some(head);
        Ok(())
    }

    fn leave(&mut self, source: &Source, named: &mut Named, names: &[String], why: &str) {
        for name in names {
            if let Some(number) = named.take(name) {
                self.unused.push(Told::new(&source.entries()[number].name, why));
            }
        }
    }
}

/// What in the config says that a head must be there.
fn expected(head: &str, config: &Config) -> Option<String> {
    let task = config.word("finetuning_task");
    let is_captioner = task.is_some_and(|task| task.contains("caption"));
    let program = config.said("architectures").and_then(Value::as_array).and_then(|names| {
        let names = names.iter().filter_map(Value::as_str);
        names.into_iter().find(|name| match head {
            PREDICTIONS => name.contains("MaskedLM") || name.contains("PreTraining"),
            RELATIONSHIP => name.contains("NextSentence") || name.contains("PreTraining"),
            _ => name.contains("Classification"),
        })
    });
    if let Some(program) = program {
        return Some(format!("architectures in the config says {program}"));
    }
    match head {
        PREDICTIONS if is_captioner => task.map(|task| format!("finetuning_task in the config is {task}")),
        CLASSIFIER if !is_captioner => task
            .map(|task| format!("finetuning_task in the config is {task}"))
            .or_else(|| config.word("classifier").map(|form| format!("classifier in the config is {form}"))),
        _ => None,
    }
}
