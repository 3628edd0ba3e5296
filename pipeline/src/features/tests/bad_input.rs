//! Every way of being wrong has its reject code or its error, with file and line.

use std::path::Path;

use super::synthetic::{KINDS, Made, WIDTH, base64, floats, kind, lines, made, put};
use super::{import, *};

/// Imports `set` after `spoil` has been at the files.
fn spoiled(name: &str, set: &[Made], spoil: impl Fn(&Path)) -> Result<Imported, Error> {
    let folder = tempfile::tempdir().unwrap();
    let kind = kind(name);
    (kind.write)(folder.path(), set);
    spoil(folder.path());
    import((kind.open)(folder.path())?.as_ref())
}

/// Replaces line `number` of a file by what `change` makes of it.
fn change_line(folder: &Path, file: &str, number: usize, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_string).collect();
    lines[number - 1] = change(&lines[number - 1]);
    put(folder, file, &lines.concat());
}

fn input_error(result: Result<Imported, Error>) -> (String, Option<u64>, String) {
    match result {
        Err(Error::Input { path, line, what, hint }) => {
            assert!(!hint.is_empty());
            (path.file_name().unwrap().to_string_lossy().into_owned(), line, what)
        }
        other => panic!("expected an input error, got {other:?}"),
    }
}

#[test]
fn lines_that_are_no_pictures_are_rejected_with_their_reason() {
    let set = made(5);
    for kind in KINDS.iter().filter(|kind| matches!(kind.name, "lxmert-tsv" | "bottomup-tsv")) {
        let file = kind.files[0];
        let cases: [(&str, Code); 4] = [
            ("\n", Code::WrongColumns),
            ("no tab in this line\n", Code::WrongColumns),
            ("\tempty id\n", Code::EmptyField),
            ("1002\t120\t200\n", Code::WrongColumns),
        ];
        for (line, code) in cases {
            let imported =
                spoiled(kind.name, &set, |folder| change_line(folder, file, 3, |_| line.to_string()))
                    .unwrap();
            assert_eq!(imported.refused(), [(3, code)], "{} {line:?}", kind.name);
            assert_eq!(imported.pictures.len() + imported.rejects.len(), 5);
        }
        // One column more, at the end.
        let more = |line: &str| format!("{}\tx\n", line.trim_end());
        let imported = spoiled(kind.name, &set, |folder| change_line(folder, file, 2, more)).unwrap();
        assert_eq!(imported.refused(), [(2, Code::WrongColumns)]);
        // An id that is not UTF-8.
        let imported = spoiled(kind.name, &set, |folder| {
            let mut bytes = std::fs::read(folder.join(file)).unwrap();
            bytes[1] = 0xff;
            std::fs::write(folder.join(file), bytes).unwrap();
        })
        .unwrap();
        assert_eq!(imported.refused(), [(1, Code::BadUtf8)]);
        assert_eq!(imported.rejects[0].file.rsplit('/').next(), Some(file));
    }
}

#[test]
fn numbers_lengths_and_widths_of_bottom_up_rows() {
    let set = made(5);
    let column = |index: usize, value: String| {
        spoiled("bottomup-tsv", &set, |folder| {
            change_line(folder, "features.tsv", 4, |line| {
                let mut columns: Vec<&str> = line.trim_end().split('\t').collect();
                columns[index] = &value;
                columns.join("\t") + "\n"
            })
        })
        .unwrap()
        .refused()
    };
    let (n, boxes) = (set[3].n(), &set[3].boxes);
    let spoil_box = |change: fn(&mut [f32; 4])| {
        let mut boxes = boxes.clone();
        change(&mut boxes[1]);
        base64(&floats(boxes.iter().flatten()))
    };
    let spoil_number = |number: f32| {
        let mut features = set[3].features();
        features[4..8].copy_from_slice(&number.to_le_bytes());
        base64(&features)
    };
    let wide = vec![0.5_f32; n * (WIDTH + 1)];
    for (index, value, code) in [
        (1, "wide".to_string(), Code::BadNumber),
        (2, "0".to_string(), Code::BadNumber),
        (3, "-2".to_string(), Code::BadNumber),
        (3, "1".to_string(), Code::WrongLength),
        (3, "4000000000".to_string(), Code::WrongLength),
        (4, "AAA".to_string(), Code::BadBase64),
        (4, base64(&[0; 20]), Code::WrongLength),
        (4, spoil_box(|b| b[2] = b[0] - 1.0), Code::BadBox),
        (4, spoil_box(|b| b[3] = 900.0), Code::BadBox),
        (4, spoil_box(|b| b[0] = f32::NAN), Code::NonFinite),
        (5, "A!==".to_string(), Code::BadBase64),
        (5, base64(&[0; 6]), Code::WrongLength),
        (5, String::new(), Code::WrongLength),
        (5, base64(&floats(&wide)), Code::WrongWidth),
        (5, spoil_number(f32::NAN), Code::NonFinite),
        (5, spoil_number(f32::INFINITY), Code::NonFinite),
    ] {
        assert_eq!(column(index, value.clone()), [(4, code)], "column {index}: {value}");
    }
}

