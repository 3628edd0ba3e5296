//! The tree of classes.

use std::fs;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use crate::{Error, Result};

/// How generic classes are: the height of each in the tree of OpenImages (or another).
#[derive(Debug)]
pub struct Hierarchy {
    path: PathBuf,
    /// Names in small letters and heights; parents before their children.
    classes: Vec<(String, usize)>,
    /// Where a name is for the first time.
    places: FxHashMap<String, usize>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "LabelName")]
    name: String,
    #[serde(rename = "Subcategory", default)]
    children: Vec<Node>,
}

impl Hierarchy {
    /// Reads the JSON of OpenImages with names for its labels: `{"LabelName": "Dog", "Subcategory": [...]}`. Other fields
    /// (`Part`) are not read. Deeper trees than 100 or so are refused.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let hint = r#"write {"LabelName": "Entity", "Subcategory": [...]}"#;
        let root: Node = serde_json::from_slice(&text).map_err(|error| Error::Content {
            path: path.to_owned(),
            line: error.line(),
            problem: error.to_string(),
            hint,
        })?;
        let mut classes = Vec::new();
        visit(&root, &mut classes);
        if classes.iter().any(|(name, _)| name.is_empty()) {
            let problem = "a class has an empty LabelName".to_owned();
            return Err(Error::Content { path: path.to_owned(), line: 1, problem, hint });
        }
        let mut places = FxHashMap::default();
        for (place, (name, _)) in classes.iter().enumerate() {
            places.entry(name.clone()).or_insert(place);
        }
        Ok(Self { path: path.to_owned(), classes, places })
    }

    /// Steps from a class down to its farthest leaf; of a class that is there several times, its first place counts.
    ///
    /// A class that is not there has the height of the first class whose name is a part of its own (published for all classes;
    /// with it `grapefruit` would be as generic as `fruit`).
    pub fn height(&self, class: &str) -> Result<usize> {
        let class = class.to_lowercase();
        let exact = self.places.get(&class).map(|place| &self.classes[*place]);
        exact
            .or_else(|| self.classes.iter().find(|(name, _)| class.contains(name.as_str())))
            .map(|(_, height)| *height)
            .ok_or_else(|| Error::Class { path: self.path.clone(), class })
    }
}

/// Adds a node and all below it; the height of the node. The depth of recursion is bounded by the parser's.
fn visit(node: &Node, classes: &mut Vec<(String, usize)>) -> usize {
    let place = classes.len();
    classes.push((node.name.to_lowercase(), 0));
    let height = node.children.iter().map(|child| visit(child, classes) + 1).max().unwrap_or(0);
    classes[place].1 = height;
    height
}
