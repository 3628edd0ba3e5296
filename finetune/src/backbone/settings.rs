//! Everything that `finetune backbone train` is told, as one TOML tree.

use std::path::{Path, PathBuf};

use finetune_backbones::Architecture;
use finetune_backbones::training::{
    BatchSettings, LossSettings, NetworkSettings, OptimiserSettings, RunSettings, ScheduleSettings, Settings,
};
use finetune_regions::augmentation::Augmentation;
use finetune_regions::preparation::{Filter, Normalisation, Preparation};
use pretrain_training::config::{Resolved, load};
use serde::{Deserialize, Serialize};

use super::Error;

/// The tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// Which pictures.
    pub data: DataSettings,
    /// How pictures come to a network.
    pub input: InputSettings,
    /// How pictures are changed by chance.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// The network.
    pub network: NetworkSettings,
    /// How many pictures at once.
    pub batch: BatchSettings,
    /// How weights are moved.
    pub optimiser: OptimiserSettings,
    /// How far.
    pub schedule: ScheduleSettings,
    /// What is asked of the classifier.
    #[serde(default)]
    pub loss: LossSettings,
    /// What is written when.
    #[serde(default)]
    pub run: RunSettings,
}

/// Section `data`. Relative paths start at the current folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Pictures to learn from.
    pub train: PathBuf,
    /// Pictures to be examined with.
    pub held_out: Option<PathBuf>,
    /// How they lie there.
    #[serde(default)]
    pub format: DataFormat,
    /// Names of the classes in their order; without it they are found, and sorted.
    pub classes: Option<Vec<String>>,
}

/// How labelled pictures lie on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// A folder for each class.
    #[default]
    Folder,
    /// A tar, or a folder of tars, with `KEY.jpg` (or another picture) and `KEY.cls` for each sample: webdataset's.
    Tars,
    /// A data set of `pipeline build` that keeps pictures whole and has a text of the kind `label` for each.
    Shards,
}

/// Section `input`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSettings {
    /// Height and width, pixels.
    pub side: u32,
    /// In evaluation: share of the short side that the middle square has.
    #[serde(default = "usual_share")]
    pub crop_share: f64,
    /// Kernel of the resize.
    #[serde(default)]
    pub filter: FilterSetting,
}

/// The kernel of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterSetting {
    /// A triangle.
    Bilinear,
    /// Catmull-Rom.
    #[default]
    Bicubic,
}

fn usual_share() -> f64 {
    0.875
}

/// Keys that may differ when a run is resumed: they change how it is done, not what comes out.
pub(crate) const FREE: [&str; 4] =
    ["run.log_every", "run.checkpoint_every", "run.keep", "run.evaluate_every"];

impl TrainSettings {
    /// Reads and checks a tree before anything else is opened.
    ///
    /// # Errors
    /// Keys that are unknown or missing, values that cannot be meant.
    pub fn load(file: &Path, overrides: &[String]) -> Result<Resolved<Self>, Error> {
        if !file.is_file() {
            let problem = format!("there is no {}; a run keeps its settings in config.toml", file.display());
            return Err(Error::Usage { problem });
        }
        let resolved: Resolved<Self> = load(file, overrides)?;
        let settings = &resolved.settings;
        let architecture = settings.training().validate()?;
        settings.augmentation.validate()?;
        settings.input.preparation(architecture)?;
        Ok(resolved)
    }

    /// The part that the loop is told.
    pub fn training(&self) -> Settings {
        Settings {
            seed: self.seed,
            network: self.network.clone(),
            batch: self.batch,
            optimiser: self.optimiser.clone(),
            schedule: self.schedule.clone(),
            loss: self.loss,
            run: self.run,
        }
    }
}

impl InputSettings {
    /// How pictures are prepared for evaluation.
    pub(crate) fn preparation(&self, architecture: Architecture) -> Result<Preparation, Error> {
        let (mean, std) = architecture.normalisation();
        let filter = self.filter.into();
        Ok(Preparation::classification(self.side, self.crop_share, filter, Normalisation { mean, std })?)
    }
}

impl From<FilterSetting> for Filter {
    fn from(setting: FilterSetting) -> Self {
        match setting {
            FilterSetting::Bilinear => Self::Bilinear,
            FilterSetting::Bicubic => Self::Bicubic,
        }
    }
}
