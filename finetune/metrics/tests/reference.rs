//! The reference's values on real data: `OSCAR_REFERENCE_DATA`, or `../shared/data` beside the checkout.

use std::path::{Path, PathBuf};

use finetune_metrics::{
    captions::{self, DocumentFrequencies, Frequencies, Options, Pair, meteor::Statistics, ptb},
    layouts, nlvr2, retrieval, vqa,
};
use serde_json::Value;

fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("OSCAR_REFERENCE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    skipped();
    None
}

#[expect(clippy::print_stdout, reason = "a skipped check must be seen")]
fn skipped() {
    println!("skipped: no reference data");
}

fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("the reference data is JSON")
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    value.as_array().expect("a list").iter().map(text).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn close(got: f64, wanted: f64, tolerance: f64, what: &str) {
    assert!((got - wanted).abs() <= tolerance, "{what}: {got}, not {wanted}");
}

#[test]
fn ptb_hard_strings() {
    let Some(folder) = folder("tokenizer") else { return };
    let file = json(folder.join("ptb_expected.json"));
    let cases = file["cases"].as_array().expect("cases");
    let given: Vec<&str> = cases.iter().map(|case| case["text"].as_str().expect("a text")).collect();
    for ((case, given), got) in cases.iter().zip(&given).zip(ptb::tokenize_all(&given)) {
        assert_eq!(got, case["tokens"].as_str().expect("tokens"), "{given}");
    }
}

const SETS: [(&str, &str, &str, &str); 3] = [
    ("fakecap1000", "fakecap1000_spice_input_refs.json", "fakecap1000_results.json", "fakecap1000"),
    ("human1000", "fakecap1000_spice_input_refs.json", "human1000_results_cocoapi.json", "fakecap1000"),
    ("oscar_val5k", "oscar_val5k_caption_coco_format.json", "oscar_val5k_pred.json", "oscar_val5k"),
];

#[test]
fn captions_tokens_and_scores() {
    let Some(folder) = folder("captioning") else { return };
    for (name, references, candidates, reference_tokens) in SETS {
        let (pairs, missing) =
            captions::pairs_of(&folder.join(references), &folder.join(candidates)).expect("the files fit");
        assert_eq!(missing, 0);
        let pairs = Pair::tokenize(&pairs);
        let tokens = |set: &str| json(folder.join(format!("expected/{set}.tokens.json")));
        let (reference_tokens, candidate_tokens) = (tokens(reference_tokens), tokens(name));
        for pair in &pairs {
            assert_eq!(pair.references, texts(&reference_tokens["refs"][&pair.id]), "{name} {}", pair.id);
            assert_eq!(
                pair.candidate,
                candidate_tokens["cands"][&pair.id].as_str().expect("tokens"),
                "{name}"
            );
        }

        let wanted = json(folder.join(format!("expected/{name}.json")));
        let got =
            captions::score(&pairs, Options { bleu: true, rouge: true, cider: true, frequencies: None });
        let stats = got.bleu_stats.expect("asked for");
        assert_eq!(serde_json::to_value(stats).expect("counts"), wanted["bleu_stats"], "{name}");
        let check = |got: &captions::ImageScores, wanted: &Value, tolerance: f64| {
            for (n, score) in got.bleu.expect("asked for").into_iter().enumerate() {
                close(score, number(&wanted[format!("Bleu_{}", n + 1)]), tolerance, "BLEU");
            }
            close(got.rouge_l.expect("asked for"), number(&wanted["ROUGE_L"]), tolerance, "ROUGE-L");
            close(got.cider.expect("asked for"), number(&wanted["CIDEr"]), tolerance, "CIDEr");
        };
        check(&got.corpus, &wanted["corpus"], 1e-9);
        for (pair, scores) in pairs.iter().zip(&got.per_image) {
            check(scores, &wanted["per_image"][&pair.id], 1e-8);
        }
    }
}

#[test]
fn meteor_from_its_statistics() {
    let Some(folder) = folder("captioning/expected") else { return };
    for (name, ..) in SETS {
        let statistics = json(folder.join(format!("{name}.meteor_stats.json")));
        let wanted = json(folder.join(format!("{name}.json")));
        check_meteor(&statistics["meteor_stats"], &wanted["corpus"]["METEOR"], |id| {
            wanted["per_image"][id]["METEOR"].clone()
        });
    }
    let modules = json(folder.join("fakecap1000.meteor_modules.json"));
    for (name, module) in modules.as_object().expect("modules") {
        // Limited to fewer stages the reference writes fewer numbers.
        let full = module["stats"].as_object().is_some_and(|stats| {
            stats.values().all(|line| line.as_str().is_some_and(|line| line.split_whitespace().count() == 23))
        });
        if full {
            check_meteor(&module["stats"], &module["corpus"], |id| module["per_image"][id].clone());
        } else {
            assert_ne!(name, "default");
        }
    }
}

