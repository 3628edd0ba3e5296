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

use rustc_hash::FxHashMap;

use super::ngrams::{MAX_N, Ngrams};

const SIGMA: f64 = 6.0;

/// Scores of one candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cider {
    pub(crate) plain: f64,
    pub(crate) d: f64,
}

/// `log max(1, df)` of every n-gram by its number, and `log N`.
#[derive(Debug)]
pub(crate) struct InverseFrequencies {
    log_documents: f64,
    log_frequency: [Vec<f64>; MAX_N],
}

impl InverseFrequencies {
    /// Over `images`: how many of them have an n-gram in their references. `sizes` is how many n-grams
    /// of each length have a number.
    pub(crate) fn of_corpus<'a>(images: impl Iterator<Item = &'a [Ngrams]>, sizes: [usize; MAX_N]) -> Self {
        let mut counts = sizes.map(|size| vec![0u32; size]);
        // The image that counted an n-gram last, so that an image counts it once.
        let mut last_image = sizes.map(|size| vec![u32::MAX; size]);
        let mut documents = 0usize;
        for (image, references) in images.enumerate() {
            documents += 1;
            for reference in references {
                for n in 1..=MAX_N {
                    for &(id, _) in reference.of_length(n) {
                        let last = &mut last_image[n - 1][id as usize];
                        if *last != image as u32 {
                            *last = image as u32;
                            counts[n - 1][id as usize] += 1;
                        }
                    }
                }
            }
        }
        // Frequencies repeat: take each logarithm once.
        let mut logs = FxHashMap::default();
        let log_frequency = counts.map(|counts| {
            counts
                .into_iter()
                .map(|count| *logs.entry(count).or_insert_with(|| f64::from(count.max(1)).ln()))
                .collect()
        });
        Self { log_documents: (documents as f64).ln(), log_frequency }
    }

    /// From frequencies counted elsewhere.
    pub(crate) fn given(documents: f64, by_number: &[Vec<f64>; MAX_N]) -> Self {
        let log_frequency =
            std::array::from_fn(|n| by_number[n].iter().map(|frequency| frequency.max(1.0).ln()).collect());
        Self { log_documents: documents.ln(), log_frequency }
    }

    fn weight(&self, n: usize, id: u32, count: u32) -> f64 {
        f64::from(count) * (self.log_documents - self.log_frequency[n - 1][id as usize])
    }

    fn norms(&self, ngrams: &Ngrams) -> [f64; MAX_N] {
        std::array::from_fn(|index| {
            let n = index + 1;
            ngrams
                .of_length(n)
                .iter()
                .map(|&(id, count)| self.weight(n, id, count).powi(2))
                .sum::<f64>()
                .sqrt()
        })
    }

    /// CIDEr and CIDEr-D of one candidate.
    pub(crate) fn score(&self, candidate: &Ngrams, references: &[Ngrams]) -> Cider {
        let norms = self.norms(candidate);
        let mut total = Cider { plain: 0.0, d: 0.0 };
        for reference in references {
            let reference_norms = self.norms(reference);
            let difference = bigrams(candidate) - bigrams(reference);
            let penalty = (-(difference * difference) / (2.0 * SIGMA * SIGMA)).exp();
            for n in 1..=MAX_N {
                let (mut plain, mut clipped) = (0.0, 0.0);
                for_common(candidate.of_length(n), reference.of_length(n), |id, count, reference_count| {
                    let ours = self.weight(n, id, count);
                    let theirs = self.weight(n, id, reference_count);
                    plain += ours * theirs;
                    clipped += ours.min(theirs) * theirs;
                });
                let norm = norms[n - 1] * reference_norms[n - 1];
                if norm != 0.0 {
                    plain /= norm;
                    clipped /= norm;
                }
                total.plain += plain;
                total.d += clipped * penalty;
            }
        }
        let scale = 10.0 / (MAX_N * references.len()) as f64;
        Cider { plain: total.plain * scale, d: total.d * scale }
    }
}

fn bigrams(ngrams: &Ngrams) -> f64 {
    ngrams.words().saturating_sub(1) as f64
}

fn for_common(left: &[(u32, u32)], right: &[(u32, u32)], mut found: impl FnMut(u32, u32, u32)) {
    let mut right = right.iter().peekable();
    for &(id, count) in left {
        while right.next_if(|(other, _)| *other < id).is_some() {}
        if let Some(&(_, other_count)) = right.next_if(|(other, _)| *other == id) {
            found(id, count, other_count);
        }
    }
}
