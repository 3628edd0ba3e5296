//! The presets of `pretrain/configs`, inside of the binary.

use serde::Deserialize;

use crate::train::Sizes;
use crate::{Error, Result};

/// Names and texts.
pub const PRESETS: [(&str, &str); 6] = [
    ("debug", include_str!("../configs/debug.toml")),
    ("small", include_str!("../configs/small.toml")),
    ("base", include_str!("../configs/base.toml")),
    ("large", include_str!("../configs/large.toml")),
    ("plus-base", include_str!("../configs/plus-base.toml")),
    ("plus-large", include_str!("../configs/plus-large.toml")),
];

/// The sizes of a preset's network.
///
/// # Errors
/// A name that no preset has.
pub fn preset_sizes(name: &str) -> Result<Sizes> {
    /// The part of a preset that is asked for.
    #[derive(Deserialize)]
    struct Preset {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        sizes: Sizes,
    }
    let text = PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| text).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
        Error::Setting {
            key: "--preset".to_owned(),
            problem: format!("`{name}` is not there"),
            hint: format!("one of {}", names.join(", ")),
        }
    })?;
    let preset: Preset = toml::from_str(text).expect("a test reads every preset");
    Ok(preset.model.sizes)
}
