//! Detections as a row of a data set has them.

use bytes::Bytes;
use data_specs::{Picture, Tag};

use crate::Detections;

/// How numbers of classes and attributes become tags.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// Names of the classes; a class without one is told by its number.
    pub classes: &'a [String],
    /// Names of the attributes.
    pub attributes: &'a [String],
    /// What tags say of their source.
    pub origin: &'a str,
}

impl Detections {
    /// The picture `id` of `width` x `height` pixels with these regions: the same row whether `pipeline build` writes it or a
    /// single question is asked of it.
    pub fn describe(&self, id: &str, [width, height]: [u32; 2], naming: Naming<'_>) -> Picture {
        let tag = |names: &[String], number: usize, score: f32, region: usize| Tag {
            name: names.get(number).cloned().unwrap_or_else(|| number.to_string()),
            score: Some(score),
            region: Some(region as i32),
            rect: None,
            origin: naming.origin.to_string(),
        };
        let classes = self.classes.iter().zip(&self.scores).enumerate();
        let attributes = self.attributes.iter().enumerate();
        Picture {
            image_id: id.to_string(),
            width: Some(width),
            height: Some(height),
            regions: self.boxes.len() as u32,
            boxes: Some(self.boxes.clone()),
            features: Bytes::from_iter(self.vectors.iter().flat_map(|x| x.to_le_bytes())),
            tags: classes
                .map(|(region, (&class, &score))| tag(naming.classes, class, score, region))
                .collect(),
            attributes: attributes
                .flat_map(|(region, like)| {
                    like.iter().map(move |&(number, score)| tag(naming.attributes, number, score, region))
                })
                .collect(),
            ..Picture::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_scores_and_numbers_stand_where_a_row_has_them() {
        let found = Detections {
            boxes: vec![[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 9.0, 9.0]],
            classes: vec![1, 7],
            scores: vec![0.9, 0.4],
            attributes: vec![vec![(0, 0.8)], vec![]],
            vectors: vec![0.5, -1.0, 2.0, 0.0],
        };
        let (classes, attributes) = (["cat", "dog"].map(String::from), ["red"].map(String::from));
        let naming = Naming { classes: &classes, attributes: &attributes, origin: "detector" };
        let row = found.describe("9", [20, 10], naming);
        assert_eq!((row.image_id.as_str(), row.width, row.height, row.regions), ("9", Some(20), Some(10), 2));
        let told: Vec<_> = row.tags.iter().map(|tag| (tag.name.as_str(), tag.score, tag.region)).collect();
        assert_eq!(told, [("dog", Some(0.9), Some(0)), ("7", Some(0.4), Some(1))]);
        assert_eq!((row.attributes.len(), row.attributes[0].name.as_str()), (1, "red"));
        assert_eq!(
            row.features,
            [0.5f32, -1.0, 2.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()
        );
    }
}
