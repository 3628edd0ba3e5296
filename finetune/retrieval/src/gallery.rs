//! The pictures of data sets with their captions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use data_specs::{RowId, Sample, SpecialIds, TextKind};
use finetune_harness::{Asked, Error, Layout, Opening, Place, Result, Texts};
use pretrain::Example;

use crate::layout::lay_out;

/// Pictures and captions, numbered in stored order, or pictures in that of a list.
#[derive(Debug)]
pub(crate) struct Gallery {
    texts: Texts,
    captions: Vec<RowId>,
    /// The picture of every caption.
    owners: Vec<u32>,
    /// The first caption of every picture, and the end.
    firsts: Vec<u32>,
}

/// Which captions there must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Captions<'a> {
    /// So many at most of each picture.
    UpTo(usize),
    /// So many of each; of all pictures, or of those whose ids are listed, in this order.
    Exactly(usize, Option<&'a [String]>),
    /// All there are, of one picture or more: a question, not a test.
    All,
}

/// A spec that builds what is read.
pub(crate) const SPEC: &str = "data-specs/corpora/karpathy.toml has pictures with five captions each";

impl Gallery {
    pub(crate) fn open(opening: &Opening<'_>, wanted: Captions<'_>) -> Result<Self> {
        let texts = Texts::open(opening, &|text| match text.kind {
            TextKind::Caption => Asked::Target(vec![(1, 1.0)]),
            _ => Asked::Other("texts of another kind"),
        })?;
        let mut pictures: Vec<Vec<RowId>> = Vec::new();
        let mut before = None;
        for at in texts.all() {
            let row = (at.shard, texts.row(at));
            if before.replace(row) != Some(row) {
                pictures.push(Vec::new());
            }
            pictures.last_mut().expect("one was put there").push(at);
        }
        let path = || opening.sets.first().map(|set| set.path.clone()).unwrap_or_default();
        let limit = match wanted {
            Captions::UpTo(limit) => limit,
            Captions::All => usize::MAX,
            Captions::Exactly(limit, listed) => {
                if let Some(listed) = listed {
                    pictures = chosen(&texts, &pictures, listed, path())?;
                }
                if let Some(few) = pictures.iter().find(|captions| captions.len() < limit) {
                    return Err(Error::Unfit {
                        path: path(),
                        field: texts.place(few[0])?.sample().key.clone(),
                        problem: format!(
                            "has {} captions, where {limit} are scored of each picture",
                            few.len()
                        ),
                        hint: "set task.captions_per_image to a number that all pictures have".to_owned(),
                    });
                }
                limit
            }
        };
        let (mut captions, mut owners, mut firsts) = (Vec::new(), Vec::new(), vec![0]);
        for (number, own) in pictures.iter().enumerate() {
            let own = &own[..own.len().min(limit)];
            captions.extend_from_slice(own);
            owners.resize(captions.len(), number as u32);
            firsts.push(captions.len() as u32);
        }
        let gallery = Self { texts, captions, owners, firsts };
        if gallery.n_pictures() < 2 && !matches!(wanted, Captions::All) {
            return Err(Error::Unfit {
                path: path(),
                field: format!("data.{}", opening.role),
                problem: "has one picture with captions; there is nothing to tell it from".to_owned(),
                hint: format!("name a data set with more: {SPEC}"),
            });
        }
        Ok(gallery)
    }

    /// Keeps the first pictures.
    pub(crate) fn truncate(&mut self, n_pictures: usize) {
        self.firsts.truncate(n_pictures + 1);
        let n_captions = self.firsts.last().map_or(0, |end| *end as usize);
        self.captions.truncate(n_captions);
        self.owners.truncate(n_captions);
    }

    pub(crate) fn n_pictures(&self) -> usize {
        self.firsts.len() - 1
    }

    pub(crate) fn n_captions(&self) -> usize {
        self.captions.len()
    }

    pub(crate) fn captions_of(&self, picture: u32) -> Range<u32> {
        self.firsts[picture as usize]..self.firsts[picture as usize + 1]
    }

    pub(crate) fn picture_of(&self, caption: u32) -> u32 {
        self.owners[caption as usize]
    }

