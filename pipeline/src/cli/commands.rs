//! One function a command.

use std::env;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use data_specs::{CorpusSpec, Dataset, Manifest, Spec, Verify, VocabularyOptions, WordCounts};
use pipeline::{BuildOptions, CheckOptions};
use serde_json::json;

use super::arguments::{
    BenchArguments, BuildArguments, Command, DatasetArguments, ExplainArguments, FeaturesCheckArguments,
    PeekArguments, PlanArguments, RunTaskArguments, SpecArguments, StatsArguments, VocabularyArguments,
};
use super::composition;
use super::exit::Exit;
use super::progress::Progress;
use super::report;
use super::stdout::{say, say_line};
use super::synth;

pub(super) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Build(arguments) => match load_any(&arguments.spec)? {
            Spec::Corpus(spec) if arguments.dry_run => dry_run(&spec, &arguments),
            Spec::Corpus(spec) => build(&spec, &arguments),
            Spec::Composition(composition) => composition::build(&composition, &arguments),
        },
        Command::Plan(arguments) => plan(&arguments),
        Command::RunTask(arguments) => run_task(&arguments),
        Command::Commit(arguments) => commit(&arguments),
        Command::Retry(arguments) => retry(&arguments),
        Command::Verify(arguments) => verify(&arguments),
        Command::Stats(arguments) => stats(&arguments),
        Command::Peek(arguments) => peek(&arguments),
        Command::Explain(arguments) => explain(&arguments),
        Command::FeaturesCheck(arguments) => features_check(&arguments),
        Command::Vocabulary(arguments) => vocabulary(&arguments),
        Command::Bench(arguments) => bench(&arguments),
        Command::Synth(arguments) => synth::synth(&arguments),
        Command::SynthBaselines(arguments) => synth::baselines(&arguments),
    }
}

fn load_any(arguments: &SpecArguments) -> anyhow::Result<Spec> {
    Spec::load(&arguments.spec, &arguments.set).map_err(|error| pipeline::Error::from(error).into())
}

/// The spec of one data set, for commands that make one.
fn load(arguments: &SpecArguments) -> anyhow::Result<CorpusSpec> {
    match load_any(arguments)? {
        Spec::Corpus(spec) => Ok(*spec),
        Spec::Composition(_) => Err(pipeline::Error::from(data_specs::Error::Spec {
            place: arguments.spec.display().to_string(),
            what: "is a composition of several data sets".into(),
            hint: "plan each of its sources by the source's own spec, or let `pipeline build` do all".into(),
        })
        .into()),
    }
}

fn build(spec: &CorpusSpec, arguments: &BuildArguments) -> anyhow::Result<Exit> {
    let progress = Progress::start()?;
    let started = Instant::now();
    let options = BuildOptions { threads: arguments.threads };
    let built = pipeline::build(spec, &arguments.out, options, &progress)?;
    progress.finish();
    finish_build(&built, started, arguments.json)
}

fn finish_build(built: &pipeline::BuildReport, started: Instant, json: bool) -> anyhow::Result<Exit> {
    if json {
        say_line!("{}", serde_json::to_string(built)?)?;
    } else {
        say!("{}", report::built(built, started.elapsed()))?;
    }
    Ok(if built.too_many_rejects { Exit::TooManyRejects } else { Exit::Done })
}

fn dry_run(spec: &CorpusSpec, arguments: &BuildArguments) -> anyhow::Result<Exit> {
    let progress = Progress::start()?;
    let plan = pipeline::dry_run(spec, &progress)?;
    progress.finish();
    if arguments.json {
        say_line!("{}", plan_json(&plan))?;
    } else {
        say!("{}", report::planned(&plan, &arguments.out))?;
    }
    Ok(Exit::Done)
}

fn plan(arguments: &PlanArguments) -> anyhow::Result<Exit> {
    let spec = load(&arguments.spec)?;
    let progress = Progress::start()?;
    let plan = pipeline::plan_only(&spec, &arguments.out, &progress)?;
    progress.finish();
    if arguments.json {
        say_line!("{}", plan_json(&plan))?;
    } else {
        say!("{}", report::planned(&plan, &arguments.out))?;
        say_line!("next      pipeline run-task {0} N, then pipeline commit {0}", arguments.out.display())?;
    }
    Ok(Exit::Done)
}

