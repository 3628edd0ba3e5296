//! CIDEr in its forms, document frequencies, rewards.

use finetune_metrics::{
    captions::{self, DocumentFrequencies, Frequencies, Options, Pair},
    layouts::{Id, References},
};
use serde_json::Value;

use super::{close, file, folder, json, number, texts};

#[test]
fn cider_in_both_forms() {
    let Some(folder) = folder("cider") else { return };
    let wanted = json(folder.join("expected/abstract48S_candsB.json"));
    let references = file(folder.join("abstract48S.json"));
    let references = References::read(&references).expect("references");
    let entries = json(folder.join("abstract_candsB.json"));
    let entries = entries.as_array().expect("candidates");
    // An image may have several candidates here, so the door's check for doubled ids does not apply.
    let raw: Vec<Pair<'_>> = entries
        .iter()
        .map(|entry| {
            let id: Id<'_> = entry["image_id"].as_str().expect("an id").into();
            let image = references.images.iter().find(|image| image.id == id);
            let references = image.expect("every candidate has references").captions.clone();
            let candidate = entry["caption"].as_str().expect("a caption").into();
            Pair { id, references, candidate, domain: None }
        })
        .collect();
    let tokens = Pair::tokenize(&raw);
    let pairs = tokens.pairs(&raw);
    let tokens = texts(&json(folder.join("expected/abstract_candsB.tokens.json")));
    assert!(pairs.iter().map(|pair| &pair.candidate).eq(&tokens), "tokens of the abstract scenes");
    check_cider(&pairs, &wanted);
    for (name, references, candidates) in [
        ("coco_fakecap1000", "fakecap1000_spice_input_refs.json", "fakecap1000_results.json"),
        ("coco_oscar_val5k", "oscar_val5k_caption_coco_format.json", "oscar_val5k_pred.json"),
    ] {
        let captioning = folder.join("../captioning");
        let raw = super::pairs(captioning.join(references), captioning.join(candidates));
        check_cider(&Pair::tokenize(&raw).pairs(&raw), &json(folder.join(format!("expected/{name}.json"))));
    }
}

fn check_cider(pairs: &[Pair<'_>], wanted: &Value) {
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

    let references = file(folder.join("../captioning/fakecap1000_spice_input_refs.json"));
    let references = References::read(&references).expect("references");
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
    let pairs: Vec<Pair<'_>> = entries
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| Pair {
            id: entry["image_id"].as_i64().expect("an id").into(),
            references: texts(&entry["refs"]).into_iter().map(Into::into).collect(),
            candidate: entry["test"].as_str().expect("a caption").into(),
            domain: None,
        })
        .collect();
    let got = captions::score(&pairs, Options { frequencies: Some(&pickle), ..Options::default() });
    close(got.corpus.cider_d_given.expect("asked for"), number(&wanted["CIDErD"]), 1e-9, "CIDEr-D");
    for (pair, scores) in pairs.iter().zip(&got.per_image) {
        close(
            scores.cider_d_given.expect("asked for"),
            number(&wanted["per_image"][pair.id.to_string()]),
            1e-8,
            &pair.id.to_string(),
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
