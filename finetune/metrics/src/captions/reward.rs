//! CIDEr-D as the reward of self-critical sequence training.
//!
//! Paper: Rennie et al., arXiv:1612.00563. Captions are compared as they are: split at white space,
//! without the Penn Treebank tokenizer, with `<eos>` behind each.

use std::ops::Range;

use rayon::prelude::*;

use super::{DocumentFrequencies, END_OF_CAPTION, cider::Weights, ngrams::Ngrams, words::Words};

/// Where document frequencies come from.
#[derive(Debug, Clone, Copy)]
pub enum Frequencies<'a> {
    /// The references of the candidates that are scored, each candidate counted as a document.
    Candidates,
    /// A file.
    Given(&'a DocumentFrequencies),
}

/// CIDEr-D of every candidate. A candidate is a caption and the position of its references.
///
/// All captions are trimmed, lose one final full stop, and get ` <eos>`.
pub fn cider_d(
    candidates: &[(&str, usize)],
    references: &[Vec<String>],
    frequencies: Frequencies<'_>,
) -> Vec<f64> {
    let mut texts: Vec<&str> = candidates.iter().map(|(caption, _)| reward_text(caption)).collect();
    let mut ranges: Vec<Range<usize>> = Vec::with_capacity(references.len());
    for captions in references {
        ranges.push(texts.len()..texts.len() + captions.len());
        texts.extend(captions.iter().map(|caption| reward_text(caption)));
    }
    let words = Words::number(&texts, Some(END_OF_CAPTION));
    let ranges: Vec<Range<usize>> = candidates.iter().map(|&(_, image)| ranges[image].clone()).collect();
    let ngrams = Ngrams::new(&words, &ranges);
    let weights = match frequencies {
        Frequencies::Candidates => Weights::of_documents(&ngrams, ranges.len()),
        Frequencies::Given(given) => Weights::given(&ngrams, &words, given),
    };
    ranges
        .into_par_iter()
        .enumerate()
        .with_min_len(16)
        .map(|(candidate, references)| weights.score(candidate, references).d)
        .collect()
}

/// A caption as self-critical training counts and compares it: trimmed, without one final full stop,
/// with ` <eos>` behind.
pub fn reward_caption(caption: &str) -> String {
    format!("{} {END_OF_CAPTION}", reward_text(caption))
}

/// The text that self-critical training compares, without `<eos>`.
pub(super) fn reward_text(caption: &str) -> &str {
    let text = caption.trim();
    text.strip_suffix('.').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_stop_and_white_space_do_not_matter() {
        let references = vec![vec!["a dog runs .".to_owned()], vec!["a cat".to_owned()]];
        let got = cider_d(
            &[("a dog runs", 0), (" a dog runs . ", 0), ("a cat sits", 1)],
            &references,
            Frequencies::Candidates,
        );
        assert_eq!(got[0], got[1]);
        assert!(got[0] > got[2]);
    }

    #[test]
    fn given_frequencies_replace_those_of_the_candidates() {
        let references = vec![vec!["a dog".to_owned()]];
        let counted = DocumentFrequencies {
            documents: 10.0,
            frequency: [("a".to_owned(), 10.0), ("dog".to_owned(), 2.0)].into_iter().collect(),
        };
        let got = cider_d(&[("a dog", 0)], &references, Frequencies::Given(&counted));
        assert!(
            (got[0] - 7.5).abs() < 1e-9,
            "three n-gram lengths agree fully, the fourth is empty: {got:?}"
        );
        // With one document every logarithm is zero.
        assert_eq!(cider_d(&[("a dog", 0)], &references, Frequencies::Candidates), [0.0]);
    }
}
