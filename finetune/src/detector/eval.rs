//! `finetune detector eval`: how well a detector finds what people drew.

use std::path::PathBuf;

use finetune_metrics::detection::{DetectionScores, FoundBox, PictureBoxes, TrueBox, score};
use finetune_regions::detection_samples::{DetectionSamples, NamesSettings, SampleSettings, SampleSource};
use finetune_regions::detector::Detector;

use super::Error;

/// Examines a detector on data sets of `pipeline build`.
#[derive(Debug, Clone)]
pub struct Eval {
    /// The detector's folder.
    pub model: PathBuf,
    /// Data sets with whole pictures and boxes.
    pub data: Vec<PathBuf>,
    /// The first so many pictures; without it all.
    pub limit: Option<u64>,
}

impl Eval {
    /// COCO's average precision and recall over the detector's classes. `told` hears after every picture how many were looked
    /// at, and of how many.
    ///
    /// # Errors
    /// A detector or data sets that cannot be read; pictures without boxes of the detector's classes.
    pub fn run(&self, told: &dyn Fn(u64, u64)) -> Result<DetectionScores, Error> {
        let detector = Detector::open(&self.model)?;
        let file = Some(self.model.join("classes.txt"));
        let sources = self.data.iter().map(|path| SampleSource {
            path: path.clone(),
            splits: None,
            origins: None,
            copies: 1,
            least_of_class: 0,
        });
        let settings = SampleSettings {
            sources: sources.collect(),
            classes: NamesSettings { file, least_boxes: 1 },
            attributes: None,
            most_attributes: 1,
            flip: 0.0,
            short_sides: Vec::new(),
            long_side: 1,
        };
        let samples = DetectionSamples::open(&settings, 0)?;
        let n = self.limit.unwrap_or(u64::MAX).min(samples.n_pictures());
        let pictures = (0..n).map(|number| {
            let truth = samples.picture(number)?;
            let found = detector.detect(&truth.picture)?;
            told(number + 1, n);
            let truths = truth.boxes.iter().zip(&truth.classes);
            let all = found.boxes.iter().zip(found.classes.iter().zip(&found.scores));
            Ok(PictureBoxes {
                truths: truths.map(|(rect, class)| TrueBox::of_corners(*class, *rect)).collect(),
                found: all
                    .map(|(rect, (class, score))| FoundBox::of_corners(*class, *rect, *score))
                    .collect(),
            })
        });
        let pictures = pictures.collect::<Result<Vec<_>, Error>>()?;
        Ok(score(detector.class_names(), &pictures))
    }
}
