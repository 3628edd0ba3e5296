//! What `attributes.json` says of objects:
//! `[{"image_id", "attributes": [{"object_id", "attributes": ["red", ...], ...}]}, ...]`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::object_id;
use crate::boxes::BoxTable;
use crate::boxes::fields::words;
use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::record::{Fields, lacks};
use crate::texts::scan::{self, Place};
use crate::{Error, RejectReason};

/// Attributes of all objects, in 24 bytes each; a word is kept once.
///
/// Visual Genome has 2.8 million on 108 thousand pictures.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    images: HashMap<Box<str>, u32>,
    words: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Sorted by picture and object once the file is read; those of an object in the order of the file.
    said: Vec<Said>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    image: u32,
    object: u64,
    word: u32,
    used: bool,
}

impl Attributes {
    /// Reads the file at `path`, the `nth` of the format.
    pub(super) fn scan(
        &mut self,
        context: ScanContext<'_>,
        nth: u16,
        path: &Path,
        table: &mut BoxTable,
    ) -> Result<Input, Error> {
        let (input, _) = scan::elements(context, nth, path, Layout::List, |element, place| {
            if let Err(reason) = self.picture(element.value(), table, place) {
                table.unreadable(&reason, || place.shown());
            }
            Ok(())
        })?;
        // Stable, so that the attributes of an object stay in their order.
        self.said.sort_by_key(|said| (said.image, said.object));
        Ok(input)
    }

    /// The attributes of an object of a picture, each once.
    pub(super) fn of(&mut self, image: &str, object: u64) -> Vec<String> {
        let Some(&image) = self.images.get(image) else { return vec![] };
        let from = self.said.partition_point(|said| (said.image, said.object) < (image, object));
        let mut words: Vec<u32> = Vec::new();
        for said in
            self.said[from..].iter_mut().take_while(|said| (said.image, said.object) == (image, object))
        {
            said.used = true;
            if !words.contains(&said.word) {
                words.push(said.word);
            }
        }
        words.into_iter().map(|word| self.words[word as usize].clone()).collect()
    }

    /// Counts the objects that nobody asked for.
    pub(super) fn tell_unused(&self, table: &mut BoxTable) {
        let names: HashMap<u32, &str> = self.images.iter().map(|(name, &number)| (number, &**name)).collect();
        let of_one = self.said.chunk_by(|one, next| (one.image, one.object) == (next.image, next.object));
        for said in of_one.filter_map(|said| said.first()).filter(|said| !said.used) {
            let place = || format!("picture {}, object {}", names[&said.image], said.object);
            table.leave_out("have attributes and are not among the objects", place);
        }
    }

    fn picture(&mut self, bytes: &[u8], table: &mut BoxTable, place: &Place<'_>) -> Result<(), RejectReason> {
        let mut fields = Fields::parse(bytes)?;
        let id = fields.id("image_id")?;
        let objects = fields.list("attributes")?;
        let next = self.images.len() as u32;
        let image = *self.images.entry(id.as_str().into()).or_insert(next);
        for (index, object) in objects.into_iter().enumerate() {
            if let Err(reason) = self.object(image, object) {
                table.unreadable(&reason, || format!("{}, picture {id}, object {index}", place.shown()));
            }
        }
        Ok(())
    }

    fn object(&mut self, image: u32, value: Value) -> Result<(), RejectReason> {
        let mut fields = Fields::of(value, "attributes")?;
        let object = object_id(&mut fields)?.ok_or_else(|| lacks("object_id"))?;
        // Most objects have none.
        for word in words(&mut fields, "attributes")? {
            let word = self.number(&word);
            self.said.push(Said { image, object, word, used: false });
        }
        Ok(())
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_string());
        self.numbers.insert(word.to_string(), number);
        number
    }
}
