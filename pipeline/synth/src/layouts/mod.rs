//! Files in the layouts of the corpora that people use.

mod coco;
mod files;
mod open_images;
mod specs;
mod visual_genome;

pub(crate) use coco::{captions, instances, nocaps};
pub(crate) use files::{Pieces, write_text};
pub(crate) use open_images::{boxes, classes};
pub(crate) use specs::specs;
pub(crate) use visual_genome::{attributes, objects, scene_graphs};
