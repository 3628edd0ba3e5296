//! Which network: a name, and everything that follows from it without weights.

mod table;

use std::fmt;
use std::str::FromStr;

use table::{Entry, Family, TABLE};

use crate::Error;
use crate::efficientnet;
use crate::layer::Layer;
use crate::resnext;

/// A network by timm's name: `efficientnet_b3`, `tf_efficientnet_b0`, `resnext101_32x8d`, or one of these with the tag
/// of timm's weights, `tf_efficientnet_b0.ap_in1k`. Two small ones have names of our own: `efficientnet_half` and
/// `resnext26_16x4d`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Architecture {
    entry: &'static Entry,
    tag: Option<&'static str>,
}

/// The layers and channels of a network.
#[derive(Debug)]
pub(crate) enum Description {
    EfficientNet(efficientnet::Description),
    ResNeXt(resnext::Description),
}

const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
/// From -1 to 1.
const INCEPTION: ([f32; 3], [f32; 3]) = ([0.5; 3], [0.5; 3]);

impl Architecture {
    /// All names, without tags.
    pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
        TABLE.iter().map(|entry| entry.name)
    }

    /// timm's name without the tag.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// Channels of the five stages, at strides 2, 4, 8, 16 and 32: timm's `features_only`. Behind the blocks 0, 1, 2,
    /// 4 and 6 of EfficientNet, the stem's activation and the four layers of ResNeXt.
    pub fn stage_widths(&self) -> [usize; 5] {
        match self.description() {
            Description::EfficientNet(description) => description.stage_widths(),
            Description::ResNeXt(description) => description.stage_widths(),
        }
    }

    /// Numbers of a region's or cell's vector, which is what the classifier sees: channels of EfficientNet's head, of
    /// ResNeXt's last stage.
    pub fn feature_width(&self) -> usize {
        match self.description() {
            Description::EfficientNet(description) => description.head,
            Description::ResNeXt(description) => description.stage_widths()[4],
        }
    }

    /// Mean and standard deviation that pixels from 0 to 1 are normalised with. ImageNet's, but for the weights that
    /// timm trained on -1 to 1 (AdvProp's and `ra4`), which their tag tells.
    pub fn normalisation(&self) -> ([f32; 3], [f32; 3]) {
        match self.tag {
            Some(tag) if tag.starts_with("ap_") || tag.starts_with("ra4_") => INCEPTION,
            _ => IMAGENET,
        }
    }

    /// The published rates of drop-connect, block by block (Paper: 1603.09382); none for ResNeXt.
    pub fn drop_rates(&self) -> Vec<f64> {
        match self.description() {
            Description::EfficientNet(description) => description.drop_rates(),
            Description::ResNeXt(_) => Vec::new(),
        }
    }

    pub(crate) fn description(&self) -> Description {
        match self.entry.family {
            Family::EfficientNet { scaling, .. } => {
                Description::EfficientNet(efficientnet::Description::new(scaling))
            }
            Family::ResNeXt(description) => Description::ResNeXt(description),
        }
    }

    /// Every layer for a picture of `size` = \[h, w\].
    pub(crate) fn layers(&self, size: [usize; 2], n_classes: usize) -> Vec<Layer> {
        match self.description() {
            Description::EfficientNet(description) => description.layers(size, n_classes),
            Description::ResNeXt(description) => description.layers(size, n_classes),
        }
    }

    /// timm's names and shapes of all tensors, running statistics among them.
    pub(crate) fn tensors(&self, n_classes: usize) -> Vec<(String, Vec<usize>)> {
        self.layers([1, 1], n_classes).iter().flat_map(Layer::tensors).collect()
    }

    /// Whether a tensor belongs to the classifier.
    pub(crate) fn is_classifier(&self, tensor: &str) -> bool {
        tensor.starts_with(if self.is_efficientnet() { "classifier." } else { "fc." })
    }

    pub(crate) fn is_efficientnet(&self) -> bool {
        matches!(self.entry.family, Family::EfficientNet { .. })
    }

    /// Whether the name says that the weights come from TensorFlow.
    pub(crate) fn is_tensorflow(&self) -> bool {
        matches!(self.entry.family, Family::EfficientNet { tensorflow: true, .. })
    }

    /// Epsilon of torchvision's EfficientNet of that name, if it has one.
    pub(crate) fn torchvision_epsilon(&self) -> Option<f64> {
        match self.entry.family {
            Family::EfficientNet { torchvision, .. } => torchvision,
            Family::ResNeXt(_) => None,
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, tag) = match text.split_once('.') {
            Some((name, tag)) => (name, Some(tag)),
            None => (text, None),
        };
        let entry =
            TABLE.iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownArchitecture {
                name: text.to_owned(),
                nearest: nearest(name).join(", "),
                known: Self::names().collect::<Vec<_>>().join(", "),
            })?;
        let Some(tag) = tag else { return Ok(Self { entry, tag: None }) };
        match entry.tags.iter().find(|known| **known == tag) {
            Some(tag) => Ok(Self { entry, tag: Some(tag) }),
            None => Err(Error::UnknownTag {
                architecture: name.to_owned(),
                tag: tag.to_owned(),
                known: if entry.tags.is_empty() { "none".to_owned() } else { entry.tags.join(", ") },
            }),
        }
    }
}

/// The three names that the fewest changes of a letter lead to.
fn nearest(name: &str) -> Vec<&'static str> {
    const SHOWN: usize = 3;
    let mut names: Vec<&str> = Architecture::names().collect();
    names.sort_by_cached_key(|known| changes(name, known));
    names.truncate(SHOWN);
    names
}

/// Letters to insert, remove or replace on the way from one word to another.
fn changes(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        self.tag.map_or(Ok(()), |tag| write!(f, ".{tag}"))
    }
}
