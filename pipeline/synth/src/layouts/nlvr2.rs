//! NLVR2: one JSON object a line, a statement about a pair with its truth.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Pieces;
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::corpus::{Shown, Split, names::focus};
use crate::texts::{Pair, plain_statements, statements};
use crate::world::World;

/// Writes `train.json`, `dev.json` or `test1.json`; returns how many lines there are.
///
/// `shown` are whole sets of eight pictures in their order: left and right of four pairs.
pub(crate) fn nlvr2(
    world: &World,
    seed: u64,
    split: Split,
    shown: &[&Shown],
    path: &Path,
) -> Result<u64, Error> {
    let mut lines = Lines { file: Pieces::create(path)?, world, seed, split, count: 0 };
    for of_set in shown.as_chunks::<8>().0 {
        let pairs = pairs(of_set);
        let mut chance = Chance::new(seed, Stream::Captions, of_set[0].slot.index);
        for (number, statement) in statements(world, &pairs, &mut chance).into_iter().enumerate() {
            let by = [chance.below(100), 100 + chance.below(100)];
            for (pair, truth) in statement.truths.iter().enumerate() {
                lines.write(of_set[0], [pair, number], by, &statement.sentence, *truth)?;
            }
        }
    }
    lines.finish()
}

/// Writes `train_plain.json`: the plainest statements about the same pairs, to begin with.
pub(crate) fn nlvr2_plain(
    world: &World,
    seed: u64,
    split: Split,
    shown: &[&Shown],
    path: &Path,
) -> Result<u64, Error> {
    let mut lines = Lines { file: Pieces::create(path)?, world, seed, split, count: 0 };
    for of_set in shown.as_chunks::<8>().0 {
        let mut chance = Chance::new(seed, Stream::Captions, !of_set[0].slot.index);
        for (at, pair) in pairs(of_set).iter().enumerate() {
            let told = plain_statements(world, pair, &mut chance);
            for (number, (sentence, truth)) in (PLAIN..).zip(told) {
                let by = [chance.below(100), 100 + chance.below(100)];
                lines.write(of_set[0], [at, number], by, &sentence, truth)?;
            }
        }
    }
    lines.finish()
}

/// The number of the first plain statement of a pair: beyond those of all others.
const PLAIN: usize = 100;

fn pairs<'a>(of_set: &[&'a Shown; 8]) -> [Pair<'a>; 4] {
    let [a, b, c, d, e, f, g, h] = of_set.map(|shown| &shown.scene);
    [[a, b], [c, d], [e, f], [g, h]]
}

struct Lines<'a> {
    file: Pieces,
    world: &'a World,
    seed: u64,
    split: Split,
    count: u64,
}

impl Lines<'_> {
    /// A statement about a pair of the set that begins with `first`; `by` are its writer and its reader.
    fn write(
        &mut self,
        first: &Shown,
        [pair, number]: [usize; 2],
        by: [usize; 2],
        sentence: &str,
        truth: bool,
    ) -> Result<(), Error> {
        let set = (first.slot.id - 1) / 8;
        let kind = focus(self.world, self.seed, first.slot)[0];
        let label = if truth { "True" } else { "False" };
        let identifier = format!("{}-{set}-{pair}-{number}", self.split.of_nlvr2());
        let [writer, reader] = by.map(|person| person.to_string());
        let validation = Map::from_iter([(reader, Value::from(label))]);
        let line = json!({ "validation": validation, "sentence": sentence, "left_url": "", "writer": writer,
            "label": label, "right_url": "", "synset": self.world.kinds[kind].name, "query": format!("{set}"),
            "identifier": identifier, "extra_validations": {} });
        self.file.line(&line.to_string())?;
        self.count += 1;
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        self.file.finish()?;
        Ok(self.count)
    }
}
