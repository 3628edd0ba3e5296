//! Faster R-CNN on a network whose last stage looks at the regions, as bottom-up attention and VinVL have it.
//!
//! A [`Detector`] is [`DetectorSettings`], lists of names, and weights; [`Detector::detect`] gives the regions of a picture
//! with classes, attributes and vectors, [`Detector::grid`] the cells of its last map. Its pieces are here one by one: [`Anchors`] around every cell of a map,
//! [`Proposals`] among them, boxes coded as steps ([`BoxCoder`]), [`nms`], and the three ways to choose what is reported
//! ([`Filter`]). Boxes are measured in one of two [`Convention`]s.

mod anchors;
mod boxes;
mod cells;
mod coder;
mod detect;
mod filters;
mod folder;
mod input;
mod network;
mod nms;
mod proposing;
#[cfg(test)]
mod reference;
mod settings;
mod tensors;
#[cfg(test)]
mod tests;
pub mod training;
mod training_picture;

pub use anchors::Anchors;
pub use boxes::Convention;
pub use coder::BoxCoder;
pub use detect::{Detector, Selection};
pub use filters::{Candidates, Filter, Found, Reporting};
pub use folder::names;
pub use nms::nms;
pub use settings::{Attributes, BoxRule, Boxes, Channels, DetectorSettings, Input, Proposals, Regions};
pub use tensors::{Names, Parameters};
pub use training_picture::{BoxCounts, TrainingPicture, TrainingPictures};
