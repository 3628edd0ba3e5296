//! `finetune backbone cam`: where in a picture a network sees a class.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use data_specs::durable::write_durably;
use finetune_backbones::training::Trained;
use finetune_backbones::{Architecture, Backbone, Flavour, nearest};
use finetune_regions::decoding::{Limits, Picture, decode};
use finetune_regions::drawing::{below, beside, draw_heat, draw_heat_legend, draw_lines};
use finetune_regions::encode_png;
use finetune_regions::preparation::{Filter, Normalisation, Preparation, Prepared, Resize, resize};
use serde::Serialize;
use serde_json::Value;

use super::Error;
use super::eval::settings_of;

/// Draws the class activation map of a picture (Paper: 1512.04150).
#[derive(Debug, Clone)]
pub struct Cam {
    /// Where the network comes from.
    pub network: CamNetwork,
    /// The picture.
    pub image: PathBuf,
    /// A class by name or number; without it the likeliest.
    pub class: Option<String>,
    /// Height and width of the pictures that the network was trained with; without it as the run, or the description
    /// beside the weights, says, else 224.
    pub size: Option<u32>,
    /// The PNG to write.
    pub out: PathBuf,
}

/// A network with weights.
#[derive(Debug, Clone)]
pub enum CamNetwork {
    /// The newest checkpoint of a run.
    Run {
        /// The run's folder.
        run: PathBuf,
        /// Whether to take the last weights where there are averages.
        last: bool,
    },
    /// A file of weights. Classes have names if `export` has put its description beside it.
    Weights {
        /// Which network.
        architecture: Architecture,
        /// .safetensors or .pth.
        weights: PathBuf,
        /// Whose weights they are, where name and keys leave it open.
        flavour: Option<Flavour>,
    },
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CamReport {
    /// The class's name; its number where classes have no names.
    pub class: String,
    /// The class's number, from 0.
    pub index: usize,
    /// Its share of the softmax over all classes.
    pub probability: f64,
    /// `mean + bias`.
    pub logit: f32,
    /// Mean of the map.
    pub mean: f32,
    /// The class's bias.
    pub bias: f32,
    /// The map, row after row.
    pub map: Vec<Vec<f32>>,
    /// The PNG.
    pub out: String,
}

/// What a network reads, and what its answers are called.
struct Looking {
    backbone: Backbone,
    classes: Vec<String>,
    side: u32,
    crop_share: f64,
    filter: Filter,
}

const USUAL_SIDE: u32 = 224;
const USUAL_SHARE: f64 = 0.875;
/// So that a strip of a picture does not become a map of any length.
const LONGEST: u32 = 4;
/// Width of what is written below the pictures, at least.
const TEXT_WIDTH: u32 = 640;

impl Cam {
    /// Writes the picture, and beside it the same under its map; below, what the colours mean. The whole picture is looked
    /// at, at the scale of an evaluation: its short side is the one that the middle square is cut from.
    ///
    /// # Errors
    /// A class that is not there, with the nearest names; weights or pictures that cannot be read; a file that cannot be
    /// written.
    pub fn run(&self) -> Result<CamReport, Error> {
        let bytes =
            std::fs::read(&self.image).map_err(|source| Error::Read { path: self.image.clone(), source })?;
        let picture = decode(&bytes, &Limits::default())
            .map_err(|error| Error::Inputs { path: self.image.clone(), problem: error.to_string() })?;
        let looking = Looking::open(&self.network, self.size)?;
        let asked = self.class.as_deref().map(|class| looking.class(class)).transpose()?;

        let Prepared { width, height, x_chw } = looking.preparation()?.prepare(&picture)?;
        let x_bchw = Tensor::from_vec(x_chw, (1, 3, height as usize, width as usize), &Device::Cpu)?;
        let (index, found) = match asked {
            Some(index) => (index, looking.backbone.class_map(&x_bchw, index)?),
            None => {
                let logits = looking.backbone.class_map(&x_bchw, 0)?.logits_bk.get(0)?.to_vec1::<f32>()?;
                let index =
                    (0..logits.len()).fold(0, |best, k| if logits[k] > logits[best] { k } else { best });
                (index, looking.backbone.class_map(&x_bchw, index)?)
            }
        };
        let map = found.map_bhw.get(0)?.to_vec2::<f32>()?;
        let cells: Vec<f32> = map.iter().flatten().copied().collect();
        let mean = (cells.iter().map(|cell| f64::from(*cell)).sum::<f64>() / cells.len() as f64) as f32;
        let logits = found.logits_bk.get(0)?.to_vec1::<f32>()?;
        let report = CamReport {
            class: looking.name(index),
            index,
            probability: probability(&logits, index),
            logit: mean + found.bias,
            mean,
            bias: found.bias,
            map,
            out: self.out.display().to_string(),
        };
        let png = encode_png(&drawn(&picture, &report, &cells)?)?;
        write_durably(&self.out, &png, "cam")?;
        Ok(report)
    }
}

impl Looking {
    fn open(network: &CamNetwork, size: Option<u32>) -> Result<Self, Error> {
        let looking = match network {
            CamNetwork::Run { run, last } => {
                let settings = settings_of(run)?.settings;
                let trained = Trained::open(run, *last)?;
                Self {
                    backbone: trained.backbone()?,
                    classes: trained.card.classes,
                    side: settings.input.side,
                    crop_share: settings.input.crop_share,
                    filter: settings.input.filter.into(),
                }
            }
            CamNetwork::Weights { architecture, weights, flavour } => {
                let backbone = Backbone::load(*architecture, weights, *flavour, None)?;
                let (side, crop_share, filter) = (USUAL_SIDE, USUAL_SHARE, Filter::Bicubic);
                let mut looking = Self { backbone, classes: Vec::new(), side, crop_share, filter };
                looking.describe(&weights.with_extension("json"))?;
                looking
            }
        };
        Ok(Self { side: size.unwrap_or(looking.side), ..looking })
    }

