//! From a world and a number of pictures to a folder of files: all of them, or none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::names::folder;
use super::plan::{Pool, Slot, Split, plan};
use super::{Shown, crops, pictures};
use crate::world::World;
use crate::{Error, layouts};

/// How large a corpus, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorpusOptions {
    /// Pictures in all.
    pub images: usize,
    /// Another seed, other pictures; the same seed, the same bytes.
    pub seed: u64,
}

/// What a caller hears while a corpus is made.
pub trait Watch: Sync {
    /// So many of all pictures are drawn.
    fn drawn(&self, done: usize, all: usize);
    /// Whether to stop; nothing is left behind then.
    fn interrupted(&self) -> bool;
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The folder.
    pub folder: PathBuf,
    /// Pictures by the folder they are in.
    pub pictures: BTreeMap<String, usize>,
    /// Objects, captions, questions, ... by the file they are in.
    pub records: BTreeMap<String, u64>,
    /// Crops of single objects.
    pub crops: usize,
    /// Specs that `pipeline build` takes, from the folder on.
    pub specs: Vec<String>,
}

/// Makes the corpus of `options` in the folder `out`, which must not exist or be empty.
///
/// Everything is written beside it first and gets its name at the end, so that a folder of this name is whole.
///
/// # Errors
/// A folder that is not empty or cannot be written; a number of pictures that cannot be shared out; a world too
/// crowded for its pictures; [`Error::Interrupted`].
pub fn write(world: &World, options: CorpusOptions, out: &Path, watch: &dyn Watch) -> Result<Report, Error> {
    let slots = plan(world, options.images)?;
    let out = std::path::absolute(out).map_err(Error::io("resolve", out))?;
    refuse_content(&out)?;
    let parent = out.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let growing = tempfile::Builder::new()
        .prefix(&format!(".{name}.synth."))
        .suffix(".tmp")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(Error::io("create a folder in", parent))?;

    let root = growing.path();
    make_folders(world, root)?;
    let shown = draw_all(world, options.seed, &slots, root, watch)?;
    let mut report = Report {
        folder: out.clone(),
        pictures: BTreeMap::new(),
        records: BTreeMap::new(),
        crops: shown.iter().map(|shown| shown.crops).sum(),
        specs: Vec::new(),
    };
    for shown in &shown {
        *report.pictures.entry(folder(shown.slot.pool, shown.slot.split)).or_default() += 1;
    }
    Files { world, seed: options.seed, root, shown: &shown }.write(&mut report)?;

    layouts::readme(world, options, root)?;

    // One wait for all files instead of one for each.
    let handle = fs::File::open(root).map_err(Error::io("open", root))?;
    rustix::fs::syncfs(&handle).map_err(|error| Error::io("sync", root)(error.into()))?;
    if watch.interrupted() {
        return Err(Error::Interrupted);
    }
    fs::rename(root, &out).map_err(Error::io("rename to", &out))?;
    let handle = fs::File::open(parent).map_err(Error::io("open", parent))?;
    handle.sync_all().map_err(Error::io("sync", parent))?;
    // It has another name now, under which nobody will look for it to remove it.
    let _ = growing.keep();
    Ok(report)
}

fn refuse_content(out: &Path) -> Result<(), Error> {
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::NotEmpty { path: out.to_path_buf() }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("list", out)(error)),
    }
}

fn make_folders(world: &World, root: &Path) -> Result<(), Error> {
    let mut folders: Vec<String> =
        ["coco/annotations", "vqa", "gqa/train_all_questions", "nlvr2/data", "vg", "specs"]
            .map(str::to_string)
            .into();
    for split in Split::ALL {
        for pool in [Pool::Coco, Pool::Gqa, Pool::OpenImages, Pool::NoCaps, Pool::Nlvr2] {
            folders.push(folder(pool, split));
        }
        folders.extend(crops::folders(world, split));
    }
    folders.iter().try_for_each(|folder| {
        let path = root.join(folder);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))
    })
}

/// All pictures in the order of their slots, drawn on all cores.
fn draw_all(
    world: &World,
    seed: u64,
    slots: &[Slot],
    root: &Path,
    watch: &dyn Watch,
) -> Result<Vec<Shown>, Error> {
    let done = AtomicUsize::new(0);
    slots
        .par_iter()
        .map(|&slot| {
            if watch.interrupted() {
                return Err(Error::Interrupted);
            }
            let shown = pictures::draw(world, seed, slot, root)?;
            watch.drawn(done.fetch_add(1, Ordering::Relaxed) + 1, slots.len());
            Ok(shown)
        })
        .collect()
}

