//! The sections of a spec that say how regions are computed: pictures, boxes, backbone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where pictures are and how they lie there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesSpec {
    /// The layout.
    #[serde(default)]
    pub format: ImagesFormat,
    /// A folder with all below it, a file, or a folder of files (tars, Parquet).
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// `parquet`: the column with the pictures (`image` if absent).
    #[serde(default)]
    pub column: Option<String>,
    /// `parquet`: the column with their ids; the name of the picture's file if absent.
    #[serde(default)]
    pub id_column: Option<String>,
    /// What of a picture goes into its row.
    #[serde(default)]
    pub keep: KeepImage,
}

/// Layouts of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImagesFormat {
    /// Files in a folder and the folders below it; the id is the file name without its ending.
    #[default]
    Folder,
    /// Tars, or a folder of them; the id is what stands before the first dot of an entry's name.
    Webdataset,
    /// A TSV with the id in its first and base64 of the picture in its last column, or the YAML of a set
    /// of such files.
    ImageTsv,
    /// A Parquet file with a column of pictures as Hugging Face `datasets` writes it, or a folder of them.
    Parquet,
}

/// What of a picture goes into its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepImage {
    /// Only where it came from.
    None,
    /// A JPEG of at most 256 pixels a side, to look at.
    #[default]
    Thumbnail,
    /// Its file as it is.
    Full,
}

/// Where boxes are that people drew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxesSpec {
    /// The layout.
    pub format: BoxesFormat,
    /// The file; a spec's section without it counts as absent.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// `visual-genome`: attributes.json.
    #[serde(default)]
    pub attributes: Option<PathBuf>,
    /// `open-images`, which needs it: class-descriptions-boxable.csv, the names of its classes.
    #[serde(default)]
    pub classes: Option<PathBuf>,
}

/// Layouts of boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxesFormat {
    /// COCO's instances_*.json; crowds are left out.
    CocoInstances,
    /// Visual Genome's objects.json, with attributes.json beside it or without.
    VisualGenome,
    /// OpenImages' *-annotations-bbox.csv; boxes of groups are left out.
    OpenImages,
    /// GQA's *_sceneGraphs.json.
    GqaSceneGraphs,
}

/// How regions are found and turned into vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionsSpec {
    /// Where the regions come from.
    pub provider: Provider,
    /// `detector` and `grid`: its folder, which `finetune detector train` or `convert` wrote. Given on the command line it takes
    /// the place of another provider and its network.
    #[serde(default)]
    pub detector: Option<PathBuf>,
    /// The network, by timm's name (`resnext50_32x4d`, `tf_efficientnet_b3`, ...): `boxes`, `crops` and, without a detector,
    /// `grid` need one.
    #[serde(default)]
    pub backbone: Option<String>,
    /// Its weights: .safetensors or .pth of timm or torchvision.
    #[serde(default)]
    pub weights: Option<PathBuf>,
    /// Whose conventions the weights follow (timm, tf, torchvision), where names do not tell.
    #[serde(default)]
    pub flavour: Option<WeightsFlavour>,
    /// Weights drawn from this seed instead: for trying things out; the data set then says "untrained".
    #[serde(default)]
    pub random_weights: Option<u64>,
    /// Numbers that a backbone computes with; a detector's are f32.
    #[serde(default, skip_serializing_if = "NetworkNumbers::are_f32")]
    pub precision: NetworkNumbers,
    /// Pixels of the short side of the pictures that the network sees. The published detectors see 600; a network that was
    /// trained on small pictures sees best what is as large as there.
    #[serde(default = "short_side")]
    pub short_side: u32,
    /// Pixels of their long side at most: then the short one is shorter.
    #[serde(default = "long_side")]
    pub long_side: u32,
    /// `crops`: pixels of the sides of a crop as the network sees it; that of the pictures it was trained on.
    #[serde(default = "crop_side")]
    pub crop_side: u32,
    /// `grid`: the names of the classifier's classes, one a line; without it there are no tags.
    #[serde(default)]
    pub classes: Option<PathBuf>,
    /// `grid`: least probability of a tag.
    #[serde(default = "tag_score")]
    pub tag_score: f32,
    /// Recorded with every tag; `annotated`, `classifier` or `detector` if absent.
    #[serde(default)]
    pub tag_origin: Option<String>,
}