fn check_meteor(statistics: &Value, corpus: &Value, wanted: impl Fn(&str) -> Value) {
    let mut sum = Statistics::default();
    for (id, line) in statistics.as_object().expect("statistics by id") {
        let segment = Statistics::parse(line.as_str().expect("a line")).expect("23 numbers");
        sum.add(&segment);
        close(segment.score(), number(&wanted(id)), 1e-8, id);
    }
    close(sum.score(), number(corpus), 1e-9, "METEOR");
}

/// METEOR's word data is the user's: `METEOR_DATA` names it.
#[test]
fn meteor_with_word_data() {
    let Some(folder) = folder("captioning") else { return };
    let Some(data) = std::env::var_os("METEOR_DATA") else { return skipped() };
    let meteor = captions::meteor::Meteor::with_data(Path::new(&data)).expect("METEOR_DATA names word data");
    assert!(meteor.absent().is_empty(), "{:?}", meteor.absent());
    for (name, references, candidates, _) in SETS {
        let (pairs, _) =
            captions::pairs_of(&folder.join(references), &folder.join(candidates)).expect("the files fit");
        let wanted = json(folder.join(format!("expected/{name}.meteor_stats.json")));
        let pairs = Pair::tokenize(&pairs);
        let got = meteor.score(&pairs).expect("scores");
        for (pair, statistics) in pairs.iter().zip(&got.statistics) {
            assert_eq!(
                Value::from(statistics.to_string()),
                wanted["meteor_stats"][&pair.id],
                "{name} {}",
                pair.id
            );
        }
        let corpus = &json(folder.join(format!("expected/{name}.json")))["corpus"]["METEOR"];
        close(got.corpus, number(corpus), 1e-9, name);
    }
}

#[test]
fn nlg_eval_examples() {
    let Some(folder) = folder("captioning") else { return };
    for case in json(folder.join("nlg_eval_examples.json"))["cases"].as_array().expect("cases") {
        let references = case["refs"].as_array().expect("references");
        let pairs: Vec<Pair> = references
            .iter()
            .zip(texts(&case["hyps"]))
            .map(|(references, candidate)| Pair {
                id: String::new(),
                references: texts(references),
                candidate,
            })
            .collect();
        let got =
            captions::score(&pairs, Options { bleu: true, rouge: true, cider: true, frequencies: None })
                .corpus;
        let wanted = &case["expected"];
        for (n, score) in got.bleu.expect("asked for").into_iter().enumerate() {
            if let Some(wanted) = wanted[format!("Bleu_{}", n + 1)].as_f64() {
                close(score, wanted, 2e-6, "BLEU");
            }
        }
        close(got.rouge_l.expect("asked for"), number(&wanted["ROUGE_L"]), 1e-6, "ROUGE-L");
        close(got.cider.expect("asked for"), number(&wanted["CIDEr"]), 1e-6, "CIDEr");
    }
}

#[test]
fn cider_in_both_forms() {
    let Some(folder) = folder("cider") else { return };
    let wanted = json(folder.join("expected/abstract48S_candsB.json"));
    let references = layouts::read_references(&folder.join("abstract48S.json")).expect("references");
    let entries = json(folder.join("abstract_candsB.json"));
    let entries = entries.as_array().expect("candidates");
    // An image may have several candidates here, so the door's check for doubled ids does not apply.
    let pairs: Vec<Pair> = entries
        .iter()
        .map(|entry| {
            let id = entry["image_id"].as_str().expect("an id").to_owned();
            let image = references
                .images
                .iter()
                .find(|image| image.id == id)
                .expect("every candidate has references");
            let candidate = entry["caption"].as_str().expect("a caption").to_owned();
            Pair { id, references: image.captions.clone(), candidate }
        })
        .collect();
    let pairs = Pair::tokenize(&pairs);
    let tokens = texts(&json(folder.join("expected/abstract_candsB.tokens.json")));
    assert!(pairs.iter().map(|pair| &pair.candidate).eq(&tokens), "tokens of the abstract scenes");
    check_cider(&pairs, &wanted);
    for (name, references, candidates) in [
        ("coco_fakecap1000", "fakecap1000_spice_input_refs.json", "fakecap1000_results.json"),
        ("coco_oscar_val5k", "oscar_val5k_caption_coco_format.json", "oscar_val5k_pred.json"),
    ] {
        let captioning = folder.join("../captioning");
        let (pairs, _) = captions::pairs_of(&captioning.join(references), &captioning.join(candidates))
            .expect("the files fit");
        check_cider(&Pair::tokenize(&pairs), &json(folder.join(format!("expected/{name}.json"))));
    }
}

fn check_cider(pairs: &[Pair], wanted: &Value) {
    let got = captions::score(pairs, Options { cider: true, ..Options::default() });
    close(got.corpus.cider.expect("asked for"), number(&wanted["CIDErD"]), 1e-9, "CIDEr-D");
    close(got.corpus.cider_plain.expect("asked for"), number(&wanted["CIDEr"]), 1e-9, "CIDEr");
    for (index, scores) in got.per_image.iter().enumerate() {
        close(
            scores.cider.expect("asked for"),
            number(&wanted["CIDErD_per_candidate"][index]),
            1e-8,
            "CIDEr-D",
        );
        close(
            scores.cider_plain.expect("asked for"),
            number(&wanted["CIDEr_per_candidate"][index]),
            1e-8,
            "CIDEr",
        );
    }
}

