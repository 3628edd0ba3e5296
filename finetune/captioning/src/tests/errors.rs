//! What is refused, and by which words.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use data_specs::Sample;
use finetune_harness::DeviceChoice;
use finetune_harness::Train;
use pretrain::model::ModelFolder;
use pretrain_kernels::Precision;

use super::made::{Made, Quiet, WIDTH, caption, row, rows};
use crate::{Captioned, ConstraintFiles, Write};

fn end(train: &Train) -> String {
    crate::train(train, &Quiet::default()).unwrap_err().to_string()
}

fn write(made: &Made, model: PathBuf, data: &str) -> Write {
    Write {
        model,
        data: made.path(data),
        key: None,
        set: vec![],
        constraints: None,
        captioned: false,
        at_once: 8,
        precision: Precision::F32,
        device: DeviceChoice::Cpu,
    }
}

#[test]
fn data_that_do_not_fit() {
    let made = Made::new();
    let bare: Vec<Sample> = (0..4).map(|n| row(n, vec![])).collect();
    made.write("bare", &bare, 1, WIDTH);
    let mut blind = rows(4);
    blind[2].images[0] = data_specs::Picture { image_id: "2".into(), ..data_specs::Picture::default() };
    made.write("blind", &blind, 1, WIDTH);
    let mut pair = rows(4);
    let second = pair[1].images[0].clone();
    pair[1].images.push(second);
    made.write("pair", &pair, 1, WIDTH);
    for (data, part) in [
        ("bare", "has no captions (4 rows are without"),
        ("blind", "has neither regions nor tags"),
        ("pair", "has two pictures"),
    ] {
        let message = end(&Train { data: Some(made.path(data)), ..made.train(data, &[]) });
        assert!(message.contains(part) && message.contains("hint: "), "{message} does not say {part}");
    }
    for (set, part) in [
        ("task.caption_tokens=19", "task.caption_tokens is 19"),
        ("task.label_smoothing=1.0", "task.label_smoothing is 1"),
        ("task.mask_probability=1.5", "task.mask_probability is 1.5"),
        ("task.random_share=0.3", "at most 1 with task.masked_share"),
        ("task.self_critical={ samples = 1, baseline = \"sample\" }", "task.self_critical.samples is 1"),
        ("task.self_critical={ samples = 60 }", "at most 1024"),
        ("task.decoding={ kind = \"beam\", beams = 0 }", "beams is 0"),
        ("task.decoding={ kind = \"beam\", beam = 2 }", "unknown field"),
    ] {
        let message = end(&made.train("settings", &[set]));
        assert!(message.contains(part), "{message} does not say {part}");
    }
}

#[test]
fn document_frequencies_of_another_form() {
    let made = Made::new();
    let file = made.path("df.json");
    let set = format!("task.self_critical={{ document_frequencies = {{ file = {file:?} }} }}");
    for (text, part) in [
        ("{\"ref_len\": 3}", "document_frequency"),
        ("{\"ref_len\": 0, \"document_frequency\": {}}", "ref_len"),
        ("[]", "df.json"),
    ] {
        std::fs::write(&file, text).unwrap();
        let message = end(&made.train("df", &[&set]));
        assert!(message.contains(part) && message.contains("document-frequencies --eos"), "{message}");
    }
    let missing = set.replace("df.json", "nowhere.p");
    assert!(end(&made.train("df", &[&missing])).contains("nowhere.p"));
}

/// A folder without head, with the head of the first layout, with half of it, with a decoder of its own.
#[test]
fn heads_of_both_layouts_and_none() {
    let made = Made::new();
    made.ran("run", &["schedule.epochs=1", "task.tie_weights=false"], 1);
    let trained = made.path("run/model");
    let change = |name: &str, change: &dyn Fn(&mut std::collections::BTreeMap<String, Tensor>)| {
        let mut folder = ModelFolder::open_untied(&trained).unwrap();
        change(&mut folder.tensors);
        folder.write(&made.path(name)).unwrap();
        for file in ["vocab.txt", "tokenizer.json", "finetuning.json"] {
            if trained.join(file).is_file() {
                std::fs::copy(trained.join(file), made.path(name).join(file)).unwrap();
            }
        }
        made.path(name)
    };
    let rename = |tensors: &mut std::collections::BTreeMap<String, Tensor>| {
        let names: Vec<String> = tensors.keys().cloned().collect();
        for name in names {
            if let Some(rest) = name.strip_prefix("cls.predictions.") {
                let tensor = tensors.remove(&name).unwrap();
                tensors.insert(rest.to_owned(), tensor);
            }
        }
        tensors.remove("bias");
    };
    let train = |model: &Path, set: &[&str]| Train {
        model: Some(model.to_owned()),
        ..made.train("again", &[set, &["schedule.epochs=1"]].concat())
    };
    let none = change("none", &|tensors| tensors.retain(|name, _| !name.starts_with("cls.")));
    let message = end(&train(&none, &[]));
    assert!(
        message.contains("the caption head is not there") && message.contains("replace_head"),
        "{message}"
    );
    let decoded = write(&made, none.clone(), "set").run().unwrap_err().to_string();
    assert!(decoded.contains("fit config.json") || decoded.contains("head"), "{decoded}");

    let bare = change("bare", &|_| {});
    std::fs::remove_file(bare.join("finetuning.json")).unwrap();
    let message = write(&made, bare, "set").run().unwrap_err().to_string();
    assert!(
        message.contains("the caption head is not there") && message.contains("captioning train"),
        "{message}"
    );

    let half = change("half", &|tensors| {
        rename(tensors);
        tensors.remove("transform.dense.bias");
    });
    assert!(end(&train(&half, &["task.tie_weights=false"])).contains("lacks transform.dense.bias"));
    let twice = change("twice", &|tensors| {
        let weight = tensors["cls.predictions.decoder.weight"].clone();
        tensors.insert("decoder.weight".to_owned(), weight);
    });
    assert!(end(&train(&twice, &["task.tie_weights=false"])).contains("is there twice"));

    let own = change("own", &|_| {});
    assert!(end(&train(&own, &["task.tie_weights=true"])).contains("task.tie_weights=false"));

    // the first layout says what the second says, but for its bias, which is 0
    let first = change("first", &rename);
    let second = change("second", &|tensors| {
        let zero = tensors["cls.predictions.bias"].zeros_like().unwrap();
        tensors.insert("cls.predictions.bias".to_owned(), zero);
    });
    let said = |model: &PathBuf| write(&made, model.clone(), "set").run().unwrap();
    assert_eq!(said(&first), said(&second));
    let losses = |model: &PathBuf| {
        let watch = Quiet::default();
        let out = format!("from-{}", model.file_name().unwrap().display());
        let train = Train { out: made.path(&out), ..train(model, &["task.tie_weights=false"]) };
        crate::train(&train, &watch).unwrap();
        watch.losses.into_inner().unwrap()
    };
    assert_eq!(losses(&first), losses(&second));
}

