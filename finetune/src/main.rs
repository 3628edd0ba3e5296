//! The `finetune` command.

mod arguments;
mod progress;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use finetune::score::Error;
use finetune::{backbone, detector};
use finetune_retrieval::Direction;

/// How the process ends. Clap itself ends it with 2.
#[derive(Debug, Clone, Copy)]
enum Exit {
    Done,
    Usage,
    Data,
    Runtime,
    /// No room on a disk: the same command with `--resume` goes on when there is some.
    Temporary,
    /// By this signal; what was done is kept.
    Interrupted(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 2,
            Exit::Data => 3,
            Exit::Runtime => 4,
            Exit::Temporary => 75,
            Exit::Interrupted(signal) => 128 + signal,
        })
    }
}

fn main() -> ExitCode {
    // without it everything works, but trainings more slowly
    pretrain_kernels::prepare_process();
    let exit = match run(Arguments::parse()) {
        Ok((text, exit)) => {
            print(&text);
            exit
        }
        Err(error) => {
            complain(&format!("error: {error}"));
            if let Some(error) = error.downcast_ref::<backbone::Error>() {
                of_backbone(error)
            } else if let Some(error) = error.downcast_ref::<detector::Error>() {
                of_detector(error)
            } else if let Some(error) = error.downcast_ref::<finetune_harness::Error>() {
                of_task(error)
            } else {
                match error.downcast_ref::<Error>() {
                    Some(Error::Data(_) | Error::Shape { .. }) => Exit::Data,
                    Some(Error::Unavailable { .. }) => Exit::Usage,
                    _ => Exit::Runtime,
                }
            }
        }
    };
    exit.into()
}

fn run(arguments: Arguments) -> anyhow::Result<(String, Exit)> {
    match arguments.command {
        Command::Score(score) => Ok((score.run()?, Exit::Done)),
        Command::ImageRetrieval(task) => task.run(Direction::Images),
        Command::TextRetrieval(task) => task.run(Direction::Texts),
        Command::Captioning(captioning) => captioning.run(),
        Command::Nocaps(nocaps) => nocaps.run(),
        Command::Vqa(task) => task.run::<finetune_qa::Vqa>(),
        Command::Gqa(task) => task.run::<finetune_qa::Gqa>(),
        Command::Nlvr2(task) => task.run::<finetune_nlvr2::Nlvr2>(),
        Command::Detector(detector) => detector.run(),
        Command::Backbone(backbone) => backbone.run().map(|(text, exit)| (text.trim_end().to_owned(), exit)),
    }
}

fn of_backbone(error: &backbone::Error) -> Exit {
    if error.is_usage() {
        Exit::Usage
    } else if error.is_data() {
        Exit::Data
    } else if error.is_temporary() {
        Exit::Temporary
    } else {
        Exit::Runtime
    }
}

fn of_detector(error: &detector::Error) -> Exit {
    if error.is_usage() {
        Exit::Usage
    } else if error.is_temporary() {
        Exit::Temporary
    } else if error.is_data() {
        Exit::Data
    } else {
        Exit::Runtime
    }
}

fn of_task(error: &finetune_harness::Error) -> Exit {
    if error.is_usage() {
        Exit::Usage
    } else if error.is_data() {
        Exit::Data
    } else if error.is_temporary() {
        Exit::Temporary
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
