//! What pictures are called, and where they lie.

use std::path::{Path, PathBuf};

use super::plan::{OF_A_SET, Pool, Slot, Split};
use crate::chance::{Chance, Stream};
use crate::world::World;

/// How NoCaps calls a picture by its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nearness {
    In,
    Near,
    Out,
}

impl Nearness {
    /// NoCaps has as many of each.
    pub(crate) fn of(id: u64) -> Nearness {
        [Nearness::In, Nearness::Near, Nearness::Out][id as usize % 3]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Nearness::In => "in-domain",
            Nearness::Near => "near-domain",
            Nearness::Out => "out-domain",
        }
    }
}

/// The folder of a split's pictures, from the corpus's root on.
pub(crate) fn folder(pool: Pool, split: Split) -> String {
    match pool {
        Pool::Coco => format!("coco/{}2014", split.name()),
        Pool::Gqa => format!("gqa/images/{}", split.of_gqa()),
        Pool::OpenImages => "open-images/train".into(),
        Pool::NoCaps => "nocaps/val".into(),
        Pool::Nlvr2 => format!("nlvr2/images/{}", split.of_nlvr2()),
    }
}

pub(super) fn picture_path(slot: Slot) -> PathBuf {
    Path::new(&folder(slot.pool, slot.split)).join(format!("{}.jpg", name(slot)))
}

/// The name of a picture's file, without its ending: what its annotations call it.
pub(crate) fn name(slot: Slot) -> String {
    match slot.pool {
        Pool::Coco => format!("COCO_{}2014_{:012}", slot.split.name(), slot.id),
        Pool::Gqa => slot.id.to_string(),
        // Sixteen hexadecimal digits, as OpenImages has them; decimal ones, so that NoCaps' number fits too.
        Pool::OpenImages => format!("1{:015}", slot.id),
        Pool::NoCaps => format!("{:016}", slot.id),
        Pool::Nlvr2 => {
            let at = slot.id as usize - 1;
            let (set, pair, side) = (at / OF_A_SET, at % OF_A_SET / 2, at % 2);
            format!("{}-{set}-{pair}-img{side}", slot.split.of_nlvr2())
        }
    }
}

/// Kinds of a set of NLVR2.
const FOCUS: usize = 3;

/// The kinds that statements about the set of this picture speak of.
pub(crate) fn focus(world: &World, seed: u64, slot: Slot) -> Vec<usize> {
    let set = (slot.id - 1) / OF_A_SET as u64;
    let mut kinds: Vec<usize> = (0..world.kinds.len()).collect();
    Chance::new(seed, Stream::Pairs, !set).shuffle(&mut kinds);
    kinds.truncate(FOCUS);
    kinds
}
