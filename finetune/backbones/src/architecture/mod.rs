//! Which network: a name, and everything that follows from it without weights.

mod change;
mod table;

use std::fmt;
use std::str::FromStr;

use change::Change;
use table::{Entry, Family, TABLE};

use crate::Error;
use crate::efficientnet::{self, Scaling};
use crate::layer::Layer;
use crate::nearest::nearest;
use crate::resnext;

/// A network by timm's name: `efficientnet_b3`, `tf_efficientnet_b0`, `resnext101_32x8d`, or one of these with the tag
/// of timm's weights, `tf_efficientnet_b0.ap_in1k`. Two small ones have names of our own: `efficientnet_half` and
/// `resnext26_16x4d`.
///
/// Behind a name may stand by what rule a network differs from it: `efficientnet_b0+w1.2+d1.4` has 1.2 times the channels
/// and 1.4 times the blocks (Paper: 1905.11946, equation 3), `resnext50_32x4d+noshortcut` adds no input to the output of a
/// block (Paper: 1611.05431, table 5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Architecture {
    entry: &'static Entry,
    tag: Option<&'static str>,
    change: Change,
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

    /// timm's name, without tag or change.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// The network with `width` times the channels and `depth` times the blocks of this one, each factor kept to four
    /// digits behind the point, rounded as the paper's variants are: channels to a multiple of 8, blocks of a stage up.
    ///
    /// # Errors
    /// A factor that makes it less than a tenth or more than 16 times the named network; a tag, which is one of weights.
    pub fn scaled(&self, width: f64, depth: f64) -> Result<Self, Error> {
        let refuse = |problem: String| Err(Error::Change { architecture: self.to_string(), problem });
        if self.tag.is_some() {
            return refuse(
                "weights of this tag do not fit a network of another size; leave the tag out".to_owned(),
            );
        }
        match self.change.scaled(width, depth) {
            Some(change) => Ok(Self { change, ..*self }),
            None => refuse(format!(
                "{width} times the channels and {depth} times the blocks are beyond 0.1 to 16 times the named network"
            )),
        }
    }

    /// Pixels of a picture, along one side, that make one cell of the last map.
    pub fn stride(&self) -> usize {
        match self.description() {
            Description::ResNeXt(description) if description.is_for_small => 4,
            _ => 32,
        }
    }

    /// Whether blocks add their input to their output.
    pub(crate) fn has_shortcuts(&self) -> bool {
        self.change.has_shortcuts
    }

    /// Channels of the five stages, at strides 2, 4, 8, 16 and 32: timm's `features_only`. Behind the blocks 0, 1, 2,
    /// 4 and 6 of EfficientNet, the stem's activation and the four layers of ResNeXt. In a network for pictures of 32 x 32
    /// they stand at strides 1, 1, 2, 4 and 4, the last two being one.
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
                let width = scaling.width * self.change.width;
                let depth = scaling.depth * self.change.depth;
                Description::EfficientNet(efficientnet::Description::new(Scaling { width, depth }))
            }
            Family::ResNeXt(description) => {
                let Change { width, depth, has_shortcuts } = self.change;
                let scaled = description.scaled(width, depth);
                Description::ResNeXt(resnext::Description { has_shortcuts, ..scaled })
            }
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
            Family::EfficientNet { torchvision, .. } => torchvision.filter(|_| self.change == Change::NONE),
            Family::ResNeXt(_) => None,
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (text, change) = text.split_once('+').map_or((text, None), |(name, change)| (name, Some(change)));
        let (name, tag) = match text.split_once('.') {
            Some((name, tag)) => (name, Some(tag)),
            None => (text, None),
        };
        let entry =
            TABLE.iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownArchitecture {
                name: text.to_owned(),
                nearest: nearest(name, Self::names()).join(", "),
                known: Self::names().collect::<Vec<_>>().join(", "),
            })?;
        let refuse = |problem: String| Error::Change { architecture: name.to_owned(), problem };
        let change = change.map_or(Ok(Change::NONE), |text| Change::parse(text).map_err(refuse))?;
        if !change.has_shortcuts && matches!(entry.family, Family::EfficientNet { .. }) {
            return Err(refuse("only a ResNeXt can be without shortcuts".to_owned()));
        }
        let Some(tag) = tag else { return Ok(Self { entry, tag: None, change }) };
        if change != Change::NONE {
            return Err(refuse(format!(
                "weights of the tag {tag} do not fit a network that is changed; leave the tag or the change out"
            )));
        }
        match entry.tags.iter().find(|known| **known == tag) {
            Some(tag) => Ok(Self { entry, tag: Some(tag), change }),
            None => Err(Error::UnknownTag {
                architecture: name.to_owned(),
                tag: tag.to_owned(),
                known: if entry.tags.is_empty() { "none".to_owned() } else { entry.tags.join(", ") },
            }),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        self.tag.map_or(Ok(()), |tag| write!(f, ".{tag}"))?;
        self.change.fmt(f)
    }
}
