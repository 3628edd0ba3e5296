//! Pictures that suit a text, texts that suit a picture.

use std::path::{Path, PathBuf};

use data_specs::TextKind;
use data_specs::durable::write_durably;
use finetune_harness::{DeviceChoice, Error, Result};
use finetune_retrieval::{Direction, Predict, Ranked, Retrieved, Selection};
use pretrain_kernels::Precision;
use serde::Serialize;

use super::looking::{Looker, Looking, Timings, shrink};
use super::rows::{Rows, row, text};
use super::sheet;

/// A text that pictures are looked for by.
#[derive(Debug, Clone)]
pub struct ImageQuery {
    /// Fine-tuned model folder, of either direction.
    pub model: PathBuf,
    /// A folder of pictures; those in folders below it are not looked at.
    pub images: PathBuf,
    /// A detector's folder.
    pub detector: Option<PathBuf>,
    /// Whether the cells of its map are the regions, instead of what it finds.
    pub grid: bool,
    /// Regions instead: a folder of files, one for each picture, `<name>.json`.
    pub regions: Option<PathBuf>,
    /// The text.
    pub query: String,
    /// Pictures that are told.
    pub top: usize,
    /// Where a PNG of them goes.
    pub sheet: Option<PathBuf>,
    /// Pairs that are computed at once.
    pub micro: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// A picture that texts are looked for by.
#[derive(Debug, Clone)]
pub struct TextQuery {
    /// Fine-tuned model folder, of either direction.
    pub model: PathBuf,
    /// The picture; without pixels where regions say all.
    pub image: Option<PathBuf>,
    /// Where regions come from.
    pub looking: Looking,
    /// A file of texts, one a line.
    pub texts: PathBuf,
    /// Texts that are told.
    pub top: usize,
    /// Pairs that are computed at once.
    pub micro: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// A partner with the probability that the two belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The picture's file, or the text.
    pub name: String,
    /// From 0 to 1.
    pub confidence: f64,
}

/// Pictures, the best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundPictures {
    /// The text.
    pub query: String,
    /// The best first.
    pub found: Vec<Found>,
    /// Pictures that were looked at.
    pub pictures: usize,
    /// Files that are no pictures or have no regions, with the reason.
    pub refused: Vec<(String, String)>,
    /// How long it took.
    pub timings: Timings,
}

/// Texts, the best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundTexts {
    /// The picture's file.
    pub image: String,
    /// The best first.
    pub found: Vec<Found>,
    /// What was seen: names and scores, in the order of the regions.
    pub tags: Vec<(String, Option<f32>)>,
    /// How long it took.
    pub timings: Timings,
}

/// The id of the text that is asked about.
const QUERY: &str = "query";

