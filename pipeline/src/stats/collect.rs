//! Counting rows: what a stretch of rows adds to the figures of its sources and splits.

use std::collections::BTreeMap;

use data_specs::{Picture, Sample, Text, TextKind};

use super::counter::Counter;
use super::figures::{NamingStats, PartStats, TagStats, TextStats};
use super::histogram::{ShareTally, Tally};
use super::words::{TagPhrases, Words};

/// Sources and splits that are told apart: real data sets have a dozen, and each costs some counters.
const PARTS: usize = 64;
/// Origins of tags that are told apart in a part.
const ORIGINS: usize = 16;
/// What stands for all further ones.
const OTHERS: &str = "(others)";
/// Names in lists of the most frequent.
const MOST_WORDS: usize = 40;
const MOST_NAMES: usize = 25;
const MOST_SIZES: usize = 12;

/// The figures of some rows, by source and split.
#[derive(Debug, Clone, Default)]
pub(super) struct Tallies {
    parts: BTreeMap<(String, String), PartTally>,
}

#[derive(Debug, Clone, Default)]
struct PartTally {
    rows: u64,
    pairs: u64,
    rows_without_texts: u64,
    pictures: u64,
    regions: Tally,
    box_area: ShareTally,
    short_side: Tally,
    sizes: Counter,
    tags: BTreeMap<String, TagTally>,
    attributes: TagTally,
    texts: BTreeMap<TextKind, TextTally>,
    answers_per_question: Tally,
    answers: Counter,
    labels: Counter,
    at_least: [u64; 3],
}

#[derive(Debug, Clone, Default)]
struct TagTally {
    /// Of the pictures that have any.
    per_picture: Tally,
    names: Counter,
}

#[derive(Debug, Clone, Default)]
struct TextTally {
    words_per_text: Tally,
    words: Counter,
}

impl Tallies {
    pub(super) fn add(&mut self, sample: &Sample) {
        self.part(&(sample.source.clone(), sample.split.clone())).add(sample);
    }

    pub(super) fn merge(&mut self, other: &Tallies) {
        for (name, part) in &other.parts {
            self.part(name).merge(part);
        }
    }

    /// The figures of all parts together and of each.
    pub(super) fn finish(&self) -> (PartStats, Vec<PartStats>) {
        let mut all = PartTally::default();
        self.parts.values().for_each(|part| all.merge(part));
        let parts = self.parts.iter().map(|((source, split), part)| part.finish(source, split));
        (all.finish("", ""), parts.collect())
    }

    fn part(&mut self, name: &(String, String)) -> &mut PartTally {
        let full = self.parts.len() >= PARTS && !self.parts.contains_key(name);
        let name = if full { (OTHERS.to_string(), String::new()) } else { name.clone() };
        self.parts.entry(name).or_default()
    }
}

impl PartTally {
    fn add(&mut self, sample: &Sample) {
        self.rows += 1;
        self.pairs += u64::from(sample.images.len() == 2);
        self.rows_without_texts += u64::from(sample.texts.is_empty());
        sample.images.iter().for_each(|picture| self.add_picture(picture));
        let names = sample.images.iter().flat_map(|picture| &picture.tags).map(|tag| tag.name.as_str());
        let phrases = TagPhrases::of(names);
        sample.texts.iter().for_each(|text| self.add_text(text, &phrases));
    }

    fn add_picture(&mut self, picture: &Picture) {
        self.pictures += 1;
        self.regions.add(u64::from(picture.regions));
        if let (Some(width), Some(height)) = (picture.width, picture.height) {
            self.short_side.add(u64::from(width.min(height)));
            self.sizes.add(&format!("{width} × {height}"));
            let area = f64::from(width) * f64::from(height);
            for &[x1, y1, x2, y2] in picture.boxes.iter().flatten() {
                let share = (f64::from(x2) - f64::from(x1)) * (f64::from(y2) - f64::from(y1)) / area;
                // A picture without area has no shares, and a broken box no area.
                if share.is_finite() && share >= 0.0 {
                    self.box_area.add(share);
                }
            }
        }
        let mut by_origin: BTreeMap<&str, u64> = BTreeMap::new();
        for tag in &picture.tags {
            self.origin(&tag.origin).names.add(&tag.name);
            let full = !self.tags.contains_key(&tag.origin);
            *by_origin.entry(if full { OTHERS } else { &tag.origin }).or_default() += 1;
        }
        for (origin, tags) in by_origin {
            self.origin(origin).per_picture.add(tags);
        }
        picture.attributes.iter().for_each(|attribute| self.attributes.names.add(&attribute.name));
        if !picture.attributes.is_empty() {
            self.attributes.per_picture.add(picture.attributes.len() as u64);
        }
    }

