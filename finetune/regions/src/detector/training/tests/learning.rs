//! A detector that learns drawn squares: alone, on ranks, stopped and resumed.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use candle_core::Tensor;
use finetune_backbones::training::Unreadable;
use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::{Decay, optimiser};

use crate::Error;
use crate::decoding::Picture;
use crate::detector::reference::settings as detector_settings;
use crate::detector::training::settings::{
    LossSettings, Norm, OptimiserSettings, RunSettings, SampleSettings, ScheduleSettings, TrainingSettings,
};
use crate::detector::training::{Outcome, Progress, Run, Sampler, Watch, train};
use crate::detector::{Detector, TrainingPicture, TrainingPictures};

/// Pictures of 96 x 64 with one or two squares, red or green, large or small, on a grey ground.
struct Squares {
    names: [Vec<String>; 2],
    unreadable: Option<u64>,
}

impl Squares {
    fn new() -> Self {
        let names =
            [vec!["red".to_owned(), "green".to_owned()], vec!["small".to_owned(), "large".to_owned()]];
        Self { names, unreadable: None }
    }

    fn at(number: u64) -> TrainingPicture {
        let (width, height) = (96u32, 64u32);
        let mut rgb = [120u8, 120, 130].repeat((width * height) as usize);
        let (mut boxes, mut classes, mut attributes) = (Vec::new(), Vec::new(), Vec::new());
        let values = crate::detector::reference::hashed(1000 + number, 8);
        let n = if values[7] > 0.0 { 2 } else { 1 };
        for i in 0..n {
            let class = usize::from(values[4 * i] > 0.0);
            let side = if values[4 * i + 1] > 0.0 { 36 } else { 20 };
            let x = ((values[4 * i + 2] + 1.0) / 2.0 * f64::from(width / 2 - side)) as u32 + 48 * i as u32;
            let y = ((values[4 * i + 3].abs()) * f64::from(height - side)) as u32;
            for (row, column) in
                (y..y + side).flat_map(|row| (x..(x + side).min(width)).map(move |c| (row, c)))
            {
                let pixel = 3 * (row * width + column) as usize;
                rgb[pixel..pixel + 3].copy_from_slice(if class == 0 {
                    &[220, 30, 30]
                } else {
                    &[20, 200, 40]
                });
            }
            boxes.push([x as f32, y as f32, (x + side) as f32, (y + side) as f32]);
            classes.push(class);
            attributes.push(vec![usize::from(side == 36)]);
        }
        TrainingPicture { picture: Picture { width, height, rgb }, boxes, classes, attributes }
    }
}

impl TrainingPictures for Squares {
    fn n_samples(&self) -> u64 {
        12
    }

    fn classes(&self) -> &[String] {
        &self.names[0]
    }

    fn attributes(&self) -> &[String] {
        &self.names[1]
    }

    fn sample(&self, epoch: u32, place: u64) -> Result<TrainingPicture, Unreadable> {
        if self.unreadable == Some(place) && epoch == 0 {
            return Err(Unreadable { name: format!("square {place}"), reason: "drawn badly".to_owned() });
        }
        Ok(Self::at(place))
    }
}

#[derive(Default)]
struct Watched {
    steps: Mutex<Vec<Progress>>,
    stop_after: Option<u64>,
}

impl Watch for Watched {
    fn step(&self, progress: &Progress) {
        self.steps.lock().unwrap().push(progress.clone());
    }

    fn damaged(&self, reason: &pretrain_training::Error) {
        panic!("{reason}");
    }

    fn unreadable(&self, picture: &Unreadable) {
        assert_eq!(picture.name, "square 1");
    }

    fn must_stop(&self) -> bool {
        // asked before the update that it ends is told
        self.stop_after.is_some_and(|stop| self.steps.lock().unwrap().len() as u64 + 1 >= stop)
    }
}

