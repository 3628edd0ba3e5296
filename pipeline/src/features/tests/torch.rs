//! Torch dictionaries, written here opcode by opcode: no torch is needed.

use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;

use super::super::TorchDict;
use super::synthetic::{CLASSES, Made, Random, WIDTH, made};
use super::{import, *};

/// Pickle opcodes of protocol 2 for what these tests need.
#[derive(Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.push(b"X");
        self.push(&(text.len() as u32).to_le_bytes());
        self.push(text.as_bytes());
    }

    fn int(&mut self, number: i32) {
        self.push(b"J");
        self.push(&number.to_le_bytes());
    }

    fn float(&mut self, number: f64) {
        self.push(b"G");
        self.push(&number.to_be_bytes());
    }

    /// `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`
    fn tensor(&mut self, storage: &str, class: &str, [rows, columns]: [i32; 2], strides: [i32; 2]) {
        self.push(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.push(format!("ctorch\n{class}\n").as_bytes());
        self.text(storage);
        self.text("cpu");
        self.int(rows * columns);
        self.push(b"tQ");
        self.int(0);
        for [a, b] in [[rows, columns], strides] {
            self.int(a);
            self.int(b);
            self.push(b"\x86");
        }
        self.push(b"\x89ccollections\nOrderedDict\n)RtR");
    }

    /// A dict of `n` entries, each written by `entry`.
    fn dict(n: usize, mut entry: impl FnMut(&mut Pickle, usize)) -> Pickle {
        let mut pickle = Pickle(b"\x80\x02}(".to_vec());
        (0..n).for_each(|index| entry(&mut pickle, index));
        pickle.push(b"u.");
        pickle
    }
}

fn archive(path: &Path, pickle: Pickle, storages: &[Vec<u8>], method: zip::CompressionMethod) {
    let mut writer = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let mut entry = |name: String, bytes: &[u8]| {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    };
    entry("archive/data.pkl".into(), &pickle.0);
    entry("archive/version".into(), b"3\n");
    for (index, bytes) in storages.iter().enumerate() {
        entry(format!("archive/data/{index}"), bytes);
    }
    writer.finish().unwrap();
}

fn write_features(path: &Path, set: &[Made], class: &str, method: zip::CompressionMethod, turned: bool) {
    let pickle = Pickle::dict(set.len(), |pickle, index| {
        let (n, columns) = (set[index].n() as i32, WIDTH as i32 + 6);
        // Keys of both kinds.
        if index % 2 == 0 {
            pickle.text(&set[index].id)
        } else {
            pickle.int(set[index].id.parse().unwrap())
        }
        let strides = if turned { [1, n] } else { [columns, 1] };
        pickle.tensor(&index.to_string(), class, [n, columns], strides);
    });
    let storages: Vec<Vec<u8>> = set.iter().map(Made::features_and_positions).collect();
    archive(path, pickle, &storages, method);
}

/// Labels in each of their shapes, by turns.
fn write_labels(path: &Path, set: &[Made]) {
    let pickle = Pickle::dict(set.len(), |pickle, index| {
        let made = &set[index];
        pickle.int(made.id.parse().unwrap());
        let names: Vec<&str> = made.classes.iter().map(|&class| CLASSES[class as usize]).collect();
        match index % 4 {
            0 => {
                pickle.push(b"](");
                for (region, name) in names.iter().enumerate() {
                    pickle.push(b"}(");
                    pickle.text("class");
                    pickle.text(name);
                    pickle.text("conf");
                    pickle.float(f64::from(made.scores[region]));
                    pickle.text("rect");
                    pickle.push(b"](");
                    made.boxes[region].iter().for_each(|&side| pickle.float(f64::from(side)));
                    pickle.push(b"eu");
                }
                pickle.push(b"e");
            }
            1 => {
                pickle.push(b"](");
                names.iter().for_each(|name| pickle.text(name));
                pickle.push(b"e");
            }
            2 => pickle.text(&made.objects()),
            _ => pickle.text(&names.join(" ")),
        }
    });
    archive(path, pickle, &[], zip::CompressionMethod::Stored);
}

fn both(folder: &Path) -> TorchDict {
    TorchDict {
        paths: vec![folder.join("train_img_frcnn_feats.pt")],
        labels: vec![folder.join("train_vg_labels.pt")],
        origin: "vg".into(),
    }
}

fn write_both(folder: &Path, set: &[Made]) {
    let stored = zip::CompressionMethod::Stored;
    write_features(&folder.join("train_img_frcnn_feats.pt"), set, "FloatStorage", stored, false);
    write_labels(&folder.join("train_vg_labels.pt"), set);
}

