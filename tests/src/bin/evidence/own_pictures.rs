//! A detector, and captions of pictures in which nobody has marked anything.

use anyhow::{Result, ensure};
use conformance::binaries::{finetune_command, pipeline_command, root};
use conformance::own_pictures::{Effort, Eyes, Way};

use super::object;

/// Updates of the detector, which take four minutes on two cores.
const UPDATES: u64 = 2000;
const EFFORT: Effort = Effort { pretraining: 4000, epochs: 3 };

/// A small detector reaches a mAP@0.5 of 0.7 on held-out pictures, and captions by what it finds at least 0.8 of the CIDEr of
/// captions by boxes and names that people gave. Half an hour on two cores.
pub(super) fn evidence() -> Result<()> {
    let folder = root().join("target/evidence/own-pictures");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let (corpus, run, weights) = (path("corpus"), path("backbone"), path("backbone.safetensors"));
    object(&mut pipeline_command(["synth", "--images", "4000", "--seed", "7", "--out", &corpus, "--json"]))?;
    let mut train = finetune_command(["backbone", "train", "--json", "--out", &run, "--config"]);
    train.args(["finetune/configs/efficientnet-half.toml", "--set", "schedule.epochs=3"]);
    train.args(["--set", &format!("data.train={corpus}/looks/train")]);
    object(train.args(["--set", &format!("data.held_out={corpus}/looks/val")]))?;
    object(&mut finetune_command(["backbone", "export", "--json", "--run", &run, "--out", &weights]))?;

    let way = Way { folder: &folder, corpus: &corpus, weights: &weights, tell: |line| println!("   {line}") };
    let (detector, ap50) = way.train_detector(UPDATES)?;
    println!("detector: mAP@0.5 {ap50:.3}");
    ensure!(ap50 >= 0.7, "the detector reached {ap50}");
    let (_, annotated) = way.learn_captions("annotated", Eyes::Annotated, EFFORT)?;
    let (captioner, seen) = way.learn_captions("seen", Eyes::Detector(&detector), EFFORT)?;
    let share = seen / annotated;
    println!(
        "captions: CIDEr {seen:.3} by the detector, {annotated:.3} by annotations: a share of {share:.2}"
    );
    let picture = way.test_picture()?;
    let (caption, names) = way.ask(&captioner, &detector, &picture)?;
    println!("{}: {caption} (seen: {})", picture.display(), names.join(", "));
    ensure!(share >= 0.8, "the detector's captions reach {share} of the others");
    Ok(())
}
