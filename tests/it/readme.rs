//! The commands of the README run as they stand there.

use std::fs;
use std::process::Command;

use conformance::binaries::{finetune, pipeline, pretrain, root, run};
use conformance::made_up::MadeUp;

/// The fenced blocks of a Markdown text, continued lines joined.
fn blocks(text: &str) -> Vec<String> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.map(|block| block.trim_start_matches("sh").replace("\\\n", " ")).collect()
}

/// A command's words; single quotes keep one together, as a shell does.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn its_commands_work_and_print_what_it_shows() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let corpus = MadeUp { pictures: 600, regions: 6, width: 64, captions: 5, seed: 2 };
    let files = corpus.write(folder.path()).unwrap();
    fs::rename(&files.features, folder.path().join("train2014_obj36.tsv")).unwrap();
    fs::rename(&files.captions, folder.path().join("captions_train2014.json")).unwrap();
    for used in ["data-specs", "finetune", "pretrain"] {
        std::os::unix::fs::symlink(root().join(used), folder.path().join(used)).unwrap();
    }

    let mut ran = 0;
    let mut shown = String::new();
    for block in blocks(&readme) {
        for line in block.lines().map(str::trim) {
            let binary = line.strip_prefix("target/release/").and_then(|command| command.split_once(' '));
            if let Some((name, arguments)) = binary {
                let mut command = Command::new(match name {
                    "finetune" => finetune(),
                    "pretrain" => pretrain(),
                    _ => pipeline(),
                });
                let (code, out, errors) = run(command.args(words(arguments)).current_dir(folder.path()));
                assert_eq!(code, 0, "{line}\n{errors}");
                shown.push_str(&out);
                ran += 1;
            } else if ["rows", "texts", "next"].iter().any(|word| line.starts_with(word)) {
                assert!(shown.contains(line), "the README shows\n{line}\nand the program printed\n{shown}");
                ran += 1;
            }
        }
    }
    assert!(ran >= 6, "{ran} lines of the README were checked");

    // The table of commands, on the data set that the block above built.
    let table = readme.lines().filter_map(|line| line.strip_prefix("| `pipeline ")?.split('`').next());
    let mut tried = 0;
    for command in table.filter(|command| command.contains(" DIR")) {
        let arguments = command.replace("--out DIR", "--out words").replace("DIR", "OUT").replace("KEY", "9");
        if arguments.starts_with("build") {
            continue;
        }
        let mut command = Command::new(pipeline());
        let (code, _, errors) = run(command.args(arguments.split_whitespace()).current_dir(folder.path()));
        assert_eq!(code, 0, "pipeline {arguments}\n{errors}");
        tried += 1;
    }
    assert!(tried >= 6, "{tried} commands of the table were tried");
}
