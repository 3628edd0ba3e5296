//! From a spec to the formats that read its files.

use std::path::{Path, PathBuf};

use data_specs::{CorpusSpec, FeaturesFormat, FeaturesSpec, IdMatching, TextKind, TextsFormat, TextsSpec};

use crate::Error;
use crate::features::{
    BottomupTsv, Computed, FeatureFormat, LxmertTsv, OscarTsv, TorchDict, VinvlPart, VinvlTsv, VqaTsv,
};
use crate::plan::name_of;
use crate::texts::{
    Coco, FlickrToken, Gqa, Karpathy, Nlvr2, OscarCaptions, OscarPlus, QaFile, QuestionList, Table,
    TextFormat, TorchCaptions, VgQa, VgRegions, Vqa, WebdatasetTexts,
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
                format: text_format(name, texts, path, spec.ids)?,
                file_name: name_of(path),
                splits: texts.splits.clone(),
            })
        });
        Ok(Sources { features, texts: texts.collect::<Result<_, Error>>()? })
    }
}

fn features(spec: &CorpusSpec) -> Result<Box<dyn FeatureFormat>, Error> {
    let features = &spec.features;
    let Some(format) = features.format else {
        return Ok(Box::new(Computed::of(spec)?));
    };
    if spec.images.is_some() {
        return Err(spec_error(
            "features.path and images.path".into(),
            "are not set: there is nothing to look at".into(),
            format!(
                "{} to read ready features, {} to compute them",
                spec.how_to_set("features.path"),
                spec.how_to_set("images.path")
            ),
        ));
    }
    check_keys(features, format)?;
    let path = || needed(&features.path, "features.path", spec);
    let origin = |default: &str| features.tag_origin.clone().unwrap_or_else(|| default.to_string());
    Ok(match format {
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

fn text_format(
    name: &str,
    texts: &TextsSpec,
    path: &Path,
    ids: IdMatching,
) -> Result<Box<dyn TextFormat>, Error> {
    check_text_keys(name, texts)?;
    let file = path.to_path_buf();
    Ok(match texts.format {
        TextsFormat::Coco => Box::new(Coco { file, by_file_name: ids == IdMatching::FileNames }),
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
        TextsFormat::VgRegions => Box::new(VgRegions { file }),
        TextsFormat::VgQa => Box::new(VgQa { file }),
        TextsFormat::FlickrToken => Box::new(FlickrToken { file }),
        TextsFormat::Webdataset => Box::new(WebdatasetTexts { path: file }),
        TextsFormat::Table => {
            let columns = texts.columns.clone().ok_or_else(|| {
                let hint =
                    format!("add [texts.{name}.columns] with image and text, by name or by number from 1");
                spec_error(format!("texts.{name}.columns"), "is not set".into(), hint)
            })?;
            let kind = texts.kind.unwrap_or(TextKind::Caption);
            Box::new(Table::new(&format!("texts.{name}"), path, columns, kind)?)
        }
    })
}

/// As [`check_keys`], for the keys of a text section.
fn check_text_keys(name: &str, texts: &TextsSpec) -> Result<(), Error> {
    use TextsFormat::{Karpathy, OscarPlus, Table, Vqa};
    let keys: [(&str, bool, &[TextsFormat]); 5] = [
        ("annotations", texts.annotations.is_some(), &[Vqa]),
        ("answers", !texts.answers.is_empty(), &[OscarPlus]),
        ("splits", texts.splits.is_some(), &[Karpathy, Table]),
        ("columns", texts.columns.is_some(), &[Table]),
        ("kind", texts.kind.is_some(), &[Table]),
    ];
    for (key, given, formats) in keys {
        if given && !formats.contains(&texts.format) {
            let what = format!("the format {} has no such key", crate::rejects_file::word(&texts.format));
            return Err(spec_error(
                format!("texts.{name}.{key}"),
                what,
                format!("leave it out, or change texts.{name}.format"),
            ));
        }
    }
    if texts.splits.is_some() && texts.columns.as_ref().is_some_and(|columns| columns.split.is_none()) {
        return Err(spec_error(
            format!("texts.{name}.splits"),
            "the table has no column of splits".into(),
            format!("name it in texts.{name}.columns.split, or leave splits out"),
        ));
    }
    Ok(())
}

/// A key that the format does not read would be ignored in silence.
fn check_keys(features: &FeaturesSpec, format: FeaturesFormat) -> Result<(), Error> {
    use FeaturesFormat::{LxmertTsv, OscarTsv, TorchDict, VinvlTsv};
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

/// A path that has to be set.
pub(crate) fn needed(path: &Option<PathBuf>, key: &str, spec: &CorpusSpec) -> Result<PathBuf, Error> {
    path.clone().ok_or_else(|| spec_error(key.to_string(), "is not set".into(), spec.how_to_set(key)))
}

/// A spec that cannot be built.
pub(crate) fn spec_error(place: String, what: String, hint: String) -> Error {
    data_specs::Error::Spec { place, what, hint }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(section: &str) -> Result<(), String> {
        let texts: TextsSpec = toml::from_str(section).unwrap();
        let path = texts.path.clone().unwrap();
        text_format("captions", &texts, &path, IdMatching::Exact)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn keys_that_a_text_format_does_not_read_are_refused() {
        for (section, words) in [
            ("format = 'coco'\npath = 'a.json'\nannotations = 'b.json'", "texts.captions.annotations"),
            ("format = 'coco'\npath = 'a.json'\nsplits = ['train']", "texts.captions.splits"),
            ("format = 'vqa'\npath = 'a.json'\nkind = 'question'", "the format vqa has no such key"),
            (
                "format = 'vg-qa'\npath = 'a.json'\n[[answers]]\nsource = 'vg'\npath = 'b'",
                "format vg-qa has no",
            ),
            ("format = 'gqa'\npath = 'a.json'\ncolumns = { image = 1, text = 2 }", "texts.captions.columns"),
            ("format = 'table'\npath = 'a.csv'", "add [texts.captions.columns]"),
            (
                "format = 'table'\npath = 'a.txt'\ncolumns = { image = 1, text = 2 }",
                "does not end as a table does",
            ),
            (
                "format = 'table'\npath = 'a.csv'\nsplits = ['val']\ncolumns = { image = 1, text = 2 }",
                "the table has no column of splits",
            ),
        ] {
            let said = opened(section).unwrap_err();
            assert!(said.contains(words) && said.contains("hint: "), "{section}: {said}");
        }
        for section in [
            "format = 'karpathy'\npath = 'a.json'\nsplits = ['train']",
            "format = 'vqa'\npath = 'a.json'\nannotations = 'b.json'",
            "format = 'table'\npath = 'a.csv'\nkind = 'question'\nsplits = ['val']\n[columns]\nimage = 'i'\ntext = 't'\nsplit = 's'",
        ] {
            assert_eq!(opened(section), Ok(()));
        }
    }
}
