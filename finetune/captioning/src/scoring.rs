//! What captions of a data set are compared with, and the score that models are chosen by.

use std::collections::BTreeMap;

use data_specs::{Sample, TextKind};
use finetune_harness::Scores;
use finetune_metrics::captions::{self, Options, Pair};
use finetune_metrics::layouts::Id;
use serde::Serialize;
use serde_json::{Value, json};

/// A picture's captions beside its references.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Captioned {
    /// The row's key.
    pub key: String,
    /// The picture's id in official files: COCO's number where the picture is called by its file.
    pub image_id: String,
    /// The best caption.
    pub caption: String,
    /// Its probability a token.
    pub confidence: f64,
    /// Further captions with their probabilities, where more were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(String, f64)>,
    /// The data set's captions.
    #[serde(skip)]
    pub references: Vec<String>,
    /// NoCaps: `in-domain`, `near-domain` or `out-domain`.
    #[serde(skip)]
    pub domain: Option<String>,
}

/// The id as official files have it: a number where it is written as one.
pub fn official_id(id: &str) -> Id<'_> {
    match id.parse::<i64>() {
        Ok(number) if number.to_string() == id => number.into(),
        _ => id.into(),
    }
}

impl Captioned {
    pub(crate) fn new(sample: &Sample, mut written: Vec<(String, f64)>) -> Self {
        let captions = sample.texts.iter().filter(|text| text.kind == TextKind::Caption);
        let extra = extra(sample);
        let (caption, confidence) = if written.is_empty() { Default::default() } else { written.remove(0) };
        Self {
            key: sample.key.clone(),
            image_id: image_id(sample),
            caption,
            confidence,
            others: written,
            references: captions.map(|text| text.text.clone()).collect(),
            domain: extra.and_then(|extra| Some(extra.get("domain")?.as_str()?.to_owned())),
        }
    }
}

/// The id that official files call a picture by: the row's own where one is kept, the number behind the last underscore of a
/// name (`COCO_val2014_000000000042` is 42), a name of digits as the number that it is, or else the name.
pub(crate) fn image_id(sample: &Sample) -> String {
    if let Some(id) = extra(sample).and_then(|extra| extra.get("id").cloned()) {
        return id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    }
    let name = sample.images.first().map(|image| image.image_id.as_str()).unwrap_or_default();
    let number = name.rsplit('_').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<i64>() {
        Ok(number) if is_number => number.to_string(),
        _ => name.to_owned(),
    }
}

fn extra(sample: &Sample) -> Option<Value> {
    serde_json::from_str(sample.extra.as_deref()?).ok()
}

/// Scores of a corpus: CIDEr chooses.
pub(crate) fn scores(captioned: &[Captioned]) -> Scores {
    let pair = |captioned: &Captioned| Pair {
        id: Id::from(0),
        references: captioned.references.iter().map(|text| text.clone().into()).collect(),
        candidate: captioned.caption.clone().into(),
        domain: None,
    };
    let raw: Vec<Pair<'_>> = captioned.iter().map(pair).collect();
    let tokens = Pair::tokenize(&raw);
    let options = Options { bleu: true, rouge: true, cider: true, frequencies: None };
    let corpus = captions::score(&tokens.pairs(&raw), options).corpus;
    let mut figures = BTreeMap::new();
    if let Some(bleu) = corpus.bleu {
        figures.insert("Bleu_4".to_owned(), bleu[3]);
    }
    for (name, score) in [("CIDEr", corpus.cider), ("ROUGE_L", corpus.rouge_l)] {
        figures.extend(score.map(|score| (name.to_owned(), score)));
    }
    Scores { main: corpus.cider.unwrap_or_default(), all: json!(figures), figures }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_called_as_official_files_call_them() {
        for (name, extra, wanted) in [
            ("COCO_val2014_000000000042", None, "42"),
            ("0000000000000001", None, "1"),
            ("59", Some(r#"{"domain":"in-domain"}"#), "59"),
            ("69be", Some(r#"{"id":59,"open_images_id":"69be"}"#), "59"),
            ("0013ea2087020901", None, "0013ea2087020901"),
            ("a_b", None, "a_b"),
            ("dog_", None, "dog_"),
        ] {
            let sample = Sample {
                key: "x".into(),
                source: "x".into(),
                split: "x".into(),
                images: vec![data_specs::Picture { image_id: name.into(), ..Default::default() }],
                texts: vec![],
                extra: extra.map(str::to_owned),
            };
            assert_eq!(image_id(&sample), wanted, "{name}");
        }
        assert_eq!(official_id("42"), Id::Number(42));
        assert_eq!(official_id("042"), Id::from("042"));
    }
}
