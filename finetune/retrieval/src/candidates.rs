//! Pairs that are worth scoring: shortlists by words, and published lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use finetune_harness::{Error, Result};
use torch_files::{TorchFile, Value};

use crate::gallery::{Gallery, normal};
use crate::pairs::Pairs;
use crate::settings::Direction;
use crate::similarity::Similarity;

/// For every query the `n` partners that are most alike by words. `with_own` puts its own partners first, so that of the
/// others fewer are taken.
pub(crate) fn shortlist(gallery: &Gallery, direction: Direction, n: usize, with_own: bool) -> Result<Pairs> {
    let similarity = Similarity::new(gallery);
    require_tags(&similarity, "a shortlist by words")?;
    let mut lists = similarity.shortlists(direction, n);
    if with_own {
        for (query, list) in (0..).zip(&mut lists) {
            let own: BTreeSet<u32> = match direction {
                Direction::Texts => gallery.captions_of(query).collect(),
                Direction::Images => BTreeSet::from([gallery.picture_of(query)]),
            };
            let pair = |other: u32| match direction {
                Direction::Texts => similarity.of_pair(query, other),
                Direction::Images => similarity.of_pair(other, query),
            };
            let mut others: Vec<u32> = list.iter().copied().filter(|other| !own.contains(other)).collect();
            others.sort_by(|a, b| pair(*b).total_cmp(&pair(*a)).then(a.cmp(b)));
            others.truncate(n.saturating_sub(own.len()));
            *list = others.into_iter().chain(own).collect();
            list.sort_unstable();
        }
    }
    if direction == Direction::Images {
        let mut of_pictures = vec![Vec::new(); gallery.n_pictures()];
        for (caption, pictures) in (0..).zip(lists) {
            pictures.into_iter().for_each(|picture| of_pictures[picture as usize].push(caption));
        }
        lists = of_pictures;
    }
    Ok(Pairs::lists(lists))
}

pub(crate) fn require_tags(similarity: &Similarity, what: &str) -> Result<()> {
    if similarity.has_tags() {
        return Ok(());
    }
    Err(Error::Setting {
        key: "data.layout.tag_origins".to_owned(),
        problem: format!("leaves no picture any tags, and {what} compares words with tags"),
        hint: "name an origin that the data set has, or do without".to_owned(),
    })
}

/// A published list, `minival_caption_indexs_top20.pt`: a dictionary of picture id to a list of (picture id, number of one
/// of its captions), or to a JSON string of that list. Pictures of the gallery only; each must be listed.
pub(crate) fn published(gallery: &Gallery, path: &Path) -> Result<Pairs> {
    let unfit = |field: String, problem: &str| {
        Error::Unfit {
        path: path.to_owned(),
        field,
        problem: problem.to_owned(),
        hint: "task.minival is a torch file of candidate captions for the held-out pictures; set task.candidates without one"
            .to_owned(),
    }
    };
    let file = TorchFile::open(path).map_err(|error| unfit("the file".to_owned(), &error.to_string()))?;
    let root = file.root().as_dict();
    let root = root.ok_or_else(|| unfit("the file".to_owned(), "holds no dictionary of picture ids"))?;
    let mut numbers = BTreeMap::new();
    for picture in 0..gallery.n_pictures() as u32 {
        numbers.insert(normal(&gallery.image_id(picture)?), picture);
    }
    let mut lists = vec![None; gallery.n_pictures()];
    for (key, listed) in &root.entries {
        let id = id(key).ok_or_else(|| unfit("a key".to_owned(), "is no picture id"))?;
        let Some(picture) = numbers.get(&normal(&id)) else { continue };
        let candidates = candidates(listed)
            .ok_or_else(|| unfit(format!("picture {id}"), "has no list of (picture, number of a caption)"))?;
        let mut list = Vec::with_capacity(candidates.len());
        for (of, number) in candidates {
            let owner = numbers.get(&normal(&of)).ok_or_else(|| {
                unfit(
                    format!("picture {id}"),
                    &format!("lists a caption of picture {of}, which is not held out"),
                )
            })?;
            let caption = gallery.captions_of(*owner).nth(number).ok_or_else(|| {
                unfit(
                    format!("picture {id}"),
                    &format!("lists caption {number} of picture {of}, which it does not have"),
                )
            })?;
            list.push(caption);
        }
        list.sort_unstable();
        list.dedup();
        lists[*picture as usize] = Some(list);
    }
    let mut found = Vec::with_capacity(lists.len());
    for (picture, list) in (0..).zip(lists) {
        found.push(match list {
            Some(list) => list,
            None => {
                return Err(unfit(
                    format!("picture {}", gallery.image_id(picture)?),
                    "is held out, but not listed",
                ));
            }
        });
    }
    Ok(Pairs::lists(found))
}

fn id(value: &Value) -> Option<String> {
    value.as_int().map(|id| id.to_string()).or_else(|| value.as_str().map(str::to_owned))
}

fn candidates(value: &Value) -> Option<Vec<(String, usize)>> {
    if let Some(text) = value.as_str() {
        let pairs: Vec<(serde_json::Value, usize)> = serde_json::from_str(text).ok()?;
        let id = |id: serde_json::Value| match id {
            serde_json::Value::String(id) => Some(id),
            serde_json::Value::Number(id) => Some(id.to_string()),
            _ => None,
        };
        return pairs.into_iter().map(|(of, number)| Some((id(of)?, number))).collect();
    }
    let pair = |pair: &Value| match pair.as_items()? {
        [of, number] => Some((id(of)?, usize::try_from(number.as_int()?).ok()?)),
        _ => None,
    };
    value.as_items()?.iter().map(pair).collect()
}
