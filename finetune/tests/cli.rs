//! The `finetune score` doors, driven on small files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, text: impl ToString) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text.to_string()).expect("writing");
        path
    }
}

fn finetune(arguments: &[&dyn AsRef<Path>]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finetune"));
    command.arg("score").args(arguments.iter().map(|argument| argument.as_ref()));
    command.output().expect("the command runs")
}

fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn fails(output: &Output, code: i32, part: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.contains(part), "{message}");
    assert!(output.stdout.is_empty());
}

fn captions(folder: &Folder) -> (PathBuf, PathBuf) {
    let references = json!({
        "images": [
            {"id": 1, "domain": "in-domain"}, {"id": 2, "domain": "out-domain"}, {"id": 3, "domain": "out-domain"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "caption": "A dog runs on the grass."},
            {"id": 2, "image_id": 1, "caption": "The dog's running!"},
            {"id": 3, "image_id": 2, "caption": "Two cats sleep on a red sofa."},
            {"id": 4, "image_id": 3, "caption": "Nothing."},
        ],
    });
    let candidates = json!([
        {"image_id": 2, "caption": "two cats sleep on a red sofa"},
        {"image_id": 1, "caption": "a dog sleeps"},
    ]);
    (folder.write("r.json", references), folder.write("c.json", candidates))
}

