//! Rows as text, for people.

use std::fmt::Write;
use std::path::Path;

use data_specs::{Dataset, Picture, Sample, Tag, Verify};

use crate::Error;

/// Regions, tags and words that are shown before "..." stands for the rest.
const SHOWN: usize = 8;

/// The rows `from..from + count` of the data set in `folder`, whole, each with its number.
///
/// # Errors
/// No manifest, or shards that cannot be read.
pub fn peek(folder: &Path, from: u64, count: u64) -> Result<Vec<(u64, Sample)>, Error> {
    let dataset = Dataset::with(folder, Verify::Never, 1)?;
    let mut rows = Vec::new();
    let mut first = 0;
    for (index, entry) in dataset.manifest().shards.iter().enumerate() {
        let end = first + entry.rows;
        let wanted = from.max(first)..(from + count).min(end);
        if !wanted.is_empty() {
            let shard = dataset.shard(index)?;
            for row in wanted {
                rows.push((row, shard.whole_row((row - first) as usize)?));
            }
        }
        first = end;
    }
    Ok(rows)
}

/// A row as a person reads it.
pub fn row_as_text(number: u64, sample: &Sample, width: u32) -> String {
    let mut out = format!("row {number}  {}  ({}, {})\n", sample.key, sample.source, sample.split);
    for picture in &sample.images {
        write_picture(&mut out, picture, width);
    }
    for text in &sample.texts {
        let mut line = format!("  {:<9} {}", text.kind.as_str(), text.text);
        if !text.answers.is_empty() {
            let answers: Vec<_> = text.answers.iter().map(|answer| answer.text.as_str()).collect();
            let _ = write!(line, "  -> {}", shortened(&answers));
        }
        if let Some(label) = text.label {
            let _ = write!(line, "  -> {label}");
        }
        let _ = writeln!(out, "{line}  [{}]", text.id);
    }
    if let Some(extra) = &sample.extra {
        let _ = writeln!(out, "  extra     {extra}");
    }
    out
}

fn write_picture(out: &mut String, picture: &Picture, width: u32) {
    let size = match (picture.width, picture.height) {
        (Some(width), Some(height)) => format!("{width} x {height}"),
        _ => "size unknown".into(),
    };
    // Writing into a String cannot fail.
    let _ = writeln!(out, "  picture   {}  {size}  {} regions x {width}", picture.image_id, picture.regions);
    if let Some(boxes) = &picture.boxes {
        let corner = |n: &f32| format!("{n:.0}");
        let boxes: Vec<String> = boxes
            .iter()
            .map(|one| format!("({})", one.iter().map(corner).collect::<Vec<_>>().join(" ")))
            .collect();
        let _ = writeln!(out, "  boxes     {}", shortened(&boxes));
    }
    for (name, tags) in [("tags", &picture.tags), ("attrs", &picture.attributes)] {
        if !tags.is_empty() {
            let _ = writeln!(out, "  {name:<9} {}", shortened(&counted(tags)));
        }
    }
}

/// Names in order of first appearance, with their number where there are several.
fn counted(tags: &[Tag]) -> Vec<String> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for tag in tags {
        match names.iter_mut().find(|(name, _)| *name == tag.name) {
            Some((_, count)) => *count += 1,
            None => names.push((&tag.name, 1)),
        }
    }
    names.into_iter().map(|(name, n)| if n > 1 { format!("{name} x{n}") } else { name.to_string() }).collect()
}

fn shortened<T: AsRef<str>>(items: &[T]) -> String {
    let shown: Vec<&str> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let rest = items.len().saturating_sub(SHOWN);
    let rest = if rest > 0 { format!(", ... {rest} more") } else { String::new() };
    shown.join(", ") + &rest
}
