//! Compositions: one corpus of several, as the papers pre-train on them.
//!
//! A composition is a TOML file with a list `[[sources]]`; each names a corpus spec and says what is set in it. Every
//! source becomes a data set of its own, so that one can be built, resumed, weighted and replaced without the others.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::CorpusSpec;
use crate::Error;

/// A corpus that is made of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Composition {
    /// Name, for people.
    pub name: String,
    /// Its sources, in the order of the file.
    pub sources: Vec<CompositionSource>,
}

/// One source of a composition.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositionSource {
    /// What `--set` calls it, and its folder below the output.
    pub name: String,
    /// Pictures that the paper counts.
    pub pictures: u64,
    /// Texts that the paper counts.
    pub texts: u64,
    /// How to build it; none if the command line says nothing of it.
    pub spec: Option<CorpusSpec>,
    /// What the command line may say: the short names of the source's spec.
    pub settable: Vec<String>,
}

/// What a spec file describes.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// One data set.
    Corpus(Box<CorpusSpec>),
    /// Several.
    Composition(Composition),
}

/// What stands before the key of a `--set` that means every source.
const ALL: &str = "all";

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    sources: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// Relative to the composition.
    spec: PathBuf,
    pictures: u64,
    texts: u64,
    /// As `--set` on the command line, which comes later and wins.
    #[serde(default)]
    set: Vec<String>,
}

impl Spec {
    /// Reads `path`, a corpus spec or a composition, and applies `overrides`: `key=value`, in a composition
    /// `source.key=value`, or `all.key=value` for every source that is given anything of its own.
    ///
    /// # Errors
    /// As [`CorpusSpec::load`]; a source that is not in the list.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Spec, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let is_composition =
            text.parse::<Table>().is_ok_and(|tree| tree.get("sources").is_some_and(Value::is_array));
        if !is_composition {
            return CorpusSpec::load(path, overrides).map(|spec| Spec::Corpus(Box::new(spec)));
        }
        let spec_error = |place: String, what: String, hint: String| Error::Spec { place, what, hint };
        let place = path.display().to_string();
        let file: File = toml::from_str(&text).map_err(|error| {
            let hint =
                "a source has name, spec, pictures, texts and perhaps set: docs/corpora.md".to_string();
            spec_error(place.clone(), error.to_string().trim_end().to_string(), hint)
        })?;
        let names: Vec<&str> = file.sources.iter().map(|source| source.name.as_str()).collect();
        for (at, name) in names.iter().enumerate() {
            let plain =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if *name == ALL || !plain || names[..at].contains(name) {
                let what = format!("`{name}` cannot be the name of a source");
                let hint = format!("use letters, digits and `-`, each name once, and not `{ALL}`");
                return Err(spec_error(place, what, hint));
            }
        }
        for given in overrides {
            let source = given.split(['.', '=']).next().unwrap_or_default();
            if source != ALL && !names.contains(&source) {
                return Err(spec_error(
                    format!("--set {given}"),
                    format!("does not begin with a source of {place}"),
                    format!("write SOURCE.key=value with one of: {ALL}, {}", names.join(", ")),
                ));
            }
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let sources = file.sources.into_iter().map(|entry| entry.load(folder, overrides));
        Ok(Spec::Composition(Composition { name: file.name, sources: sources.collect::<Result<_, _>>()? }))
    }
}

impl Entry {
    fn load(self, folder: &Path, overrides: &[String]) -> Result<CompositionSource, Error> {
        let Entry { name, spec, pictures, texts, set } = self;
        let path = folder.join(spec);
        let of = |source: &str| {
            let start = format!("{source}.");
            overrides
                .iter()
                .filter_map(move |given| given.strip_prefix(&start).map(str::to_string))
                .collect::<Vec<_>>()
        };
        let own = of(&name);
        let settable = CorpusSpec::load(&path, &set)?.set.into_keys().collect();
        let spec = if own.is_empty() {
            None
        } else {
            let set: Vec<String> = set.into_iter().chain(of(ALL)).chain(own).collect();
            Some(CorpusSpec::load(&path, &set)?)
        };
        Ok(CompositionSource { name, pictures, texts, spec, settable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        name = "both"
        [[sources]]
        name = "one"
        spec = "corpus.toml"
        pictures = 10
        texts = 50
        set = ["split=val", "shard.rows=3"]
        [[sources]]
        name = "two"
        spec = "corpus.toml"
        pictures = 7
        texts = 7
    "#;
    const CORPUS: &str = r#"
        name = "corpus"
        source = "x"
        split = "train"
        [features]
        format = "bottomup-tsv"
        [set]
        features = "features.path"
    "#;

    fn load(file: &str, set: &[&str]) -> Result<Spec, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("corpus.toml"), CORPUS).unwrap();
        let path = folder.path().join("both.toml");
        std::fs::write(&path, file).unwrap();
        let set: Vec<String> = set.iter().map(|given| given.to_string()).collect();
        Spec::load(&path, &set).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_that_is_given_something_is_built_with_its_own_and_the_common_keys() {
        let set = ["one.features=/f.tsv", "all.features.dtype=f16", "one.shard.rows=5"];
        let Spec::Composition(both) = load(FILE, &set).unwrap() else { panic!() };
        let spec = both.sources[0].spec.as_ref().unwrap();
        assert_eq!((spec.split.as_str(), spec.shard.rows), ("val", Some(5)));
        assert_eq!(spec.features.dtype, crate::FeatureType::F16);
        assert!(both.sources[1].spec.is_none());
        assert_eq!(both.sources[1].settable, ["features"]);
        assert!(matches!(load(CORPUS, &["features=/f.tsv"]).unwrap(), Spec::Corpus(_)));
    }

    #[test]
    fn mistakes_are_named() {
        for (file, set, words) in [
            (FILE, "three.features=x", "one of: all, one, two"),
            (FILE, "one.shards=3", "unknown field `shards`"),
            (&FILE.replace("\"two\"", "\"one\""), "one.features=x", "`one` cannot be the name"),
            (&FILE.replace("\"two\"", "\"all\""), "one.features=x", "`all` cannot be the name"),
            (&FILE.replace("texts = 7", "text = 7"), "one.features=x", "unknown field `text`"),
            (&FILE.replace("corpus.toml", "none.toml"), "one.features=x", "none.toml"),
        ] {
            let said = load(file, &[set]).unwrap_err();
            assert!(said.contains(words), "{set}: {said}");
        }
    }
}
