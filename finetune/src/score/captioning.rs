//! Captioning and NoCaps.

use std::path::PathBuf;

use finetune_metrics::{
    captions::{self, BleuStats, DocumentFrequencies, ImageScores, Options, Pair, meteor::Meteor, ptb},
    layouts::{Candidates, Id, References, TextFile},
};
use serde::{Serialize, Serializer};

use super::{Error, Form, spice};

/// A caption metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// BLEU-1 to BLEU-4.
    Bleu,
    /// ROUGE-L.
    Rouge,
    /// CIDEr (the D form) and plain CIDEr.
    Cider,
    /// METEOR.
    Meteor,
    /// SPICE.
    Spice,
}

/// References, candidates, and what to compute.
#[derive(Debug, Default)]
pub struct Captioning {
    /// Reference captions.
    pub references: PathBuf,
    /// A list of `{image_id, caption}`.
    pub candidates: PathBuf,
    /// Whether both are tokens already.
    pub tokenized: bool,
    /// What to compute; empty: all that the given data allow.
    pub metrics: Vec<Metric>,
    /// Frequencies for CIDEr-D besides those of the references.
    pub document_frequencies: Option<PathBuf>,
    /// METEOR's word data: a folder or a jar.
    pub meteor_data: Option<PathBuf>,
    /// The user's SPICE jar.
    pub spice_jar: Option<PathBuf>,
}

impl Captioning {
    /// `bleu_stats`, `corpus`, `per_image`, and counts of what was odd.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        self.prepare();
        let (references, candidates) = TextFile::read_both(&self.references, &self.candidates)?;
        self.compare(&References::read(&references)?, &Candidates::read(&candidates)?, form)
    }

    /// The same for captions that are in memory; the paths are not looked at.
    pub fn compare(
        &self,
        references: &References<'_>,
        candidates: &Candidates<'_>,
        form: Form,
    ) -> Result<String, Error> {
        let pairs = captions::pair(references, candidates)?;
        let counts = Counts::of(references, &pairs, |_| true);
        Ok(form.write(&Scorer::new(self)?.report(&pairs, counts)?))
    }

    /// Begins with what the tokenizer needs, so that it is there when the files are read.
    fn prepare(&self) {
        if !self.tokenized {
            rayon::spawn(ptb::prepare);
        }
    }
}

/// The same for the domains of NoCaps, each as a corpus of its own.
#[derive(Debug)]
pub struct NoCaps(pub Captioning);

