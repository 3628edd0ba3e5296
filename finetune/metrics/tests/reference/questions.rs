//! VQA, NLVR2, retrieval.

use finetune_metrics::{nlvr2, retrieval, vqa};
use serde_json::Value;

use super::{close, file, folder, json, number, texts};

#[test]
fn vqa_scores_and_normalisation() {
    let Some(folder) = folder("vqa") else { return };
    let part = |name: &str| file(folder.join(format!("vqav2_nlp1_test_{name}.json")));
    let (asked, annotated, given) = (part("questions"), part("annotations"), part("predictions"));
    let got = vqa::score_files(&asked, &annotated, &given).expect("scores");
    let wanted = json(folder.join("expected/vqav2_nlp1_test.json"));
    let (overall, exact) = (&wanted["accuracy_round2"], &wanted["accuracy_round10"]);
    assert_eq!(format!("{:.2}", got.overall), format!("{:.2}", number(&overall["overall"])));
    close(got.overall, number(&exact["overall"]), 1e-9, "overall");
    for (name, score) in &got.per_answer_type {
        close(*score, number(&exact["perAnswerType"][name]), 1e-9, name);
    }
    assert_eq!(got.per_question_type.len(), exact["perQuestionType"].as_object().expect("types").len());
    for (name, score) in &got.per_question_type {
        close(*score, number(&exact["perQuestionType"][name]), 1e-9, name);
    }
    for (id, score) in &got.per_question {
        close(*score, number(&wanted["per_question_round2"][id.to_string()]), 0.005 + 1e-9, &id.to_string());
    }

    let pairs = json(folder.join("expected/normalisation_pairs.json"));
    for group in ["real_changed", "hand"] {
        for (given, wanted) in pairs[group].as_object().expect("pairs") {
            assert_eq!(vqa::normalise(&vqa::tidy(given)), wanted.as_str().expect("a text"), "{given}");
        }
    }
    for given in texts(&pairs["real_unchanged_sample"]) {
        assert_eq!(vqa::normalise(&vqa::tidy(&given)), given);
    }
}

#[test]
fn soft_targets_and_vocabulary() {
    let Some(folder) = folder("vqa") else { return };
    let vocabulary =
        vqa::AnswerVocabulary::read(&folder.join("trainval_ans2label.json")).expect("a vocabulary");
    let listed = vqa::AnswerVocabulary::read(&folder.join("trainval_label2ans.json")).expect("a vocabulary");
    assert_eq!((vocabulary.len(), &vocabulary), (3129, &listed));
    let annotations = json(folder.join("vqav2_nlp1_test_annotations.json"));
    let wanted = &json(folder.join("expected/soft_targets_3129.json"))["vqav2_nlp1_test"];
    for (form, normalised) in [("raw_answer_counts", false), ("preprocessed_answer_counts", true)] {
        let rows = wanted[form].as_array().expect("rows");
        for (annotation, row) in annotations["annotations"].as_array().expect("annotations").iter().zip(rows)
        {
            assert_eq!(annotation["question_id"], row["question_id"]);
            let answers: Vec<String> = annotation["answers"]
                .as_array()
                .expect("answers")
                .iter()
                .map(|answer| answer["answer"].as_str().expect("a text"))
                .map(|answer| {
                    if normalised {
                        vqa::normalise(&vqa::tidy(answer)).into_owned()
                    } else {
                        answer.to_owned()
                    }
                })
                .collect();
            let got = vqa::soft_targets(&vocabulary, answers.iter().map(String::as_str));
            let targets = row["targets"].as_object().expect("targets");
            assert_eq!(got.len(), targets.len(), "{row}");
            for (number_of, target) in got {
                close(f64::from(target), number(&targets[&number_of.to_string()]), 1e-6, form);
            }
        }
    }
}

#[test]
fn nlvr2_development_set() {
    let Some(folder) = folder("nlvr2") else { return };
    let (data, predictions) = (file(folder.join("dev.json")), file(folder.join("dev_pred_p50_title.csv")));
    let got = nlvr2::score_files(&data, &predictions).expect("scores");
    let wanted = &json(folder.join("expected/dev_expected.json"))["p50_title"];
    close(got.accuracy, number(&wanted["accuracy"]), 1e-12, "accuracy");
    close(got.consistency, number(&wanted["consistency"]), 1e-12, "consistency");
    assert_eq!(Value::from(got.counts.sentences), wanted["n_unique_sentences"]);
}

#[test]
fn retrieval_ranks() {
    let Some(folder) = folder("retrieval") else { return };
    let matrix = retrieval::ScoreMatrix::read(&folder.join("f30k_20x100_scores.json")).expect("scores");
    let wanted = json(folder.join("expected/f30k_20x100.json"));
    let (to_captions, to_pictures) = matrix.ranks(5).expect("five captions each");
    assert_eq!(serde_json::json!(to_captions), wanted["oscar_ranks"]["i2t"]);
    assert_eq!(serde_json::json!(to_pictures), wanted["oscar_ranks"]["t2i"]);

    let file = json(folder.join("expected/caption_index_mode_50x20.json"));
    let rows =
        file["scores"].as_array().expect("scores").iter().zip(file["labels"].as_array().expect("labels"));
    let ranks: Vec<usize> = rows
        .map(|(scores, labels)| {
            let pairs = scores.as_array().expect("a row").iter().zip(labels.as_array().expect("a row"));
            retrieval::first_positive(pairs.map(|(score, label)| (number(score), number(label) == 1.0)))
                .expect("a positive")
        })
        .collect();
    assert_eq!(serde_json::json!(ranks), file["i2t_ranks"]);
    let recall = retrieval::recall(&ranks);
    let wanted = &file["recall"];
    for (got, name) in [(recall.at_1, "R@1"), (recall.at_5, "R@5"), (recall.at_10, "R@10")] {
        close(got, number(&wanted[name]), 1e-12, name);
    }
}
