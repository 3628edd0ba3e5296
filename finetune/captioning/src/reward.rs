//! What drawn captions are worth.

use finetune_metrics::captions::{Frequencies, cider_d};

use crate::{Error, Result};

/// What the score of a drawn caption is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Baseline<'a> {
    /// The score of the picture's greedy caption; one a picture.
    Greedy(&'a [String]),
    /// The mean score of the picture's other drawn captions.
    OtherSamples,
}

/// Rewards of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewards {
    /// Of every drawn caption, by picture: its score less the baseline's.
    pub rewards: Vec<Vec<f64>>,
    /// Mean score of the drawn captions.
    pub mean_score: f64,
    /// Mean score of the baseline.
    pub mean_baseline: f64,
}

/// Rewards of self-critical training (Paper: 1612.00563, eq. 9; with the other samples as baseline: 2003.09971, section 3).
///
/// The score is CIDEr-D, between 0 and 10. Captions and references are compared as they are, split at white space: trimmed,
/// without one final full stop, with ` <eos>` behind, and without the tokenizer of the evaluation, whose scores therefore are
/// others. Frequencies are given, or counted over the references of all scored captions, the greedy ones included.
///
/// `samples` and `references` are lists of pictures. The loss of a caption is minus its mean log-probability a token, `[SEP]`
/// counted, times its reward; that of a batch the mean over the drawn captions.
pub fn rewards(
    samples: &[Vec<String>],
    baseline: Baseline<'_>,
    references: &[Vec<String>],
    frequencies: Frequencies<'_>,
) -> Result<Rewards> {
    check(samples, baseline, references)?;
    let drawn = samples
        .iter()
        .enumerate()
        .flat_map(|(image, captions)| captions.iter().map(move |caption| (caption.as_str(), image)));
    let mut candidates: Vec<(&str, usize)> = drawn.collect();
    let n_drawn = candidates.len();
    if let Baseline::Greedy(greedy) = baseline {
        candidates.extend(greedy.iter().enumerate().map(|(image, caption)| (caption.as_str(), image)));
    }
    let scores = cider_d(&candidates, references, frequencies);
    let (drawn, greedy) = scores.split_at(n_drawn);

    let (mut rewards, mut baselines) = (Vec::with_capacity(samples.len()), 0.0);
    let mut rest = drawn;
    for (image, captions) in samples.iter().enumerate() {
        let own;
        (own, rest) = rest.split_at(captions.len());
        let sum: f64 = own.iter().sum();
        let against = |score: f64| match baseline {
            Baseline::Greedy(_) => greedy[image],
            Baseline::OtherSamples => (sum - score) / (own.len() - 1) as f64,
        };
        baselines += own.iter().map(|score| against(*score)).sum::<f64>();
        rewards.push(own.iter().map(|score| score - against(*score)).collect());
    }
    let n_drawn = n_drawn as f64;
    Ok(Rewards {
        rewards,
        mean_score: drawn.iter().sum::<f64>() / n_drawn,
        mean_baseline: baselines / n_drawn,
    })
}

fn check(samples: &[Vec<String>], baseline: Baseline<'_>, references: &[Vec<String>]) -> Result<()> {
    let wrong = |what, image, problem: String, hint| Err(Error::Captions { what, image, problem, hint });
    let least = if matches!(baseline, Baseline::OtherSamples) { 2 } else { 1 };
    if let Some(image) = samples.iter().position(|captions| captions.len() < least) {
        let problem = format!("{} are there, {least} are needed", samples[image].len());
        return wrong("drawn captions", image, problem, "draw more, or take the greedy caption as baseline");
    }
    let per_picture = match baseline {
        Baseline::Greedy(greedy) => vec![("references", references.len()), ("greedy captions", greedy.len())],
        Baseline::OtherSamples => vec![("references", references.len())],
    };
    for (what, n) in per_picture {
        if n != samples.len() || n == 0 {
            let problem =
                format!("those of {n} pictures are there, {} pictures have drawn captions", samples.len());
            return wrong(
                what,
                n.min(samples.len()),
                problem,
                "give all lists for the same pictures, at least one",
            );
        }
    }
    if let Some(image) = references.iter().position(Vec::is_empty) {
        return wrong(
            "references",
            image,
            "there are none".to_owned(),
            "train on pictures that have captions",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn against_the_greedy_caption_and_against_the_others() {
        let references = vec![texts(&["a dog runs on grass"]), texts(&["two cats sleep"])];
        let samples =
            vec![texts(&["a dog runs on grass .", "a dog", "a cow"]), texts(&["two cats sleep", "cats"])];
        let greedy = texts(&["a dog", " two cats sleep"]);
        let got = rewards(&samples, Baseline::Greedy(&greedy), &references, Frequencies::Candidates).unwrap();
        assert!(got.rewards[0][0] > 1.0 && got.rewards[0][2] < 0.0, "{got:?}");
        assert_eq!(
            (got.rewards[0][1], got.rewards[1][0]),
            (0.0, 0.0),
            "what the greedy caption says is worth nothing"
        );

        let got = rewards(&samples, Baseline::OtherSamples, &references, Frequencies::Candidates).unwrap();
        for own in &got.rewards {
            assert!(
                own.iter().sum::<f64>().abs() < 1e-9,
                "rewards against the others add up to nothing: {got:?}"
            );
        }
        assert!((got.mean_score - got.mean_baseline).abs() < 1e-9);
        assert!(got.rewards[1][0] > 0.0 && (got.rewards[1][0] + got.rewards[1][1]).abs() < 1e-9);
    }

    #[test]
    fn lists_must_fit() {
        let one = vec![texts(&["a dog"])];
        let two = vec![texts(&["a dog", "a cat"]), texts(&["a cow", "a cow"])];
        let references = vec![texts(&["a dog"]), texts(&["a cow"])];
        let greedy = texts(&["a", "b"]);
        for (samples, baseline, references, part) in [
            (&one, Baseline::OtherSamples, &references, "drawn captions of picture 0: 1 are there, 2"),
            (&one, Baseline::Greedy(&greedy), &references, "references of picture 1"),
            (&two, Baseline::Greedy(&greedy[..1]), &references, "greedy captions of picture 1"),
            (
                &two,
                Baseline::OtherSamples,
                &vec![texts(&["a dog"]), vec![]],
                "references of picture 1: there are none",
            ),
            (&vec![], Baseline::OtherSamples, &vec![], "references of picture 0"),
            (
                &vec![vec![], texts(&["a"])],
                Baseline::Greedy(&greedy),
                &references,
                "drawn captions of picture 0",
            ),
        ] {
            let message =
                rewards(samples, baseline, references, Frequencies::Candidates).unwrap_err().to_string();
            assert!(message.starts_with(part), "{message}");
        }
    }
}
