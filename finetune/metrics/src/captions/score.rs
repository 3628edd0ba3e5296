//! All caption scores of a corpus, and of each of its images.

use std::path::Path;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::{
    BleuStats, DocumentFrequencies, END_OF_CAPTION,
    cider::InverseFrequencies,
    ngrams::{Ngrams, Numbering},
    ptb,
    reward::{given_weights, reward_text},
    rouge::rouge_l,
};
use crate::{
    Error,
    layouts::{Candidates, References},
};

/// An image, its references and its candidate.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// The image's id.
    pub id: String,
    /// Its reference captions.
    pub references: Vec<String>,
    /// The caption to be scored.
    pub candidate: String,
}

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

/// The scores of one image, or of the corpus; those that were not asked for are absent.
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

/// Joins candidates and references, in the order of the references.
///
/// Images without a candidate are left out, as the official example does (the second value counts
/// them). A candidate without references is an error there and here.
pub fn pair(references: &References, candidates: &Candidates) -> Result<(Vec<Pair>, usize), Error> {
    let mut waiting: FxHashMap<&str, &str> =
        candidates.captions.iter().map(|(id, caption)| (id.as_str(), caption.as_str())).collect();
    let mut pairs = Vec::with_capacity(waiting.len());
    let mut missing = 0;
    for image in &references.images {
        let Some(candidate) = waiting.remove(image.id.as_str()) else {
            missing += 1;
            continue;
        };
        if image.captions.is_empty() {
            return Err(Error::MissingId {
                path: references.path.clone(),
                id: image.id.clone(),
                hint: "an image needs at least one reference caption",
            });
        }
        pairs.push(Pair {
            id: image.id.clone(),
            references: image.captions.clone(),
            candidate: candidate.to_owned(),
        });
    }
    match candidates.captions.iter().find(|(id, _)| waiting.contains_key(id.as_str())) {
        Some((id, _)) => {
            Err(Error::SurplusId { path: candidates.path.clone(), id: id.clone(), other: "the references" })
        }
        None if pairs.is_empty() => {
            Err(Error::Content { path: candidates.path.clone(), problem: "holds no captions".to_owned() })
        }
        None => Ok((pairs, missing)),
    }
}

/// Reads both files and joins them.
pub fn pairs_of(references: &Path, candidates: &Path) -> Result<(Vec<Pair>, usize), Error> {
    let references = crate::layouts::read_references(references)?;
    pair(&references, &crate::layouts::read_candidates(candidates)?)
}

impl Pair {
    /// The pairs with Penn Treebank tokens instead of text. Order matters: see [`ptb::tokenize_all`].
    pub fn tokenize(pairs: &[Self]) -> Vec<Self> {
        let references: Vec<&str> =
            pairs.iter().flat_map(|pair| pair.references.iter().map(String::as_str)).collect();
        let candidates: Vec<&str> = pairs.iter().map(|pair| pair.candidate.as_str()).collect();
        let mut references = ptb::tokenize_all(&references).into_iter();
        let candidates = ptb::tokenize_all(&candidates);
        pairs
            .iter()
            .zip(candidates)
            .map(|(pair, candidate)| Self {
                id: pair.id.clone(),
                references: references.by_ref().take(pair.references.len()).collect(),
                candidate,
            })
            .collect()
    }
}

/// Scores tokenized pairs. `raw` are the same pairs before tokenization, for given frequencies: those
/// are counted on such text, see [`super::cider_d`].
pub fn score(pairs: &[Pair], options: Options<'_>) -> CaptionScores {
    let mut numbering = Numbering::default();
    let mut cook = |text| Cooked::new(&mut numbering, text);
    let cooked: Vec<(Cooked, Vec<Cooked>)> = pairs
        .iter()
        .map(|pair| (cook(&pair.candidate), pair.references.iter().map(|text| cook(text)).collect()))
        .collect();
    let ngrams: Vec<(Ngrams, Vec<Ngrams>)> = cooked
        .iter()
        .map(|(candidate, references)| {
            let mut ngrams = |cooked: &Cooked| numbering.ngrams(&cooked.words);
            (ngrams(candidate), references.iter().map(ngrams).collect())
        })
        .collect();
    let sizes = std::array::from_fn(|n| numbering.len(n + 1));
    let weights = options.cider.then(|| {
        InverseFrequencies::of_corpus(ngrams.iter().map(|(_, references)| references.as_slice()), sizes)
    });

    let mut per_image: Vec<(BleuStats, ImageScores)> = cooked
        .par_iter()
        .zip(&ngrams)
        .with_min_len(32)
        .map(|((candidate_words, reference_words), (candidate, references))| {
            let stats = BleuStats::new(candidate, references);
            let cider = weights.as_ref().map(|weights| weights.score(candidate, references));
            let scores = ImageScores {
                bleu: options.bleu.then(|| stats.scores()),
                rouge_l: options.rouge.then(|| {
                    let references: Vec<&[u32]> =
                        reference_words.iter().map(Cooked::space_separated).collect();
                    rouge_l(candidate_words.space_separated(), &references)
                }),
                cider: cider.map(|cider| cider.d),
                cider_plain: cider.map(|cider| cider.plain),
                cider_d_given: None,
            };
            (stats, scores)
        })
        .collect();

    if let Some(frequencies) = options.frequencies {
        for (slot, score) in per_image.iter_mut().zip(given_scores(pairs, frequencies)) {
            slot.1.cider_d_given = Some(score);
        }
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
    };
    CaptionScores {
        bleu_stats: options.bleu.then_some(bleu_stats),
        corpus,
        per_image: per_image.into_iter().map(|(_, scores)| scores).collect(),
    }
}

