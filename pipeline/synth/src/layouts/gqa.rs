//! GQA: questions with programs, groups and entailed others; all of them, and the balanced ones.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Pieces, object_id};
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::corpus::{Shown, Split};
use crate::questions::{self, Knowledge, Question, Step, Template};
use crate::world::World;

/// Balanced questions a picture, about.
const EACH: usize = 5;
/// How often a balanced question is asked in a second wording, and how many that it entails are asked.
const REWORDED: f32 = 0.3;
const ENTAILED: usize = 2;
/// Questions of a picture that are there whatever the others are.
const OTHERS: usize = 3;
/// Questions of a picture at most: their ids are the picture's, and two digits.
const MOST: usize = 100;

/// The files of a split.
pub(crate) struct GqaFiles<'a> {
    pub(crate) all: &'a Path,
    pub(crate) balanced: &'a Path,
    pub(crate) choices: &'a Path,
}

/// A question as it is asked.
struct Asked<'a> {
    id: String,
    question: &'a Question,
    place: usize,
    wording: usize,
    balanced: bool,
}

/// Writes the questions of a split; returns how many there are, and how many are balanced.
pub(crate) fn gqa(
    world: &World,
    seed: u64,
    split: Split,
    shown: &[&Shown],
    files: &GqaFiles<'_>,
) -> Result<[u64; 2], Error> {
    let ask = |at: usize| questions::ask(world, &shown[at].scene, shown[at].slot.id);
    let allowed = |template: Template| !template.counts();
    let purpose = format!("gqa {}", split.of_gqa());
    let chosen = questions::balanced(seed, &purpose, shown.len(), EACH, allowed, ask);
    let (mut all, mut balanced) = (Pieces::create(files.all)?, Pieces::create(files.balanced)?);
    let mut choices = Pieces::create(files.choices)?;
    for file in [&mut all, &mut balanced, &mut choices] {
        file.raw("{")?;
    }
    let mut counts = [0, 0];
    let mut chosen = chosen.into_iter().peekable();
    for (picture, shown) in shown.iter().enumerate() {
        let possible = ask(picture);
        let mut wanted: Vec<(usize, usize, bool)> = Vec::new();
        while let Some(one) = chosen.next_if(|one| one.picture == picture) {
            wanted.push((one.question, one.wording, true));
        }
        let mut chance = Chance::new(seed, Stream::MoreQuestions, shown.slot.index);
        more(world, shown, &possible, &mut wanted, &mut chance);
        let asked: Vec<Asked<'_>> = wanted
            .into_iter()
            .enumerate()
            .map(|(number, (place, wording, balanced))| Asked {
                id: format!("{:08}", shown.slot.id * MOST as u64 + number as u64),
                question: &possible[place],
                place,
                wording,
                balanced,
            })
            .collect();
        for one in &asked {
            let value = value(world, shown, one, &asked);
            all.member(&one.id, &value)?;
            counts[0] += 1;
            if one.balanced {
                balanced.member(&one.id, &value)?;
                counts[1] += 1;
            }
            let plausible = plausible(world, one.question);
            choices.member(&one.id, &json!({ "valid": one.question.valid, "plausible": plausible }))?;
        }
    }
    for mut file in [all, balanced, choices] {
        file.raw("}\n")?;
        file.finish()?;
    }
    Ok(counts)
}

/// Adds other wordings, entailed questions and some that are only there.
fn more(
    world: &World,
    shown: &Shown,
    possible: &[Question],
    wanted: &mut Vec<(usize, usize, bool)>,
    chance: &mut Chance,
) {
    let able: Vec<usize> = (0..possible.len()).filter(|&at| !possible[at].template.counts()).collect();
    let mut known: BTreeSet<(usize, usize)> =
        wanted.iter().map(|&(place, wording, _)| (place, wording)).collect();
    let mut added = Vec::new();
    let mut add = |place: usize, wording: usize| {
        if known.len() < MOST && known.insert((place, wording)) {
            added.push((place, wording, false));
        }
    };
    for &(place, wording, _) in wanted.iter() {
        let question = &possible[place];
        let wordings = question.wordings.len();
        if wordings > 1 && chance.happens(REWORDED) {
            add(place, (wording + 1 + chance.below(wordings - 1)) % wordings);
        }
        let knowledge = Knowledge::of(world, &shown.scene, &question.tells);
        let mut follows: Vec<usize> = able
            .iter()
            .copied()
            .filter(|&other| other != place && knowledge.suffices(&possible[other].needs))
            .collect();
        chance.shuffle(&mut follows);
        for other in follows.into_iter().take(ENTAILED) {
            add(other, chance.below(possible[other].wordings.len()));
        }
    }
    for _ in 0..OTHERS {
        let other = *chance.pick(&able);
        add(other, chance.below(possible[other].wordings.len()));
    }
    wanted.extend(added);
}

fn value(world: &World, shown: &Shown, one: &Asked<'_>, asked: &[Asked<'_>]) -> Value {
    let question = one.question;
    let knowledge = Knowledge::of(world, &shown.scene, &question.tells);
    let entailed = asked
        .iter()
        .filter(|other| other.place != one.place && knowledge.suffices(&other.question.needs))
        .map(|other| other.id.as_str());
    let equivalent = asked.iter().filter(|other| other.place == one.place).map(|other| other.id.as_str());
    let text = &question.wordings[one.wording];
    let [structural, semantic, detailed] = question.types;
    let program: Vec<Value> = question.program.iter().map(Step::value).collect();
    let in_words: Vec<String> = question.program.iter().map(Step::text).collect();
    json!({
        "semantic": program,
        "entailed": entailed.collect::<Vec<_>>(),
        "equivalent": equivalent.collect::<Vec<_>>(),
        "question": text,
        "imageId": shown.slot.id.to_string(),
        "isBalanced": one.balanced,
        "groups": { "global": question.global, "local": format!("{detailed}-{}", question.meaning) },
        "answer": question.answer,
        "semanticStr": in_words.join("->"),
        "annotations": {
            "answer": spans(world, shown, question, &question.answer),
            "question": spans(world, shown, question, text),
            "fullAnswer": spans(world, shown, question, &question.sentence),
        },
        "types": { "detailed": detailed, "semantic": semantic, "structural": structural },
        "fullAnswer": question.sentence,
    })
}

/// Which words of a text mean which object: `{"3": "1002"}`, `{"3:5": "1002"}` for names of two words.
fn spans(world: &World, shown: &Shown, question: &Question, text: &str) -> Map<String, Value> {
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(['?', '.', ','])).collect();
    let mut found = Map::new();
    for &at in &question.about {
        let kind = &world.kinds[shown.scene.objects[at].kind];
        let name: Vec<&str> = kind.name.split(' ').collect();
        let starts = (0..(words.len() + 1).saturating_sub(name.len()))
            .filter(|&start| words[start..start + name.len()] == name[..]);
        for start in starts {
            let span = match name.len() {
                1 => start.to_string(),
                length => format!("{start}:{}", start + length),
            };
            found.entry(span).or_insert_with(|| object_id(shown.slot.id, at).to_string().into());
        }
    }
    found
}

/// Answers that would not surprise in this world: those in scope; of what others are on, in or held by, only
/// kinds that things are not on, in or held by themselves.
fn plausible(world: &World, question: &Question) -> Vec<String> {
    if question.template != Template::WhatIsThere {
        return question.valid.clone();
    }
    let kinds =
        world.kinds.iter().filter(|kind| kind.top.is_none() && kind.inside.is_none() && kind.hand.is_none());
    kinds.map(|kind| kind.name.clone()).collect()
}
