//! `cargo quickstart`: the whole way on a made-up corpus, with one crash in the middle.
#![expect(clippy::print_stdout, reason = "the quickstart talks to its user")]

use std::path::PathBuf;

use anyhow::{Result, ensure};
use conformance::binaries::{pipeline_command, root, run};
use conformance::made_up::MadeUp;
use conformance::oracle;

fn main() -> Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).map_or_else(|| root().join("target/quickstart"), PathBuf::from);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    println!("1. A feature TSV with captions: 600 pictures of 12 regions x 256 numbers, 5 captions each");
    let corpus = MadeUp { pictures: 600, regions: 12, width: 256, captions: 5, seed: 1 };
    let files = corpus.write(&folder.join("input"))?;
    let dataset = folder.join("dataset");
    let out = dataset.display().to_string();
    let features = format!("features={}", files.features.display());
    let captions = format!("captions={}", files.captions.display());
    let spec = "data-specs/corpora/lxmert-tsv.toml";
    let build =
        ["build", spec, "--set", &features, "--set", &captions, "--set", "shard.rows=100", "--out", &out];

    println!("\n2. Build, and die (kill -9) when the third shard has its name but no receipt");
    println!("   pipeline {}", build.join(" "));
    let (code, _, _) = run(pipeline_command(build).env("PIPELINE_FAILPOINT", "shard-renamed:3"));
    ensure!(code == 128 + 9, "the build was to be killed and ended with {code}");

    println!("\n3. The same command again");
    show(&build)?;
    for (number, title, command) in [
        (4, "Verify: every byte against the manifest", vec!["verify", &out]),
        (5, "Statistics", vec!["stats", &out, "--html"]),
        (6, "Two rows", vec!["peek", &out, "--rows", "2"]),
        (7, "Where did a picture go?", vec!["explain", &out, "9"]),
    ] {
        println!("\n{number}. {title}");
        let page = folder.join("stats.html").display().to_string();
        let mut command = command;
        if command.last() == Some(&"--html") {
            command.push(&page);
        }
        show(&command)?;
    }
    let expected = oracle::expected(&files.features, Some(&files.captions))?;
    ensure!(oracle::found(&dataset)? == expected, "rows differ from the input");
    println!("\nAn independent reader compared all rows with the input: nothing lost, doubled or changed.");
    println!("Look around in {}", folder.display());
    Ok(())
}

fn show(arguments: &[&str]) -> Result<()> {
    println!("   pipeline {}", arguments.join(" "));
    let (code, out, errors) = run(&mut pipeline_command(arguments));
    println!("{out}");
    ensure!(code == 0, "pipeline ended with {code}: {errors}");
    Ok(())
}
