use super::*;

fn question(
    answer: &str,
    structural: &str,
    group: &str,
    entailed: &[&str],
    balanced: bool,
) -> serde_json::Value {
    serde_json::json!({
        "answer": answer, "question": "what is this ?", "isBalanced": balanced, "entailed": entailed,
        "groups": {"global": group, "local": "x"},
        "types": {"detailed": if group == "c" { "twoCommon" } else { "x" }, "semantic": "obj", "structural": structural},
        "semantic": [
            {"operation": "select", "argument": "dog (1)"},
            {"operation": "query", "argument": "name"},
            {"operation": "exist", "argument": "?"},
        ],
    })
}

fn run(
    questions: serde_json::Value,
    predictions: serde_json::Value,
    choices: Option<serde_json::Value>,
) -> Result<GqaScores, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, value: serde_json::Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).expect("writing it");
        path
    };
    let given = TextFile::from_bytes("p.json".as_ref(), predictions.to_string().into_bytes());
    let choices = choices.map(|choices| write("c.json", choices));
    score_files(&write("q.json", questions), &given.expect("JSON is UTF-8"), choices.as_deref())
}

fn predictions(pairs: &[(&str, &str)]) -> serde_json::Value {
    pairs.iter().map(|(id, answer)| serde_json::json!({"questionId": id, "prediction": answer})).collect()
}

#[test]
fn every_score_on_four_questions() {
    let questions = serde_json::json!({
        "1": question("red", "query", "color", &["1", "2", "4"], true),
        "2": question("yes", "verify", "b", &[], true),
        "3": question("shape", "compare", "c", &["1"], true),
        "4": question("no", "verify", "b", &[], false),
    });
    let choices = serde_json::json!({
        "1": {"valid": ["red", "blue"], "plausible": ["red"]},
        "2": {"valid": ["yes"], "plausible": ["yes", "no"]},
        "3": {"valid": ["x"], "plausible": []},
    });
    let given =
        predictions(&[("1", "red"), ("2", "no"), ("3", "color"), ("4", "no"), ("9", "x"), ("4", "no")]);
    let got = run(questions, given, Some(choices)).expect("scores");
    assert!((got.accuracy - 100.0 / 3.0).abs() < 1e-9);
    assert_eq!((got.open, got.binary), (100.0, 0.0));
    assert_eq!(got.consistency, Some(50.0), "of 2 and 4 one is right; 3 is wrong itself");
    assert!((got.validity.expect("with choices") - 200.0 / 3.0).abs() < 1e-9);
    assert_eq!(got.plausibility, Some(100.0));
    // Groups b and c have the true answer never predicted: (0 - 1)^2 / 1 each, over three answers.
    assert!((got.distribution - 2.0 / 3.0 / 100.0).abs() < 1e-12, "{}", got.distribution);
    assert_eq!(got.per_length, [("4".to_owned(), got.accuracy)]);
    assert_eq!(got.per_steps, [("1".to_owned(), got.accuracy)]);
    let counts =
        GqaCounts { questions: 3, surplus_predictions: 1, doubled_predictions: 1, ..GqaCounts::default() };
    assert_eq!(got.counts, counts);
}

#[test]
fn without_entailed_predictions_no_consistency() {
    let questions = serde_json::json!({
        "1": question("red", "query", "color", &["4"], true),
        "4": question("no", "verify", "b", &[], false),
    });
    let got = run(questions, predictions(&[("1", "red")]), None).expect("scores");
    assert_eq!((got.consistency, got.validity, got.counts.entailed_without_prediction), (None, None, 1));
}

#[test]
fn entailed_questions_may_be_in_another_file() {
    let questions = serde_json::json!({"1": question("red", "query", "color", &["1", "4"], true)});
    let got = run(questions, predictions(&[("1", "red"), ("4", "no")]), None).expect("scores");
    assert_eq!((got.accuracy, got.consistency, got.counts.entailed_without_question), (100.0, None, 1));
}

#[test]
fn what_is_no_text_equals_no_answer() {
    let questions = serde_json::json!({
        "1": question("3", "query", "count", &[], true),
        "2": question("null", "query", "count", &[], true),
        "3": question("red", "query", "color", &[], true),
    });
    let given = serde_json::json!([
        {"questionId": 1, "prediction": 3}, {"questionId": "2", "prediction": null},
        {"questionId": "3", "prediction": "red"},
    ]);
    let got = run(questions, given, None).expect("scores");
    assert!((got.accuracy - 100.0 / 3.0).abs() < 1e-9);
    assert_eq!(got.counts.predictions_not_text, 2);
}

#[test]
fn bad_input_is_named() {
    let questions = serde_json::json!({"71": question("red", "query", "color", &[], true)});
    let unbalanced = serde_json::json!({"71": question("red", "query", "color", &[], false)});
    let right = || predictions(&[("71", "red")]);
    for (questions, given, choices, part) in [
        (&questions, predictions(&[]), None, "p.json: no entry for id 71"),
        (&questions, serde_json::json!([{"questionId": "71", "prediction": ["red"]}]), None, "71 is a list"),
        (&questions, serde_json::json!([{"questionId": "71"}]), None, "71 is missing"),
        (&questions, serde_json::json!({"71": "red"}), None, "a list of {questionId, prediction}"),
        (&questions, right(), Some(serde_json::json!({})), "c.json: no entry for id 71"),
        (&unbalanced, right(), None, "q.json: holds no balanced questions"),
        (&serde_json::json!([]), right(), None, "q.json is not GQA questions"),
    ] {
        let message = run(questions.clone(), given, choices).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}