#[test]
fn frequencies_from_pickle_and_json() {
    let Some(folder) = folder("cider") else { return };
    let pickle = DocumentFrequencies::read(&folder.join("df_fakecap1000_eos.p")).expect("the pickle");
    let text = DocumentFrequencies::read(&folder.join("df_fakecap1000_eos.json")).expect("the JSON");
    assert!(pickle.has_end_of_caption());
    assert!(pickle == text, "pickle and JSON differ");

    let references =
        layouts::read_references(&folder.join("../captioning/fakecap1000_spice_input_refs.json"))
            .expect("references");
    let with_end: Vec<Vec<String>> = references
        .images
        .iter()
        .map(|image| image.captions.iter().map(|caption| captions::reward_caption(caption)).collect())
        .collect();
    // The file keeps what occurs twice.
    let mut counted = DocumentFrequencies::count(with_end.iter().map(Vec::as_slice));
    counted.frequency.retain(|_, count| *count >= 2.0);
    assert!(counted == pickle, "the counted frequencies differ");

    let wanted = json(folder.join("expected/fakecap1000_eos_dffile.json"));
    let entries = json(folder.join("../captioning/fakecap1000_spice_input_refs.json"));
    let pairs: Vec<Pair> = entries
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| Pair {
            id: entry["image_id"].to_string(),
            references: texts(&entry["refs"]),
            candidate: entry["test"].as_str().expect("a caption").to_owned(),
        })
        .collect();
    let got = captions::score(&pairs, Options { frequencies: Some(&pickle), ..Options::default() });
    close(got.corpus.cider_d_given.expect("asked for"), number(&wanted["CIDErD"]), 1e-9, "CIDEr-D");
    for (pair, scores) in pairs.iter().zip(&got.per_image) {
        close(
            scores.cider_d_given.expect("asked for"),
            number(&wanted["per_image"][&pair.id]),
            1e-8,
            &pair.id,
        );
    }
}

#[test]
fn self_critical_rewards() {
    let Some(folder) = folder("cider") else { return };
    let file = json(folder.join("expected/scst_reward_batch40x5.json"));
    let frequencies = DocumentFrequencies::read(&folder.join("df_fakecap1000_eos.p")).expect("the pickle");
    let references: Vec<Vec<String>> = file["gt"].as_array().expect("references").iter().map(texts).collect();
    let (samples, greedy) = (texts(&file["samples"]), texts(&file["greedy"]));
    let each = file["samples_per_image"].as_u64().expect("a count") as usize;
    let sampled = samples.iter().enumerate().map(|(index, caption)| (caption.as_str(), index / each));
    let decoded = greedy.iter().enumerate().map(|(image, caption)| (caption.as_str(), image));
    for (mode, source) in [("corpus", Frequencies::Candidates), ("df_file", Frequencies::Given(&frequencies))]
    {
        for (baseline, with_greedy) in [("greedy_baseline", true), ("sample_baseline", false)] {
            let wanted = &file["modes"][mode][baseline];
            let scores = wanted["scores"].as_array().expect("scores");
            let candidates: Vec<_> = if with_greedy {
                sampled.clone().chain(decoded.clone()).collect()
            } else {
                sampled.clone().collect()
            };
            let got = captions::cider_d(&candidates, &references, source);
            assert_eq!(got.len(), scores.len());
            for (got, wanted) in got.iter().zip(scores) {
                close(*got, number(wanted), 1e-8, mode);
            }
            for (index, wanted) in wanted["reward"].as_array().expect("rewards").iter().enumerate() {
                let image = index / each;
                let base = if with_greedy {
                    got[samples.len() + image]
                } else {
                    let all: f64 = got[image * each..][..each].iter().sum();
                    (all - got[index]) / (each - 1) as f64
                };
                close(got[index] - base, number(wanted), 1e-8, baseline);
            }
        }
    }
}

#[test]
fn vqa_scores_and_normalisation() {
    let Some(folder) = folder("vqa") else { return };
    let file = |name: &str| folder.join(format!("vqav2_nlp1_test_{name}.json"));
    let got =
        vqa::read_and_score(&file("questions"), &file("annotations"), &file("predictions")).expect("scores");
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
        close(*score, number(&wanted["per_question_round2"][id]), 0.005 + 1e-9, id);
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
                .map(|answer| if normalised { vqa::normalise(&vqa::tidy(answer)) } else { answer.to_owned() })
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
    let got = nlvr2::read_and_score(&folder.join("dev.json"), &folder.join("dev_pred_p50_title.csv"))
        .expect("scores");
    let wanted = &json(folder.join("expected/dev_expected.json"))["p50_title"];
    close(got.accuracy, number(&wanted["accuracy"]), 1e-12, "accuracy");
    close(got.consistency, number(&wanted["consistency"]), 1e-12, "consistency");
    assert_eq!(Value::from(got.sentences), wanted["n_unique_sentences"]);
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
