//! Single questions: a picture with its regions in, an answer out, the same to the last bit as through shards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::binaries::{finetune_command, pipeline_command, run};
use data_specs::{CorpusSpec, Dataset, Picture, Sample};
use finetune_regions::decoding::{Limits, Picture as Pixels, decode};
use finetune_regions::detector::{Detector, DetectorSettings};
use finetune_regions::encode_png;
use serde_json::{Value, json};

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A drawn corpus, its shards, and a moment of training of each task.
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let corpus = made.path("corpus");
        succeed(pipeline_command(["synth", "--images", "60", "--seed", "3", "--out"]).arg(&corpus));
        for spec in ["vqa-train", "vqa-val", "nlvr2-train", "nlvr2-dev", "captions-train", "captions-val"] {
            let mut build = pipeline_command(["build"]);
            build.arg(made.spec(spec)).args(["--set", "backbone=efficientnet_half", "--out"]);
            succeed(build.arg(made.path(spec)));
        }
        let mut words = pipeline_command(["vocabulary"]);
        words.arg(made.path("vqa-train")).arg(made.path("captions-train")).arg("--out");
        succeed(words.arg(made.path("words")));
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn spec(&self, name: &str) -> PathBuf {
        self.path("corpus/specs").join(format!("{name}.toml"))
    }

    /// Where the pictures of a spec are.
    fn images(&self, spec: &str) -> PathBuf {
        CorpusSpec::load(&self.spec(spec), &[]).unwrap().images.unwrap().path.unwrap()
    }

    fn train(&self, task: &str, data: &str) -> PathBuf {
        let out = self.path(&format!("run-{task}"));
        let mut command = finetune_command([task, "train", "--config"]);
        command.arg(format!("finetune/configs/{task}-small.toml"));
        command.arg("--data").arg(self.path(data)).arg("--out").arg(&out);
        let sizes =
            "{ hidden_size = 32, num_hidden_layers = 2, num_attention_heads = 2, intermediate_size = 64 }";
        for set in [
            format!("model.tokenizer={}", self.path("words").display()),
            format!("model.sizes={sizes}"),
            "data.held_out=[]".to_owned(),
            "batch.micro=16".to_owned(),
            "schedule.epochs=1".to_owned(),
        ] {
            command.arg("--set").arg(set);
        }
        match task {
            "vqa" => command.args(["--set", "task.minimum=2"]),
            "captioning" => command.args(["--set", "task.decoding.beams=2"]),
            _ => &mut command,
        };
        succeed(command.arg("--json"));
        out.join("model")
    }

    /// Rows of a data set that have texts.
    fn rows(&self, data: &str) -> Vec<Sample> {
        let data = Dataset::open(&self.path(data)).unwrap();
        let mut rows = Vec::new();
        for shard in 0..data.manifest().shards.len() {
            let reader = data.shard(shard).unwrap();
            rows.extend((0..reader.len()).map(|row| reader.row(row).unwrap()));
        }
        rows.retain(|row| !row.texts.is_empty());
        rows
    }

    /// Writes what a row has of a picture as a file of regions.
    fn regions(&self, picture: &Picture, path: &Path) {
        let numbers: Vec<f32> =
            picture.features.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let width = numbers.len() / picture.regions as usize;
        // a picture in which nobody marked anything is one region without a name
        let names: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
        let file = json!({
            "width": picture.width, "height": picture.height, "boxes": picture.boxes, "names": names,
            "vectors": numbers.chunks(width).collect::<Vec<_>>(),
        });
        fs::write(path, file.to_string()).unwrap();
    }

    /// The file of a picture.
    fn file(&self, spec: &str, id: &str) -> PathBuf {
        let entries = fs::read_dir(self.images(spec)).unwrap().map(|entry| entry.unwrap().path());
        let mut files = entries.filter(|path| path.file_stem().is_some_and(|stem| stem == id));
        files.next().unwrap_or_else(|| panic!("{id} is there"))
    }
}

fn predict(task: &str, model: &Path) -> Command {
    let mut command = finetune_command([task, "predict", "--json", "--model"]);
    command.arg(model);
    command
}

fn one(value: Value) -> Value {
    value.as_array().unwrap()[0].clone()
}

/// A picture and its regions give the very numbers that their row gives, and the documented commands run.
#[test]
fn a_question_is_answered_as_its_row_is() {
    let made = Made::new();
    answers(&made);
    retrieval(&made);
    detected(&made);
    hostile(&made);
    documented(&made);
}

