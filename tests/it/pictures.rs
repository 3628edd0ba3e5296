//! From pictures and boxes to rows: the main job on raw input.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::binaries::{pipeline_command, run};
use conformance::chance::Chance;
use conformance::oracle;
use conformance::reference::{reference_data, say};
use data_specs::{Dataset, Sample, Verify};
use finetune_regions::decoding::{Picture, probe};
use finetune_regions::thumbnail;
use serde_json::{Value, json};

/// A small backbone: what is tested here is what stands around it.
const BACKBONE: &str = "regions.backbone=efficientnet_b0";

fn build(images: &Path, captions: &Path, instances: &Path, out: &Path, set: &[&str]) -> Command {
    let mut command = pipeline_command(["build", "data-specs/corpora/coco-captions.toml"]);
    for (key, path) in [("images", images), ("captions", captions), ("instances", instances)] {
        command.arg("--set").arg(format!("{key}={}", path.display()));
    }
    for set in ["regions.random_weights=0"].iter().chain(set) {
        command.args(["--set", set]);
    }
    command.arg("--out").arg(out);
    command
}

fn succeed(command: &mut Command) -> String {
    let (code, out, errors) = run(command);
    assert_eq!(code, 0, "{out}{errors}");
    out
}

fn rows(out: &Path) -> Vec<Sample> {
    let dataset = Dataset::with(out, Verify::First, 4).unwrap();
    let shards = dataset.shard_rows().len();
    (0..shards)
        .flat_map(|at| {
            let shard = dataset.shard(at).unwrap();
            (0..dataset.shard_rows()[at] as usize)
                .map(|row| shard.whole_row(row).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Pictures of coloured squares on noise with captions and boxes in COCO's layout, written by this test.
struct Corpus {
    images: PathBuf,
    captions: PathBuf,
    instances: PathBuf,
}

const NAMES: [&str; 3] = ["square", "block", "tile"];

impl Corpus {
    fn write(folder: &Path, pictures: u64) -> Corpus {
        let images = folder.join("images");
        fs::create_dir_all(images.join("more")).unwrap();
        let (mut told, mut captions, mut boxes) = (vec![], vec![], vec![]);
        for id in 1..=pictures {
            let mut chance = Chance::new(id);
            let (width, height) = (60 + chance.below(60) as u32, 50 + chance.below(60) as u32);
            // Light and dark patches under the noise: what makes pictures look different from afar.
            let patches: Vec<usize> = (0..16).map(|_| chance.below(180)).collect();
            let mut rgb: Vec<u8> = (0..width * height)
                .flat_map(|at| {
                    let patch = patches[(at / width * 4 / height * 4 + at % width * 4 / width) as usize];
                    [(); 3].map(|()| (30 + patch + chance.below(30)) as u8)
                })
                .collect();
            let count = if id == 2 { 0 } else { 1 + chance.below(3) };
            for _ in 0..count {
                let (x, y, side) =
                    (chance.below(30) as u32, chance.below(25) as u32, 12 + chance.below(12) as u32);
                let colour = [chance.below(256) as u8, chance.below(256) as u8, chance.below(256) as u8];
                for at in 0..side * side {
                    let pixel = ((y + at / side) * width + x + at % side) as usize * 3;
                    rgb[pixel..pixel + 3].copy_from_slice(&colour);
                }
                let category = 1 + chance.below(3);
                boxes.push(json!({ "id": boxes.len(), "image_id": id, "category_id": category,
                    "bbox": [x, y, side, side], "iscrowd": 0, "area": side * side }));
            }
            boxes.push(json!({ "id": boxes.len(), "image_id": id, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1 }));
            let name = if id % 3 == 0 { format!("more/{id:012}.jpg") } else { format!("{id:012}.jpg") };
            let jpeg = thumbnail(&Picture { width, height, rgb }, 1000).unwrap();
            fs::write(images.join(&name), jpeg).unwrap();
            told.push(json!({ "id": id, "file_name": name, "width": width, "height": height }));
            captions
                .push(json!({ "image_id": id, "id": 2 * id, "caption": format!("picture {id} of squares") }));
            captions.push(json!({ "image_id": id, "id": 2 * id + 1, "caption": "some squares" }));
        }
        let categories: Vec<Value> =
            NAMES.iter().zip(1..).map(|(name, id)| json!({ "id": id, "name": name })).collect();
        let corpus = Corpus {
            images,
            captions: folder.join("captions.json"),
            instances: folder.join("instances.json"),
        };
        fs::write(&corpus.captions, json!({ "annotations": captions, "images": told }).to_string()).unwrap();
        let instances = json!({ "annotations": boxes, "categories": categories, "images": told });
        fs::write(&corpus.instances, instances.to_string()).unwrap();
        corpus
    }

    fn command(&self, out: &Path, set: &[&str]) -> Command {
        build(&self.images, &self.captions, &self.instances, out, set)
    }
}

/// Boxes by picture id, read from the annotations by other means than the engine's: class and corners.
fn annotated(instances: &Path) -> BTreeMap<u64, Vec<(String, [f32; 4])>> {
    let value: Value = serde_json::from_slice(&fs::read(instances).unwrap()).unwrap();
    let names: BTreeMap<u64, String> = value["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|category| (category["id"].as_u64().unwrap(), category["name"].as_str().unwrap().to_string()))
        .collect();
    let mut boxes: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for annotation in value["annotations"].as_array().unwrap() {
        if annotation["iscrowd"] == 1 {
            continue;
        }
        let number = |at: usize| annotation["bbox"][at].as_f64().unwrap();
        let rect = [number(0), number(1), number(0) + number(2), number(1) + number(3)].map(|x| x as f32);
        let name = names[&annotation["category_id"].as_u64().unwrap()].clone();
        boxes.entry(annotation["image_id"].as_u64().unwrap()).or_default().push((name, rect));
    }
    boxes
}

fn check_rows(rows: &[Sample], instances: &Path, width: usize) -> usize {
    let boxes = annotated(instances);
    let mut regions = 0;
    for row in rows {
        let picture = &row.images[0];
        let id: u64 = picture.image_id.parse().unwrap();
        let expected = boxes.get(&id).cloned().unwrap_or_default();
        let size = [picture.width.unwrap() as f32, picture.height.unwrap() as f32];
        let found = picture.boxes.as_ref().unwrap();
        assert_eq!(picture.features.len(), found.len() * width * 4);
        if expected.is_empty() {
            assert_eq!(
                (found.as_slice(), picture.tags.len()),
                (&[[0.0, 0.0, size[0], size[1]]][..], 0),
                "{id}"
            );
            continue;
        }
        assert_eq!((found.len(), picture.tags.len()), (expected.len(), expected.len()), "{id}");
        regions += found.len();
        for (at, (name, rect)) in expected.iter().enumerate() {
            assert_eq!(
                (picture.tags[at].name.as_str(), picture.tags[at].region),
                (name.as_str(), Some(at as i32))
            );
            assert_eq!(picture.tags[at].origin, "annotated");
            for (side, (one, other)) in found[at].iter().zip(rect).enumerate() {
                assert!(
                    (one - other.clamp(0.0, size[side % 2])).abs() < 1e-3,
                    "{id}: {:?} {rect:?}",
                    found[at]
                );
            }
        }
        assert!(
            picture.features.chunks_exact(4).all(|x| f32::from_le_bytes(x.try_into().unwrap()).is_finite())
        );
    }
    regions
}

#[test]
fn forty_real_pictures_through_the_door() {
    let Some(data) = reference_data() else { return };
    let mini = data.join("coco_mini");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let said = succeed(&mut build(
        &mini.join("images"),
        &mini.join("captions.json"),
        &mini.join("instances.json"),
        &out,
        &["regions.provider=boxes", "regions.backbone=resnext50_32x4d"],
    ));
    assert!(said.contains("40 read = 40 written") && said.contains("200 read = 200 written"), "{said}");
    assert!(said.contains("untrained"), "{said}");
    let rows = rows(&out);
    let regions = check_rows(&rows, &mini.join("instances.json"), 2048);
    assert_eq!((rows.len(), regions), (40, 350));
    let texts: usize = rows.iter().map(|row| row.texts.len()).sum();
    assert_eq!(texts, 200);
    say(&said);

    let png = folder.path().join("row.png");
    succeed(pipeline_command(["peek"]).arg(&out).args(["--key", "coco/000000000790", "--png"]).arg(&png));
    let drawn = probe(&fs::read(&png).unwrap()).unwrap();
    assert!(drawn.width >= 640 && drawn.height >= 422, "{drawn:?}");
    let manifest = fs::read_to_string(out.join("manifest-0.json")).unwrap();
    assert!(manifest.contains("untrained, seed 0") && manifest.contains("resnext50_32x4d"));
    let stats = succeed(pipeline_command(["stats"]).arg(&out));
    assert!(stats.contains("untrained"), "{stats}");
    succeed(pipeline_command(["verify"]).arg(&out));
}

#[test]
fn threads_directory_order_and_kills_never_change_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 9);
    let set = [BACKBONE, "shard.rows=3"];
    let one = folder.path().join("one");
    succeed(corpus.command(&one, &set).args(["--threads", "1"]));
    assert_eq!(
        check_rows(&rows(&one), &corpus.instances, 1280),
        annotated(&corpus.instances).values().map(Vec::len).sum::<usize>()
    );
    let published = oracle::published_files(&one).unwrap();
    for threads in ["2", "4"] {
        let out = folder.path().join(threads);
        succeed(corpus.command(&out, &set).args(["--threads", threads]));
        assert!(oracle::published_files(&out).unwrap() == published, "{threads} threads");
    }

    // The same files, made in another order and elsewhere.
    let mut names: Vec<_> = ["", "more"]
        .iter()
        .flat_map(|part| fs::read_dir(corpus.images.join(part)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    names.sort();
    let other = folder.path().join("other");
    fs::create_dir_all(other.join("more")).unwrap();
    for path in names.iter().rev() {
        fs::copy(path, other.join(path.strip_prefix(&corpus.images).unwrap())).unwrap();
    }
    let out = folder.path().join("elsewhere");
    succeed(&mut build(&other, &corpus.captions, &corpus.instances, &out, &set));
    assert!(oracle::published_files(&out).unwrap() == published, "another folder");

    // Killed in the second shard, gone on with.
    let out = folder.path().join("killed");
    let (code, _, _) = run(corpus.command(&out, &set).env("PIPELINE_FAILPOINT", "shard-rows:2"));
    assert_eq!(code, 128 + 9);
    succeed(&mut corpus.command(&out, &set));
    assert!(oracle::published_files(&out).unwrap() == published, "killed");

    // A picture that changes between two runs is a changed plan.
    let out = folder.path().join("changed");
    let (code, _, _) = run(corpus.command(&out, &set).env("PIPELINE_FAILPOINT", "shard-renamed:1"));
    assert_eq!(code, 128 + 9);
    fs::copy(&names[1], &names[0]).unwrap();
    let (code, _, errors) = run(&mut corpus.command(&out, &set));
    assert!(code == 2 && errors.contains("inputs"), "{code} {errors}");
}

#[test]
fn every_bad_picture_is_a_reject_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 8);
    let path = |id: u32| corpus.images.join(format!("{id:012}.jpg"));
    let whole = fs::read(path(1)).unwrap();
    fs::write(path(1), &whole[..whole.len() / 2]).unwrap();
    fs::write(path(4), b"no picture at all").unwrap();
    // A JPEG whose frame says 65,535 x 65,535.
    let mut bomb = whole.clone();
    let frame = bomb.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    bomb[frame + 5..frame + 9].fill(0xFF);
    fs::write(path(5), bomb).unwrap();
    fs::write(path(7), b"").unwrap();
    // A picture that was cropped after its boxes were drawn.
    let info = probe(&fs::read(path(8)).unwrap()).unwrap();
    let cut = Picture { width: info.width, height: 20, rgb: vec![7; info.width as usize * 60] };
    fs::write(path(8), thumbnail(&cut, 1000).unwrap()).unwrap();
    fs::write(corpus.images.join("000000000099.jpg"), &whole).unwrap();
    let out = folder.path().join("out");
    let (code, said, errors) = run(corpus.command(&out, &[BACKBONE, "rejects.max_ratio=1"]).arg("--json"));
    assert_eq!(code, 0, "{said}{errors}");
    let stats: Value =
        serde_json::from_str(&succeed(pipeline_command(["stats"]).arg(&out).arg("--json"))).unwrap();
    let mut kinds: Vec<(String, String, u64)> = stats["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| {
            let word = |key: &str| kind[key].as_str().unwrap().to_string();
            (word("unit"), word("code"), kind["count"].as_u64().unwrap())
        })
        .collect();
    kinds.sort();
    let expected = [
        ("row", "empty-field", 1),
        ("row", "no-text", 1),
        ("row", "picture-too-large", 1),
        ("row", "picture-truncated", 1),
        ("row", "picture-unsupported", 1),
        ("row", "wrong-size", 1),
        ("text", "no-picture", 2),
        ("text", "picture-too-large", 2),
        ("text", "picture-truncated", 2),
        ("text", "picture-unsupported", 2),
        ("text", "wrong-size", 2),
    ]
    .map(|(unit, code, count)| (unit.to_string(), code.to_string(), count));
    assert_eq!(kinds, expected);
    assert_eq!(rows(&out).len(), 3);
}

#[test]
fn test_pictures_stay_out_by_their_looks() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 5);
    let tests = folder.path().join("tests");
    fs::create_dir_all(&tests).unwrap();
    // Picture 4 under another name, encoded anew and smaller.
    let pixels = fs::read(corpus.images.join("000000000004.jpg")).unwrap();
    let picture = finetune_regions::decoding::decode(&pixels, &Default::default()).unwrap();
    fs::write(tests.join("hidden.jpg"), thumbnail(&picture, 50).unwrap()).unwrap();
    let out = folder.path().join("out");
    let exclude = format!("exclude.pictures=[\"{}\"]", tests.display());
    let said = succeed(&mut corpus.command(&out, &[BACKBONE, &exclude]));
    assert!(said.contains("5 read = 4 written + 0 rejected + 0 deduplicated + 1 filtered"), "{said}");
    let found = succeed(pipeline_command(["explain"]).arg(&out).arg("coco/000000000004"));
    assert!(found.contains("NearDuplicate") && found.contains("hidden"), "{found}");
}

