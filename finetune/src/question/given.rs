//! Regions that somebody else found, in JSON.
//!
//! ```text
//! {"width": 640, "height": 480,              of the picture the boxes are in; may be left out beside --image
//!  "boxes": [[x1, y1, x2, y2], ...],         pixels
//!  "names": ["dog", ...],                    one a box, or left out
//!  "scores": [0.9, ...],                     of the names; may be left out
//!  "attributes": [["brown", ...], ...],      of each box; may be left out
//!  "vectors": [[...], ...]}                  one a box; or the base64 of their f32 numbers, as VinVL's files have it
//! ```

use std::path::Path;

use bytes::Bytes;
use data_specs::{Picture, Tag};
use finetune_harness::{Error, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    width: Option<u32>,
    height: Option<u32>,
    boxes: Vec<[f32; 4]>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    scores: Vec<f32>,
    #[serde(default)]
    attributes: Vec<Vec<String>>,
    vectors: Vectors,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vectors {
    Lists(Vec<Vec<f32>>),
    Base64(String),
}

/// A picture with its regions, and how wide their vectors are; nothing where there are none.
pub(super) struct Read {
    pub(super) picture: Picture,
    pub(super) width: Option<usize>,
}

/// Reads the regions of the picture `id`, whose size is known where its pixels are.
pub(super) fn read(path: &Path, id: &str, size: Option<[u32; 2]>, origin: &str) -> Result<Read> {
    let text = std::fs::read(path).map_err(data_specs::Error::io("read", path))?;
    let unfit = |field: &str, problem: String| Error::Unfit {
        path: path.to_owned(),
        field: field.to_owned(),
        problem,
        hint: "docs/own-pictures.md shows the file".to_owned(),
    };
    let given: Given = serde_json::from_slice(&text).map_err(|error| unfit("JSON", error.to_string()))?;
    let said = given.width.zip(given.height).map(|(width, height)| [width, height]);
    let size = match (said, size) {
        (Some(said), Some(found)) if said != found => {
            let problem = format!("is {said:?}, and the picture has {found:?} pixels");
            return Err(unfit("width and height", problem));
        }
        (said, found) => said.or(found).filter(|size| !size.contains(&0)),
    };
    let [width, height] = size.ok_or_else(|| unfit("width and height", "are missing, or 0".to_owned()))?;
    let n = given.boxes.len();
    for (index, &[x1, y1, x2, y2]) in given.boxes.iter().enumerate() {
        if ![x1, y1, x2, y2].iter().all(|x| x.is_finite()) || x2 < x1 || y2 < y1 {
            let problem =
                format!("{index} is [{x1}, {y1}, {x2}, {y2}], not x1, y1, x2, y2 with x1 <= x2 and y1 <= y2");
            return Err(unfit("box", problem));
        }
    }
    for (field, count) in
        [("names", given.names.len()), ("scores", given.scores.len()), ("attributes", given.attributes.len())]
    {
        if count != 0 && count != n {
            return Err(unfit(field, format!("are {count}, and boxes are {n}")));
        }
    }
    if given.names.is_empty() && !given.scores.is_empty() {
        return Err(unfit("scores", "stand without names".to_owned()));
    }
    let numbers = given.vectors.numbers(n).map_err(|problem| unfit("vectors", problem))?;
    if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
        return Err(unfit("vectors", format!("have the number {} at {at}", numbers[at])));
    }
    let tag = |name: &String, score: Option<f32>, region: usize| Tag {
        name: name.clone(),
        score,
        region: Some(region as i32),
        rect: None,
        origin: origin.to_owned(),
    };
    let names = given.names.iter().enumerate();
    let attributes = given.attributes.iter().enumerate();
    let picture = Picture {
        image_id: id.to_owned(),
        width: Some(width),
        height: Some(height),
        regions: n as u32,
        tags: names.map(|(region, name)| tag(name, given.scores.get(region).copied(), region)).collect(),
        attributes: attributes
            .flat_map(|(region, like)| like.iter().map(move |name| tag(name, None, region)))
            .collect(),
        boxes: Some(given.boxes),
        features: Bytes::from_iter(numbers.iter().flat_map(|x| x.to_le_bytes())),
        ..Picture::default()
    };
    Ok(Read { picture, width: numbers.len().checked_div(n) })
}

impl Vectors {
    /// n x d numbers.
    fn numbers(self, n: usize) -> std::result::Result<Vec<f32>, String> {
        let numbers = match self {
            Self::Lists(lists) => {
                let width = lists.first().map_or(0, Vec::len);
                if let Some(at) = lists.iter().position(|list| list.len() != width) {
                    return Err(format!(
                        "are {width} wide at the first box, and {} at box {at}",
                        lists[at].len()
                    ));
                }
                if lists.len() != n {
                    return Err(format!("are {}, and boxes are {n}", lists.len()));
                }
                lists.concat()
            }
            Self::Base64(text) => {
                let bytes = base64_simd::STANDARD
                    .decode_to_vec(text.trim())
                    .map_err(|_| "are a text that is no base64".to_owned())?;
                let (numbers, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!("are {} bytes, which is no number of f32", bytes.len()));
                }
                numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
        };
        match n {
            0 if numbers.is_empty() => Ok(numbers),
            n if n > 0 && !numbers.is_empty() && numbers.len().is_multiple_of(n) => Ok(numbers),
            _ => Err(format!("have {} numbers, which {n} boxes cannot share evenly", numbers.len())),
        }
    }
}
