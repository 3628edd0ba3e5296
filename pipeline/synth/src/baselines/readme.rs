//! The table of baselines, and the README that it goes into.

use std::fmt;
use std::io::Write;
use std::path::Path;

use super::Baselines;
use crate::Error;

const HEADING: &str = "## Baselines\n";

/// Writes the table into the README of the corpus in `folder`.
///
/// # Errors
/// A README that is missing or cannot be written.
pub fn record(folder: &Path, baselines: &Baselines) -> Result<(), Error> {
    let path = folder.join("README.md");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let kept = text.split(HEADING).next().unwrap_or_default();
    let text = format!("{kept}{HEADING}\n{baselines}");
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("create a file in", folder))?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable).map_err(Error::io("open to readers", &path))?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
    file.as_file().sync_all().map_err(Error::io("sync", &path))?;
    file.persist(&path).map_err(|error| Error::io("rename to", &path)(error.error))?;
    Ok(())
}

impl fmt::Display for Baselines {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        writeln!(out, "Accuracy without looking; learned from the train split, asked of both others.\n")?;
        writeln!(out, "| task | learned from | asked | most frequent answer | best model |")?;
        writeln!(out, "|---|---|---|---|---|")?;
        for words in &self.words {
            let (majority, best) = (percent(words.majority), percent(words.text_only));
            writeln!(
                out,
                "| {}, words alone | {} | {} | {majority} | {best} |",
                words.task, words.train, words.asked
            )?;
        }
        let pixels = &self.pixels;
        let (majority, best) = (percent(pixels.majority), percent(pixels.linear));
        writeln!(
            out,
            "| crops of {} classes, linear in pixels | {} | {} | {majority} | {best} |",
            pixels.classes, pixels.train, pixels.asked
        )?;
        writeln!(out, "\nRetrieval, recall at 1, 5, 10 in per cent; five captions a picture.\n")?;
        writeln!(out, "| the score sees | pictures | to text | chance | to picture | chance |")?;
        writeln!(out, "|---|---|---|---|---|---|")?;
        let three = |recalls: [f64; 3]| recalls.map(|recall| format!("{:.1}", 100.0 * recall)).join(" / ");
        for one in &self.retrieval {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                one.scorer,
                one.pictures,
                three(one.to_text),
                three(one.chance_to_text),
                three(one.to_picture),
                three(one.chance_to_picture)
            )?;
        }
        let captions = &self.captions;
        writeln!(
            out,
            "\n{} training captions: {} words, {} different ones (type/token {:.4}), {:.1} a caption; {} of the \
             captions are unlike every other.",
            captions.captions,
            captions.tokens,
            captions.types,
            captions.types as f64 / captions.tokens.max(1) as f64,
            captions.length,
            percent(captions.unique)
        )
    }
}
