//! `finetune backbone export`: weights for others.

use std::collections::HashMap;
use std::path::PathBuf;

use data_specs::durable::write_durably;
use finetune_backbones::Flavour;
use finetune_backbones::training::Trained;
use serde_json::{Value, json};

use super::Error;
use super::eval::settings_of;

/// Writes a run's newest weights as one .safetensors, and beside it what is needed to use them.
#[derive(Debug, Clone)]
pub struct Export {
    /// The run's folder.
    pub run: PathBuf,
    /// The .safetensors to write; the description is put beside it as .json.
    pub out: PathBuf,
    /// Whose names: timm's or torchvision's.
    pub names: Flavour,
    /// Whether to take the last weights where there are averages.
    pub last: bool,
}

impl Export {
    /// Writes both files, each whole or not at all; the description.
    ///
    /// # Errors
    /// No run; a library in which the weights would compute something else; files that cannot be written.
    pub fn run(&self) -> Result<Value, Error> {
        let settings = settings_of(&self.run)?.settings;
        let trained = Trained::open(&self.run, self.last)?;
        let tensors = trained.named(self.names)?;
        let (mean, std) = trained.backbone()?.normalisation();
        let description = json!({
            "arch": trained.card.architecture,
            "flavour": trained.card.flavour,
            "names": self.names.name(),
            "classes": trained.card.classes,
            "side": settings.input.side,
            "crop_share": settings.input.crop_share,
            "filter": settings.input.filter,
            "mean": mean,
            "std": std,
            "step": trained.step,
            "averaged": trained.is_average,
        });
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(&tensors, Some(format)).map_err(candle_core::Error::from)?;
        for (path, bytes) in [
            (self.out.clone(), bytes),
            (self.out.with_extension("json"), description.to_string().into_bytes()),
        ] {
            write_durably(&path, &bytes, "export")?;
        }
        Ok(description)
    }
}
