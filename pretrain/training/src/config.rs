//! Settings: one TOML tree, overridden by `key=value`, kept with the run and compared when it is resumed.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Error, Result};

/// Settings of a type together with what is kept of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved<T> {
    /// The settings.
    pub settings: T,
    /// All of them in TOML, defaults included.
    pub text: String,
    /// BLAKE3 of the text.
    pub hash: String,
}

/// The file in a run's folder.
const FILE: &str = "config.toml";

/// Reads `file`, applies `overrides` of the form `section.key=value`, and fills in what is left out.
///
/// A value is TOML (`4`, `0.1`, `true`, `[1, 2]`), or else a word or path as it stands.
///
/// # Errors
/// A file that cannot be read, is no TOML, or has keys that no setting has; an override without `=`.
pub fn load<T: DeserializeOwned + Serialize>(file: &Path, overrides: &[String]) -> Result<Resolved<T>> {
    let text = std::fs::read_to_string(file).map_err(data_specs::Error::io("read", file))?;
    let setting = |problem: String| Error::Setting {
        place: file.display().to_string(),
        problem,
        hint: "docs/training.md lists all settings".to_owned(),
    };
    let mut tree = text.parse::<Table>().map_err(|error| setting(error.to_string()))?;
    overrides.iter().try_for_each(|given| apply(&mut tree, given))?;
    let settings = tree.try_into().map_err(|error: toml::de::Error| setting(error.to_string()))?;
    resolve(settings)
}

/// What is kept of settings that are there already.
///
/// # Errors
/// Settings that TOML cannot hold.
pub fn resolve<T: Serialize>(settings: T) -> Result<Resolved<T>> {
    let text = toml::to_string(&settings).map_err(|error| Error::Setting {
        place: "the settings".to_owned(),
        problem: error.to_string(),
        hint: "please report this".to_owned(),
    })?;
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    Ok(Resolved { settings, text, hash })
}

impl<T> Resolved<T> {
    /// Puts the settings into a run's folder; or, where some are there, requires that they are the same. Keys in `free`
    /// may differ: they change how a run is done, not what comes out.
    ///
    /// # Errors
    /// [`Error::OtherRun`] with every difference.
    pub fn keep_in(&self, run: &Path, free: &[&str]) -> Result<()> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(data_specs::durable::write_durably(&path, self.text.as_bytes(), "config")?);
        }
        let then = std::fs::read_to_string(&path).map_err(data_specs::Error::io("read", &path))?;
        let tree = |text: &str| text.parse::<Table>().unwrap_or_default();
        let mut differences = Vec::new();
        compare("", &Value::Table(tree(&then)), &Value::Table(tree(&self.text)), &mut differences);
        differences.retain(|(key, _)| !free.contains(&key.as_str()));
        if differences.is_empty() {
            return Ok(());
        }
        let differences = differences.into_iter().map(|(_, line)| line).collect();
        Err(Error::OtherRun { run: run.to_owned(), differences })
    }
}

fn apply(tree: &mut Table, given: &str) -> Result<()> {
    let wrong = |problem: String, hint: &str| Error::Setting {
        place: format!("--set {given}"),
        problem,
        hint: hint.to_owned(),
    };
    let (key, text) =
        given.split_once('=').ok_or_else(|| wrong("has no `=`".into(), "write --set section.key=value"))?;
    let value = format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let mut path = key.split('.').peekable();
    let mut at = tree;
    while let Some(part) = path.next() {
        if path.peek().is_none() {
            at.insert(part.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned())));
            break;
        }
        let next = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| {
            wrong(format!("`{part}` is a value, not a section"), "set the value itself, or correct the key")
        })?;
    }
    Ok(())
}

/// `key: then, now` of everything that is not the same.
fn compare(key: &str, then: &Value, now: &Value, differences: &mut Vec<(String, String)>) {
    match (then, now) {
        (Value::Table(then), Value::Table(now)) => {
            let mut keys: Vec<&String> = then.keys().chain(now.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for part in keys {
                let inner = if key.is_empty() { part.clone() } else { format!("{key}.{part}") };
                let absent = Value::String("not set".to_owned());
                let side = |table: &Table| table.get(part).cloned().unwrap_or_else(|| absent.clone());
                compare(&inner, &side(then), &side(now), differences);
            }
        }
        _ if then == now => {}
        _ => differences.push((key.to_owned(), format!("{key}: {then} then, {now} now"))),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        seed: u64,
        data: Data,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Data {
        folder: String,
        #[serde(default = "one")]
        share: f64,
    }

    fn one() -> f64 {
        1.0
    }

    fn loaded(text: &str, overrides: &[&str]) -> Result<Resolved<Settings>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        load(&path, &overrides.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn overrides_defaults_and_what_is_refused() {
        let text = "[data]\nfolder = \"a\"\n";
        let resolved = loaded(text, &["seed=7", "data.folder=/b/c", "data.share=0.5"]).unwrap();
        assert_eq!(resolved.settings, Settings { seed: 7, data: Data { folder: "/b/c".into(), share: 0.5 } });
        assert_eq!(loaded(text, &[]).unwrap().text, "seed = 0\n\n[data]\nfolder = \"a\"\nshare = 1.0\n");
        let refused = [
            (loaded("[data]\nfolder = \"a\"\nspeed = 3\n", &[]), "speed"),
            (loaded("seed = \n", &[]), "run.toml"),
            (loaded(text, &["data.folder.x=1"]), "`folder` is a value, not a section"),
            (loaded(text, &["seed"]), "has no `=`"),
            (loaded(text, &["data.size=3"]), "size"),
        ];
        for (result, part) in refused {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn another_run_is_refused_with_every_difference() {
        let run = tempfile::tempdir().unwrap();
        let text = "[data]\nfolder = \"a\"\n";
        loaded(text, &[]).unwrap().keep_in(run.path(), &[]).unwrap();
        loaded(text, &["seed=0"]).unwrap().keep_in(run.path(), &[]).unwrap();
        let other = loaded(text, &["seed=1", "data.share=0.25"]).unwrap();
        let message = other.keep_in(run.path(), &[]).unwrap_err().to_string();
        assert!(
            message.contains("data.share: 1.0 then, 0.25 now") && message.contains("seed: 0 then, 1 now"),
            "{message}"
        );
        assert!(!message.contains("folder"), "{message}");
        other.keep_in(run.path(), &["seed", "data.share"]).unwrap();
    }
}