/// Vectors of bf16 are near those of f32, a data set says which it has, and no folder gets both.
#[test]
fn a_network_may_compute_in_bf16() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 2);
    let is_here = cfg!(target_arch = "x86_64") && std::arch::is_x86_feature_detected!("avx512bf16");
    for provider in ["regions.provider=boxes", "regions.provider=crops", "regions.provider=grid"] {
        let set = |more: &'static str| [BACKBONE, provider, "regions.crop_side=64", more];
        let [exact, rounded] = ["exact", "rounded"].map(|name| folder.path().join(provider).join(name));
        succeed(&mut corpus.command(&exact, &set("regions.precision=f32")));
        let (code, _, errors) = run(&mut corpus.command(&rounded, &set("regions.precision=bf16")));
        if !is_here {
            assert!(code == 2 && errors.contains("regions.precision"), "{code} {errors}");
            continue;
        }
        assert_eq!(code, 0, "{errors}");
        let said = |out: &Path| fs::read_to_string(out.join("manifest-0.json")).unwrap();
        assert!(said(&rounded).contains("\"precision\": \"bf16\"") && !said(&exact).contains("precision"));
        for (exact, rounded) in rows(&exact).iter().zip(rows(&rounded)) {
            let vectors = |row: &Sample| -> Vec<f32> {
                row.images[0].features.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
            };
            let (exact, rounded) = (vectors(exact), vectors(&rounded));
            let square = |x: f32| f64::from(x).powi(2);
            let apart: f64 = exact.iter().zip(&rounded).map(|(x, y)| square(x - y)).sum();
            let share = (apart / exact.iter().map(|x| square(*x)).sum::<f64>()).sqrt();
            // much for a network that has learnt nothing and sees crops of few pixels; a trained one is within 0.05
            assert!(exact.len() == rounded.len() && share > 0.0 && share < 0.25, "{provider}: {share}");
        }
        let (code, _, errors) = run(&mut corpus.command(&rounded, &set("regions.precision=f32")));
        assert!(code == 2 && errors.contains("layout"), "{code} {errors}");
    }
}

