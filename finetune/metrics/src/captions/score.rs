//! All caption scores of a corpus, and of each of its images.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    BleuStats, DocumentFrequencies, END_OF_CAPTION, Pair, cider::Weights, ngrams::Ngrams,
    reward::reward_text, rouge::rouge_l, words::Words,
};

/// Which scores to compute.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// BLEU-1 to BLEU-4.
    pub bleu: bool,
    /// ROUGE-L.
    pub rouge: bool,
    /// CIDEr and CIDEr-D with the frequencies of the references themselves.
    pub cider: bool,
    /// CIDEr-D with these frequencies besides.
    pub frequencies: Option<&'a DocumentFrequencies>,
}

/// The scores of one image, or of the corpus; those that were not computed are absent.
///
/// Written as an object with coco-caption's names: `Bleu_1` to `Bleu_4`, `ROUGE_L`, `CIDEr`, `CIDEr_plain`,
/// `CIDErD` (over given frequencies), `METEOR`, `SPICE`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageScores {
    /// BLEU-1 to BLEU-4.
    pub bleu: Option<[f64; 4]>,
    /// ROUGE-L.
    pub rouge_l: Option<f64>,
    /// What coco-caption reports as CIDEr: CIDEr-D.
    pub cider: Option<f64>,
    /// CIDEr without clipping and length penalty.
    pub cider_plain: Option<f64>,
    /// CIDEr-D with given document frequencies.
    pub cider_d_given: Option<f64>,
    /// METEOR, see [`super::meteor`].
    pub meteor: Option<f64>,
    /// SPICE, which another program computes.
    pub spice: Option<f64>,
}

/// The scores of a corpus.
#[derive(Debug, Clone, Default)]
pub struct CaptionScores {
    /// BLEU's counts, added up.
    pub bleu_stats: Option<BleuStats>,
    /// The corpus: BLEU from the added counts, the others as means.
    pub corpus: ImageScores,
    /// Image by image, in the order of the pairs.
    pub per_image: Vec<ImageScores>,
}

/// Scores tokenized pairs. For given frequencies captions are compared as [`super::cider_d`] compares them.
pub fn score(pairs: &[Pair<'_>], options: Options<'_>) -> CaptionScores {
    // First all candidates, then all references.
    let mut texts: Vec<&str> = pairs.iter().map(|pair| &*pair.candidate).collect();
    let mut ranges: Vec<Range<usize>> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        ranges.push(texts.len()..texts.len() + pair.references.len());
        texts.extend(pair.references.iter().map(|caption| &**caption));
    }
    let words = Words::number(&texts, None);
    let ngrams = Ngrams::new(&words, &ranges);
    let weights = options.cider.then(|| Weights::of_documents(&ngrams, ranges.len()));

    let mut per_image: Vec<(BleuStats, ImageScores)> = ranges
        .par_iter()
        .enumerate()
        .with_min_len(32)
        .map(|(candidate, range)| {
            let stats = if options.bleu {
                BleuStats::new(&ngrams, candidate, range.clone())
            } else {
                BleuStats::default()
            };
            let cider = weights.as_ref().map(|weights| weights.score(candidate, range.clone()));
            let scores = ImageScores {
                bleu: options.bleu.then(|| stats.scores()),
                rouge_l: options.rouge.then(|| {
                    let references = range.clone().map(|reference| words.space_separated(reference));
                    rouge_l(words.space_separated(candidate), references)
                }),
                cider: cider.map(|cider| cider.d),
                cider_plain: cider.map(|cider| cider.plain),
                ..ImageScores::default()
            };
            (stats, scores)
        })
        .collect();

    if let Some(frequencies) = options.frequencies {
        let scores = given_scores(&texts, &ranges, frequencies);
        per_image.iter_mut().zip(scores).for_each(|((_, image), score)| image.cider_d_given = Some(score));
    }

    let mut bleu_stats = BleuStats::default();
    per_image.iter().for_each(|(stats, _)| bleu_stats.add(stats));
    let mean = |get: fn(&ImageScores) -> Option<f64>| {
        let sum: Option<f64> = per_image.iter().map(|(_, scores)| get(scores)).sum();
        sum.map(|sum| sum / per_image.len() as f64)
    };
    let corpus = ImageScores {
        bleu: options.bleu.then(|| bleu_stats.scores()),
        rouge_l: mean(|scores| scores.rouge_l),
        cider: mean(|scores| scores.cider),
        cider_plain: mean(|scores| scores.cider_plain),
        cider_d_given: mean(|scores| scores.cider_d_given),
        ..ImageScores::default()
    };
    CaptionScores {
        bleu_stats: options.bleu.then_some(bleu_stats),
        corpus,
        per_image: per_image.into_iter().map(|(_, scores)| scores).collect(),
    }
}