/// CIDEr-D over given frequencies. Where those were counted with `<eos>` behind each caption, so are
/// both sides here.
fn given_scores(pairs: &[Pair], frequencies: &DocumentFrequencies) -> Vec<f64> {
    let end = frequencies.has_end_of_caption().then_some(END_OF_CAPTION);
    let mut numbering = Numbering::default();
    let mut cook = |text| {
        let words = numbering.words(reward_text(text).split_whitespace().chain(end));
        numbering.ngrams(&words)
    };
    let ngrams: Vec<(Ngrams, Vec<Ngrams>)> = pairs
        .iter()
        .map(|pair| (cook(&pair.candidate), pair.references.iter().map(|text| cook(text)).collect()))
        .collect();
    let weights = given_weights(frequencies, &numbering);
    ngrams
        .par_iter()
        .with_min_len(32)
        .map(|(candidate, references)| weights.score(candidate, references).d)
        .collect()
}

/// A caption as word numbers, in the two ways in which the reference splits it.
struct Cooked {
    /// Split at any white space (BLEU, CIDEr).
    words: Vec<u32>,
    /// Split at single spaces (ROUGE), where that differs.
    space_separated: Option<Vec<u32>>,
}

impl Cooked {
    fn new<'text>(numbering: &mut Numbering<'text>, text: &'text str) -> Self {
        let words = numbering.words(text.split_whitespace());
        let bytes = text.as_bytes();
        let plain = text.is_ascii()
            && !text.is_empty()
            && !text.starts_with(' ')
            && !text.ends_with(' ')
            && !text.contains("  ")
            && !bytes.iter().any(|byte| byte.is_ascii_control());
        let space_separated = (!plain).then(|| numbering.words(text.split(' ')));
        Self { words, space_separated }
    }

    fn space_separated(&self) -> &[u32] {
        self.space_separated.as_deref().unwrap_or(&self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::ReferenceImage;

    fn all() -> Options<'static> {
        Options { bleu: true, rouge: true, cider: true, frequencies: None }
    }

    fn of(id: &str, references: &[&str], candidate: &str) -> Pair {
        Pair {
            id: id.to_owned(),
            references: references.iter().map(|&text| text.to_owned()).collect(),
            candidate: candidate.to_owned(),
        }
    }

    #[test]
    fn the_reference_itself_scores_highest() {
        let pairs = [
            of("1", &["a dog runs on grass"], "a dog runs on grass"),
            of("2", &["the cat sits up there"], "the cat sits up there"),
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
        let got = score(&[of("1", &["a dog"], "a dog")], all());
        assert_eq!(got.corpus.cider, Some(0.0));
        let got = score(&[of("1", &["a dog"], ""), of("2", &["a"], "a")], all());
        assert_eq!((got.per_image[0].rouge_l, got.per_image[0].cider), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn repeating_a_word_pays_in_cider_only() {
        // tf is not clipped in CIDEr, and there is no length penalty.
        let pairs = [of("1", &["dog runs"], "dog dog dog dog runs"), of("2", &["a cat"], "a")];
        let got = score(&pairs, all());
        assert!(got.per_image[0].cider_plain > got.per_image[0].cider);
    }

    #[test]
    fn ids_must_fit() {
        let references = References {
            images: vec![
                ReferenceImage { id: "1".into(), captions: vec!["a".into()], domain: None },
                ReferenceImage { id: "2".into(), captions: vec![], domain: None },
            ],
            path: "R.json".into(),
        };
        let candidates = |ids: &[&str]| Candidates {
            captions: ids.iter().map(|&id| (id.to_owned(), "a".to_owned())).collect(),
            path: "C.json".into(),
        };
        let (pairs, missing) = pair(&references, &candidates(&["1"])).expect("a subset is fine");
        assert_eq!((pairs.len(), missing), (1, 1));
        for (ids, part) in [(&["1", "3"][..], "id 3 is not in"), (&["2"], "id 2"), (&[], "no captions")] {
            let message = pair(&references, &candidates(ids)).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
