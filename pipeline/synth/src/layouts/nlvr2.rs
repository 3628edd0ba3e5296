//! NLVR2: one JSON object a line, a statement about a pair with its truth.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::Pieces;
use crate::Error;
use crate::chance::{Chance, Stream};
use crate::corpus::{Shown, Split, names::focus};
use crate::texts::{Pair, statements};
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
    let mut file = Pieces::create(path)?;
    let mut count = 0;
    for of_set in shown.as_chunks::<8>().0 {
        let first = of_set[0].slot;
        let set = (first.id - 1) / 8;
        let kinds = focus(world, seed, first);
        let [a, b, c, d, e, f, g, h] = of_set.map(|shown| &shown.scene);
        let pairs: [Pair<'_>; 4] = [[a, b], [c, d], [e, f], [g, h]];
        let mut chance = Chance::new(seed, Stream::Captions, first.index);
        for (number, statement) in statements(world, &pairs, &kinds, &mut chance).into_iter().enumerate() {
            let (writer, reader) = (chance.below(100).to_string(), 100 + chance.below(100));
            for (pair, truth) in statement.truths.iter().enumerate() {
                let label = if *truth { "True" } else { "False" };
                let identifier = format!("{}-{set}-{pair}-{number}", split.of_nlvr2());
                let validation = Map::from_iter([(reader.to_string(), Value::from(label))]);
                let line = json!({ "validation": validation, "sentence": statement.sentence, "left_url": "",
                    "writer": writer, "label": label, "right_url": "", "synset": world.kinds[kinds[0]].name,
                    "query": format!("{set}"), "identifier": identifier, "extra_validations": {} });
                file.line(&line.to_string())?;
                count += 1;
            }
        }
    }
    file.finish()?;
    Ok(count)
}
