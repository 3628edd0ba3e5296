//! The cells of a network's last map as regions. Paper: 2001.03615.

use bytes::Bytes;
use data_specs::{Picture, Tag};

use crate::Naming;

/// Pixels of the prepared picture that a cell is wide and high.
pub(crate) const CELL: u32 = 32;

/// The cells of a picture's last map: n of them, of d numbers each.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// n corners x1, y1, x2, y2 in pixels of the picture, row by row.
    pub rects: Vec<[f32; 4]>,
    /// n x d.
    pub vectors: Vec<f32>,
    /// The likeliest class of each cell and its probability.
    pub classes: Vec<(usize, f32)>,
}

impl Grid {
    /// A tag has at least this probability, unless something else is asked for.
    pub const SCORE: f32 = 0.2;

    /// The corners of `rows` x `columns` cells, in pixels of a picture of the second size that was prepared to the first;
    /// the last cells of rows and columns are cut at its border.
    pub(crate) fn rects([rows, columns]: [usize; 2], prepared: [u32; 2], picture: [u32; 2]) -> Vec<[f32; 4]> {
        let edges = |count: usize, ready: u32, size: u32| -> Vec<f32> {
            let pixels = f64::from(size) / f64::from(ready);
            (0..=count).map(|at| (f64::from((at as u32 * CELL).min(ready)) * pixels) as f32).collect()
        };
        let x = edges(columns, prepared[0], picture[0]);
        let y = edges(rows, prepared[1], picture[1]);
        y.windows(2).flat_map(|y| x.windows(2).map(move |x| [x[0], y[0], x[1], y[1]])).collect()
    }

    /// The picture `id` of `width` x `height` pixels with these regions. Its tags are the classes that a cell has with at least
    /// `least`, each told once, at its likeliest cell, the likeliest first; without names there are none.
    pub fn describe(&self, id: &str, [width, height]: [u32; 2], naming: Naming<'_>, least: f32) -> Picture {
        Picture {
            image_id: id.to_string(),
            width: Some(width),
            height: Some(height),
            regions: self.rects.len() as u32,
            boxes: Some(self.rects.clone()),
            features: Bytes::from_iter(self.vectors.iter().flat_map(|x| x.to_le_bytes())),
            tags: if naming.classes.is_empty() { Vec::new() } else { self.tags(naming, least) },
            ..Picture::default()
        }
    }

    fn tags(&self, naming: Naming<'_>, least: f32) -> Vec<Tag> {
        let mut best: Vec<(usize, usize, f32)> = Vec::new();
        for (cell, &(class, score)) in
            self.classes.iter().enumerate().filter(|(_, (_, score))| *score >= least)
        {
            match best.iter_mut().find(|(known, _, _)| *known == class) {
                Some(known) if score > known.2 => *known = (class, cell, score),
                Some(_) => {}
                None => best.push((class, cell, score)),
            }
        }
        best.sort_by(|one, other| other.2.total_cmp(&one.2).then(one.1.cmp(&other.1)));
        let tag = |(class, cell, score): (usize, usize, f32)| Tag {
            name: naming.classes.get(class).cloned().unwrap_or_else(|| class.to_string()),
            score: Some(score),
            region: Some(cell as i32),
            rect: None,
            origin: naming.origin.to_string(),
        };
        best.into_iter().map(tag).collect()
    }
}

/// The place and the value of the first largest number.
pub(crate) fn first_largest(numbers: &[f32]) -> (usize, f32) {
    let larger = |best: (usize, f32), (at, &number): (usize, &f32)| {
        if number > best.1 { (at, number) } else { best }
    };
    numbers.iter().enumerate().fold((0, f32::NEG_INFINITY), larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_once_at_its_likeliest_cell() {
        let grid = Grid {
            rects: vec![[0.0; 4]; 5],
            vectors: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            classes: vec![(4, 0.5), (2, 0.9), (4, 0.8), (7, 0.1), (4, 0.8)],
        };
        let names: Vec<String> = (0..8).map(|class| format!("class {class}")).collect();
        let naming = |classes| Naming { classes, attributes: &[], origin: "classifier" };
        let row = grid.describe("9", [20, 10], naming(&names), Grid::SCORE);
        let told: Vec<_> = row.tags.iter().map(|tag| (tag.name.as_str(), tag.region, tag.score)).collect();
        assert_eq!(told, [("class 2", Some(1), Some(0.9)), ("class 4", Some(2), Some(0.8))]);
        assert_eq!((row.regions, row.features.len(), row.attributes.len()), (5, 20, 0));
        assert!(grid.describe("9", [20, 10], naming(&[]), Grid::SCORE).tags.is_empty());
    }

    #[test]
    fn cells_at_the_border_are_cut() {
        // 70 x 40 pixels of a picture of half that size
        let rects = Grid::rects([2, 3], [70, 40], [35, 20]);
        assert_eq!(rects[0], [0.0, 0.0, 16.0, 16.0]);
        assert_eq!(rects[5], [32.0, 16.0, 35.0, 20.0]);
    }
}
