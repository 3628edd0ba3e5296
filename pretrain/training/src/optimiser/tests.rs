//! Three updates of every rule against torch, timm and the published description: `golden/optimisers/generate.py`.

use candle_core::Device;
use serde_json::Value;

use super::*;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../golden/optimisers/optimisers.json")).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn parameters(start: &Value) -> Parameters {
    let tensors = start.as_object().unwrap().iter().map(|(name, list)| {
        let values: Vec<f32> = numbers(list).iter().map(|x| *x as f32).collect();
        (name.clone(), Tensor::new(values, &Device::Cpu).unwrap())
    });
    Parameters::new(&tensors.collect()).unwrap()
}

/// Gradients of `Σ slope p² / 2 + offset p`.
fn gradients(parameters: &Parameters, setup: &Value) -> Gradients {
    let terms = parameters.iter().map(|parameter| {
        let constant = |table: &str| {
            let values: Vec<f32> =
                numbers(&setup[table][parameter.name()]).iter().map(|x| *x as f32).collect();
            Tensor::new(values, &Device::Cpu).unwrap()
        };
        let p = parameter.tensor();
        let square = (p.sqr().unwrap() * 0.5).unwrap().mul(&constant("slope")).unwrap();
        (square + p.mul(&constant("offset")).unwrap()).unwrap().sum_all().unwrap()
    });
    let loss = Tensor::stack(&terms.collect::<Vec<_>>(), 0).unwrap().sum_all().unwrap();
    let mut gradients = Gradients::zeros(parameters);
    gradients.add(parameters, &loss.backward().unwrap()).unwrap();
    gradients
}

fn optimiser(rule: Rule, parameters: &Parameters, decay: f64) -> Optimiser {
    Optimiser::new(rule, parameters, |parameter| match parameter.name() {
        "free" => Group { weight_decay: 0.0, rate_factor: 0.5 },
        _ => Group { weight_decay: decay, rate_factor: 1.0 },
    })
}

/// `(name in the golden file, rule)`.
fn rules() -> [(&'static str, Rule); 6] {
    let (betas, epsilon) = ([0.8, 0.95], 1e-3);
    [
        ("adamw", Rule::AdamW(AdamW { betas, epsilon })),
        ("oscar_adamw", Rule::OscarAdamW(OscarAdamW { betas, epsilon, correct_bias: true })),
        ("oscar_adamw_uncorrected", Rule::OscarAdamW(OscarAdamW { betas, epsilon, correct_bias: false })),
        ("sgd_nesterov", Rule::Sgd(Sgd { momentum: 0.9, nesterov: true })),
        ("sgd", Rule::Sgd(Sgd { momentum: 0.7, nesterov: false })),
        ("rmsprop_tf", Rule::RmsPropTf(RmsPropTf::default())),
    ]
}

#[test]
fn three_updates_are_the_libraries() {
    let golden = golden();
    let setup = &golden["setup"];
    for (name, rule) in rules() {
        let parameters = parameters(&setup["start"]);
        let mut optimiser = optimiser(rule, &parameters, setup["decay"].as_f64().unwrap());
        let mut worst = 0f64;
        for (rate, after) in
            numbers(&setup["rates"]).into_iter().zip(golden["after"][name].as_array().unwrap())
        {
            optimiser.step(&parameters, &gradients(&parameters, setup), rate).unwrap();
            for parameter in parameters.iter() {
                let got = parameter.tensor().to_vec1::<f32>().unwrap();
                for (got, wanted) in got.into_iter().zip(numbers(&after[parameter.name()])) {
                    worst = worst.max((f64::from(got) - wanted).abs() / wanted.abs().max(0.01));
                }
            }
        }
        println!("{name}: at most {worst:.1e} apart");
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

/// The forms differ where they should: this test would pass with one AdamW under two names otherwise.
#[test]
fn the_two_adamws_are_two() {
    let golden = golden();
    let last = |name: &str| numbers(&golden["after"][name][2]["decayed"]);
    let apart = last("adamw").into_iter().zip(last("oscar_adamw")).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f64::max) > 1e-3);
}

/// One update of one number from the published constants.
#[test]
fn rmsprop_by_hand() {
    let one = Tensor::new(&[2.0f32], &Device::Cpu).unwrap();
    let parameters = Parameters::new(&[("p".to_owned(), one)].into()).unwrap();
    let group = |_: &Parameter| Group { weight_decay: 0.0, rate_factor: 1.0 };
    let mut optimiser = Optimiser::new(Rule::RmsPropTf(RmsPropTf::default()), &parameters, group);
    let mut gradients = Gradients::zeros(&parameters);
    gradients.add(&parameters, &parameters.tensors()["p"].sum_all().unwrap().backward().unwrap()).unwrap();
    optimiser.step(&parameters, &gradients, 0.1).unwrap();
    assert!((parameters.values().unwrap()[0] - (2.0 - 0.099_950_0)).abs() < 1e-6);
    assert_eq!(optimiser.states[0], [1.0]);
    assert!((optimiser.states[1][0] - 0.099_950_0).abs() < 1e-7);
}

#[test]
fn saved_and_restored_goes_on_to_the_bit() {
    let golden = golden();
    let setup = &golden["setup"];
    for (name, rule) in rules() {
        let straight = parameters(&setup["start"]);
        let mut first = optimiser(rule, &straight, 0.04);
        let stopped = parameters(&setup["start"]);
        let mut second = optimiser(rule, &stopped, 0.04);
        for step in 0..6 {
            first.step(&straight, &gradients(&straight, setup), 0.1).unwrap();
            if step == 3 {
                let saved = second.save(&stopped).unwrap();
                second = optimiser(rule, &stopped, 0.04);
                second.restore(&stopped, &saved).unwrap();
            }
            second.step(&stopped, &gradients(&stopped, setup), 0.1).unwrap();
            assert_eq!(stopped.values().unwrap(), straight.values().unwrap(), "{name} at {step}");
        }
        assert_eq!(second.updates(), 6);
    }
    let parameters = parameters(&setup["start"]);
    let saved = optimiser(rules()[0].1, &parameters, 0.0).save(&parameters).unwrap();
    let error =
        optimiser(rules()[5].1, &parameters, 0.0).restore(&parameters, &saved).unwrap_err().to_string();
    assert!(error.contains("mean_square/decayed: is missing"), "{error}");
    let error =
        optimiser(rules()[3].1, &parameters, 0.0).restore(&parameters, &saved).unwrap_err().to_string();
    assert!(error.contains("another rule"), "{error}");
}

#[test]
fn rules_are_named_in_configurations() {
    let rule: Rule = serde_json::from_str(r#"{"rule": "rmsprop_tf", "epsilon": 0.01}"#).unwrap();
    assert_eq!(rule, Rule::RmsPropTf(RmsPropTf { epsilon: 0.01, ..RmsPropTf::default() }));
    for wrong in [r#"{"rule": "rmsprop"}"#, r#"{"rule": "sgd", "epsilon": 0.01}"#, r#"{"epsilon": 0.01}"#] {
        assert!(serde_json::from_str::<Rule>(wrong).is_err(), "{wrong}");
    }
}
