//! The documented commands on the reference cases, where they are.

use std::path::Path;

use conformance::binaries::{pipeline_command, run};
use conformance::oracle;
use conformance::reference::reference_data;
use serde_json::{Value, json};

fn build(arguments: &[String], out: &Path) {
    let mut command = pipeline_command(["build"]);
    let (code, _, errors) = run(command.args(arguments).arg("--out").arg(out));
    assert_eq!(code, 0, "{errors}");
}

fn verify(out: &Path) -> Value {
    let (code, json, errors) = run(pipeline_command(["verify", "--json"]).arg(out));
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&json).unwrap()
}

#[test]
fn the_airsplay_file_builds_with_and_without_captions() {
    let Some(data) = reference_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let features = data.join("features/airsplay_train2014_obj36.tsv");
    let set = format!("features={}", features.display());
    let spec = "data-specs/corpora/lxmert-tsv.toml".to_string();

    let plain = folder.path().join("plain");
    build(&[spec.clone(), "--set".into(), set.clone()], &plain);
    let found = verify(&plain);
    assert_eq!((&found["ok"], &found["rows"], &found["texts"]), (&json!(true), &json!(10), &json!(0)));
    assert_eq!(oracle::found(&plain).unwrap(), oracle::expected(&features, None).unwrap());

    // Two captions for nine of the ten pictures, and one for a picture that is not there.
    let ids = [132417, 573195, 578174, 494628, 207647, 84002, 306661, 387267, 131486];
    let mut annotations: Vec<Value> = Vec::new();
    for id in ids.iter().chain(&ids).chain(&[1]) {
        let number = annotations.len();
        annotations.push(json!({ "image_id": id, "id": number, "caption": format!("Caption {number}.") }));
    }
    let captions = folder.path().join("captions.json");
    std::fs::write(&captions, json!({ "images": [], "annotations": annotations }).to_string()).unwrap();
    let captions = format!("captions={}", captions.display());
    let joined = folder.path().join("joined");
    let rows = ["--set".to_string(), "shard.rows=4".to_string()];
    build(&[&[spec, "--set".into(), set, "--set".into(), captions][..], &rows].concat(), &joined);
    let found = verify(&joined);
    assert_eq!((&found["rows"], &found["texts"]), (&json!(9), &json!(18)));
    assert_eq!((&found["rejected_rows"], &found["rejected_texts"]), (&json!(1), &json!(1)));
    assert_eq!(found["shards"].as_array().unwrap().len(), 3);

    let (code, out, _) = run(pipeline_command(["explain"]).arg(&joined).args(["201446", "--json"]));
    assert!(code == 0 && out.contains("no-text"), "{out}");
}

#[test]
fn the_other_layouts_build() {
    let Some(data) = reference_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (spec, set) in [
        ("oscar-tsv", format!("yaml={}", data.join("features/oscar_tsv/train.yaml").display())),
        (
            "bottomup-tsv",
            format!("features={}", data.join("features/bottomup_trainval36_2rows.tsv").display()),
        ),
    ] {
        let out = folder.path().join(spec);
        build(&[format!("data-specs/corpora/{spec}.toml"), "--set".into(), set], &out);
        assert_eq!(verify(&out)["rows"], json!(2), "{spec}");
    }
}
