//! The sections of a spec that say what is read: ready features, texts, and what is left out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{FeatureType, TextKind};

/// Where region features are and how they lie there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesSpec {
    /// The layout of the files; none where features are computed from pictures.
    #[serde(default)]
    pub format: Option<FeaturesFormat>,
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
    /// Splits to take, where the file gives splits (`karpathy`, `table`); all if absent.
    #[serde(default)]
    pub splits: Option<Vec<String>>,
    /// `table`: which column holds what.
    #[serde(default)]
    pub columns: Option<TableColumns>,
    /// `table`: what the texts are; captions if absent.
    #[serde(default)]
    pub kind: Option<TextKind>,
}

/// The columns of a table of texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableColumns {
    /// The picture: its id, or the path or URL of its file.
    pub image: Column,
    /// The text.
    pub text: Column,
    /// The id of the text; `<file>:<line>` if absent.
    #[serde(default)]
    pub id: Option<Column>,
    /// The answer to a question.
    #[serde(default)]
    pub answer: Option<Column>,
    /// A class number.
    #[serde(default)]
    pub label: Option<Column>,
    /// The split.
    #[serde(default)]
    pub split: Option<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// By number from 1, in a file without a line of names.
    Number(u32),
    /// By name.
    Name(String),
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
    /// COCO captions, and NoCaps in the same layout with the domain of each picture.
    Coco,
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
    /// Visual Genome's region_descriptions.json.
    VgRegions,
    /// Visual Genome's question_answers.json.
    VgQa,
    /// Flickr30k's results_20130124.token.
    FlickrToken,
    /// Captions beside their pictures in tars (`0001.txt` by `0001.jpg`).
    Webdataset,
    /// CSV, TSV, JSON lines or Parquet with named columns.
    Table,
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
    /// As `exact`, and files in COCO's layout name a picture by the `file_name` that their `images` give it,
    /// not by its `id`: for annotations that number pictures whose files are called otherwise.
    FileNames,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludeSpec {
    /// Files with one picture id a line.
    #[serde(default)]
    pub ids: Vec<PathBuf>,
    /// Folders of pictures (a test set): what looks like one of them is left out.
    #[serde(default)]
    pub pictures: Vec<PathBuf>,
    /// How many of the 128 bits of two fingerprints may differ for pictures to look alike.
    #[serde(default = "near_duplicate")]
    pub distance: u32,
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

impl Default for FeaturesSpec {
    fn default() -> Self {
        FeaturesSpec {
            format: None,
            dtype: f32_type(),
            path: None,
            yaml: None,
            parts: Vec::new(),
            labels: None,
            classes: None,
            attributes: None,
            tag_origin: None,
        }
    }
}

impl Default for ExcludeSpec {
    fn default() -> Self {
        ExcludeSpec { ids: Vec::new(), pictures: Vec::new(), distance: near_duplicate() }
    }
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

/// Re-encoded and resized copies of a picture differ in fewer bits, other pictures in more:
/// docs/bench/pictures.md has the distances measured.
fn near_duplicate() -> u32 {
    12
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
