//! The seven tasks on the drawn corpus: from the pre-trained model to a table of scores beside what one gets without looking.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, run};
use conformance::own_pictures::typed;
use serde_json::{Value, json};

/// What the tasks start from.
pub(super) struct Start<'a> {
    /// The quickstart's folder.
    pub(super) folder: &'a Path,
    /// The drawn corpus.
    pub(super) corpus: &'a str,
    /// Arguments of `pipeline build` that name the backbone.
    pub(super) regions: &'a [&'a str],
    /// Shards of the training captions.
    pub(super) captions: &'a str,
    /// The pre-trained model folder.
    pub(super) model: &'a str,
    /// Whether there are pictures enough to learn from, so that scores must be better than not to look.
    pub(super) is_enough: bool,
}

/// A fine-tuning.
struct Training {
    /// What the folder of the run is called.
    run: &'static str,
    task: &'static str,
    /// Shards to learn from, and to hold out.
    data: [&'static str; 2],
    /// The run whose model it starts from; without it the pre-trained model.
    from: Option<&'static str>,
    /// Settings beside those of the task's small preset.
    settings: &'static [&'static str],
}

/// Statements about pairs are learnt step by step: from the model that answers questions, first the plainest ones.
const TRAININGS: [Training; 6] = [
    of("text-retrieval", ["captions-train", "captions-val"], &[]),
    of("captioning", ["captions-train", "captions-val"], &["schedule.epochs=3"]),
    of("vqa", ["vqa-train", "vqa-val"], &[]),
    of("gqa", ["gqa-train", "gqa-val"], &["schedule.epochs=4"]),
    Training {
        run: "nlvr2-plain",
        task: "nlvr2",
        data: ["nlvr2-plain-train", "nlvr2-dev"],
        from: Some("vqa"),
        settings: &["model.replace_head=true"],
    },
    Training { from: Some("nlvr2-plain"), ..of("nlvr2", ["nlvr2-train", "nlvr2-dev"], &[]) },
];

/// A fine-tuning of the pre-trained model.
const fn of(task: &'static str, data: [&'static str; 2], settings: &'static [&'static str]) -> Training {
    Training { run: task, task, data, from: None, settings }
}

