//! Published weights become model folders. `golden/convert` has what PyTorch wrote (`tests/peers/convert.py --golden`): an
//! Oscar+ in a zip archive, a captioner of the first generation in a legacy one, and PyTorch's outputs of both.

#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

mod bad;
mod layouts;
mod mutants;
mod published;
mod tasks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use pretrain::{Conversion, Converted};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// Shape and numbers by name.
type State = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

const WORDS: &str = "bert.embeddings.word_embeddings.weight";
const DECODER: &str = "cls.predictions.decoder.weight";

/// A folder with a source that can be changed.
struct Made {
    folder: tempfile::TempDir,
    state: State,
    config: Value,
}

impl Made {
    /// The golden Oscar+, with its decoder a second time, as published.
    fn plus() -> Self {
        let folder = scratch();
        let to = folder.path().join("first");
        convert(&golden("plus"), &to).unwrap();
        let mut state = read(&to.join("model.safetensors"));
        state.insert(DECODER.to_owned(), state[WORDS].clone());
        let config = fs::read_to_string(golden("plus").join("config.json")).unwrap();
        Self { folder, state, config: serde_json::from_str(&config).unwrap() }
    }

    /// Without these, which is what another kind of model looks like.
    fn without(mut self, prefix: &str) -> Self {
        self.state.retain(|name, _| !name.starts_with(prefix));
        self
    }

    /// One more tensor, of numbers that differ.
    fn with(mut self, name: &str, shape: &[usize]) -> Self {
        let n: usize = shape.iter().product();
        let values = (0..n).map(|i| (i as f32 * 0.37 + name.len() as f32).sin()).collect();
        self.state.insert(name.to_owned(), (shape.to_vec(), values));
        self
    }

    fn says(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the source; a conversion of it.
    fn conversion(&self) -> Conversion {
        let from = self.path("source");
        fs::create_dir_all(&from).unwrap();
        write(&from.join("model.safetensors"), &self.state);
        fs::write(from.join("config.json"), self.config.to_string()).unwrap();
        fs::copy(golden("plus").join("vocab.txt"), from.join("vocab.txt")).unwrap();
        let to = self.path(&format!("made-{}", fs::read_dir(self.folder.path()).unwrap().count()));
        Conversion { from, to, ..Conversion::default() }
    }

    fn convert(&self) -> (Converted, State, Value) {
        done(&self.conversion())
    }

    /// The message of a refusal, which leaves nothing behind.
    fn refused(&self) -> String {
        refused(&self.conversion())
    }
}

fn done(conversion: &Conversion) -> (Converted, State, Value) {
    let told = conversion.run().unwrap();
    let config = fs::read_to_string(told.to.join("config.json")).unwrap();
    (told.clone(), read(&told.to.join("model.safetensors")), serde_json::from_str(&config).unwrap())
}

fn refused(conversion: &Conversion) -> String {
    let message = conversion.run().unwrap_err().to_string();
    assert!(!conversion.to.exists(), "{message}");
    let beside = fs::read_dir(conversion.to.parent().unwrap()).unwrap();
    let mut names = beside.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    assert!(!names.any(|name| name.ends_with(".tmp")), "half a folder is left behind");
    message
}

fn convert(from: &Path, to: &Path) -> pretrain::Result<Converted> {
    Conversion { from: from.to_owned(), to: to.to_owned(), ..Conversion::default() }.run()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/convert").join(name)
}

/// In memory where there is such a place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn read(path: &Path) -> State {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let numbers = tensors.into_iter().map(|(name, tensor)| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (name, (tensor.dims().to_vec(), values))
    });
    numbers.collect()
}

fn write(path: &Path, state: &State) {
    let bytes: BTreeMap<&str, Vec<u8>> = state
        .iter()
        .map(|(name, (_, values))| (name.as_str(), values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = state.iter().map(|(name, (shape, _))| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), &bytes[name.as_str()]).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn renamed(state: &State, change: impl Fn(&str) -> String) -> State {
    state.iter().map(|(name, tensor)| (change(name), tensor.clone())).collect()
}

/// As published: every tensor of the file is told once, used or unused.
fn all_told(told: &Converted, state: &State) {
    let used = told.tensors.iter().filter_map(|tensor| tensor.source.as_deref());
    let mut names: Vec<&str> = used.chain(told.unused.iter().map(|unused| unused.name.as_str())).collect();
    names.sort_unstable();
    assert_eq!(names, state.keys().map(String::as_str).collect::<Vec<_>>());
}

/// The reason that is told of a name.
fn why<'a>(told: &'a [pretrain::Told], name: &str) -> &'a str {
    told.iter().find(|told| told.name == name).map(|told| told.why.as_str()).unwrap_or_else(|| {
        panic!("nothing is told of {name}: {told:?}");
    })
}

/// Config of a linear classifier of so many labels.
fn classified(labels: usize, task: &str) -> Made {
    Made::plus()
        .without("cls.")
        .with("classifier.weight", &[labels, 12])
        .with("classifier.bias", &[labels])
        .says("num_labels", json!(labels))
        .says("finetuning_task", json!(task))
}
