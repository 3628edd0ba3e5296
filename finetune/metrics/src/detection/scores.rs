//! What is told of a detector.

use serde::Serialize;

/// COCO's twelve figures and their like, as fractions. What no truth speaks of is `None`, where pycocotools says -1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DetectionScores {
    /// Mean precision over the overlaps 0.50, 0.55 ... 0.95, 101 recalls, and classes.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// At an overlap of 0.5.
    #[serde(rename = "AP50")]
    pub ap_50: Option<f64>,
    /// At an overlap of 0.75.
    #[serde(rename = "AP75")]
    pub ap_75: Option<f64>,
    /// Of objects below 32 x 32 pixels, up to 96 x 96, and above.
    #[serde(rename = "AP_by_size")]
    pub ap_by_size: BySize,
    /// Mean recall over the overlaps and classes, with at most 1, 10, 100 boxes a picture and class.
    #[serde(rename = "AR1")]
    pub ar_1: Option<f64>,
    /// With 10.
    #[serde(rename = "AR10")]
    pub ar_10: Option<f64>,
    /// With 100.
    #[serde(rename = "AR100")]
    pub ar_100: Option<f64>,
    /// With 100, by size.
    #[serde(rename = "AR_by_size")]
    pub ar_by_size: BySize,
    /// The area under the curve at an overlap above 0.5, as told for Visual Genome.
    pub pooled: PooledScores,
    /// What was read.
    pub counts: DetectionCounts,
    /// In the order of classes.
    pub per_class: Vec<ClassScores>,
}

/// A figure for objects of each size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BySize {
    /// Below 32 x 32 pixels.
    pub small: Option<f64>,
    /// Between.
    pub medium: Option<f64>,
    /// Above 96 x 96 pixels.
    pub large: Option<f64>,
}

/// Average precision at 0.5 as the evaluation of VOC computes it: the area under the whole curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PooledScores {
    /// The mean over classes that occur.
    #[serde(rename = "AP50")]
    pub ap_50: Option<f64>,
    /// The mean over classes, each by how often it occurs.
    #[serde(rename = "weighted_AP50")]
    pub weighted_ap_50: Option<f64>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScores {
    /// What the class is called, if the truth says; its number otherwise.
    pub class: String,
    /// As over all classes.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// As over all classes.
    #[serde(rename = "AP50")]
    pub ap_50: Option<f64>,
    /// Boxes of it that are no crowds.
    pub truths: usize,
    /// Boxes found of it.
    pub found: usize,
}

/// What was read, and what was odd about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DetectionCounts {
    /// Pictures of the truth.
    pub pictures: usize,
    /// Classes of the truth, whether or not they occur.
    pub classes: usize,
    /// Boxes people drew, crowds counted.
    pub truths: usize,
    /// Crowds among them.
    pub crowds: usize,
    /// Boxes found.
    pub found: usize,
    /// Pictures in which nothing was found.
    pub pictures_without_found: usize,
    /// Boxes people drew whose picture or class the file does not list; not counted.
    pub stray_truths: usize,
    /// Boxes found of classes that the truth does not list; not counted.
    pub found_of_other_classes: usize,
    /// Boxes people drew without `area`: that of the box counts.
    pub truths_without_area: usize,
}
