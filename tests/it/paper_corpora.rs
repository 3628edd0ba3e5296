//! The corpora of the papers from raw pictures, each through its spec, in small files of the official layouts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::binaries::{pipeline_command, run};
use data_specs::{Dataset, Sample, TextKind, Verify};
use finetune_regions::decoding::Picture;
use finetune_regions::thumbnail;
use serde_json::{Value, json};

/// A folder with the files of one corpus, and the command that builds it.
struct Corpus {
    folder: tempfile::TempDir,
    set: Vec<String>,
}

impl Corpus {
    /// Small pictures called `names`, each of its own colours.
    fn of(names: &[&str]) -> Corpus {
        let corpus = Corpus { folder: tempfile::tempdir().unwrap(), set: vec![] };
        for (at, name) in names.iter().enumerate() {
            corpus.write(&format!("pictures/{name}"), &jpeg(at));
        }
        corpus
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn set(mut self, key: &str, value: &str) -> Corpus {
        self.set.push(format!("{key}={value}"));
        self
    }

    /// Sets `key` to a file with this content.
    fn file(self, key: &str, name: &str, content: impl AsRef<[u8]>) -> Corpus {
        let path = self.write(name, content.as_ref());
        self.set(key, &path.display().to_string())
    }

    fn json(self, key: &str, content: Value) -> Corpus {
        let name = format!("{}.json", key.replace('.', "-"));
        self.file(key, &name, content.to_string())
    }

    fn pictures(self, key: &str) -> Corpus {
        let path = self.folder.path().join("pictures").display().to_string();
        self.set(key, &path)
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn command(&self, spec: &str) -> Command {
        let mut command = pipeline_command(["build", &format!("data-specs/{spec}.toml")]);
        for set in &self.set {
            command.args(["--set", set]);
        }
        command.arg("--out").arg(self.out());
        command
    }

    /// Builds the corpus `spec` with a small untrained backbone; its rows.
    fn build(self, spec: &str) -> Vec<Sample> {
        let corpus = self.set("backbone", "efficientnet_b0").set("regions.random_weights", "0");
        let (code, out, errors) = run(&mut corpus.command(&format!("corpora/{spec}")));
        assert_eq!(code, 0, "{spec}: {out}{errors}");
        rows(&corpus.out())
    }
}

fn jpeg(at: usize) -> Vec<u8> {
    let (width, height) = (48, 40);
    let rgb = (0..width * height * 3).map(|x| ((x as usize * (at + 3) / 7) % 256) as u8).collect();
    thumbnail(&Picture { width, height, rgb }, 1000).unwrap()
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn rows(out: &Path) -> Vec<Sample> {
    let dataset = Dataset::with(out, Verify::First, 1).unwrap();
    let shard = dataset.shard(0).unwrap();
    (0..shard.len()).map(|row| shard.row(row).unwrap()).collect()
}

fn tags(row: &Sample) -> Vec<&str> {
    row.images[0].tags.iter().map(|tag| tag.name.as_str()).collect()
}

fn texts(row: &Sample) -> Vec<&str> {
    row.texts.iter().map(|text| text.text.as_str()).collect()
}

#[test]
fn flickr30k() {
    let tokens = "36979.jpg#0\tTwo men talk .\n36979.jpg#1\tA talk .\n65567.jpg#0\tA dog runs .\n";
    let corpus = Corpus::of(&["36979.jpg", "65567.jpg"]).pictures("images");
    let rows = corpus.file("captions", "results.token", tokens).build("flickr30k");
    assert_eq!(
        (rows[0].key.as_str(), texts(&rows[0])),
        ("flickr30k/36979", vec!["Two men talk .", "A talk ."])
    );
    assert_eq!((rows.len(), rows[0].images[0].regions), (2, 19 * 23));
}

#[test]
fn conceptual_captions_and_sbu() {
    let entries: [(&str, &[u8]); 4] = [
        ("00001.jpg", &jpeg(1)),
        ("00001.txt", b"a very old car"),
        ("00002.jpg", &jpeg(2)),
        ("00002.txt", b"a cat"),
    ];
    let corpus = Corpus::of(&[]).file("images", "cc/0.tar", tar(&entries));
    let tars = corpus.folder.path().join("cc").display().to_string();
    let rows = corpus.set("captions", &tars).build("conceptual-captions");
    assert_eq!((rows[1].key.as_str(), texts(&rows[1])), ("cc/00002", vec!["a cat"]));

    // As published: the caption and the address that the picture had.
    let published = "a very old car\thttp://host/a/old-car.jpg?w=80\na cat\thttp://host/cat.jpg\n";
    let corpus = Corpus::of(&["old-car.jpg", "cat.jpg"]).pictures("images").set("images.format", "folder");
    let corpus = corpus.set("texts.captions.format", "table");
    let corpus = corpus.set("texts.captions.columns", "{image = 2, text = 1}");
    let rows = corpus.file("captions", "train.tsv", published).build("conceptual-captions");
    assert_eq!((rows[1].key.as_str(), texts(&rows[1])), ("cc/old-car", vec!["a very old car"]));

    let pasted = "http://static.flickr.com/1_2.jpg\tMy dog .\n";
    let corpus = Corpus::of(&["1_2.jpg"]).pictures("images").set("images.format", "folder");
    let corpus = corpus.set("texts.captions.format", "table");
    let corpus = corpus.set("texts.captions.columns", "{image = 1, text = 2}");
    let rows = corpus.file("captions", "sbu.tsv", pasted).build("sbu");
    assert_eq!((rows[0].key.as_str(), texts(&rows[0])), ("sbu/1_2", vec!["My dog ."]));
}

/// One picture with two objects, one of which is brown.
fn visual_genome(corpus: Corpus) -> Corpus {
    let object = |id: u32, name: &str, x: u32| json!({ "object_id": id, "names": [name], "x": x, "y": 2, "w": 10, "h": 9 });
    corpus
        .pictures("images")
        .json("objects", json!([{ "image_id": 7, "objects": [object(1, "tree", 1), object(2, "dog", 20)] }]))
        .json(
            "attributes",
            json!([{ "image_id": 7, "attributes": [{ "object_id": 2, "names": ["dog"], "attributes": ["brown"] }] }]),
        )
}

#[test]
fn visual_genome_and_its_questions() {
    let regions = json!([{ "id": 7, "regions": [
        { "region_id": 70, "image_id": 7, "phrase": "a brown dog", "x": 20, "y": 2, "width": 10, "height": 9 } ] }]);
    let rows = visual_genome(Corpus::of(&["7.jpg"])).json("descriptions", regions).build("visual-genome");
    assert_eq!((texts(&rows[0]), tags(&rows[0])), (vec!["a brown dog"], vec!["tree", "dog"]));
    let attributes = &rows[0].images[0].attributes;
    assert!(format!("{attributes:?}").contains("brown"), "{attributes:?}");

    let questions = json!([{ "id": 7, "qas": [
        { "qa_id": 700, "image_id": 7, "question": "What is brown?", "answer": "The dog.", "q_objects": [], "a_objects": [] } ] }]);
    let rows = visual_genome(Corpus::of(&["7.jpg"])).json("questions", questions).build("vg-qa");
    let text = &rows[0].texts[0];
    assert_eq!((text.kind, text.answers[0].text.as_str()), (TextKind::Question, "The dog."));
}

#[test]
fn vqa_on_pictures_with_instances() {
    let questions =
        json!({ "questions": [{ "image_id": 9, "question_id": 9001, "question": "What is it?" }] });
    let answers: Vec<Value> = (1..=10).map(|at| json!({ "answer": "dog", "answer_id": at })).collect();
    let annotations = json!({ "annotations": [{ "image_id": 9, "question_id": 9001, "answers": answers,
        "question_type": "what is", "answer_type": "other", "multiple_choice_answer": "dog" }] });
    let instances = json!({ "images": [{ "id": 9, "width": 48, "height": 40 }], "categories": [{ "id": 18, "name": "dog" }],
        "annotations": [{ "image_id": 9, "category_id": 18, "bbox": [1, 2, 30, 20], "iscrowd": 0 }] });
    let corpus =
        Corpus::of(&["COCO_train2014_000000000009.jpg"]).pictures("images").json("instances", instances);
    let rows = corpus.json("questions", questions).json("annotations", annotations).build("vqa-v2");
    assert_eq!((rows[0].texts[0].answers.len(), tags(&rows[0])), (10, vec!["dog"]));
}

#[test]
fn gqa_on_pictures_with_scene_graphs() {
    let graphs = json!({ "23": { "width": 48, "height": 40, "objects": {
        "1": { "name": "tree", "x": 1, "y": 1, "w": 9, "h": 9, "attributes": ["green"], "relations": [] } } } });
    let questions = json!({ "0150": { "imageId": "23", "question": "Is it green?", "answer": "yes", "isBalanced": true,
        "fullAnswer": "Yes, it is.", "types": { "structural": "verify" }, "entailed": [], "semantic": [] } });
    let corpus = Corpus::of(&["23.jpg"]).pictures("images").json("scene_graphs", graphs);
    let rows = corpus.json("questions", questions).build("gqa");
    assert_eq!((rows[0].texts[0].answers[0].text.as_str(), tags(&rows[0])), ("yes", vec!["tree"]));
}

#[test]
fn nlvr2_on_pictures() {
    let line = json!({ "identifier": "dev-1-0-0", "sentence": "Two dogs.", "label": "True" }).to_string();
    let corpus = Corpus::of(&["dev-1-0-img0.png", "dev-1-0-img1.png"]).pictures("images");
    let rows = corpus.file("statements", "dev.json", line).build("nlvr2");
    assert_eq!((rows[0].images.len(), rows[0].texts[0].label), (2, Some(1)));
    assert_ne!(rows[0].images[0].features, rows[0].images[1].features, "left and right");
}

/// Boxes of OpenImages for the picture `69be53`.
fn open_images(corpus: Corpus) -> Corpus {
    let header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside";
    let boxes = format!("{header}\n69be53,xclick,/m/0bt9lr,1,0.1,0.6,0.2,0.9,0,0,0,0,0\n");
    corpus.pictures("images").file("boxes", "bbox.csv", boxes).file(
        "classes",
        "classes.csv",
        "/m/0bt9lr,Dog\n",
    )
}

#[test]
fn nocaps_and_open_images() {
    let captions = json!({
        "images": [{ "id": 0, "open_images_id": "69be53", "file_name": "69be53.jpg", "domain": "near-domain" }],
        "annotations": [{ "image_id": 0, "id": 1, "caption": "A dog." }] });
    let corpus = open_images(Corpus::of(&["69be53.jpg"])).set("ids", "file-names");
    let rows = corpus.json("captions", captions).build("nocaps");
    assert_eq!(
        (rows[0].key.as_str(), texts(&rows[0]), tags(&rows[0])),
        ("nocaps/69be53", vec!["A dog."], vec!["Dog"])
    );
    assert!(rows[0].images[0].tags[0].origin == "openimages");
    let extra: Value = serde_json::from_str(rows[0].extra.as_ref().unwrap()).unwrap();
    assert_eq!((&extra["id"], &extra["domain"]), (&json!(0), &json!("near-domain")));

    let line = json!({ "image_id": "69be53", "caption": "generated" }).to_string();
    let corpus = open_images(Corpus::of(&["69be53.jpg", "a0.jpg"]));
    let rows = corpus.file("captions", "captions.jsonl", line).build("open-images");
    assert_eq!((rows.len(), texts(&rows[0]), texts(&rows[1]).len()), (2, vec!["generated"], 0));
}

#[test]
fn ones_own_table() {
    let table = "file_name,caption\n\"a.jpg\",\"one, and\ntwo\"\nsub/b.jpg,three\n";
    let corpus = Corpus::of(&["a.jpg", "sub/b.jpg"]).pictures("images").set("image", "file_name");
    let rows = corpus.file("texts", "captions.csv", table).build("table");
    assert_eq!((rows[0].key.as_str(), texts(&rows[0])), ("own/a", vec!["one, and\ntwo"]));
    assert_eq!((rows[1].key.as_str(), texts(&rows[1])), ("own/b", vec!["three"]));
}

#[test]
fn a_composition_builds_what_it_is_given_and_names_the_rest() {
    let pictures = |corpus: &Corpus| corpus.folder.path().join("pictures").display().to_string();
    let corpus = Corpus::of(&["36979.jpg", "COCO_val2014_000000000009.jpg"]);
    let folder = pictures(&corpus);
    let karpathy = json!({ "images": [{ "filename": "36979.jpg", "imgid": 0, "split": "train",
        "sentences": [{ "raw": "Two men.", "imgid": 0, "sentid": 0, "tokens": ["two", "men"] }] }] });
    let graphs = json!({ "COCO_val2014_000000000009": { "width": 48, "height": 40, "objects": {} } });
    let questions = json!({ "1": { "imageId": "COCO_val2014_000000000009", "question": "Is it?", "answer": "no",
        "isBalanced": true, "fullAnswer": "No.", "types": {}, "entailed": [], "semantic": [] } });
    let corpus = corpus
        .set("flickr30k.images", &folder)
        .json("flickr30k.captions", karpathy)
        .set("gqa.images", &folder)
        .json("gqa.scene_graphs", graphs)
        .json("gqa.questions", questions)
        .set("all.backbone", "efficientnet_b0")
        .set("all.regions.random_weights", "0");
    let mut command = corpus.command("compositions/oscar");
    let (code, out, errors) = run(command.arg("--json"));
    assert_eq!(code, 0, "{out}{errors}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["left_out"], json!(["coco", "cc", "sbu", "vqa", "vg-qa"]));
    assert_eq!(told["sources"]["flickr30k"]["rows"]["written"], 1);
    for (source, key) in [("flickr30k", "flickr30k/36979"), ("gqa", "gqa/COCO_val2014_000000000009")] {
        let rows = rows(&corpus.out().join(source));
        assert_eq!((rows.len(), rows[0].key.as_str()), (1, key));
    }
    // Again, for a person: everything is there already.
    let (code, out, _) = run(&mut corpus.command("compositions/oscar"));
    assert!(
        code == 0
            && out.contains("left out  coco: --set coco.backbone=...")
            && out.contains("29,000 pictures"),
        "{out}"
    );

    let corpus = Corpus::of(&[]);
    let (code, _, errors) = run(&mut corpus.command("compositions/oscar"));
    assert!(code == 2 && errors.contains("nothing is set") && errors.contains("vg-qa"), "{errors}");
    let corpus = Corpus::of(&[]).set("flickr.images", "x");
    let (code, _, errors) = run(&mut corpus.command("compositions/oscar"));
    assert!(code == 2 && errors.contains("one of: all, coco"), "{errors}");
}
