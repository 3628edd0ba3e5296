//! The drawn corpus: written, built, measured, and the same in every run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use conformance::binaries::{pipeline_command, run};
use finetune_regions::decoding::{Limits, decode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn synth(images: usize, seed: u64, out: &Path) -> Command {
    let mut command =
        pipeline_command(["synth", "--images", &images.to_string(), "--seed", &seed.to_string(), "--json"]);
    command.arg("--out").arg(out);
    command
}

fn json(command: &mut Command) -> Value {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    serde_json::from_str(&out).unwrap()
}

/// Every file below a folder, by its path.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_spec_builds_and_nothing_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, sheet) = (folder.path().join("corpus"), folder.path().join("sheet.png"));
    let report = json(synth(60, 3, &corpus).arg("--contact-sheet").arg(&sheet));
    let pictures: u64 =
        report["pictures"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(pictures, 60);
    let drawn = decode(&fs::read(sheet).unwrap(), &Limits::default()).unwrap();
    assert!(drawn.width > 1200 && drawn.height > 1000);

    let count = |list: &str, name: String| {
        report[list][name.as_str()].as_u64().unwrap_or_else(|| panic!("{list} of {name}: {report}"))
    };
    for spec in report["specs"].as_array().unwrap() {
        let spec = spec.as_str().unwrap();
        let (task, split) = spec.rsplit_once('-').unwrap();
        let (rows, texts) = match task {
            "captions" => (
                count("pictures", format!("coco/{split}2014")),
                count("records", format!("coco/annotations/captions_{split}2014.json")),
            ),
            "vqa" => (
                count("pictures", format!("coco/{split}2014")),
                count("records", format!("vqa/v2_OpenEnded_mscoco_{split}2014_questions.json")),
            ),
            "gqa" => {
                let all = match split {
                    "train" => "gqa/train_all_questions/train_all_questions_0.json".to_string(),
                    _ => format!("gqa/{split}_all_questions.json"),
                };
                (count("pictures", format!("gqa/images/{split}")), count("records", all))
            }
            "nlvr2-plain" => (
                count("pictures", format!("nlvr2/images/{split}")) / 2,
                count("records", format!("nlvr2/data/{split}_plain.json")),
            ),
            "nlvr2" => (
                count("pictures", format!("nlvr2/images/{split}")) / 2,
                count("records", format!("nlvr2/data/{split}.json")),
            ),
            "nocaps" => (
                count("pictures", "nocaps/val".into()),
                count("records", "nocaps/nocaps_val_captions.json".into()),
            ),
            "open-images" | "detection-open-images" => (count("pictures", "open-images/train".into()), 0),
            "visual-genome" | "detection-visual-genome" => (count("pictures", "gqa/images/train".into()), 0),
            "detection-coco" => (count("pictures", format!("coco/{split}2014")), 0),
            "detection-gqa" => (count("pictures", format!("gqa/images/{split}")), 0),
            other => panic!("{other}"),
        };
        let out = folder.path().join(spec);
        let path = corpus.join(format!("specs/{spec}.toml"));
        let built = json(pipeline_command(["build", "--json"]).arg(path).arg("--out").arg(&out));
        for (account, expected) in [("rows", rows), ("texts", texts)] {
            let found = &built[account];
            let numbers = ["read", "written", "rejected", "deduplicated", "filtered"]
                .map(|name| found[name].as_u64().unwrap());
            assert_eq!(numbers, [expected, expected, 0, 0, 0], "{spec} {account}");
        }
        // The one warning is that the weights are random ones.
        let warnings = built["warnings"].as_array().unwrap();
        assert!(warnings.iter().all(|text| text.as_str().unwrap().starts_with("untrained")), "{warnings:?}");
        assert_eq!(json(pipeline_command(["verify", "--json"]).arg(&out))["ok"], true, "{spec}");
    }
}

#[test]
fn a_seed_gives_the_same_bytes_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let of = |seed: u64, threads: &str| {
        let out = folder.path().join(format!("{seed}-{threads}"));
        json(synth(50, seed, &out).env("RAYON_NUM_THREADS", threads));
        files(&out)
    };
    let one = of(5, "1");
    assert!(one == of(5, "2"), "threads changed a byte");
    let other = of(6, "2");
    let pictures = |files: &BTreeMap<String, Vec<u8>>| -> Vec<Vec<u8>> {
        let scenes = files.iter().filter(|(name, _)| {
            // objects cut out are there twice, by kind and by look
            name.ends_with(".jpg") && !name.starts_with("crops/") && !name.starts_with("looks/")
        });
        scenes.map(|(_, bytes)| bytes.clone()).collect()
    };
    // No picture is there twice, in whatever folder, and another seed has none of them.
    let mut all = [pictures(&one), pictures(&other)].concat();
    assert_eq!(all.len(), 100);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 100);
}

