//! Heads of tasks, and heads that are missing.

use std::fs;

use pretrain::Conversion;
use serde_json::{Value, json};

use super::{Made, all_told, classified, done, refused, why};

fn json_of(conversion: &Conversion, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(conversion.to.join(name)).unwrap()).unwrap()
}

/// NLVR2's: two pictures, two layers, by choice a norm between them.
fn pair(norm: bool) -> Made {
    let made = Made::plus()
        .without("cls.")
        .with("classifier.0.weight", &[36, 24])
        .with("classifier.0.bias", &[36])
        .says("classifier", json!("mlp"))
        .says("cls_hidden_scale", json!(3));
    let last = if norm { "classifier.3" } else { "classifier.2" };
    let made = made.with(&format!("{last}.weight"), &[2, 36]).with(&format!("{last}.bias"), &[2]);
    if norm { made.with("classifier.2.weight", &[36]).with("classifier.2.bias", &[36]) } else { made }
}

#[test]
fn each_task_is_told() {
    let retrieval = classified(2, "ir");
    let conversion = retrieval.conversion();
    let (told, found, config) = done(&conversion);
    all_told(&told, &retrieval.state);
    assert_eq!((told.task.as_deref(), told.lacks.len()), (Some("text-retrieval"), 0));
    assert!(found["classifier.weight"] == retrieval.state["classifier.weight"]);
    let written = json_of(&conversion, "finetuning.json");
    assert_eq!(written["task"], "text-retrieval");
    assert_eq!(written["layout"], json!({ "max_tokens": 70, "max_regions": 70, "tags": true }));
    assert_eq!((&config["num_labels"], &config["finetuning_task"]), (&json!(2), &json!("text-retrieval")));

    for norm in [false, true] {
        let made = pair(norm);
        let conversion = made.conversion();
        let (told, _, config) = done(&conversion);
        all_told(&told, &made.state);
        assert_eq!(told.task.as_deref(), Some("nlvr2"), "two pictures are read by nothing else");
        let head =
            json!({ "classifier": "mlp", "cls_hidden_scale": 3, "use_layernorm": norm, "loss_type": "ce" });
        let settings = &json_of(&conversion, "finetuning.json")["settings"];
        assert_eq!(*settings, json!({ "head": head, "use_pair": true }));
        assert_eq!(json_of(&conversion, "labels.json"), json!(["False", "True"]));
        assert_eq!((&config["num_choice"], &config["use_layernorm"]), (&json!(2), &json!(norm)));
    }
    // the task is not told: the head stays, and what is missing is said
    let unknown = classified(5, "").convert().0;
    assert_eq!(unknown.task, None);
    assert!(unknown.lacks[0].contains("--task NAME"), "{:?}", unknown.lacks);
    let task = Some("gqa".to_owned());
    let named = done(&Conversion { task, ..classified(5, "").conversion() }).0;
    assert!(named.task.as_deref() == Some("gqa") && named.lacks[0].contains("labels.json"), "{named:?}");
}

