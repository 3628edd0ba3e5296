//! `pipeline build` on a composition: its sources one after the other, each a data set of its own.

use std::time::Instant;

use data_specs::{Composition, CompositionSource, CorpusSpec};
use indicatif::HumanCount;
use pipeline::BuildOptions;
use serde_json::{Map, Value, json};

use super::arguments::BuildArguments;
use super::commands::plan_json;
use super::exit::Exit;
use super::progress::Progress;
use super::report;
use super::stdout::{say, say_line};

/// Builds, or plans, the sources that the command line gives something; the others are named at the end.
pub(super) fn build(composition: &Composition, arguments: &BuildArguments) -> anyhow::Result<Exit> {
    let given = || composition.sources.iter().filter_map(|source| Some((source, source.spec.as_ref()?)));
    if given().next().is_none() {
        let first = &composition.sources[0];
        return Err(pipeline::Error::from(data_specs::Error::Spec {
            place: arguments.spec.spec.display().to_string(),
            what: "nothing is set of any of its sources".into(),
            hint: format!("{}; sources: {}", how_to_set(first), names(composition.sources.iter())),
        })
        .into());
    }
    let mut exit = Exit::Done;
    let mut told = Map::new();
    for (source, spec) in given() {
        let (source_exit, value) = match arguments.dry_run {
            true => plan_source(source, spec, arguments)?,
            false => build_source(source, spec, arguments)?,
        };
        if source_exit != Exit::Done {
            exit = source_exit;
        }
        told.insert(source.name.clone(), value);
    }
    let left_out: Vec<&CompositionSource> =
        composition.sources.iter().filter(|source| source.spec.is_none()).collect();
    if arguments.json {
        let left_out: Vec<&str> = left_out.iter().map(|source| source.name.as_str()).collect();
        say_line!("{}", json!({ "name": composition.name, "sources": told, "left_out": left_out }))?;
    } else {
        for source in left_out {
            say_line!("left out  {}: {}", source.name, how_to_set(source))?;
        }
    }
    Ok(exit)
}

fn build_source(
    source: &CompositionSource,
    spec: &CorpusSpec,
    arguments: &BuildArguments,
) -> anyhow::Result<(Exit, Value)> {
    let folder = arguments.out.join(&source.name);
    let progress = Progress::start()?;
    let started = Instant::now();
    let options = BuildOptions { threads: arguments.threads };
    let built = pipeline::build(spec, &folder, options, &progress)?;
    progress.finish();
    if !arguments.json {
        say!("{}", report::built(&built, started.elapsed()))?;
        say_line!("expected  {}\n", expected(source))?;
    }
    let exit = if built.too_many_rejects { Exit::TooManyRejects } else { Exit::Done };
    Ok((exit, serde_json::to_value(built)?))
}

fn plan_source(
    source: &CompositionSource,
    spec: &CorpusSpec,
    arguments: &BuildArguments,
) -> anyhow::Result<(Exit, Value)> {
    let progress = Progress::start()?;
    let plan = pipeline::dry_run(spec, &progress)?;
    progress.finish();
    if !arguments.json {
        say!("{}", report::planned(&plan, &arguments.out.join(&source.name)))?;
        say_line!("expected  {}\n", expected(source))?;
    }
    Ok((Exit::Done, plan_json(&plan)))
}

fn expected(source: &CompositionSource) -> String {
    format!("{} pictures, {} texts in the paper", HumanCount(source.pictures), HumanCount(source.texts))
}

fn how_to_set(source: &CompositionSource) -> String {
    let keys = source.settable.iter().map(|key| format!("--set {}.{key}=...", source.name));
    keys.collect::<Vec<_>>().join(" ")
}

fn names<'a>(sources: impl Iterator<Item = &'a CompositionSource>) -> String {
    sources.map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ")
}
