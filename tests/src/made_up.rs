//! A made-up corpus in the layout of LXMERT's features and COCO's captions.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64_simd::STANDARD;
use serde_json::json;

use crate::chance::Chance;

/// How large the corpus is.
#[derive(Debug, Clone, Copy)]
pub struct MadeUp {
    /// Pictures.
    pub pictures: usize,
    /// Regions a picture.
    pub regions: usize,
    /// Numbers a region.
    pub width: usize,
    /// Captions a picture.
    pub captions: usize,
    /// Other seeds, other content.
    pub seed: u64,
}

/// Where it lies.
#[derive(Debug, Clone)]
pub struct Files {
    /// The feature TSV; the class list lies beside it.
    pub features: PathBuf,
    /// The captions.
    pub captions: PathBuf,
}

const OBJECTS: [&str; 12] = [
    "dog",
    "cat",
    "tree",
    "car",
    "traffic light",
    "bench",
    "person",
    "umbrella",
    "boat",
    "kite",
    "horse",
    "lamp",
];
const COLOURS: [&str; 6] = ["red", "blue", "green", "black", "white", "yellow"];
const PLACES: [&str; 5] = ["on the grass", "near the water", "in the street", "under the sky", "at night"];

impl MadeUp {
    /// Writes the files into `folder`.
    pub fn write(&self, folder: &Path) -> Result<Files> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("objects_vocab.txt"), OBJECTS.join("\n") + "\n")?;
        fs::write(folder.join("attributes_vocab.txt"), COLOURS.join("\n") + "\n")?;
        let features = folder.join("features.tsv");
        let mut tsv = BufWriter::new(fs::File::create(&features)?);
        let mut annotations = Vec::new();
        for picture in 0..self.pictures {
            let mut chance = Chance::new(self.seed.wrapping_mul(1_000_003).wrapping_add(picture as u64));
            let (line, objects, colours) = self.line(picture, &mut chance);
            tsv.write_all(line.as_bytes())?;
            for at in 0..self.captions {
                let object = chance.below(objects.len().max(1));
                let (name, colour) = match objects.get(object) {
                    Some(&name) => (OBJECTS[name], COLOURS[colours[object]]),
                    None => ("scene", "empty"),
                };
                let caption = format!("A {colour} {name} {}.", chance.pick(&PLACES));
                let id = picture * self.captions + at;
                annotations.push(json!({ "image_id": number(picture), "id": id, "caption": caption }));
            }
        }
        tsv.flush()?;
        let captions = folder.join("captions.json");
        let images: Vec<_> = (0..self.pictures)
            .map(|at| json!({ "id": number(at), "file_name": format!("{:012}.jpg", number(at)) }))
            .collect();
        fs::write(&captions, json!({ "images": images, "annotations": annotations }).to_string())?;
        Ok(Files { features, captions })
    }

    fn line(&self, picture: usize, chance: &mut Chance) -> (String, Vec<usize>, Vec<usize>) {
        let (width, height) = (320 + chance.below(400), 240 + chance.below(300));
        let objects: Vec<usize> = (0..self.regions).map(|_| chance.below(OBJECTS.len())).collect();
        let colours: Vec<usize> = (0..self.regions).map(|_| chance.below(COLOURS.len())).collect();
        let mut line = String::new();
        // Writing into a String cannot fail.
        let _ = write!(line, "COCO_train2014_{:012}\t{height}\t{width}", number(picture));
        let mut column = |bytes: Vec<u8>| {
            line.push('\t');
            line.push_str(&STANDARD.encode_to_string(bytes));
        };
        let scores = |chance: &mut Chance| -> Vec<u8> {
            (0..self.regions).flat_map(|_| chance.share().to_le_bytes()).collect()
        };
        column(objects.iter().flat_map(|&id| (id as i64).to_le_bytes()).collect());
        column(scores(chance));
        column(colours.iter().flat_map(|&id| (id as i64).to_le_bytes()).collect());
        column(scores(chance));
        let _ = write!(line, "\t{}", self.regions);
        let mut column = |bytes: Vec<u8>| {
            line.push('\t');
            line.push_str(&STANDARD.encode_to_string(bytes));
        };
        let boxes = (0..self.regions).flat_map(|_| {
            let (x, y) = (chance.share() * width as f32 * 0.8, chance.share() * height as f32 * 0.8);
            let (w, h) = (chance.share() * width as f32 * 0.2, chance.share() * height as f32 * 0.2);
            [x, y, x + w, y + h]
        });
        let boxes: Vec<u8> = boxes.flat_map(f32::to_le_bytes).collect();
        column(boxes);
        let numbers = (0..self.regions * self.width).map(|_| (chance.share() * 8.0 - 4.0).max(0.0));
        let numbers: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        column(numbers);
        line.push('\n');
        (line, objects, colours)
    }
}

/// The number of picture `at`, as COCO would write it: not consecutive.
fn number(at: usize) -> usize {
    at * 7 + 9
}
