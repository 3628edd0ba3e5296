//! Small feature sets in every layout, written by the tests themselves.

use std::path::Path;

use super::super::{
    BottomupTsv, FeatureFormat, LxmertTsv, OscarTsv, VinvlPart, VinvlTsv, VqaTsv, position_numbers,
};
use crate::Error;

/// A generator for tests: the same numbers everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(super) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// A picture before it is written down.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) boxes: Vec<[f32; 4]>,
    /// n x [`WIDTH`].
    pub(super) vectors: Vec<Vec<f32>>,
    pub(super) classes: Vec<i64>,
    pub(super) scores: Vec<f32>,
}

/// Numbers in a vector.
pub(super) const WIDTH: usize = 8;
pub(super) const CLASSES: [&str; 4] = ["dog", "cat,kitty", "tree", "sky"];
pub(super) const ATTRIBUTES: [&str; 4] = ["red", "blue", "old", "wet"];

pub(super) fn made(pictures: usize) -> Vec<Made> {
    let mut random = Random(7);
    (0..pictures)
        .map(|index| {
            let regions = 2 + index % 3;
            let (width, height) = (200 + index as u32, 120);
            let corners = |random: &mut Random| {
                let (x, y) = (random.float() * 90.0, random.float() * 50.0);
                [x, y, x + 20.0 + random.float() * 80.0, y + 5.0 + random.float() * 60.0]
            };
            Made {
                id: format!("{}", 1000 + index),
                width,
                height,
                boxes: (0..regions).map(|_| corners(&mut random)).collect(),
                vectors: (0..regions).map(|_| (0..WIDTH).map(|_| random.float()).collect()).collect(),
                classes: (0..regions).map(|_| random.below(CLASSES.len()) as i64).collect(),
                scores: (0..regions).map(|_| random.float()).collect(),
            }
        })
        .collect()
}

impl Made {
    pub(super) fn n(&self) -> usize {
        self.boxes.len()
    }

    pub(super) fn geometry(&self) -> Vec<[f32; 6]> {
        self.boxes.iter().map(|&corners| position_numbers(corners, self.width, self.height)).collect()
    }

    pub(super) fn features(&self) -> Vec<u8> {
        floats(self.vectors.iter().flatten())
    }

    /// Vectors with positions after each.
    pub(super) fn features_and_positions(&self) -> Vec<u8> {
        let rows = self.vectors.iter().zip(self.geometry());
        rows.flat_map(|(vector, six)| [floats(vector), floats(&six)].concat()).collect()
    }

    pub(super) fn lxmert(&self) -> String {
        let classes: Vec<u8> = self.classes.iter().flat_map(|id| id.to_le_bytes()).collect();
        let (classes, scores) = (base64(&classes), base64(&floats(&self.scores)));
        format!(
            "{}\t{}\t{}\t{classes}\t{scores}\t{classes}\t{scores}\t{}\t{}\t{}\r\n",
            self.id,
            self.height,
            self.width,
            self.n(),
            base64(&floats(self.boxes.iter().flatten())),
            base64(&self.features())
        )
    }

    pub(super) fn bottomup(&self) -> String {
        format!(
            "{}\t{}\t{}\t{}\t{}\t{}\n",
            self.id,
            self.width,
            self.height,
            self.n(),
            base64(&floats(self.boxes.iter().flatten())),
            base64(&self.features())
        )
    }

    pub(super) fn oscar_feature(&self) -> String {
        let features = base64(&self.features_and_positions());
        format!("{}\t{{\"num_boxes\": {}, \"features\": \"{features}\"}}\n", self.id, self.n())
    }

    pub(super) fn objects(&self) -> String {
        let object = |(index, rect): (usize, &[f32; 4])| {
            let (name, score) = (CLASSES[self.classes[index] as usize], self.scores[index]);
            format!(r#"{{"class": "{name}", "conf": {score}, "rect": {rect:?}}}"#)
        };
        let objects: Vec<String> = self.boxes.iter().enumerate().map(object).collect();
        format!("[{}]", objects.join(", "))
    }

    pub(super) fn oscar_label(&self) -> String {
        format!("{}\t{}\n", self.id, self.objects())
    }

    pub(super) fn oscar_hw(&self) -> String {
        format!("{}\t[{{\"height\": {}, \"width\": {}}}]\n", self.id, self.height, self.width)
    }

    pub(super) fn vinvl_feature(&self) -> String {
        format!("{}\t{}\t{}\n", self.id, self.n(), base64(&self.features_and_positions()))
    }

    pub(super) fn vinvl_prediction(&self) -> String {
        format!(
            "{}\t{{\"objects\": {}, \"image_h\": {}, \"image_w\": {}}}\n",
            self.id,
            self.objects(),
            self.height,
            self.width
        )
    }
}

/// A layout with a writer and a reader of a small set in it.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The file with one line a picture; the first of `files`.
    pub(super) files: &'static [&'static str],
    pub(super) write: fn(&Path, &[Made]),
    pub(super) open: fn(&Path) -> Result<Box<dyn FeatureFormat>, Error>,
}

