//! What a detector finds in a picture.

/// The regions of one picture, best first.
///
/// Legend: n regions, d numbers of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// n corners x1, y1, x2, y2 in pixels of the picture as it was given.
    pub boxes: Vec<[f32; 4]>,
    /// The class of each region, in the detector's list, background not counted.
    pub classes: Vec<usize>,
    /// The probability of that class.
    pub scores: Vec<f32>,
    /// Attributes of each region with their probabilities, likeliest first; empty lists without an attribute branch.
    pub attributes: Vec<Vec<(usize, f32)>>,
    /// n x d: the mean of the last stage's map of each region.
    pub vectors: Vec<f32>,
}
