//! Whole trainings of seconds: they learn, stop, go on, share, and fail as they should.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use candle_core::Tensor;
use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::Checkpoints;

use super::super::mixing::Mixing;
use super::super::settings::{BatchSettings, Settings};
use super::super::{Error, Outcome, Result, train};
use super::shapes::{Quiet, Shapes, figures, settings};

fn run(settings: &Settings, shapes: &Shapes, folder: &Path, resume: bool, watch: &Quiet) -> Result<Outcome> {
    let held_out = Shapes::new(60, 77);
    train(settings, "hash", shapes, Some(&held_out), folder, resume, &Solo, watch)
}

/// All tensors of the newest checkpoint, end to end.
fn weights(folder: &Path) -> Vec<f32> {
    let checkpoints = Checkpoints::open(&folder.join("checkpoints"), std::num::NonZeroUsize::MIN).unwrap();
    let checkpoint = checkpoints.newest().unwrap().checkpoint.unwrap();
    let tensors: BTreeMap<String, Tensor> = checkpoint.tensors("model").unwrap();
    tensors.values().flat_map(|w| w.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

#[test]
fn both_families_learn_shapes() {
    for (architecture, epochs) in [("efficientnet_half", 3.0), ("resnext26_16x4d", 3.0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(architecture);
        settings.schedule.epochs = epochs;
        let watch = Quiet::default();
        let outcome = run(&settings, &Shapes::new(480, 3), folder.path(), false, &watch).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        println!("{:.3?}", watch.losses.lock().unwrap());
        println!("{architecture}: top-1 {:.3}\n{}", evaluation.top1, evaluation.confusion.table());
        assert!(outcome.is_done && outcome.step == (epochs * 20.0) as u64);
        assert!(evaluation.top1 >= 0.9, "{architecture} learnt {}", evaluation.top1);
        assert_eq!((evaluation.pictures, evaluation.top5), (60, 1.0));
        let losses = watch.losses.into_inner().unwrap();
        assert!(losses[losses.len() - 1] < 0.6 * losses[0], "{losses:?}");
    }
}

/// Stopped at every kind of place, and with all that is drawn: the weights are those of the straight run.
#[test]
fn stop_and_resume_is_the_straight_run_to_the_bit() {
    let mut settings = settings("efficientnet_half");
    settings.schedule.epochs = 1.3;
    settings.optimiser.average = Some(0.9);
    settings.loss.mixing = Mixing { mixup: 0.2, cutmix: 1.0 };
    settings.run.log_every = 1;
    settings.run.evaluate_every = 0.5;
    let shapes = Shapes::new(240, 3);
    let straight = tempfile::tempdir().unwrap();
    let whole = run(&settings, &shapes, straight.path(), false, &Quiet::default()).unwrap();
    assert!(whole.is_done && whole.step == 13);

    let stopped = tempfile::tempdir().unwrap();
    for (stop_at, resume) in [(Some(3), false), (Some(4), true), (None, true)] {
        let outcome =
            run(&settings, &shapes, stopped.path(), resume, &Quiet { stop_at, ..Quiet::default() }).unwrap();
        assert_eq!(outcome.is_done, stop_at.is_none());
        if stop_at.is_none() {
            assert_eq!(outcome.evaluation, whole.evaluation);
        }
    }
    assert_eq!(weights(stopped.path()), weights(straight.path()));
    let told = |folder: &Path| -> Vec<serde_json::Value> {
        let mut lines = figures(folder);
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("pictures_per_second")));
        lines
    };
    assert_eq!(told(stopped.path()), told(straight.path()));
    assert_eq!(told(straight.path()).iter().filter(|line| line["kind"] == "train").count(), 13);

    // a finished run that is resumed is finished
    let again = run(&settings, &shapes, straight.path(), true, &Quiet::default()).unwrap();
    assert!(again.is_done && again.step == 13);
}

/// The newest checkpoint is cut: the run goes on from the one before and comes to the same end.
#[test]
fn a_truncated_checkpoint_is_passed_over() {
    let mut settings = settings("efficientnet_half");
    settings.schedule.epochs = 1.0;
    let shapes = Shapes::new(240, 3);
    let straight = tempfile::tempdir().unwrap();
    run(&settings, &shapes, straight.path(), false, &Quiet::default()).unwrap();
    let cut = tempfile::tempdir().unwrap();
    run(&settings, &shapes, cut.path(), false, &Quiet { stop_at: Some(7), ..Quiet::default() }).unwrap();
    let newest = cut.path().join("checkpoints/step-000000007/model.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let watch = Quiet::default();
    run(&settings, &shapes, cut.path(), true, &watch).unwrap();
    assert_eq!(weights(cut.path()), weights(straight.path()));
    let told = watch.damaged.into_inner().unwrap();
    assert!(told.len() == 1 && told[0].contains("step-000000007/model.safetensors"), "{told:?}");
}

/// One rank with two micro-batches a step, two ranks with one each: the same run after 20 steps.
#[test]
fn one_rank_is_two() {
    let mut settings = settings("efficientnet_half");
    settings.schedule.epochs = 2.0;
    settings.batch = BatchSettings { size: 24, micro: 12 };
    settings.network.drop_connect = 0.2;
    settings.loss.mixing = Mixing { mixup: 0.2, cutmix: 0.0 };
    settings.optimiser.average = Some(0.9);
    let mut shapes = Shapes::new(240, 3);
    shapes.broken = vec![17];
    settings.run.unreadable = 0.05;
    let alone = tempfile::tempdir().unwrap();
    let watch = Quiet::default();
    let outcome = run(&settings, &shapes, alone.path(), false, &watch).unwrap();
    assert_eq!(outcome.step, 20);

    let together = tempfile::tempdir().unwrap();
    let held_out = Shapes::new(60, 77);
    let quiet = Quiet::default();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let ranks = threads(2, Duration::from_secs(120)).into_iter().map(|ranks| {
            let (settings, shapes, held_out, quiet) = (&settings, &shapes, &held_out, &quiet);
            let folder = together.path();
            scope.spawn(move || {
                let ranks: &dyn Collective = &ranks;
                train(settings, "hash", shapes, Some(held_out), folder, false, ranks, quiet).unwrap()
            })
        });
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    assert_eq!(outcomes[0], outcomes[1]);
    let apart = weights(alone.path())
        .iter()
        .zip(weights(together.path()))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    println!("after 20 steps at most {apart:.1e} apart");
    assert!(apart <= 1e-5, "{apart}");
    assert_eq!(outcomes[0].evaluation, outcome.evaluation);
}

/// The number of threads that compute is no part of a result.
#[test]
fn threads_change_no_bit() {
    let mut settings = settings("efficientnet_half");
    settings.schedule.epochs = 0.3;
    settings.loss.mixing = Mixing { mixup: 0.2, cutmix: 0.0 };
    let on = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            run(&settings, &Shapes::new(240, 3), folder.path(), false, &Quiet::default()).unwrap()
        });
        weights(folder.path())
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings("efficientnet_half");
    settings.schedule.epochs = 1.0;
    let message = |result: Result<Outcome>| result.unwrap_err().to_string();

    let mut poisoned = Shapes::new(48, 3);
    poisoned.poisoned = Some(30);
    let error = message(run(&settings, &poisoned, folder.path(), false, &Quiet::default()));
    assert!(error.contains("the first numbers that are not finite come to bn1"), "{error}");
    assert!(error.starts_with("step 0:") || error.starts_with("step 1:"), "{error}");

    let mut broken = Shapes::new(240, 3);
    broken.broken = (0..20).collect();
    let error = message(run(&settings, &broken, &folder.path().join("a"), false, &Quiet::default()));
    assert!(error.contains("of 240 pictures cannot be read") && error.contains("is broken"), "{error}");

    let mut others = Shapes::new(24, 3);
    others.classes.push("star".to_owned());
    let error = message(run(&settings, &others, &folder.path().join("b"), false, &Quiet::default()));
    assert!(error.contains("the pictures for evaluation have 3 classes, the network has 4"), "{error}");

    let shapes = Shapes::new(24, 3);
    let error = message(run(&settings, &shapes, &folder.path().join("c"), true, &Quiet::default()));
    assert!(error.contains("holds no checkpoint that is good; start without --resume"), "{error}");
    run(&settings, &shapes, &folder.path().join("d"), false, &Quiet::default()).unwrap();
    let error = message(run(&settings, &shapes, &folder.path().join("d"), false, &Quiet::default()));
    assert!(error.contains("holds a run already; go on with --resume"), "{error}");

    let mut wrong = settings.clone();
    wrong.batch.micro = 7;
    assert!(
        message(run(&wrong, &shapes, folder.path(), false, &Quiet::default()))
            .contains("batch.micro is 7; it divides")
    );
    let mut wrong = super::shapes::settings("resnext26_16x4d");
    wrong.network.drop_connect = 0.2;
    assert!(
        message(run(&wrong, &shapes, folder.path(), false, &Quiet::default()))
            .contains("ResNeXt has no drop-connect")
    );
    assert!(matches!(
        run(&wrong, &shapes, folder.path(), false, &Quiet::default()),
        Err(Error::Setting { .. })
    ));
}

