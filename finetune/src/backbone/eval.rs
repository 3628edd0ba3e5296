//! `finetune backbone eval`: how good the network of a run is.

use std::path::{Path, PathBuf};

use finetune_backbones::training::{Evaluation, Trained, evaluate};
use pretrain_comm::Solo;
use pretrain_kernels::Precision;
use pretrain_training::config::Resolved;

use super::Error;
use super::pictures::{Index, Pictures};
use super::settings::{DataFormat, TrainSettings};

/// Examines a run's newest checkpoint.
#[derive(Debug, Clone)]
pub struct Eval {
    /// The run's folder.
    pub run: PathBuf,
    /// Pictures to be examined with; without it those that the run held out.
    pub data: Option<PathBuf>,
    /// How they lie there; without it as the run's.
    pub format: Option<DataFormat>,
    /// Whether to take the last weights where there are averages.
    pub last: bool,
    /// Where to write the confusion of all classes, as JSON.
    pub confusion: Option<PathBuf>,
    /// The numbers that the network computes with.
    pub precision: Precision,
}

impl Eval {
    /// The scores, and the update after which they hold.
    ///
    /// # Errors
    /// No run, pictures that do not fit, a file that cannot be written.
    pub fn run(&self) -> Result<(u64, Evaluation), Error> {
        let settings = settings_of(&self.run)?.settings;
        let trained = Trained::open(&self.run, self.last)?;
        let data = self.data.as_ref().or(settings.data.held_out.as_ref()).ok_or_else(|| Error::Usage {
            problem: "the run held no pictures out; name some with --data".to_owned(),
        })?;
        let format = self.format.unwrap_or(settings.data.format);
        let backbone = trained.backbone()?.in_precision(self.precision);
        let pictures = Pictures {
            index: Index::open(data, format, Some(&trained.card.classes))?,
            preparation: settings.input.preparation(backbone.architecture())?,
            augmentation: settings.augmentation,
            seed: settings.seed,
        };
        let evaluation =
            evaluate(&backbone, &pictures, settings.batch.micro, settings.run.unreadable, &Solo)?;
        if let Some(path) = &self.confusion {
            let json = serde_json::to_vec(&evaluation.confusion).expect("names and counts are always JSON");
            data_specs::durable::write_durably(path, &json, "confusion")?;
        }
        Ok((trained.step, evaluation))
    }
}

/// The settings that a run's folder keeps.
pub(super) fn settings_of(run: &Path) -> Result<Resolved<TrainSettings>, Error> {
    TrainSettings::load(&run.join("config.toml"), &[])
}
