//! Corpus specs: TOML files that say which features and texts make a data set.
//!
//! A spec is one tree; unknown keys are refused. `[set]` gives its keys short names for the command
//! line, so that `--set captions=FILE` means `--set texts.captions.path=FILE`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{Error, FeatureType};

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
    /// The region features.
    pub features: FeaturesSpec,
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

/// Where region features are and how they lie there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesSpec {
    /// The layout of the files.
    pub format: FeaturesFormat,
    /// How numbers are stored in the shards.
    #[serde(default = "f32_type")]
    pub dtype: FeatureType,
    /// The feature file, or its folder (`vinvl-tsv`).
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// `oscar-tsv`: the yaml that names the TSV files.
    #[serde(default)]
    pub yaml: Option<PathBuf>,
    /// `vinvl-tsv`: several folders with the data set each belongs to, instead of `path`.
    #[serde(default)]
    pub parts: Vec<FeaturesPart>,
    /// `torch-dict`: the labels that give tags.
    #[serde(default)]
    pub labels: Option<PathBuf>,
    /// `lxmert-tsv`: names of object classes, one a line; looked for beside the features otherwise.
    #[serde(default)]
    pub classes: Option<PathBuf>,
    /// `lxmert-tsv`: names of attributes, one a line; looked for beside the features otherwise.
    #[serde(default)]
    pub attributes: Option<PathBuf>,
    /// Recorded with every tag.
    #[serde(default)]
    pub tag_origin: Option<String>,
}

/// One folder of a composed import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesPart {
    /// Data set name: first part of the keys of its rows.
    pub source: String,
    /// Folder with features.tsv.
    pub path: PathBuf,
    /// Folder with the labels, if it is another one.
    #[serde(default)]
    pub labels: Option<PathBuf>,
}

/// Layouts of feature files; `docs/imports.md` describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeaturesFormat {
    /// LXMERT's and airsplay's ten columns.
    LxmertTsv,
    /// Anderson's bottom-up-attention columns.
    BottomupTsv,
    /// Oscar's captioning data: yaml + feature, label and hw TSV.
    OscarTsv,
    /// VinVL's features.tsv, predictions.tsv and imageid2idx.json.
    VinvlTsv,
    /// Oscar's VQA features: TSV + byte offsets.
    VqaTsv,
    /// A torch dictionary: picture id to n x 2054 tensor.
    TorchDict,
}

/// Where texts are and how they lie there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextsSpec {
    /// The layout of the files.
    pub format: TextsFormat,
    /// The file; the section counts only where it is set.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// `vqa`: the annotations, if they are not in the same file.
    #[serde(default)]
    pub annotations: Option<PathBuf>,
    /// `oscar-plus`: the answers to the questions of each data set.
    #[serde(default)]
    pub answers: Vec<AnswersPart>,
    /// Splits to take, where the file gives splits (`karpathy`); all if absent.
    #[serde(default)]
    pub splits: Option<Vec<String>>,
}

/// The answers to the questions about one data set's pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswersPart {
    /// Data set name, as the corpus spells it.
    pub source: String,
    /// Its QA_fileB.tsv.
    pub path: PathBuf,
}

/// Layouts of text files; `docs/imports.md` describes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextsFormat {
    /// COCO captions.
    Coco,
    /// NoCaps: COCO's layout with the domain of each picture.
    Nocaps,
    /// Karpathy's dataset_*.json.
    Karpathy,
    /// Oscar's list of captions.
    OscarCaptions,
    /// Oscar+ pre-training corpus TSV.
    OscarPlus,
    /// VQA v2 questions and annotations.
    Vqa,
    /// GQA questions.
    Gqa,
    /// NLVR2 json lines.
    Nlvr2,
    /// Oscar's VQA, GQA and NLVR2 question lists.
    QuestionLists,
    /// Oscar's retrieval captions, a torch dictionary.
    TorchCaptions,
}

/// How picture ids are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdMatching {
    /// Letter by letter, a picture file's extension aside.
    #[default]
    Exact,
    /// By the number after the last underscore: `COCO_train2014_000000000009.jpg` is 9. For corpora
    /// on COCO pictures, whose files write one id in several ways; other ids are compared exactly.
    TrailingDigits,
}

/// What becomes of a picture without texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutText {
    /// It is a reject: somebody expected texts for it.
    #[default]
    Reject,
    /// It becomes a row without texts.
    Keep,
}

/// Pictures to leave out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludeSpec {
    /// Files with one picture id a line.
    #[serde(default)]
    pub ids: Vec<PathBuf>,
}

