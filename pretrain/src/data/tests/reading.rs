//! In which order examples come, and that nothing but the seed and the place decides about them.

use std::collections::BTreeMap;

use data_specs::FeatureType;

use super::corpus::*;
use crate::data::{DataSettings, MicroBatch, Share, Standing, TrainingData};
use crate::objectives::ObjectiveSettings;
use crate::{Example, Result};

const ALONE: Share = Share { batch: 24, micro: 24, rank: 0, world: 1 };

fn two_sets(corpus: &Corpus) -> DataSettings {
    corpus.write("other", &rows(200..231), 3, FeatureType::F32);
    let mut settings = corpus.settings();
    settings.train.push(crate::data::SetSettings { weight: 0.25, ..corpus.set("other") });
    settings
}

/// Micro-batches of `n_steps` steps.
fn batches(
    data: &TrainingData,
    share: Share,
    step: u64,
    standing: &Standing,
    n_steps: u64,
) -> Vec<MicroBatch> {
    let mut loader = data.load(share, step, standing).unwrap();
    (0..n_steps * loader.per_step()).map(|_| loader.micro_batch().unwrap()).collect()
}

fn by_place(batches: impl IntoIterator<Item = MicroBatch>) -> BTreeMap<(u64, u32), Example> {
    let mut found = BTreeMap::new();
    for batch in batches {
        for example in batch.examples {
            assert!(found.insert((batch.step, example.place), example).is_none());
        }
    }
    found
}

#[test]
fn ranks_micro_batches_and_threads_do_not_matter() {
    let corpus = Corpus::usual();
    let settings = two_sets(&corpus);
    let objectives = ObjectiveSettings { wrong_text: 0.25, ..ObjectiveSettings::default() };
    let data = corpus.open(&settings, &objectives).unwrap();
    let alone = by_place(batches(&data, ALONE, 0, &data.start(), 20));
    assert_eq!(alone.len(), 20 * 24);
    for (world, micro, threads, read_ahead) in
        [(1, 5, 1, 1), (1, 1, 3, 2), (2, 6, 1, 1), (2, 7, 2, 5), (3, 2, 3, 1), (3, 8, 1, 9), (4, 6, 2, 2)]
    {
        let settings = DataSettings { threads, read_ahead, ..settings.clone() };
        let data = corpus.open(&settings, &objectives).unwrap();
        let mut together = BTreeMap::new();
        for rank in 0..world {
            let own = batches(&data, Share { batch: 24, micro, rank, world }, 0, &data.start(), 20);
            let numbers: Vec<u64> =
                own.iter().take_while(|batch| batch.step == 0).map(|b| b.number).collect();
            assert!(numbers.iter().all(|number| *number as usize % world == rank), "{numbers:?}");
            assert!(own.is_sorted_by_key(|batch| (batch.step, batch.number)));
            for batch in &own {
                let first = (batch.number * micro) as u32;
                let places: Vec<u32> = batch.examples.iter().map(|example| example.place).collect();
                assert_eq!(places, (first..(first + micro as u32).min(24)).collect::<Vec<_>>());
            }
            together.append(&mut by_place(own));
        }
        assert!(together == alone, "{world} ranks, micro-batches of {micro}, {threads} threads");
    }
}

#[test]
fn a_resumed_training_reads_what_the_straight_one_does() {
    let corpus = Corpus::usual();
    let settings = two_sets(&corpus);
    let objectives = ObjectiveSettings::default();
    let data = corpus.open(&settings, &objectives).unwrap();
    let straight = batches(&data, ALONE, 0, &data.start(), 30);
    for step in [1, 2, 7, 8, 19] {
        let kept = serde_json::to_string(&straight[step - 1].after).unwrap();
        let standing: Standing = serde_json::from_str(&kept).unwrap();
        assert_eq!(standing.samples, 24 * step as u64);
        let data = corpus.open(&settings, &objectives).unwrap();
        let resumed = batches(&data, ALONE, step as u64, &standing, 30 - step as u64);
        assert!(resumed == straight[step..], "step {step}");
    }

    // what cannot be gone on from
    let standing = &straight[4].after;
    let refused = |settings: &DataSettings, share: Share, step: u64, standing: &Standing| {
        let data = corpus.open(settings, &objectives).unwrap();
        data.load(share, step, standing).unwrap_err().to_string()
    };
    let message = refused(&settings, ALONE, 6, standing);
    assert!(message.contains("batch.size was 20 samples a step"), "{message}");
    let message = refused(&corpus.settings(), ALONE, 5, standing);
    assert!(message.contains("has 1 data sets, the checkpoint was made with 2"), "{message}");
    let mut other = settings.clone();
    other.train.swap(0, 1);
    let message = refused(&other, ALONE, 5, standing);
    assert!(message.contains("resume with the same data set"), "{message}");
    let mut miscounted = standing.clone();
    miscounted.sets[0].position += 1;
    let message = refused(&settings, ALONE, 5, &miscounted);
    assert!(message.contains("read 121 times, the checkpoint says 120"), "{message}");
    for share in [
        Share { micro: 0, ..ALONE },
        Share { micro: 25, ..ALONE },
        Share { world: 2, ..ALONE },
        Share { micro: 6, rank: 3, world: 3, ..ALONE },
    ] {
        assert!(refused(&settings, share, 5, standing).starts_with("batch "), "{share:?}");
    }
}

