//! Corpus specs: TOML files that say which features and texts make a data set.
//!
//! A spec is one tree; unknown keys are refused. `[set]` gives its keys short names for the command
//! line, so that `--set captions=FILE` means `--set texts.captions.path=FILE`. A spec may know its corpus both as
//! ready features and as pictures: the one whose path is set counts.

mod composition;
mod overrides;
mod pictures;
mod sections;

pub use composition::{Composition, CompositionSource, Spec};
pub use pictures::{
    BoxesFormat, BoxesSpec, ImagesFormat, ImagesSpec, KeepImage, NetworkNumbers, Provider, RegionsSpec,
    WeightsFlavour,
};
pub use sections::{
    AnswersPart, Column, ExcludeSpec, FeaturesFormat, FeaturesPart, FeaturesSpec, IdMatching, RejectsSpec,
    ShardSpec, TableColumns, TextsFormat, TextsSpec, WithoutText,
};

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::Error;
use overrides::{absolute_paths, apply};

/// What to build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusSpec {
    /// Name of the corpus, for people.
    pub name: String,
    /// First part of every row's key.
    pub source: String,
    /// Split of every row, unless a text file gives splits.
    pub split: String,
    /// How picture ids of texts, features and lists are compared.
    #[serde(default)]
    pub ids: IdMatching,
    /// Ready region features, or how computed ones are stored.
    #[serde(default)]
    pub features: FeaturesSpec,
    /// The pictures, where regions are to be computed.
    #[serde(default)]
    pub images: Option<ImagesSpec>,
    /// Boxes that people drew in the pictures.
    #[serde(default)]
    pub boxes: Option<BoxesSpec>,
    /// How regions are found in pictures, and what turns them into vectors.
    #[serde(default)]
    pub regions: Option<RegionsSpec>,
    /// The texts, by a name of your choice; a section without a path is left out.
    #[serde(default)]
    pub texts: BTreeMap<String, TextsSpec>,
    /// What to do with a picture that no text names, where texts are joined.
    #[serde(default)]
    pub without_text: WithoutText,
    /// Pictures to leave out.
    #[serde(default)]
    pub exclude: ExcludeSpec,
    /// Size of a shard.
    #[serde(default)]
    pub shard: ShardSpec,
    /// How many bad rows are too many.
    #[serde(default)]
    pub rejects: RejectsSpec,
    /// Short names: `name = "key.of.this.tree"`.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
}