impl ImageQuery {
    /// Looks at every picture of the folder, and ranks them.
    ///
    /// # Errors
    /// A folder without pictures; regions or a model that do not fit; a full disk. A file that is no picture is refused and
    /// told.
    pub fn run(&self) -> Result<FoundPictures> {
        let looking = Looking { detector: self.detector.clone(), grid: self.grid, regions: vec![] };
        let mut looker = Looker::open(&self.model, &looking)?;
        let mut rows = Rows::new(looker.reads.width)?;
        let (mut names, mut refused) = (Vec::new(), Vec::new());
        for image in files(&self.images)? {
            let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let regions = self.regions.as_ref().map(|folder| folder.join(&name).with_extension("json"));
            match looker.look_with(Some(&image), regions.as_deref()) {
                Ok(mut picture) => {
                    shrink(&mut picture);
                    // The query belongs to the first picture, as far as the task knows; every picture is scored with it.
                    let id =
                        if names.is_empty() { QUERY.to_owned() } else { format!("{QUERY} {}", names.len()) };
                    let query = text(id, TextKind::Caption, &self.query, "--query")?;
                    rows.push(row(vec![picture], vec![query]))?;
                    names.push(name);
                }
                Err(error) if is_of_picture(&error) => refused.push((name, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        if names.is_empty() {
            let first = refused.first().map(|(_, why)| format!("; the first file: {why}"));
            return Err(Error::Unfit {
                path: self.images.clone(),
                field: "pictures".to_owned(),
                problem: format!("are missing{}", first.unwrap_or_default()),
                hint: "name a folder with pictures in it".to_owned(),
            });
        }
        let set = rows.finish()?;
        let mut retrieved = looker.timed(|| {
            predict(
                &self.model,
                set.path(),
                Some(QUERY),
                self.top,
                (self.micro, self.precision, self.device),
                Direction::Images,
            )
        })?;
        let found: Vec<Found> =
            retrieved.pop().map(|one| one.found).unwrap_or_default().iter().map(picture).collect();
        if let Some(path) = &self.sheet {
            let shown = found.iter().map(|found| (self.images.join(&found.name), found));
            write_durably(path, &sheet::draw(&self.query, shown)?, "sheet")?;
        }
        let (query, pictures, timings) = (self.query.clone(), names.len(), looker.timings);
        Ok(FoundPictures { query, found, pictures, refused, timings })
    }
}

impl TextQuery {
    /// Looks at the picture, and ranks the texts.
    ///
    /// # Errors
    /// A picture, regions, texts or a model that do not fit.
    pub fn run(&self) -> Result<FoundTexts> {
        let mut looker = Looker::open(&self.model, &self.looking)?;
        let lines =
            std::fs::read_to_string(&self.texts).map_err(data_specs::Error::io("read", &self.texts))?;
        let texts = lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate();
        let texts: Vec<_> = texts
            .map(|(number, line)| text(format!("{number:09}"), TextKind::Caption, line, "--texts"))
            .collect::<Result<_>>()?;
        if texts.is_empty() {
            return Err(Error::Unfit {
                path: self.texts.clone(),
                field: "texts".to_owned(),
                problem: "are missing".to_owned(),
                hint: "write one a line".to_owned(),
            });
        }
        let picture = looker.look(self.image.as_deref(), 0)?;
        let image = picture.image_id.clone();
        let tags = picture.tags.iter().map(|tag| (tag.name.clone(), tag.score)).collect();
        let mut rows = Rows::new(looker.reads.width)?;
        rows.push(row(vec![picture], texts))?;
        let set = rows.finish()?;
        let mut retrieved = looker.timed(|| {
            predict(
                &self.model,
                set.path(),
                None,
                self.top,
                (self.micro, self.precision, self.device),
                Direction::Texts,
            )
        })?;
        let found = retrieved.pop().map(|one| one.found).unwrap_or_default();
        let found = found
            .into_iter()
            .map(|ranked| Found { name: ranked.text.unwrap_or_default(), confidence: ranked.confidence });
        Ok(FoundTexts { image, found: found.collect(), tags, timings: looker.timings })
    }
}

fn predict(
    model: &Path,
    data: &Path,
    key: Option<&str>,
    top: usize,
    (micro, precision, device): (usize, Precision, DeviceChoice),
    direction: Direction,
) -> Result<Vec<Retrieved>> {
    let (model, data) = (model.to_owned(), data.to_owned());
    let selection =
        Selection { model, data, keys: None, shortlist: None, micro, precision, device, any: true };
    let predict = Predict { selection, key: key.map(str::to_owned), top, out: None };
    predict.run(direction, &|_, _| {})
}

/// The file behind a row's key.
fn picture(ranked: &Ranked) -> Found {
    let name = ranked.key.split_once('/').map_or(ranked.key.as_str(), |(_, id)| id);
    Found { name: name.to_owned(), confidence: ranked.confidence }
}

/// Files of a folder, by name; those that begin with a dot are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = |source| Error::from(data_specs::Error::io("read", folder)(source));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether an error is about one picture or its regions, and not about all of them.
fn is_of_picture(error: &Error) -> bool {
    match error {
        Error::Unfit { field, .. } => field != "vectors",
        Error::File(_) => true,
        _ => false,
    }
}
