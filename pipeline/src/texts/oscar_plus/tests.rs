use super::*;
use crate::texts::trial::{Folder, Frame, mutants, run};

const CORPUS: &str = "coco_391895\tcoco_391895\tA man on a moped. \n\
    coco_391895\tcoco_qa_391895_458752\tWhat is it?\r\n\
    cc_3_12345\tgooglecc_3_12345\tauthor : a life\n\
    gqa_2370799\tgqa_qa_2370799_00101448\tWho?\n\
    flickr30k_36979\tflickr30k_36979\tTwo men\n";
const COCO: &str =
    "9\t{\"labels\": [\"unused\"]}\n458752\t{\"labels\": [\"moped\", \"bike\"], \"src\": \"vqa\"}\n";
const GQA: &str = "00101448\t{\"labels\": []}\n";

fn answers(dataset: &str, file: PathBuf) -> QaFile {
    QaFile { dataset: Some(dataset.into()), file }
}

#[test]
fn captions_and_questions() {
    let folder = Folder::new();
    let corpus = OscarPlus {
        corpus: folder.file("corpus.tsv", CORPUS),
        answers: vec![
            answers("coco", folder.file("coco.tsv", COCO)),
            answers("gqa", folder.file("gqa.tsv", GQA)),
        ],
    };
    let trial = run(&corpus).unwrap();
    assert_eq!(trial.images(), ["coco/391895", "coco/391895", "cc/12345", "gqa/2370799", "flickr30k/36979"]);
    let texts = trial.texts();
    let ids: Vec<_> = texts.iter().map(|text| text.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "coco_391895:1",
            "coco_qa_391895_458752:2",
            "googlecc_3_12345:3",
            "gqa_qa_2370799_00101448:4",
            "flickr30k_36979:5"
        ]
    );
    assert!(trial.records.iter().zip(&ids).all(|((record, _), id)| record.id == *id));
    assert_eq!((texts[0].kind, texts[0].text.as_str()), (TextKind::Caption, "A man on a moped. "));
    assert_eq!((texts[1].kind, texts[1].text.as_str()), (TextKind::Question, "What is it?"));
    let labels: Vec<_> = texts[1].answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!((labels, texts[1].extra.as_deref()), (vec!["moped", "bike"], Some(r#"{"src":"vqa"}"#)));
    assert_eq!((texts[3].kind, texts[3].answers.len()), (TextKind::Question, 0));
    assert_eq!(trial.records[2].1.as_ref().unwrap().row_extra["chunk"], "3");
    assert!(trial.records[0].1.as_ref().unwrap().row_extra.is_empty());
    let inputs: Vec<_> = trial.records[3].0.spans.iter().map(|span| span.input).collect();
    assert_eq!((inputs, trial.inputs.len()), (vec![5, 7], 3));
}

#[test]
fn image_ids_have_a_data_set_and_perhaps_a_chunk() {
    let parts = |id| CorpusImage::parse(id).map(|image| (image.dataset, image.chunk, image.image));
    assert_eq!(parts("coco_391895"), Some(("coco", None, "391895")));
    assert_eq!(parts("coco_a_b"), Some(("coco", None, "a_b")));
    assert_eq!(parts("oi_7_0a_1b"), Some(("oi", Some("7"), "0a_1b")));
    assert_eq!(parts("cc_0_1"), Some(("cc", Some("0"), "1")));
    assert_eq!(parts("mine_1"), Some(("mine", None, "1")));
    for id in ["", "coco", "coco_", "_1", "sbu_1", "sbu__1", "sbu_1_"] {
        assert_eq!(parts(id), None, "{id}");
    }
}

#[test]
fn label_ids_must_be_of_the_same_picture() {
    let of = |image, label| {
        let image = CorpusImage::parse(image).unwrap();
        question_of(&image, label).map_err(|reason| reason.code)
    };
    assert_eq!(of("coco_5", "coco_5"), Ok(None));
    assert_eq!(of("sbu_1_5", "sbu_1_5"), Ok(None));
    assert_eq!(of("cc_1_5", "cc_1_5"), Ok(None));
    assert_eq!(of("cc_1_5", "googlecc_1_5"), Ok(None));
    assert_eq!(of("googlecc_1_5", "cc_1_5"), Ok(None));
    assert_eq!(of("coco_5", "coco_qa_5_5"), Ok(Some("5")));
    assert_eq!(of("coco_5", "vqa_5_12"), Ok(Some("12")));
    assert_eq!(of("gqa_5", "gqa_5"), Ok(None));
    assert_eq!(of("gqa_5", "gqa_5_7"), Ok(Some("7")));
    for label in ["coco_6", "coco_15", "sbu_5", "5", "", "coco_qa_6_5_", "coco_5_6", "coco_qa_5_"] {
        assert_eq!(of("coco_5", label), Err(Code::IdMismatch), "{label}");
    }
}

#[test]
fn files_of_answers_are_found_in_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    assert!(QaFile::in_folder(folder.path()).unwrap_err().to_string().contains("has no QA_fileB.tsv"));
    for dataset in ["gqa", "coco", "empty"] {
        std::fs::create_dir(folder.path().join(dataset)).unwrap();
    }
    for file in ["gqa/QA_fileB.tsv", "QA_fileB.tsv", "coco/QA_fileB.tsv", "coco/QA_qaid2idx.json"] {
        std::fs::write(folder.path().join(file), "1\t{\"labels\": [\"x\"]}\n").unwrap();
    }
    let answers = QaFile::in_folder(folder.path()).unwrap();
    let datasets: Vec<_> = answers.iter().map(|file| file.dataset.as_deref()).collect();
    assert_eq!(datasets, [None, Some("coco"), Some("gqa")]);

    let corpus = folder.path().join("corpus.tsv");
    std::fs::write(&corpus, "gqa_5\tgqa_qa_5_1\tx\nvg_5\tvg_qa_5_1\ty\n").unwrap();
    let trial = run(&OscarPlus { corpus, answers }).unwrap();
    let inputs: Vec<_> = trial.records.iter().map(|(record, _)| record.spans[1].input).collect();
    assert_eq!((inputs, trial.texts().len()), (vec![8, 6], 2));
}

#[test]
fn bad_lines_are_told() {
    let folder = Folder::new();
    let corpus = b"coco_1\tcoco_2\tx\ncoco_1\tcoco_1\n\ncoco_1\tcoco_1\tx\ty\ncoco\tcoco\tx\ncoco_1\tcoco_qa_1_3\tx\n\
        gqa_1\tgqa_qa_1_3\tx\ncoco_1\tcoco_1\t\xFF\ncoco_1\tcoco_1\t  \ncoco_1\tcoco_qa_1_4\tx\ncoco_1\tcoco_qa_1_5\tx\n";
    let table = b"4\t{}\n5\t{\"labels\": [1]}\n\t{}\n7\n";
    let trial = run(&OscarPlus {
        corpus: folder.file("corpus.tsv", corpus),
        answers: vec![answers("coco", folder.file("QA_fileB.tsv", table))],
    })
    .unwrap();
    assert_eq!(
        trial.refused(),
        [
            "3  EmptyField: `qa id` is empty",
            "4  WrongColumns: has 1 columns and should have 2",
            "1 coco_2:1 IdMismatch: label id \"coco_2\" is not of picture 1 of coco",
            "2  WrongColumns: has 2 columns and should have 3",
            "3  WrongColumns: has 1 columns and should have 3",
            "4  WrongColumns: has 4 columns and should have 3",
            "5 coco:5 BadJson: `image id` is \"coco\" and should be <dataset>_[<chunk>_]<image id>",
            "6 coco_qa_1_3:6 NoPartner: question 3 of coco is not in its file of answers",
            "7 gqa_qa_1_3:7 NoPartner: is a question, and no file has the answers of gqa",
            "8  BadUtf8: is not UTF-8 from byte 14 of the record on",
            "9 coco_1:9 EmptyField: `text` is empty",
            "10 coco_qa_1_4:10 BadJson: has no `labels`",
            "11 coco_qa_1_5:11 BadJson: `labels` is a number and should be a list of strings",
        ]
    );
    assert!(trial.rejects[0].file.ends_with("QA_fileB.tsv"));
}

#[test]
fn mutants_are_accounted_for() {
    mutants(
        &[
            ("corpus.tsv", CORPUS, Frame::Lines),
            ("coco.tsv", COCO, Frame::Unasked),
            ("gqa.tsv", GQA, Frame::Unasked),
        ],
        |paths| {
            Box::new(OscarPlus {
                corpus: paths[0].clone(),
                answers: vec![answers("coco", paths[1].clone()), answers("gqa", paths[2].clone())],
            })
        },
    );
}
