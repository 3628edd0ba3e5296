//! The studies of the two papers on backbones, in small: compound scaling (Paper: 1905.11946, sections 3 and 5.1) and
//! cardinality (Paper: 1611.05431, tables 3 and 5).

use std::path::PathBuf;

use anyhow::{Context, Result};
use conformance::binaries::{finetune_command, pipeline_command, root};
use serde_json::Value;

use super::object;

/// How much is trained. Nothing is claimed of the smallest: it shows that the commands do what they should.
#[derive(Clone, Copy)]
pub(super) struct Size {
    folder: &'static str,
    images: u32,
    seeds: u64,
    /// Of EfficientNet and of ResNeXt: epochs, and the side of the smallest pictures.
    epochs: [f64; 2],
    sides: [u32; 2],
    /// Of the grid.
    step: f64,
    budgets: &'static str,
}

impl Size {
    pub(super) const FULL: Self = Self {
        folder: "studies",
        images: 1200,
        seeds: 3,
        epochs: [5.0, 4.0],
        sides: [64, 32],
        step: 0.1,
        budgets: "2,4",
    };
    pub(super) const SMALLEST: Self = Self {
        folder: "studies-smallest",
        images: 200,
        seeds: 1,
        epochs: [1.0, 1.0],
        sides: [32, 32],
        step: 0.25,
        budgets: "2",
    };
}

/// The presets that are scaled.
const EFFICIENTNET: &str = "efficientnet-half";
const RESNEXT: &str = "resnext26";

/// Half as wide and about half as deep as the networks of equal cost that the paper compares: 1 x 32d, 1 x 40d, 2 x 24d,
/// 4 x 14d, 16 x 4d.
const CARDINALITIES: [&str; 5] =
    ["resnet50", "resnext50_2x40d", "resnext50_4x24d", "resnext50_8x14d", "resnext50_32x4d"];
const HALF: &str = "+w0.5+d0.5";

/// Trains all that a size asks for; what is trained already is not trained again. One line a network.
pub(super) fn evidence(size: Size) -> Result<()> {
    let folder = root().join("target/evidence").join(size.folder);
    std::fs::create_dir_all(&folder)?;
    let study = Study { folder, size };
    study.draw()?;
    for seed in 0..size.seeds {
        let step = size.step.to_string();
        study.scale(EFFICIENTNET, "grid", &["--grid", "--step", &step], seed)?;
        for preset in [EFFICIENTNET, RESNEXT] {
            study.scale(preset, "compare", &["--compare", size.budgets], seed)?;
        }
        study.scale(EFFICIENTNET, "phi", &["--phi", "0,1,2"], seed)?;
    }
    println!("\n{:<44}  top-1 of each seed", "cardinality and shortcuts");
    for network in CARDINALITIES {
        study.trained(&format!("{network}{HALF}"))?;
    }
    for network in [CARDINALITIES[0], CARDINALITIES[4]] {
        study.trained(&format!("{network}{HALF}+noshortcut"))?;
    }
    Ok(())
}

struct Study {
    folder: PathBuf,
    size: Size,
}

impl Study {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The corpus whose crops are told apart.
    fn draw(&self) -> Result<()> {
        let corpus = self.path("corpus");
        if !self.folder.join("corpus").exists() {
            let images = self.size.images.to_string();
            object(&mut pipeline_command([
                "synth", "--images", &images, "--seed", "7", "--out", &corpus, "--json",
            ]))?;
        }
        Ok(())
    }

    fn settings(&self, preset: &str, seed: u64) -> Vec<String> {
        let family = usize::from(preset != EFFICIENTNET);
        let (epochs, side) = (self.size.epochs[family], self.size.sides[family]);
        let corpus = self.path("corpus");
        let warm_up = (0.1 * epochs).min(0.5);
        vec![
            format!("data.train={corpus}/crops/train"),
            format!("data.held_out={corpus}/crops/val"),
            format!("input.side={side}"),
            format!("schedule.epochs={epochs}"),
            format!("schedule.warm_up={warm_up}"),
            format!("seed={seed}"),
        ]
    }

    /// One question of compound scaling.
    fn scale(&self, preset: &str, name: &str, question: &[&str], seed: u64) -> Result<()> {
        let out = self.path(&format!("{name}-{preset}-{seed}"));
        let mut scale = finetune_command(["backbone", "scale", "--json", "--out", &out, "--config"]);
        scale.arg(format!("finetune/configs/{preset}.toml")).args(question);
        for set in self.settings(preset, seed) {
            scale.args(["--set", &set]);
        }
        let report = object(&mut scale)?;
        let rows = report["rows"].as_array().context("no rows")?;
        println!("\n{name} of {preset}, seed {seed}: {} networks", rows.len());
        for row in rows.iter().take(12) {
            let number = |value: &Value| value.as_f64().context("no number");
            println!(
                "{:<10} {:<44} {:>6.2} times  {:>5.1} %",
                row["series"].as_str().context("no series")?,
                row["network"].as_str().context("no name")?,
                number(&row["times"])?,
                100.0 * number(&row["score"]["top1"])?
            );
        }
        Ok(())
    }

    /// Top-1 of a network for each seed.
    fn trained(&self, network: &str) -> Result<()> {
        let mut scores = Vec::new();
        for seed in 0..self.size.seeds {
            let name = format!("{network}-{seed}");
            let (run, kept) = (self.path(&name), self.folder.join(format!("{name}.json")));
            if !kept.exists() {
                let mut train = finetune_command(["backbone", "train", "--json", "--out", &run, "--config"]);
                train.arg(format!("finetune/configs/{RESNEXT}.toml"));
                train.args(["--set", &format!("network.architecture={network}")]);
                for set in self.settings(RESNEXT, seed) {
                    train.args(["--set", &set]);
                }
                // one that was stopped before its first checkpoint begins again
                let checkpoints = std::fs::read_dir(self.folder.join(&name).join("checkpoints"));
                if checkpoints.is_ok_and(|mut entries| entries.next().is_some()) {
                    train.arg("--resume");
                }
                std::fs::write(&kept, object(&mut train)?["scores"]["top1"].to_string())?;
            }
            let top1: f64 = std::fs::read_to_string(&kept)?.parse()?;
            scores.push(format!("{:.1} %", 100.0 * top1));
        }
        println!("{network:<44}  {}", scores.join("  "));
        Ok(())
    }
}