impl NoCaps {
    /// One captioning object each for `in-domain`, `near-domain`, `out-domain` and `entire`; null for a
    /// domain without candidates.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        self.0.prepare();
        let (references, candidates) = TextFile::read_both(&self.0.references, &self.0.candidates)?;
        self.compare(&References::read(&references)?, &Candidates::read(&candidates)?, form)
    }

    /// The same for captions that are in memory; the paths are not looked at.
    pub fn compare(
        &self,
        references: &References<'_>,
        candidates: &Candidates<'_>,
        form: Form,
    ) -> Result<String, Error> {
        let pairs = captions::pair(references, candidates)?;
        let scorer = Scorer::new(&self.0)?;
        let report = |domain: &str| {
            let inside = |of: Option<&str>| of == Some(domain);
            let own: Vec<Pair<'_>> =
                pairs.iter().filter(|pair| inside(pair.domain.as_deref())).cloned().collect();
            let counts = Counts::of(references, &own, inside);
            if own.is_empty() { Ok(None) } else { scorer.report(&own, counts).map(Some) }
        };
        Ok(form.write(&Domains {
            in_domain: report("in-domain")?,
            near_domain: report("near-domain")?,
            out_domain: report("out-domain")?,
            entire: scorer.report(&pairs, Counts::of(references, &pairs, |_| true))?,
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Domains<'a> {
    in_domain: Option<Report<'a>>,
    near_domain: Option<Report<'a>>,
    out_domain: Option<Report<'a>>,
    entire: Report<'a>,
}

/// The scores of a corpus, with coco-caption's names.
#[derive(Serialize)]
struct Report<'a> {
    n_images: usize,
    n_refs: usize,
    bleu_stats: Option<BleuStats>,
    corpus: ImageScores,
    #[serde(skip_serializing_if = "Option::is_none")]
    meteor: Option<MeteorParts>,
    counts: Counts,
    #[serde(serialize_with = "by_id")]
    per_image: Vec<(Id<'a>, ImageScores)>,
}

/// Which stages and word lists METEOR worked with.
#[derive(Serialize)]
struct MeteorParts {
    used: Vec<&'static str>,
    absent: Vec<&'static str>,
}

/// What was odd about the files.
#[derive(Serialize)]
struct Counts {
    images_without_candidate: usize,
    captions_of_unlisted_images: usize,
    candidates_without_words: usize,
}

impl Counts {
    fn of(references: &References<'_>, pairs: &[Pair<'_>], inside: impl Fn(Option<&str>) -> bool) -> Self {
        let wanted = references.images.iter().filter(|image| inside(image.domain.as_deref())).count();
        Self {
            images_without_candidate: wanted - pairs.len(),
            captions_of_unlisted_images: references.unlisted_captions,
            candidates_without_words: 0, // known when they are tokenized
        }
    }
}

/// What is loaded once and used for every corpus.
struct Scorer<'a> {
    asked: &'a Captioning,
    frequencies: Option<DocumentFrequencies>,
    meteor: Meteor,
}

impl<'a> Scorer<'a> {
    fn new(asked: &'a Captioning) -> Result<Self, Error> {
        if asked.metrics.contains(&Metric::Spice) && asked.spice_jar.is_none() {
            return Err(Error::Unavailable { metric: "SPICE", what: "your jar: --spice-jar spice-1.0.jar" });
        }
        let frequencies = asked.document_frequencies.as_deref().map(DocumentFrequencies::read).transpose()?;
        let meteor = asked.meteor_data.as_deref().map(Meteor::with_data).transpose()?.unwrap_or_default();
        Ok(Self { asked, frequencies, meteor })
    }

    fn wants(&self, metric: Metric) -> bool {
        match metric {
            _ if !self.asked.metrics.is_empty() => self.asked.metrics.contains(&metric),
            Metric::Meteor => self.asked.meteor_data.is_some(),
            Metric::Spice => self.asked.spice_jar.is_some(),
            Metric::Bleu | Metric::Rouge | Metric::Cider => true,
        }
    }

    fn report<'text>(&self, raw: &[Pair<'text>], mut counts: Counts) -> Result<Report<'text>, Error> {
        let (tokens, tokenized);
        let pairs = if self.asked.tokenized {
            raw
        } else {
            tokens = Pair::tokenize(raw);
            tokenized = tokens.pairs(raw);
            &tokenized
        };
        let options = Options {
            bleu: self.wants(Metric::Bleu),
            rouge: self.wants(Metric::Rouge),
            cider: self.wants(Metric::Cider),
            frequencies: self.frequencies.as_ref(),
        };
        let mut scores = captions::score(pairs, options);
        let mut parts = None;
        if self.wants(Metric::Meteor) {
            let meteor = self.meteor.score(pairs)?;
            parts = Some(MeteorParts { used: self.meteor.used(), absent: self.meteor.absent() });
            scores.corpus.meteor = Some(meteor.corpus);
            let images = scores.per_image.iter_mut().zip(meteor.per_image);
            images.for_each(|(image, score)| image.meteor = Some(score));
        }
        if self.wants(Metric::Spice)
            && let Some(jar) = &self.asked.spice_jar
        {
            let values = spice::spice(jar, raw)?;
            scores.corpus.spice = Some(values.iter().sum::<f64>() / values.len() as f64);
            scores.per_image.iter_mut().zip(values).for_each(|(image, score)| image.spice = Some(score));
        }
        counts.candidates_without_words =
            pairs.iter().filter(|pair| pair.candidate.trim().is_empty()).count();
        Ok(Report {
            n_images: pairs.len(),
            n_refs: pairs.iter().map(|pair| pair.references.len()).sum(),
            bleu_stats: scores.bleu_stats,
            corpus: scores.corpus,
            meteor: parts,
            counts,
            per_image: raw.iter().map(|pair| pair.id.clone()).zip(scores.per_image).collect(),
        })
    }
}

fn by_id<S: Serializer>(images: &[(Id<'_>, ImageScores)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(images.iter().map(|(id, scores)| (id, scores)))
}
