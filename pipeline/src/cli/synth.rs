//! Drawing a corpus, and measuring how far one gets in it without looking.

use std::time::Instant;

use indicatif::HumanCount;
use pipeline::Watch as _;
use pipeline_synth::{CorpusOptions, World};

use super::arguments::{SynthArguments, SynthBaselinesArguments};
use super::exit::Exit;
use super::progress::Progress;
use super::stdout::{say, say_line};

pub(super) fn synth(arguments: &SynthArguments) -> anyhow::Result<Exit> {
    let world = match &arguments.world {
        Some(path) => World::load(path).map_err(engine_error)?,
        None => World::standard(),
    };
    let progress = Progress::start()?;
    let started = Instant::now();
    let options = CorpusOptions { images: arguments.images, seed: arguments.seed };
    progress.planned(0, 0, arguments.images as u64);
    let report =
        pipeline_synth::write(&world, options, &arguments.out, &Drawing(&progress)).map_err(|error| {
            match progress.interrupted() {
                Some(signal) => pipeline::Error::Interrupted { signal }.into(),
                None => engine_error(error),
            }
        })?;
    progress.finish();
    if let Some(path) = &arguments.contact_sheet {
        let scenes = pipeline_synth::sheet(&arguments.out).map_err(engine_error)?;
        let png = pipeline::draw_contact_sheet(&scenes)?;
        std::fs::write(path, png).map_err(pipeline::Error::io("write", path))?;
    }
    if arguments.json {
        say_line!("{}", serde_json::to_string(&report)?)?;
        return Ok(Exit::Done);
    }
    let folder = report.folder.display();
    let pictures: usize = report.pictures.values().sum();
    let seconds = started.elapsed().as_secs_f64();
    say_line!(
        "drawn     {folder}: {} pictures, {} crops, in {seconds:.1} s",
        HumanCount(pictures as u64),
        HumanCount(report.crops as u64)
    )?;
    for (name, pictures) in &report.pictures {
        say_line!("pictures  {name}: {}", HumanCount(*pictures as u64))?;
    }
    for (name, records) in &report.records {
        say_line!("records   {name}: {}", HumanCount(*records))?;
    }
    say_line!("specs     {}", report.specs.join(" "))?;
    say_line!("next      pipeline build {folder}/specs/captions-train.toml --out OUT")?;
    Ok(Exit::Done)
}

pub(super) fn baselines(arguments: &SynthBaselinesArguments) -> anyhow::Result<Exit> {
    let found = pipeline_synth::measure(&arguments.corpus).map_err(engine_error)?;
    pipeline_synth::record(&arguments.corpus, &found).map_err(engine_error)?;
    if arguments.json {
        say_line!("{}", serde_json::to_string(&found)?)?;
    } else {
        say!("{found}")?;
    }
    Ok(Exit::Done)
}

/// What the engine calls the same failure, so that exit codes are one table.
fn engine_error(error: pipeline_synth::Error) -> anyhow::Error {
    match error {
        pipeline_synth::Error::Io { op, path, source } => pipeline::Error::Io { op, path, source }.into(),
        other => other.into(),
    }
}

/// Pictures are rows to the progress bar.
struct Drawing<'a>(&'a Progress);

impl pipeline_synth::Watch for Drawing<'_> {
    fn drawn(&self, _done: usize, _all: usize) {
        self.0.rows(1, 0);
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted().is_some()
    }
}