#[test]
fn tensors_are_read_from_their_place_and_labels_in_every_shape() {
    let set = made(8);
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), &set);
    let imported = import(&both(folder.path())).unwrap();
    assert_eq!(imported.scanned.layout.width as usize, WIDTH);
    assert_eq!(imported.scanned.inputs.len(), 3, "features, labels and the derived lines");
    assert_eq!(imported.scanned.warnings, Vec::<String>::new());
    for (index, (made, picture)) in set.iter().zip(imported.all_good()).enumerate() {
        assert_eq!(picture.image_id, made.id);
        assert_eq!(&picture.features[..], made.features());
        assert_eq!(picture.geometry, Some(made.geometry()));
        assert_eq!((picture.width, &picture.boxes), (None, &None));
        let names: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
        let expected: Vec<&str> = made.classes.iter().map(|&class| CLASSES[class as usize]).collect();
        if index % 4 == 3 {
            assert_eq!(names, [expected.join(" ")]);
            continue;
        }
        assert_eq!(names, expected);
        let scored = index % 4 != 1;
        for (region, tag) in picture.tags.iter().enumerate() {
            assert_eq!(tag.score, scored.then_some(made.scores[region]));
            assert_eq!(tag.rect, scored.then_some(made.boxes[region]));
        }
    }
}

#[test]
fn tensors_that_do_not_lie_ready_are_errors_with_a_hint() {
    let set = made(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("val_img_frcnn_feats.pt");
    let format = TorchDict { paths: vec![path.clone()], labels: vec![], origin: "vg".into() };
    let refused = |class: &str, method, turned| {
        write_features(&path, &set, class, method, turned);
        match import(&format) {
            Err(Error::Input { what, hint, .. }) => (what, hint),
            other => panic!("expected an input error, got {other:?}"),
        }
    };
    let stored = zip::CompressionMethod::Stored;
    for (what, hint) in [
        refused("IntStorage", stored, false),
        refused("FloatStorage", stored, true),
        refused("FloatStorage", zip::CompressionMethod::Deflated, false),
    ] {
        assert!(what.starts_with("the entry of picture 1000"), "{what}");
        assert!(hint.contains("torch.save"), "{hint}");
    }
    std::fs::write(&path, "no archive").unwrap();
    assert!(matches!(import(&format), Err(Error::Input { .. })));
}

#[test]
fn labels_that_are_missing_or_misshapen_reject_their_picture() {
    let set = made(4);
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), &set);
    let labels = folder.path().join("train_vg_labels.pt");
    let pickle = Pickle::dict(4, |pickle, index| {
        pickle.int([1000, 1001, 1003, 7][index]);
        match index {
            0 => pickle.text("dog"),
            1 => pickle.int(5),
            2 => pickle.text("[not json"),
            _ => pickle.text("cat"),
        }
    });
    archive(&labels, pickle, &[], zip::CompressionMethod::Stored);
    let imported = import(&both(folder.path())).unwrap();
    let reasons: Vec<_> = imported.rejects.iter().map(|reject| (reject.key.as_str(), reject.code)).collect();
    assert_eq!(reasons, [("1001", Code::BadJson), ("1002", Code::IdMismatch), ("1003", Code::BadJson)]);
    assert_eq!(imported.pictures.len(), 1);
    assert_eq!(imported.scanned.warnings, ["1 label entries are of pictures without features"]);
}

#[test]
fn mutants_of_archives_do_not_panic() {
    let set = made(4);
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), &set);
    let names = ["train_img_frcnn_feats.pt", "train_vg_labels.pt"];
    let originals = names.map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let (mut read, mut errors) = (0, 0);
    for seed in 0..1000 {
        let mut random = Random(seed);
        let which = random.below(2);
        let path = folder.path().join(names[which]);
        std::fs::write(&path, super::mutants::mutate(&originals[which], &mut random)).unwrap();
        match import(&both(folder.path())) {
            Ok(imported) => {
                read += 1;
                assert!(imported.pictures.len() + imported.rejects.len() <= 4);
                for picture in imported.pictures.iter().filter_map(|(_, picture)| picture.as_ref().ok()) {
                    let numbers = picture.regions as usize * imported.scanned.layout.width as usize;
                    assert_eq!(picture.features.len(), numbers * 4);
                }
            }
            Err(_) => errors += 1,
        }
        std::fs::write(&path, &originals[which]).unwrap();
    }
    println!("torch-dict: {read} read, {errors} errors");
    assert!(read > 0 && errors > 0);
}
