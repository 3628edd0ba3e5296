//! A detector on a disk: `detector.toml`, `model.safetensors`, `classes.txt` and, with a branch for them, `attributes.txt`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use data_specs::durable::sync_folder;
use finetune_backbones::TensorFile;

use super::boxes::Convention;
use super::detect::Detector;
use super::settings::DetectorSettings;
use super::tensors::{self, Names};
use crate::Error;

const SETTINGS: &str = "detector.toml";
const WEIGHTS: &str = "model.safetensors";
const CLASSES: &str = "classes.txt";
const ATTRIBUTES: &str = "attributes.txt";
/// What the attributes' branch of VinVL's files holds a second time.
const SHARED_HEAD: &str = "attribute.feature_extractor.";
const HEAD: &str = "roi_heads.box.feature_extractor.";
/// A table of anchors that maskrcnn-benchmark writes beside the weights.
const CELL_ANCHORS: &str = "rpn.anchor_generator.cell_anchors.";

impl Detector {
    /// Opens a detector's folder.
    ///
    /// # Errors
    /// Files that cannot be read; settings that cannot be meant; tensors that are missing, surplus or of another shape,
    /// all named in one error; another number of classes than names.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(SETTINGS);
        let settings: DetectorSettings = toml::from_str(&text(&path)?)
            .map_err(|error| Error::Detector { path, problem: error.to_string() })?;
        let classes = names(&folder.join(CLASSES))?;
        let attributes = match settings.attributes {
            Some(_) => names(&folder.join(ATTRIBUTES))?,
            None => Vec::new(),
        };
        Self::import(settings, [classes, attributes], &folder.join(WEIGHTS))
    }

    /// The files of a detector's folder: all that it is made of.
    pub fn files(folder: &Path) -> Vec<PathBuf> {
        let attributes = Some(ATTRIBUTES).filter(|name| folder.join(name).is_file());
        [SETTINGS, WEIGHTS, CLASSES].into_iter().chain(attributes).map(|name| folder.join(name)).collect()
    }

    /// A detector of released weights: what maskrcnn-benchmark and VinVL's extractor save (.pth), or .safetensors of the
    /// same names.
    ///
    /// What such files hold beside weights is checked: anchors have to be those of the settings, and the last stage of the
    /// attributes' branch that of the boxes.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn import(
        settings: DetectorSettings,
        [classes, attributes]: [Vec<String>; 2],
        weights: &Path,
    ) -> Result<Self, Error> {
        let architecture = settings.validate()?;
        let file = TensorFile::open(weights)?;
        let refuse = |problem: String| Err(Error::Detector { path: weights.to_owned(), problem });
        let mut found = file.shapes();
        let numbered = [
            ("roi_heads.box.predictor.cls_score.bias", "classes", classes.len(), CLASSES),
            ("attribute.predictor.attr_score.bias", "attributes", attributes.len(), ATTRIBUTES),
        ];
        for (tensor, what, expected, list) in numbered {
            let scores = found.get(tensor).and_then(|shape| shape.first().copied());
            if let Some(scores) = scores.filter(|scores| *scores != expected + 1)
                && (what == "classes" || settings.attributes.is_some())
            {
                let (held, more) =
                    (scores.saturating_sub(1), if what == "classes" { "background" } else { "none" });
                return refuse(format!(
                    "{tensor} is for {held} {what} and {more}, the list of names has {expected}; give the {held} names of \
                     these weights ({list}), or weights for {expected}"
                ));
            }
        }
        let expected = tensors::all(
            &settings,
            architecture,
            Names { classes: classes.len(), attributes: attributes.len() },
        );
        let (mut missing, mut misshaped) = (Vec::new(), Vec::new());
        for tensor in &expected {
            match found.remove(&tensor.name) {
                None => missing.push(tensor.name.clone()),
                Some(shape) if shape != tensor.shape => {
                    misshaped.push(format!("{} is {shape:?}, not {:?}", tensor.name, tensor.shape));
                }
                Some(_) => {}
            }
        }
        let besides: Vec<String> = found.keys().cloned().collect();
        let (besides, surplus): (Vec<_>, Vec<_>) = besides
            .into_iter()
            .partition(|name| name.starts_with(SHARED_HEAD) || name.starts_with(CELL_ANCHORS));
        if !(missing.is_empty() && misshaped.is_empty() && surplus.is_empty()) {
            let kinds = [("missing", missing), ("of another shape", misshaped), ("without a place", surplus)];
            let kinds = kinds.iter().filter(|(_, names)| !names.is_empty());
            let kinds: Vec<String> = kinds.map(|(kind, names)| shown(kind, names)).collect();
            return refuse(format!("does not hold a detector on {architecture}: {}", kinds.join("; ")));
        }
        let weights_by_name: BTreeMap<String, Tensor> = expected
            .iter()
            .map(|tensor| Ok((tensor.name.clone(), file.tensor(&tensor.name)?)))
            .collect::<Result<_, Error>>()?;
        for name in besides {
            let values = file.tensor(&name)?;
            if let Some(rest) = name.strip_prefix(SHARED_HEAD) {
                let own = weights_by_name.get(&format!("{HEAD}{rest}"));
                if own.is_none_or(|own| !are_equal(own, &values)) {
                    return refuse(format!(
                        "{name} is not the last stage of the boxes; a branch for attributes with layers of its own is not known here"
                    ));
                }
            } else {
                let anchors = settings.anchors.of_a_cell(Convention::Legacy);
                let wanted = Tensor::from_slice(anchors.as_flattened(), (anchors.len(), 4), values.device())?;
                if settings.convention != Convention::Legacy || !are_equal(&wanted, &values) {
                    return refuse(format!(
                        "{name} holds other anchors than the settings; set anchors and convention to those of these weights"
                    ));
                }
            }
        }
        Self::new(settings, [classes, attributes], weights_by_name)
    }

    /// Writes the folder, whole or not at all; it must not be there.
    ///
    /// # Errors
    /// A folder that is there; the system's.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        if folder.exists() {
            let problem = "is there already; name a folder that is not".to_owned();
            return Err(Error::Detector { path: folder.to_owned(), problem });
        }
        let parent =
            folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(data_specs::Error::io("create", parent))?;
        let pending = tempfile::Builder::new()
            .prefix(".detector-")
            .tempdir_in(parent)
            .map_err(data_specs::Error::io("create a folder in", parent))?;
        let settings = toml::to_string(self.settings())
            .map_err(|error| Error::Detector { path: folder.join(SETTINGS), problem: error.to_string() })?;
        let lines = |names: &[String]| names.iter().map(|name| format!("{name}\n")).collect::<String>();
        let mut texts = vec![(SETTINGS, settings), (CLASSES, lines(self.class_names()))];
        if self.settings().attributes.is_some() {
            texts.push((ATTRIBUTES, lines(self.attribute_names())));
        }
        for (name, text) in texts {
            data_specs::durable::write_durably(&pending.path().join(name), text.as_bytes(), "detector")?;
        }
        let path = pending.path().join(WEIGHTS);
        safetensors::serialize_to_file(self.weights(), None, &path)
            .map_err(|error| Error::Detector { path: path.clone(), problem: error.to_string() })?;
        fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(data_specs::Error::io("fsync", &path))?;
        sync_folder(pending.path())?;
        let pending = pending.keep();
        fs::rename(&pending, folder).map_err(data_specs::Error::io("rename to", folder))?;
        Ok(sync_folder(parent)?)
    }
}

/// Names, one a line; empty lines at the end do not count.
///
/// # Errors
/// A file that cannot be read; an empty line between names, or no names.
pub fn names(path: &Path) -> Result<Vec<String>, Error> {
    let names: Vec<String> = text(path)?.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    let refuse = |problem: String| Err(Error::Detector { path: path.to_owned(), problem });
    if names.is_empty() {
        return refuse("holds no names; write one a line".to_owned());
    }
    match names.iter().position(String::is_empty) {
        Some(line) => refuse(format!("line {} is empty; write one name a line", line + 1)),
        None => Ok(names),
    }
}

fn text(path: &Path) -> Result<String, Error> {
    Ok(fs::read_to_string(path).map_err(data_specs::Error::io("read", path))?)
}

fn are_equal(a: &Tensor, b: &Tensor) -> bool {
    let values = |tensor: &Tensor| tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>()).ok();
    a.dims() == b.dims() && values(a).is_some() && values(a) == values(b)
}

fn shown(kind: &str, names: &[String]) -> String {
    const SHOWN: usize = 20;
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{} {kind}: {}{more}", names.len(), names[..names.len().min(SHOWN)].join(", "))
}