/// Weights of other classes, with and without a new classifier.
#[test]
fn training_starts_from_given_weights() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings("efficientnet_half");
    (settings.schedule.epochs, settings.schedule.warm_up) = (0.1, 0.0);
    settings.schedule.peak = 1e-9;
    let given = crate::initialise::initialise("efficientnet_half".parse().unwrap(), 99, 7).unwrap();
    let path = folder.path().join("given.safetensors");
    safetensors::serialize_to_file(&given, None, &path).unwrap();
    settings.network.weights = Some(path);
    let shapes = Shapes::new(240, 3);
    let error = run(&settings, &shapes, folder.path(), false, &Quiet::default()).unwrap_err().to_string();
    assert!(
        error.contains("given.safetensors has 7 classes, the network has 3: set network.new_classifier"),
        "{error}"
    );
    settings.network.new_classifier = true;
    run(&settings, &shapes, folder.path(), false, &Quiet::default()).unwrap();
    let checkpoints =
        Checkpoints::open(&folder.path().join("checkpoints"), std::num::NonZeroUsize::MIN).unwrap();
    let model = checkpoints.newest().unwrap().checkpoint.unwrap().tensors("model").unwrap();
    let apart =
        (&model["conv_head.weight"] - &given["conv_head.weight"]).unwrap().abs().unwrap().max_all().unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() < 1e-5);
    assert_eq!(model["classifier.weight"].dims()[0], 3);
}
