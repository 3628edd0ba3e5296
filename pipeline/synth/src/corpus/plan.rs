//! How pictures are shared out: to corpora, and within each to splits. No picture is in two of them.

use crate::Error;
use crate::world::{Shares, World};

/// Whose picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pool {
    Coco,
    Gqa,
    OpenImages,
    NoCaps,
    Nlvr2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    pub(crate) const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }

    /// What NLVR2 calls it.
    pub(crate) fn of_nlvr2(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "dev",
            Split::Test => "test1",
        }
    }

    /// What GQA calls it.
    pub(crate) fn of_gqa(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "testdev",
        }
    }
}

/// A picture to be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its number among all pictures: what its content depends on, with the seed.
    pub(crate) index: u64,
    pub(crate) pool: Pool,
    pub(crate) split: Split,
    /// Its id within its pool, from 1.
    pub(crate) id: u64,
}

/// Pictures of one set of NLVR2: four pairs.
pub(crate) const OF_A_SET: usize = 8;
/// Fewer cannot fill every split of every corpus.
const LEAST: usize = 48;
/// Picture ids have eight digits, with room for the parts of question ids.
const MOST: usize = 10_000_000;

/// The slots of all pools, in the order of their indices.
///
/// # Errors
/// [`Error::Images`] for too few or too many.
pub(crate) fn plan(world: &World, images: usize) -> Result<Vec<Slot>, Error> {
    if !(LEAST..=MOST).contains(&images) {
        let what = format!("give a number from {LEAST} to {MOST}");
        return Err(Error::Images { images, what });
    }
    let Shares { coco: _, gqa, nlvr2, open_images, nocaps } = world.shares;
    let share = |share: f64, least: usize| ((images as f64 * share).round() as usize).max(least);
    let sets = (share(nlvr2, 0) / OF_A_SET).max(3);
    let counts = [
        (Pool::Gqa, share(gqa, 3)),
        (Pool::OpenImages, share(open_images, 3)),
        (Pool::NoCaps, share(nocaps, 3)),
        (Pool::Nlvr2, sets * OF_A_SET),
    ];
    let others: usize = counts.iter().map(|(_, count)| count).sum();
    let Some(coco) = images.checked_sub(others).filter(|&coco| coco >= 3) else {
        let what = "the shares of the world leave no picture for COCO".to_string();
        return Err(Error::Images { images, what });
    };
    let mut slots = Vec::with_capacity(images);
    for (pool, count) in [(Pool::Coco, coco)].into_iter().chain(counts) {
        let unit = if pool == Pool::Nlvr2 { OF_A_SET } else { 1 };
        let ends = ends(world, count / unit).map(|end| end * unit);
        for at in 0..count {
            let split = match pool {
                Pool::OpenImages => Split::Train,
                Pool::NoCaps => Split::Val,
                _ if at < ends[0] => Split::Train,
                _ if at < ends[1] => Split::Val,
                _ => Split::Test,
            };
            slots.push(Slot { index: slots.len() as u64, pool, split, id: at as u64 + 1 });
        }
    }
    Ok(slots)
}

/// Where the train and the val split of `count` end; each of the three has at least one.
fn ends(world: &World, count: usize) -> [usize; 2] {
    let train = ((count as f64 * world.splits.train).round() as usize).clamp(1, count - 2);
    let val = ((count as f64 * world.splits.val).round() as usize).clamp(1, count - 1 - train);
    [train, train + val]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_has_one_place_and_every_split_has_pictures() {
        let world = World::standard();
        for images in [LEAST, 60, 61, 200, 2_000] {
            let slots = plan(&world, images).unwrap();
            assert_eq!(slots.len(), images);
            for pool in [Pool::Coco, Pool::Gqa, Pool::Nlvr2] {
                for split in Split::ALL {
                    let count = slots.iter().filter(|slot| slot.pool == pool && slot.split == split).count();
                    assert!(count > 0, "{images}: {pool:?} {split:?}");
                    assert!(pool != Pool::Nlvr2 || count % OF_A_SET == 0);
                }
            }
        }
        assert!(matches!(plan(&world, 10), Err(Error::Images { images: 10, .. })));
    }
}
