//! The `pretrain` command.

mod arguments;

use std::process::ExitCode;

use anyhow::Context;
use arguments::{Arguments, Command};
use clap::Parser;
use pretrain::{Bench, Error, forward, preset_sizes};
use serde_json::json;

/// How the process ends. Clap itself ends it with 2.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Done,
    Usage,
    Data,
    Runtime,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 2,
            Exit::Data => 3,
            Exit::Runtime => 4,
        })
    }
}

fn main() -> ExitCode {
    let exit = match run(Arguments::parse()) {
        Ok((text, exit)) => {
            print(&text);
            exit
        }
        Err(error) => {
            complain(&format!("error: {error:#}"));
            match error.downcast_ref::<Error>() {
                Some(Error::Setting { .. }) => Exit::Usage,
                Some(Error::Unfit { .. } | Error::Input { .. } | Error::File(_)) => Exit::Data,
                _ => Exit::Runtime,
            }
        }
    };
    exit.into()
}

fn run(arguments: Arguments) -> anyhow::Result<(String, Exit)> {
    match arguments.command {
        Command::Forward { model, inputs, out, gradients, output } => {
            let names = forward(&model, &inputs, &out, gradients)?;
            let text = if output.json {
                json!({ "out": out, "tensors": names }).to_string()
            } else {
                format!("{} tensors in {}", names.len(), out.display())
            };
            Ok((text, Exit::Done))
        }
        Command::Bench { preset, batch, text, regions, dtype: _, threads, steps, recompute, output } => {
            let sizes = preset_sizes(&preset)?;
            let bench = Bench { sizes, batch, text, regions, steps, recompute };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
            let report = pool.context("cannot start threads")?.install(|| bench.run())?;
            let text = if output.json {
                serde_json::to_string(&report)?
            } else {
                format!(
                    "{:.3} s a step ({:.1} samples/s): forward {:.3}, backward {:.3}, optimiser {:.3}; {:.0} % of the f32 peak; {:.2} GiB",
                    report.median_step_s,
                    report.samples_per_s,
                    report.forward_s,
                    report.backward_s,
                    report.optimiser_s,
                    100.0 * report.limit_share,
                    report.peak_rss_bytes as f64 / f64::from(1 << 30)
                )
            };
            Ok((text, Exit::Done))
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
