//! Rules of the house that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use conformance::binaries::{finetune, pipeline_command, pretrain, root, run};

/// Who may use whom (docs/architecture.md); everything that a named crate may use is meant too.
const MAY_USE: &[(&str, &[&str])] = &[
    ("torch-files", &[]),
    ("data-specs", &["torch-files"]),
    ("pretrain-comm", &[]),
    ("pretrain-kernels", &[]),
    ("pretrain-training", &["data-specs", "pretrain-comm", "pretrain-kernels"]),
    ("pretrain", &["pretrain-training"]),
    ("finetune-backbones", &["pretrain-training"]),
    ("finetune-captioning", &["finetune-harness", "finetune-metrics"]),
    ("finetune-metrics", &["torch-files"]),
    ("finetune-regions", &["finetune-backbones"]),
    ("finetune-harness", &["pretrain"]),
    ("finetune-qa", &["finetune-harness", "finetune-metrics"]),
    ("finetune-nlvr2", &["finetune-harness", "finetune-metrics"]),
    ("finetune-retrieval", &["finetune-harness", "finetune-metrics"]),
    (
        "finetune",
        &[
            "finetune-captioning",
            "finetune-metrics",
            "finetune-nlvr2",
            "finetune-qa",
            "finetune-regions",
            "finetune-retrieval",
        ],
    ),
    ("pipeline", &["finetune-regions", "pipeline-synth"]),
    ("pipeline-synth", &["data-specs"]),
    ("conformance", &["finetune", "pipeline", "pretrain"]),
];

/// All that `name` may use, directly or through others.
fn allowed(name: &str) -> BTreeSet<&'static str> {
    let Some((_, direct)) = MAY_USE.iter().find(|(known, _)| *known == name) else { return BTreeSet::new() };
    direct.iter().flat_map(|used| allowed(used).into_iter().chain([*used])).collect()
}

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
    let rules: BTreeSet<_> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), rules.len(), "a crate without a rule, or a rule without a crate");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        assert!(rules.contains(name), "no rule for {name}");
        let allowed = allowed(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            assert!(!rules.contains(used) || allowed.contains(used), "{name} may not use {used}");
            let command_line = matches!(used, "clap" | "anyhow" | "indicatif" | "signal-hook");
            let has_binary = matches!(name, "pipeline" | "pretrain" | "finetune" | "conformance");
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
        "features-check",
        "vocabulary",
        "bench",
        "synth",
        "synth-baselines",
    ];
    let mut help = run(&mut pipeline_command(["--help"])).1;
    for verb in verbs {
        assert!(help.contains(verb), "{verb}");
        help.push_str(&format!("\n---- {verb}\n{}", run(&mut pipeline_command([verb, "--help"])).1));
    }
    is_frozen("pipeline-help.txt", &help);

    let mut help = String::new();
    for verb in ["forward", "train", "eval", "export", "cam", "scale", "summary"] {
        let mut command = Command::new(finetune());
        help.push_str(&format!(
            "---- backbone {verb}\n{}",
            run(command.args(["backbone", verb, "--help"])).1
        ));
    }
    is_frozen("finetune-backbone-help.txt", &help);

    let mut help = String::new();
    for verb in ["convert", "train", "eval", "predict", "forward", "summary"] {
        let mut command = Command::new(finetune());
        help.push_str(&format!(
            "---- detector {verb}\n{}",
            run(command.args(["detector", verb, "--help"])).1
        ));
    }
    is_frozen("finetune-detector-help.txt", &help);

    let mut help = String::new();
    for task in ["image-retrieval", "text-retrieval", "captioning", "nocaps", "vqa", "gqa", "nlvr2"] {
        for verb in ["train", "eval", "predict"] {
            let mut command = Command::new(finetune());
            help.push_str(&format!("---- {task} {verb}\n{}", run(command.args([task, verb, "--help"])).1));
        }
    }
    is_frozen("finetune-tasks-help.txt", &help);

    let mut help = String::new();
    for verb in ["run", "convert", "forward", "bench", "inspect"] {
        let mut command = Command::new(pretrain());
        help.push_str(&format!("---- {verb}\n{}", run(command.args([verb, "--help"])).1));
    }
    is_frozen("pretrain-help.txt", &help);
}

fn is_frozen(name: &str, help: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, help).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert!(help == golden, "the help changed; if meant, UPDATE_GOLDEN=1 cargo test -p conformance frozen");
}

#[test]
fn every_spec_loads_and_starts_with_its_command() {
    let mut specs = [0, 0];
    let folders = ["corpora", "compositions"].map(|name| root().join("data-specs").join(name));
    for path in
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path())
    {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        assert!(text.starts_with("# ") && text.contains("pipeline build ") && text.contains(&name), "{name}");
        match data_specs::Spec::load(&path, &[]).unwrap() {
            data_specs::Spec::Corpus(_) => specs[0] += 1,
            data_specs::Spec::Composition(all) => specs[1] += usize::from(all.sources.len() >= 7),
        }
    }
    assert!(specs[0] >= 20 && specs[1] == 2, "{specs:?}");
}

#[test]
fn documents_name_only_what_exists() {
    let (_, help, _) = run(&mut pipeline_command(["--help"]));
    let documents = [
        "README.md",
        "docs/architecture.md",
        "docs/backbones.md",
        "docs/corpora.md",
        "docs/imports.md",
        "docs/own-pictures.md",
        "docs/scores.md",
        "docs/synth.md",
        "docs/tasks.md",
        "docs/training.md",
        "docs/bench/backbones.md",
        "docs/bench/build.md",
        "docs/bench/pictures.md",
    ];
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
