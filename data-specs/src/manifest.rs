//! The manifest: the list of shards that make a data set, with their hashes and the build's accounts.
//!
//! Readers believe the manifest of the highest version and nothing else in the folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{CommitPhase, PendingFile};
use crate::{Error, FeatureType};

/// Version of the row layout that this crate reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// A finished state of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the rows; see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Number of this state: 0 for the build, one more for each `retry`.
    pub version: u32,
    /// BLAKE3 of the plan: equal plans give equal shards.
    pub build_id: String,
    /// Name of the corpus spec.
    pub corpus: String,
    /// How features are stored.
    pub features: FeatureInfo,
    /// What computed them; none where they were imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<Computed>,
    /// The shards in reading order.
    pub shards: Vec<ShardEntry>,
    /// Files that tell what became of every row that is in no shard.
    pub rejects: Vec<RejectsEntry>,
    /// The accounts of the rows.
    pub rows: Account,
    /// The accounts of the texts.
    pub texts: Account,
    /// What the build found worth telling.
    pub warnings: Vec<String>,
}

/// The numbers in a feature block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureInfo {
    /// How each number is stored.
    pub dtype: FeatureType,
    /// Numbers a region (D).
    pub width: u32,
}

/// The network behind computed features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// Where regions come from: `boxes`, `crops`, `grid`, `detector`.
    pub provider: String,
    /// The network, by timm's name, and whose conventions its weights follow.
    pub backbone: String,
    /// BLAKE3 of the weights' file, or `untrained, seed N`; of a detector, that of all it is.
    pub weights: String,
    /// The instructions that computed: other ones round otherwise.
    pub instructions: String,
    /// The numbers that the network computed with, where they are not f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Pixels of what the network saw: of the short side, of the long one at most; of crops, both sides.
    pub sides: [u32; 2],
    /// How a detector chose its regions: thinning out, thresholds, counts, which boxes; canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// File name within the data set.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Texts in all rows.
    pub texts: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, in hexadecimal.
    pub blake3: String,
}

/// One file of rejects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectsEntry {
    /// File name within the data set (`rejects/...`).
    pub name: String,
    /// Entries.
    pub entries: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, in hexadecimal.
    pub blake3: String,
}

/// Where units went: `read = written + rejected + deduplicated + filtered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Found in the inputs.
    pub read: u64,
    /// In a shard.
    pub written: u64,
    /// Unusable.
    pub rejected: u64,
    /// Equal to one that is written.
    pub deduplicated: u64,
    /// Left out because the spec says so.
    pub filtered: u64,
}

impl Account {
    /// Whether every unit that was read has exactly one end.
    pub fn balances(&self) -> bool {
        self.read == self.written + self.rejected + self.deduplicated + self.filtered
    }
}

impl std::ops::AddAssign for Account {
    fn add_assign(&mut self, other: Account) {
        self.read += other.read;
        self.written += other.written;
        self.rejected += other.rejected;
        self.deduplicated += other.deduplicated;
        self.filtered += other.filtered;
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Account { read, written, rejected, deduplicated, filtered } = self;
        write!(
            f,
            "{read} read = {written} written + {rejected} rejected + {deduplicated} deduplicated + {filtered} filtered"
        )
    }
}

impl Manifest {
    /// Reads the manifest of the highest version in `folder`.
    ///
    /// # Errors
    /// No manifest, a damaged one, or one of another schema version.
    pub fn latest(folder: &Path) -> Result<Manifest, Error> {
        let highest = versions(folder)?.into_iter().max();
        let version = highest.ok_or_else(|| Error::NoManifest { path: folder.to_path_buf() })?;
        let path = manifest_path(folder, version);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let damaged = |what: String| Error::Damaged {
            path: path.clone(),
            what,
            hint: "a manifest is never edited; restore it, or build again into a new folder",
        };
        // The schema version is looked at first: another version may have other fields.
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let found = value.get("schema_version").and_then(serde_json::Value::as_u64);
        if found != Some(u64::from(SCHEMA_VERSION)) {
            return Err(damaged(format!(
                "schema version {} where this program reads {SCHEMA_VERSION}",
                found.map_or("missing".to_string(), |version| version.to_string())
            )));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != version {
            return Err(damaged(format!("is version {} inside", manifest.version)));
        }
        Ok(manifest)
    }

    /// Adds this manifest to `folder`; `false` if its version is already there.
    pub fn commit(&self, folder: &Path, on_phase: &dyn Fn(CommitPhase)) -> Result<bool, Error> {
        let path = manifest_path(folder, self.version);
        let mut file = PendingFile::create(&path, &self.build_id[..8.min(self.build_id.len())])?;
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has only plain fields");
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
        file.commit_new(on_phase)
    }
}

/// Where version `version` of the manifest lies.
pub fn manifest_path(folder: &Path, version: u32) -> PathBuf {
    folder.join(format!("manifest-{version}.json"))
}

fn versions(folder: &Path) -> Result<Vec<u32>, Error> {
    let mut versions = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let name = entry.map_err(Error::io("read", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("manifest-")?.strip_suffix(".json"));
        versions.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: u32) -> Manifest {
        Manifest {
            schema_version: SCHEMA_VERSION,
            version,
            build_id: "0123456789abcdef".into(),
            corpus: "test".into(),
            features: FeatureInfo { dtype: FeatureType::F32, width: 4 },
            computed: None,
            shards: vec![],
            rejects: vec![],
            rows: Account { read: 3, written: 1, rejected: 1, filtered: 1, ..Account::default() },
            texts: Account::default(),
            warnings: vec![],
        }
    }

    #[test]
    fn the_highest_version_is_read_and_none_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::latest(folder.path()), Err(Error::NoManifest { .. })));
        for version in [0, 9, 10] {
            assert!(manifest(version).commit(folder.path(), &|_| {}).unwrap());
        }
        assert!(!manifest(9).commit(folder.path(), &|_| {}).unwrap());
        let latest = Manifest::latest(folder.path()).unwrap();
        assert_eq!(latest, manifest(10));
        assert!(latest.rows.balances());
        assert!(!Account { read: 1, ..Account::default() }.balances());
    }

    #[test]
    fn other_schemas_and_damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = manifest_path(folder.path(), 0);
        for (text, word) in [
            ("{\"schema_version\": 2}", "schema version 2"),
            ("{}", "missing"),
            ("{\"schema_version\": 1}", "missing field"),
            ("{", "EOF"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Manifest::latest(folder.path()).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains("manifest-0.json"), "{message}");
        }
    }
}
