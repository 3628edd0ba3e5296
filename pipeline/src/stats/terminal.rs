//! The figures for a terminal of 80 columns.

use std::fmt::{self, Display, Formatter, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::page::{decimal, percent, size, thousands};
use super::{Frequencies, Histogram, PartStats, Stats};

const COLUMNS: usize = 80;
/// Columns of what stands before a histogram or a list.
pub(crate) const LABEL: usize = 25;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Display for Stats {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let build = self.build_id.get(..12).unwrap_or(&self.build_id);
        let shards = if self.shards == 1 { "shard" } else { "shards" };
        writeln!(f, "{}", fitted(&self.corpus, COLUMNS))?;
        writeln!(
            f,
            "build {build}  version {}  {} {shards}  {}  {} x {}",
            self.version,
            thousands(self.shards),
            size(self.bytes),
            crate::rejects_file::word(&self.features.dtype),
            self.features.width,
        )?;
        writeln!(f)?;
        for (noun, account) in [("rows", self.rows), ("texts", self.texts)] {
            writeln!(f, "{noun:<6}{account}")?;
        }
        parts(f, &self.parts)?;
        distributions(f, &self.all)?;
        features(f, self)?;
        lists(f, &self.all)?;
        rejects(f, self)?;
        for warning in &self.warnings {
            writeln!(f, "\nwarning: {}", safe(warning))?;
        }
        Ok(())
    }
}

fn parts(f: &mut Formatter<'_>, parts: &[PartStats]) -> fmt::Result {
    if parts.is_empty() {
        return writeln!(f, "\nno rows");
    }
    writeln!(
        f,
        "\n{:<LABEL$}{:>10}{:>10}{:>11}{:>11}{:>12}",
        "source / split", "rows", "pictures", "texts", "regions", "name a tag"
    )?;
    for part in parts {
        let slash = if part.split.is_empty() { "" } else { " / " };
        let name = fitted(&format!("{}{slash}{}", part.source, part.split), LABEL - 1);
        let texts: u64 = part.texts.iter().map(|texts| texts.texts).sum();
        let naming = part.naming.map_or("-".to_string(), |naming| percent(naming.shares[0]));
        writeln!(
            f,
            "{}{:>10}{:>10}{:>11}{:>11}{naming:>12}",
            padded(&name, LABEL),
            thousands(part.rows),
            thousands(part.pictures),
            thousands(texts),
            thousands(part.regions),
        )?;
    }
    Ok(())
}

fn distributions(f: &mut Formatter<'_>, all: &PartStats) -> fmt::Result {
    if all.rows == 0 {
        return Ok(());
    }
    writeln!(f, "\n{:<LABEL$}{:<27}{:>8}{:>10}{:>10}", "", "", "min", "mean", "max")?;
    let mut line = |label: &str, histogram: &Option<Histogram>, show: fn(f64) -> String| {
        let Some(histogram) = histogram else { return Ok(()) };
        let [min, mean, max] = [histogram.min, histogram.mean, histogram.max].map(show);
        let label = padded(&fitted(label, LABEL - 1), LABEL);
        writeln!(f, "{label}{:<27}{min:>8}{mean:>10}{max:>10}", bars(histogram))
    };
    line("regions per picture", &all.regions_per_picture, decimal)?;
    for tags in &all.tags {
        line(&format!("tags, {}", tags.origin), &tags.per_picture, decimal)?;
    }
    if let Some(attributes) = &all.attributes {
        line("attributes per picture", &attributes.per_picture, decimal)?;
    }
    for texts in &all.texts {
        line(&format!("words per {}", texts.kind.as_str()), &texts.words_per_text, decimal)?;
    }
    line("answers per question", &all.answers_per_question, decimal)?;
    line("box area", &all.box_area, percent)?;
    line("shorter side, px", &all.short_side, decimal)?;
    if let Some(naming) = all.naming {
        let shares = naming.shares.map(percent).join(", ");
        writeln!(f, "\ncaptions that name at least 1, 2, 3 tags of their picture: {shares}")?;
    }
    Ok(())
}

