//! One plan, one result: whatever the threads, processes and places.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use conformance::binaries::{pipeline_command, root, run};
use conformance::made_up::{Files, MadeUp};
use conformance::oracle;

const CORPUS: MadeUp = MadeUp { pictures: 60, regions: 5, width: 64, captions: 2, seed: 3 };

fn command(verb: &str, files: &Files, out: &Path) -> Command {
    let features = format!("features={}", files.features.display());
    let captions = format!("captions={}", files.captions.display());
    let mut command = pipeline_command([verb, "data-specs/corpora/lxmert-tsv.toml", "--set", &features]);
    command.args(["--set", &captions, "--set", "shard.rows=16", "--out"]).arg(out);
    command
}

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{errors}");
    out
}

fn published(out: &Path) -> BTreeMap<String, Vec<u8>> {
    oracle::published_files(out).unwrap()
}

#[test]
fn threads_and_processes_never_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let one = folder.path().join("one");
    succeed(command("build", &files, &one).args(["--threads", "1"]));
    for threads in ["2", "4", "8"] {
        let out = folder.path().join(threads);
        succeed(command("build", &files, &out).args(["--threads", threads]));
        assert!(published(&out) == published(&one), "{threads} threads");
    }
    let tasks = folder.path().join("tasks");
    succeed(&mut command("plan", &files, &tasks));
    for task in ["3", "1", "0"] {
        succeed(pipeline_command(["run-task"]).arg(&tasks).arg(task));
    }
    let (code, _, _) = run(pipeline_command(["commit"]).arg(&tasks));
    assert_eq!(code, 5, "a task is missing");
    succeed(pipeline_command(["run-task"]).arg(&tasks).env("SLURM_ARRAY_TASK_ID", "2"));
    succeed(pipeline_command(["commit"]).arg(&tasks));
    assert!(published(&tasks) == published(&one), "separate processes");
}

#[test]
fn a_changed_plan_is_refused_and_the_fields_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    succeed(&mut command("build", &files, &out));
    let before = published(&out);
    for (set, field) in [
        ("shard.rows=20", "spec.shard.rows"),
        ("features.dtype=f16", "spec.features.dtype"),
        ("split=val", "spec.split"),
    ] {
        let (code, _, errors) = run(command("build", &files, &out).args(["--set", set]));
        assert!(code == 2 && errors.contains(field), "{set}: {code} {errors}");
    }
    let other = MadeUp { seed: 4, ..CORPUS }.write(&folder.path().join("in")).unwrap();
    let (code, _, errors) = run(&mut command("build", &other, &out));
    assert!(code == 2 && errors.contains("inputs.0.blake3"), "{errors}");
    assert!(published(&out) == before);
}

#[test]
fn rows_that_could_not_be_read_are_recovered_by_retry() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    succeed(command("build", &files, &out).env("PIPELINE_FAILPOINT", "read-error:50"));
    assert_eq!(oracle::found(&out).unwrap().len(), CORPUS.pictures - 1);
    let said = succeed(pipeline_command(["retry"]).arg(&out));
    assert!(said.contains("1 of 1 rows recovered; manifest version 1"), "{said}");
    assert_eq!(
        oracle::found(&out).unwrap(),
        oracle::expected(&files.features, Some(&files.captions)).unwrap()
    );
    succeed(pipeline_command(["verify"]).arg(&out));
    assert!(succeed(pipeline_command(["retry"]).arg(&out)).contains("nothing to retry"));
}

#[test]
fn damaged_lines_are_rejects_and_everything_else_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let text = std::fs::read_to_string(&files.features).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines[7] = lines[7].replacen('\t', " ", 1);
    let shorter = lines[9].len() - 8;
    lines[9].truncate(shorter);
    lines[11].push('!');
    let copy = lines[20].clone();
    lines.push(copy);
    std::fs::write(&files.features, lines.join("\n")).unwrap();
    let out = folder.path().join("out");
    succeed(&mut command("build", &files, &out));
    let found: serde_json::Value =
        serde_json::from_str(&succeed(pipeline_command(["verify", "--json"]).arg(&out))).unwrap();
    assert_eq!(found["row_account"]["read"], 61);
    assert_eq!((&found["rows"], &found["rejected_rows"]), (&57.into(), &3.into()), "{found}");
    assert_eq!(found["row_account"]["deduplicated"], 1);

    // The limit is no part of the plan: the same data set, another verdict. Two of the 61 rows count as
    // damaged; the third, whose id swallowed a column, was turned away before, for want of captions.
    let (code, text, _) = run(command("build", &files, &out).args(["--set", "rejects.max_ratio=0.03"]));
    assert!(code == 4 && text.contains("TOO MANY REJECTS: 3.3 %"), "{code} {text}");
}

