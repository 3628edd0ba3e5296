//! The plan of a build: which rows there will be, where their bytes are, and which task builds which.
//!
//! `_plan/plan.json` is the plan's identity: specs, hashes of inputs, tasks. Its BLAKE3 is the build
//! id, and equal ids mean equal shards. `_plan/inputs.json` says where the inputs are on this machine,
//! `_plan/rows-<task>.jsonl` holds one recipe a row, so that a task needs no index and no other task.

mod index;
mod join;
mod keys;
mod pictures;
mod recipe;
mod tasks;

pub(crate) use join::{count, interrupted, name_of, plan_build};
pub(crate) use keys::Ids;
pub(crate) use recipe::{RowRecipe, TextRecipe, read_recipes};

use std::path::{Path, PathBuf};

use data_specs::{Account, CorpusSpec, RejectsEntry, canonical_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;
use crate::features::FeatureLayout;
use crate::inputs::{FolderStamp, Input, InputFile};
use crate::output::PLAN;

/// Changed whenever equal inputs and options would give other bytes than before.
pub(crate) const ENGINE_VERSION: u32 = 1;

/// A whole plan, as it lies in `_plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// See [`ENGINE_VERSION`].
    pub engine_version: u32,
    /// The spec with all overrides.
    pub spec: CorpusSpec,
    /// What all feature blocks have in common.
    pub layout: FeatureLayout,
    /// Hash and size of every input, in the order of their indices.
    pub inputs: Vec<InputIdentity>,
    /// The tasks; task i writes shard i.
    pub tasks: Vec<Task>,
    /// Rows and texts that planning already sent elsewhere than to a task.
    pub rows: Account,
    /// As `rows`, for texts.
    pub texts: Account,
    /// Where the plan says what became of them.
    pub rejects: Option<RejectsEntry>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// What of an input enters the build id: not its place, so that data may move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputIdentity {
    /// File name, for messages.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of all bytes.
    pub blake3: String,
}

/// The work for one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Rows to build (some may end as rejects).
    pub rows: u64,
    /// Texts that belong to them.
    pub texts: u64,
    /// Bytes of features, about.
    pub bytes: u64,
    /// BLAKE3 of the task's recipes.
    pub recipes: String,
}

/// The spec and the inputs as they were on this machine; lets a second run skip the scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanInputs {
    pub(crate) spec: CorpusSpec,
    pub(crate) inputs: Vec<Input>,
    /// Optional files that were looked for and not found.
    pub(crate) absent: Vec<PathBuf>,
    /// Folders whose listing decided which pictures there are.
    pub(crate) folders: Vec<FolderStamp>,
}

impl Plan {
    /// The identity of the build: BLAKE3 of the canonical plan, hexadecimal.
    pub fn build_id(&self) -> String {
        blake3::hash(canonical_json(&self.identity()).as_bytes()).to_hex().to_string()
    }

    /// The part of the build id that names temporary files.
    pub(crate) fn owner(&self) -> String {
        self.build_id()[..8].to_string()
    }

    /// What decides the bytes of the shards.
    fn identity(&self) -> Value {
        let mut identity = serde_json::to_value(self).expect("a plan has only plain fields");
        identity["spec"] = spec_identity(&self.spec);
        identity
    }

    /// Reads the plan of the data set in `folder`.
    pub(crate) fn load(folder: &Path) -> Result<Plan, Error> {
        load_json(&folder.join(PLAN).join("plan.json"))
    }

    /// The lines in which `other` differs: key, this plan's value, the other's.
    pub(crate) fn differences(&self, other: &Plan) -> Vec<String> {
        let mut lines = Vec::new();
        compare("", &self.identity(), &other.identity(), &mut lines);
        lines
    }

    /// Rows in all tasks.
    pub fn task_rows(&self) -> u64 {
        self.tasks.iter().map(|task| task.rows).sum()
    }

    /// Feature bytes in all tasks, about.
    pub fn task_bytes(&self) -> u64 {
        self.tasks.iter().map(|task| task.bytes).sum()
    }

