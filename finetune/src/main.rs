//! The `finetune` command.

mod arguments;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use finetune::backbone;
use finetune::score::Error;

/// How the process ends. Clap itself ends it with 2.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Done = 0,
    Usage = 2,
    Data = 3,
    Runtime = 4,
}

fn main() -> ExitCode {
    let exit = match run(Arguments::parse()) {
        Ok(text) => {
            print(&text);
            Exit::Done
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            if let Some(error) = error.downcast_ref::<backbone::Error>() {
                return ExitCode::from(of_backbone(error) as u8);
            }
            match error.downcast_ref::<Error>() {
                Some(Error::Data(_) | Error::Shape { .. }) => Exit::Data,
                Some(Error::Unavailable { .. }) => Exit::Usage,
                _ => Exit::Runtime,
            }
        }
    };
    ExitCode::from(exit as u8)
}

fn run(arguments: Arguments) -> anyhow::Result<String> {
    match arguments.command {
        Command::Score(score) => Ok(score.run()?),
        Command::Backbone(backbone) => Ok(backbone.run()?.trim_end().to_owned()),
    }
}

fn of_backbone(error: &backbone::Error) -> Exit {
    if error.is_usage() {
        Exit::Usage
    } else if error.is_data() {
        Exit::Data
    } else {
        Exit::Runtime
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
