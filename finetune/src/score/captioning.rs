//! Captioning and NoCaps, and document frequencies for CIDEr-D.

use std::{fs::File, io::BufWriter, path::PathBuf};

use finetune_metrics::{
    captions::{self, CaptionScores, ImageScores, Options, Pair, meteor::Meteor},
    layouts,
};
use serde_json::{Map, Value, json};

use super::{Error, spice};

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
    pub fn run(&self) -> Result<Value, Error> {
        let (pairs, missing) = captions::pairs_of(&self.references, &self.candidates)?;
        Scorer::new(self)?.report(&pairs, missing)
    }
}

/// The same for the domains of NoCaps, each as a corpus of its own.
#[derive(Debug)]
pub struct NoCaps(pub Captioning);

impl NoCaps {
    /// One captioning object each for `in-domain`, `near-domain`, `out-domain` and `entire`.
    pub fn run(&self) -> Result<Value, Error> {
        let references = layouts::read_references(&self.0.references)?;
        let candidates = layouts::read_candidates(&self.0.candidates)?;
        let (pairs, missing) = captions::pair(&references, &candidates)?;
        let scorer = Scorer::new(&self.0)?;
        let mut out = Map::new();
        for domain in ["in-domain", "near-domain", "out-domain"] {
            let inside = |id: &str| {
                references
                    .images
                    .iter()
                    .any(|image| image.id == id && image.domain.as_deref() == Some(domain))
            };
            let (of_domain, _): (Vec<Pair>, Vec<Pair>) =
                pairs.iter().cloned().partition(|pair| inside(&pair.id));
            let scored = of_domain.len();
            let wanted =
                references.images.iter().filter(|image| image.domain.as_deref() == Some(domain)).count();
            let value = if scored == 0 { Value::Null } else { scorer.report(&of_domain, wanted - scored)? };
            out.insert(domain.to_owned(), value);
        }
        out.insert("entire".to_owned(), scorer.report(&pairs, missing)?);
        Ok(out.into())
    }
}

/// Counting document frequencies.
#[derive(Debug)]
pub struct DocumentFrequencies {
    /// Reference captions.
    pub references: PathBuf,
    /// The JSON to write.
    pub out: PathBuf,
    /// Whether the captions are tokens already.
    pub tokenized: bool,
    /// Put `<eos>` behind each caption, as self-critical training does.
    pub end_of_caption: bool,
}

impl DocumentFrequencies {
    /// Writes the file and reports what is in it.
    pub fn run(&self) -> Result<Value, Error> {
        let references = layouts::read_references(&self.references)?;
        let texts: Vec<&str> =
            references.images.iter().flat_map(|image| image.captions.iter().map(String::as_str)).collect();
        let mut tokens = if self.tokenized {
            texts.into_iter().map(str::to_owned).collect::<Vec<_>>()
        } else {
            captions::ptb::tokenize_all(&texts)
        };
        if self.end_of_caption {
            tokens.iter_mut().for_each(|caption| *caption = captions::reward_caption(caption));
        }
        let mut rest = tokens.as_slice();
        let mut images = Vec::with_capacity(references.images.len());
        for image in &references.images {
            let (own, behind) = rest.split_at(image.captions.len());
            images.push(own);
            rest = behind;
        }
        let counted =
            captions::DocumentFrequencies::count(images.into_iter().filter(|captions| !captions.is_empty()));
        let failed = |source| Error::Write { path: self.out.clone(), source };
        let file = File::create(&self.out).map_err(failed)?;
        counted.write(BufWriter::new(file)).map_err(failed)?;
        Ok(json!({
            "out": self.out.display().to_string(),
            "images": counted.documents,
            "ngrams": counted.frequency.len(),
        }))
    }
}

/// What is loaded once and used for every corpus.
struct Scorer<'a> {
    asked: &'a Captioning,
    frequencies: Option<captions::DocumentFrequencies>,
    meteor: Meteor,
}

impl<'a> Scorer<'a> {
    fn new(asked: &'a Captioning) -> Result<Self, Error> {
        if asked.metrics.contains(&Metric::Spice) && asked.spice_jar.is_none() {
            return Err(Error::Unavailable { metric: "SPICE", what: "your jar: --spice-jar spice-1.0.jar" });
        }
        let frequencies =
            asked.document_frequencies.as_deref().map(captions::DocumentFrequencies::read).transpose()?;
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

    fn report(&self, raw: &[Pair], missing: usize) -> Result<Value, Error> {
        let tokenized;
        let pairs = if self.asked.tokenized {
            raw
        } else {
            tokenized = Pair::tokenize(raw);
            &tokenized
        };
        let options = Options {
            bleu: self.wants(Metric::Bleu),
            rouge: self.wants(Metric::Rouge),
            cider: self.wants(Metric::Cider),
            frequencies: self.frequencies.as_ref(),
        };
        let scores = captions::score(pairs, options);
        let mut corpus = object(&scores.corpus);
        let mut per_image: Vec<Map<String, Value>> = scores.per_image.iter().map(object).collect();
        let mut stages = Value::Null;
        if self.wants(Metric::Meteor) {
            let meteor = self.meteor.score(pairs)?;
            stages = json!({ "used": self.meteor.used(), "absent": self.meteor.absent() });
            corpus.insert("METEOR".to_owned(), meteor.corpus.into());
            for (image, score) in per_image.iter_mut().zip(meteor.per_image) {
                image.insert("METEOR".to_owned(), score.into());
            }
        }
        if self.wants(Metric::Spice)
            && let Some(jar) = &self.asked.spice_jar
        {
            let values = spice::spice(jar, raw)?;
            corpus.insert("SPICE".to_owned(), (values.iter().sum::<f64>() / values.len() as f64).into());
            per_image
                .iter_mut()
                .zip(values)
                .for_each(|(image, value)| drop(image.insert("SPICE".to_owned(), value.into())));
        }
        let empty = pairs.iter().filter(|pair| pair.candidate.is_empty()).count();
        let mut out = Map::new();
        out.insert("n_images".to_owned(), pairs.len().into());
        out.insert("n_refs".to_owned(), pairs.iter().map(|pair| pair.references.len()).sum::<usize>().into());
        out.insert("bleu_stats".to_owned(), bleu_stats(&scores));
        out.insert("corpus".to_owned(), corpus.into());
        if !stages.is_null() {
            out.insert("meteor".to_owned(), stages);
        }
        out.insert(
            "counts".to_owned(),
            json!({
                "images_without_candidate": missing,
                "candidates_without_words": empty,
            }),
        );
        let per_image: Map<String, Value> =
            pairs.iter().zip(per_image).map(|(pair, scores)| (pair.id.clone(), scores.into())).collect();
        out.insert("per_image".to_owned(), per_image.into());
        Ok(out.into())
    }
}

fn bleu_stats(scores: &CaptionScores) -> Value {
    scores.bleu_stats.map_or(Value::Null, |stats| {
        json!({ "testlen": stats.testlen, "reflen": stats.reflen, "guess": stats.guess, "correct": stats.correct })
    })
}

fn object(scores: &ImageScores) -> Map<String, Value> {
    let mut out = Map::new();
    for (n, score) in scores.bleu.into_iter().flatten().enumerate() {
        out.insert(format!("Bleu_{}", n + 1), score.into());
    }
    for (name, score) in [
        ("ROUGE_L", scores.rouge_l),
        ("CIDEr", scores.cider),
        ("CIDEr_plain", scores.cider_plain),
        ("CIDErD", scores.cider_d_given),
    ] {
        if let Some(score) = score {
            out.insert(name.to_owned(), score.into());
        }
    }
    out
}
