//! Reading the layouts that references, candidates and results come in.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rustc_hash::FxHashMap;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::Error;

/// The reference captions: images ascending by id where all ids are numbers, else in the file's order.
#[derive(Debug, Default)]
pub struct References {
    /// One entry per image.
    pub images: Vec<ReferenceImage>,
    /// Where they were read, for errors.
    pub path: PathBuf,
}

/// One image and its reference captions.
#[derive(Debug, Clone, Default)]
pub struct ReferenceImage {
    /// The image's id, as text.
    pub id: String,
    /// Its captions, in the file's order.
    pub captions: Vec<String>,
    /// NoCaps: `in-domain`, `near-domain` or `out-domain`.
    pub domain: Option<String>,
}

/// The captions to be scored, one per image.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Image id and caption, in the file's order.
    pub captions: Vec<(String, String)>,
    /// Where they were read, for errors.
    pub path: PathBuf,
}

const REFERENCES: &str = "COCO captions ({images, annotations}), a list of {image_id, refs}, a list of {image_id, caption}, or a map of id to captions";
const CANDIDATES: &str = "a list of {image_id, caption}";

/// Reads reference captions: COCO's layout (NoCaps too), a list of `{image_id, refs}`, a flat list of
/// `{image_id, caption}`, a map from id to captions, or such a map under the key `refs`.
pub fn read_references(path: &Path) -> Result<References, Error> {
    let bytes = read(path)?;
    let mut index = ImageIndex::new(path);
    if first_byte(&bytes) == Some(b'[') {
        for entry in parse::<Vec<ReferenceEntry>>(path, REFERENCES, &bytes)? {
            let id = entry.image_id.0;
            let captions = match (entry.refs, entry.caption) {
                (Some(refs), _) => refs,
                (None, Some(caption)) => vec![caption],
                (None, None) => {
                    return Err(index.content(format!("image {id} has neither `refs` nor `caption`")));
                }
            };
            index.add(id, captions)?;
        }
    } else {
        let file: ReferenceFile = parse(path, REFERENCES, &bytes)?;
        for image in file.images {
            index.declare(image.id.0, image.domain);
        }
        for annotation in file.annotations {
            index.add(annotation.image_id.0, vec![annotation.caption])?;
        }
        for (id, captions) in file.by_id {
            index.add(id, captions)?;
        }
    }
    index.finish()
}

/// Reads the captions to be scored. An image may have one caption only, as in the official evaluator.
pub fn read_candidates(path: &Path) -> Result<Candidates, Error> {
    let entries: Vec<CandidateEntry> = parse(path, CANDIDATES, &read(path)?)?;
    let mut seen = FxHashMap::default();
    let mut captions = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.image_id.0;
        let caption = entry.caption.into_text(path, &id, "caption")?;
        if seen.insert(id.clone(), ()).is_some() {
            return Err(Error::DoubledId { path: path.to_owned(), id });
        }
        captions.push((id, caption));
    }
    Ok(Candidates { captions, path: path.to_owned() })
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

pub(crate) fn parse<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
    bytes: &[u8],
) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Layout { path: path.to_owned(), expected, source })
}

