//! The description of a world: what there is, how it looks, and how it is told.

mod check;
mod kind;

pub(crate) use kind::{Domain, Fill, Kind};

use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// Everything that can be seen and said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    pub(crate) picture: PictureRanges,
    pub(crate) shares: Shares,
    pub(crate) splits: Splits,
    #[serde(rename = "colour")]
    pub(crate) colours: Vec<Colour>,
    #[serde(rename = "size")]
    pub(crate) sizes: Vec<Size>,
    #[serde(rename = "texture")]
    pub(crate) textures: Vec<Texture>,
    #[serde(rename = "place")]
    pub(crate) places: Vec<Place>,
    #[serde(rename = "relation")]
    pub(crate) relations: Vec<Relation>,
    #[serde(rename = "category")]
    pub(crate) categories: Vec<Category>,
    #[serde(rename = "kind")]
    pub(crate) kinds: Vec<Kind>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PictureRanges {
    pub(crate) width: [u32; 2],
    pub(crate) height: [u32; 2],
    pub(crate) objects: [u32; 2],
    pub(crate) overlap: f32,
    pub(crate) noise: f32,
    pub(crate) quality: [u32; 2],
}

/// Shares of the pictures.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shares {
    pub(crate) coco: f64,
    pub(crate) gqa: f64,
    pub(crate) nlvr2: f64,
    pub(crate) open_images: f64,
    pub(crate) nocaps: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Splits {
    pub(crate) train: f64,
    pub(crate) val: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Colour {
    pub(crate) name: String,
    pub(crate) rgb: [u8; 3],
    /// What some annotators say instead.
    #[serde(default)]
    pub(crate) also: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    pub(crate) name: String,
    /// Pixels of the longer side, least and most.
    pub(crate) side: [f32; 2],
    #[serde(default)]
    pub(crate) also: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Texture {
    pub(crate) name: String,
    pub(crate) weave: Weave,
    pub(crate) weight: f32,
    #[serde(default)]
    pub(crate) also: Vec<String>,
}

/// How a surface is patterned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Weave {
    Plain,
    Stripes,
    Dots,
    Checks,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// `in a field`
    pub(crate) phrase: String,
    #[serde(default)]
    pub(crate) also: Vec<String>,
    pub(crate) sky: [u8; 3],
    pub(crate) ground: [u8; 3],
    pub(crate) marks: Marks,
}

/// What is strewn over a background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Marks {
    Grass,
    Waves,
    Boards,
    Skyline,
    Stars,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relation {
    pub(crate) rule: Rule,
    /// Ways to say it; the first is the plainest.
    pub(crate) words: Vec<String>,
}

/// What a relation means in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    Left,
    Right,
    Above,
    Below,
    On,
    Inside,
    Holding,
}

impl Rule {
    /// Whether it is measured between any two objects; the others are drawn on purpose.
    pub(crate) fn is_direction(self) -> bool {
        matches!(self, Rule::Left | Rule::Right | Rule::Above | Rule::Below)
    }

    /// The same told from the other side.
    pub(crate) fn turned(self) -> Option<Rule> {
        match self {
            Rule::Left => Some(Rule::Right),
            Rule::Right => Some(Rule::Left),
            Rule::Above => Some(Rule::Below),
            Rule::Below => Some(Rule::Above),
            Rule::On | Rule::Inside | Rule::Holding => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Category {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) parent: Option<String>,
}

const DEFAULT: &str = include_str!("../../worlds/default.toml");

impl World {
    /// The world that comes with the program.
    pub fn standard() -> World {
        World::parse(DEFAULT, "worlds/default.toml").expect("a test parses the compiled-in world")
    }

    /// The text of the standard world, to start a description of one's own with.
    pub fn standard_text() -> &'static str {
        DEFAULT
    }

    /// Reads the description at `path`.
    ///
    /// # Errors
    /// A file that cannot be read; keys that do not exist or do not fit together.
    pub fn load(path: &Path) -> Result<World, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        World::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<World, Error> {
        let world: World = toml::from_str(text).map_err(|error| Error::World {
            place: place.to_string(),
            what: error.to_string().trim_end().to_string(),
        })?;
        world.check(place)?;
        Ok(world)
    }

    /// Names of the kinds, in the order of their numbers.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|kind| kind.name.as_str())
    }

    pub(crate) fn kinds_of(&self, domain: Domain) -> Vec<usize> {
        (0..self.kinds.len()).filter(|&kind| self.kinds[kind].domain == domain).collect()
    }

    /// How `rule` is told, if the world has it.
    pub(crate) fn words(&self, rule: Rule) -> Option<&[String]> {
        self.relations.iter().find(|relation| relation.rule == rule).map(|relation| relation.words.as_slice())
    }

    /// Whether a kind is of a category, or of one below it.
    pub(crate) fn is_of(&self, kind: usize, category: &str) -> bool {
        let mut above = Some(self.kinds[kind].category.as_str());
        while let Some(name) = above {
            if name == category {
                return true;
            }
            above = self.categories.iter().find(|one| one.name == name).and_then(|one| one.parent.as_deref());
        }
        false
    }

    /// Names of the kinds that are of a category.
    pub(crate) fn names_of(&self, category: &str) -> Vec<String> {
        let kinds = (0..self.kinds.len()).filter(|&kind| self.is_of(kind, category));
        kinds.map(|kind| self.kinds[kind].name.clone()).collect()
    }
}