#[test]
fn constraints_and_files() {
    let made = Made::new();
    made.ran("run", &["schedule.epochs=2"], 1);
    let put = |name: &str, text: &str| {
        std::fs::write(made.path(name), text).unwrap();
        made.path(name)
    };
    let files = ConstraintFiles {
        boxes: put("boxes.tsv", "0\t[{\"rect\": [1, 2, 30, 40], \"class\": \"Ball\", \"conf\": 0.9}]\n"),
        words: put("words.tsv", "ball\tball\n"),
        forms: put("forms.tsv", "ball\tball,box\n"),
        hierarchy: put(
            "tree.json",
            r#"{"LabelName": "Entity", "Subcategory": [{"LabelName": "Ball"}, {"LabelName": "Box"}]}"#,
        ),
        satisfy: 2,
    };
    let asked = |files: &ConstraintFiles, set: &[&str]| Write {
        constraints: Some(files.clone()),
        set: set.iter().map(|set| (*set).to_owned()).collect(),
        ..write(&made, made.path("run/model"), "set")
    };
    let captioned = asked(&files, &[]).run().unwrap();
    let names = |one: &Captioned| one.caption.contains("ball") || one.caption.contains("box");
    assert!(names(&captioned[0]) && captioned.len() == 30, "{:?}", captioned[0]);

    let said = |files: &ConstraintFiles, set: &[&str]| asked(files, set).run().unwrap_err().to_string();
    let sheep = put("sheep.tsv", "0\t[{\"rect\": [1, 2, 30, 40], \"class\": \"Sheep\", \"conf\": 0.9}]\n");
    let others = put("others.tsv", "x7\t[{\"rect\": [1, 2, 30, 40], \"class\": \"Ball\", \"conf\": 0.9}]\n");
    for (files, set, part) in [
        (ConstraintFiles { boxes: sheep, ..files.clone() }, &[][..], "`sheep` is not in the hierarchy"),
        (ConstraintFiles { boxes: others, ..files.clone() }, &[], "of none of the data set's pictures"),
        (ConstraintFiles { words: put("w.tsv", "ball\tzebra\n"), ..files.clone() }, &[], "no token `zebra`"),
        (files.clone(), &["decoding.keep=2"], "is not beam search for one caption"),
        (files.clone(), &["decoding.kind=greedy"], "is not beam search for one caption"),
        (files.clone(), &["decoding.beans=2"], "beans"),
        (files, &["task.beams=2"], "is no key of decoding"),
    ] {
        let message = said(&files, set);
        assert!(message.contains(part), "{message} does not say {part}");
    }

    let missing = Write { key: Some("test/99".to_owned()), ..write(&made, made.path("run/model"), "set") };
    assert!(missing.run().unwrap_err().to_string().contains("`test/99` is not there"));
    let json = made.path("captions.json");
    Captioned::write(&captioned, &json).unwrap();
    let text = std::fs::read_to_string(&json).unwrap();
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[3]["image_id"], 3);
    let twice = [&captioned[..], &captioned[..1]].concat();
    assert!(Captioned::write(&twice, &json).unwrap_err().to_string().contains("`0` would stand there twice"));
    let tsv = made.path("captions.tsv");
    Captioned::write(&twice, &tsv).unwrap();
    let text = std::fs::read_to_string(&tsv).unwrap();
    let line: Vec<&str> = text.lines().next().unwrap().split('\t').collect();
    let list: serde_json::Value = serde_json::from_str(line[1]).unwrap();
    assert!(
        line[0] == "0" && list[0]["caption"] == captioned[0].caption && list[0]["conf"].is_f64(),
        "{text}"
    );
    assert_eq!(caption(0, 0).text, "A red box.");
}

#[test]
fn presets_are_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut n = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let task = name.split('-').next().unwrap();
        if !["captioning", "nocaps"].contains(&task) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let settings: finetune_harness::Settings<crate::Captioning> =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        settings.task.validate(&settings.data.layout).unwrap();
        assert_eq!(settings.task.self_critical.is_some(), name.ends_with("-scst"), "{name}");
        for head in ["Hardware: ", "Wall time: ", "Expected score: "] {
            assert!(text.contains(&format!("\n# {head}")), "{name} does not say {head}");
        }
        assert!(
            text.starts_with(&format!("# finetune {task} train --config finetune/configs/{name}.toml")),
            "{name}"
        );
        n += 1;
    }
    assert_eq!(n, 7);
}