    /// Where the recipes of `task` lie in the folder of a plan.
    pub(crate) fn recipes_path(plan_folder: &Path, task: usize) -> PathBuf {
        plan_folder.join(format!("rows-{task:05}.jsonl"))
    }
}

impl PlanInputs {
    pub(crate) fn load(folder: &Path) -> Result<PlanInputs, Error> {
        load_json(&folder.join(PLAN).join("inputs.json"))
    }

    /// Opens every input, each of which must still be, by size and time, the one that was planned.
    ///
    /// # Errors
    /// An input that changed, or an optional file that has appeared: rows built before it would differ
    /// from rows built with it.
    pub(crate) fn open(&self) -> Result<Vec<InputFile>, Error> {
        if let Some(path) = self.absent.iter().find(|path| path.exists()) {
            return Err(Error::InputChanged { path: path.clone(), what: "it was not there".into() });
        }
        self.inputs.iter().map(|input| InputFile::open_planned(&input.path, &input.stamp)).collect()
    }

    /// Whether a plan made now would find what this one found, as far as sizes and times tell. A folder
    /// of texts may have got another file, so it is always looked through again.
    pub(crate) fn are_unchanged(&self) -> bool {
        let as_before = |folder: &FolderStamp| FolderStamp::of(&folder.path).is_ok_and(|now| now == *folder);
        self.open().is_ok()
            && self.folders.iter().all(as_before)
            && !self.spec.active_texts().any(|(_, _, path)| path.is_dir())
    }

    /// These inputs with the stamps that `planned` has for files derived while planning, which stay
    /// where the first plan put them.
    pub(crate) fn with_derived_of(mut self, planned: &PlanInputs, plan_folder: &Path) -> PlanInputs {
        for (input, before) in self.inputs.iter_mut().zip(&planned.inputs) {
            if before.path.starts_with(plan_folder) {
                input.clone_from(before);
            }
        }
        self
    }
}

/// The spec without what changes no shard: where files lie, how many rejects are too many, short names.
fn spec_identity(spec: &CorpusSpec) -> Value {
    let mut value = serde_json::to_value(spec).expect("a spec has only plain fields");
    let paths_to_presence = |section: &mut Value, keys: &[&str]| {
        for key in keys {
            if let Some(path) = section.get_mut(*key) {
                *path = json!(!path.is_null());
            }
        }
    };
    for (section, keys) in [
        ("images", &["path"][..]),
        ("boxes", &["path", "attributes", "classes"]),
        ("regions", &["weights", "classes"]),
    ] {
        if value[section].is_object() {
            paths_to_presence(&mut value[section], keys);
        }
    }
    paths_to_presence(
        &mut value["features"],
        &["path", "yaml", "offsets", "labels", "classes", "attributes"],
    );
    for part in value["features"]["parts"].as_array_mut().into_iter().flatten() {
        paths_to_presence(part, &["path", "labels"]);
    }
    for (_, texts) in value["texts"].as_object_mut().into_iter().flatten() {
        paths_to_presence(texts, &["path", "annotations"]);
    }
    value["exclude"]["ids"] = json!(spec.exclude.ids.len());
    value["exclude"]["pictures"] = json!(spec.exclude.pictures.len());
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("set");
        fields.shift_remove("rejects");
        if let Some(texts) = fields.get_mut("texts").and_then(Value::as_object_mut) {
            texts.retain(|_, section| section["path"] == json!(true));
        }
    }
    value
}

fn compare(key: &str, planned: &Value, present: &Value, lines: &mut Vec<String>) {
    let child = |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
    match (planned, present) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                compare(&child(name), value, b.get(name).unwrap_or(&Value::Null), lines);
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                compare(&child(name), &Value::Null, value, lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (one, other)) in a.iter().zip(b).enumerate() {
                compare(&child(&at.to_string()), one, other, lines);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            lines.push(format!("  {key}: {} entries planned, {} now", a.len(), b.len()));
        }
        (a, b) if a != b => lines.push(format!("  {key}: {a} planned, {b} now")),
        _ => {}
    }
}

fn load_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Output {
        path: path.to_path_buf(),
        what: format!("is not a plan of this program: {error}"),
        hint: "build into a new folder".into(),
    })
}
