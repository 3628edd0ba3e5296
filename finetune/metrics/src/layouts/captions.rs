//! Reference captions and candidates.

use std::{borrow::Cow, path::Path};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny},
};

use super::{Cursor, Id, Object, Pairs, Plain, Text, TextFile, once};
use crate::Error;

/// The reference captions: images ascending by id where all ids are numbers, else in the file's order.
#[derive(Debug)]
pub struct References<'a> {
    /// One entry per image.
    pub images: Vec<ReferenceImage<'a>>,
    /// Captions of images that COCO's list of images lacks; left out.
    pub unlisted_captions: usize,
    /// Where they were read, for errors.
    pub path: &'a Path,
}

/// One image and its reference captions.
#[derive(Debug, Clone, Default)]
pub struct ReferenceImage<'a> {
    /// The image's id.
    pub id: Id<'a>,
    /// Its captions, in the file's order.
    pub captions: Vec<Cow<'a, str>>,
    /// NoCaps: `in-domain`, `near-domain` or `out-domain`.
    pub domain: Option<Cow<'a, str>>,
}

/// The captions to be scored, one per image.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Image id and caption, in the file's order.
    pub captions: Vec<(Id<'a>, Cow<'a, str>)>,
    /// Where they were read, for errors.
    pub path: &'a Path,
}

const REFERENCES: &str = "COCO captions ({images, annotations}), a list of {image_id, refs}, a list of {image_id, caption}, or a map of id to captions";
const CANDIDATES: &str = "a list of {image_id, caption}";

/// How many references most images have.
const USUAL_REFERENCES: usize = 5;

impl<'a> References<'a> {
    /// Reads reference captions: COCO's layout (NoCaps too), a list of `{image_id, refs}`, a flat list of
    /// `{image_id, caption}`, a map from id to captions, or such a map under the key `refs`.
    ///
    /// As in the official evaluator, an image that COCO's list of images lacks does not take part.
    pub fn read(file: &'a TextFile) -> Result<Self, Error> {
        let mut images = Images { file, list: Vec::new(), position: FxHashMap::default(), unlisted: 0 };
        if file.is_list() {
            for entry in file.list::<Entry<'_>>(REFERENCES)? {
                images.add_entry(entry)?;
            }
        } else {
            images.read_object()?;
        }
        let Images { list: mut images, unlisted: unlisted_captions, .. } = images;
        if images.iter().all(|image| image.captions.is_empty()) {
            return Err(file.content(format!("no captions found; it should be {REFERENCES}")));
        }
        // The reference values were made in this order, and the tokenizer looks from one caption to the next.
        if images.iter().all(|image| matches!(image.id, Id::Number(0..))) {
            images.sort_by(|left, right| left.id.cmp(&right.id));
        }
        Ok(Self { images, unlisted_captions, path: file.path() })
    }
}

impl<'a> Candidates<'a> {
    /// Reads the captions to be scored. An image may have one caption only, as in the official evaluator.
    pub fn read(file: &'a TextFile) -> Result<Self, Error> {
        let entries: Vec<Candidate<'_>> = file.list(CANDIDATES)?;
        let mut seen = FxHashSet::with_capacity_and_hasher(entries.len(), Default::default());
        let mut captions = Vec::with_capacity(entries.len());
        for entry in entries {
            let caption = entry.caption.of(file, &entry.image_id, "caption")?;
            if !seen.insert(entry.image_id.clone()) {
                return Err(doubled(file, &entry.image_id));
            }
            captions.push((entry.image_id, caption));
        }
        Ok(Self { captions, path: file.path() })
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    image_id: Id<'a>,
    #[serde(borrow, default)]
    caption: Text<'a>,
}

impl<'a> Plain<'a> for Candidate<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        id_and_caption(cursor).map(|(image_id, caption)| Self { image_id, caption })
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    image_id: Id<'a>,
    #[serde(borrow)]
    refs: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    caption: Text<'a>,
}

