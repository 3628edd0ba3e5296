//! Rules of the house that a machine can check.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use conformance::binaries::{pipeline_command, root, run};

/// Who may use whom (docs/architecture.md); everything that a named crate may use is meant too.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("torch-files", &[]),
    ("data-specs", &["torch-files"]),
    ("finetune-metrics", &["torch-files"]),
    ("finetune", &["finetune-metrics", "data-specs", "torch-files"]),
    ("pipeline", &["data-specs", "torch-files"]),
    ("conformance", &["data-specs", "torch-files", "finetune-metrics", "finetune", "pipeline"]),
];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_use_only_whom_they_may() {
    let metadata = metadata();
    let rules: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), rules.len(), "a crate without a rule, or a rule without a crate");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let allowed = rules.get(name).unwrap_or_else(|| panic!("no rule for {name}"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            assert!(!rules.contains_key(used) || allowed.contains(&used), "{name} may not use {used}");
            let command_line = matches!(used, "clap" | "anyhow" | "indicatif" | "signal-hook");
            let has_binary = matches!(name, "pipeline" | "finetune" | "conformance");
            assert!(!command_line || has_binary, "{name} is a library and knows {used}");
        }
    }
}

#[test]
fn the_command_line_is_the_frozen_one() {
    let verbs = [
        "build",
        "plan",
        "run-task",
        "commit",
        "retry",
        "verify",
        "stats",
        "peek",
        "explain",
        "vocabulary",
        "bench",
    ];
    let mut help = run(&mut pipeline_command(["--help"])).1;
    for verb in verbs {
        assert!(help.contains(verb), "{verb}");
        help.push_str(&format!("\n---- {verb}\n{}", run(&mut pipeline_command([verb, "--help"])).1));
    }
    let path = root().join("tests/golden/pipeline-help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &help).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert!(help == golden, "the help changed; if meant, UPDATE_GOLDEN=1 cargo test -p conformance frozen");
}

#[test]
fn every_spec_loads_and_starts_with_its_command() {
    let folder = root().join("data-specs/corpora");
    let mut specs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# ") && text.contains("pipeline build "), "{}", path.display());
        data_specs::CorpusSpec::load(&path, &[]).unwrap();
        specs += 1;
    }
    assert!(specs >= 12, "{specs}");
}

#[test]
fn documents_name_only_what_exists() {
    let (_, help, _) = run(&mut pipeline_command(["--help"]));
    let documents = ["README.md", "docs/architecture.md", "docs/imports.md", "docs/bench/build.md"];
    for document in documents {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for part in text.split("pipeline ").skip(1) {
            let verb: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let is_command = part.contains(' ')
                && ["DIR", "OUT", "SPEC"]
                    .iter()
                    .any(|word| part[verb.len()..].trim_start().starts_with(word));
            assert!(!is_command || help.contains(&format!("  {verb}")), "{document}: pipeline {verb}");
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let folder = root().join(document).parent().unwrap().to_path_buf();
            assert!(link.starts_with("http") || folder.join(link).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn a_decoder_that_panics_must_unwind() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("panic = \"unwind\"") && !manifest.contains("panic = \"abort\""));
}