fn settings(norm: Norm, updates: u64) -> TrainingSettings {
    let mut detector = detector_settings();
    detector.input.short = 64;
    detector.input.long_at_most = 96;
    detector.report.score = 0.5;
    detector.proposals.hidden = 32;
    TrainingSettings {
        seed: 3,
        pictures: 2,
        backbone: None,
        start: None,
        frozen_stages: 1,
        norm,
        short_sides: vec![64, 60],
        detector,
        samples: SampleSettings {
            anchors: Sampler { count: 32, objects: 0.5 },
            proposals: Sampler { count: 16, objects: 0.5 },
            anchor_high: 0.6,
            before: 100,
            after: 50,
            ..SampleSettings::default()
        },
        losses: LossSettings::default(),
        optimiser: OptimiserSettings {
            rule: optimiser::Rule::AdamW(optimiser::AdamW::default()),
            weight_decay: 1e-4,
            network_rate: 1.0,
            bias_rate: 1.0,
            clip: Some(5.0),
            average: Some(0.9),
        },
        schedule: ScheduleSettings {
            updates,
            peak: 2e-3,
            warm_up: updates.min(4),
            warm_up_from: 0.0,
            decay: Decay::Cosine { floor: 0.05 },
        },
        run: RunSettings { log_every: 1, checkpoint_every: 3, ..RunSettings::default() },
    }
}

fn run_in(folder: &Path, resume: bool) -> Run<'_> {
    Run { folder, settings_hash: "hash", resume }
}

fn trained(settings: &TrainingSettings, pictures: &Squares) -> (Outcome, Vec<Progress>) {
    let folder = tempfile::tempdir().unwrap();
    let watch = Watched::default();
    let outcome = train(settings, pictures, run_in(folder.path(), false), &Solo, &watch).unwrap();
    (outcome, watch.steps.into_inner().unwrap())
}

fn bits(detector: &Detector) -> Vec<(String, Vec<u32>)> {
    let of = |tensor: &Tensor| -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    detector.weights().iter().map(|(name, tensor)| (name.clone(), of(tensor))).collect()
}

/// Twelve pictures by heart: from nothing to boxes, classes and attributes.
#[test]
fn drawn_squares_are_learned_from_nothing() {
    let (outcome, steps) = trained(&settings(Norm::Affine, 300), &Squares::new());
    assert!(outcome.is_done && outcome.boxes.boxes > 300 && outcome.boxes.empty == 0);
    let mean = |steps: &[Progress], loss: usize| {
        steps.iter().map(|step| step.losses[loss].1).sum::<f64>() / steps.len() as f64
    };
    // the loss of boxes grows at first, with the proposals that belong to an object at all
    for loss in [0, 1, 2, 4] {
        let name = steps[0].losses[loss].0;
        let (first, last) = (mean(&steps[..10], loss), mean(&steps[290..], loss));
        assert!(last < 0.5 * first, "{name}: {first} to {last}");
    }
    let detector = outcome.detector;
    let (mut found, mut objects) = (0, 0);
    for number in 0..12 {
        let truth = Squares::at(number);
        let seen = detector.detect(&truth.picture).unwrap();
        objects += truth.boxes.len();
        for (i, rect) in truth.boxes.iter().enumerate() {
            let is_it = |at: usize| {
                seen.classes[at] == truth.classes[i]
                    && detector.settings().convention.overlap(*rect, seen.boxes[at]) > 0.5
                    && seen.attributes[at][0].0 == truth.attributes[i][0]
            };
            found += usize::from((0..seen.boxes.len()).any(is_it));
        }
    }
    assert!(found * 10 >= objects * 8, "{found} of {objects}");
}