pub(super) fn plan_json(plan: &pipeline::Plan) -> serde_json::Value {
    json!({
        "build_id": plan.build_id(),
        "tasks": plan.tasks.len(),
        "rows": plan.task_rows(),
        "texts": plan.tasks.iter().map(|task| task.texts).sum::<u64>(),
        "bytes": plan.task_bytes(),
        "turned_away": { "rows": plan.rows, "texts": plan.texts },
        "warnings": plan.warnings,
    })
}

fn run_task(arguments: &RunTaskArguments) -> anyhow::Result<Exit> {
    let task = match arguments.task {
        Some(task) => task,
        None => task_of_environment()?,
    };
    let progress = Progress::start()?;
    let options = BuildOptions { threads: arguments.threads };
    let ran = pipeline::run_task(&arguments.dataset, task, options, &progress)?;
    progress.finish();
    say_line!("task {task} {}", if ran { "is done" } else { "was done before" })?;
    Ok(Exit::Done)
}

/// What schedulers call the number of a process.
const TASK_VARIABLES: [&str; 4] =
    ["PIPELINE_TASK", "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "OMPI_COMM_WORLD_RANK"];

fn task_of_environment() -> anyhow::Result<usize> {
    for name in TASK_VARIABLES {
        if let Ok(value) = env::var(name) {
            return value.parse().with_context(|| format!("{name}={value} is no task number"));
        }
    }
    bail!("no task number\n  hint: pipeline run-task DATASET N, or set {}", TASK_VARIABLES.join(", "))
}

fn commit(arguments: &DatasetArguments) -> anyhow::Result<Exit> {
    let progress = Progress::start()?;
    let started = Instant::now();
    let built = pipeline::commit(&arguments.dataset, &progress)?;
    progress.finish();
    finish_build(&built, started, arguments.json)
}

fn retry(arguments: &DatasetArguments) -> anyhow::Result<Exit> {
    let progress = Progress::start()?;
    let retried = pipeline::retry(&arguments.dataset, &progress)?;
    progress.finish();
    if arguments.json {
        say_line!("{}", serde_json::to_string(&retried)?)?;
    } else if retried.rows == 0 {
        say_line!("nothing to retry: no reject is marked retryable")?;
    } else {
        say_line!(
            "{} of {} rows recovered; manifest version {}",
            retried.recovered,
            retried.rows,
            retried.version
        )?;
    }
    Ok(Exit::Done)
}

fn verify(arguments: &DatasetArguments) -> anyhow::Result<Exit> {
    let found = match pipeline::verify(&arguments.dataset) {
        Ok(found) => found,
        // For a machine, no manifest is an answer like others.
        Err(error) if arguments.json => {
            let problem = error.to_string();
            say_line!(
                "{}",
                json!({ "ok": false, "rows": 0, "texts": 0, "rejected": 0, "shards": [], "problems": [problem] })
            )?;
            return Ok(Exit::CheckFailed);
        }
        Err(error) => return Err(error.into()),
    };
    if arguments.json {
        say_line!("{}", serde_json::to_string(&found)?)?;
    } else {
        say!("{}", report::verified(&found, &arguments.dataset))?;
    }
    Ok(if found.ok { Exit::Done } else { Exit::CheckFailed })
}

fn stats(arguments: &StatsArguments) -> anyhow::Result<Exit> {
    let progress = Progress::start()?;
    let stats = pipeline::stats(&arguments.dataset, arguments.threads, &progress)?;
    progress.finish();
    if let Some(page) = &arguments.html {
        std::fs::write(page, pipeline::stats_page(&stats))
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    if arguments.json {
        say_line!("{}", serde_json::to_string(&stats)?)?;
    } else {
        say!("{stats}")?;
        if let Some(page) = &arguments.html {
            say_line!("page      {}", page.display())?;
        }
    }
    Ok(Exit::Done)
}

fn features_check(arguments: &FeaturesCheckArguments) -> anyhow::Result<Exit> {
    let &FeaturesCheckArguments { pictures, iou, least_matched, least_cosine, least_tags, .. } = arguments;
    let options = CheckOptions { pictures, iou, least_matched, least_cosine, least_tags };
    let progress = Progress::start()?;
    let folders = [arguments.dataset.as_path(), arguments.other.as_path()];
    let found = pipeline::features_check(folders, options, &progress)?;
    progress.finish();
    if arguments.json {
        say_line!("{}", serde_json::to_string(&found)?)?;
    } else {
        say!("{found}")?;
    }
    Ok(if found.alike { Exit::Done } else { Exit::CheckFailed })
}

fn vocabulary(arguments: &VocabularyArguments) -> anyhow::Result<Exit> {
    let mut words = WordCounts::default();
    for folder in &arguments.datasets {
        count_words(folder, &mut words)?;
    }
    let options = VocabularyOptions { size: arguments.size, ..VocabularyOptions::default() };
    let vocabulary = words.train(&options).map_err(pipeline::Error::from)?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot create {}", arguments.out.display()))?;
    vocabulary.write(&arguments.out).map_err(pipeline::Error::from)?;
    let (tokens, words, out) = (vocabulary.tokens().len(), words.len(), arguments.out.display());
    if arguments.json {
        say_line!("{}", json!({ "tokens": tokens, "words": words, "out": out.to_string() }))?;
    } else {
        say_line!("{tokens} tokens from {words} different words: {out}")?;
    }
    Ok(Exit::Done)
}

fn count_words(folder: &Path, words: &mut WordCounts) -> anyhow::Result<()> {
    let dataset = Dataset::with(folder, Verify::First, 1).map_err(pipeline::Error::from)?;
    for index in 0..dataset.manifest().shards.len() {
        let shard = dataset.shard(index).map_err(pipeline::Error::from)?;
        let rows = (0..shard.len()).map(|row| shard.short(row));
        let (mut texts, mut tags) = (Vec::new(), Vec::new());
        for row in rows {
            texts.extend(row.texts.iter().map(|text| text.text.as_str()));
            texts.extend(row.texts.iter().flat_map(|text| &text.answers).map(|answer| answer.text.as_str()));
            tags.extend(row.images.iter().flat_map(|image| &image.tags).map(|tag| tag.name.as_str()));
        }
        words.add(&texts).map_err(pipeline::Error::from)?;
        words.add(&tags).map_err(pipeline::Error::from)?;
    }
    Ok(())
}

/// One JSON line, to be put beside another program's.
fn bench(arguments: &BenchArguments) -> anyhow::Result<Exit> {
    let BenchArguments { dataset, batch, regions, epochs } = arguments;
    say_line!("{}", serde_json::to_string(&pipeline::bench_read(dataset, *batch, *regions, *epochs)?)?)?;
    Ok(Exit::Done)
}

fn peek(arguments: &PeekArguments) -> anyhow::Result<Exit> {
    let manifest = Manifest::latest(&arguments.dataset).map_err(pipeline::Error::from)?;
    let rows = match &arguments.key {
        None => pipeline::peek(&arguments.dataset, arguments.from, arguments.rows)?,
        Some(key) => rows_of_key(&arguments.dataset, &manifest, key)?,
    };
    if rows.is_empty() {
        say_line!("no such row: the data set has {}", manifest.rows.written)?;
        return Ok(Exit::CheckFailed);
    }
    for (number, sample) in &rows {
        say!("{}", pipeline::row_as_text(*number, sample, manifest.features.width))?;
    }
    if let Some(path) = &arguments.png {
        let samples: Vec<_> = rows.into_iter().map(|(_, sample)| sample).collect();
        let png = pipeline::draw_rows(&arguments.dataset, &samples)?;
        std::fs::write(path, png).map_err(pipeline::Error::io("write", path))?;
        say_line!("drawn     {}", path.display())?;
    }
    Ok(Exit::Done)
}

fn rows_of_key(
    folder: &Path,
    manifest: &Manifest,
    key: &str,
) -> anyhow::Result<Vec<(u64, data_specs::Sample)>> {
    let mut rows = Vec::new();
    for finding in pipeline::explain(folder, key)? {
        if let pipeline::Finding::Shard { shard, row, .. } = finding {
            let before = manifest.shards.iter().take_while(|entry| entry.name != shard);
            let number = before.map(|entry| entry.rows).sum::<u64>() + row as u64;
            rows.extend(pipeline::peek(folder, number, 1)?);
        }
    }
    Ok(rows)
}

fn explain(arguments: &ExplainArguments) -> anyhow::Result<Exit> {
    let findings = pipeline::explain(&arguments.dataset, &arguments.key)?;
    if arguments.json {
        say_line!("{}", json!({ "key": arguments.key, "findings": findings }))?;
    } else {
        say!("{}", report::explained(&arguments.key, &findings))?;
    }
    Ok(if findings.is_empty() { Exit::CheckFailed } else { Exit::Done })
}
