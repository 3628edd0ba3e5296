//! The `pretrain` command.

mod arguments;
mod converted;
mod progress;
mod together;

use std::process::ExitCode;

use anyhow::Context;
use arguments::{Arguments, Command};
use clap::Parser;
use pretrain::train::Run;
use pretrain::{Bench, Conversion, Error, Inspection, forward, inspect, preset_sizes};
use pretrain_kernels::{Precision, prepare_process};
use progress::{Shown, shares};
use serde_json::json;
use together::Ended;

/// How the process ends. Clap itself ends it with 2.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Done,
    Usage,
    Data,
    Runtime,
    /// No room on a disk, or a rank that is lost: the same command with `--resume` goes on when that has changed.
    Temporary,
    /// By this signal; what was done is kept.
    Interrupted(u8),
    /// As the ranks did that this process started.
    Ranks(u8),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Data => 3,
            Self::Runtime => 4,
            Self::Temporary => 75,
            Self::Interrupted(signal) => 128 + signal,
            Self::Ranks(code) => code,
        }
    }
}

fn main() -> ExitCode {
    // without it everything works, but more slowly
    prepare_process();
    let exit = match run(Arguments::parse()) {
        Ok((text, exit)) => {
            // ranks but the first say nothing
            if !text.is_empty() {
                print(&text);
            }
            exit
        }
        Err(error) => {
            complain(&format!("error: {error:#}"));
            match error.downcast_ref::<Error>() {
                Some(error) if error.is_usage() => Exit::Usage,
                Some(error) if error.is_data() => Exit::Data,
                Some(error) if error.is_temporary() => Exit::Temporary,
                _ => Exit::Runtime,
            }
        }
    };
    ExitCode::from(exit.code())
}

fn run(arguments: Arguments) -> anyhow::Result<(String, Exit)> {
    match arguments.command {
        Command::Run { config, mut set, out, resume, device, ranks, output } => {
            let shown = Shown::start()?;
            set.extend(device.map(|device| format!("run.device={device}")));
            let run = Run { config, set, out: out.clone(), resume, local_rank: None };
            let (outcome, is_first) = match ranks.train(&run, output.json, &shown)? {
                Ended::Launched(code) => return Ok((String::new(), Exit::Ranks(code))),
                Ended::Trained(outcome, is_first) => (outcome, is_first),
            };
            let text = if !is_first {
                String::new()
            } else if output.json {
                serde_json::to_string(&outcome)?
            } else {
                let evaluation = outcome.evaluation.as_ref().map(|found| format!(": {}", shares(found)));
                let model = out.join("model");
                format!("{} updates{}; {}", outcome.step, evaluation.unwrap_or_default(), model.display())
            };
            let interrupted = shown.signal().filter(|_| !outcome.is_done);
            Ok((text, interrupted.map_or(Exit::Done, Exit::Interrupted)))
        }
        Command::Convert { from, to, config, vocabulary, head, task, labels, region_geometry, output } => {
            let region_geometry = region_geometry.map(Into::into);
            let fresh = head;
            let asked = Conversion { from, to, config, vocabulary, fresh, task, labels, region_geometry };
            let done = asked.run()?;
            let text = if output.json { serde_json::to_string(&done)? } else { converted::table(&done) };
            Ok((text, Exit::Done))
        }
        Command::Inspect { path, output } => {
            let found = inspect(&path)?;
            let text = if output.json { serde_json::to_string(&found)? } else { described(&found) };
            Ok((text, Exit::Done))
        }
        Command::Forward { model, inputs, out, gradients, device, output } => {
            let names = forward(&model, &inputs, &out, gradients, device)?;
            let text = if output.json {
                json!({ "out": out, "tensors": names }).to_string()
            } else {
                format!("{} tensors in {}", names.len(), out.display())
            };
            Ok((text, Exit::Done))
        }
        Command::Bench {
            preset,
            ranks,
            batch,
            text,
            regions,
            dtype,
            threads,
            steps,
            recompute,
            device,
            output,
        } => {
            let sizes = preset_sizes(&preset)?;
            let bench = Bench {
                sizes,
                ranks,
                batch,
                text,
                regions,
                steps,
                precision: dtype.into(),
                recompute,
                device,
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
            let report = pool.context("cannot start threads")?.install(|| bench.run())?;
            let text = if output.json {
                serde_json::to_string(&report)?
            } else {
                format!(
                    "{:.3} s a step ({:.1} samples/s): forward {:.3}, backward {:.3}, sum over ranks {:.3}, optimiser {:.3}; {:.0} % of the {} peak; {:.2} GiB",
                    report.median_step_s,
                    report.samples_per_s,
                    report.forward_s,
                    report.backward_s,
                    report.reduce_s,
                    report.optimiser_s,
                    100.0 * report.limit_share,
                    if bench.precision.here() == Precision::Bf16 { "bf16" } else { "f32" },
                    report.peak_rss_bytes as f64 / f64::from(1 << 30)
                )
            };
            Ok((text, Exit::Done))
        }
    }
}

/// An inspection in words.
fn described(found: &Inspection) -> String {
    let listed = |what: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("\n{what}: {}", names.join(", ")),
    };
    match found {
        Inspection::Model { path, config, tensors, parameters, missing, other, not_finite } => format!(
            "{}: {tensors} tensors, {parameters} numbers\n{} layers of {} with {} heads, {} words, regions of {}{}, {} classes{}{}{}",
            path.display(),
            config.num_hidden_layers,
            config.hidden_size,
            config.num_attention_heads,
            config.vocab_size,
            config.img_feature_dim,
            if config.has_region_norm() { " with layer norm" } else { "" },
            config.num_contrast_classes,
            listed("not of the pre-training model", other),
            listed("missing for pre-training", missing),
            listed("NOT FINITE", not_finite),
        ),
        Inspection::Run { path, step, damaged, has_model, figures } => {
            let mut lines = vec![match step {
                Some(step) => format!("{}: {step} updates", path.display()),
                None => format!("{}: no good checkpoint", path.display()),
            }];
            lines.extend(damaged.iter().map(|reason| format!("damaged: {reason}")));
            lines.extend(has_model.then(|| format!("model: {}", path.join("model").display())));
            lines.extend(figures.values().map(ToString::to_string));
            lines.join("\n")
        }
    }
}

#[expect(clippy::print_stdout, reason = "the one place where the command writes its result")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the one place where the command complains")]
fn complain(text: &str) {
    eprintln!("{text}");
}