/// Writes everything that is said about the pictures.
struct Files<'a> {
    world: &'a World,
    seed: u64,
    root: &'a Path,
    shown: &'a [Shown],
}

impl Files<'_> {
    fn write(&self, report: &mut Report) -> Result<(), Error> {
        let mut count = |name: String, records: u64| {
            report.records.insert(name, records);
        };
        for split in Split::ALL {
            let shown = self.of(Pool::Coco, split);
            let name = format!("coco/annotations/captions_{}2014.json", split.name());
            count(name.clone(), layouts::captions(self.world, self.seed, &shown, &self.root.join(name))?);
            let name = format!("coco/annotations/instances_{}2014.json", split.name());
            count(name.clone(), layouts::instances(self.world, &shown, &self.root.join(name))?);

            let paths =
                ["vqa/v2_OpenEnded_mscoco_{}2014_questions.json", "vqa/v2_mscoco_{}2014_annotations.json"]
                    .map(|name| name.replace("{}", split.name()));
            let files = [0, 1].map(|at| self.root.join(&paths[at]));
            let questions = layouts::vqa(self.world, self.seed, split, &shown, [&files[0], &files[1]])?;
            count(paths[0].clone(), questions);

            let shown = self.of(Pool::Gqa, split);
            let gqa = split.of_gqa();
            let all = match split {
                Split::Train => "gqa/train_all_questions/train_all_questions_0.json".to_string(),
                _ => format!("gqa/{gqa}_all_questions.json"),
            };
            let balanced = format!("gqa/{gqa}_balanced_questions.json");
            let files = layouts::GqaFiles {
                all: &self.root.join(&all),
                balanced: &self.root.join(&balanced),
                choices: &self.root.join(format!("gqa/{gqa}_choices.json")),
            };
            let questions = layouts::gqa(self.world, self.seed, split, &shown, &files)?;
            count(all, questions[0]);
            count(balanced, questions[1]);
            let name = format!("gqa/{gqa}_sceneGraphs.json");
            layouts::scene_graphs(self.world, &shown, &self.root.join(name))?;

            let shown = self.of(Pool::Nlvr2, split);
            let name = format!("nlvr2/{}-annotations-bbox.csv", split.of_nlvr2());
            count(name.clone(), layouts::boxes(&shown, &self.root.join(name))?);
            let name = format!("nlvr2/data/{}.json", split.of_nlvr2());
            let statements = layouts::nlvr2(self.world, self.seed, split, &shown, &self.root.join(&name))?;
            count(name, statements);
        }
        let shown = self.of(Pool::Nlvr2, Split::Train);
        let name = "nlvr2/data/train_plain.json".to_string();
        let path = self.root.join(&name);
        count(name, layouts::nlvr2_plain(self.world, self.seed, Split::Train, &shown, &path)?);

        let shown = self.of(Pool::Gqa, Split::Train);
        let name = "vg/objects.json".to_string();
        count(name.clone(), layouts::objects(self.world, &shown, &self.root.join(name))?);
        layouts::attributes(self.world, &shown, &self.root.join("vg/attributes.json"))?;

        let shown = self.of(Pool::NoCaps, Split::Val);
        let name = "nocaps/nocaps_val_captions.json".to_string();
        count(name.clone(), layouts::nocaps(self.world, self.seed, &shown, &self.root.join(name))?);
        let name = "open-images/validation-annotations-bbox.csv".to_string();
        count(name.clone(), layouts::boxes(&shown, &self.root.join(name))?);
        let shown = self.of(Pool::OpenImages, Split::Train);
        let name = "open-images/train-annotations-bbox.csv".to_string();
        count(name.clone(), layouts::boxes(&shown, &self.root.join(name))?);
        layouts::classes(self.world, &self.root.join("open-images"))?;
        report.specs = layouts::specs(self.root)?;
        Ok(())
    }

    fn of(&self, pool: Pool, split: Split) -> Vec<&Shown> {
        self.shown.iter().filter(|shown| shown.slot.pool == pool && shown.slot.split == split).collect()
    }
}
