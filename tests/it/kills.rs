//! `kill -9` at random moments and at every named phase; then the same command again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use conformance::binaries::{pipeline_command, run};
use conformance::chance::Chance;
use conformance::made_up::{Files, MadeUp};
use conformance::oracle;
use conformance::reference::say;
use pipeline::Phase;

const CORPUS: MadeUp = MadeUp { pictures: 120, regions: 6, width: 128, captions: 2, seed: 1 };
const RANDOM_KILLS: usize = 40;

fn build(files: &Files, out: &Path) -> Command {
    let features = format!("features={}", files.features.display());
    let captions = format!("captions={}", files.captions.display());
    let mut command = pipeline_command(["build", "data-specs/corpora/lxmert-tsv.toml", "--set", &features]);
    command.args(["--set", &captions, "--set", "shard.rows=30", "--threads", "2", "--out"]).arg(out);
    command
}

fn check(files: &Files, out: &Path, uninterrupted: &BTreeMap<String, Vec<u8>>) {
    let expected = oracle::expected(&files.features, Some(&files.captions)).unwrap();
    assert_eq!(oracle::found(out).unwrap(), expected, "rows lost, doubled or changed");
    let published = oracle::published_files(out).unwrap();
    assert!(published.keys().all(|name| !name.ends_with(".tmp")), "left over: {:?}", published.keys());
    assert_eq!(published.keys().collect::<Vec<_>>(), uninterrupted.keys().collect::<Vec<_>>());
    for (name, bytes) in &published {
        assert!(bytes == &uninterrupted[name], "{name} differs from the uninterrupted build");
    }
    assert!(!out.join("_plan.tmp").exists());
}

#[test]
fn killed_anywhere_and_run_again_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let whole = folder.path().join("whole");
    let started = Instant::now();
    let (code, _, errors) = run(&mut build(&files, &whole));
    assert_eq!(code, 0, "{errors}");
    let duration = started.elapsed();
    let uninterrupted = oracle::published_files(&whole).unwrap();
    check(&files, &whole, &uninterrupted);

    let mut landed: BTreeMap<&str, usize> = Phase::ALL.iter().map(|phase| (phase.name(), 0)).collect();
    let mut before_plan = 0;
    let out = folder.path().join("out");
    let phases = folder.path().join("phases");
    let mut chance = Chance::new(7);
    let mut kills = 0;
    while kills < RANDOM_KILLS {
        let _ = fs::remove_dir_all(&out);
        // Up to three kills in a row on one output: also resumes are killed.
        for _ in 0..1 + chance.below(3) {
            let _ = fs::remove_file(&phases);
            let mut command = build(&files, &out);
            command.env("PIPELINE_PHASES", &phases).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            sleep(duration.mul_f32(chance.share()));
            // A build that was quicker is not a kill.
            if child.try_wait().unwrap().is_some() {
                continue;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let reached = fs::read_to_string(&phases).unwrap_or_default();
            match reached.lines().last().and_then(|last| landed.get_mut(last)) {
                Some(count) => *count += 1,
                None => before_plan += 1,
            }
        }
        let (code, _, errors) = run(&mut build(&files, &out));
        assert_eq!(code, 0, "{errors}");
        check(&files, &out, &uninterrupted);
    }
    say(&format!("{kills} random kills: {before_plan} before the plan, {landed:?}"));

    for phase in Phase::ALL {
        // The first and a later time, where a phase comes once a task.
        for count in [1, 3] {
            let _ = fs::remove_dir_all(&out);
            let mut command = build(&files, &out);
            let (code, _, _) = run(command.env("PIPELINE_FAILPOINT", format!("{}:{count}", phase.name())));
            if code == 128 + 9 {
                *landed.get_mut(phase.name()).unwrap() += 1;
            } else {
                assert_eq!((code, count), (0, 3), "{phase:?} is passed only once");
            }
            let (code, _, errors) = run(&mut build(&files, &out));
            assert_eq!(code, 0, "{errors}");
            check(&files, &out, &uninterrupted);
        }
    }
    say(&format!("with failpoints: {landed:?}"));
    assert!(landed.values().all(|&kills| kills > 0), "a phase was never hit: {landed:?}");
}