    fn add_text(&mut self, text: &Text, tags: &TagPhrases) {
        let tally = self.texts.entry(text.kind).or_default();
        tally.words_per_text.add(text.text.split_whitespace().count() as u64);
        let words = Words::of(&text.text);
        words.iter().for_each(|word| tally.words.add(word));
        if text.kind == TextKind::Caption {
            let named = tags.named_in(&words.iter().collect::<Vec<_>>());
            self.at_least
                .iter_mut()
                .zip(1..)
                .for_each(|(count, wanted)| *count += u64::from(named >= wanted));
        }
        if text.kind == TextKind::Question || !text.answers.is_empty() {
            self.answers_per_question.add(text.answers.len() as u64);
        }
        text.answers.iter().for_each(|answer| self.answers.add(&answer.text));
        if let Some(label) = text.label {
            self.labels.add(&label.to_string());
        }
    }

    fn merge(&mut self, other: &PartTally) {
        self.rows += other.rows;
        self.pairs += other.pairs;
        self.rows_without_texts += other.rows_without_texts;
        self.pictures += other.pictures;
        self.regions.merge(&other.regions);
        self.box_area.merge(&other.box_area);
        self.short_side.merge(&other.short_side);
        self.sizes.merge(&other.sizes);
        other.tags.iter().for_each(|(origin, tags)| self.origin(origin).merge(tags));
        self.attributes.merge(&other.attributes);
        for (&kind, texts) in &other.texts {
            let tally = self.texts.entry(kind).or_default();
            tally.words_per_text.merge(&texts.words_per_text);
            tally.words.merge(&texts.words);
        }
        self.answers_per_question.merge(&other.answers_per_question);
        self.answers.merge(&other.answers);
        self.labels.merge(&other.labels);
        self.at_least.iter_mut().zip(other.at_least).for_each(|(into, count)| *into += count);
    }

    fn origin(&mut self, origin: &str) -> &mut TagTally {
        let full = self.tags.len() >= ORIGINS && !self.tags.contains_key(origin);
        self.tags.entry(if full { OTHERS } else { origin }.to_string()).or_default()
    }

    fn finish(&self, source: &str, split: &str) -> PartStats {
        let captions = self.texts.get(&TextKind::Caption).map_or(0, |texts| texts.words_per_text.count());
        let share = |count: u64| count as f64 / captions as f64;
        PartStats {
            source: source.to_string(),
            split: split.to_string(),
            rows: self.rows,
            pairs: self.pairs,
            rows_without_texts: self.rows_without_texts,
            pictures: self.pictures,
            regions: self.regions.sum(),
            regions_per_picture: self.regions.finish(),
            box_area: self.box_area.finish(),
            short_side: self.short_side.finish(),
            sizes: self.sizes.finish(MOST_SIZES),
            tags: self.tags.iter().map(|(origin, tags)| tags.finish(origin, self.pictures)).collect(),
            attributes: (self.attributes.names.total() > 0)
                .then(|| self.attributes.finish("", self.pictures)),
            texts: self.texts.iter().map(|(&kind, texts)| texts.finish(kind)).collect(),
            answers_per_question: self.answers_per_question.finish(),
            answers: self.answers.finish(MOST_NAMES),
            labels: self.labels.finish(MOST_NAMES),
            naming: (captions > 0 && !self.tags.is_empty()).then(|| NamingStats {
                captions,
                at_least: self.at_least,
                shares: self.at_least.map(share),
            }),
        }
    }
}

impl TagTally {
    fn merge(&mut self, other: &TagTally) {
        self.per_picture.merge(&other.per_picture);
        self.names.merge(&other.names);
    }

    fn finish(&self, origin: &str, pictures: u64) -> TagStats {
        let mut per_picture = self.per_picture.clone();
        per_picture.add_times(0, pictures.saturating_sub(per_picture.count()));
        TagStats {
            origin: origin.to_string(),
            per_picture: per_picture.finish(),
            names: self.names.finish(MOST_NAMES),
        }
    }
}

impl TextTally {
    fn finish(&self, kind: TextKind) -> TextStats {
        let words = self.words.finish(MOST_WORDS);
        TextStats {
            kind,
            texts: self.words_per_text.count(),
            words_per_text: self.words_per_text.finish(),
            type_token: words.distinct as f64 / words.total.max(1) as f64,
            words,
        }
    }
}