pub(super) const KINDS: [Kind; 5] = [
    Kind {
        name: "lxmert-tsv",
        files: &["features.tsv", "objects_vocab.txt", "attributes_vocab.txt"],
        write: |folder, set| {
            put(folder, "features.tsv", &lines(set, Made::lxmert));
            put(folder, "objects_vocab.txt", &CLASSES.join("\n"));
            put(folder, "attributes_vocab.txt", &ATTRIBUTES.join("\n"));
        },
        open: |folder| Ok(Box::new(LxmertTsv::new(vec![folder.join("features.tsv")], None, None, "vg")?)),
    },
    Kind {
        name: "bottomup-tsv",
        files: &["features.tsv"],
        write: |folder, set| put(folder, "features.tsv", &lines(set, Made::bottomup)),
        open: |folder| Ok(Box::new(BottomupTsv { paths: vec![folder.join("features.tsv")] })),
    },
    Kind {
        name: "oscar-tsv",
        files: &["train.feature.tsv", "train.label.tsv", "train.hw.tsv", "train.yaml", "train.label.lineidx"],
        write: |folder, set| {
            put(folder, "train.feature.tsv", &lines(set, Made::oscar_feature));
            put(folder, "train.label.tsv", &lines(set, Made::oscar_label));
            put(folder, "train.hw.tsv", &lines(set, Made::oscar_hw));
            put(folder, "train.label.lineidx", &lineidx(&lines(set, Made::oscar_label)));
            let yaml = "img: null\nfeature: train.feature.tsv\nlabel: train.label.tsv\nhw: train.hw.tsv\n";
            put(folder, "train.yaml", yaml);
        },
        open: |folder| Ok(Box::new(OscarTsv::from_yaml(&folder.join("train.yaml"), "vg", false)?)),
    },
    Kind {
        name: "vinvl-tsv",
        files: &["features.tsv", "predictions.tsv", "imageid2idx.json"],
        write: |folder, set| {
            put(folder, "features.tsv", &lines(set, Made::vinvl_feature));
            let turned: Vec<Made> = set.iter().rev().cloned().collect();
            put(folder, "predictions.tsv", &lines(&turned, Made::vinvl_prediction));
            put(folder, "imageid2idx.json", &id_map(set, |index| index as u64));
        },
        open: |folder| {
            let part = VinvlPart { source: None, dir: folder.to_path_buf(), labels: None };
            Ok(Box::new(VinvlTsv { parts: vec![part], origin: "vinvl".into() }))
        },
    },
    Kind {
        name: "vqa-tsv",
        files: &["val_img_frcnn_feats.tsv", "val_img_frcnn_feats_offset_map.json"],
        write: |folder, set| {
            let text = lines(set, Made::vinvl_feature);
            put(folder, "val_img_frcnn_feats.tsv", &text);
            let offsets: Vec<u64> = lineidx(&text).lines().map(|line| line.parse().unwrap()).collect();
            let map = id_map(set, |index| offsets[index]);
            put(folder, "val_img_frcnn_feats_offset_map.json", &map);
        },
        open: |folder| Ok(Box::new(VqaTsv { paths: vec![folder.join("val_img_frcnn_feats.tsv")] })),
    },
];

pub(super) fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

pub(super) fn lines(set: &[Made], line: fn(&Made) -> String) -> String {
    set.iter().map(line).collect()
}

pub(super) fn put(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

pub(super) fn lineidx(text: &str) -> String {
    let mut offset = 0;
    let line = |line: &str| {
        let start = offset;
        offset += line.len();
        format!("{start}\n")
    };
    text.split_inclusive('\n').map(line).collect()
}

fn id_map(set: &[Made], number: impl Fn(usize) -> u64) -> String {
    let entry = |(index, made): (usize, &Made)| format!("\"{}\": {}", made.id, number(index));
    let entries: Vec<String> = set.iter().enumerate().map(entry).collect();
    format!("{{{}}}", entries.join(", "))
}

pub(super) fn floats<'a>(numbers: impl IntoIterator<Item = &'a f32>) -> Vec<u8> {
    numbers.into_iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