/// Size of a shard: the task that builds it takes rows until either limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSpec {
    /// Rows at most.
    #[serde(default)]
    pub rows: Option<u64>,
    /// Bytes about at most (estimated from the inputs).
    #[serde(default = "shard_bytes")]
    pub bytes: u64,
}

/// How many bad rows end a build with exit code 4.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsSpec {
    /// Largest share of damaged rows. Rows and texts that merely found no partner do not count.
    #[serde(default = "max_ratio")]
    pub max_ratio: f64,
}

impl Default for ShardSpec {
    fn default() -> Self {
        ShardSpec { rows: None, bytes: shard_bytes() }
    }
}

impl Default for RejectsSpec {
    fn default() -> Self {
        RejectsSpec { max_ratio: max_ratio() }
    }
}

fn f32_type() -> FeatureType {
    FeatureType::F32
}

/// Half of what Hugging Face's viewer and the Hub recommend at most, so that a lost task is a small loss.
fn shard_bytes() -> u64 {
    256 << 20
}

fn max_ratio() -> f64 {
    0.1
}

/// Keys whose values are paths: relative ones in a spec start at the spec's folder, relative ones in
/// an override at the current folder.
const PATH_KEYS: [&str; 7] = ["path", "yaml", "labels", "classes", "attributes", "annotations", "ids"];
/// `ids` is also the name of a word at the top of the tree.
const NOT_A_PATH: [&str; 1] = ["ids"];

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
        for given in overrides {
            apply(&mut tree, given, &short, here)?;
        }
        let spec: CorpusSpec =
            Value::Table(tree).try_into().map_err(|error: toml::de::Error| Error::Spec {
                place: place.to_string(),
                what: error.to_string().trim_end().to_string(),
                hint: "docs/corpora.md lists the keys; a text value in --set may be put in quotes".into(),
            })?;
        spec.validate(place)?;
        Ok(spec)
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
        Ok(())
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

fn apply(tree: &mut Table, given: &str, short: &BTreeMap<String, String>, here: &Path) -> Result<(), Error> {
    let wrong = |what: String, hint: String| Error::Spec { place: format!("--set {given}"), what, hint };
    let (key, text) =
        given.split_once('=').ok_or_else(|| wrong("has no `=`".into(), "write --set key=value".into()))?;
    let key = short.get(key).map_or(key, String::as_str);
    let path: Vec<&str> = key.split('.').collect();
    let last = *path.last().unwrap_or(&key);
    let is_path = PATH_KEYS.contains(&last) && !(path.len() == 1 && NOT_A_PATH.contains(&last));
    // A path is never anything else, whatever it looks like; other values are TOML, or plain words.
    let mut value = match format!("value = {text}").parse::<Table>() {
        Ok(mut table) if !is_path || text.starts_with(['[', '"', '\'']) => {
            table.remove("value").unwrap_or_else(|| Value::String(text.to_string()))
        }
        _ => Value::String(text.to_string()),
    };
    if is_path {
        absolute_value(&mut value, here);
    }
    let mut at = tree;
    for (depth, part) in path[..path.len() - 1].iter().enumerate() {
        let next = at.entry(part.to_string()).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| {
            let parent = path[..=depth].join(".");
            wrong(format!("`{parent}` is a value, not a section"), format!("--set {parent}=... changes it"))
        })?;
    }
    if let Some(Value::Table(section)) = at.get(last)
        && !value.is_table()
    {
        let keys = section.keys().map(|inner| format!("{key}.{inner}")).collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("`{key}` is a section"), format!("set one of its keys: {keys}")));
    }
    at.insert(last.to_string(), value);
    Ok(())
}

fn absolute_paths(tree: &mut Table, folder: &Path, top: bool) {
    for (key, value) in tree.iter_mut() {
        match value {
            _ if key == "set" && top => {}
            Value::Table(inner) => absolute_paths(inner, folder, false),
            Value::Array(items) if items.iter().all(Value::is_table) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_table_mut)
                    .for_each(|item| absolute_paths(item, folder, false));
            }
            value if PATH_KEYS.contains(&key.as_str()) && !(top && NOT_A_PATH.contains(&key.as_str())) => {
                absolute_value(value, folder);
            }
            _ => {}
        }
    }
}

fn absolute_value(value: &mut Value, folder: &Path) {
    match value {
        Value::String(path) => *path = folder.join(&*path).to_string_lossy().into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| absolute_value(item, folder)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        CorpusSpec::parse(SPEC, "test.toml", Path::new("/specs"), &overrides, Path::new("/here"))
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
        ] {
            let message = parse(&[given]).unwrap_err().to_string();
            assert!(message.contains(word), "{given}: {message}");
        }
    }
}
