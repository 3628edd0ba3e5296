//! `cargo quickstart`: the whole way on a drawn corpus, with one crash in the middle.
#![expect(clippy::print_stdout, reason = "the quickstart talks to its user")]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, root, run};
use conformance::oracle;

fn main() -> Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).map_or_else(|| root().join("target/quickstart"), PathBuf::from);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let (corpus, sheet, trained, weights) =
        (path("corpus"), path("sheet.png"), path("backbone"), path("backbone.safetensors"));
    let (dataset, page, rows) = (path("dataset"), path("stats.html"), path("rows.png"));

    println!("1. Draw a corpus: 120 pictures with captions, boxes and questions in the official layouts");
    show(&["synth", "--images", "120", "--seed", "7", "--out", &corpus, "--contact-sheet", &sheet])?;

    println!("\n2. Train a small EfficientNet for a moment on crops of its objects, and export the weights");
    let (train, held_out) =
        (format!("data.train={corpus}/crops/train"), format!("data.held_out={corpus}/crops/val"));
    let config = "finetune/configs/efficientnet-half.toml";
    let settings =
        ["--set", &train, "--set", &held_out, "--set", "input.side=48", "--set", "schedule.epochs=4"];
    show_finetune(
        &[&["backbone", "train", "--config", config], &settings[..], &["--out", &trained]].concat(),
    )?;
    show_finetune(&["backbone", "eval", "--run", &trained])?;
    show_finetune(&["backbone", "export", "--run", &trained, "--out", &weights])?;

    println!(
        "\n3. Build the training captions with it, and die (kill -9) when the second shard has its name but no receipt"
    );
    let (spec, weights) = (format!("{corpus}/specs/captions-train.toml"), format!("weights={weights}"));
    let regions = ["--set", "backbone=efficientnet_half", "--set", &weights, "--set", "shard.rows=10"];
    let build = [&["build", &spec], &regions[..], &["--out", &dataset]].concat();
    println!("   pipeline {}", build.join(" "));
    let (code, _, errors) = run(pipeline_command(&build).env("PIPELINE_FAILPOINT", "shard-renamed:2"));
    ensure!(code == 128 + 9, "the build was to be killed and ended with {code}: {errors}");

    println!("\n4. The same command again");
    show(&build)?;
    for (number, title, command) in [
        (5, "Verify: every byte against the manifest", vec!["verify", &dataset]),
        (6, "Statistics, and a page of them", vec!["stats", &dataset, "--html", &page]),
        (7, "Two rows, and a drawing of them", vec!["peek", &dataset, "--rows", "2", "--png", &rows]),
        (8, "Where did a picture go?", vec!["explain", &dataset, "9"]),
    ] {
        println!("\n{number}. {title}");
        show(&command)?;
    }
    let annotations = folder.join("corpus/coco/annotations");
    let expected = oracle::annotated(
        &annotations.join("captions_train2014.json"),
        &annotations.join("instances_train2014.json"),
    )?;
    ensure!(oracle::triples(&folder.join("dataset"))? == expected, "rows differ from the annotations");
    println!(
        "\nAn independent reader compared {} rows with the annotations: nothing lost, doubled or changed.",
        expected.len()
    );
    println!("Look at {sheet}, {rows} and {page}");
    Ok(())
}

fn show(arguments: &[&str]) -> Result<()> {
    println!("   pipeline {}", arguments.join(" "));
    succeed(&mut pipeline_command(arguments))
}

fn show_finetune(arguments: &[&str]) -> Result<()> {
    println!("   finetune {}", arguments.join(" "));
    succeed(&mut finetune_command(arguments))
}

fn succeed(command: &mut Command) -> Result<()> {
    let (code, out, errors) = run(command);
    println!("{out}");
    ensure!(code == 0, "it ended with {code}: {errors}");
    Ok(())
}
