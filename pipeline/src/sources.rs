//! From a spec to the formats that read its files.

use std::path::{Path, PathBuf};

use data_specs::{CorpusSpec, FeaturesFormat, FeaturesSpec, TextsFormat, TextsSpec};

use crate::Error;
use crate::features::{
    BottomupTsv, FeatureFormat, LxmertTsv, OscarTsv, TorchDict, VinvlPart, VinvlTsv, VqaTsv,
};
use crate::plan::name_of;
use crate::texts::{
    Coco, Gqa, Karpathy, Nlvr2, OscarCaptions, OscarPlus, QaFile, QuestionList, TextFormat, TorchCaptions,
    Vqa,
};

/// Everything a spec reads from.
pub(crate) struct Sources {
    pub(crate) features: Box<dyn FeatureFormat>,
    /// The active text sections, in the order of their names.
    pub(crate) texts: Vec<TextSource>,
}

/// One text section.
pub(crate) struct TextSource {
    pub(crate) format: Box<dyn TextFormat>,
    /// Name of its (first) file, for rejects.
    pub(crate) file_name: String,
    /// Splits to take, if not all.
    pub(crate) splits: Option<Vec<String>>,
}

impl Sources {
    /// The formats that `spec` names, with their paths.
    ///
    /// # Errors
    /// A path that is not set, a key that the format does not have, lists that cannot be read.
    pub(crate) fn of(spec: &CorpusSpec) -> Result<Sources, Error> {
        let features = features(spec)?;
        let texts = spec.active_texts().map(|(name, texts, path)| {
            Ok(TextSource {
                format: text_format(name, texts, path)?,
                file_name: name_of(path),
                splits: texts.splits.clone(),
            })
        });
        Ok(Sources { features, texts: texts.collect::<Result<_, Error>>()? })
    }
}

fn features(spec: &CorpusSpec) -> Result<Box<dyn FeatureFormat>, Error> {
    let features = &spec.features;
    check_keys(features)?;
    let path = || needed(&features.path, "features.path", spec);
    let origin = |default: &str| features.tag_origin.clone().unwrap_or_else(|| default.to_string());
    Ok(match features.format {
        FeaturesFormat::LxmertTsv => Box::new(LxmertTsv::new(
            vec![path()?],
            features.classes.as_deref(),
            features.attributes.as_deref(),
            &origin("vg"),
        )?),
        FeaturesFormat::BottomupTsv => Box::new(BottomupTsv { paths: vec![path()?] }),
        FeaturesFormat::OscarTsv => {
            let yaml = needed(&features.yaml, "features.yaml", spec)?;
            Box::new(OscarTsv::from_yaml(&yaml, &origin("vg"), false)?)
        }
        FeaturesFormat::VinvlTsv => {
            let mut parts: Vec<VinvlPart> = features
                .parts
                .iter()
                .map(|part| VinvlPart {
                    source: Some(part.source.clone()),
                    dir: part.path.clone(),
                    labels: part.labels.clone(),
                })
                .collect();
            if parts.is_empty() {
                parts.push(VinvlPart { source: None, dir: path()?, labels: features.labels.clone() });
            }
            Box::new(VinvlTsv { parts, origin: origin("vinvl") })
        }
        FeaturesFormat::VqaTsv => Box::new(VqaTsv { paths: vec![path()?] }),
        FeaturesFormat::TorchDict => Box::new(TorchDict {
            paths: vec![path()?],
            labels: features.labels.clone().into_iter().collect(),
            origin: origin("vg"),
        }),
    })
}

fn text_format(name: &str, texts: &TextsSpec, path: &Path) -> Result<Box<dyn TextFormat>, Error> {
    let file = path.to_path_buf();
    let vqa = texts.format == TextsFormat::Vqa;
    let oscar_plus = texts.format == TextsFormat::OscarPlus;
    if (texts.annotations.is_some() && !vqa) || (!texts.answers.is_empty() && !oscar_plus) {
        return Err(spec_error(
            format!("texts.{name}"),
            "`annotations` belongs to the format vqa, `answers` to oscar-plus".into(),
            "leave the key out, or change texts.NAME.format".into(),
        ));
    }
    Ok(match texts.format {
        TextsFormat::Coco => Box::new(Coco { file }),
        TextsFormat::Karpathy => Box::new(Karpathy { file }),
        TextsFormat::OscarCaptions => Box::new(OscarCaptions { file }),
        TextsFormat::OscarPlus => {
            let answers = texts.answers.iter();
            let answers =
                answers.map(|part| QaFile { dataset: Some(part.source.clone()), file: part.path.clone() });
            Box::new(OscarPlus { corpus: file, answers: answers.collect() })
        }
        TextsFormat::Vqa => Box::new(Vqa { questions: file, annotations: texts.annotations.clone() }),
        TextsFormat::Gqa => Box::new(Gqa::at(path)?),
        TextsFormat::Nlvr2 => Box::new(Nlvr2 { file }),
        TextsFormat::QuestionLists => Box::new(QuestionList { file }),
        TextsFormat::TorchCaptions => Box::new(TorchCaptions { file }),
    })
}

/// A key that the format does not read would be ignored in silence.
fn check_keys(features: &FeaturesSpec) -> Result<(), Error> {
    use FeaturesFormat::{LxmertTsv, OscarTsv, TorchDict, VinvlTsv};
    let format = features.format;
    let keys: [(&str, bool, &[FeaturesFormat]); 5] = [
        ("yaml", features.yaml.is_some(), &[OscarTsv]),
        ("parts", !features.parts.is_empty(), &[VinvlTsv]),
        ("labels", features.labels.is_some(), &[VinvlTsv, TorchDict]),
        ("classes", features.classes.is_some(), &[LxmertTsv]),
        ("attributes", features.attributes.is_some(), &[LxmertTsv]),
    ];
    for (key, given, formats) in keys {
        if given && !formats.contains(&format) {
            let what = format!("the format {} has no such key", crate::rejects_file::word(&format));
            return Err(spec_error(
                format!("features.{key}"),
                what,
                "leave it out, or change features.format".into(),
            ));
        }
    }
    Ok(())
}

fn needed(path: &Option<PathBuf>, key: &str, spec: &CorpusSpec) -> Result<PathBuf, Error> {
    path.clone().ok_or_else(|| spec_error(key.to_string(), "is not set".into(), spec.how_to_set(key)))
}

fn spec_error(place: String, what: String, hint: String) -> Error {
    data_specs::Error::Spec { place, what, hint }.into()
}
