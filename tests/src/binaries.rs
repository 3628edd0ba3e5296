//! The project's binaries, built once and run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The `pipeline` binary of this build profile.
///
/// # Panics
/// If it does not build: no test can go on then.
pub fn pipeline() -> PathBuf {
    folder().join("pipeline")
}

/// The `finetune` binary of this build profile.
///
/// # Panics
/// If it does not build: no test can go on then.
pub fn finetune() -> PathBuf {
    folder().join("finetune")
}

/// The `pretrain` binary of this build profile.
///
/// # Panics
/// If it does not build: no test can go on then.
pub fn pretrain() -> PathBuf {
    folder().join("pretrain")
}

/// Where all binaries lie. They are built together, and as `cargo test` builds everything: alone, each would want its
/// dependencies with other features, and everything would be compiled once a binary.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("build").current_dir(root());
        // what a user waits for is told, what a test waits for is not
        cargo.args(match cfg!(debug_assertions) {
            true => ["--quiet", "--bins", "--tests"].as_slice(),
            false => &["-p", "pipeline", "-p", "pretrain", "-p", "finetune", "--release"],
        });
        let status = cargo.status().expect("cargo can be started");
        assert!(status.success(), "the binaries do not build");
        // This file's own binary lies in the profile's folder, or in `deps` below it for tests.
        let here = std::env::current_exe().expect("a running program has a path");
        let folder = here.parent().expect("a file has a folder");
        let folder =
            if folder.ends_with("deps") { folder.parent().expect("deps lies in a folder") } else { folder };
        folder.to_path_buf()
    })
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests lies in the root").to_path_buf()
}

/// `pipeline ARGUMENTS`, not started yet, in the root of the checkout.
pub fn pipeline_command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(pipeline());
    command
        .args(arguments)
        .current_dir(root())
        .env_remove("PIPELINE_FAILPOINT")
        .env_remove("PIPELINE_PHASES");
    command
}

/// `finetune ARGUMENTS`, not started yet, in the root of the checkout.
pub fn finetune_command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(finetune());
    command.args(arguments).current_dir(root());
    command
}

/// `pretrain ARGUMENTS`, not started yet, in the root of the checkout.
pub fn pretrain_command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(pretrain());
    command.args(arguments).current_dir(root());
    command
}

/// Runs `command`; its output with the exit code (128 + n if signal n ended it).
///
/// # Panics
/// If it cannot be started.
pub fn run(command: &mut Command) -> (i32, String, String) {
    use std::os::unix::process::ExitStatusExt;
    let Output { status, stdout, stderr } = command.output().expect("the binary can be started");
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    (code, String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}
