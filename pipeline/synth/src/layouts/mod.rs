//! Files in the layouts of the corpora that people use.

mod coco;
mod files;
mod gqa;
mod nlvr2;
mod open_images;
mod readme;
mod specs;
mod visual_genome;
mod vqa;

pub(crate) use coco::{captions, instances, nocaps};
pub(crate) use files::{Pieces, write_text};
pub(crate) use gqa::{GqaFiles, gqa};
pub(crate) use nlvr2::{nlvr2, nlvr2_plain};
pub(crate) use open_images::{boxes, classes};
pub(crate) use readme::readme;
pub(crate) use specs::specs;
pub(crate) use visual_genome::{attributes, object_id, objects, scene_graphs};
pub(crate) use vqa::vqa;