#[test]
fn captioning() {
    let folder = Folder::new();
    let (references, candidates) = captions(&folder);
    let base: [&dyn AsRef<Path>; 6] =
        [&"captioning", &"--references", &references, &"--candidates", &candidates, &"--json"];
    let got = object(&finetune(&base));
    assert_eq!(got["bleu_stats"]["testlen"], 10);
    let counts = json!({
        "images_without_candidate": 1, "captions_of_unlisted_images": 0, "candidates_without_words": 0,
    });
    assert_eq!(got["counts"], counts);
    assert_eq!(got["per_image"]["2"]["ROUGE_L"], 1.0);
    assert!((got["per_image"]["2"]["CIDEr"].as_f64().expect("a number") - 10.0).abs() < 1e-9);
    let keys: Vec<&String> = got["corpus"].as_object().expect("scores").keys().collect();
    assert_eq!(keys, ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr", "CIDEr_plain"]);

    let got = object(&finetune(&[&base[..], &[&"--metrics", &"meteor,rouge"]].concat()));
    assert!(got["corpus"]["METEOR"].as_f64().expect("a number") > 0.0);
    assert_eq!(got["meteor"]["used"], json!(["exact", "stem"]));
    assert_eq!(got["meteor"]["absent"], json!(["synonym", "paraphrase", "function words", "prefixes"]));
    assert_eq!(got["bleu_stats"], Value::Null);
    fails(&finetune(&[&base[..], &[&"--metrics", &"spice"]].concat()), 2, "--spice-jar");
    fails(&finetune(&[&base[..], &[&"--metrics", &"spise"]].concat()), 2, "spise");

    let table = finetune(&base[..5]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("corpus / CIDEr_plain"));
}

#[test]
fn captioning_with_given_frequencies() {
    let folder = Folder::new();
    let (references, candidates) = captions(&folder);
    let out = folder.0.path().join("df.json");
    let counted = object(&finetune(&[
        &"document-frequencies",
        &"--references",
        &references,
        &"--out",
        &out,
        &"--eos",
        &"--json",
    ]));
    assert_eq!(counted["images"], 3);
    let got = object(&finetune(&[
        &"captioning",
        &"--references",
        &references,
        &"--candidates",
        &candidates,
        &"--document-frequencies",
        &out,
        &"--metrics",
        &"cider",
        &"--json",
    ]));
    assert!((got["per_image"]["2"]["CIDErD"].as_f64().expect("a number") - 10.0).abs() < 1e-9);
}

#[test]
fn bad_captions() {
    let folder = Folder::new();
    let (references, _) = captions(&folder);
    for (text, part) in [
        (json!([{"image_id": 9, "caption": "a"}]), "id 9 is not in the references"),
        (
            json!([{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]),
            "id 1 stands there more than once",
        ),
        (json!([{"image_id": 1, "caption": 5}]), "id 1 is a number"),
        (json!({"1": "a"}), "a list of {image_id, caption}"),
        (json!([]), "holds no captions"),
    ] {
        let candidates = folder.write("bad.json", text);
        fails(
            &finetune(&[
                &"captioning",
                &"--references",
                &references,
                &"--candidates",
                &candidates,
                &"--json",
            ]),
            3,
            part,
        );
    }
    fails(
        &finetune(&[&"captioning", &"--references", &"/nowhere.json", &"--candidates", &references]),
        3,
        "/nowhere.json",
    );
    let empty = folder.write("empty.json", json!([{"image_id": 1, "caption": " . "}]));
    let got =
        object(&finetune(&[&"captioning", &"--references", &references, &"--candidates", &empty, &"--json"]));
    assert_eq!(got["counts"]["images_without_candidate"], 2);
    assert_eq!(got["counts"]["candidates_without_words"], 1);
    assert_eq!((&got["corpus"]["ROUGE_L"], &got["corpus"]["CIDEr"]), (&json!(0.0), &json!(0.0)));
}

#[test]
fn nocaps() {
    let folder = Folder::new();
    let (references, candidates) = captions(&folder);
    let got = object(&finetune(&[
        &"nocaps",
        &"--references",
        &references,
        &"--candidates",
        &candidates,
        &"--json",
    ]));
    let domains: Vec<&String> = got.as_object().expect("domains").keys().collect();
    assert_eq!(domains, ["in-domain", "near-domain", "out-domain", "entire"]);
    assert_eq!(got["near-domain"], Value::Null);
    assert_eq!(got["in-domain"]["n_images"], 1);
    assert_eq!(got["out-domain"]["counts"]["images_without_candidate"], 1);
    assert_eq!(got["out-domain"]["per_image"]["2"]["ROUGE_L"], 1.0);
    assert_eq!(got["entire"]["n_images"], 2);
}

fn annotation(id: u32, kind: &str, answers: &[&str]) -> Value {
    let answers: Vec<Value> =
        (1..).zip(answers).map(|(id, text)| json!({"answer": text, "answer_id": id})).collect();
    json!({"question_id": id, "question_type": "what", "answer_type": kind, "answers": answers})
}

#[test]
fn vqa() {
    let folder = Folder::new();
    let questions = folder.write("q.json", json!({"questions": [{"question_id": 1}, {"question_id": 2}]}));
    let ten = ["Two", "two.", "2", "three", "three", "three", "three", "three", "three", "three"];
    let annotations = folder.write(
        "a.json",
        json!({"annotations": [annotation(1, "number", &ten), annotation(2, "yes/no", &["yes"; 10])]}),
    );
    let run = |results: Value| {
        let results = folder.write("res.json", results);
        finetune(&[
            &"vqa",
            &"--questions",
            &questions,
            &"--annotations",
            &annotations,
            &"--results",
            &results,
            &"--json",
        ])
    };
    let got =
        object(&run(json!([{"question_id": 1, "answer": "the two!"}, {"question_id": 2, "answer": "Yes"}])));
    assert!((got["overall"].as_f64().expect("a number") - 45.0).abs() < 1e-9, "{got}");
    assert_eq!(got["per_answer_type"]["yes/no"], 0.0);
    assert!((got["per_question"]["1"].as_f64().expect("a number") - 90.0).abs() < 1e-9, "{got}");
    assert_eq!(got["counts"]["questions"], 2);
    for (results, part) in [
        (json!([{"question_id": 1, "answer": "a"}]), "no entry for id 2"),
        (
            json!([{"question_id": 1, "answer": "a"}, {"question_id": 2, "answer": "a"}, {"question_id": 3, "answer": "a"}]),
            "id 3 is not in the annotations",
        ),
        (json!([{"question_id": 1, "answer": null}]), "id 1 is null"),
    ] {
        fails(&run(results), 3, part);
    }
}

#[test]
fn gqa_nlvr2_retrieval() {
    let folder = Folder::new();
    let question = json!({"7": {
        "answer": "red", "question": "What color is it?", "isBalanced": true, "entailed": [],
        "groups": {"global": "color"}, "types": {"detailed": "x", "semantic": "attr", "structural": "query"},
        "semantic": [],
    }});
    let questions = folder.write("q.json", question);
    let predictions = folder.write("p.json", json!([{"questionId": "7", "prediction": "red"}]));
    let got =
        object(&finetune(&[&"gqa", &"--questions", &questions, &"--predictions", &predictions, &"--json"]));
    assert_eq!((&got["accuracy"], &got["validity"]), (&json!(100.0), &Value::Null));
    assert_eq!(got["per_length"], json!({"4": 100.0}));

    let data = folder.write("dev.json", "{\"identifier\": \"dev-1-0-0\", \"label\": \"True\"}\n");
    let predictions = folder.write("p.csv", "dev-1-0-0,true\n");
    let got = object(&finetune(&[&"nlvr2", &"--data", &data, &"--predictions", &predictions, &"--json"]));
    assert_eq!((&got["accuracy"], &got["consistency"]), (&json!(1.0), &json!(1.0)));

    let scores = folder.write("s.json", "[[0.9, 0.1, 0.2, 0.3], [0.8, 0.0, 0.7, 0.1]]");
    let run = |each: &str| {
        finetune(&[&"retrieval", &"--scores", &scores, &"--captions-per-image", &each, &"--json"])
    };
    let got = object(&run("2"));
    assert_eq!((&got["i2t"]["R@1"], &got["t2i"]["R@1"]), (&json!(0.5), &json!(0.75)));
    fails(&run("5"), 3, "it needs 10");
}

/// The folder of reference cases: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.
#[expect(clippy::print_stdout, reason = "a skipped check must be seen")]
fn reference_data() -> Option<PathBuf> {
    let named = std::env::var_os("OSCAR_REFERENCE_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data");
    None
}

fn close(got: &Value, wanted: &Value, tolerance: f64, what: &str) {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                close(&got[key], wanted, tolerance, &format!("{what} / {key}"));
            }
        }
        (Value::Array(got), Value::Array(wanted)) => assert_eq!(got, wanted, "{what}"),
        _ => {
            let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{what} is {value}"));
            assert!((number(got) - number(wanted)).abs() <= tolerance, "{what}: {got}, not {wanted}");
        }
    }
}