    /// Takes over what `finetune backbone export` says of weights, if it has said anything.
    fn describe(&mut self, path: &Path) -> Result<(), Error> {
        let inputs = |problem: String| Error::Inputs { path: path.to_owned(), problem };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        };
        let said: Value = serde_json::from_slice(&text).map_err(|error| {
            inputs(format!(
                "stands beside the weights and is no JSON ({error}); take it away, or export again"
            ))
        })?;
        // any other JSON is not about these weights
        let Some(classes) = said["classes"].as_array().filter(|_| said["arch"].is_string()) else {
            return Ok(());
        };
        let names: Vec<String> = classes.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        if names.len() != self.backbone.n_classes() {
            return Err(inputs(format!(
                "describes {} classes, the weights have {}; export them again",
                names.len(),
                self.backbone.n_classes()
            )));
        }
        self.classes = names;
        if let Some(side) = said["side"].as_u64().and_then(|side| u32::try_from(side).ok()) {
            self.side = side;
        }
        if let Some(share) = said["crop_share"].as_f64() {
            self.crop_share = share;
        }
        if said["filter"] == "bilinear" {
            self.filter = Filter::Bilinear;
        }
        Ok(())
    }

    /// A class by its name or, where none is called that, by its number.
    fn class(&self, asked: &str) -> Result<usize, Error> {
        if let Some(index) = self.classes.iter().position(|name| name == asked) {
            return Ok(index);
        }
        let n_classes = self.backbone.n_classes();
        match asked.parse::<usize>() {
            Ok(index) if index < n_classes => Ok(index),
            _ => {
                let numbers = format!("numbers go from 0 to {}", n_classes - 1);
                let problem = if self.classes.is_empty() {
                    format!("no class {asked:?}: these weights come without names, and {numbers}")
                } else {
                    let near = nearest(asked, self.classes.iter().map(String::as_str)).join(", ");
                    format!("no class is called {asked:?}; the nearest are {near}; {numbers}")
                };
                Err(Error::Usage { problem })
            }
        }
    }

    fn name(&self, index: usize) -> String {
        self.classes.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    fn preparation(&self) -> Result<Preparation, Error> {
        let (mean, std) = self.backbone.normalisation();
        let normalisation = Normalisation { mean, std };
        let usual = Preparation::classification(self.side, self.crop_share, self.filter, normalisation)?;
        let short = match usual.resize {
            Resize::ShortSideOnly { short } => short,
            _ => self.side,
        };
        let resize = Resize::ShortSide { short, long_at_most: short.saturating_mul(LONGEST) };
        Ok(Preparation { resize, crop: None, ..usual })
    }
}

/// The share of `index` in the softmax.
fn probability(logits: &[f32], index: usize) -> f64 {
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let weight = |logit: f32| f64::from(logit - most).exp();
    weight(logits[index]) / logits.iter().map(|logit| weight(*logit)).sum::<f64>()
}

fn drawn(picture: &Picture, report: &CamReport, cells: &[f32]) -> Result<Picture, Error> {
    let grid = [report.map.len(), report.map.first().map_or(0, Vec::len)];
    let heat = draw_heat(picture, cells, grid)?;
    let size = Resize::Exact { width: heat.width, height: heat.height };
    let pair = beside(&[resize(picture, size, Filter::Bilinear)?, heat]);
    let width = pair.width.max(TEXT_WIDTH);
    let lines = [
        format!("{}: probability {:.4}, logit {:.3}", report.class, report.probability, report.logit),
        format!(
            "what each place adds to the logit; mean {:.3}, bias {:.3}, {} x {} cells",
            report.mean, report.bias, grid[0], grid[1]
        ),
    ];
    Ok(below(&[pair, draw_heat_legend(cells, width)?, draw_lines(&lines, width)?]))
}
