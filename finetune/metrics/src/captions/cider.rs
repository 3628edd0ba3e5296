//! CIDEr and CIDEr-D.
//!
//! Paper: Vedantam, Zitnick, Parikh, arXiv:1411.5726, eq. 1-4 (CIDEr) and section 7 (CIDEr-D).
//! An n-gram g of a caption has weight `tf(g) * (log N - log max(1, df(g)))`.
//!
//! * CIDEr: cosine of the two weight vectors.
//! * CIDEr-D: `sum_g min(h_g, r_g) r_g / (|h| |r|) * exp(-d^2 / (2 sigma^2))`, `d` the difference in
//!   bigram counts, sigma = 6.
//!
//! Both are averaged over n = 1..4 and over the references, times 10. What coco-caption reports as
//! CIDEr is CIDEr-D.

use std::ops::Range;

use super::{
    DocumentFrequencies,
    ngrams::{MAX_N, words_of},
    occurrences::{Occurrences, starts},
    words::{Caption, Words},
};

const SIGMA: f64 = 6.0;

/// Scores of one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cider {
    pub(crate) plain: f64,
    pub(crate) d: f64,
}

/// Captions, and how often n-grams occur in documents.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    captions: &'a [Caption],
    /// Where the windows of each caption begin among those of all.
    starts: Vec<usize>,
    log_documents: f64,
    /// `log max(1, df)` of the n-gram at the start of each window, for n = 1..4.
    log_frequency: [Vec<f64>; MAX_N],
}

impl<'a> Weights<'a> {
    /// Frequencies in the captions themselves. Each range of `documents` holds one document's captions;
    /// a document may come more than once. Captions in no range are weighed only.
    pub(crate) fn of_documents(captions: &'a [Caption], documents: &[Range<usize>]) -> Self {
        let starts = starts(captions);
        let counted = Occurrences::new(captions, &starts, documents);
        let logs: Vec<f64> = (0..=documents.len()).map(|count| (count.max(1) as f64).ln()).collect();
        let of_length = |n| {
            let mut log_frequency = vec![0.0; counted.len()];
            counted.each_ngram(n, |_, count, run| {
                run.iter().for_each(|occurrence| log_frequency[occurrence.place()] = logs[count]);
            });
            log_frequency
        };
        let log_documents = (documents.len() as f64).ln();
        Self { captions, starts, log_documents, log_frequency: for_each_length(of_length) }
    }

    /// Frequencies that were counted elsewhere.
    pub(crate) fn given(words: &'a Words<'_>, frequencies: &DocumentFrequencies) -> Self {
        let starts = starts(&words.captions);
        let of_length = |n| {
            let mut log_frequency = vec![0.0; starts.last().copied().unwrap_or_default()];
            let mut spelled = String::new();
            for (caption, start) in words.captions.iter().zip(&starts) {
                for ngram in caption.ngrams.of_length(n) {
                    words.spell(words_of(ngram.key, n), &mut spelled);
                    let frequency = frequencies.frequency.get(spelled.as_str()).copied().unwrap_or_default();
                    log_frequency[start + ngram.window] = frequency.max(1.0).ln();
                }
            }
            log_frequency
        };
        let log_frequency = for_each_length(of_length);
        Self { captions: &words.captions, starts, log_documents: frequencies.documents.ln(), log_frequency }
    }

    /// CIDEr and CIDEr-D of one of the captions, with others as its references.
    pub(crate) fn score(&self, candidate: usize, references: Range<usize>) -> Cider {
        let ours: [Vector; MAX_N] = std::array::from_fn(|index| {
            let mut vector = Vector::default();
            vector.fill(self, candidate, index + 1);
            vector
        });
        let mut theirs = Vector::default();
        let mut total = Cider { plain: 0.0, d: 0.0 };
        let scale = 10.0 / (MAX_N * references.len()) as f64;
        for reference in references {
            let difference = self.bigrams(candidate) - self.bigrams(reference);
            let penalty = (-(difference * difference) / (2.0 * SIGMA * SIGMA)).exp();
            for (n, ours) in (1..).zip(&ours) {
                theirs.fill(self, reference, n);
                let (mut plain, mut clipped) = ours.products(&theirs);
                let norm = ours.norm * theirs.norm;
                if norm != 0.0 {
                    plain /= norm;
                    clipped /= norm;
                }
                total.plain += plain;
                total.d += clipped * penalty;
            }
        }
        Cider { plain: total.plain * scale, d: total.d * scale }
    }

    fn bigrams(&self, caption: usize) -> f64 {
        self.captions[caption].ngrams.words().saturating_sub(1) as f64
    }
}

/// The weights of a caption's n-grams of one length.
#[derive(Debug, Default)]
struct Vector {
    /// Key and weight, ascending by key.
    weights: Vec<(u128, f64)>,
    norm: f64,
}

impl Vector {
    fn fill(&mut self, weights: &Weights<'_>, caption: usize, n: usize) {
        let log_frequency = &weights.log_frequency[n - 1][weights.starts[caption]..];
        self.weights.clear();
        let mut squares = 0.0;
        for ngram in weights.captions[caption].ngrams.of_length(n) {
            let weight = f64::from(ngram.count) * (weights.log_documents - log_frequency[ngram.window]);
            squares += weight * weight;
            self.weights.push((ngram.key, weight));
        }
        self.norm = squares.sqrt();
    }

    /// The sums over common n-grams of `h r` and of `min(h, r) r`.
    fn products(&self, reference: &Self) -> (f64, f64) {
        let (mut plain, mut clipped) = (0.0, 0.0);
        let mut rest = reference.weights.iter().peekable();
        for &(key, ours) in &self.weights {
            while rest.next_if(|(other, _)| *other < key).is_some() {}
            if let Some(&(_, theirs)) = rest.next_if(|(other, _)| *other == key) {
                plain += ours * theirs;
                clipped += ours.min(theirs) * theirs;
            }
        }
        (plain, clipped)
    }
}

/// The four lengths at the same time.
fn for_each_length<T: Send>(of_length: impl Fn(usize) -> T + Sync) -> [T; MAX_N] {
    let ((one, two), (three, four)) = rayon::join(
        || rayon::join(|| of_length(1), || of_length(2)),
        || rayon::join(|| of_length(3), || of_length(4)),
    );
    [one, two, three, four]
}