fn answers(made: &Made) {
    let file = made.path("regions.json");

    let model = made.train("vqa", "vqa-train");
    for row in made.rows("vqa-val").iter().take(3) {
        made.regions(&row.images[0], &file);
        let mut by_row = predict("vqa", &model);
        by_row.arg("--data").arg(made.path("vqa-val")).args(["--key", &row.key, "--batch", "1"]);
        let by_row = one(parsed(&succeed(&mut by_row)));
        let mut asked = predict("vqa", &model);
        asked.arg("--image").arg(made.file("vqa-val", &row.images[0].image_id));
        asked.args(["--question", by_row["text"].as_str().unwrap()]).arg("--regions").arg(&file);
        let answer = parsed(&succeed(&mut asked));
        assert_eq!(answer["answer"], by_row["answer"]);
        assert_eq!(answer["confidence"].as_f64(), by_row["confidence"].as_f64(), "{answer}");
        assert_eq!(answer["tags"][0].as_array().unwrap().len(), row.images[0].tags.len());
        assert!(answer.get("timings").is_none(), "{answer}");
        // the pixels are not needed where the regions say how large the picture is
        let mut without = predict("vqa", &model);
        without.args(["--question", by_row["text"].as_str().unwrap(), "--timings"]).arg("--regions");
        let without = parsed(&succeed(without.arg(&file)));
        assert_eq!(without["confidence"], answer["confidence"]);
        assert!(without["timings"]["model"].as_f64().unwrap() > 0.0, "{without}");
    }

    let model = made.train("nlvr2", "nlvr2-train");
    let row = &made.rows("nlvr2-dev")[0];
    let right = made.path("right.json");
    made.regions(&row.images[0], &file);
    made.regions(&row.images[1], &right);
    let mut by_row = predict("nlvr2", &model);
    by_row.arg("--data").arg(made.path("nlvr2-dev")).args(["--key", &row.key, "--batch", "1"]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    let mut asked = predict("nlvr2", &model);
    asked.arg("--left").arg(made.file("nlvr2-dev", &row.images[0].image_id));
    asked.arg("--right").arg(made.file("nlvr2-dev", &row.images[1].image_id));
    asked.args(["--statement", by_row["text"].as_str().unwrap()]);
    let answer = parsed(&succeed(asked.arg("--regions").arg(&file).arg("--regions").arg(&right)));
    assert_eq!((&answer["answer"], &answer["confidence"]), (&by_row["answer"], &by_row["confidence"]));
    assert_eq!(answer["images"].as_array().unwrap().len(), 2);

    let model = made.train("captioning", "captions-train");
    let row = &made.rows("captions-val")[0];
    made.regions(&row.images[0], &file);
    let mut by_row = predict("captioning", &model);
    by_row.arg("--data").arg(made.path("captions-val")).args(["--key", &row.key, "--batch", "1"]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    let mut asked = predict("captioning", &model);
    asked.arg("--image").arg(made.file("captions-val", &row.images[0].image_id));
    let answer = parsed(&succeed(asked.arg("--regions").arg(&file)));
    assert_eq!((&answer["caption"], &answer["confidence"]), (&by_row["caption"], &by_row["confidence"]));

    mistakes(made, &model, &file, row);
}

fn mistakes(made: &Made, model: &Path, file: &Path, row: &Sample) {
    let image = made.file("captions-val", &row.images[0].image_id);
    // regions of another width than the model's: both numbers, and what the model learned from
    let narrow = made.path("narrow.json");
    fs::write(&narrow, r#"{"width": 9, "height": 9, "boxes": [[0, 0, 9, 9]], "vectors": [[1, 2, 3]]}"#)
        .unwrap();
    let (code, _, errors) = run(predict("captioning", model).arg("--regions").arg(&narrow));
    let trained = made.path("captions-train").display().to_string();
    assert!(code == 3 && errors.contains("are 3 wide") && errors.contains(&trained), "{code}: {errors}");
    assert!(errors.contains("numbers of efficientnet_half"), "{errors}");
    // the size of another picture; no picture; no question; both a picture and a data set
    fs::write(&narrow, r#"{"width": 9, "height": 9, "boxes": [], "vectors": []}"#).unwrap();
    let with = |arguments: &[&str]| {
        let mut command = predict("captioning", model);
        command.arg("--image").arg(&image).args(arguments);
        run(&mut command)
    };
    let (code, _, errors) = with(&["--regions", narrow.to_str().unwrap()]);
    assert!(code == 3 && errors.contains("is [9, 9], and the picture has"), "{code}: {errors}");
    let (code, _, errors) = with(&["--data", "x"]);
    assert!(code == 2 && errors.contains("cannot be used with"), "{code}: {errors}");
    let (code, _, errors) =
        run(predict("captioning", model).arg("--image").arg(file).arg("--regions").arg(file));
    assert!(code == 3 && errors.contains("not a JPEG, PNG"), "{code}: {errors}");
    let (code, _, errors) = run(&mut predict("captioning", model));
    assert!(code == 2 && errors.contains("--data"), "{code}: {errors}");
    let (code, _, errors) = run(predict("vqa", model).arg("--image").arg(&image));
    assert!(code == 2 && errors.contains("--question"), "{code}: {errors}");
}

/// Both directions of retrieval, beside a data set of the same pictures and texts.
fn retrieval(made: &Made) {
    let model = made.train("text-retrieval", "captions-train");
    let rows = made.rows("captions-val");
    let texts: Vec<&str> = rows.iter().flat_map(|row| &row.texts).map(|text| text.text.as_str()).collect();
    let list = made.path("texts.txt");
    fs::write(&list, texts.join("\n")).unwrap();
    let file = made.path("regions.json");
    made.regions(&rows[0].images[0], &file);
    let top = texts.len().to_string();
    let mut by_row = predict("text-retrieval", &model);
    by_row.arg("--data").arg(made.path("captions-val")).args(["--key", &rows[0].key, "--top", &top]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    let mut asked = predict("text-retrieval", &model);
    asked
        .arg("--image")
        .arg(made.file("captions-val", &rows[0].images[0].image_id))
        .arg("--texts")
        .arg(&list);
    let found = parsed(&succeed(asked.args(["--top", &top]).arg("--regions").arg(&file)));
    let pairs = |list: &Value, name: &str| -> Vec<(String, f64)> {
        let one =
            |found: &Value| (found[name].as_str().unwrap().to_owned(), found["confidence"].as_f64().unwrap());
        list["found"].as_array().unwrap().iter().map(one).collect()
    };
    assert_eq!(pairs(&found, "name"), pairs(&by_row, "text"));

    // pictures: a folder of them with a file of regions each, and a file that is none
    let (images, regions) = (made.path("photos"), made.path("their-regions"));
    fs::create_dir(&images).unwrap();
    fs::create_dir(&regions).unwrap();
    for row in &rows {
        let from = made.file("captions-val", &row.images[0].image_id);
        let name = from.file_name().unwrap();
        fs::copy(&from, images.join(name)).unwrap();
        made.regions(&row.images[0], &regions.join(name).with_extension("json"));
    }
    fs::write(images.join("notes.txt"), "no picture").unwrap();
    let text = &rows[1].texts[0];
    let top = rows.len().to_string();
    let mut by_row = predict("image-retrieval", &model);
    by_row.arg("--data").arg(made.path("captions-val")).args(["--key", &text.id, "--top", &top]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    let sheet = made.path("sheet.png");
    let mut asked = predict("image-retrieval", &model);
    asked.args(["--query", &text.text, "--top", &top]).arg("--images").arg(&images);
    let found = parsed(&succeed(asked.arg("--regions").arg(&regions).arg("--sheet").arg(&sheet)));
    let ids = |pairs: Vec<(String, f64)>| -> Vec<(String, f64)> {
        let id = |name: &str| name.rsplit('/').next().unwrap().split('.').next().unwrap().to_owned();
        pairs.into_iter().map(|(name, confidence)| (id(&name), confidence)).collect()
    };
    assert_eq!(ids(pairs(&found, "name")), ids(pairs(&by_row, "key")));
    assert_eq!(found["pictures"], rows.len());
    let refused = found["refused"].as_array().unwrap();
    assert!(refused.len() == 1 && refused[0][0] == "notes.txt", "{refused:?}");
    let png = fs::read(&sheet).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{} bytes", png.len());
}

/// A detector with two classes, of the width that the models read, and untrained.
const DETECTOR: &str = r#"
architecture = "efficientnet_half"
input = { short = 64, long_at_most = 96, mean = [0.5, 0.5, 0.5], deviation = [0.25, 0.25, 0.25] }
anchors = { sizes = [16.0, 32.0], ratios = [1.0] }
proposals = { hidden = 16, before = 50, after = 20, overlap = 0.7 }
regions = { bins = 4 }
boxes = { weights = [10.0, 10.0, 5.0, 5.0] }
report = { filter = "per_class", overlap = 0.5, score = 0.2, at_least = 3, at_most = 7 }
attributes = { embedding = 4, hidden = 8, score = 0.05 }
"#;

/// Shards that a detector looked for have what a single question sees, and are answered as it is.
fn built(made: &Made, detector: &Path, row: &Sample, asked: &Value) {
    let set = |folder: &Path| {
        let mut build = pipeline_command(["build"]);
        build.arg(made.spec("captions-val")).arg("--set");
        build.arg(format!("regions.detector={}", folder.display())).arg("--out").arg(made.path("seen"));
        build
    };
    succeed(&mut set(detector));
    let found = made.rows("seen").into_iter().find(|one| one.key == row.key).unwrap();
    let tags: Vec<&str> = found.images[0].tags.iter().map(|tag| tag.name.as_str()).collect();
    let names: Vec<&str> =
        asked["tags"].as_array().unwrap().iter().map(|tag| tag[0].as_str().unwrap()).collect();
    assert_eq!(tags, names);
    assert!(found.images[0].tags.iter().all(|tag| tag.origin == "detector" && tag.region.is_some()));
    assert!(!found.images[0].attributes.is_empty());
    let mut by_row = predict("captioning", &made.path("run-captioning/model"));
    by_row.arg("--data").arg(made.path("seen")).args(["--key", &row.key, "--batch", "1"]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    assert_eq!((&asked["caption"], &asked["confidence"]), (&by_row["caption"], &by_row["confidence"]));

    let computed = Dataset::open(&made.path("seen")).unwrap().manifest().computed.clone().unwrap();
    let opened = Detector::open(detector).unwrap();
    assert_eq!((computed.provider.as_str(), computed.sides), ("detector", [64, 96]));
    assert_eq!(computed.weights, opened.fingerprint().unwrap());
    let selection: Value = serde_json::from_str(&computed.selection.unwrap()).unwrap();
    assert_eq!((&selection["filter"], &selection["at_most"]), (&json!("per_class"), &json!(7)));

    // another detector is another plan; a folder that is none
    let settings: DetectorSettings = toml::from_str(DETECTOR).unwrap();
    let names = [opened.class_names(), opened.attribute_names()].map(<[String]>::to_vec);
    let [classes, attributes] = names;
    let other = made.path("other-detector");
    Detector::untrained(settings, classes, attributes, 4).unwrap().save(&other).unwrap();
    let (code, _, errors) = run(&mut set(&other));
    assert!(code == 2 && errors.contains("computed"), "{code}: {errors}");
    let (code, _, errors) = run(&mut set(&made.path("corpus")));
    assert!(
        code == 2 && errors.contains("regions.detector") && errors.contains("detector.toml"),
        "{code}: {errors}"
    );
}

/// The cells of a detector's map, of which a model is asked as its rows are.
fn cells(made: &Made, detector: &Path, row: &Sample) {
    let mut build = pipeline_command(["build"]);
    build.arg(made.spec("captions-val")).args(["--set", "regions.provider=grid", "--set"]);
    build.arg(format!("regions.detector={}", detector.display())).arg("--out").arg(made.path("cells"));
    succeed(&mut build);
    let found = made.rows("cells").into_iter().find(|one| one.key == row.key).unwrap();
    let picture = &found.images[0];
    // short side of 64 pixels, long side of at most 96: two by three cells at most
    assert!((2..=6).contains(&picture.regions), "{}", picture.regions);
    let names: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert!(names.iter().all(|name| ["dog", "cat"].contains(name)), "{names:?}");
    assert!(!names.is_empty() && picture.tags.iter().all(|tag| tag.origin == "detector"));
    let computed = Dataset::open(&made.path("cells")).unwrap().manifest().computed.clone().unwrap();
    assert_eq!((computed.provider.as_str(), computed.selection), ("grid", None));
    assert_eq!(computed.weights, Detector::open(detector).unwrap().fingerprint().unwrap());

    let model = made.path("run-captioning/model");
    let mut by_row = predict("captioning", &model);
    by_row.arg("--data").arg(made.path("cells")).args(["--key", &row.key, "--batch", "1"]);
    let by_row = one(parsed(&succeed(&mut by_row)));
    let mut asked = predict("captioning", &model);
    asked.arg("--image").arg(made.file("captions-val", &row.images[0].image_id));
    let asked = parsed(&succeed(asked.arg("--detector").arg(detector).arg("--grid")));
    assert_eq!((&asked["caption"], &asked["confidence"]), (&by_row["caption"], &by_row["confidence"]));
    assert_eq!(asked["tags"].as_array().unwrap().len(), names.len());
}

/// What a detector sees is asked about as if somebody else had written it down.
fn detected(made: &Made) {
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let settings: DetectorSettings = toml::from_str(DETECTOR).unwrap();
    let detector = Detector::untrained(settings, names(&["dog", "cat"]), names(&["red", "big"]), 3).unwrap();
    let folder = made.path("detector");
    detector.save(&folder).unwrap();
    let model = made.path("run-captioning/model");
    let row = &made.rows("captions-val")[1];
    let image = made.file("captions-val", &row.images[0].image_id);
    let pixels = decode(&fs::read(&image).unwrap(), &Limits::default()).unwrap();
    let found = detector.detect(&pixels).unwrap();
    assert!(found.boxes.len() >= 3, "{found:?}");
    let width = detector.feature_width();
    let file = made.path("detected.json");
    let seen = json!({
        "width": pixels.width, "height": pixels.height, "boxes": found.boxes, "scores": found.scores,
        "names": found.classes.iter().map(|class| &detector.class_names()[*class]).collect::<Vec<_>>(),
        "vectors": found.vectors.chunks(width).collect::<Vec<_>>(),
    });
    fs::write(&file, seen.to_string()).unwrap();
    let ask = |more: &[&Path]| {
        let mut command = predict("captioning", &model);
        command.arg("--image").arg(&image).args(more);
        run(&mut command)
    };
    let (code, by_detector, errors) = ask(&["--detector".as_ref(), &folder]);
    assert_eq!(code, 0, "{errors}");
    let by_file = ask(&["--regions".as_ref(), &file]).1;
    assert_eq!(parsed(&by_detector), parsed(&by_file));
    assert_eq!(parsed(&by_detector)["tags"].as_array().unwrap().len(), found.boxes.len());

    built(made, &folder, row, &parsed(&by_detector));
    cells(made, &folder, row);

    // a folder of pictures, one of them no picture
    let mut asked = predict("image-retrieval", &made.path("run-text-retrieval/model"));
    asked.args(["--query", "a dog", "--top", "2"]).arg("--images").arg(made.path("photos"));
    let ranked = parsed(&succeed(asked.arg("--detector").arg(&folder)));
    assert_eq!(
        (ranked["found"].as_array().unwrap().len(), ranked["refused"].as_array().unwrap().len()),
        (2, 1)
    );

    // one pixel is seen, or refused with the reason; a detector of another width is refused before anything is looked at
    let dot = made.path("dot.png");
    fs::write(&dot, encode_png(&Pixels { width: 1, height: 1, rgb: vec![9; 3] }).unwrap()).unwrap();
    let mut asked = predict("captioning", &model);
    let (code, out, errors) = run(asked.arg("--image").arg(&dot).arg("--detector").arg(&folder));
    assert!(code == 0 && parsed(&out)["caption"].is_string(), "{code}: {errors}");
    let wide = DETECTOR.replace("efficientnet_half", "resnext26_16x4d+w0.25+d0.5");
    let settings: DetectorSettings = toml::from_str(&wide).unwrap();
    let other = Detector::untrained(settings, names(&["dog"]), names(&["red"]), 3).unwrap();
    let folder = made.path("wide");
    other.save(&folder).unwrap();
    let (code, _, errors) = ask(&["--detector".as_ref(), &folder]);
    let told = format!("are {} wide", other.feature_width());
    assert!(code == 3 && errors.contains(&told) && errors.contains("captions-train"), "{code}: {errors}");
}

/// Every kind of file that is a picture, in one folder with some that are none: each is looked at or refused with the reason.
fn hostile(made: &Made) {
    let folder = made.path("hostile");
    fs::create_dir(&folder).unwrap();
    let cases = conformance::binaries::root().join("finetune/regions/golden/pictures/cases.json");
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(cases).unwrap()).unwrap();
    for case in &cases {
        let file = base64_simd::STANDARD.decode_to_vec(case["file"].as_str().unwrap()).unwrap();
        fs::write(folder.join(case["name"].as_str().unwrap()), file).unwrap();
    }
    for kind in ["jpeg-cmyk", "jpeg-grey", "png-rgb-16", "png-RGBA", "gif-animated", "webp-animated"] {
        assert!(folder.join(kind).is_file(), "{kind} is among them");
    }
    for (name, width, height) in [("wide", 20_000, 3), ("high", 2, 20_000), ("dot", 1, 1)] {
        let rgb = (0..width * height * 3).map(|at| (at % 251) as u8).collect();
        fs::write(folder.join(name), encode_png(&Pixels { width, height, rgb }).unwrap()).unwrap();
    }
    let wide = fs::read(folder.join("wide")).unwrap();
    fs::write(folder.join("cut"), &wide[..wide.len() / 2]).unwrap();
    // 65535 x 65535 pixels, says the header
    let mut bomb = fs::read(folder.join("dot")).unwrap();
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    fs::write(folder.join("bomb"), bomb).unwrap();
    fs::write(folder.join("empty"), "").unwrap();

    let mut asked = predict("image-retrieval", &made.path("run-text-retrieval/model"));
    asked.args(["--query", "a dog", "--top", "1000"]).arg("--images").arg(&folder);
    let ranked = parsed(&succeed(asked.arg("--detector").arg(made.path("detector"))));
    let refused: Vec<(&str, &str)> = ranked["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one[0].as_str().unwrap(), one[1].as_str().unwrap()))
        .collect();
    assert_eq!(
        refused.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["bomb", "cut", "empty"],
        "{refused:?}"
    );
    assert!(refused.iter().all(|(_, why)| why.contains("is refused: ")), "{refused:?}");
    let found = ranked["found"].as_array().unwrap();
    assert_eq!(found.len(), cases.len() + 3);
    assert!(found.iter().all(|one| (0.0..=1.0).contains(&one["confidence"].as_f64().unwrap())));

    // and drawn, with whatever is found in a strip
    for name in ["wide", "high", "dot", "jpeg-cmyk"] {
        let out = made.path(&format!("drawn-{name}"));
        let mut command = finetune_command(["detector", "predict", "--model"]);
        command.arg(made.path("detector")).arg("--image").arg(folder.join(name)).arg("--out").arg(&out);
        succeed(&mut command);
        assert!(fs::read(out.join(format!("{name}.png"))).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
}

/// The commands of docs/own-pictures.md, in a folder where everything is called as there.
fn documented(made: &Made) {
    let folder = made.path("as-documented");
    fs::create_dir(&folder).unwrap();
    let link = |from: &Path, name: &str| std::os::unix::fs::symlink(from, folder.join(name)).unwrap();
    for (task, name) in
        [("captioning", "captioner"), ("vqa", "vqa"), ("nlvr2", "nlvr2"), ("text-retrieval", "retrieval")]
    {
        link(&made.path(&format!("run-{task}/model")), name);
    }
    let rows = made.rows("captions-val");
    for (row, name) in rows.iter().zip(["photo", "other"]) {
        let file = made.file("captions-val", &row.images[0].image_id);
        fs::copy(&file, folder.join(format!("{name}.jpg"))).unwrap();
        made.regions(&row.images[0], &folder.join(format!("{name}.json")));
    }
    link(&made.path("photos"), "photos");
    link(&made.path("their-regions"), "regions");
    link(&made.path("texts.txt"), "texts.txt");
    link(&made.path("detector"), "detector");
    let text = fs::read_to_string(conformance::binaries::root().join("docs/own-pictures.md")).unwrap();
    let mut ran = 0;
    for line in text.lines().filter(|line| line.starts_with("finetune ")) {
        let mut arguments = Vec::new();
        for (number, part) in line.split('\'').enumerate() {
            // single quotes keep words together, as a shell does
            match number % 2 {
                1 => arguments.push(part.to_owned()),
                _ => arguments.extend(part.split_whitespace().map(str::to_owned)),
            }
        }
        let out = succeed(finetune_command(&arguments[1..]).current_dir(&folder));
        assert!(out.contains('%') || out.starts_with('{'), "{line}: {out}");
        ran += 1;
    }
    assert!(ran >= 5 && folder.join("found.png").is_file(), "{ran} commands ran");
}
