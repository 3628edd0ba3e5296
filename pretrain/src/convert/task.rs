//! What a fine-tuned model can be asked: `finetuning.json` and `labels.json`, as `finetune` writes them.

use std::path::Path;

use serde_json::{Value, json};
use torch_files::{Limits, load_pickle};

use super::classifier::Classifier;
use super::config::Config;
use super::heads::Plan;
use super::read_text;
use crate::{Error, Result};

/// The task's name, the files to write, and what is missing before the folder can be asked.
type Described = (Option<String>, Vec<(&'static str, Value)>, Vec<String>);

const TASKS: [&str; 6] = ["captioning", "gqa", "image-retrieval", "nlvr2", "text-retrieval", "vqa"];
const DESCRIPTION: &str = "finetuning.json";
const LABELS: &str = "labels.json";
/// What official files call the two, by number.
const NLVR2_LABELS: [&str; 2] = ["False", "True"];

/// Tells the task by what is asked for, by the config, or by a head that only one task has.
///
/// # Errors
/// A task that is none, a head of another task, labels that are not as many as the head has.
pub(super) fn describe(
    config: &mut Config,
    plan: &Plan,
    asked: Option<&str>,
    labels: Option<&Path>,
) -> Result<Described> {
    let refuse = |problem: String, hint: &str| Error::Setting {
        key: "--task".to_owned(),
        problem,
        hint: hint.to_owned(),
    };
    if let Some(asked) = asked.filter(|asked| !TASKS.contains(asked)) {
        return Err(refuse(format!("is `{asked}`"), &format!("one of {}", TASKS.join(", "))));
    }
    let told = asked.or_else(|| told(config, plan));
    let is_captioner = told == Some("captioning");
    let Some(task) = told.filter(|_| plan.classifier.is_some() || (is_captioner && plan.has_caption_head))
    else {
        if let Some(asked) = asked {
            return Err(refuse(format!("is {asked}, whose head the file does not have"), "leave it out"));
        }
        if labels.is_some() {
            let hint = "name it by --task, or leave --labels out";
            return Err(refuse("is not known, so that labels mean nothing".to_owned(), hint));
        }
        let lacks = plan.classifier.map(|_| {
            format!("{DESCRIPTION}: what the classifier answers is not known: --task NAME --labels FILE")
        });
        return Ok((None, Vec::new(), lacks.into_iter().collect()));
    };
    let (settings, layout) = match (task, plan.classifier) {
        ("captioning", _) => (json!({ "tie_weights": plan.decoder.is_none() }), (70, 50, true)),
        ("image-retrieval" | "text-retrieval", Some(head)) => {
            if head.is_mlp || head.n_labels != 2 || head.n_sequences != 1 {
                let hint = "retrieval has a linear classifier of two labels";
                return Err(refuse(format!("is {task}, the head is {head:?}"), hint));
            }
            // the second generation, whose regions are normalised, reads more of them
            (json!({}), (70, if config.model.has_region_norm() { 70 } else { 50 }, true))
        }
        ("nlvr2", Some(head)) => {
            let pair = head.n_sequences == 2;
            let head = settings_of(config, head, "ce");
            (json!({ "head": head, "use_pair": pair }), (55, if pair { 40 } else { 80 }, false))
        }
        ("vqa", Some(head)) => (json!({ "head": settings_of(config, head, "bce") }), (128, 50, true)),
        (_, Some(head)) => (json!({ "head": settings_of(config, head, "ce") }), (165, 45, true)),
        (_, None) => return Err(refuse(format!("is {task}, whose head is not there"), "leave it out")),
    };
    let (max_tokens, max_regions, tags) = layout;
    let layout = json!({ "max_tokens": max_tokens, "max_regions": max_regions, "tags": tags });
    let description = json!({ "task": task, "settings": settings, "layout": layout });
    let mut files = vec![(DESCRIPTION, description)];
    let mut lacks = Vec::new();
    let n_labels = plan.classifier.map_or(0, |head| head.n_labels);
    match (task, labels) {
        ("vqa" | "gqa", Some(path)) => files.push((LABELS, json!(read_labels(path, n_labels)?))),
        ("vqa" | "gqa", None) => lacks.push(format!(
            "{LABELS}: the {n_labels} answers by number are not in the weights: --labels trainval_label2ans.pkl"
        )),
        (_, Some(_)) => {
            return Err(Error::Setting {
                key: "--labels".to_owned(),
                problem: format!("is given, {task} has no list of answers"),
                hint: "leave it out".to_owned(),
            });
        }
        ("nlvr2", None) if n_labels == 2 => files.push((LABELS, json!(NLVR2_LABELS))),
        ("nlvr2", None) => {
            return Err(refuse(format!("is nlvr2, the head has {n_labels} labels"), "nlvr2 has two labels"));
        }
        _ => {}
    }
    config.set("finetuning_task", json!(task), "its name in commands");
    Ok((Some(task.to_owned()), files, lacks))
}

/// What the config or the head itself tells.
fn told(config: &Config, plan: &Plan) -> Option<&'static str> {
    let task = config.word("finetuning_task").unwrap_or_default();
    let of_config = match task {
        "ir" => Some("text-retrieval"),
        _ if task.contains("caption") => Some("captioning"),
        _ if task.starts_with("vqa") => Some("vqa"),
        _ if task.starts_with("gqa") => Some("gqa"),
        _ if task.starts_with("nlvr") => Some("nlvr2"),
        _ => TASKS.into_iter().find(|known| *known == task),
    };
    // nothing else reads two pictures apart
    of_config.or_else(|| plan.classifier.filter(|head| head.n_sequences == 2).map(|_| "nlvr2"))
}

fn settings_of(config: &Config, head: Classifier, published_loss: &str) -> Value {
    let loss = match config.word("loss_type") {
        Some(loss @ ("bce" | "kl" | "ce")) => loss,
        _ => published_loss,
    };
    if head.is_mlp {
        json!({ "classifier": "mlp", "cls_hidden_scale": head.scale, "use_layernorm": head.has_norm, "loss_type": loss })
    } else {
        json!({ "classifier": "linear", "loss_type": loss })
    }
}

/// A list of answers, a map of answer to number, or of number to answer; JSON or pickled.
fn read_labels(path: &Path, wanted: usize) -> Result<Vec<String>> {
    let refuse = |problem: String| Error::Unfit {
        path: path.to_owned(),
        field: "labels".to_owned(),
        problem,
        hint:
            "it is a list of answers, or a map between answers and their numbers, as long as the classifier"
                .to_owned(),
    };
    let pairs: Vec<(String, usize)> = if path.extension().is_some_and(|extension| extension == "json") {
        match serde_json::from_str(&read_text(path)?).map_err(|error| refuse(error.to_string()))? {
            Value::Array(answers) => answers
                .into_iter()
                .enumerate()
                .map(|(number, answer)| Some((answer.as_str()?.to_owned(), number)))
                .collect::<Option<_>>(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| match value {
                    Value::String(answer) => Some((answer, key.parse().ok()?)),
                    number => Some((key, number.as_u64()? as usize)),
                })
                .collect(),
            _ => None,
        }
    } else {
        let read = load_pickle(path, &Limits::default()).map_err(|source| Error::Archive {
            source: Box::new(source),
            hint: "nothing was run; labels are plain lists and maps, or write them as .json".to_owned(),
        })?;
        match (read.as_items(), read.as_dict()) {
            (Some(answers), _) => answers
                .iter()
                .enumerate()
                .map(|(number, answer)| Some((answer.as_str()?.to_owned(), number)))
                .collect::<Option<_>>(),
            (None, Some(map)) => map
                .entries
                .iter()
                .map(|(key, value)| match (key.as_str(), value.as_str()) {
                    (Some(answer), None) => Some((answer.to_owned(), value.as_int()?.try_into().ok()?)),
                    (None, Some(answer)) => Some((answer.to_owned(), key.as_int()?.try_into().ok()?)),
                    _ => None,
                })
                .collect(),
            _ => None,
        }
    }
    .ok_or_else(|| refuse("are neither words nor numbers of words".to_owned()))?;
    if pairs.len() != wanted {
        return Err(refuse(format!("are {}, the classifier has {wanted}", pairs.len())));
    }
    let mut labels: Vec<Option<String>> = vec![None; wanted];
    for (answer, number) in pairs {
        match labels.get_mut(number) {
            Some(place @ None) => *place = Some(answer),
            _ => {
                return Err(refuse(format!(
                    "give {number} to `{answer}`, which is taken or beyond the last"
                )));
            }
        }
    }
    Ok(labels.into_iter().map(|label| label.expect("as many labels as places, none taken twice")).collect())
}