fn features(f: &mut Formatter<'_>, stats: &Stats) -> fmt::Result {
    let features = &stats.features;
    let Some(values) = features.values else { return Ok(()) };
    let step = match features.every {
        1 => "all rows".to_string(),
        every => format!("one row in {}", thousands(every)),
    };
    writeln!(
        f,
        "\nfeatures ({step}): {} to {}, mean {}, deviation {}, {} zeros",
        decimal(values.min),
        decimal(values.max),
        decimal(values.mean),
        decimal(values.deviation),
        percent(values.zeros),
    )?;
    if features.not_finite > 0 {
        writeln!(f, "  {} numbers are NaN or infinite", thousands(features.not_finite))?;
    }
    Ok(())
}

fn lists(f: &mut Formatter<'_>, all: &PartStats) -> fmt::Result {
    if all.rows > 0 {
        writeln!(f, "\nmost frequent (distinct)")?;
    }
    let mut line = |label: &str, frequencies: &Frequencies| {
        if frequencies.total == 0 {
            return Ok(());
        }
        let about = if frequencies.undercount > 0 { "~" } else { "" };
        let label = format!("{label} ({about}{})", thousands(frequencies.distinct));
        writeln!(f, "{}{}", padded(&fitted(&label, LABEL - 1), LABEL), most(frequencies, COLUMNS - LABEL))
    };
    for tags in &all.tags {
        line(&format!("{} tags", tags.origin), &tags.names)?;
    }
    if let Some(attributes) = &all.attributes {
        line("attributes", &attributes.names)?;
    }
    for texts in &all.texts {
        line(&format!("{} words", texts.kind.as_str()), &texts.words)?;
    }
    line("answers", &all.answers)?;
    line("labels", &all.labels)?;
    line("sizes", &all.sizes)
}

fn rejects(f: &mut Formatter<'_>, stats: &Stats) -> fmt::Result {
    if !stats.rejects.is_empty() {
        writeln!(f)?;
    }
    for kind in &stats.rejects {
        let word = crate::rejects_file::word(&kind.outcome);
        let unit = crate::rejects_file::word(&kind.unit);
        let unit = if kind.count == 1 { unit } else { unit + "s" };
        let code = crate::rejects_file::word(&kind.code);
        writeln!(f, "{word}: {} {unit}, {code}", thousands(kind.count))?;
        let example = &kind.example;
        let line = example.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = format!("{}{line}: {}", example.file, example.message);
        writeln!(f, "  {}", fitted(&place, COLUMNS - 2))?;
    }
    Ok(())
}

/// One character a bin; a bin that is not empty is never blank.
pub(crate) fn bars(histogram: &Histogram) -> String {
    if let [only] = &histogram.bins[..] {
        return format!("all {}", only.label);
    }
    let highest = histogram.bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    let bar = |count: u64| match count {
        0 => ' ',
        _ => BARS[(count as f64 / highest as f64 * 8.0).ceil() as usize - 1],
    };
    histogram.bins.iter().map(|bin| bar(bin.count)).collect()
}

/// As many of the most frequent names as there is room for.
fn most(frequencies: &Frequencies, columns: usize) -> String {
    let mut text = String::new();
    for entry in &frequencies.most {
        let name = if entry.name.trim().is_empty() { "(blank)".into() } else { fitted(&entry.name, 24) };
        let item = format!("{name} {}", thousands(entry.count));
        let gap = if text.is_empty() { "" } else { ", " };
        if text.width() + gap.len() + item.width() > columns {
            break;
        }
        text.push_str(gap);
        text.push_str(&item);
    }
    text
}

pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// `text` made safe and cut to `columns`.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let text = safe(text);
    if text.width() <= columns {
        return text;
    }
    let mut cut = String::new();
    let mut width = 0;
    for c in text.chars() {
        width += c.width().unwrap_or(0);
        if width >= columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Text of a data set must not steer the terminal: control characters and the marks that turn the
/// direction of writing are shown as escapes.
fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || steers {
            // Writing into a String cannot fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
