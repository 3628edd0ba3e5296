//! Constraints: which, how they are read, what is found.

use std::collections::BTreeMap;

use finetune_captioning::constrained::{
    Automaton, ConstrainedSettings, Constraint, ConstraintFilter, Detection, Found, Hierarchy, Overlap,
    constrained_beam_search,
};
use serde_json::Value;

use super::{SPECIAL, Tables, close, folder, ids, json, list, number, texts, whole};

fn automaton(case: &Value, forms: &Value, model: &Tables) -> Automaton {
    let piece = |word: &str| match &forms[word] {
        Value::Null => vec![model.id(word)],
        forms => texts(forms).iter().map(|form| model.id(form)).collect(),
    };
    let constraint = |name: &String| Constraint::new(name.split(' ').map(piece).collect());
    let constraints: Vec<Constraint> = texts(&case["constraints"]).iter().map(constraint).collect();
    Automaton::new(&constraints).expect("legal constraints")
}

#[test]
fn automata_and_constrained_beam_search() {
    let Some(folder) = folder("decoding") else { return };
    let file = json(folder.join("cbs_expected.json"));
    let mut model = Tables::read(&json(folder.join("beam_search_expected.json")));
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 16);
    for case in cases {
        let what = format!("{} image {}", case["constraints"], case["image"]);
        let automaton = automaton(case, &file["wordforms"], &model);
        let states = list(&case["fsm"]);
        assert_eq!((automaton.states(), states.len()), (whole(&case["num_states"]), states.len()), "{what}");
        for (state, wanted) in states.iter().enumerate() {
            let except: BTreeMap<u32, Vec<u32>> = wanted["except"]
                .as_object()
                .expect("an object")
                .iter()
                .map(|(token, targets)| (model.id(token), ids(targets)))
                .collect();
            let default = ids(&wanted["default"]);
            for token in 0..model.vocabulary.len() as u32 {
                let got: Vec<u32> = automaton.next(state, token).map(|state| state as u32).collect();
                assert_eq!(
                    &got,
                    except.get(&token).unwrap_or(&default),
                    "{what} state {state} token {token}"
                );
            }
            assert!(automaton.awaited(state).eq(except.keys().copied()), "{what} state {state}");
        }

        model.pictures = vec![whole(&case["image"])];
        let settings = ConstrainedSettings {
            max_length: whole(&case["max_steps"]),
            beams: whole(&case["beam_size"]),
            satisfy: whole(&case["min_constraints_to_satisfy"]),
        };
        let found = constrained_beam_search(&mut model, &[automaton], SPECIAL, &settings).unwrap().remove(0);
        check_states(&found, case, settings.max_length, &what);
        assert_eq!(filled(&found.caption.tokens, settings.max_length), ids(&case["best_ids"]), "{what}");
        close(found.caption.score, number(&case["best_logprob_per_token"]), 2e-6, &what);
    }

    // All of one length together are what each is alone.
    for (max_length, beams) in [(12, 3), (20, 5)] {
        let of_length = || cases.iter().filter(move |case| whole(&case["max_steps"]) == max_length);
        let automata: Vec<Automaton> =
            of_length().map(|case| automaton(case, &file["wordforms"], &model)).collect();
        model.pictures = of_length().map(|case| whole(&case["image"])).collect();
        let settings = ConstrainedSettings { max_length, beams, satisfy: 2 };
        let found = constrained_beam_search(&mut model, &automata, SPECIAL, &settings).unwrap();
        assert_eq!(found.len(), 8);
        for (found, case) in found.iter().zip(of_length()) {
            assert_eq!(filled(&found.caption.tokens, max_length), ids(&case["best_ids"]), "in a batch");
        }
    }
}

fn check_states(found: &Found, case: &Value, max_length: usize, what: &str) {
    let scores = list(&case["state_beam_logprobs"]);
    assert_eq!(found.states.len(), scores.len(), "{what}");
    for (state, (captions, scores)) in found.states.iter().zip(scores).enumerate() {
        // Captions that the file has no number for cannot be reached.
        let scores: Vec<f64> = list(scores).iter().filter_map(Value::as_f64).collect();
        assert_eq!(captions.len(), scores.len(), "{what} state {state}");
        for (caption, score) in captions.iter().zip(&scores) {
            // The file has five decimals of f32 sums.
            close(caption.log_probability, *score, 3e-5, &format!("{what} state {state}"));
        }
        if let Some(best) = captions.first() {
            let wanted = ids(&case["state_top_beam"][state]);
            assert_eq!(filled(&best.tokens, max_length), wanted, "{what} state {state}");
        }
    }
}

fn filled(tokens: &[u32], length: usize) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    tokens.resize(length, SPECIAL.sep);
    tokens
}

#[test]
fn which_detections_become_constraints() {
    let Some(folder) = folder("decoding") else { return };
    let file = json(folder.join("constraint_filter_expected.json"));
    let tree = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tree.path(), file["hierarchy"].to_string()).unwrap();
    let filter = |overlap| ConstraintFilter::new(Hierarchy::read(tree.path()).unwrap(), overlap);
    let (kept, removed) = (filter(Overlap::Kept), filter(Overlap::GenericRemoved));
    let cases = list(&file["cases"]);
    let mut different = 0;
    for case in cases {
        let detections: Vec<Detection> = list(&case["boxes"])
            .iter()
            .zip(texts(&case["class_names"]))
            .zip(list(&case["scores"]))
            .map(|((rect, class), confidence)| Detection {
                rect: serde_json::from_value(rect.clone()).unwrap(),
                class,
                confidence: number(confidence),
            })
            .collect();
        let mut names = kept.constraints(&detections).unwrap();
        names.sort();
        assert_eq!(names, texts(&case["expected_constraints_sorted"]));
        let mut specific = removed.constraints(&detections).unwrap();
        specific.sort();
        different += usize::from(names != specific);
    }
    // The file is of the published program, which removes nothing; the paper's rule would change these.
    assert_eq!((cases.len(), different), (60, 15));
}