#[test]
fn captions_of_other_pictures_end_with_too_many_rejects() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    std::fs::write(&files.captions, r#"{"annotations": [{"image_id": 1, "id": 1, "caption": "A dog."}]}"#)
        .unwrap();
    let out = folder.path().join("out");
    let (code, text, errors) = run(&mut command("build", &files, &out));
    assert_eq!(code, 4, "{text}{errors}");
    let (_, json, _) = run(pipeline_command(["verify", "--json"]).arg(&out));
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&found["rejected_rows"], &found["rejected_texts"]), (&60.into(), &1.into()));
}

#[test]
fn a_class_list_that_appears_between_two_runs_is_a_changed_plan() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let list = folder.path().join("in/objects_vocab.txt");
    let aside = folder.path().join("objects_vocab.txt");
    std::fs::rename(&list, &aside).unwrap();
    let out = folder.path().join("out");
    let (code, _, _) = run(command("build", &files, &out).env("PIPELINE_FAILPOINT", "shard-renamed:2"));
    assert_eq!(code, 128 + 9);
    std::fs::rename(&aside, &list).unwrap();
    // Rows before without tags and rows after with them would be one data set of two kinds.
    let (code, text, errors) = run(&mut command("build", &files, &out));
    assert!(code == 2 && errors.contains("inputs"), "{code} {text} {errors}");
    let (code, _, errors) = run(pipeline_command(["run-task"]).arg(&out).arg("3"));
    assert!(code == 2 && errors.contains("objects_vocab.txt"), "{code} {errors}");
    std::fs::rename(&list, &aside).unwrap();
    let said = succeed(&mut command("build", &files, &out));
    assert!(said.contains("no class list"), "{said}");
}

#[test]
fn inputs_that_were_only_touched_or_moved_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let files = CORPUS.write(&folder.path().join("in")).unwrap();
    let out = folder.path().join("out");
    let (code, _, _) = run(command("build", &files, &out).env("PIPELINE_FAILPOINT", "shard-renamed:2"));
    assert_eq!(code, 128 + 9);
    std::fs::rename(folder.path().join("in"), folder.path().join("moved")).unwrap();
    let moved = Files {
        features: folder.path().join("moved/features.tsv"),
        captions: folder.path().join("moved/captions.json"),
    };
    let text = std::fs::read(&moved.captions).unwrap();
    std::fs::write(&moved.captions, text).unwrap();
    succeed(&mut command("build", &moved, &out));
    assert_eq!(
        oracle::found(&out).unwrap(),
        oracle::expected(&moved.features, Some(&moved.captions)).unwrap()
    );
}

/// A pickled input is derived into lines while planning, and tasks read those: they must outlive a
/// second look at the inputs.
#[test]
fn a_pickle_that_was_only_touched_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let golden = root().join("data-specs/torch-files/tests/golden/captions_zip.pt");
    let captions = folder.path().join("captions.pt");
    std::fs::copy(golden, &captions).unwrap();
    let features = folder.path().join("features.tsv");
    let column = |numbers: &[f32]| {
        base64_simd::STANDARD
            .encode_to_string(numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
    };
    let line =
        |id| format!("{id}\t100\t80\t1\t{}\t{}\n", column(&[1.0, 2.0, 30.0, 40.0]), column(&[0.5; 64]));
    std::fs::write(&features, [391_895, 522_418].map(line).concat()).unwrap();
    let out = folder.path().join("out");
    let command = || {
        let mut command = pipeline_command(["build", "data-specs/corpora/bottomup-tsv.toml"]);
        for (key, value) in [("features", &features), ("captions", &captions)] {
            command.arg("--set").arg(format!("{key}={}", value.display()));
        }
        command.args(["--set", "texts.captions.format=torch-captions", "--set", "shard.rows=1"]);
        command.arg("--out").arg(&out);
        command
    };
    let (code, _, _) = run(command().env("PIPELINE_FAILPOINT", "shard-renamed:1"));
    assert_eq!(code, 128 + 9);
    // Another time on the same bytes: twice, as the stamps of the second look serve the third.
    for _ in 0..2 {
        let bytes = std::fs::read(&captions).unwrap();
        std::fs::write(&captions, bytes).unwrap();
        let said = succeed(&mut command());
        assert!(said.contains("10 read = 10 written"), "{said}");
    }
}
