//! Names of classes and attributes, counted in the data or read from a list.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::Shard;
use super::boxes::{Fault, named};
use super::settings::{NamesSettings, SampleSettings};
use crate::Error;

/// Names with their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    list: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    /// Names in the order of their numbers.
    pub fn new(list: Vec<String>) -> Names {
        let numbers = list.iter().enumerate().map(|(number, name)| (name.clone(), number)).collect();
        Names { list, numbers }
    }

    /// A file of one name a line. Several that mean the same may stand on it with commas between: the first is told, all
    /// are understood.
    ///
    /// # Errors
    /// A file that cannot be read; an empty line; a name that stands twice.
    pub fn read(path: &Path) -> Result<Names, Error> {
        let text = std::fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?;
        let unfit = |line: usize, what: &str| Error::Samples {
            path: path.to_path_buf(),
            what: format!("line {} {what}", line + 1),
            hint: "write one name a line, in the order of their numbers",
        };
        let mut names = Names::default();
        for (number, line) in text.lines().enumerate() {
            for name in line.split(',').map(str::trim) {
                if name.is_empty() {
                    return Err(unfit(number, "has an empty name"));
                }
                if names.numbers.insert(name.to_string(), number).is_some_and(|known| known != number) {
                    return Err(unfit(number, "has a name that stands on an earlier line"));
                }
            }
            names.list.push(line.split(',').next().unwrap_or_default().trim().to_string());
        }
        if names.list.is_empty() {
            return Err(unfit(0, "is missing: the list is empty"));
        }
        Ok(names)
    }

    /// Names in the order of their numbers.
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// The number of a name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Classes and attributes of some data sets.
pub(super) fn of(settings: &SampleSettings, shards: &[Shard]) -> Result<(Names, Names), Error> {
    let mut counted = [BTreeMap::new(), BTreeMap::new()];
    let is_counted = |of: &NamesSettings| of.file.is_none();
    if is_counted(&settings.classes) || settings.attributes.as_ref().is_some_and(is_counted) {
        let [classes, attributes] = &mut counted;
        for shard in shards {
            let of = &settings.sources[shard.source];
            let reader = shard.data.shard(shard.number)?;
            for sample in (0..reader.len()).map(|row| reader.short(row)).filter(|sample| of.takes(sample)) {
                for (_, class, like) in named(&sample.images[0], of, &mut |_: Fault| {}) {
                    *classes.entry(class.to_string()).or_insert(0) += 1;
                    for name in like {
                        *attributes.entry(name.to_string()).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    let [classes, attributes] = counted;
    let path = &settings.sources[0].path;
    let classes = list(&settings.classes, classes, path)?;
    let attributes = settings.attributes.as_ref().map(|of| list(of, attributes, path)).transpose()?;
    Ok((classes, attributes.unwrap_or_default()))
}

/// The most frequent name first; of equally frequent ones the one first in the alphabet.
fn list(of: &NamesSettings, counted: BTreeMap<String, u64>, path: &Path) -> Result<Names, Error> {
    if let Some(file) = &of.file {
        return Names::read(file);
    }
    let most = counted.values().max().copied().unwrap_or_default();
    let mut kept: Vec<(String, u64)> =
        counted.into_iter().filter(|(_, count)| *count >= of.least_boxes).collect();
    kept.sort_by(|(one, many), (other, few)| few.cmp(many).then_with(|| one.cmp(other)));
    if kept.is_empty() {
        return Err(Error::Samples {
            path: path.to_path_buf(),
            what: format!("no name has {} boxes; the most frequent one has {most}", of.least_boxes),
            hint: "lower least_boxes of data.classes or data.attributes, or build with boxes that have names and attributes",
        });
    }
    Ok(Names::new(kept.into_iter().map(|(name, _)| name).collect()))
}
