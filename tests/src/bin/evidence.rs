//! What takes too long for `cargo test`: one command a claim.
//!
//!     cargo run --release -p conformance --bin evidence -- picture-mutants [COUNT]
//!     cargo run --release -p conformance --bin evidence -- backbones
//!     cargo run --release -p conformance --bin evidence -- pretraining
//!     cargo run --release -p conformance --bin evidence -- own-pictures
//!     cargo run --release -p conformance --bin evidence -- studies [smallest]
#![expect(clippy::print_stdout, reason = "evidence is shown")]

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use conformance::binaries::{finetune_command, pipeline_command, root, run};
use serde_json::Value;

#[path = "evidence/own_pictures.rs"]
mod own_pictures;
#[path = "evidence/pretraining.rs"]
mod pretraining;
#[path = "evidence/studies.rs"]
mod studies;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["picture-mutants"] => picture_mutants(2000),
        ["picture-mutants", count] => picture_mutants(count.parse()?),
        ["backbones"] => backbones(),
        ["pretraining"] => pretraining::evidence(),
        ["own-pictures"] => own_pictures::evidence(),
        ["studies"] => studies::evidence(studies::Size::FULL),
        ["studies", "smallest"] => studies::evidence(studies::Size::SMALLEST),
        _ => bail!(
            "evidence picture-mutants [COUNT] | backbones | pretraining | own-pictures | studies [smallest]"
        ),
    }
}

/// COUNT mutants of each picture format, and all bombs, decoded in child processes with limits on memory and time: no
/// escaped panic, no abort, no hang, at most 64 MiB for a refused picture. One line of figures a format.
fn picture_mutants(count: u32) -> Result<()> {
    println!("{count} mutants a format");
    let status = Command::new(env!("CARGO"))
        .args(["test", "--release", "-p", "finetune-regions", "--test", "hostile", "--", "--nocapture"])
        .env("OSCAR_MUTANTS", count.to_string())
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "a decoder did what it must not: see above");
    Ok(())
}

/// A small EfficientNet and a small ResNeXt learn the drawn objects from nothing: each at least 95 % of the held-out crops,
/// within ten minutes on two cores. One line of figures a network.
fn backbones() -> Result<()> {
    let folder = root().join("target/evidence/backbones");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let corpus = path("corpus");
    let drawn = ["synth", "--images", "2000", "--seed", "7", "--out", &corpus, "--json"];
    object(&mut pipeline_command(drawn))?;
    let pictures = [format!("data.train={corpus}/crops/train"), format!("data.held_out={corpus}/crops/val")];
    for (preset, side, epochs) in [("efficientnet-half", 64, 12), ("resnext26", 48, 8)] {
        let mut train = finetune_command(["backbone", "train", "--json", "--config"]);
        train.arg(format!("finetune/configs/{preset}.toml")).args(["--out", &path(preset)]);
        let settings = [format!("input.side={side}"), format!("schedule.epochs={epochs}")];
        for set in pictures.iter().chain(&settings) {
            train.args(["--set", set]);
        }
        let started = Instant::now();
        let top1 = object(&mut train)?["scores"]["top1"].as_f64().context("no score")?;
        let minutes = started.elapsed().as_secs_f64() / 60.0;
        println!("{preset}: {:.1} % top-1 after {epochs} epochs, {minutes:.1} minutes", 100.0 * top1);
        ensure!(top1 >= 0.95, "{preset} learnt {top1}");
    }
    Ok(())
}

/// The JSON object that a command prints last.
fn object(command: &mut Command) -> Result<Value> {
    let (code, out, errors) = run(command);
    ensure!(code == 0, "it ended with {code}: {errors}");
    Ok(serde_json::from_str(out.lines().last().context("it printed nothing")?)?)
}
