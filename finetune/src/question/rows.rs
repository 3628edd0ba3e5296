//! A data set that lives as long as a question.

use std::path::Path;

use data_specs::{
    Account, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardEntry, ShardWriter,
    Text, TextKind,
};
use finetune_harness::{Error, Result};
use tempfile::TempDir;

/// First part of the keys of rows.
const SOURCE: &str = "asked";
/// Rows of a shard: pictures of a folder are many.
const SHARD_ROWS: u64 = 256;

/// A data set that is being written.
pub(super) struct Rows {
    folder: TempDir,
    width: usize,
    open: Option<(ShardWriter, u64)>,
    shards: Vec<ShardEntry>,
}

/// A data set that was written; dropping it removes it.
pub(super) struct AskedSet {
    folder: TempDir,
}

impl Rows {
    /// Rows whose regions have `width` numbers.
    pub(super) fn new(width: usize) -> Result<Rows> {
        let folder = tempfile::Builder::new().prefix("finetune-question-").tempdir();
        let folder = folder.map_err(data_specs::Error::io("create", &std::env::temp_dir()))?;
        Ok(Rows { folder, width, open: None, shards: Vec::new() })
    }

    /// Adds a row.
    pub(super) fn push(&mut self, sample: Sample) -> Result<()> {
        if self.open.as_ref().is_some_and(|(_, rows)| *rows == SHARD_ROWS) {
            self.close()?;
        }
        let (writer, rows) = match &mut self.open {
            Some(open) => open,
            None => {
                let name = format!("shard-{:05}.parquet", self.shards.len());
                self.open.insert((ShardWriter::create(self.folder.path(), &name, SOURCE)?, 0))
            }
        };
        writer.write(&[sample])?;
        *rows += 1;
        Ok(())
    }

    /// Ends the data set.
    pub(super) fn finish(mut self) -> Result<AskedSet> {
        self.close()?;
        let count = |of: fn(&ShardEntry) -> u64| -> Account {
            let n = self.shards.iter().map(of).sum();
            Account { read: n, written: n, ..Account::default() }
        };
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            version: 0,
            build_id: SOURCE.to_owned(),
            corpus: SOURCE.to_owned(),
            features: FeatureInfo { dtype: FeatureType::F32, width: self.width as u32 },
            computed: None,
            rows: count(|shard| shard.rows),
            texts: count(|shard| shard.texts),
            shards: self.shards,
            rejects: vec![],
            warnings: vec![],
        };
        manifest.commit(self.folder.path(), &|_| {})?;
        Ok(AskedSet { folder: self.folder })
    }

    fn close(&mut self) -> Result<()> {
        if let Some((writer, _)) = self.open.take() {
            self.shards.push(writer.commit(&|_| {})?);
        }
        Ok(())
    }
}

impl AskedSet {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The key of the row of a picture, or of two.
pub(super) fn key(pictures: &[Picture]) -> String {
    let ids: Vec<&str> = pictures.iter().map(|picture| picture.image_id.as_str()).collect();
    format!("{SOURCE}/{}", ids.join("|"))
}

/// A row.
pub(super) fn row(pictures: Vec<Picture>, texts: Vec<Text>) -> Sample {
    let (source, split) = (SOURCE.to_owned(), SOURCE.to_owned());
    Sample { key: key(&pictures), source, split, images: pictures, texts, extra: None }
}

/// A text of which nothing is known but its words.
///
/// # Errors
/// No words.
pub(super) fn text(id: String, kind: TextKind, words: &str, key: &str) -> Result<Text> {
    if words.trim().is_empty() {
        return Err(Error::Setting {
            key: key.to_owned(),
            problem: "is empty".to_owned(),
            hint: "write a text".to_owned(),
        });
    }
    Ok(Text { id, kind, text: words.to_owned(), answers: vec![], label: None, extra: None })
}