#[test]
fn classes_outside_the_list() {
    let mut set = made(4);
    set[2].classes[0] = 4;
    set[3].classes[1] = -1;
    let imported = spoiled("lxmert-tsv", &set, |_| ()).unwrap();
    assert_eq!(imported.refused(), [(3, Code::UnknownClass), (4, Code::UnknownClass)]);
    set[1].scores[0] = f32::NAN;
    let imported = spoiled("lxmert-tsv", &set[..2], |_| ()).unwrap();
    assert_eq!(imported.refused(), [(2, Code::NonFinite)]);
}

#[test]
fn positions_of_another_order_are_refused_and_of_none_end_the_scan() {
    let set = made(5);
    // Row 3 with height before width, in a set with width before height.
    let turned = |made: &Made| {
        let row = |(vector, [a, b, c, d, w, h]): (&Vec<f32>, [f32; 6])| {
            floats(vector.iter().chain(&[a, b, c, d, h, w]))
        };
        let bytes: Vec<u8> = made.vectors.iter().zip(made.geometry()).flat_map(row).collect();
        format!("{}\t{}\t{}\n", made.id, made.n(), base64(&bytes))
    };
    let spoil = |folder: &Path| change_line(folder, "features.tsv", 3, |_| turned(&set[2]));
    assert_eq!(spoiled("vinvl-tsv", &set, spoil).unwrap().refused(), [(3, Code::BoxOrder)]);

    // Vectors without positions at all: the last six are any numbers.
    let plain = |made: &Made| format!("{}\t{}\t{}\n", made.id, made.n(), base64(&made.features()));
    let many = made(40);
    for set in [&many[..40], &many[..3]] {
        let spoil = |folder: &Path| put(folder, "features.tsv", &lines(set, plain));
        let (file, line, what) = input_error(spoiled("vinvl-tsv", set, spoil));
        assert_eq!((file.as_str(), line), ("features.tsv", Some(1)));
        assert!(what.contains("neither order"), "{what}");
    }
}

#[test]
fn rows_that_do_not_go_together() {
    let set = made(6);
    let rename = |line: &str| line.replacen("100", "999", 1);
    for file in ["train.label.tsv", "train.hw.tsv"] {
        // One row: a reject that names both places.
        let spoil = |folder: &Path| change_line(folder, file, 3, rename);
        let imported = spoiled("oscar-tsv", &set, spoil).unwrap();
        assert_eq!(imported.refused(), [(3, Code::IdMismatch)]);
        assert!(imported.rejects[0].message.contains(&format!("{file}:3 is of picture 9992, not 1002")));
        // Two running, as after a shift: an error.
        let (path, line, what) = input_error(spoiled("oscar-tsv", &set, |folder| {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let mut rows: Vec<&str> = text.split_inclusive('\n').collect();
            rows.swap(1, 2);
            put(folder, file, &rows.concat());
            let _ = std::fs::remove_file(folder.join("train.label.lineidx"));
        }));
        assert_eq!((path.as_str(), line), ("train.feature.tsv", Some(3)));
        assert!(what.contains(&format!("{file}:3")), "{what}");
        // Another number of rows, either way.
        for (longer, shorter) in [(file, "train.feature.tsv"), ("train.feature.tsv", file)] {
            let (path, line, what) = input_error(spoiled("oscar-tsv", &set, |folder| {
                change_line(folder, shorter, 6, |_| String::new());
                let _ = std::fs::remove_file(folder.join("train.label.lineidx"));
            }));
            // A short feature file is told by whichever partner is longer, here both.
            let longer = if shorter == "train.feature.tsv" { "train.label.tsv" } else { longer };
            assert_eq!((path.as_str(), line), (longer, Some(6)), "{what}");
        }
    }
    // A picture that predictions do not know.
    let spoil = |folder: &Path| change_line(folder, "predictions.tsv", 6, rename);
    let imported = spoiled("vinvl-tsv", &set, spoil).unwrap();
    assert_eq!(imported.refused(), [(1, Code::IdMismatch)]);
    assert!(imported.scanned.warnings[0].contains("the first is line 6"));
    // A picture that they know twice.
    let spoil = |folder: &Path| change_line(folder, "predictions.tsv", 2, |line| line.repeat(2));
    assert_eq!(input_error(spoiled("vinvl-tsv", &set, spoil)).1, Some(3));
}

