//! Labelled pictures from a disk, as the loop sees them.

mod folder;
mod shards;
mod tars;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_specs::Dataset;
use finetune_backbones::training::{LabelledPictures, Unreadable, View};
use finetune_regions::augmentation::{Augmentation, Occasion};
use finetune_regions::decoding::{Limits, decode};
use finetune_regions::preparation::Preparation;

use super::Error;
use super::settings::DataFormat;

/// Where every picture is, and its class; pixels are read when they are asked for.
#[derive(Debug)]
pub(crate) struct Index {
    classes: Vec<String>,
    entries: Vec<Entry>,
    store: Store,
}

#[derive(Debug)]
struct Entry {
    class: usize,
    place: Place,
}

/// Within its [`Store`].
#[derive(Debug)]
enum Place {
    File(PathBuf),
    /// Bytes of a tar.
    Span {
        tar: usize,
        name: String,
        offset: u64,
        length: u64,
    },
    /// A row of a shard.
    Row {
        shard: usize,
        row: usize,
    },
}

#[derive(Debug)]
enum Store {
    Files,
    Tars(Vec<(PathBuf, File)>),
    Shards(Box<Dataset>),
}

/// What an index is made of: a picture, and its class by name.
struct Found {
    class: String,
    place: Place,
}

/// Pictures as a network reads them.
#[derive(Debug)]
pub(crate) struct Pictures {
    pub(crate) index: Index,
    pub(crate) preparation: Preparation,
    pub(crate) augmentation: Augmentation,
    pub(crate) seed: u64,
}

/// Endings of pictures that can be decoded.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "bmp"];

impl Index {
    /// Looks through `path`. With `classes` these are the classes, in this order; without, all that are found, sorted.
    ///
    /// # Errors
    /// Files that cannot be read or are not of this format; no pictures; a class that is not among `classes`.
    pub(crate) fn open(path: &Path, format: DataFormat, classes: Option<&[String]>) -> Result<Self, Error> {
        let (found, store) = match format {
            DataFormat::Folder => (folder::scan(path)?, Store::Files),
            DataFormat::Tars => {
                let tars::Scanned { found, tars } = tars::scan(path)?;
                (found, Store::Tars(tars))
            }
            DataFormat::Shards => {
                shards::scan(path).map(|(found, dataset)| (found, Store::Shards(Box::new(dataset))))?
            }
        };
        let inputs = |problem: String| Error::Inputs { path: path.to_owned(), problem };
        if found.is_empty() {
            return Err(inputs("holds no labelled pictures; docs/training.md shows the formats".to_owned()));
        }
        let classes = classes.map_or_else(|| sorted_classes(&found), <[String]>::to_vec);
        let entries = found.into_iter().map(|Found { class, place }| {
            match classes.iter().position(|known| *known == class) {
                Some(class) => Ok(Entry { class, place }),
                None => Err(inputs(format!(
                    "has the class {class:?}, which is not one of the {} that are trained: {}",
                    classes.len(),
                    shown(&classes)
                ))),
            }
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, classes, store })
    }

    pub(crate) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// How a message calls it.
    fn name(&self, entry: &Entry) -> String {
        match (&entry.place, &self.store) {
            (Place::File(path), _) => path.display().to_string(),
            (Place::Span { tar, name, .. }, Store::Tars(tars)) => {
                format!("{}:{name}", tars[*tar].0.display())
            }
            (Place::Row { shard, row }, Store::Shards(dataset)) => {
                format!("{} row {row}", dataset.manifest().shards[*shard].name)
            }
            (place, _) => format!("{place:?}"),
        }
    }

    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match (&entry.place, &self.store) {
            (Place::File(path), _) => std::fs::read(path).map_err(|error| text(&error)),
            (Place::Span { tar, offset, length, .. }, Store::Tars(tars)) => {
                let mut bytes = vec![0; *length as usize];
                tars[*tar].1.read_exact_at(&mut bytes, *offset).map_err(|error| text(&error))?;
                Ok(bytes)
            }
            (Place::Row { shard, row }, Store::Shards(dataset)) => {
                let reader = dataset.shard(*shard).map_err(|error| text(&error))?;
                let sample = reader.whole_row(*row).map_err(|error| text(&error))?;
                let image = sample.images.into_iter().next().and_then(|picture| picture.image);
                let bytes = image
                    .and_then(|image| image.bytes)
                    .ok_or("keeps no picture; build with images.keep = \"full\"")?;
                Ok(bytes.to_vec())
            }
            _ => Err("lies nowhere".to_owned()),
        }
    }
}

impl LabelledPictures for Pictures {
    fn n_pictures(&self) -> u64 {
        self.index.entries.len() as u64
    }

    fn classes(&self) -> &[String] {
        self.index.classes()
    }

    fn class_of(&self, picture: u64) -> usize {
        self.index.entries[picture as usize].class
    }

    fn side(&self) -> usize {
        self.preparation.crop.unwrap_or_default() as usize
    }

    fn load(&self, picture: u64, view: View, x_chw: &mut [f32]) -> Result<(), Unreadable> {
        let entry = &self.index.entries[picture as usize];
        let unreadable = |reason: String| Unreadable { name: self.index.name(entry), reason };
        let bytes = self.index.bytes(entry).map_err(unreadable)?;
        let decoded = decode(&bytes, &Limits::default()).map_err(|error| unreadable(error.to_string()))?;
        let done = match view {
            View::Evaluation => {
                self.preparation.prepare(&decoded).map(|prepared| x_chw.copy_from_slice(&prepared.x_chw))
            }
            View::Training { epoch } => {
                let occasion = Occasion { seed: self.seed, epoch, picture };
                let Preparation { filter, normalisation, .. } = &self.preparation;
                self.augmentation.apply(&decoded, *filter, normalisation, occasion, x_chw)
            }
        };
        done.map_err(|error| unreadable(error.to_string()))
    }
}

/// Numbers by their value, names by their letters.
fn sorted_classes(found: &[Found]) -> Vec<String> {
    let mut classes: Vec<String> = found.iter().map(|found| found.class.clone()).collect();
    let are_numbers = classes.iter().all(|class| class.parse::<u32>().is_ok_and(|n| n.to_string() == *class));
    classes.sort_by(|a, b| if are_numbers { (a.len(), a).cmp(&(b.len(), b)) } else { a.cmp(b) });
    classes.dedup();
    classes
}

fn shown(classes: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = if classes.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", classes[..classes.len().min(SHOWN)].join(", "))
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// Names of a folder, sorted.
fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(read)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(read)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
