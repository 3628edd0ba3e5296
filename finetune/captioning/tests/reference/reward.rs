//! Rewards of self-critical training.

use finetune_captioning::{Baseline, rewards};
use finetune_metrics::captions::{DocumentFrequencies, Frequencies};

use super::{close, folder, json, list, number, texts, whole};

#[test]
fn rewards_of_a_batch() {
    let Some(folder) = folder("cider") else { return };
    let file = json(folder.join("expected/scst_reward_batch40x5.json"));
    let frequencies = DocumentFrequencies::read(&folder.join("df_fakecap1000_eos.p")).unwrap();
    let references: Vec<Vec<String>> = list(&file["gt"]).iter().map(texts).collect();
    let each = whole(&file["samples_per_image"]);
    let samples: Vec<Vec<String>> = texts(&file["samples"]).chunks(each).map(<[String]>::to_vec).collect();
    let greedy = texts(&file["greedy"]);
    for (mode, source) in [("corpus", Frequencies::Candidates), ("df_file", Frequencies::Given(&frequencies))]
    {
        for (name, baseline) in
            [("greedy_baseline", Baseline::Greedy(&greedy)), ("sample_baseline", Baseline::OtherSamples)]
        {
            let wanted = &file["modes"][mode][name];
            let got = rewards(&samples, baseline, &references, source).unwrap();
            close(got.mean_score, number(&wanted["mean_sample_score"]), 1e-9, mode);
            let of_all: Vec<f64> = got.rewards.concat();
            assert_eq!(of_all.len(), 200);
            for (got, wanted) in of_all.iter().zip(list(&wanted["reward"])) {
                close(*got, number(wanted), 1e-8, name);
            }
            let mean = of_all.iter().sum::<f64>() / 200.0;
            close(got.mean_score - got.mean_baseline, mean, 1e-12, "the means fit");
        }
    }
}
