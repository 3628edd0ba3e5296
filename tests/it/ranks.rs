//! Ranks that are processes: the same run as with threads, whatever happens to one of them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use conformance::binaries::{pretrain_command, root, run};
use conformance::reference::say;
use rustix::process::{Pid, Signal, kill_process};

use super::pretraining::{Made, json, succeed};

/// What a run came to.
pub(crate) fn model(run: &Path) -> Vec<u8> {
    fs::read(run.join("model/model.safetensors")).unwrap()
}

/// Largest difference between two models of the same tensors.
pub(crate) fn apart(a: &[u8], b: &[u8]) -> f32 {
    let values = |file: &[u8]| -> Vec<f32> {
        let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        file[8 + header..].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let (a, b) = (values(a), values(b));
    assert!(a.len() == b.len() && a.len() > 10_000, "{} and {} numbers", a.len(), b.len());
    a.iter().zip(b).fold(0.0, |apart, (a, b)| apart.max((a - b).abs()))
}

pub(crate) fn lines(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// Processes that `parent` has started, in the order of their numbers.
fn children(parent: u32) -> Vec<Pid> {
    let of = |entry: std::io::Result<fs::DirEntry>| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut after_name = stat.rsplit_once(") ")?.1.split(' ');
        let is_alive = after_name.next()? != "Z";
        (is_alive && after_name.next()?.parse() == Ok(parent)).then_some(pid)
    };
    let mut found: Vec<i32> = fs::read_dir("/proc").unwrap().filter_map(of).collect();
    found.sort_unstable();
    found.into_iter().filter_map(Pid::from_raw).collect()
}

pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        sleep(Duration::from_millis(5));
    }
}

/// Two processes under our own launcher.
fn launched(made: &Made, out: &Path) -> Command {
    let mut command = made.pretrain(out);
    command.args(["--ranks", "2", "--comm", "processes", "--collective-timeout", "4"]);
    command
}

fn start(command: &mut Command, log: &Path) -> Child {
    command.stdout(Stdio::null()).stderr(fs::File::create(log).unwrap()).spawn().unwrap()
}

/// And they are what threads are, to the bit; with the optimiser's memory split, too.
#[test]
fn processes_are_threads() {
    let made = Made::new();
    let [alone, threads, processes, split] =
        ["alone", "threads", "processes", "split"].map(|name| made.path(name));
    succeed(&mut made.pretrain(&alone));
    succeed(made.pretrain(&threads).args(["--ranks", "2"]));
    let (code, out, errors) = run(launched(&made, &processes).arg("--json"));
    assert_eq!(code, 0, "{errors}");
    assert_eq!(out.lines().count(), 1, "one rank speaks for all: {out}");
    assert_eq!(json(&out)["is_done"], true);
    assert!(model(&processes) == model(&threads), "processes are not threads");
    let largest = apart(&model(&processes), &model(&alone));
    say(&format!("two ranks and one: weights {largest:.1e} apart after 24 steps"));
    assert!(largest < 1e-5, "{largest}");
    // the memory of the optimiser: split over ranks, resumed by one
    succeed(launched(&made, &split).args(["--set", "optimiser.zero=true", "--set", "run.keep=30"]));
    assert!(model(&split) == model(&threads), "split is not whole");
    let state = |run: &Path| fs::read(run.join("checkpoints/step-000000024/optimiser.safetensors")).unwrap();
    assert!(state(&split) == state(&threads), "another state is kept");
    for step in 13..=24 {
        fs::remove_dir_all(split.join(format!("checkpoints/step-{step:09}"))).unwrap();
    }
    succeed(made.pretrain(&split).args(["--resume"]));
    let largest = apart(&model(&split), &model(&alone));
    assert!(largest < 1e-5, "resumed by one rank: {largest}");
}

#[test]
fn a_rank_that_is_killed_or_stopped_is_started_again_and_nothing_changes() {
    let made = Made::new();
    let [straight, lost] = ["straight", "lost"].map(|name| made.path(name));
    succeed(&mut launched(&made, &straight));

    let log = made.path("log");
    let mut command = launched(&made, &lost);
    let mut launcher = start(command.args(["--set", "schedule.steps=24"]), &log);
    let ranks = || children(launcher.id());
    let mut told = Vec::new();
    // rank 1 dies, rank 0 dies, rank 1 is stopped
    for (rank, signal) in [(1, Signal::KILL), (0, Signal::KILL), (1, Signal::STOP)] {
        let goal = lines(&lost) + 2;
        wait_until("two more steps", || lines(&lost) >= goal && ranks().len() == 2);
        let before = ranks();
        let since = Instant::now();
        kill_process(before[rank], signal).unwrap();
        wait_until("two new ranks", || {
            ranks().len() == 2 && ranks().iter().all(|rank| !before.contains(rank))
        });
        told.push(since.elapsed());
    }
    assert!(launcher.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
    let log = fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("all start again from the last checkpoint").count(), 3, "{log}");
    assert!(model(&lost) == model(&straight), "another model came out");
    let text = fs::read_to_string(lost.join("metrics.jsonl")).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"train\"")).count(), 24, "a step is told twice");
    // who was waited for is kept
    let notes = fs::read_to_string(lost.join("stuck.jsonl")).unwrap();
    let note = json(&notes);
    assert_eq!((note["rank"].as_u64(), note["world"].as_u64()), (Some(0), Some(2)), "{notes}");
    assert!(note["reason"].as_str().unwrap().contains("rank 1 did not come to"), "{notes}");
    assert!((4.0..15.0).contains(&note["seconds"].as_f64().unwrap()), "{notes}");
    say(&format!("killed, killed, stopped (timeout 4 s): all ranks anew after {told:.1?}"));
    assert!(told[2] < Duration::from_secs(4 + 3 + 10), "{told:?}");
}