#[test]
fn cells_of_the_grid_are_regions_too() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 2);
    let classes = folder.path().join("classes.txt");
    fs::write(&classes, "first\nsecond\n").unwrap();
    let out = folder.path().join("out");
    let classes = format!("regions.classes={}", classes.display());
    let set = [BACKBONE, "regions.provider=grid", "images.keep=full", &classes];
    succeed(&mut corpus.command(&out, &set));
    for row in rows(&out) {
        let picture = &row.images[0];
        assert!(picture.regions >= 19 * 19 && picture.features.len() == picture.regions as usize * 1280 * 4);
        // Of two classes, one has at least half of each cell.
        assert!(!picture.tags.is_empty() && picture.tags.len() <= 2);
        assert!(picture.tags.iter().all(|tag| tag.origin == "classifier" && tag.score >= Some(0.5)));
        let kept = picture.image.as_ref().unwrap();
        let name = kept.path.as_ref().unwrap();
        assert_eq!(fs::read(corpus.images.join(name)).unwrap()[..], kept.bytes.as_ref().unwrap()[..]);
    }
}

#[test]
fn a_network_without_weights_is_refused_unless_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Corpus::write(&folder.path().join("in"), 2);
    for (set, words) in [
        (vec!["regions.weights=none.safetensors"], "leave one of them out"),
        (vec!["regions.backbone=resnet18"], "no architecture is called"),
        (vec!["regions.provider=circles"], "unknown variant"),
        (vec!["boxes.path=none.json"], "none.json"),
        (vec!["images.path=none"], "none"),
    ] {
        let (code, _, errors) = run(&mut corpus.command(&folder.path().join("out"), &set));
        assert!(code == 2 && errors.contains(words), "{set:?}: {code} {errors}");
    }
    let mut command = pipeline_command(["build", "data-specs/corpora/coco-captions.toml"]);
    for (key, path) in [("images", &corpus.images), ("instances", &corpus.instances)] {
        command.arg("--set").arg(format!("{key}={}", path.display()));
    }
    let (code, _, errors) = run(command.arg("--out").arg(folder.path().join("out")));
    assert!(
        code == 2 && errors.contains("random_weights") && errors.contains("weights=..."),
        "{code} {errors}"
    );
}
