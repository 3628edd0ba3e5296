//! Whose network a name means. The libraries agree on layers and shapes, and disagree on padding, epsilon and keys.

use std::fmt;

use crate::architecture::Architecture;
use crate::modules::PaddingRule;
use crate::names;
use crate::{Error, Result};

/// The library whose weights a network has. For ResNeXt timm and torchvision are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// timm's own training: symmetric padding, epsilon 1e-5.
    Timm,
    /// TensorFlow's weights under timm's keys (`tf_...`): SAME padding, epsilon 1e-3.
    Tf,
    /// torchvision's: its keys, symmetric padding, epsilon 1e-5 up to B4 and 1e-3 from B5.
    Torchvision,
}

/// What differs in the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numerics {
    pub(crate) padding: PaddingRule,
    pub(crate) epsilon: f64,
    /// Share of a batch's statistics in the running ones: torch's momentum, 1 minus TensorFlow's.
    pub(crate) momentum: f64,
}

impl Flavour {
    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::Tf => "tf",
            Self::Torchvision => "torchvision",
        }
    }

    /// The flavour of that [`name`](Self::name).
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Timm, Self::Tf, Self::Torchvision].into_iter().find(|flavour| flavour.name() == name)
    }

    /// The flavour that a name has by itself.
    pub(crate) fn of_name(architecture: Architecture) -> Self {
        if architecture.is_tensorflow() { Self::Tf } else { Self::Timm }
    }

    /// The flavour on which the name, the keys and the wish agree. A name without `tf_` and timm's keys leave open
    /// whether the weights are TensorFlow's, so that much can be asked for.
    ///
    /// # Errors
    /// They contradict one another, or the library has no such network.
    pub(crate) fn agreed<'k>(
        architecture: Architecture,
        asked: Option<Self>,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<Self> {
        let contradiction =
            |problem: String| Err(Error::Flavour { architecture: architecture.to_string(), problem });
        if !architecture.is_efficientnet() {
            return match asked {
                Some(Self::Tf) => contradiction(
                    "flavour tf was asked for, but TensorFlow has no such weights; ask for timm or torchvision".into(),
                ),
                asked => Ok(asked.unwrap_or(Self::Timm)),
            };
        }
        let torchvisions_keys = keys.into_iter().any(names::is_torchvisions);
        let by_keys =
            if torchvisions_keys { "torchvision's (features.…)" } else { "timm's (conv_stem, blocks.…)" };
        let flavour = match (asked, architecture.is_tensorflow(), torchvisions_keys) {
            (None | Some(Self::Tf), true, false) | (Some(Self::Tf), false, false) => Self::Tf,
            (None | Some(Self::Timm), false, false) => Self::Timm,
            (None | Some(Self::Torchvision), false, true) => Self::Torchvision,
            (None, true, true) => {
                return contradiction(format!(
                    "the name says TensorFlow's weights, but the keys of the file are {by_keys}; name the network \
                     without tf_"
                ));
            }
            (Some(asked), true, _) if asked != Self::Tf => {
                return contradiction(format!(
                    "the name says TensorFlow's weights, but flavour {asked} was asked for; name the network without \
                     tf_, or leave the flavour out"
                ));
            }
            (Some(asked), ..) => {
                return contradiction(format!(
                    "flavour {asked} was asked for, but the keys of the file are {by_keys}; leave the flavour out, or \
                     give weights of {asked}"
                ));
            }
        };
        if flavour == Self::Torchvision && architecture.torchvision_epsilon().is_none() {
            return contradiction("torchvision has no such network, but the keys of the file are its".into());
        }
        Ok(flavour)
    }

    pub(crate) fn numerics(self, architecture: Architecture) -> Numerics {
        const SMALL: f64 = 1e-5;
        let (padding, epsilon) = match self {
            Self::Tf => (PaddingRule::Same, 1e-3),
            Self::Timm => (PaddingRule::Symmetric, SMALL),
            Self::Torchvision => {
                (PaddingRule::Symmetric, architecture.torchvision_epsilon().unwrap_or(SMALL))
            }
        };
        // TensorFlow's 0.99; torchvision has it from B5 on, together with the other epsilon
        let momentum = if epsilon == SMALL { 0.1 } else { 0.01 };
        Numerics { padding, epsilon, momentum }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
