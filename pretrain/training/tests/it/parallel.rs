//! However the work is cut, the run is the same.

use std::num::NonZeroUsize;
use std::time::Duration;

use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::optimiser::{AdamW, OscarAdamW, RmsPropTf, Rule, Sgd};
use pretrain_training::{Checkpoints, State};

use super::network::Run;

const STEPS: u64 = 20;

/// Losses of all steps and the parameters at the end.
fn train(run: &mut Run, pieces: usize, ranks: &dyn Collective) -> (Vec<f64>, Vec<f32>) {
    let losses = (0..STEPS).map(|step| run.step(step, pieces, ranks).unwrap()).collect();
    (losses, run.parameters.values().unwrap())
}

fn in_threads(world: usize, rule: Rule) -> Vec<(Vec<f64>, Vec<f32>)> {
    std::thread::scope(|scope| {
        let ranks = threads(world, Duration::from_secs(60)).into_iter().map(|ranks| {
            scope.spawn(move || {
                // every rank starts elsewhere; rank 0's weights are everybody's
                let mut run = Run::new(rule, ranks.rank() as u64);
                let mut values = run.parameters.values().unwrap();
                ranks.broadcast(&mut values, 0).unwrap();
                run.parameters.set_values(&values).unwrap();
                train(&mut run, 1, &ranks)
            })
        });
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn one_rank_is_two_is_accumulation() {
    let rules = [
        Rule::AdamW(AdamW::default()),
        Rule::OscarAdamW(OscarAdamW::default()),
        Rule::Sgd(Sgd::default()),
        Rule::RmsPropTf(RmsPropTf::default()),
    ];
    for rule in rules {
        let mut alone = Run::new(rule, 0);
        let start = alone.parameters.values().unwrap();
        let (losses, weights) = train(&mut alone, 1, &Solo);
        assert!(apart(&weights, &start) > 0.01, "nothing was learnt: {}", apart(&weights, &start));
        let mut others = in_threads(2, rule);
        assert_eq!(others[0], others[1], "ranks see the same");
        others.truncate(1);
        others.extend(in_threads(3, rule).into_iter().take(1));
        others.push(train(&mut Run::new(rule, 0), 4, &Solo));
        for (other_losses, other_weights) in others {
            assert!(apart(&other_weights, &weights) < 1e-5, "{rule:?}: {}", apart(&other_weights, &weights));
            let worst = losses.iter().zip(&other_losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-5, "{rule:?}: {worst}");
        }
    }
}

/// Without timing in it: two runs of the same ranks are one, to the bit.
#[test]
fn ranks_repeat_to_the_bit() {
    let rule = Rule::AdamW(AdamW::default());
    assert_eq!(in_threads(3, rule), in_threads(3, rule));
}

#[test]
fn stopping_and_going_on_is_not_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), NonZeroUsize::MIN).unwrap();
    let (_, wanted) = train(&mut Run::adamw(0), 1, &Solo);
    let mut first = Run::adamw(0);
    for step in 0..7 {
        first.step(step, 1, &Solo).unwrap();
    }
    let state = State { step: 7, seed: 0, settings: String::new(), progress: serde_json::Value::Null };
    let files = [
        ("model", first.parameters.tensors()),
        ("optimiser", first.optimiser.save(&first.parameters).unwrap()),
    ];
    checkpoints.commit(&state, &files.into(), &|_| {}).unwrap();

    let checkpoint = checkpoints.newest().unwrap().checkpoint.unwrap();
    let mut second = Run::adamw(99);
    let model = checkpoint.tensors("model").unwrap();
    let values: Vec<f32> =
        model.values().flat_map(|w| w.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect();
    second.parameters.set_values(&values).unwrap();
    second.optimiser.restore(&second.parameters, &checkpoint.tensors("optimiser").unwrap()).unwrap();
    for step in checkpoint.state().step..STEPS {
        second.step(step, 1, &Solo).unwrap();
    }
    assert_eq!(second.parameters.values().unwrap(), wanted);
}

/// A rank that fails does not leave the others waiting.
#[test]
fn a_rank_that_fails_ends_all() {
    let errors: Vec<String> = std::thread::scope(|scope| {
        let ranks = threads(2, Duration::from_secs(60)).into_iter().map(|ranks| {
            scope.spawn(move || {
                let mut run = Run::adamw(0);
                run.step(0, 1, &ranks).unwrap();
                if ranks.rank() == 1 {
                    let mut values = run.parameters.values().unwrap();
                    values[3] = f32::NAN;
                    run.parameters.set_values(&values).unwrap();
                }
                run.step(1, 1, &ranks).unwrap_err().to_string()
            })
        });
        ranks.collect::<Vec<_>>().into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    // one rank's loss is all ranks' loss
    assert!(errors[0].contains("the loss is not finite at step 1"), "{errors:?}");
    assert_eq!(errors[0], errors[1]);
}