#[test]
fn stale_indices_are_named_with_their_line() {
    let set = made(5);
    let index = "train.label.lineidx";
    let stale = |change: &dyn Fn(&Path)| input_error(spoiled("oscar-tsv", &set, change));
    for (line, text, part) in [
        (3, "7\n".to_string(), "starts at byte"),
        (5, "99999999\n".to_string(), "beyond the"),
        (2, "two\n".to_string(), "not a byte offset"),
        (2, format!("{}\n", "1".repeat(100)), "not a byte offset"),
    ] {
        let found = stale(&|folder| change_line(folder, index, line, |_| text.clone()));
        assert_eq!((found.0.as_str(), found.1), (index, Some(line as u64)));
        assert!(found.2.contains(part), "{}", found.2);
    }
    let found = stale(&|folder| change_line(folder, index, 5, |_| String::new()));
    assert!(found.1 == Some(5) && found.2.contains("ends after 4 rows"), "{found:?}");
    let found = stale(&|folder| change_line(folder, index, 5, |line| format!("{line}12\n")));
    assert!(found.1 == Some(6) && found.2.contains("has 5 rows"), "{found:?}");

    for (kind, map) in [("vinvl-tsv", "imageid2idx.json"), ("vqa-tsv", "val_img_frcnn_feats_offset_map.json")]
    {
        let replaced = |from: &'static str, to: &'static str| {
            input_error(spoiled(kind, &set, |folder| {
                let text = std::fs::read_to_string(folder.join(map)).unwrap();
                put(folder, map, &text.replacen(from, to, 1));
            }))
        };
        for (from, to) in [("\"1002\": ", "\"1002\": 9"), ("1003", "9003"), ("{", "{\"5\": 5, ")] {
            let (file, _, what) = replaced(from, to);
            assert!(file.ends_with(".tsv") && what.contains(map), "{file} {what}");
        }
        assert_eq!(replaced("\"1002\": ", "\"1002\": -").0, map);
        assert_eq!(replaced("{", "").0, map);
    }
}

#[test]
fn json_of_another_shape() {
    let set = made(4);
    let second = |folder: &Path, file: &str, json: &str| {
        change_line(folder, file, 2, |_| format!("1001\t{json}\n"));
        let _ = std::fs::remove_file(folder.join("train.label.lineidx"));
    };
    for (file, json, code) in [
        ("train.feature.tsv", "{}", Code::BadJson),
        ("train.feature.tsv", r#"{"num_boxes": -1, "features": ""}"#, Code::BadJson),
        ("train.feature.tsv", r#"{"num_boxes": 2, "features": "????"}"#, Code::BadBase64),
        ("train.feature.tsv", r#"{"num_boxes": 2, "features": "AAAA"}"#, Code::WrongLength),
        ("train.label.tsv", r#"{"class": "dog"}"#, Code::BadJson),
        ("train.label.tsv", r#"[{"class": ""}]"#, Code::EmptyField),
        ("train.label.tsv", r#"[{"class": "dog", "rect": [9, 9, 1, 1]}]"#, Code::BadBox),
        ("train.label.tsv", "[", Code::BadJson),
        ("train.hw.tsv", "[]", Code::BadJson),
        ("train.hw.tsv", r#"[{"height": 0, "width": 3}]"#, Code::BadJson),
        ("train.hw.tsv", r#"[{"height": null, "width": 3}]"#, Code::BadJson),
    ] {
        let imported = spoiled("oscar-tsv", &set, |folder| second(folder, file, json)).unwrap();
        assert_eq!(imported.refused(), [(2, code)], "{file} {json}");
    }
}

#[test]
fn empty_unreadable_and_missing_files() {
    let set = made(3);
    for kind in &KINDS {
        let file = kind.files[0];
        let empty = spoiled(kind.name, &[], |_| ());
        let (named, _, what) = input_error(empty);
        assert_eq!((named.as_str(), what.as_str()), (file, "holds no picture"));
        let missing = spoiled(kind.name, &set, |folder| std::fs::remove_file(folder.join(file)).unwrap());
        assert!(matches!(missing, Err(Error::Io { .. })), "{}", kind.name);
    }
    let rubbish = spoiled("bottomup-tsv", &set, |folder| put(folder, "features.tsv", "a\tb\nc\td\n"));
    let (_, line, what) = input_error(rubbish);
    assert!(line == Some(1) && what.contains("none of its 2 pictures can be read"), "{what}");
    let no_feature = spoiled("oscar-tsv", &set, |folder| put(folder, "train.yaml", "feature: null\n"));
    assert!(input_error(no_feature).2.contains("names no `feature`"));
}
