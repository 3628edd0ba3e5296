//! Tests on the reference data, where it is: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.

use std::path::{Path, PathBuf};

use data_specs::{Column, TableColumns, TextKind};

use crate::Code;
use crate::texts::trial::{Trial, run};
use crate::texts::{Coco, Gqa, Nlvr2, Table, TextFormat, Vqa};

/// The folder of reference data; without it, a line says that the test was skipped.
pub(crate) fn reference_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("OSCAR_REFERENCE_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data");
    None
}

fn whole(format: &dyn TextFormat) -> Trial {
    let trial = run(format).unwrap();
    assert_eq!(trial.refused(), Vec::<String>::new());
    trial
}

/// Picture, id and text of a record's first text.
fn first_of(trial: &Trial, at: usize) -> (&str, &str, &str) {
    let (record, parsed) = &trial.records[at];
    let text = &parsed.as_ref().unwrap().texts[0];
    (&record.images[0], &text.id, &text.text)
}

#[test]
fn coco_captions() {
    let Some(data) = reference_data() else { return };
    let trial = whole(&Coco { file: data.join("coco_mini/captions.json"), by_file_name: false });
    assert_eq!(trial.texts().len(), 200);
    assert_eq!(
        first_of(&trial, 0),
        ("84284", "189314", "A computer desk topped with an open laptop computer.")
    );
    assert_eq!(first_of(&trial, 199), ("310200", "220955", "A pastry is torn in half on a plate."));

    let trial = whole(&Coco {
        file: data.join("captioning/oscar_val5k_caption_coco_format.json"),
        by_file_name: false,
    });
    assert_eq!(trial.texts().len(), 25010);
    assert_eq!(first_of(&trial, 0), ("106140", "0", "A large passenger airplane flying through the air."));
    assert_eq!(first_of(&trial, 25009), ("579438", "25009", "A woman holding a teddy bear that has fangs."));
}

#[test]
fn nocaps() {
    let Some(data) = reference_data() else { return };
    let trial = whole(&Coco { file: data.join("nocaps/nocaps_val_100_captions.json"), by_file_name: false });
    assert_eq!(trial.texts().len(), 1000);
    let domains: Vec<_> = trial
        .records
        .iter()
        .filter_map(|(_, parsed)| parsed.as_ref().unwrap().row_extra.get("domain")?.as_str())
        .collect();
    assert_eq!((domains.len(), domains[0], domains[99]), (100, "out-domain", "near-domain"));
    assert_eq!(trial.records[0].0.id, "image:1949");
    assert_eq!(first_of(&trial, 1099).1, "44589");
}

#[test]
fn vqa_in_one_file_and_in_two() {
    let Some(data) = reference_data() else { return };
    let trial = whole(&Vqa { questions: data.join("coco_mini/vqa.json"), annotations: None });
    assert_eq!(trial.texts().len(), 39);
    assert!(trial.texts().iter().all(|text| text.answers.len() == 10));
    assert_eq!(first_of(&trial, 0), ("790", "790001", "Are they celebrating a birthday?"));
    assert_eq!(first_of(&trial, 38), ("538113", "538113001", "Is he hitting the ball?"));
    let extra = trial.texts()[0].extra.clone().unwrap();
    assert!(extra.starts_with(r#"{"answer_confidences":["yes","yes","maybe","#), "{extra}");

    let trial = whole(&Vqa {
        questions: data.join("vqa/vqav2_nlp1_test_questions.json"),
        annotations: Some(data.join("vqa/vqav2_nlp1_test_annotations.json")),
    });
    assert_eq!(trial.texts().len(), 2962);
    assert!(trial.texts().iter().all(|text| text.answers.len() == 10));
    assert_eq!(first_of(&trial, 0), ("144", "144002", "What type of animal is in the picture?"));
    assert_eq!(first_of(&trial, 2961), ("581921", "581921000", "Is the snow deep?"));
}

#[test]
fn gqa() {
    let Some(data) = reference_data() else { return };
    let trial = whole(&Gqa { files: vec![data.join("gqa/questions_400.json")] });
    let texts = trial.texts();
    assert_eq!(texts.len(), 400);
    assert_eq!(first_of(&trial, 0), ("2356112", "00101448", "The person in the snow is wearing what?"));
    assert_eq!(texts[0].answers[0].text, "snowsuit");
    let extra: serde_json::Value = serde_json::from_str(texts[0].extra.as_deref().unwrap()).unwrap();
    let fields: Vec<_> = extra.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["entailed", "equivalent", "groups", "isBalanced", "semantic", "types"]);
}

#[test]
fn nlvr2() {
    let Some(data) = reference_data() else { return };
    let trial = whole(&Nlvr2 { file: data.join("nlvr2/dev.json") });
    let texts = trial.texts();
    assert_eq!(texts.len(), 6982);
    assert_eq!(trial.records[0].0.images, ["dev-850-0-img0", "dev-850-0-img1"]);
    assert_eq!((texts[0].id.as_str(), texts[0].label), ("dev-850-0-0", Some(0)));
    assert_eq!((texts[6981].id.as_str(), texts[6981].label), ("dev-946-3-1", Some(0)));
    println!("true: {}", texts.iter().filter(|text| text.label == Some(1)).count());
}

#[test]
fn conceptual_captions_by_their_addresses() {
    let Some(data) = reference_data() else { return };
    let file = data.join("cc3m/Validation_GCC-1.1.0-Validation.sample2000.tsv");
    let columns = TableColumns {
        image: Column::Number(2),
        text: Column::Number(1),
        id: None,
        answer: None,
        label: None,
        split: None,
    };
    let table = Table::new("texts.captions", &file, columns, TextKind::Caption).unwrap();
    let trial = run(&table).unwrap();
    // Counted by a script of a few lines: one picture in twelve has the file name of another.
    let count = |code| trial.rejects.iter().filter(|reject| reject.code == code).count();
    assert_eq!((trial.records.len(), trial.rejects.len()), (1802, 198));
    assert_eq!((count(Code::DuplicateId), count(Code::EmptyField)), (164, 34));
    let name = "Validation_GCC-1.1.0-Validation.sample2000.tsv:1";
    assert_eq!(first_of(&trial, 0), ("winter-fly-fishing", name, "an angler fishes river on a snowy day ."));
    assert!(trial.records.iter().all(|(_, parsed)| parsed.is_ok()));
}
