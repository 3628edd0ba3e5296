//! How well boxes are found: COCO's average precision and recall, and the pooled precision that detectors on
//! Visual Genome are told by.

mod coco;
mod files;
mod pooled;
mod scores;
#[cfg(test)]
mod tests;

pub use files::score_files;
pub use scores::{BySize, ClassScores, DetectionCounts, DetectionScores, PooledScores};

/// A box that people drew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueBox {
    /// Its class, counted from 0.
    pub class: usize,
    /// x, y of the upper left corner, width, height: pixels.
    pub rect: [f64; 4],
    /// Square pixels of the object, which decide whether it is small, medium or large. COCO has the outline's here.
    pub area: f64,
    /// Whether it surrounds many objects: what is found inside is neither right nor wrong.
    pub crowd: bool,
}

/// A box that a detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundBox {
    /// Its class, counted from 0.
    pub class: usize,
    /// x, y of the upper left corner, width, height: pixels.
    pub rect: [f64; 4],
    /// How sure the detector is; only the order counts. Finite.
    pub score: f64,
}

/// One picture: what is there, and what was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PictureBoxes {
    /// In the order of their source.
    pub truths: Vec<TrueBox>,
    /// In the order of their source, which decides between equal scores.
    pub found: Vec<FoundBox>,
}

impl TrueBox {
    /// A box with the corners x1, y1, x2, y2.
    pub fn of_corners(class: usize, corners: [f32; 4]) -> TrueBox {
        let rect = sides(corners);
        TrueBox { class, rect, area: rect[2] * rect[3], crowd: false }
    }
}

impl FoundBox {
    /// A box with the corners x1, y1, x2, y2.
    pub fn of_corners(class: usize, corners: [f32; 4], score: f32) -> FoundBox {
        FoundBox { class, rect: sides(corners), score: f64::from(score) }
    }
}

fn sides(corners: [f32; 4]) -> [f64; 4] {
    let [x1, y1, x2, y2] = corners.map(f64::from);
    [x1, y1, x2 - x1, y2 - y1]
}

/// Scores boxes of the classes that `classes` names, in the order of `pictures`, which decides between equal scores.
///
/// The figures are those of pycocotools. A class outside `classes` is passed over.
pub fn score(classes: &[String], pictures: &[PictureBoxes]) -> DetectionScores {
    let measured = coco::measure(classes.len(), pictures);
    let pooled = pooled::measure(classes.len(), pictures);
    let mut counts =
        DetectionCounts { pictures: pictures.len(), classes: classes.len(), ..DetectionCounts::default() };
    let mut per_class: Vec<ClassScores> = classes
        .iter()
        .zip(&measured)
        .map(|(class, of_class)| ClassScores {
            class: class.clone(),
            ap: of_class.precision(coco::ALL, None),
            ap_50: of_class.precision(coco::ALL, Some(0)),
            truths: 0,
            found: 0,
        })
        .collect();
    for picture in pictures {
        counts.pictures_without_found += usize::from(picture.found.is_empty());
        for truth in &picture.truths {
            let Some(class) = per_class.get_mut(truth.class) else {
                counts.stray_truths += 1;
                continue;
            };
            counts.truths += 1;
            counts.crowds += usize::from(truth.crowd);
            class.truths += usize::from(!truth.crowd);
        }
        for found in &picture.found {
            let Some(class) = per_class.get_mut(found.class) else {
                counts.found_of_other_classes += 1;
                continue;
            };
            counts.found += 1;
            class.found += 1;
        }
    }
    let precision = |size, overlap| coco::mean_precision(&measured, size, overlap);
    let recall = |size, most| coco::mean_recall(&measured, size, most);
    DetectionScores {
        ap: precision(coco::ALL, None),
        ap_50: precision(coco::ALL, Some(0)),
        ap_75: precision(coco::ALL, Some(5)),
        ap_by_size: BySize {
            small: precision(1, None),
            medium: precision(2, None),
            large: precision(3, None),
        },
        ar_1: recall(coco::ALL, 0),
        ar_10: recall(coco::ALL, 1),
        ar_100: recall(coco::ALL, 2),
        ar_by_size: BySize { small: recall(1, 2), medium: recall(2, 2), large: recall(3, 2) },
        pooled,
        counts,
        per_class,
    }
}
