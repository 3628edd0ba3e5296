//! `cargo quickstart`: the whole way on a drawn corpus, with one crash in the middle.
#![expect(clippy::print_stdout, reason = "the quickstart talks to its user")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, pretrain_command, root, run};
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
    println!("   pipeline {}", typed(&build));
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

    println!(
        "\n9. Pre-train a small model on the shards: interrupted by SIGTERM after a while, then resumed"
    );
    let (words, pretrained) = (path("words"), path("pretrained"));
    show(&["vocabulary", &dataset, "--out", &words])?;
    let (tokenizer, data) =
        (format!("model.tokenizer={words}"), format!("data.train=[{{ path = {dataset:?} }}]"));
    let settings = ["--set", &tokenizer, "--set", &data, "--set", "schedule.steps=300"];
    let train = [&["run", "pretrain/configs/debug.toml"], &settings[..], &["--out", &pretrained]].concat();
    println!("   pretrain {}", typed(&train));
    interrupt(&mut pretrain_command(&train), &folder.join("pretrained/metrics.jsonl"))?;
    let resumed = [&train[..], &["--resume"]].concat();
    println!("   pretrain {}", typed(&resumed));
    succeed(&mut pretrain_command(&resumed))?;
    println!("   pretrain inspect {pretrained}/model");
    succeed(&mut pretrain_command(["inspect", &format!("{pretrained}/model")]))?;
    println!("Look at {sheet}, {rows} and {page}; the model is in {pretrained}/model");
    Ok(())
}

/// A command as one types it: what a shell would take apart is quoted.
fn typed(arguments: &[&str]) -> String {
    let is_plain = |word: &str| !word.contains([' ', '"', '[', '{']);
    let words =
        arguments.iter().map(|word| if is_plain(word) { (*word).to_owned() } else { format!("'{word}'") });
    words.collect::<Vec<_>>().join(" ")
}

fn show(arguments: &[&str]) -> Result<()> {
    println!("   pipeline {}", typed(arguments));
    succeed(&mut pipeline_command(arguments))
}

fn show_finetune(arguments: &[&str]) -> Result<()> {
    println!("   finetune {}", typed(arguments));
    succeed(&mut finetune_command(arguments))
}

/// Starts a training, and ends it by SIGTERM as soon as it has told some steps.
fn interrupt(command: &mut Command, figures: &Path) -> Result<()> {
    let mut training = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let started = Instant::now();
    while std::fs::read_to_string(figures).map_or(0, |text| text.lines().count()) < 5 {
        ensure!(training.try_wait()?.is_none(), "the training ended before it was interrupted");
        ensure!(started.elapsed() < Duration::from_secs(120), "no step in two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&training),
        rustix::process::Signal::TERM,
    )?;
    let code = training.wait()?.code();
    println!("   interrupted: exit code {code:?}");
    ensure!(code == Some(143), "it was to end with 143");
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let (code, out, errors) = run(command);
    println!("{out}");
    ensure!(code == 0, "it ended with {code}: {errors}");
    Ok(())
}