impl CorpusSpec {
    /// Reads `path`, applies `overrides` (`key=value`, keys with dots or short names of `[set]`) and
    /// checks the result.
    ///
    /// # Errors
    /// A file that does not parse, a key that does not exist, a value that does not fit.
    pub fn load(path: &Path, overrides: &[String]) -> Result<CorpusSpec, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let folder = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        let folder = folder.parent().unwrap_or(Path::new("/")).to_path_buf();
        let here = std::env::current_dir().map_err(Error::io("resolve", Path::new(".")))?;
        CorpusSpec::parse(&text, &path.display().to_string(), &folder, overrides, &here)
    }

    fn parse(
        text: &str,
        place: &str,
        folder: &Path,
        overrides: &[String],
        here: &Path,
    ) -> Result<CorpusSpec, Error> {
        let mut tree: Table = text.parse().map_err(|error: toml::de::Error| Error::Spec {
            place: place.to_string(),
            what: error.to_string(),
            hint: "the spec is TOML; docs/corpora.md lists its keys".into(),
        })?;
        absolute_paths(&mut tree, folder, true);
        let short: BTreeMap<String, String> = match tree.get("set") {
            None => BTreeMap::new(),
            Some(set) => set.clone().try_into().map_err(|error: toml::de::Error| Error::Spec {
                place: format!("{place}, [set]"),
                what: error.to_string(),
                hint: "short names are strings: name = \"key.of.the.tree\"".into(),
            })?,
        };
        let mut set = Vec::new();
        for given in overrides {
            set.push(apply(&mut tree, given, &short, here)?);
        }
        let mut spec: CorpusSpec =
            Value::Table(tree).try_into().map_err(|error: toml::de::Error| Error::Spec {
                place: place.to_string(),
                what: error.to_string().trim_end().to_string(),
                hint: "docs/corpora.md lists the keys; a text value in --set may be put in quotes".into(),
            })?;
        spec.leave_out_unused(place, &set)?;
        spec.let_given_weights_win(&set);
        spec.validate(place)?;
        Ok(spec)
    }

    /// Of a spec that knows ready features and pictures, what has no path counts as absent; `set` are the keys
    /// given beside the spec, none of which may be lost that way.
    fn leave_out_unused(&mut self, place: &str, set: &[String]) -> Result<(), Error> {
        let ready =
            self.features.path.is_some() || self.features.yaml.is_some() || !self.features.parts.is_empty();
        let pictures = self.images.as_ref().is_some_and(|images| images.path.is_some());
        let (unused, what): (fn(&str) -> bool, _) = match (ready, pictures) {
            _ if self.features.format.is_none() || self.images.is_none() => return Ok(()),
            (true, false) => {
                (self.images, self.boxes, self.regions) = (None, None, None);
                let unused = |key: &str| {
                    ["images", "boxes", "regions"].contains(&key.split('.').next().unwrap_or(key))
                };
                (unused, "is set, but regions come from ready features")
            }
            (false, true) => {
                self.features = FeaturesSpec { dtype: self.features.dtype, ..FeaturesSpec::default() };
                let unused = |key: &str| key.starts_with("features.") && key != "features.dtype";
                (unused, "is set, but regions are computed from pictures")
            }
            // Both is a mistake that `validate` tells, neither one that the command tells which needs them.
            _ => return Ok(()),
        };
        match set.iter().find(|key| unused(key)) {
            None => Ok(()),
            Some(key) => Err(Error::Spec {
                place: format!("{place}, {key}"),
                what: what.into(),
                hint: "leave it out, or give the other input".into(),
            }),
        }
    }

    fn validate(&self, place: &str) -> Result<(), Error> {
        let bad = |key: &str, what: &str, hint: &str| {
            Err(Error::Spec { place: format!("{place}, {key}"), what: what.into(), hint: hint.into() })
        };
        for (key, word) in [("source", &self.source), ("split", &self.split), ("name", &self.name)] {
            if word.is_empty() || word.contains(['/', '|', '\n']) {
                return bad(
                    key,
                    "is empty, or has '/', '|' or a line break in it",
                    "use a plain word such as `coco`",
                );
            }
        }
        if self.shard.rows == Some(0) || self.shard.bytes == 0 {
            return bad("shard", "a shard of no rows", "give shard.rows or shard.bytes a number above 0");
        }
        if !(0.0..=1.0).contains(&self.rejects.max_ratio) {
            return bad("rejects.max_ratio", "is not a share", "give a number from 0 to 1");
        }
        if self.exclude.distance > 128 {
            return bad("exclude.distance", "fingerprints have 128 bits", "give a number from 0 to 128");
        }
        if let Some([key, what, hint]) = self.regions.as_ref().and_then(RegionsSpec::fault) {
            return bad(key, what, hint);
        }
        let has_pictures = self.images.as_ref().is_some_and(|images| images.path.is_some());
        match (&self.features.format, &self.images, &self.regions) {
            (Some(_), None, None) if self.boxes.is_none() => Ok(()),
            // Without a path yet, a spec may know its corpus in both forms.
            (Some(_), Some(_), Some(_)) if !has_pictures => Ok(()),
            (None, Some(_), Some(_)) => Ok(()),
            (None, None, _) => bad(
                "features.format",
                "is not set, and there is no section [images]",
                "name the layout of ready features, or add [images] and [regions] to compute them",
            ),
            (None, Some(_), None) => {
                bad("regions", "is missing", "add [regions] with provider and backbone: docs/corpora.md")
            }
            (Some(_), _, _) => bad(
                "features.format",
                "is set beside [images], [boxes] or [regions]",
                "features are either read or computed: leave one of the two out",
            ),
        }
    }

    /// Weights on the command line replace random ones of the spec, and the reverse.
    fn let_given_weights_win(&mut self, set: &[String]) {
        let given = |key: &str| set.iter().any(|set| set == key);
        if let Some(regions) = &mut self.regions {
            let is_grid = given("regions.provider") && regions.provider == Provider::Grid;
            if given("regions.detector") && (is_grid || !given("regions.provider")) {
                regions.provider = if is_grid { Provider::Grid } else { Provider::Detector };
                let others =
                    ["regions.backbone", "regions.weights", "regions.random_weights", "regions.flavour"];
                if !others.iter().any(|key| given(key)) {
                    regions.backbone = None;
                    regions.weights = None;
                    regions.random_weights = None;
                    regions.flavour = None;
                    regions.classes = None;
                    if !given("regions.precision") {
                        regions.precision = NetworkNumbers::F32;
                    }
                }
            }
            match (given("regions.weights"), given("regions.random_weights")) {
                (true, false) => regions.random_weights = None,
                (false, true) => regions.weights = None,
                _ => {}
            }
        }
    }

    /// The text sections that have a path, in the order of their names.
    pub fn active_texts(&self) -> impl Iterator<Item = (&str, &TextsSpec, &Path)> {
        self.texts
            .iter()
            .filter_map(|(name, texts)| texts.path.as_deref().map(|path| (name.as_str(), texts, path)))
    }

    /// How a user sets `key` on the command line: by its short name if it has one.
    pub fn how_to_set(&self, key: &str) -> String {
        let short = self.set.iter().find(|(_, long)| *long == key).map(|(short, _)| short.as_str());
        format!("--set {}=...", short.unwrap_or(key))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::FeatureType;

    const SPEC: &str = r#"
        name = "test"
        source = "coco"
        split = "train"
        [features]
        format = "lxmert-tsv"
        classes = "lists/objects.txt"
        [texts.captions]
        format = "coco"
        [set]
        features = "features.path"
        captions = "texts.captions.path"
    "#;

    fn parse(overrides: &[&str]) -> Result<CorpusSpec, Error> {
        parse_spec(SPEC, overrides)
    }

    fn parse_spec(spec: &str, overrides: &[&str]) -> Result<CorpusSpec, Error> {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        CorpusSpec::parse(spec, "test.toml", Path::new("/specs"), &overrides, Path::new("/here"))
    }

    #[test]
    fn of_features_and_pictures_the_one_with_a_path_counts() {
        let both = format!(
            "{SPEC}images = \"images.path\"\n[images]\n[boxes]\nformat = \"coco-instances\"\n\
             [regions]\nprovider = \"boxes\"\nbackbone = \"resnext50_32x4d\"\n"
        );
        let neither = parse_spec(&both, &[]).unwrap();
        assert!(neither.features.format.is_some() && neither.images.is_some());
        let ready = parse_spec(&both, &["features=a.tsv"]).unwrap();
        assert!(ready.features.format.is_some() && ready.images.is_none() && ready.boxes.is_none());
        assert!(ready.regions.is_none());
        let computed = parse_spec(&both, &["images=folder", "features.dtype=f16"]).unwrap();
        assert!(computed.features.format.is_none() && computed.features.classes.is_none());
        assert!(computed.features.dtype == FeatureType::F16 && computed.regions.is_some());
        for (given, words) in [
            (["features=a.tsv", "images=folder"], "either read or computed"),
            (
                ["features=a.tsv", "regions.random_weights=0"],
                "regions.random_weights: is set, but regions come",
            ),
            (
                ["images=folder", "features.classes=list.txt"],
                "features.classes: is set, but regions are computed",
            ),
        ] {
            let message = parse_spec(&both, &given).unwrap_err().to_string();
            assert!(message.contains(words), "{given:?}: {message}");
        }
    }

    #[test]
    fn paths_start_at_the_spec_or_at_the_current_folder() {
        let spec = parse(&["features=a.tsv", "captions=/abs/c.json", "exclude.ids=[\"x.txt\"]"]).unwrap();
        assert_eq!(spec.features.path.as_deref(), Some(Path::new("/here/a.tsv")));
        assert_eq!(spec.features.classes.as_deref(), Some(Path::new("/specs/lists/objects.txt")));
        assert_eq!(spec.exclude.ids, [PathBuf::from("/here/x.txt")]);
        let texts: Vec<_> = spec.active_texts().map(|(name, _, path)| (name, path)).collect();
        assert_eq!(texts, [("captions", Path::new("/abs/c.json"))]);
        assert_eq!(spec.how_to_set("features.path"), "--set features=...");
    }

    #[test]
    fn weights_of_the_command_line_replace_those_of_the_spec() {
        let spec =
            "name = 'a'\nsource = 'a'\nsplit = 'a'\n[images]\n[regions]\nprovider = 'grid'\nbackbone = 'x'\n";
        let regions = |key: &str, set: &[&str]| {
            let regions = parse_spec(&format!("{spec}{key}"), set).map(|spec| spec.regions.unwrap());
            regions.map(|regions| (regions.weights.is_some(), regions.random_weights))
        };
        assert_eq!(regions("random_weights = 3", &["regions.weights=w.pth"]).unwrap(), (true, None));
        assert_eq!(regions("weights = 'w.pth'", &["regions.random_weights=4"]).unwrap(), (false, Some(4)));
        assert!(regions("", &["regions.random_weights=4", "regions.weights=w.pth"]).is_err());
    }

    #[test]
    fn a_detector_on_the_command_line_takes_the_place_of_a_network() {
        let spec = "name = 'a'\nsource = 'a'\nsplit = 'a'\n[images]\n[regions]\nprovider = 'grid'\nbackbone = 'x'\n\
                    random_weights = 0\nclasses = 'names'\n";
        let regions = |set: &[&str]| parse_spec(spec, set).map(|spec| spec.regions.unwrap());
        let found = regions(&["regions.detector=vinvl"]).unwrap();
        assert_eq!((found.provider, found.backbone, found.random_weights), (Provider::Detector, None, None));
        assert!(found.detector.unwrap().ends_with("vinvl"));
        let found = regions(&["regions.detector=vinvl", "regions.provider=grid"]).unwrap();
        assert_eq!((found.provider, found.backbone, found.classes), (Provider::Grid, None, None));
        assert!(found.detector.is_some());
        for (set, words) in [
            (
                &["regions.detector=d", "regions.provider=grid", "regions.weights=w.pth"][..],
                "regions.backbone: is set, and a detector",
            ),
            (
                &["regions.detector=d", "regions.weights=w.pth"][..],
                "regions.backbone: is set, and a detector",
            ),
            (
                &["regions.detector=d", "regions.provider=crops"],
                "regions.detector: is set, and regions.provider",
            ),
            (&["regions.provider=detector"], "regions.backbone: is set, and a detector"),
            (&["regions.detector=d", "regions.precision=bf16"], "regions.precision: is set, and a detector"),
        ] {
            let message = regions(set).unwrap_err().to_string();
            assert!(message.contains(words), "{set:?}: {message}");
        }
        let bare = "name = 'a'\nsource = 'a'\nsplit = 'a'\n[images]\n[regions]\nprovider = 'detector'\n";
        let message = parse_spec(bare, &[]).unwrap_err().to_string();
        assert!(message.contains("regions.detector: is not set"), "{message}");
    }

    #[test]
    fn boxes_without_vectors_need_no_network() {
        let spec = "name = 'a'\nsource = 'a'\nsplit = 'a'\n[images]\nkeep = 'full'\n[boxes]\nformat = 'coco-instances'\n\
                    [regions]\nprovider = 'none'\n";
        let regions = parse_spec(spec, &[]).unwrap().regions.unwrap();
        assert_eq!((regions.provider, regions.backbone), (Provider::None, None));
        for (given, words) in [
            ("regions.backbone=resnext50_32x4d", "regions.backbone: is set, and regions.provider"),
            ("regions.random_weights=0", "regions.random_weights: is set"),
            ("regions.provider=boxes", "regions.backbone: is not set"),
        ] {
            let message = parse_spec(spec, &[given]).unwrap_err().to_string();
            assert!(message.contains(words), "{given}: {message}");
        }
    }

    #[test]
    fn overrides_reach_sections_values_and_words() {
        let spec =
            parse(&["shard.rows=7", "features.dtype=f16", "ids=trailing-digits", "rejects.max_ratio=1"]);
        let spec = spec.unwrap();
        assert_eq!((spec.shard.rows, spec.features.dtype), (Some(7), FeatureType::F16));
        assert_eq!((spec.ids, spec.rejects.max_ratio), (IdMatching::TrailingDigits, 1.0));
        assert!(spec.active_texts().next().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (given, word) in [
            ("shard.row=7", "unknown field `row`"),
            ("features", "no `=`"),
            ("texts.captions=7", "is a section"),
            ("name.x=7", "is a value"),
            ("shard.rows=0", "no rows"),
            ("rejects.max_ratio=2.0", "share"),
            ("features.dtype=f64", "f64"),
            ("source=a/b", "plain word"),
            ("images.path=x", "regions: is missing"),
            ("regions.provider=\"boxes\"", "backbone"),
            ("exclude.distance=129", "128 bits"),
        ] {
            let message = parse(&[given]).unwrap_err().to_string();
            assert!(message.contains(word), "{given}: {message}");
        }
    }
}
