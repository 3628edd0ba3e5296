//! SPICE, by the jar that the user has. (Paper: Anderson et al., arXiv:1607.08822.)

use std::{path::Path, process::Command};

use finetune_metrics::captions::Pair;
use serde_json::{Value, json};

use super::Error;

/// The F score of every image. The jar parses scenes with models beside it and needs `java` in the path.
pub(super) fn spice(jar: &Path, pairs: &[Pair<'_>]) -> Result<Vec<f64>, Error> {
    let failed = |problem: String| Error::Spice { problem };
    let folder = tempfile::tempdir().map_err(|source| failed(source.to_string()))?;
    let (input, output) = (folder.path().join("in.json"), folder.path().join("out.json"));
    let entries: Vec<Value> = pairs
        .iter()
        .map(|pair| json!({ "image_id": pair.id.to_string(), "test": pair.candidate, "refs": pair.references }))
        .collect();
    std::fs::write(&input, Value::from(entries).to_string()).map_err(|source| failed(source.to_string()))?;
    let run = Command::new("java")
        .args(["-jar", "-Xmx8G"])
        .arg(jar)
        .arg(&input)
        .arg("-out")
        .arg(&output)
        .args(["-subset", "-silent"])
        .output()
        .map_err(|source| failed(format!("java does not start ({source})")))?;
    if !run.status.success() {
        let text = String::from_utf8_lossy(&run.stderr);
        return Err(failed(format!("{}: {}", run.status, text.lines().next().unwrap_or_default())));
    }
    let text =
        std::fs::read(&output).map_err(|source| failed(format!("no result was written ({source})")))?;
    let results: Vec<Value> = serde_json::from_slice(&text).map_err(|source| failed(source.to_string()))?;
    if results.len() != pairs.len() {
        return Err(failed(format!("{} results for {} images", results.len(), pairs.len())));
    }
    // Candidate and reference without any scene tuple: not a number there, 0 here.
    Ok(results.iter().map(|result| result["scores"]["All"]["f"].as_f64().unwrap_or(0.0)).collect())
}