impl<'a> Plain<'a> for Entry<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut image_id, mut refs, mut caption) = (None, None, None);
        cursor.object(|cursor| {
            if cursor.key("image_id\":") {
                once(&mut image_id, Id::plain(cursor)?)
            } else if cursor.key("refs\":") {
                let mut captions = Vec::with_capacity(USUAL_REFERENCES);
                cursor.list(|cursor| {
                    captions.push(Text::plain(cursor)?);
                    Some(())
                })?;
                once(&mut refs, captions)
            } else if cursor.key("caption\":") {
                once(&mut caption, Text::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self { image_id: image_id?, refs, caption: caption.unwrap_or_default() })
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    image_id: Id<'a>,
    #[serde(borrow, default)]
    caption: Text<'a>,
}

impl<'a> Plain<'a> for Annotation<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        id_and_caption(cursor).map(|(image_id, caption)| Self { image_id, caption })
    }
}

fn id_and_caption<'a>(cursor: &mut Cursor<'a>) -> Option<(Id<'a>, Text<'a>)> {
    let (mut image_id, mut caption) = (None, None);
    cursor.object(|cursor| {
        if cursor.key("image_id\":") {
            once(&mut image_id, Id::plain(cursor)?)
        } else if cursor.key("caption\":") {
            once(&mut caption, Text::plain(cursor)?)
        } else {
            cursor.pass_member()
        }
    })?;
    Some((image_id?, caption.unwrap_or_default()))
}

#[derive(Debug, PartialEq, Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow, default)]
    domain: Text<'a>,
}

impl<'a> Plain<'a> for Image<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        let (mut id, mut domain) = (None, None);
        cursor.object(|cursor| {
            if cursor.key("id\":") {
                once(&mut id, Id::plain(cursor)?)
            } else if cursor.key("domain\":") {
                once(&mut domain, Text::plain(cursor)?)
            } else {
                cursor.pass_member()
            }
        })?;
        Some(Self { id: id?, domain: domain.unwrap_or_default() })
    }
}

/// The captions under an id: a list, or one text.
struct Captions<'a>(Vec<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Captions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMore<'a> {
            #[serde(borrow)]
            More(Vec<Text<'a>>),
            #[serde(borrow)]
            One(Text<'a>),
        }
        Ok(match OneOrMore::deserialize(deserializer)? {
            OneOrMore::More(captions) => Self(captions),
            OneOrMore::One(caption) => Self(vec![caption]),
        })
    }
}

/// Collects captions by image, images in the order in which they first come.
struct Images<'a> {
    file: &'a TextFile,
    list: Vec<ReferenceImage<'a>>,
    position: FxHashMap<Id<'a>, usize>,
    unlisted: usize,
}

impl<'a> Images<'a> {
    fn add_entry(&mut self, entry: Entry<'a>) -> Result<(), Error> {
        let id = entry.image_id;
        match (entry.refs, entry.caption) {
            (Some(captions), _) => self.add_all(id, captions),
            (None, Text::Absent) => {
                Err(self.file.content(format!("image {id} has neither `refs` nor `caption`")))
            }
            (None, caption) => self.add(id, caption),
        }
    }

