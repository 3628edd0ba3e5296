//! What the world does to a build: full disks, closed folders, rivals, signals, wrong words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use conformance::binaries::{pipeline_command, run};
use conformance::made_up::{Files, MadeUp};
use conformance::oracle;
use conformance::reference::say;
use rustix::process::{Pid, Signal, kill_process};

const CORPUS: MadeUp = MadeUp { pictures: 200, regions: 8, width: 256, captions: 1, seed: 5 };

fn build(files: &Files, out: &Path) -> Command {
    let features = format!("features={}", files.features.display());
    let captions = format!("captions={}", files.captions.display());
    let mut command = pipeline_command(["build", "data-specs/corpora/lxmert-tsv.toml", "--set", &features]);
    command.args(["--set", &captions, "--set", "shard.rows=20", "--out"]).arg(out);
    command
}

fn assert_whole(files: &Files, out: &Path) {
    let expected = oracle::expected(&files.features, Some(&files.captions)).unwrap();
    assert_eq!(oracle::found(out).unwrap(), expected);
}

/// A small file system of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(at: PathBuf, kib: usize) -> Option<SmallDisk> {
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk(at))
    }

    fn grow(&self, kib: usize) {
        let size = format!("remount,size={kib}k");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_temporary_and_leaves_nothing_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"), 64) else {
        say("skipped: this user may not mount a small disk");
        return;
    };
    let out = disk.0.join("out");
    // Rising sizes let the disk fill in the plan, in a shard, in a receipt, ...
    for kib in [64, 100, 160, 220, 300, 500, 800, 1200] {
        disk.grow(kib);
        let (code, _, errors) = run(&mut build(&files, &out));
        assert_eq!(code, 75, "{kib} KiB: {errors}");
        assert!(!out.join("manifest-0.json").exists());
    }
    disk.grow(16 << 10);
    let (code, _, errors) = run(&mut build(&files, &out));
    assert_eq!(code, 0, "{errors}");
    assert_whole(&files, &out);
    let names = oracle::published_files(&out).unwrap();
    assert!(names.keys().all(|name| !name.ends_with(".tmp")));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    for out in ["/proc/no-folder-can-be-made-here", files.features.to_str().unwrap()] {
        let (code, _, errors) = run(&mut build(&files, Path::new(out)));
        assert!(code == 2 && errors.contains(out), "{code} {errors}");
    }
}

#[test]
fn a_second_build_on_one_output_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    let mut first = build(&files, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&first);
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(out.join("_lock")).unwrap_or_default().is_empty() {
        assert!(Instant::now() < deadline, "the first build never took its folder");
        sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::STOP).unwrap();
    let finished_already = out.join("manifest-0.json").exists();
    let (code, _, errors) = run(&mut build(&files, &out));
    kill_process(pid, Signal::CONT).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(finished_already || (code == 75 && errors.contains("in use")), "{code} {errors}");
    assert_whole(&files, &out);
}

#[test]
fn signals_end_a_build_soon_and_it_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut hits = 0;
        for attempt in 0..20 {
            let out = folder.path().join(format!("out-{code}-{attempt}"));
            let mut child = build(&files, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_millis(15 + 10 * attempt));
            let _ = kill_process(Pid::from_child(&child), signal);
            let asked = Instant::now();
            let status = child.wait().unwrap();
            assert!(asked.elapsed() < Duration::from_secs(5));
            // Before its handler stands a process dies of the signal; after its work it ends well.
            if status.code() == Some(code) {
                hits += 1;
                let (again, _, errors) = run(&mut build(&files, &out));
                assert_eq!(again, 0, "{errors}");
                assert_whole(&files, &out);
            }
        }
        say(&format!("{hits} of 20 builds met the signal and ended with {code}"));
        assert!(hits > 0, "no build met signal {code}");
    }
}

#[test]
fn excluded_pictures_are_filtered_and_wrong_words_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let list = folder.path().join("test-pictures.txt");
    fs::write(&list, "9\n000000000016.jpg\n12345678\n").unwrap();
    let out = folder.path().join("out");
    let exclude = format!("exclude.ids=[\"{}\"]", list.display());
    let (code, _, errors) = run(build(&files, &out).args(["--set", &exclude]));
    assert_eq!(code, 0, "{errors}");
    let (_, json, _) = run(pipeline_command(["verify", "--json"]).arg(&out));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&found["rows"], &found["row_account"]["filtered"]), (&198.into(), &2.into()));

    for (set, word) in [
        ("shard.row=3", "unknown field `row`"),
        ("features.format=csv", "unknown variant `csv`"),
        ("features=nowhere.tsv", "nowhere.tsv"),
        ("features.yaml=x.yaml", "no such key"),
    ] {
        let (code, _, errors) = run(build(&files, &folder.path().join("other")).args(["--set", set]));
        assert!(code == 2 && errors.contains(word), "{set}: {code} {errors}");
        assert!(errors.contains("hint") || errors.matches("No such file").count() == 1, "{errors}");
    }
}

#[test]
fn a_dry_run_writes_nothing_and_a_build_without_features_says_how_to_give_them() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    let (code, text, errors) = run(build(&files, &out).args(["--dry-run", "--json"]));
    assert_eq!(code, 0, "{errors}");
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&plan["rows"], &plan["tasks"]), (&200.into(), &10.into()));
    assert!(!out.exists());
    let mut bare = pipeline_command(["build", "data-specs/corpora/lxmert-tsv.toml", "--out"]);
    let (code, _, errors) = run(bare.arg(&out));
    assert!(code == 2 && errors.contains("--set features="), "{errors}");
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    assert_eq!(run(&mut build(&files, &out)).0, 0);
    let mut child = pipeline_command(["peek"])
        .arg(&out)
        .args(["--rows", "100000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before a word is read.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}