#[test]
fn captions_for_training_never_name_a_kind_from_outside_their_domain() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    json(&mut synth(400, 2, &corpus));
    let readme = fs::read_to_string(corpus.join("README.md")).unwrap();
    let line = readme.lines().find_map(|line| line.strip_prefix("Kinds that no training caption names: "));
    let outer: Vec<&str> = line.unwrap().trim_end_matches('.').split(", ").collect();
    assert!(outer.len() >= 6, "{outer:?}");
    let named = |file: &str| {
        let text = fs::read_to_string(corpus.join(file)).unwrap().to_lowercase();
        outer
            .iter()
            .filter(|kind| text.contains(&format!("\"{kind}\"")) || text.contains(&format!(" {kind}")))
            .count()
    };
    let captions: Value =
        serde_json::from_slice(&fs::read(corpus.join("coco/annotations/captions_train2014.json")).unwrap())
            .unwrap();
    for caption in captions["annotations"].as_array().unwrap() {
        let text = caption["caption"].as_str().unwrap().to_lowercase();
        // Plurals begin as their kinds do: cacti, butterflies and snowmen, too, but for two letters.
        let begins =
            |word: &str, kind: &str| word.starts_with(&kind[..(kind.len() - 2).max(4).min(kind.len())]);
        let mut words = text.split([' ', ',', '.']);
        assert!(!words.any(|word| outer.iter().any(|kind| begins(word, kind))), "{text}");
    }
    for file in [
        "gqa/train_all_questions/train_all_questions_0.json",
        "gqa/train_sceneGraphs.json",
        "vg/objects.json",
        "nocaps/nocaps_val_captions.json",
    ] {
        assert_eq!(named(file), outer.len(), "{file}");
    }
}

/// The bounds of a large corpus, with room for the chance of a small one.
#[test]
fn words_and_raw_pixels_alone_do_not_solve_it() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("corpus");
    json(&mut synth(300, 4, &corpus));
    let found = json(pipeline_command(["synth-baselines", "--json"]).arg(&corpus));
    for (task, most) in [("VQA v2", 0.55), ("GQA (balanced)", 0.55), ("NLVR2", 0.5)] {
        let words = found["words"].as_array().unwrap().iter().find(|words| words["task"] == task).unwrap();
        for score in ["majority", "text_only"] {
            assert!(words[score].as_f64().unwrap() <= most && words["asked"].as_u64() > Some(30), "{words}");
        }
    }
    let pixels = &found["pixels"];
    assert!(pixels["linear"].as_f64().unwrap() < 0.6 && pixels["classes"].as_u64() >= Some(20), "{pixels}");
    let retrieval = found["retrieval"].as_array().unwrap();
    for one in retrieval {
        let recalls = ["to_text", "to_picture"].map(|name| one[name][0].as_f64().unwrap());
        let chances = ["chance_to_text", "chance_to_picture"].map(|name| one[name][0].as_f64().unwrap());
        let pictures = one["pictures"].as_f64().unwrap();
        for (recall, chance) in recalls.into_iter().zip(chances) {
            let deviation = (chance * (1.0 - chance) / pictures).sqrt();
            match one["scorer"].as_str().unwrap() {
                // Tags find captions, as they are to.
                "tags" => assert!(recall > 10.0 * chance, "{one}"),
                _ => assert!(recall <= chance + 4.0 * deviation, "{one}"),
            }
        }
    }
    assert_eq!(retrieval.len(), 4);
    let readme = fs::read_to_string(corpus.join("README.md")).unwrap();
    assert!(readme.contains("| VQA v2, words alone |") && !readme.contains("Not measured yet"));
}

#[test]
fn a_folder_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("corpus");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine.txt"), "mine").unwrap();
    let (code, _, errors) = run(&mut synth(50, 1, &out));
    assert!(code == 2 && errors.contains("is not empty"), "{code} {errors}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    fs::remove_file(out.join("mine.txt")).unwrap();
    let (code, _, errors) = run(&mut synth(10, 1, &out));
    assert!(code == 2 && errors.contains("from 48"), "{code} {errors}");

    // Killed while it draws, or asked to stop: the folder is as empty as before.
    for (signal, expected) in [(Signal::KILL, 128 + 9), (Signal::INT, 130)] {
        let mut child = synth(5_000, 1, &out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let growing = || {
            let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            names.filter(|path| path.extension().is_some_and(|end| end == "tmp")).collect::<Vec<_>>()
        };
        let pictures = || {
            let folders = growing();
            folders.iter().any(|path| {
                fs::read_dir(path.join("coco/train2014")).is_ok_and(|mut entries| entries.next().is_some())
            })
        };
        while !pictures() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        assert_eq!(code, expected);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        if signal == Signal::INT {
            assert_eq!(growing().len(), 0, "what was begun is removed");
        }
        growing().iter().for_each(|path| fs::remove_dir_all(path).unwrap());
    }
    json(&mut synth(50, 1, &out));
    assert!(out.join("README.md").exists());
}

#[test]
fn a_world_of_ones_own_is_drawn_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let standard = conformance::binaries::root().join("pipeline/synth/worlds/default.toml");
    let standard = fs::read_to_string(standard).unwrap();
    let world = folder.path().join("world.toml");
    let kind = "[[kind]]\nname = \"hexagon\"\nplural = \"hexagons\"\ncategory = \"toy\"\nparts = [\n\
        { fill = \"main\", polygon = [[25, 5], [75, 5], [100, 50], [75, 95], [25, 95], [0, 50]] },\n]\n";
    fs::write(&world, format!("{standard}\n{kind}")).unwrap();
    let out = folder.path().join("corpus");
    json(synth(200, 1, &out).arg("--world").arg(&world));
    let captions = fs::read_to_string(out.join("coco/annotations/captions_train2014.json")).unwrap();
    assert!(captions.contains("hexagon") && out.join("crops/train/hexagon").is_dir());

    fs::write(&world, standard.replace("noise = 5.0", "nose = 5.0")).unwrap();
    let (code, _, errors) = run(synth(200, 1, &folder.path().join("other")).arg("--world").arg(&world));
    assert!(code == 2 && errors.contains("nose"), "{code} {errors}");
}
