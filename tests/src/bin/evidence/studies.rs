//! The studies of the two papers on backbones, in small: compound scaling (Paper: 1905.11946, sections 3 and 5.1) and
//! cardinality (Paper: 1611.05431, tables 3 and 5).

use std::path::PathBuf;

use anyhow::{Context, Result};
use conformance::binaries::{finetune_command, pipeline_command, root};
use finetune::chart::{Line, chart};
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
    /// How many times as long the dimensions are trained once more, with one seed.
    longer: f64,
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
        longer: 4.0,
    };
    pub(super) const SMALLEST: Self = Self {
        folder: "studies-smallest",
        images: 200,
        seeds: 1,
        epochs: [1.0, 1.0],
        sides: [32, 32],
        step: 0.25,
        budgets: "2",
        longer: 2.0,
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

/// Trains all that a size asks for; what is trained already is not trained again. Prints means over the seeds as tables, and
/// draws them beside the runs.
pub(super) fn evidence(size: Size) -> Result<()> {
    let folder = root().join("target/evidence").join(size.folder);
    std::fs::create_dir_all(&folder)?;
    let study = Study { folder, size };
    study.draw()?;
    let step = size.step.to_string();
    let (grid, compare) = (["--grid", "--step", &step], ["--compare", size.budgets]);
    let seeds = size.seeds;
    study.scale(EFFICIENTNET, "grid", &grid, seeds, 1.0)?;
    study.scale(EFFICIENTNET, "phi", &["--phi", "0,1,2"], seeds, 1.0)?;
    for preset in [EFFICIENTNET, RESNEXT] {
        let networks = study.scale(preset, "compare", &compare, seeds, 1.0)?;
        study.chart_of_dimensions(&format!("compare-{preset}"), preset, &networks)?;
    }
    study.cardinality()?;
    // deeper networks learn later
    let networks = study.scale(EFFICIENTNET, "compare-longer", &compare, 1, size.longer)?;
    let preset = format!("{EFFICIENTNET}, {} times as long,", size.longer);
    study.chart_of_dimensions(&format!("compare-longer-{EFFICIENTNET}"), &preset, &networks)
}

/// A network among those that are scaled.
struct Scaled {
    series: String,
    network: String,
    /// Multiplications over those of the base.
    times: f64,
    top1: Top1,
}

/// Of one network with each seed, in per cent.
struct Top1(Vec<f64>);

impl Top1 {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn seeds(&self) -> String {
        self.0.iter().map(|top1| format!("{top1:.1}")).collect::<Vec<_>>().join(", ")
    }

    fn line<'a>(name: &'a str, points: &[(f64, &Self)]) -> Line<'a> {
        let runs = points.iter().flat_map(|(x, point)| point.0.iter().map(|top1| [*x, *top1])).collect();
        let points = points.iter().map(|(x, point)| [*x, point.mean()]).collect();
        Line { name, points, is_joined: true, runs }
    }
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

    fn settings(&self, preset: &str, seed: u64, longer: f64) -> Vec<String> {
        let family = usize::from(preset != EFFICIENTNET);
        let (epochs, side) = (longer * self.size.epochs[family], self.size.sides[family]);
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

    /// One question of compound scaling, with some seeds, and some times as long; the networks in the order of the first seed.
    fn scale(
        &self,
        preset: &str,
        name: &str,
        question: &[&str],
        seeds: u64,
        longer: f64,
    ) -> Result<Vec<Scaled>> {
        let mut networks: Vec<Scaled> = Vec::new();
        for seed in 0..seeds {
            let out = self.path(&format!("{name}-{preset}-{seed}"));
            let mut scale = finetune_command(["backbone", "scale", "--json", "--out", &out, "--config"]);
            scale.arg(format!("finetune/configs/{preset}.toml")).args(question);
            for set in self.settings(preset, seed, longer) {
                scale.args(["--set", &set]);
            }
            let report = object(&mut scale)?;
            for row in report["rows"].as_array().context("no rows")? {
                let text =
                    |key: &str| Ok::<_, anyhow::Error>(row[key].as_str().context("no text")?.to_owned());
                let number = |value: &Value| value.as_f64().context("no number");
                let (network, top1) = (text("network")?, 100.0 * number(&row["score"]["top1"])?);
                match networks.iter_mut().find(|other| other.network == network) {
                    Some(other) => other.top1.0.push(top1),
                    None => {
                        let (series, times) = (text("series")?, number(&row["times"])?);
                        networks.push(Scaled { series, network, times, top1: Top1(vec![top1]) });
                    }
                }
            }
            println!("{name} of {preset}, seed {seed}: {} networks", networks.len());
        }
        if name == "grid" {
            networks.sort_by(|a, b| b.top1.mean().total_cmp(&a.top1.mean()));
        }
        println!("\n| | network | times | top-1, % | seeds |\n|---|---|---|---|---|");
        for Scaled { series, network, times, top1 } in &networks {
            println!("| {series} | {network} | {times:.2} | {:.1} | {} |", top1.mean(), top1.seeds());
        }
        println!();
        Ok(networks)
    }

    /// What each dimension brings for its multiplications.
    fn chart_of_dimensions(&self, name: &str, preset: &str, networks: &[Scaled]) -> Result<()> {
        let base = networks.iter().find(|network| network.series == "base").context("no base")?;
        let lines: Vec<Line<'_>> = ["depth", "width", "resolution", "compound"]
            .map(|series| {
                let of_series = networks.iter().filter(|network| network.series == series);
                let points: Vec<_> = [base]
                    .into_iter()
                    .chain(of_series)
                    .map(|network| (network.times, &network.top1))
                    .collect();
                Top1::line(series, &points)
            })
            .into();
        let title = format!("{preset} scaled; small points are seeds");
        self.write_chart(name, &title, "multiplications over the base's", &lines)
    }

    fn write_chart(&self, name: &str, title: &str, axis: &str, lines: &[Line<'_>]) -> Result<()> {
        let svg = chart(title, [axis, "top-1, per cent"], lines).context("nothing to draw")?;
        Ok(std::fs::write(self.folder.join(format!("{name}.svg")), svg)?)
    }

    /// Groups at equal cost, and what is left without shortcuts.
    fn cardinality(&self) -> Result<()> {
        println!("| groups | network | top-1, % | seeds |\n|---|---|---|---|");
        let groups = [1.0, 2.0, 4.0, 8.0, 32.0];
        let mut lines: [Vec<(f64, Top1)>; 2] = Default::default();
        for (groups, network) in groups.into_iter().zip(CARDINALITIES) {
            for (line, without) in lines.iter_mut().zip(["", "+noshortcut"]) {
                if without.is_empty() || [CARDINALITIES[0], CARDINALITIES[4]].contains(&network) {
                    let network = format!("{network}{HALF}{without}");
                    let top1 = self.trained(&network)?;
                    println!("| {groups} | {network} | {:.1} | {} |", top1.mean(), top1.seeds());
                    line.push((groups, top1));
                }
            }
        }
        let [with, without] = lines.each_ref().map(|line| line.iter().map(|(x, top1)| (*x, top1)).collect());
        let lines: [(&str, Vec<_>); 2] = [("with shortcuts", with), ("without", without)];
        let lines = lines.map(|(name, points)| Top1::line(name, &points));
        self.write_chart("cardinality", "Groups at equal cost; small points are seeds", "cardinality", &lines)
    }

    /// A network with every seed.
    fn trained(&self, network: &str) -> Result<Top1> {
        let mut top1 = Vec::new();
        for seed in 0..self.size.seeds {
            let name = format!("{network}-{seed}");
            let (run, kept) = (self.path(&name), self.folder.join(format!("{name}.json")));
            if !kept.exists() {
                let mut train = finetune_command(["backbone", "train", "--json", "--out", &run, "--config"]);
                train.arg(format!("finetune/configs/{RESNEXT}.toml"));
                train.args(["--set", &format!("network.architecture={network}")]);
                for set in self.settings(RESNEXT, seed, 1.0) {
                    train.args(["--set", &set]);
                }
                // one that was stopped before its first checkpoint begins again
                let checkpoints = std::fs::read_dir(self.folder.join(&name).join("checkpoints"));
                if checkpoints.is_ok_and(|mut entries| entries.next().is_some()) {
                    train.arg("--resume");
                }
                std::fs::write(&kept, object(&mut train)?["scores"]["top1"].to_string())?;
            }
            top1.push(100.0 * std::fs::read_to_string(&kept)?.parse::<f64>()?);
        }
        Ok(Top1(top1))
    }
}