    /// COCO's keys, `refs`, or captions by id.
    fn read_object(&mut self) -> Result<(), Error> {
        let (mut declared, mut annotations, mut by_id) = (None, None, None);
        let mut others: Vec<(String, Captions<'a>)> = Vec::new();
        let object = Object::new(self.file.text());
        let members = object.each_member(|key, member| {
            match key {
                "images" => declared = Some(member.list::<Image<'a>>()?),
                "annotations" => annotations = Some(member.list::<Annotation<'a>>()?),
                "refs" => by_id = Some(member.value::<Pairs<Id<'a>, Captions<'a>>>()?.0),
                // What stands beside those, whatever it holds.
                "info" | "licenses" | "type" | "cands" | "note" => drop(member.value::<IgnoredAny>()?),
                _ if declared.is_some() || annotations.is_some() || by_id.is_some() => {}
                _ => others.push((key.to_owned(), member.value()?)),
            }
            Ok(())
        });
        members.map_err(|fault| fault.into_error(self.file, REFERENCES))?;
        let known = declared.is_some() || annotations.is_some() || by_id.is_some();
        let closed = declared.as_ref().is_some_and(|images| !images.is_empty());
        for image in declared.into_iter().flatten() {
            self.entry(image.id).domain = image.domain.into_option();
        }
        for annotation in annotations.into_iter().flatten() {
            if closed && !self.position.contains_key(&annotation.image_id) {
                self.unlisted += 1;
            } else {
                self.add(annotation.image_id, annotation.caption)?;
            }
        }
        // An object with none of the known keys is itself the map.
        let others = others.into_iter().filter(|_| !known).map(|(id, captions)| (Id::from(id), captions));
        for (id, captions) in by_id.into_iter().flatten().chain(others) {
            self.add_all(id, captions.0)?;
        }
        Ok(())
    }

    /// All captions of an image, which may not come again.
    fn add_all(&mut self, id: Id<'a>, captions: Vec<Text<'a>>) -> Result<(), Error> {
        if self.position.contains_key(&id) {
            return Err(doubled(self.file, &id));
        }
        self.entry(id.clone());
        captions.into_iter().try_for_each(|caption| self.add(id.clone(), caption))
    }

    fn add(&mut self, id: Id<'a>, caption: Text<'a>) -> Result<(), Error> {
        let caption = caption.of(self.file, &id, "reference caption")?;
        self.entry(id).captions.push(caption);
        Ok(())
    }

    fn entry(&mut self, id: Id<'a>) -> &mut ReferenceImage<'a> {
        let next = self.list.len();
        let position = *self.position.entry(id).or_insert_with_key(|id| {
            self.list.push(ReferenceImage { id: id.clone(), ..ReferenceImage::default() });
            next
        });
        &mut self.list[position]
    }
}

fn doubled(file: &TextFile, id: &Id<'_>) -> Error {
    Error::DoubledId { path: file.path().to_owned(), id: id.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layouts::second_opinion::{damaged, is_plain};

    fn file(text: &str) -> TextFile {
        TextFile::from_bytes("F.json".as_ref(), text.as_bytes().to_vec()).expect("UTF-8")
    }

    /// Ids and captions, and how many captions belong to no listed image.
    fn references(text: &str) -> Result<(Vec<(String, String)>, usize), Error> {
        let file = file(text);
        let read = References::read(&file)?;
        let images = read.images.iter().map(|image| (image.id.to_string(), image.captions.join("+")));
        Ok((images.collect(), read.unlisted_captions))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn serde_has_the_last_word(text in damaged(&[
            r#"{"image_id": 41, "id": -7, "caption": "A dog.", "more": [{"a": null}, 3]}"#,
            r#"{"image_id":"41.png","refs":["a","é"],"test":"x"}"#,
            r#"{"id": "7", "domain": "in-domain", "license": true, "info": {"a": []}}"#,
        ])) {
            is_plain::<Candidate<'_>>(&text);
            is_plain::<Entry<'_>>(&text);
            is_plain::<Annotation<'_>>(&text);
            is_plain::<Image<'_>>(&text);
        }
    }

    #[test]
    fn usual_entries_do_not_need_serde() {
        assert!(is_plain::<Candidate<'_>>(r#"{"caption": "A dog.", "image_id": 41}"#));
        assert!(is_plain::<Annotation<'_>>(r#"{"image_id":"a.png","id":3,"caption":"Café!"}"#));
        assert!(is_plain::<Entry<'_>>(r#"{ "image_id": 41 , "refs": [ "a" , "b" ], "test": "c" }"#));
        assert!(is_plain::<Image<'_>>(r#"{"license":3,"id":41,"domain":"near-domain"}"#));
        for text in [
            r#"{"caption": "A \"dog\"", "image_id": 41}"#,
            r#"{"caption": "A dog.", "image_id": 41, "caption": "A cat."}"#,
            r#"{"caption": "A dog."}"#,
            r#"{"caption": "A dog.", "image_id": 4.5}"#,
        ] {
            assert!(!is_plain::<Candidate<'_>>(text), "{text}");
        }
    }

    #[test]
    fn all_layouts_give_the_same() {
        for text in [
            r#"{"info": 1, "images": [{"id": 7}, {"id": 3}], "annotations": [{"image_id": 3, "caption": "c"}, {"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}]}"#,
            r#"{"version": 1, "annotations": [{"image_id": "7", "caption": "a"}, {"image_id": 3, "caption": "c"}, {"image_id": 7, "caption": "b"}], "images": [{"id": 7}, {"id": "3"}]}"#,
            r#"{"annotations": [{"image_id": 3, "caption": "c", "id": 1}, {"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}]}"#,
            r#"[{"image_id": "7", "refs": ["a", "b"], "test": "x"}, {"image_id": 3, "refs": ["c"]}]"#,
            r#"[{"image_id": 7, "caption": "a"}, {"image_id": 3, "caption": "c"}, {"image_id": 7, "caption": "b"}]"#,
            r#"{"7": ["a", "b"], "3": "c"}"#,
            r#"{"refs": {"7": ["a", "b"], "3": ["c"]}, "cands": {"7": "x"}}"#,
        ] {
            let (images, unlisted) = references(text).expect(text);
            let wanted = [("3", "c"), ("7", "a+b")].map(|(id, text)| (id.to_owned(), text.to_owned()));
            assert_eq!((images.as_slice(), unlisted), (&wanted[..], 0), "{text}");
        }
    }

    #[test]
    fn ids_that_are_no_numbers_keep_the_files_order() {
        let text = r#"{"b.png": "x", "7": "y", "a.png": ["\u00e9\n", ""]}"#;
        let (images, _) = references(text).expect("a map");
        let wanted = [("b.png", "x"), ("7", "y"), ("a.png", "\u{e9}\n+")];
        assert_eq!(images, wanted.map(|(id, text)| (id.to_owned(), text.to_owned())));
    }

    #[test]
    fn captions_of_unlisted_images_are_left_out() {
        let text = r#"{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": "b"}]}"#;
        assert_eq!(references(text).expect("COCO"), (vec![("1".to_owned(), "a".to_owned())], 1));
    }

    #[test]
    fn bad_references_are_named() {
        for (text, part) in [
            ("", "the file ends here"),
            ("{}", "no captions found"),
            ("[]", "no captions found"),
            ("[1]", "expected struct Entry (line 1, column 2)"),
            ("nonsense", "line 1, column"),
            (r#"[{"image_id": 41}]"#, "image 41 has neither"),
            (r#"[{"image_id": 41, "refs": ["a", 3]}]"#, "reference caption of id 41 is a number"),
            (r#"[{"image_id": 41, "caption": null}]"#, "reference caption of id 41 is null"),
            (r#"[{"caption": "a"}]"#, "missing field `image_id`"),
            (
                r#"[{"image_id": 41, "refs": ["a"]}, {"image_id": "41", "refs": ["b"]}]"#,
                "id 41 stands there more",
            ),
            (r#"{"41": ["a"], "41": ["b"]}"#, "id 41 stands there more"),
            (r#"{"41": 1}"#, "reference caption of id 41 is a number"),
            (
                r#"{"annotations": [{"image_id": 41, "caption": ["a"]}]}"#,
                "reference caption of id 41 is a list",
            ),
            (r#"{"annotations": {"image_id": 41}}"#, "expected a sequence (line 1, column 17)"),
            (r#"{"annotations": [{"image_id": 41.5, "caption": "a"}]}"#, "expected an id"),
        ] {
            let message = references(text).expect_err(text).to_string();
            assert!(message.starts_with("F.json") && message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn bad_candidates_are_named() {
        for (text, part) in [
            (r#"[{"image_id": 41, "caption": 3}]"#, "caption of id 41 is a number"),
            (r#"[{"image_id": 41}]"#, "caption of id 41 is missing"),
            (
                r#"[{"image_id": 41, "caption": "a"}, {"image_id": "41", "caption": "b"}]"#,
                "id 41 stands there more",
            ),
            (r#"{"41": "a"}"#, "a list of {image_id, caption}"),
            (r#"[{"image_id": 41, "caption": "a"}"#, "line 1, column"),
        ] {
            let message = Candidates::read(&file(text)).expect_err(text).to_string();
            assert!(message.starts_with("F.json") && message.contains(part), "{text}: {message}");
        }
        let file = file("\u{feff}[{\"image_id\": 1, \"caption\": \"\", \"more\": {}}]");
        let read = Candidates::read(&file).expect("an empty caption is one");
        assert_eq!(read.captions, [(Id::Number(1), "".into())]);
    }
}
