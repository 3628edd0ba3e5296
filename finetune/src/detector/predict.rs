//! `finetune detector predict`: what is in pictures.

use std::path::{Path, PathBuf};

use finetune_regions::decoding::{Limits, decode};
use finetune_regions::detector::Detector;
use finetune_regions::drawing::{Drawn, draw_regions};
use serde::Serialize;

use super::Error;

/// Looks at pictures with a detector.
#[derive(Debug, Clone)]
pub struct Predict {
    /// The detector's folder.
    pub model: PathBuf,
    /// The pictures.
    pub images: Vec<PathBuf>,
    /// Where to put a picture with boxes and a JSON for each.
    pub out: Option<PathBuf>,
}

/// What was found in a picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicted {
    /// The file.
    pub image: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The regions, best first.
    pub regions: Vec<Region>,
}

/// A region of a picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Region {
    /// x1, y1, x2, y2 in pixels of the picture.
    pub rect: [f32; 4],
    /// The class by name.
    pub name: String,
    /// Its probability.
    pub score: f32,
    /// Attributes with their probabilities, likeliest first.
    pub attributes: Vec<(String, f32)>,
}

impl Predict {
    /// What is in each picture.
    ///
    /// # Errors
    /// A detector or a picture that cannot be read; two pictures of one name with `out`.
    pub fn run(&self) -> Result<Vec<Predicted>, Error> {
        let outputs = self.outputs()?;
        let detector = Detector::open(&self.model)?;
        self.images
            .iter()
            .zip(outputs)
            .map(|(image, out)| self.one(&detector, image, out.as_deref()))
            .collect()
    }

    /// Where each picture's files go, without their ending.
    fn outputs(&self) -> Result<Vec<Option<PathBuf>>, Error> {
        let Some(out) = &self.out else { return Ok(vec![None; self.images.len()]) };
        let mut outputs: Vec<Option<PathBuf>> = Vec::new();
        for image in &self.images {
            let name = image.file_stem().unwrap_or(image.as_os_str());
            let path = Some(out.join(name));
            if outputs.contains(&path) {
                let problem =
                    format!("two pictures are called {}; look at them one after the other", name.display());
                return Err(Error::Usage { problem });
            }
            outputs.push(path);
        }
        std::fs::create_dir_all(out).map_err(data_specs::Error::io("create", out))?;
        Ok(outputs)
    }

    fn one(&self, detector: &Detector, image: &Path, out: Option<&Path>) -> Result<Predicted, Error> {
        let bytes = std::fs::read(image).map_err(|source| Error::Read { path: image.to_owned(), source })?;
        let of_picture = |error: finetune_regions::Error| Error::Picture {
            path: image.to_owned(),
            source: Box::new(error),
        };
        let picture = decode(&bytes, &Limits::default()).map_err(of_picture)?;
        let found = detector.detect(&picture).map_err(of_picture)?;
        let regions = (0..found.boxes.len()).map(|i| Region {
            rect: found.boxes[i],
            name: detector.class_names()[found.classes[i]].clone(),
            score: found.scores[i],
            attributes: found.attributes[i]
                .iter()
                .map(|(attribute, score)| (detector.attribute_names()[*attribute].clone(), *score))
                .collect(),
        });
        let predicted = Predicted {
            image: image.display().to_string(),
            width: picture.width,
            height: picture.height,
            regions: regions.collect(),
        };
        if let Some(out) = out {
            let labels: Vec<String> = predicted.regions.iter().map(Region::label).collect();
            let drawn: Vec<Drawn<'_>> = predicted
                .regions
                .iter()
                .zip(&labels)
                .map(|(region, label)| Drawn { rect_xyxy: region.rect, label })
                .collect();
            let png = draw_regions(&picture, &drawn).map_err(of_picture)?;
            let json = serde_json::to_vec_pretty(&predicted).expect("names and numbers are always JSON");
            let beside = |ending: &str| {
                let mut path = out.as_os_str().to_owned();
                path.push(ending);
                PathBuf::from(path)
            };
            data_specs::durable::write_durably(&beside(".png"), &png, "predict")?;
            data_specs::durable::write_durably(&beside(".json"), &json, "predict")?;
        }
        Ok(predicted)
    }
}

impl Region {
    /// The likeliest attribute and the class, with the class's probability.
    pub fn label(&self) -> String {
        let like = self.attributes.first().map(|(name, _)| format!("{name} ")).unwrap_or_default();
        format!("{like}{} {:.2}", self.name, self.score)
    }
}

impl Predicted {
    /// A line a region.
    pub fn table(&self) -> String {
        let mut lines = vec![format!("{}: {} regions", self.image, self.regions.len())];
        lines.extend(self.regions.iter().map(|region| {
            let [x1, y1, x2, y2] = region.rect;
            format!("  {:<32} {x1:7.1} {y1:7.1} {x2:7.1} {y2:7.1}", region.label())
        }));
        lines.join("\n")
    }
}
