//! A picture to learn from, with what is in it.

use crate::Error;
use crate::decoding::Picture;

/// A picture and its objects. The lists go together: object i has box, class and attributes i.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPicture {
    /// The pixels, flipped or not.
    pub picture: Picture,
    /// Corners x1, y1, x2, y2 in pixels of the picture.
    pub boxes: Vec<[f32; 4]>,
    /// Numbers of the classes in the detector's list, background not counted.
    pub classes: Vec<usize>,
    /// Numbers of the attributes of each object in the detector's list.
    pub attributes: Vec<Vec<usize>>,
}

/// What became of the boxes of pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoxCounts {
    /// Boxes that were there.
    pub boxes: u64,
    /// Boxes that reached out of their picture and were cut at its border.
    pub clamped: u64,
    /// Boxes that had no area, or none inside of their picture, and were left out.
    pub empty: u64,
}

/// Where training pictures come from. Ranks ask for different ones at once.
pub trait TrainingPictures: Sync {
    /// Samples of an epoch.
    fn n_samples(&self) -> u64;

    /// Names of the classes, in the order of their numbers.
    fn classes(&self) -> &[String];

    /// Names of the attributes, in the order of their numbers; none where there are none.
    fn attributes(&self) -> &[String];

    /// The sample at a place of an epoch: always the same for the same two.
    ///
    /// # Errors
    /// A picture that cannot be read; the training leaves it out.
    fn sample(
        &self,
        epoch: u32,
        place: u64,
    ) -> Result<TrainingPicture, finetune_backbones::training::Unreadable>;
}

impl TrainingPicture {
    /// The same with boxes cut at the border, and those without area left out; which were is counted.
    ///
    /// # Errors
    /// Corners that are not finite, lists of different lengths, numbers beyond `n_classes` or `n_attributes`; `name` says
    /// of which picture.
    pub fn checked(
        mut self,
        [n_classes, n_attributes]: [usize; 2],
        name: &dyn Fn() -> String,
        counts: &mut BoxCounts,
    ) -> Result<Self, Error> {
        let refuse = |problem: String| Err(Error::Sample { picture: name(), problem });
        self.picture.checked_len()?;
        let n = self.boxes.len();
        if self.classes.len() != n || self.attributes.len() != n {
            let (classes, attributes) = (self.classes.len(), self.attributes.len());
            return refuse(format!(
                "{n} boxes, {classes} classes and {attributes} lists of attributes do not go together"
            ));
        }
        if let Some(bad) = self.boxes.iter().position(|rect| !rect.iter().all(|corner| corner.is_finite())) {
            return refuse(format!("box {bad} is {:?}; corners are finite numbers", self.boxes[bad]));
        }
        if let Some(class) = self.classes.iter().find(|class| **class >= n_classes) {
            return refuse(format!(
                "an object has class {class}; the detector's {n_classes} are numbered from 0"
            ));
        }
        if let Some(one) = self.attributes.iter().flatten().find(|one| **one >= n_attributes) {
            return refuse(format!(
                "an object has attribute {one}; the detector's {n_attributes} are numbered from 0"
            ));
        }
        let (width, height) = (self.picture.width as f32, self.picture.height as f32);
        let mut keeps = Vec::with_capacity(n);
        for rect in &mut self.boxes {
            let [x1, y1, x2, y2] = *rect;
            *rect =
                [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)];
            let has_area = rect[2] > rect[0] && rect[3] > rect[1];
            counts.boxes += 1;
            counts.clamped += u64::from(*rect != [x1, y1, x2, y2] && has_area);
            counts.empty += u64::from(!has_area);
            keeps.push(has_area);
        }
        let mut kept = keeps.iter().copied();
        self.boxes.retain(|_| kept.next().unwrap_or_default());
        let mut kept = keeps.iter().copied();
        self.classes.retain(|_| kept.next().unwrap_or_default());
        let mut kept = keeps.iter().copied();
        self.attributes.retain(|_| kept.next().unwrap_or_default());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(boxes: &[[f32; 4]]) -> TrainingPicture {
        TrainingPicture {
            picture: Picture { width: 20, height: 10, rgb: vec![0; 600] },
            boxes: boxes.to_vec(),
            classes: (0..boxes.len()).collect(),
            attributes: (0..boxes.len()).map(|i| vec![i]).collect(),
        }
    }

    #[test]
    fn clamped_and_counted() {
        let boxes =
            [[1.0, 1.0, 5.0, 5.0], [-3.0, 2.0, 25.0, 9.0], [30.0, 0.0, 40.0, 9.0], [4.0, 4.0, 4.0, 8.0]];
        let mut counts = BoxCounts::default();
        let checked = picture(&boxes).checked([4, 4], &|| "p".to_owned(), &mut counts).unwrap();
        assert_eq!(checked.boxes, [[1.0, 1.0, 5.0, 5.0], [0.0, 2.0, 20.0, 9.0]]);
        assert_eq!((checked.classes, checked.attributes), (vec![0, 1], vec![vec![0], vec![1]]));
        assert_eq!(counts, BoxCounts { boxes: 4, clamped: 1, empty: 2 });
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let mut counts = BoxCounts::default();
        let mut message = |picture: TrainingPicture, names| {
            picture.checked(names, &|| "shard-00000 row 7".to_owned(), &mut counts).unwrap_err().to_string()
        };
        let bad = [0.0, f32::NAN, 1.0, 1.0];
        assert!(message(picture(&[bad]), [9, 9]).starts_with("shard-00000 row 7: box 0 is [0.0, NaN"));
        assert!(message(picture(&[[0.0, 0.0, 1.0, 1.0]; 3]), [2, 9]).contains("class 2"));
        assert!(message(picture(&[[0.0, 0.0, 1.0, 1.0]; 3]), [9, 2]).contains("attribute 2"));
        let lists = TrainingPicture { classes: vec![0; 2], ..picture(&[[0.0, 0.0, 1.0, 1.0]; 3]) };
        assert!(message(lists, [9, 9]).contains("3 boxes, 2 classes"));
    }
}