/// An evaluation: the command, whose model, of which shards, and for the lines of the table that come from it which task that
/// is, where its figure stands in what is printed, and how many per cent that is of.
type Line = (&'static str, &'static [&'static str], f64);
const SCORES: [(&str, &str, &str, &[Line]); 6] = [
    // every picture against every caption gives both directions
    (
        "text-retrieval",
        "text-retrieval",
        "captions-test",
        &[("text-retrieval", &["i2t", "R@1"], 100.0), ("image-retrieval", &["t2i", "R@1"], 100.0)],
    ),
    ("captioning", "captioning", "captions-test", &[("captioning", &["corpus", "CIDEr"], 100.0)]),
    ("nocaps", "captioning", "nocaps-val", &[("nocaps", &["entire", "corpus", "CIDEr"], 100.0)]),
    ("vqa", "vqa", "vqa-test", &[("vqa", &["overall"], 1.0)]),
    ("gqa", "gqa", "gqa-testdev", &[("gqa", &["accuracy"], 1.0)]),
    ("nlvr2", "nlvr2", "nlvr2-test1", &[("nlvr2", &["accuracy"], 100.0)]),
];

/// Tasks that a few minutes are always enough for; pairs need more.
const MUST_LEARN: [&str; 5] = ["text-retrieval", "image-retrieval", "captioning", "nocaps", "vqa"];

/// Builds the shards of all tasks but the training captions.
pub(super) fn build(start: &Start<'_>) -> Result<()> {
    let shards: Vec<&str> = TRAININGS
        .iter()
        .flat_map(|training| training.data)
        .chain(SCORES.iter().map(|score| score.2))
        .collect();
    for name in std::collections::BTreeSet::from_iter(shards) {
        if name == "captions-train" {
            continue;
        }
        let (spec, out) = (format!("{}/specs/{name}.toml", start.corpus), start.path(name));
        let mut build = vec!["build", spec.as_str()];
        build.extend(start.regions);
        build.extend(["--out", out.as_str()]);
        println!("   pipeline {}", typed(&build));
        start.json(&mut pipeline_command(&build))?;
    }
    Ok(())
}

/// Fine-tunes, scores, and prints the table.
pub(super) fn learn(start: &Start<'_>) -> Result<()> {
    for Training { run, task, data: [train, held_out], from, settings } in TRAININGS {
        let (config, out) =
            (format!("finetune/configs/{task}-small.toml"), start.path(&format!("{run}-run")));
        let model = from.map_or(start.model.to_owned(), |run| start.path(&format!("{run}-run/model")));
        let held_out = format!("data.held_out=[{{ path = {:?} }}]", start.path(held_out));
        let train = start.path(train);
        let mut command = vec![task, "train", "--config", config.as_str(), "--data", train.as_str()];
        command.extend(["--model", model.as_str(), "--set", held_out.as_str()]);
        settings.iter().for_each(|set| command.extend(["--set", *set]));
        command.extend(["--set", "batch.micro=16", "--ranks", "2"]);
        command.extend(["--out", out.as_str()]);
        println!("   finetune {}", typed(&command));
        let outcome = start.json(finetune_command(&command).arg("--json"))?;
        println!("   the best after {} updates: {}", outcome["best"]["step"], outcome["best"]["score"]);
    }
    let without = start.without_looking()?;
    let (mut lines, mut behind) = (Vec::new(), Vec::new());
    for (command, model, data, told) in SCORES {
        let found = start.json(&mut start.eval(command, model, data))?;
        for &(task, figure, times) in told {
            let found = figure.iter().fold(&found, |value, key| &value[*key]);
            let ours = times * found.as_f64().with_context(|| format!("{task} printed no {figure:?}"))?;
            let [majority, words] = without[task];
            let what = figure[figure.len() - 1];
            lines.push(format!("   {task:<16} {majority:>22.1} {words:>12.1} {ours:>8.1}   {what}"));
            if ours <= majority.max(words) {
                behind.push(task);
            }
        }
    }
    println!("\n   {:<16} {:>22} {:>12} {:>8}   of what", "", "most frequent answer", "words alone", "ours");
    println!("{}", lines.join("\n"));
    if !behind.is_empty() {
        println!("   From so few pictures, {} got no further than without looking.", behind.join(", "));
    }
    let missed: Vec<&str> =
        MUST_LEARN.into_iter().filter(|task| start.is_enough && behind.contains(task)).collect();
    ensure!(missed.is_empty(), "no better than not to look: {}", missed.join(", "));
    Ok(())
}

impl Start<'_> {
    fn path(&self, name: &str) -> String {
        match name {
            "captions-train" => self.captions.to_owned(),
            _ => self.folder.join(name).display().to_string(),
        }
    }

    /// The JSON that a command prints last.
    fn json(&self, command: &mut Command) -> Result<Value> {
        let (code, out, errors) = run(command);
        ensure!(code == 0, "it ended with {code}: {errors}");
        Ok(serde_json::from_str(out.lines().last().unwrap_or("null")).unwrap_or(Value::Null))
    }

    fn eval(&self, task: &str, model: &str, data: &str) -> Command {
        let model = self.path(&format!("{model}-run/model"));
        let data = self.path(data);
        let command = [task, "eval", "--model", model.as_str(), "--data", data.as_str(), "--json"];
        println!("   finetune {}", typed(&command));
        finetune_command(command)
    }

    /// For each task the most frequent answer, and the best that a model of words reaches, in per cent. To captions both are
    /// the most frequent caption; to retrieval the first is chance.
    fn without_looking(&self) -> Result<BTreeMap<&'static str, [f64; 2]>> {
        println!("   pipeline synth-baselines {}", self.corpus);
        let found = self.json(&mut pipeline_command(["synth-baselines", self.corpus, "--json"]))?;
        let number =
            |value: &Value| value.as_f64().map(|share| 100.0 * share).context("a baseline is missing");
        let mut without = BTreeMap::new();
        for (task, name) in [("vqa", "VQA v2"), ("gqa", "GQA (balanced)"), ("nlvr2", "NLVR2")] {
            let of_task =
                found["words"].as_array().and_then(|all| all.iter().find(|one| one["task"] == name));
            let of_task = of_task.with_context(|| format!("no baseline of {name}"))?;
            without.insert(task, [number(&of_task["majority"])?, number(&of_task["text_only"])?]);
        }
        let words = found["retrieval"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["scorer"] == "words alone"));
        let words = words.context("no baseline of retrieval")?;
        without
            .insert("text-retrieval", [number(&words["chance_to_text"][0])?, number(&words["to_text"][0])?]);
        without.insert(
            "image-retrieval",
            [number(&words["chance_to_picture"][0])?, number(&words["to_picture"][0])?],
        );
        for (task, references, keys) in [
            ("captioning", "coco/annotations/captions_test2014.json", &["corpus", "CIDEr"][..]),
            ("nocaps", "nocaps/nocaps_val_captions.json", &["entire", "corpus", "CIDEr"]),
        ] {
            let score = self.one_caption_for_all(task, &format!("{}/{references}", self.corpus), keys)?;
            without.insert(task, [score, score]);
        }
        Ok(without)
    }

    fn one_caption_for_all(&self, task: &str, references: &str, keys: &[&str]) -> Result<f64> {
        let read =
            |path: &str| -> Result<Value> { Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?) };
        let training = read(&format!("{}/coco/annotations/captions_train2014.json", self.corpus))?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for caption in training["annotations"].as_array().context("no captions")? {
            *counts.entry(caption["caption"].as_str().context("no caption")?).or_insert(0) += 1;
        }
        let (most, _) = counts.iter().max_by_key(|(_, count)| **count).context("no captions")?;
        let images = read(references)?;
        let images = images["images"].as_array().context("no images")?;
        let entries = images.iter().map(|image| json!({ "image_id": image["id"], "caption": most }));
        let file = self.path(&format!("{task}-one-caption.json"));
        std::fs::write(&file, Value::Array(entries.collect()).to_string())?;
        let mut score = finetune_command(["score", task, "--json", "--references", references]);
        let found = self.json(score.args(["--candidates", &file]))?;
        let found = keys.iter().fold(&found, |value, key| &value[*key]);
        Ok(100.0 * found.as_f64().context("no CIDEr")?)
    }
}
