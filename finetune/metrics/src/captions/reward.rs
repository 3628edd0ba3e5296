//! CIDEr-D as the reward of self-critical sequence training.
//!
//! Paper: Rennie et al., arXiv:1612.00563. Captions are compared as they are: split at white space,
//! without the Penn Treebank tokenizer, with `<eos>` behind each.

use rayon::prelude::*;

use super::{
    DocumentFrequencies, END_OF_CAPTION,
    cider::InverseFrequencies,
    ngrams::{MAX_N, Ngrams, Numbering},
};

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
    let mut numbering = Numbering::default();
    let references: Vec<Vec<Ngrams>> = references
        .iter()
        .map(|captions| captions.iter().map(|caption| cook(&mut numbering, caption)).collect())
        .collect();
    let cooked: Vec<Ngrams> = candidates.iter().map(|(caption, _)| cook(&mut numbering, caption)).collect();
    let sizes = std::array::from_fn(|n| numbering.len(n + 1));
    let weights = match frequencies {
        Frequencies::Candidates => InverseFrequencies::of_corpus(
            candidates.iter().map(|&(_, image)| references[image].as_slice()),
            sizes,
        ),
        Frequencies::Given(given) => given_weights(given, &numbering),
    };
    cooked
        .par_iter()
        .zip(candidates)
        .with_min_len(16)
        .map(|(cooked, &(_, image))| weights.score(cooked, &references[image]).d)
        .collect()
}

/// The weights of all numbered n-grams after a file of frequencies.
pub(super) fn given_weights(given: &DocumentFrequencies, numbering: &Numbering<'_>) -> InverseFrequencies {
    let by_number: [Vec<f64>; MAX_N] = std::array::from_fn(|n| {
        let spelled = numbering.spelled(n + 1);
        let frequency = |words: Vec<&str>| given.frequency.get(&words.join(" ")).copied().unwrap_or_default();
        spelled.into_iter().map(frequency).collect()
    });
    InverseFrequencies::given(given.documents, &by_number)
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

fn cook<'text>(numbering: &mut Numbering<'text>, caption: &'text str) -> Ngrams {
    let words = numbering.words(reward_text(caption).split_whitespace().chain([END_OF_CAPTION]));
    numbering.ngrams(&words)
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