#[test]
fn every_epoch_has_every_text_once_and_sets_come_by_weight() {
    let corpus = Corpus::usual();
    let settings = corpus.settings();
    let data = corpus.open(&settings, &plain()).unwrap();
    assert_eq!(data.n_texts(), 160);
    let share = Share { batch: 32, micro: 8, rank: 0, world: 1 };
    let epochs: Vec<Vec<_>> = batches(&data, share, 0, &data.start(), 10)
        .chunks(20)
        .map(|epoch| epoch.iter().flat_map(|batch| batch.examples.iter().map(parts)).collect())
        .collect();
    assert_ne!(epochs[0], epochs[1]);
    for epoch in epochs {
        let mut texts: Vec<String> = epoch.iter().map(|(a, b)| format!("{a:?} {b:?}")).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 160);
    }

    let settings = two_sets(&corpus);
    let data = corpus.open(&settings, &plain()).unwrap();
    let batches = batches(&data, ALONE, 0, &data.start(), 100);
    let of_other = |example: &&Example| parts(example).0[0].name() >= 200;
    let n = batches.iter().flat_map(|batch| &batch.examples).filter(of_other).count() as f64;
    assert!((n - 480.0).abs() < 5.0 * (2400.0f64 * 0.2 * 0.8).sqrt(), "{n} of 2400 at a fifth");
    let after = &batches[99].after;
    let read = |set: usize, texts: u64| after.sets[set].epoch * texts + after.sets[set].position;
    assert_eq!((read(0, 160), read(1, 41)), (2400 - n as u64, n as u64));
}

#[test]
fn an_evaluation_is_the_same_every_time() {
    let corpus = Corpus::usual();
    let objectives = ObjectiveSettings { wrong_text: 0.25, ..ObjectiveSettings::default() };
    let settings = corpus.settings();
    let all = corpus.pass(&settings, &objectives);
    assert_eq!(all.len(), 160);
    assert!(all.iter().enumerate().all(|(place, example)| example.place as usize == place));
    assert!(all.iter().any(|example| example.contrastive_label == 2));
    assert!(all == corpus.pass(&DataSettings { threads: 3, read_ahead: 1, ..settings.clone() }, &objectives));

    let held_out = corpus.held_out(&settings, &objectives);
    for (micro, world) in [(7, 1), (16, 2), (50, 3), (200, 2)] {
        let mut together: Vec<Example> = Vec::new();
        let mut own: Vec<_> = (0..world).map(|rank| held_out.batches(micro, rank, world).unwrap()).collect();
        for batch in 0..160u64.div_ceil(micro) {
            together.extend(own[batch as usize % world].next().unwrap().unwrap());
        }
        assert!(own.iter_mut().all(|batches| batches.next().is_none()));
        assert!(together == all, "{micro}, {world}");
    }

    // a limit spreads evenly and changes no draw
    let limited = corpus.pass(&DataSettings { held_out_limit: Some(7), ..settings.clone() }, &objectives);
    assert_eq!(
        limited.iter().map(|example| example.place).collect::<Vec<_>>(),
        [0, 22, 45, 68, 91, 114, 137]
    );
    assert!(limited.iter().all(|example| *example == all[example.place as usize]));
    assert_eq!(
        corpus.pass(&DataSettings { held_out_limit: Some(999), ..settings.clone() }, &objectives).len(),
        160
    );

    // the first step of a training draws other numbers
    let data = corpus.open(&settings, &objectives).unwrap();
    let share = Share { batch: 160, micro: 160, ..ALONE };
    let trained = &batches(&data, share, 0, &data.start(), 1)[0].examples;
    let labels = |examples: &[Example]| examples.iter().map(|e| e.contrastive_label).collect::<Vec<_>>();
    assert_ne!(labels(trained), labels(&all));
}

