//! How fast examples come, at the size of published features. Ignored: it writes 400 MB and only tells.

use std::time::Instant;

use data_specs::{Dataset, FeatureInfo, FeatureType, Verify};

use super::corpus::*;
use crate::data::{DataSettings, ModelInput, Share, TrainingData};
use crate::objectives::ObjectiveSettings;

#[test]
#[ignore = "a measurement: cargo test -p pretrain --release -- --ignored --nocapture examples_a_second"]
fn examples_a_second() {
    const D: u32 = 2048;
    for dtype in [FeatureType::F32, FeatureType::F16] {
        let corpus = Corpus::new();
        let block = vec![0x3c; 50 * D as usize * dtype.size()];
        let rows: Vec<_> = (0..1000)
            .map(|n| {
                let mut row = row(n, (0..5).map(|i| caption(n, i)).collect(), FeatureType::F32);
                let picture = &mut row.images[0];
                (picture.regions, picture.features) = (50, block.clone().into());
                picture.boxes = Some(vec![[1.0, 2.0, 30.0, 40.0]; 50]);
                picture.tags = (0..30).map(|i| tag(&format!("t{}", (n + i) % 1000), "vg")).collect();
                row
            })
            .collect();
        let folder = corpus.path("set");
        std::fs::create_dir_all(&folder).unwrap();
        write_set(&folder, &rows, 12, FeatureInfo { dtype, width: D });
        for verify in [Verify::First, Verify::Never] {
            let dataset = Dataset::with(&folder, verify, 20).unwrap();
            let started = Instant::now();
            (0..12).for_each(|shard| drop(dataset.shard(shard).unwrap()));
            println!("{dtype:?}, {verify:?}: all shards opened in {:?}", started.elapsed());
        }
        let model = ModelInput { region_numbers: D as usize + 6, ..MODEL };
        for threads in [1, 2] {
            let settings = DataSettings { threads, train: vec![corpus.set("set")], ..Default::default() };
            let started = Instant::now();
            let objectives = ObjectiveSettings { wrong_text: 0.25, ..Default::default() };
            let folder = corpus.path(&format!("run-{threads}"));
            let data =
                TrainingData::open(&settings, &objectives, &model, &corpus.tokenizer, 1, &folder).unwrap();
            let opened = started.elapsed();
            let share = Share { batch: 256, micro: 32, rank: 0, world: 1 };
            let mut loader = data.load(share, 0, &data.start()).unwrap();
            (0..64).for_each(|_| drop(loader.micro_batch().unwrap())); // shards are opened and hashed
            let started = Instant::now();
            (0..256).for_each(|_| drop(loader.micro_batch().unwrap()));
            let rate = 256.0 * 32.0 / started.elapsed().as_secs_f64();
            let bytes = std::fs::metadata(folder.join("train.texts")).unwrap().len() as f64 / 5000.0;
            println!(
                "{dtype:?}, {threads} threads: {rate:.0} examples/s; opened in {opened:?}, {bytes:.0} bytes a text"
            );
        }
    }
}