#[test]
fn ranks_make_the_same_updates() {
    for norm in [Norm::Affine, Norm::Batch] {
        let settings = settings(norm, 5);
        let (one, alone) = trained(&settings, &Squares::new());
        let folder = tempfile::tempdir().unwrap();
        let watch = Watched::default();
        let pictures = Squares::new();
        let two: Vec<Outcome> = std::thread::scope(|scope| {
            let ranks: Vec<_> = threads(2, Duration::from_secs(120))
                .into_iter()
                .map(|rank| {
                    let (settings, pictures, folder, watch) = (&settings, &pictures, folder.path(), &watch);
                    let silent = Watched::default();
                    scope.spawn(move || {
                        let watch = if rank.rank() == 0 { watch } else { &silent };
                        train(settings, pictures, run_in(folder, false), &rank, watch).unwrap()
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        let together = watch.steps.into_inner().unwrap();
        assert_eq!((alone.len(), together.len()), (5, 5));
        for (alone, together) in alone.iter().zip(&together) {
            for ((name, a), (_, b)) in alone.losses.iter().zip(&together.losses) {
                assert!(
                    (a - b).abs() <= 1e-4 * a.abs().max(1e-2),
                    "{norm:?}, step {}: {name} {a} {b}",
                    alone.step
                );
            }
            assert_eq!(together.pictures, 2);
        }
        assert_eq!(bits(&two[0].detector), bits(&two[1].detector));
        drop(one);
    }
}

#[test]
fn a_stopped_run_goes_on_to_the_bit() {
    let settings = settings(Norm::Batch, 7);
    let (straight, steps) = trained(&settings, &Squares::new());
    let folder = tempfile::tempdir().unwrap();
    let stopped = Watched { stop_after: Some(4), ..Watched::default() };
    let outcome = train(&settings, &Squares::new(), run_in(folder.path(), false), &Solo, &stopped).unwrap();
    assert_eq!((outcome.step, outcome.is_done), (4, false));
    let again = train(&settings, &Squares::new(), run_in(folder.path(), false), &Solo, &Watched::default());
    assert!(again.unwrap_err().to_string().contains("holds a run already"));
    let resumed = Watched::default();
    let outcome = train(&settings, &Squares::new(), run_in(folder.path(), true), &Solo, &resumed).unwrap();
    assert!(outcome.is_done);
    assert_eq!(bits(&outcome.detector), bits(&straight.detector));
    let losses = |steps: &[Progress]| steps.iter().map(|step| step.losses.clone()).collect::<Vec<_>>();
    assert_eq!(losses(&resumed.steps.into_inner().unwrap()), losses(&steps[4..]));
    // a line of figures an update, none twice
    let lines = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 7);
    assert!(lines.contains("\"anchor_boxes\"") && lines.contains("\"attributes\""));
}

#[test]
fn frozen_parts_stay_and_the_others_move() {
    let settings = TrainingSettings { frozen_stages: 2, ..settings(Norm::Frozen, 2) };
    let names = Squares::new().names;
    let first =
        Detector::untrained(settings.detector.clone(), names[0].clone(), names[1].clone(), 3).unwrap();
    let (outcome, _) = trained(&settings, &Squares::new());
    for ((name, before), (_, after)) in bits(&first).into_iter().zip(bits(&outcome.detector)) {
        let is_norm = name.contains("bn") || name.contains("downsample.1");
        let stays = is_norm || name.contains("stem.") || name.contains("body.layer1.");
        assert_eq!(before == after, stays, "{name}");
    }
}

#[test]
fn pictures_without_objects_and_unreadable_ones() {
    struct Empty(Squares);
    impl TrainingPictures for Empty {
        fn n_samples(&self) -> u64 {
            12
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn attributes(&self) -> &[String] {
            self.0.attributes()
        }
        fn sample(&self, _: u32, place: u64) -> Result<TrainingPicture, Unreadable> {
            let sample = Squares::at(place);
            Ok(TrainingPicture { boxes: vec![], classes: vec![], attributes: vec![], ..sample })
        }
    }
    // every parameter is reached, though there is nothing to learn of boxes and attributes
    let folder = tempfile::tempdir().unwrap();
    let watch = Watched::default();
    let empty = Empty(Squares::new());
    train(&settings(Norm::Affine, 2), &empty, run_in(folder.path(), false), &Solo, &watch).unwrap();
    let steps = watch.steps.into_inner().unwrap();
    assert_eq!((steps[1].losses[1].1, steps[1].losses[3].1, steps[1].losses[4].1), (0.0, 0.0, 0.0));
    assert!(steps[1].losses[0].1 > 0.0);

    let pictures = Squares { unreadable: Some(1), ..Squares::new() };
    let (outcome, steps) = trained(&settings(Norm::Affine, 3), &pictures);
    assert!(outcome.is_done);
    assert_eq!(steps.iter().map(|step| step.pictures).collect::<Vec<_>>(), [1, 2, 2]);
    let Err(Error::Sample { problem, .. }) = ({
        let all_bad = settings(Norm::Affine, 3);
        let folder = tempfile::tempdir().unwrap();
        struct Bad(Squares);
        impl TrainingPictures for Bad {
            fn n_samples(&self) -> u64 {
                12
            }
            fn classes(&self) -> &[String] {
                self.0.classes()
            }
            fn attributes(&self) -> &[String] {
                self.0.attributes()
            }
            fn sample(&self, _: u32, _: u64) -> Result<TrainingPicture, Unreadable> {
                Err(Unreadable { name: "square 1".to_owned(), reason: "drawn badly".to_owned() })
            }
        }
        train(&all_bad, &Bad(Squares::new()), run_in(folder.path(), false), &Solo, &Watched::default())
    }) else {
        panic!("all pictures are unreadable")
    };
    assert!(problem.contains("cannot be read"), "{problem}");
}