/// Whose conventions (padding, epsilon, names) weights follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsFlavour {
    /// timm's own.
    Timm,
    /// TensorFlow's, as timm's `tf_` models keep them.
    Tf,
    /// torchvision's.
    Torchvision,
}

/// Numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkNumbers {
    /// Of 32 bits.
    #[default]
    F32,
    /// Activations and weights of 16 bits, eight of them behind the point, and sums of 32: for processors that multiply them.
    Bf16,
}

impl NetworkNumbers {
    fn are_f32(&self) -> bool {
        *self == Self::F32
    }
}

/// Where regions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The boxes of `[boxes]`, looked up in a map of the whole picture; a picture without any is one region.
    Boxes,
    /// The same boxes, each cut out and looked at alone, as in R-CNN (Paper: 1311.2524): what a network sees best that was
    /// trained to tell pictures of single things apart.
    Crops,
    /// The cells of the last map of a backbone or a detector, as grid features (Paper: 2001.03615).
    Grid,
    /// What a detector finds: boxes, vectors, classes, attributes (Papers: 1707.07998, 2101.00529). No annotation is needed.
    Detector,
    /// The boxes of `[boxes]` with their names and no vectors: what a detector learns from, if rows keep their pictures.
    None,
}

impl RegionsSpec {
    /// The key that cannot stay as it is, what is wrong with it, and what to do.
    pub(super) fn fault(&self) -> Option<[&'static str; 3]> {
        let is_detectors = self.provider == Provider::Grid && self.detector.is_some();
        if is_detectors && !(0.0..=1.0).contains(&self.tag_score) {
            return Some(["regions.tag_score", "is not a probability", "give a number from 0 to 1"]);
        }
        if is_detectors || matches!(self.provider, Provider::None | Provider::Detector) {
            let keys = [
                ("regions.backbone", self.backbone.is_some()),
                ("regions.weights", self.weights.is_some()),
                ("regions.random_weights", self.random_weights.is_some()),
                ("regions.flavour", self.flavour.is_some()),
                ("regions.classes", self.classes.is_some()),
                ("regions.precision", !self.precision.are_f32()),
            ];
            let given = keys.iter().find(|(_, given)| *given);
            return match (given, self.provider, &self.detector) {
                (Some((key, _)), Provider::None, _) => {
                    Some([key, "is set, and regions.provider = \"none\" computes nothing", "leave it out"])
                }
                (Some((key, _)), ..) => {
                    Some([key, "is set, and a detector brings its own network and names", "leave it out"])
                }
                (None, Provider::Detector, None) => Some([
                    "regions.detector",
                    "is not set",
                    "--set regions.detector=DIR: a folder that `finetune detector train` or `convert` wrote",
                ]),
                (None, Provider::None, Some(_)) => Some([
                    "regions.detector",
                    "is set, and regions.provider is \"none\"",
                    "leave one of them out",
                ]),
                (None, ..) => None,
            };
        }
        if self.detector.is_some() {
            return Some([
                "regions.detector",
                "is set, and regions.provider is another",
                "set regions.provider to \"detector\" or, for the cells of its map, \"grid\"; or leave it out",
            ]);
        }
        if self.backbone.is_none() {
            return Some([
                "regions.backbone",
                "is not set",
                "name the network; regions.provider = \"none\" does without, and without vectors",
            ]);
        }
        if self.weights.is_some() && self.random_weights.is_some() {
            return Some(["regions", "has both weights and random_weights", "leave one of them out"]);
        }
        if !(0.0..=1.0).contains(&self.tag_score) {
            return Some(["regions.tag_score", "is not a probability", "give a number from 0 to 1"]);
        }
        if self.short_side < 32 || self.long_side < self.short_side {
            return Some([
                "regions.short_side",
                "is shorter than a cell of the last map, or longer than regions.long_side",
                "give pixels, at least 32; the published detectors see 600 and at most 1000",
            ]);
        }
        (self.crop_side < 32).then_some([
            "regions.crop_side",
            "is shorter than a cell of the last map",
            "give pixels, at least 32: as many as the network was trained on",
        ])
    }
}

fn short_side() -> u32 {
    600
}

fn long_side() -> u32 {
    1000
}

fn crop_side() -> u32 {
    224
}

/// As low as the detectors of the published features go.
fn tag_score() -> f32 {
    0.2
}