    pub(crate) fn words(&self, caption: u32) -> &[u32] {
        self.texts.words(self.captions[caption as usize])
    }

    pub(crate) fn tags(&self, picture: u32) -> &[u32] {
        self.texts.tags(self.at(picture))
    }

    pub(crate) fn special(&self) -> SpecialIds {
        self.texts.special()
    }

    /// Appends the vectors of a picture's regions; their number.
    pub(crate) fn append_regions(&self, picture: u32, into: &mut Vec<f32>) -> Result<usize> {
        self.texts.append_regions(self.at(picture), into)
    }

    /// A caption beside tags and regions of a picture. `place` is the sample's in the batch.
    pub(crate) fn example(&self, picture: u32, caption: u32, layout: &Layout, place: u32) -> Result<Example> {
        let tags: &[u32] = if layout.tags { self.tags(picture) } else { &[] };
        let (token_ids, segment_ids) = lay_out(self.words(caption), tags, self.special(), layout.max_tokens);
        let mut regions = Vec::new();
        let n_regions = self.append_regions(picture, &mut regions)?;
        Ok(Example {
            token_labels: Vec::new(),
            contrastive_label: -1,
            token_ids,
            segment_ids,
            regions,
            n_regions,
            place,
        })
    }

    /// The row of a picture, with what it keeps of it.
    pub(crate) fn whole(&self, picture: u32) -> Result<Sample> {
        self.texts.place(self.at(picture))?.whole()
    }

    /// Where a caption stands.
    pub(crate) fn place(&self, caption: u32) -> Result<Place> {
        self.texts.place(self.captions[caption as usize])
    }

    pub(crate) fn image_id(&self, picture: u32) -> Result<String> {
        Ok(self.texts.place(self.at(picture))?.sample().images[0].image_id.clone())
    }

    pub(crate) fn key(&self, picture: u32) -> Result<String> {
        Ok(self.texts.place(self.at(picture))?.sample().key.clone())
    }

    /// How many captions each shard has, in stored order.
    pub(crate) fn n_samples(&self) -> Vec<u64> {
        let mut counts = vec![0; self.texts.n_samples().len()];
        self.captions.iter().for_each(|at| counts[at.shard as usize] += 1);
        counts
    }

    /// In words.
    pub(crate) fn summary(&self, role: &str) -> String {
        let more = match self.texts.left_out() {
            more if more.is_empty() => String::new(),
            more => format!("; {more}"),
        };
        format!("{role}: {} pictures, {} captions{more}", self.n_pictures(), self.n_captions())
    }

    /// Its first caption, whose row has the picture.
    fn at(&self, picture: u32) -> RowId {
        self.captions[self.firsts[picture as usize] as usize]
    }
}

/// What an image id counts as: the number that it ends with (`COCO_val2014_000000391895` is 391895), or itself.
pub(crate) fn normal(id: &str) -> String {
    let digits = id.len() - id.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
    let number = id[id.len() - digits..].trim_start_matches('0');
    if digits == 0 {
        id.to_owned()
    } else if number.is_empty() {
        "0".to_owned()
    } else {
        number.to_owned()
    }
}

/// The pictures of a list, in its order.
fn chosen(
    texts: &Texts,
    pictures: &[Vec<RowId>],
    listed: &[String],
    path: PathBuf,
) -> Result<Vec<Vec<RowId>>> {
    let mut known = BTreeMap::new();
    for captions in pictures {
        known.insert(normal(&texts.place(captions[0])?.sample().images[0].image_id), captions);
    }
    let found = listed.iter().map(|id| {
        known.get(&normal(id)).map(|captions| (*captions).clone()).ok_or_else(|| Error::Unfit {
            path: path.clone(),
            field: format!("the listed picture {id}"),
            problem: "is not there, or has no caption".to_owned(),
            hint: "name the list that belongs to this data set, or build the data set with this picture"
                .to_owned(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_the_numbers_they_end_with() {
        for (id, normal) in [
            ("COCO_val2014_000000391895", "391895"),
            ("391895", "391895"),
            ("img_000", "0"),
            ("abc", "abc"),
            ("", ""),
        ] {
            assert_eq!(super::normal(id), normal);
        }
    }
}