#[test]
fn a_table_is_made_once_and_again_when_it_is_not_the_same() {
    let corpus = Corpus::usual();
    let settings = corpus.settings();
    let table = corpus.path("run/train.texts");
    let first = {
        let data = corpus.open(&settings, &exchanging()).unwrap();
        batches(&data, ALONE, 0, &data.start(), 10)
    };
    let made = |path: &std::path::Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let (then, bytes) = (made(&table), std::fs::read(&table).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(20));
    corpus.open(&settings, &exchanging()).unwrap();
    assert_eq!(made(&table), then);

    // damage of either file, and another setting
    let mut bad = bytes.clone();
    bad[100] ^= 1;
    std::fs::write(&table, &bad).unwrap();
    let data = corpus.open(&settings, &exchanging()).unwrap();
    assert!(std::fs::read(&table).unwrap() == bytes);
    assert!(batches(&data, ALONE, 0, &data.start(), 10) == first);
    std::fs::write(corpus.path("run/train.texts.json"), "{").unwrap();
    corpus.open(&settings, &exchanging()).unwrap();
    assert!(made(&table) > then);
    corpus.open(&DataSettings { tags: false, ..settings.clone() }, &exchanging()).unwrap();
    assert!(std::fs::read(&table).unwrap() != bytes);

    // a new state of the data set
    corpus.write("set", &rows(0..121), 5, FeatureType::F32);
    assert_eq!(corpus.open(&settings, &exchanging()).unwrap().n_texts(), 162);
}

#[test]
fn ranks_that_open_at_once_make_the_same_table() {
    let corpus = Corpus::usual();
    let settings = corpus.settings();
    let reads: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            let data = corpus.open(&settings, &exchanging()).unwrap();
            batches(&data, ALONE, 0, &data.start(), 5)
        };
        let ranks: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert!(reads.iter().all(|read| *read == reads[0]));
    let mut names: Vec<String> = std::fs::read_dir(corpus.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["tokenizer.json", "train.texts", "train.texts.json", "vocab.txt"]);
}

#[test]
fn a_loader_ends_with_its_owner_and_tells_what_it_waited() {
    let corpus = Corpus::usual();
    for threads in [1, 3] {
        let settings = DataSettings { threads, read_ahead: 1, ..corpus.settings() };
        let data = corpus.open(&settings, &exchanging()).unwrap();
        let share = Share { batch: 24, micro: 2, ..ALONE };
        drop(data.load(share, 0, &data.start()).unwrap()); // with full queues
        let mut loader = data.load(share, 0, &data.start()).unwrap();
        loader.micro_batch().unwrap();
        let first = loader.waited();
        assert!(first > std::time::Duration::ZERO && loader.per_step() == 12);
        loader.micro_batch().unwrap();
        assert!(loader.waited() >= first);
        drop(corpus.held_out(&settings, &exchanging()).batches(1, 0, 1).unwrap());
    }
}

#[test]
fn damage_reaches_whoever_reads() {
    let corpus = Corpus::usual();
    let settings = corpus.settings();
    let data = corpus.open(&settings, &exchanging()).unwrap();
    let held_out = corpus.held_out(&settings, &exchanging());
    let shard = corpus.path("set/shard-00003.parquet");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&shard, bytes).unwrap();

    let mut loader = data.load(ALONE, 0, &data.start()).unwrap();
    let error = (0..100).find_map(|_| loader.micro_batch().err()).unwrap().to_string();
    assert!(error.contains("shard-00003.parquet") && error.contains("BLAKE3"), "{error}");
    let passed: Vec<Result<Vec<Example>>> = held_out.batches(16, 0, 1).unwrap().collect();
    assert!(passed.len() < 10 && passed.last().unwrap().is_err());
    assert!(passed[..passed.len() - 1].iter().all(Result::is_ok));
}
