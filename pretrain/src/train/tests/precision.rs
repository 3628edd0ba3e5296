//! A curve in bf16 beside that of f32.

use pretrain_comm::Solo;
use pretrain_kernels::Precision;

use super::{Quiet, apart, run_on, settings, weights};
use crate::data::tests::corpus::Corpus;
use crate::train::{ModelSettings, Settings, Sizes};

/// 200 updates with the same draws. The band: single steps within 3 % of f32's masked-token loss, the mean of the last 50
/// within 1 %.
#[test]
fn two_hundred_updates_stay_in_a_band_of_f32() {
    let corpus = Corpus::usual();
    let mut wide = settings(&corpus, 200);
    let sizes = wide.model.sizes.unwrap();
    wide.model.sizes = Some(Sizes { hidden_size: 96, intermediate_size: 192, ..sizes });
    wide.run.evaluate_every = 200;
    wide.run.checkpoint_every = 200;
    let run = |precision, name: &str| {
        let settings = Settings { model: ModelSettings { precision, ..wide.model.clone() }, ..wide.clone() };
        let (folder, watch) = (corpus.path(name), Quiet::default());
        run_on(&settings, &corpus, &folder, false, &Solo, &watch).unwrap();
        (watch.losses.into_inner().unwrap(), weights(&folder))
    };
    let (exact, exact_weights) = run(Precision::F32, "f32");
    let (rounded, rounded_weights) = run(Precision::Bf16, "bf16");
    assert_eq!((exact.len(), rounded.len()), (200, 200));
    for (step, (exact, rounded)) in exact.iter().zip(&rounded).enumerate() {
        let apart = (exact[0] - rounded[0]).abs() / exact[0];
        assert!(apart < 0.03, "step {step}: {rounded:?}, in f32 {exact:?}");
    }
    let late = |losses: &[[f64; 2]]| losses[150..].iter().map(|loss| loss[0]).sum::<f64>() / 50.0;
    let [exact_late, rounded_late] = [late(&exact), late(&rounded)];
    let early = exact[..10].iter().map(|loss| loss[0]).sum::<f64>() / 10.0;
    assert!(exact_late < 0.95 * early, "nothing is learnt: {exact_late} after {early}");
    assert!((exact_late - rounded_late).abs() < 0.01 * exact_late, "{rounded_late}, in f32 {exact_late}");
    let is_rounded = Precision::Bf16.here() == Precision::Bf16;
    assert_eq!(apart(&exact_weights, &rounded_weights) > 0.0, is_rounded);
}
