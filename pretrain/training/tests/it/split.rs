//! The optimiser's memory shared among ranks: the same numbers, less of it on each.

use std::collections::BTreeMap;
use std::time::Duration;

use candle_core::{Device, Tensor};
use pretrain_comm::{Collective, Solo, threads};
use pretrain_training::optimiser::{AdamW, OscarAdamW, RmsPropTf, Rule, Sgd};
use pretrain_training::{Generator, Gradients, Group, Optimiser, Parameters, Stream};

/// Parts end inside of tensors, and tensors inside of parts.
const SIZES: [(&str, usize); 5] = [("a", 40_000), ("b", 7), ("c", 1), ("d", 70_001), ("e", 300)];

fn drawn(part: u32, scale: f64) -> BTreeMap<String, Tensor> {
    let tensors = SIZES.iter().zip(0u32..).map(|((name, n), number)| {
        let generator = Generator::new(3, Stream::Weights, 100 * part + number);
        let values: Vec<f32> = (0..*n as u64).map(|i| generator.normal(i, 0.0, scale) as f32).collect();
        ((*name).to_owned(), Tensor::new(values, &Device::Cpu).unwrap())
    });
    tensors.collect()
}

/// The gradient of step `step`, the same on all ranks, as after they were added up.
fn gradients(parameters: &Parameters, step: u32) -> Gradients {
    let factors = drawn(1 + step, 0.1);
    let terms: Vec<Tensor> = parameters
        .iter()
        .map(|one| (one.tensor() * &factors[one.name()]).unwrap().sum_all().unwrap())
        .collect();
    let mut gradients = Gradients::zeros(parameters);
    gradients.backward(parameters, &Tensor::stack(&terms, 0).unwrap().sum_all().unwrap()).unwrap();
    gradients
}

fn optimiser(rule: Rule, parameters: &Parameters, ranks: &dyn Collective, is_split: bool) -> Optimiser {
    let group = |parameter: &pretrain_training::Parameter| Group {
        weight_decay: if parameter.name() == "d" { 0.01 } else { 0.0 },
        rate_factor: if parameter.name() == "b" { 3.0 } else { 1.0 },
    };
    if is_split {
        Optimiser::split(rule, parameters, group, ranks)
    } else {
        Optimiser::new(rule, parameters, group)
    }
}

fn advance(
    steps: std::ops::Range<u32>,
    parameters: &Parameters,
    optimiser: &mut Optimiser,
    ranks: &dyn Collective,
) {
    for step in steps {
        optimiser.step(parameters, &gradients(parameters, step), 1e-2).unwrap();
        optimiser.share(parameters, ranks).unwrap();
    }
}

fn bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Vec<u32>> {
    let bits = |tensor: &Tensor| match tensor.to_vec1::<f32>() {
        Ok(values) => values.into_iter().map(f32::to_bits).collect(),
        Err(_) => vec![u32::try_from(tensor.to_scalar::<i64>().unwrap()).unwrap()],
    };
    tensors.iter().map(|(name, tensor)| (name.clone(), bits(tensor))).collect()
}

/// Parameters and what is saved, as bits, and numbers remembered on this rank.
type End = (Vec<u32>, Option<BTreeMap<String, Vec<u32>>>, usize);

/// Model and optimiser of a checkpoint.
type Saved = [BTreeMap<String, Tensor>; 2];

/// Goes on from `saved`, if it is there, for two steps more than the three before.
fn run(rule: Rule, ranks: &dyn Collective, is_split: bool, saved: Option<&Saved>) -> (End, Option<Saved>) {
    let parameters = Parameters::new(&drawn(0, 1.0)).unwrap();
    let mut optimiser = optimiser(rule, &parameters, ranks, is_split);
    let mut steps = 0..3;
    if let Some([model, state]) = saved {
        parameters.restore(model).unwrap();
        optimiser.restore(&parameters, state).unwrap();
        steps = 3..5;
    }
    advance(steps, &parameters, &mut optimiser, ranks);
    let kept = optimiser.save_on(&parameters, ranks).unwrap();
    assert_eq!(kept.is_some(), ranks.rank() == 0);
    let values = parameters.values().unwrap().into_iter().map(f32::to_bits).collect();
    let model = copied(&parameters);
    ((values, kept.as_ref().map(bits), optimiser.n_remembered()), kept.map(|kept| [model, kept]))
}

/// Copies that later updates do not change.
fn copied(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    let copies = parameters.tensors().into_iter().map(|(name, tensor)| (name, tensor.copy().unwrap()));
    copies.collect()
}

fn on_threads(world: usize, rule: Rule, saved: Option<&Saved>) -> Vec<(End, Option<Saved>)> {
    std::thread::scope(|scope| {
        let ranks = threads(world, Duration::from_secs(120)).into_iter();
        let ranks: Vec<_> = ranks.map(|ranks| scope.spawn(move || run(rule, &ranks, true, saved))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn split_over_ranks_is_the_whole_to_the_bit_and_resumes_on_any_number() {
    let rules = [
        Rule::AdamW(AdamW::default()),
        Rule::OscarAdamW(OscarAdamW::default()),
        Rule::Sgd(Sgd::default()),
        Rule::RmsPropTf(RmsPropTf::default()),
    ];
    for rule in rules {
        let (first, saved) = run(rule, &Solo, false, None);
        let saved = saved.unwrap();
        let (second, _) = run(rule, &Solo, false, Some(&saved));
        assert!(first.0 != second.0, "nothing is updated");
        let mut others = Vec::new();
        for world in [2, 3, 5, 12] {
            let ends = on_threads(world, rule, None);
            assert!(ends.iter().all(|(end, _)| end.0 == first.0), "{rule:?} on {world} ranks: other weights");
            assert_eq!(ends[0].0.1, first.1, "{rule:?} on {world} ranks: another state is saved");
            let remembered: Vec<usize> = ends.iter().map(|(end, _)| end.2).collect();
            assert_eq!(remembered.iter().sum::<usize>(), first.2);
            let largest = remembered.iter().max().unwrap();
            assert!(*largest <= first.2 / world + 2 * (1 << 14), "{world} ranks: {remembered:?}");
            others.push(ends.into_iter().next().unwrap().1.unwrap());
        }
        // what three ranks saved goes on alone and on two; what one saved goes on on three
        let (alone, _) = run(rule, &Solo, false, Some(&others[1]));
        assert_eq!(alone, second);
        for ((end, _), world) in on_threads(2, rule, Some(&others[1]))
            .into_iter()
            .zip(std::iter::repeat(2))
            .chain(on_threads(3, rule, Some(&saved)).into_iter().zip(std::iter::repeat(3)))
        {
            assert!(end.0 == second.0, "{rule:?} resumed on {world} ranks");
        }
    }
}