pub(crate) fn first_byte(bytes: &[u8]) -> Option<u8> {
    bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// An id: a string, or an integer that is written as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(crate) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = Id;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an id (a string or an integer)")
            }
            fn visit_u64<E>(self, value: u64) -> Result<Id, E> {
                Ok(Id(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Id, E> {
                Ok(Id(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Id, E> {
                Ok(Id(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Id, E> {
                Ok(Id(value))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// What stands where a caption or an answer should: read first, so that the error can name the id.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum MaybeText {
    Text(String),
    Other(&'static str),
    #[default]
    Absent,
}

impl MaybeText {
    pub(crate) fn into_text(self, path: &Path, id: &str, field: &'static str) -> Result<String, Error> {
        let found = match self {
            Self::Text(text) => return Ok(text),
            Self::Other(found) => found,
            Self::Absent => "missing",
        };
        Err(Error::NotText { path: path.to_owned(), id: id.to_owned(), field, found })
    }
}

impl<'de> Deserialize<'de> for MaybeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = MaybeText;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_str<E>(self, value: &str) -> Result<MaybeText, E> {
                Ok(MaybeText::Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<MaybeText, E> {
                Ok(MaybeText::Text(value))
            }
            fn visit_bool<E>(self, _: bool) -> Result<MaybeText, E> {
                Ok(MaybeText::Other("a truth value"))
            }
            fn visit_u64<E>(self, _: u64) -> Result<MaybeText, E> {
                Ok(MaybeText::Other("a number"))
            }
            fn visit_i64<E>(self, _: i64) -> Result<MaybeText, E> {
                Ok(MaybeText::Other("a number"))
            }
            fn visit_f64<E>(self, _: f64) -> Result<MaybeText, E> {
                Ok(MaybeText::Other("a number"))
            }
            fn visit_unit<E>(self) -> Result<MaybeText, E> {
                Ok(MaybeText::Other("null"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MaybeText, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(MaybeText::Other("a list"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MaybeText, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(MaybeText::Other("an object"))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[derive(Deserialize)]
struct CandidateEntry {
    image_id: Id,
    #[serde(default)]
    caption: MaybeText,
}

#[derive(Deserialize)]
struct ReferenceEntry {
    image_id: Id,
    refs: Option<Vec<String>>,
    caption: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Id,
    caption: String,
}

#[derive(Deserialize)]
struct Image {
    id: Id,
    domain: Option<String>,
}

#[derive(Default)]
struct ReferenceFile {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    by_id: Vec<(String, Vec<String>)>,
}

/// The captions under an id: a list, or one string.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<String>),
    One(String),
}

impl<'de> Deserialize<'de> for ReferenceFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FileVisitor;
        impl<'de> Visitor<'de> for FileVisitor {
            type Value = ReferenceFile;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with `annotations`, `refs`, or captions by image id")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReferenceFile, A::Error> {
                let mut file = ReferenceFile::default();
                let mut coco = false;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "annotations" => {
                            file.annotations = map.next_value()?;
                            coco = true;
                        }
                        "images" => {
                            file.images = map.next_value()?;
                            coco = true;
                        }
                        "refs" => {
                            let by_id: indexed::Pairs<OneOrMore> = map.next_value()?;
                            file.by_id =
                                by_id.0.into_iter().map(|(id, captions)| (id, captions.into())).collect();
                            coco = true;
                        }
                        // COCO's other keys, whatever they hold.
                        "info" | "licenses" | "type" | "cands" | "note" => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ if coco => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ => {
                            let captions: OneOrMore = map.next_value()?;
                            file.by_id.push((key, captions.into()));
                        }
                    }
                }
                Ok(file)
            }
        }
        deserializer.deserialize_map(FileVisitor)
    }
}

impl From<OneOrMore> for Vec<String> {
    fn from(captions: OneOrMore) -> Self {
        match captions {
            OneOrMore::More(captions) => captions,
            OneOrMore::One(caption) => vec![caption],
        }
    }
}

/// Maps that keep the order of the file.
pub(crate) mod indexed {
    use std::{fmt, marker::PhantomData};

    use serde::{
        Deserialize, Deserializer,
        de::{MapAccess, Visitor},
    };

    /// The entries of an object, in the file's order.
    #[derive(Debug)]
    pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct PairsVisitor<T>(PhantomData<T>);
            impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
                type Value = Pairs<T>;
                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                    let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0));
                    while let Some(entry) = map.next_entry()? {
                        pairs.push(entry);
                    }
                    Ok(Pairs(pairs))
                }
            }
            deserializer.deserialize_map(PairsVisitor(PhantomData))
        }
    }
}

/// Collects captions by image, images in the order in which they first come.
struct ImageIndex<'a> {
    path: &'a Path,
    images: Vec<ReferenceImage>,
    position: FxHashMap<String, usize>,
}

impl<'a> ImageIndex<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, images: Vec::new(), position: FxHashMap::default() }
    }

    fn declare(&mut self, id: String, domain: Option<String>) {
        let image = self.entry(id);
        image.domain = domain;
    }

    fn add(&mut self, id: String, captions: Vec<String>) -> Result<(), Error> {
        self.entry(id).captions.extend(captions);
        Ok(())
    }

    fn entry(&mut self, id: String) -> &mut ReferenceImage {
        let next = self.images.len();
        let position = *self.position.entry(id).or_insert_with_key(|id| {
            self.images.push(ReferenceImage { id: id.clone(), ..ReferenceImage::default() });
            next
        });
        &mut self.images[position]
    }

    fn content(&self, problem: String) -> Error {
        Error::Content { path: self.path.to_owned(), problem }
    }

    fn finish(self) -> Result<References, Error> {
        if self.images.iter().all(|image| image.captions.is_empty()) {
            return Err(self.content(format!("no captions found; it should be {REFERENCES}")));
        }
        let mut images = self.images;
        // The reference values were made in this order, and the tokenizer looks from one caption to the next.
        if images.iter().all(|image| image.id.parse::<u64>().is_ok()) {
            images.sort_by_key(|image| image.id.parse::<u64>().unwrap_or_default());
        }
        Ok(References { images, path: self.path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(text: &str) -> Result<References, Error> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("writing it");
        read_references(file.path())
    }

    #[test]
    fn all_layouts_give_the_same() {
        for text in [
            r#"{"info": 1, "images": [{"id": 7}, {"id": 3}], "annotations": [{"image_id": 3, "caption": "c"}, {"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}]}"#,
            r#"[{"image_id": "7", "refs": ["a", "b"], "test": "x"}, {"image_id": 3, "refs": ["c"]}]"#,
            r#"[{"image_id": 7, "caption": "a"}, {"image_id": 3, "caption": "c"}, {"image_id": 7, "caption": "b"}]"#,
            r#"{"7": ["a", "b"], "3": "c"}"#,
            r#"{"refs": {"7": ["a", "b"], "3": ["c"]}, "cands": {}}"#,
        ] {
            let read = references(text).expect(text);
            let got: Vec<_> =
                read.images.iter().map(|image| (image.id.as_str(), image.captions.join("+"))).collect();
            assert_eq!(got, [("3", "c".to_owned()), ("7", "a+b".to_owned())], "{text}");
        }
    }

    #[test]
    fn wrong_layouts_are_refused() {
        for text in ["", "{}", "[]", "[1]", r#"[{"image_id": 1}]"#, r#"{"a": 1}"#, "nonsense"] {
            assert!(references(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bad_candidates_are_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for (text, part) in [
            (r#"[{"image_id": 41, "caption": 3}]"#, "41 is a number"),
            (r#"[{"image_id": 41}]"#, "41 is missing"),
            (
                r#"[{"image_id": 41, "caption": "a"}, {"image_id": "41", "caption": "b"}]"#,
                "id 41 stands there more",
            ),
            (r#"{"41": "a"}"#, "a list of {image_id, caption}"),
        ] {
            std::fs::write(file.path(), text).expect("writing it");
            let message = read_candidates(file.path()).expect_err(text).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
