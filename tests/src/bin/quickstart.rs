//! `cargo quickstart [FOLDER [PICTURES]]`: the whole way on a drawn corpus, with one crash in the middle.
#![expect(clippy::print_stdout, reason = "the quickstart talks to its user")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, pretrain_command, root, run};
use conformance::oracle;
use conformance::own_pictures::{Effort, Eyes, Way, typed};

#[path = "quickstart/tasks.rs"]
mod tasks;

/// Pictures from which all tasks are learnt; from fewer the same way is gone, and nothing is asked of the scores.
const ENOUGH: u64 = 4000;

fn main() -> Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).map_or_else(|| root().join("target/quickstart"), PathBuf::from);
    let pictures = std::env::args().nth(2).map_or(Ok(ENOUGH), |count| count.parse::<u64>())?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let (corpus, sheet, trained, weights) =
        (path("corpus"), path("sheet.png"), path("backbone"), path("backbone.safetensors"));
    let (dataset, page, rows) = (path("dataset"), path("stats.html"), path("rows.png"));

    println!("The three programs are built first; the first time that takes some minutes.");
    conformance::binaries::pipeline();

    let started = Instant::now();
    println!(
        "1. Draw a corpus: {pictures} pictures with captions, boxes and questions in the official layouts"
    );
    let count = pictures.to_string();
    show(&["synth", "--images", &count, "--seed", "7", "--out", &corpus, "--contact-sheet", &sheet])?;

    // among few pictures some looks are held out that none to learn from has
    let (view, by) = if pictures >= ENOUGH { ("looks", "colour and kind") } else { ("crops", "kind") };
    println!("\n2. Train a small EfficientNet on crops of its objects by {by}, and export the weights");
    let (train, held_out) =
        (format!("data.train={corpus}/{view}/train"), format!("data.held_out={corpus}/{view}/val"));
    let config = "finetune/configs/efficientnet-half.toml";
    let settings = ["--set", &train, "--set", &held_out, "--set", "schedule.epochs=3"];
    show_finetune(
        &[&["backbone", "train", "--config", config], &settings[..], &["--out", &trained]].concat(),
    )?;
    show_finetune(&["backbone", "eval", "--run", &trained])?;
    show_finetune(&["backbone", "export", "--run", &trained, "--out", &weights])?;

    println!(
        "\n3. Build the training captions with it, and die (kill -9) when the second shard has its name but no receipt"
    );
    let eyes = weights;
    let (spec, weights) = (format!("{corpus}/specs/captions-train.toml"), format!("weights={eyes}"));
    let regions = ["--set", "backbone=efficientnet_half", "--set", &weights];
    let rows_of_shard = format!("shard.rows={}", (pictures / 25).max(8));
    let build = [&["build", &spec], &regions[..], &["--set", &rows_of_shard, "--out", &dataset]].concat();
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

    println!("\n9. Shards of the other tasks, with the same eyes");
    let (words, pretrained) = (path("words"), path("pretrained"));
    let model = format!("{pretrained}/model");
    let start = tasks::Start {
        folder: &folder,
        corpus: &corpus,
        regions: &regions,
        captions: &dataset,
        model: &model,
        is_enough: pictures >= ENOUGH,
    };
    tasks::build(&start)?;

    println!("\n10. Pre-train a small model on captions and questions: interrupted by SIGTERM, then resumed");
    let (vqa, gqa, statements) = (path("vqa-train"), path("gqa-train"), path("nlvr2-train"));
    show(&["vocabulary", &dataset, &vqa, &gqa, &statements, "--out", &words])?;
    let sets = [&dataset, &vqa, &gqa].map(|path| format!("{{ path = {path:?} }}")).join(", ");
    let (tokenizer, data) = (format!("model.tokenizer={words}"), format!("data.train=[{sets}]"));
    let steps = format!("schedule.steps={}", pictures.max(300));
    // so small a model is faster as two ranks of one thread than as one of two
    let ranks = ["--set", "batch.micro=32", "--ranks", "2"];
    let settings = [&["--set", &tokenizer, "--set", &data, "--set", &steps], &ranks[..]].concat();
    let train = [&["run", "pretrain/configs/small.toml"], &settings[..], &["--out", &pretrained]].concat();
    println!("   pretrain {}", typed(&train));
    interrupt(&mut pretrain_command(&train), &folder.join("pretrained/metrics.jsonl"))?;
    let resumed = [&train[..], &["--resume"]].concat();
    println!("   pretrain {}", typed(&resumed));
    succeed(&mut pretrain_command(&resumed))?;
    println!("   pretrain inspect {pretrained}/model");
    succeed(&mut pretrain_command(["inspect", &format!("{pretrained}/model")]))?;

    println!("\n11. The seven tasks: fine-tuning from that model, scores on pictures that none has seen");
    tasks::learn(&start)?;

    println!("\n12. What the words of a question look at");
    let (vqa, questions, looked) = (path("vqa-run/model"), path("vqa-test"), path("looked-at.png"));
    let key = first_key(&questions)?;
    let explain =
        ["vqa", "predict", "--model", &vqa, "--data", &questions, "--key", &key, "--explain", &looked];
    show_finetune(&explain)?;
    println!("All that took {:.1} minutes.", started.elapsed().as_secs_f64() / 60.0);

    println!("\n13. A picture of one's own: a detector, then pictures and captions without any annotation");
    let own = Way { folder: &folder, corpus: &corpus, weights: &eyes, tell: |line| println!("   {line}") };
    let drawn = own_picture(&own, pictures >= ENOUGH)?;
    println!("\nLook at {sheet}, {rows}, {looked}, {drawn} and {page}.");
    println!("The models are in {pretrained}/model and *-run/model.");
    println!("With the detector it took {:.1} minutes.", started.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Trains a detector, learns captions of what it finds, and asks about a test picture; the drawing of what was found there.
fn own_picture(own: &Way<'_>, is_enough: bool) -> Result<String> {
    let (updates, effort) = match is_enough {
        true => (1000, Effort { pretraining: 1500, epochs: 2 }),
        false => (100, Effort { pretraining: 200, epochs: 1 }),
    };
    let (detector, ap50) = own.train_detector(updates)?;
    println!("   mAP@0.5 on held-out pictures: {ap50:.2}");
    let (captioner, cider) = own.learn_captions("seen", Eyes::Detector(&detector), effort)?;
    println!("   CIDEr on test pictures: {:.1}", 100.0 * cider);
    let picture = own.test_picture()?;
    let (model, image) = (detector.display().to_string(), picture.display().to_string());
    let out = own.folder.join("detected").display().to_string();
    show_finetune(&["detector", "predict", "--model", &model, "--image", &image, "--out", &out])?;
    let (caption, names) = own.ask(&captioner, &detector, &picture)?;
    println!("   {caption}\n   seen: {}", names.join(", "));
    ensure!(!is_enough || ap50 > 0.4, "a detector that finds so little is no help");
    let name = picture.file_stem().context("a picture has a name")?.to_string_lossy();
    Ok(format!("{out}/{name}.png"))
}

/// The key of a data set's first row.
fn first_key(dataset: &str) -> Result<String> {
    let (code, out, errors) = run(&mut pipeline_command(["peek", dataset, "--rows", "1"]));
    ensure!(code == 0, "it ended with {code}: {errors}");
    // row 0  KEY  (SOURCE, SPLIT)
    Ok(out.split_whitespace().nth(2).context("no row")?.to_owned())
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