#[test]
fn captioning_gives_the_references_values_from_text_and_from_tokens() {
    let Some(data) = reference_data() else { return };
    let captioning = data.join("captioning");
    let read = |name: &str| -> Value {
        let path = captioning.join("expected").join(name);
        serde_json::from_slice(&std::fs::read(path).expect("reading")).expect("JSON")
    };
    let mut wanted = read("fakecap1000.json");
    wanted["corpus"].as_object_mut().expect("scores").remove("METEOR");
    let images = wanted["per_image"].as_object_mut().expect("images");
    images.values_mut().for_each(|image| drop(image.as_object_mut().expect("scores").remove("METEOR")));

    let tokens = captioning.join("expected/fakecap1000.tokens.json");
    let folder = Folder::new();
    let entries: Vec<Value> = read("fakecap1000.tokens.json")["cands"]
        .as_object()
        .expect("candidates by id")
        .iter()
        .map(|(id, text)| json!({"image_id": id, "caption": text}))
        .collect();
    let candidates = folder.write("tokens.json", Value::from(entries));
    let from_text: [&dyn AsRef<Path>; 6] = [
        &"captioning",
        &"--json",
        &"--references",
        &captioning.join("fakecap1000_spice_input_refs.json"),
        &"--candidates",
        &captioning.join("fakecap1000_results.json"),
    ];
    let from_tokens: [&dyn AsRef<Path>; 7] =
        [&"captioning", &"--json", &"--tokenized", &"--references", &tokens, &"--candidates", &candidates];
    for arguments in [&from_text[..], &from_tokens[..]] {
        let got = object(&finetune(arguments));
        for (part, tolerance) in [("bleu_stats", 0.0), ("corpus", 1e-9), ("per_image", 1e-8)] {
            close(&got[part], &wanted[part], tolerance, part);
        }
    }
}
