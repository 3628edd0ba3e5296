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
    ngrams::{Kind, MAX_N, Ngrams},
    words::Words,
};

const SIGMA: f64 = 6.0;

/// Scores of one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cider {
    pub(crate) plain: f64,
    pub(crate) d: f64,
}

/// N-grams, and what they weigh.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    ngrams: &'a Ngrams,
    /// `log N - log max(1, df)` by length and number.
    of_one: [Vec<f64>; MAX_N],
}

impl<'a> Weights<'a> {
    /// Frequencies in the documents that the n-grams were counted in.
    pub(crate) fn of_documents(ngrams: &'a Ngrams, documents: usize) -> Self {
        let log_documents = (documents as f64).ln();
        let weights: Vec<f64> =
            (0..=documents).map(|count| log_documents - (count.max(1) as f64).ln()).collect();
        let of_length = |n| ngrams.kinds(n).iter().map(|kind| weights[kind.documents as usize]).collect();
        Self { ngrams, of_one: for_each_length(of_length) }
    }

    /// Frequencies that were counted elsewhere.
    pub(crate) fn given(ngrams: &'a Ngrams, words: &Words<'_>, frequencies: &DocumentFrequencies) -> Self {
        let log_documents = frequencies.documents.ln();
        let of_length = |n| {
            let mut spelled = String::new();
            let weight = |kind: &Kind| {
                kind.spell(n, words, &mut spelled);
                let frequency = frequencies.frequency.get(spelled.as_str()).copied().unwrap_or_default();
                log_documents - frequency.max(1.0).ln()
            };
            ngrams.kinds(n).iter().map(weight).collect()
        };
        Self { ngrams, of_one: for_each_length(of_length) }
    }

    /// CIDEr and CIDEr-D of one of the captions, with others as its references.
    pub(crate) fn score(&self, candidate: usize, references: Range<usize>) -> Cider {
        let ours: [Vector; MAX_N] = std::array::from_fn(|index| {
            let mut vector = Vector::with_room(self.ngrams.words(candidate));
            vector.fill(self, candidate, index + 1);
            vector
        });
        let longest = references.clone().map(|reference| self.ngrams.words(reference)).max();
        let mut theirs = Vector::with_room(longest.unwrap_or_default());
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
        self.ngrams.words(caption).saturating_sub(1) as f64
    }
}

/// The weights of a caption's n-grams of one length.
#[derive(Debug)]
struct Vector {
    /// Number and weight, ascending by number.
    weights: Vec<(u32, f64)>,
    norm: f64,
}

impl Vector {
    /// A vector without n-grams, with room for those of so many words.
    fn with_room(words: usize) -> Self {
        Self { weights: Vec::with_capacity(words), norm: 0.0 }
    }

    fn fill(&mut self, weights: &Weights<'_>, caption: usize, n: usize) {
        let of_one = &weights.of_one[n - 1];
        self.weights.clear();
        let mut squares = 0.0;
        for ngram in weights.ngrams.of_length(caption, n) {
            let weight = f64::from(ngram.count) * of_one[ngram.number as usize - 1];
            squares += weight * weight;
            self.weights.push((ngram.number, weight));
        }
        self.norm = squares.sqrt();
    }

    /// The sums over common n-grams of `h r` and of `min(h, r) r`.
    fn products(&self, reference: &Self) -> (f64, f64) {
        let (mut plain, mut clipped) = (0.0, 0.0);
        let mut rest = reference.weights.iter().peekable();
        for &(number, ours) in &self.weights {
            while rest.next_if(|(other, _)| *other < number).is_some() {}
            if let Some(&(_, theirs)) = rest.next_if(|(other, _)| *other == number) {
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