#[test]
fn answers_come_from_a_label_map() {
    let made = classified(4, "vqa_text").says("loss_type", json!("bce"));
    let conversion = made.conversion();
    let told = done(&conversion).0;
    assert!(told.task.as_deref() == Some("vqa") && told.lacks[0].contains("--labels"), "{told:?}");
    assert!(!told.to.join("labels.json").exists());
    let head = json!({ "classifier": "linear", "loss_type": "bce" });
    assert_eq!(json_of(&conversion, "finetuning.json")["settings"], json!({ "head": head }));

    let wanted = json!(["yes", "no", "2", "red dog"]);
    // protocol 0 of {'no': 1, 'yes': 0, '2': 2, 'red dog': 3}, and of ['yes', 'no', '2', 'red dog']
    let map = b"(dS'no'\nI1\nsS'yes'\nI0\nsS'2'\nI2\nsS'red dog'\nI3\ns.".as_slice();
    let list = b"(lS'yes'\naS'no'\naS'2'\naS'red dog'\na.".as_slice();
    for (name, bytes) in [
        ("map.json", br#"{"no": 1, "yes": 0, "2": 2, "red dog": 3}"#.as_slice()),
        ("numbers.json", br#"{"0": "yes", "1": "no", "2": "2", "3": "red dog"}"#),
        ("list.json", br#"["yes", "no", "2", "red dog"]"#),
        ("map.pkl", map),
        ("list.pkl", list),
    ] {
        let path = made.path(name);
        fs::write(&path, bytes).unwrap();
        let asked = Conversion { labels: Some(path), ..made.conversion() };
        assert!(done(&asked).0.lacks.is_empty(), "{name}");
        assert_eq!(json_of(&asked, "labels.json"), wanted, "{name}");
    }
    for (name, bytes, part) in [
        ("short.json", br#"["yes", "no"]"#.as_slice(), "are 2, the classifier has 4"),
        ("twice.json", br#"{"a": 1, "b": 1, "c": 2, "d": 3}"#, "which is taken"),
        ("beyond.json", br#"{"a": 0, "b": 1, "c": 2, "d": 4}"#, "beyond the last"),
        ("numbers.json", b"[1, 2, 3, 4]", "neither words"),
        ("word.json", b"7", "neither words"),
        ("code.pkl", b"cos\nsystem\n(S'true'\ntR.", "`os.system` is not plain data"),
        ("cut.pkl", &map[..20], "cut.pkl"),
    ] {
        let path = made.path(name);
        fs::write(&path, bytes).unwrap();
        let message = refused(&Conversion { labels: Some(path), ..made.conversion() });
        assert!(message.contains(part) && message.contains("hint: "), "{name}: {message}");
    }
}

/// A head that the config promises and the file lacks, or has in another shape, would be random in silence.
#[test]
fn a_missing_head_is_an_error_unless_it_is_to_be_fresh() {
    let bert = |name: &str| Made::plus().says("architectures", json!([name]));
    let cases = [
        (bert("BertForPreTraining").without("cls.predictions"), "cls.predictions", "architectures"),
        (bert("BertForMaskedLM").without("cls.predictions"), "cls.predictions", "architectures"),
        (bert("BertForPreTraining").without("cls.seq"), "cls.seq_relationship", "architectures"),
        (bert("BertForSequenceClassification"), "classifier", "architectures"),
        (
            Made::plus().without("cls.").says("finetuning_task", json!("image_captioning")),
            "cls.predictions",
            "image_captioning",
        ),
        (Made::plus().says("finetuning_task", json!("vqa_text")), "classifier", "vqa_text"),
        (
            Made::plus().says("classifier", json!("linear")),
            "classifier",
            "classifier in the config is linear",
        ),
        (
            classified(4, "gqa").says("num_labels", json!(5)),
            "classifier",
            "4 rows, num_labels in the config is 5",
        ),
        (
            classified(4, "gqa").says("classifier", json!("mlp")),
            "classifier",
            "`classifier` in the config is mlp",
        ),
        (pair(false).says("cls_hidden_scale", json!(2)), "classifier", "cls_hidden_scale is 2"),
        (pair(false).without("classifier.2."), "classifier", "no known form"),
        (classified(4, "gqa").with("classifier.weight", &[4, 60]), "classifier", "one or two vectors of 12"),
    ];
    for (made, head, part) in cases {
        let message = made.refused();
        let remedy = format!("--head {head}=fresh");
        assert!(message.contains(part) && message.contains(&remedy), "{head}, {part}: {message}");
        let (told, found, _) = done(&Conversion { fresh: vec![head.to_owned()], ..made.conversion() });
        all_told(&told, &made.state);
        assert!(why(&told.fresh, head).contains("as asked for"), "{head}");
        assert!(!found.keys().any(|name| name.starts_with(head)), "{head}");
    }
    // what nobody promised is told only
    let (told, ..) = Made::plus().without("cls.").convert();
    let fresh: Vec<&str> = told.fresh.iter().map(|told| told.name.as_str()).collect();
    assert_eq!(fresh, ["cls.predictions", "cls.seq_relationship"]);
}

#[test]
fn a_task_must_fit_its_head() {
    let asked =
        |made: &Made, task: &str| refused(&Conversion { task: Some(task.to_owned()), ..made.conversion() });
    assert!(
        asked(&classified(5, ""), "image-retrieval")
            .contains("retrieval has a linear classifier of two labels")
    );
    assert!(asked(&classified(5, ""), "nlvr2").contains("nlvr2 has two labels"));
    assert!(asked(&Made::plus(), "vqa").contains("whose head the file does not have"));
    assert!(asked(&Made::plus(), "vcr").contains("one of captioning, gqa"));
    let labels = Made::plus().path("labels.json");
    let made = classified(2, "ir");
    let message = refused(&Conversion { labels: Some(labels.clone()), ..made.conversion() });
    assert!(message.contains("text-retrieval has no list of answers"), "{message}");
    let message = refused(&Conversion { labels: Some(labels), ..Made::plus().conversion() });
    assert!(message.contains("labels mean nothing"), "{message}");
    let message = refused(&Conversion { fresh: vec!["decoder".to_owned()], ..made.conversion() });
    assert!(message.contains("`decoder` is no head"), "{message}");
}