#[test]
fn what_cannot_get_better_is_not_repeated_and_what_does_not_is_given_up() {
    let made = Made::new();
    let out = made.path("run");
    let (code, _, errors) = run(launched(&made, &out).args(["--set", "batch.micro=9"]));
    assert!(code == 2 && !errors.contains("start again"), "{code}: {errors}");
    let (code, _, errors) = run(launched(&made, &out).args(["--set", "data.train=[{ path = \"nowhere\" }]"]));
    assert!(
        code == 3 && errors.contains("rank 0 of 2") && !errors.contains("start again"),
        "{code}: {errors}"
    );
    let (code, _, errors) = run(made.pretrain(&out).args(["--ranks", "3", "--comm", "processes"]));
    assert!(code == 2 && errors.contains("--ranks is 3; a batch has 2 micro-batches"), "{code}: {errors}");

    let log = made.path("log");
    let out = made.path("hopeless");
    let mut command = launched(&made, &out);
    let mut launcher = start(command.args(["--max-restarts", "1", "--set", "schedule.steps=2000"]), &log);
    for _ in 0..2 {
        wait_until("two ranks", || children(launcher.id()).len() == 2);
        let ranks = children(launcher.id());
        kill_process(ranks[1], Signal::KILL).unwrap();
        wait_until("their end", || children(launcher.id()).iter().all(|rank| !ranks.contains(rank)));
    }
    assert_eq!(launcher.wait().unwrap().code(), Some(75), "{}", fs::read_to_string(&log).unwrap());
}

#[test]
fn an_interrupted_launcher_keeps_what_was_done_and_a_killed_one_leaves_nobody_behind() {
    let made = Made::new();
    let out = made.path("run");
    let log = made.path("log");
    let long = ["--set", "schedule.steps=20000", "--set", "run.checkpoint_every=10000"];
    let mut launcher = start(launched(&made, &out).args(long), &log);
    wait_until("three steps", || lines(&out) >= 3);
    kill_process(Pid::from_child(&launcher), Signal::TERM).unwrap();
    assert_eq!(launcher.wait().unwrap().code(), Some(143), "{}", fs::read_to_string(&log).unwrap());
    let found = json(&succeed(pretrain_command(["inspect", "--json"]).arg(&out)));
    assert!(found["step"].as_u64() >= Some(3), "{found}");

    let before = lines(&out);
    let mut launcher = start(launched(&made, &out).args(long).arg("--resume"), &log);
    wait_until("three more steps", || lines(&out) >= before + 3);
    let ranks = children(launcher.id());
    assert_eq!(ranks.len(), 2);
    launcher.kill().unwrap();
    launcher.wait().unwrap();
    let is_running = |pid: &Pid| {
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    wait_until("the end of its ranks", || !ranks.iter().any(is_running));
}

/// One rank of two, started by hand.
fn rank(made: &Made, folder: &Path, number: usize, change: &[&str]) -> Command {
    let mut command = pretrain_command(["run"]);
    command.arg(root().join("pretrain/configs/debug.toml"));
    let mut command = made.with_settings(command, &folder.join("run"));
    command.args(["--collective-timeout", "20"]).args(change).current_dir(folder);
    command.env("OSCAR_RANK", number.to_string()).env("OSCAR_WORLD", "2");
    command.env("OSCAR_SOCKET", folder.join("socket")).stdin(Stdio::piped());
    command
}

fn both(mut commands: [Command; 2]) -> Vec<(Option<i32>, String)> {
    let ranks: Vec<Child> = commands
        .iter_mut()
        .map(|command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    let mut ends = Vec::new();
    for mut rank in ranks {
        // closed input would mean that the launcher has ended
        let input = rank.stdin.take();
        let end = rank.wait_with_output().unwrap();
        drop(input);
        ends.push((end.status.code(), String::from_utf8_lossy(&end.stderr).into_owned()));
    }
    ends
}

#[test]
fn ranks_that_were_started_with_different_things_say_which() {
    let made = Made::new();
    let folder = |name: &str| {
        let folder = made.path(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let one = folder("one");
    for (code, errors) in both([rank(&made, &one, 0, &[]), rank(&made, &one, 1, &["--set", "seed=9"])]) {
        let wanted = "rank 1 was started with another thing than rank 0: the settings\n  rank 0: seed = 88\n  \
                      rank 1: seed = 9";
        assert!(code == Some(2) && errors.contains(wanted), "{code:?}: {errors}");
    }
    // one path, but two data sets there
    let two = folder("two");
    std::os::unix::fs::symlink(made.path("train"), two.join("shards")).unwrap();
    let other = folder("other");
    std::os::unix::fs::symlink(made.path("val"), other.join("shards")).unwrap();
    let set = ["--set", "data.train=[{ path = \"shards\" }]"];
    let mut second = rank(&made, &two, 1, &set);
    second.current_dir(&other);
    for (code, errors) in both([rank(&made, &two, 0, &set), second]) {
        let wanted = "another thing than rank 0: data sets, vocabulary or first weights\n  rank 0: the manifest of shards";
        assert!(code == Some(2) && errors.contains(wanted), "{code:?}: {errors}");
    }
}
