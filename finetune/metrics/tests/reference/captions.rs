//! Tokens, BLEU, ROUGE-L, CIDEr, METEOR.

use std::path::Path;

use finetune_metrics::captions::{self, Options, Pair, meteor::Statistics, ptb};
use serde_json::Value;

use super::{close, folder, json, number, pairs, skipped, texts};

#[test]
fn ptb_hard_strings() {
    let Some(folder) = folder("tokenizer") else { return };
    let file = json(folder.join("ptb_expected.json"));
    let cases = file["cases"].as_array().expect("cases");
    let given: Vec<&str> = cases.iter().map(|case| case["text"].as_str().expect("a text")).collect();
    for ((case, given), got) in cases.iter().zip(&given).zip(ptb::tokenize_all(&given).iter()) {
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
        let raw = pairs(folder.join(references), folder.join(candidates));
        let tokens = Pair::tokenize(&raw);
        let pairs = tokens.pairs(&raw);
        let tokens = |set: &str| json(folder.join(format!("expected/{set}.tokens.json")));
        let (reference_tokens, candidate_tokens) = (tokens(reference_tokens), tokens(name));
        for pair in &pairs {
            let id = pair.id.to_string();
            assert_eq!(pair.references, texts(&reference_tokens["refs"][&id]), "{name} {id}");
            assert_eq!(pair.candidate, candidate_tokens["cands"][&id].as_str().expect("tokens"), "{name}");
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
            check(scores, &wanted["per_image"][pair.id.to_string()], 1e-8);
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
        let raw = pairs(folder.join(references), folder.join(candidates));
        let wanted = json(folder.join(format!("expected/{name}.meteor_stats.json")));
        let tokens = Pair::tokenize(&raw);
        let pairs = tokens.pairs(&raw);
        let got = meteor.score(&pairs).expect("scores");
        for (pair, statistics) in pairs.iter().zip(&got.statistics) {
            assert_eq!(
                Value::from(statistics.to_string()),
                wanted["meteor_stats"][pair.id.to_string()],
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
        let references = case["refs"].as_array().expect("references").iter();
        let pairs: Vec<Pair<'_>> = references
            .zip(texts(&case["hyps"]))
            .map(|(references, candidate)| Pair {
                references: texts(references).into_iter().map(Into::into).collect(),
                candidate: candidate.into(),
                ..Pair::default()
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