/// CIDEr-D over given frequencies. Where those were counted with `<eos>` behind each caption, so are
/// both sides here.
fn given_scores(texts: &[&str], ranges: &[Range<usize>], frequencies: &DocumentFrequencies) -> Vec<f64> {
    let end = frequencies.has_end_of_caption().then_some(END_OF_CAPTION);
    let texts: Vec<&str> = texts.iter().map(|text| reward_text(text)).collect();
    let words = Words::number(&texts, end);
    let ngrams = Ngrams::new(&words, ranges);
    let weights = Weights::given(&ngrams, &words, frequencies);
    let candidates = ranges.par_iter().enumerate().with_min_len(32);
    candidates.map(|(candidate, references)| weights.score(candidate, references.clone()).d).collect()
}

impl Serialize for ImageScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const BLEU: [&str; 4] = ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"];
        let mut map = serializer.serialize_map(None)?;
        for (name, score) in BLEU.iter().zip(self.bleu.iter().flatten()) {
            map.serialize_entry(name, score)?;
        }
        for (name, score) in [
            ("ROUGE_L", self.rouge_l),
            ("CIDEr", self.cider),
            ("CIDEr_plain", self.cider_plain),
            ("CIDErD", self.cider_d_given),
            ("METEOR", self.meteor),
            ("SPICE", self.spice),
        ] {
            if let Some(score) = score {
                map.serialize_entry(name, &score)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Options<'static> {
        Options { bleu: true, rouge: true, cider: true, frequencies: None }
    }

    fn of(references: &[&'static str], candidate: &'static str) -> Pair<'static> {
        let references = references.iter().map(|&text| text.into()).collect();
        Pair { references, candidate: candidate.into(), ..Pair::default() }
    }

    #[test]
    fn the_reference_itself_scores_highest() {
        let pairs = [
            of(&["a dog runs on grass"], "a dog runs on grass"),
            of(&["the cat sits up there"], "the cat sits up there"),
        ];
        let got = score(&pairs, all());
        let first = &got.per_image[0];
        assert!((first.cider.expect("asked for") - 10.0).abs() < 1e-9);
        assert!((first.cider_plain.expect("asked for") - 10.0).abs() < 1e-9);
        assert!((first.rouge_l.expect("asked for") - 1.0).abs() < 1e-9);
        assert!((got.corpus.bleu.expect("asked for")[3] - 1.0).abs() < 1e-7);
    }

    #[test]
    fn one_image_has_no_cider_and_empty_candidates_score_zero() {
        let got = score(&[of(&["a dog"], "a dog")], all());
        assert_eq!(got.corpus.cider, Some(0.0));
        let got = score(&[of(&["a dog"], ""), of(&["a"], "a")], all());
        assert_eq!((got.per_image[0].rouge_l, got.per_image[0].cider), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn repeating_a_word_pays_in_cider_only() {
        // tf is not clipped in CIDEr, and there is no length penalty.
        let pairs = [of(&["dog runs"], "dog dog dog dog runs"), of(&["a cat"], "a")];
        let got = score(&pairs, all());
        assert!(got.per_image[0].cider_plain > got.per_image[0].cider);
    }
}
