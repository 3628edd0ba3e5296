//! `--set key=value`, and where relative paths start.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::Error;

/// Keys whose values are paths: relative ones in a spec start at the spec's folder, relative ones in
/// an override at the current folder.
const PATH_KEYS: [&str; 10] = [
    "path",
    "yaml",
    "labels",
    "classes",
    "attributes",
    "annotations",
    "ids",
    "weights",
    "pictures",
    "detector",
];
/// `ids` is also the name of a word at the top of the tree.
const NOT_A_PATH: [&str; 1] = ["ids"];

/// Sets one `key=value` of the command line in `tree`, and returns the key without short names.
pub(super) fn apply(
    tree: &mut Table,
    given: &str,
    short: &BTreeMap<String, String>,
    here: &Path,
) -> Result<String, Error> {
    let wrong = |what: String, hint: String| Error::Spec { place: format!("--set {given}"), what, hint };
    let (key, text) =
        given.split_once('=').ok_or_else(|| wrong("has no `=`".into(), "write --set key=value".into()))?;
    let key = short.get(key).map_or(key, String::as_str);
    let path: Vec<&str> = key.split('.').collect();
    let last = *path.last().unwrap_or(&key);
    let is_path = PATH_KEYS.contains(&last) && !(path.len() == 1 && NOT_A_PATH.contains(&last));
    // A path is never anything else, whatever it looks like; other values are TOML, or plain words.
    let mut value = match format!("value = {text}").parse::<Table>() {
        Ok(mut table) if !is_path || text.starts_with(['[', '"', '\'']) => {
            table.remove("value").unwrap_or_else(|| Value::String(text.to_string()))
        }
        _ => Value::String(text.to_string()),
    };
    if is_path {
        absolute_value(&mut value, here);
    }
    let mut at = tree;
    for (depth, part) in path[..path.len() - 1].iter().enumerate() {
        let next = at.entry(part.to_string()).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| {
            let parent = path[..=depth].join(".");
            wrong(format!("`{parent}` is a value, not a section"), format!("--set {parent}=... changes it"))
        })?;
    }
    if let Some(Value::Table(section)) = at.get(last)
        && !value.is_table()
    {
        let keys = section.keys().map(|inner| format!("{key}.{inner}")).collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("`{key}` is a section"), format!("set one of its keys: {keys}")));
    }
    at.insert(last.to_string(), value);
    Ok(key.to_string())
}

/// Makes the paths of a spec start at `folder`.
pub(super) fn absolute_paths(tree: &mut Table, folder: &Path, top: bool) {
    for (key, value) in tree.iter_mut() {
        match value {
            _ if key == "set" && top => {}
            Value::Table(inner) => absolute_paths(inner, folder, false),
            Value::Array(items) if items.iter().all(Value::is_table) => {
                items
                    .iter_mut()
                    .filter_map(Value::as_table_mut)
                    .for_each(|item| absolute_paths(item, folder, false));
            }
            value if PATH_KEYS.contains(&key.as_str()) && !(top && NOT_A_PATH.contains(&key.as_str())) => {
                absolute_value(value, folder);
            }
            _ => {}
        }
    }
}

fn absolute_value(value: &mut Value, folder: &Path) {
    match value {
        Value::String(path) => *path = folder.join(&*path).to_string_lossy().into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| absolute_value(item, folder)),
        _ => {}
    }
}
