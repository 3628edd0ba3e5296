//! The classifier of a task, as its tensors say it, beside what the config says.

use serde_json::{Value, json};

use super::config::Config;
use super::names::Named;
use super::source::Source;
use crate::model::Shapes;
use crate::{Error, Result};

pub(super) const CLASSIFIER: &str = "classifier";

/// Form and sizes of a classifier, as its tensors say them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Classifier {
    pub(super) is_mlp: bool,
    pub(super) has_norm: bool,
    /// Hidden widths that it reads: pictures of a sample.
    pub(super) n_sequences: usize,
    /// Hidden widths inside.
    pub(super) scale: usize,
    pub(super) n_labels: usize,
}

impl Classifier {
    /// Reads the form off the tensors.
    ///
    /// # Errors
    /// A form that no task has, or another one than the config's.
    pub(super) fn of(source: &Source, named: &Named, config: &Config) -> Result<Self> {
        let h = config.model.hidden_size;
        let refuse = |problem: String| Error::Unfit {
            path: source.path().to_owned(),
            field: CLASSIFIER.to_owned(),
            problem,
            hint: format!("correct {}, or leave it out by --head {CLASSIFIER}=fresh", config.path.display()),
        };
        let found = |part: &str| named.shapes.get(&format!("classifier.{part}weight")).map(Vec::as_slice);
        let (is_mlp, has_norm, inner, width, n_labels) =
            match (found(""), found("0."), found("2."), found("3.")) {
                (Some(&[labels, width]), None, None, None) => (false, false, 0, width, labels),
                (None, Some(&[inner, width]), Some(&[labels, _]), None) => {
                    (true, false, inner, width, labels)
                }
                (None, Some(&[inner, width]), Some(&[_]), Some(&[labels, _])) => {
                    (true, true, inner, width, labels)
                }
                _ => {
                    let names = named.of("classifier.").into_iter();
                    let shown: Vec<String> =
                        names.map(|name| format!("{name} {:?}", named.shapes[&name])).collect();
                    return Err(refuse(format!("is of no known form: {}", shown.join(", "))));
                }
            };
        let head = Self { is_mlp, has_norm, n_sequences: width / h, scale: inner / h, n_labels };
        if !(1..=2).contains(&head.n_sequences) {
            return Err(refuse(format!("reads {width} numbers, not one or two vectors of {h}")));
        }
        if n_labels == 0 || (is_mlp && head.scale == 0) {
            return Err(refuse(format!("has {n_labels} labels and {inner} numbers inside")));
        }
        let form = head.form();
        let number = |key: &str| config.said(key).and_then(Value::as_u64);
        if let Some(said) = config.word("classifier").filter(|said| *said != form) {
            return Err(refuse(format!("is {form}, `classifier` in the config is {said}")));
        }
        if let Some(said) = number("num_labels").filter(|said| *said != n_labels as u64) {
            return Err(refuse(format!("has {n_labels} rows, num_labels in the config is {said}")));
        }
        // published commands give one to the linear form, too, where it means nothing
        let scale = number("cls_hidden_scale").filter(|said| is_mlp && *said != head.scale as u64);
        if let Some(said) = scale {
            return Err(refuse(format!(
                "is {} hidden widths inside, cls_hidden_scale is {said}",
                head.scale
            )));
        }
        Ok(head)
    }

    /// Exactly its tensors.
    pub(super) fn shapes(self, h: usize) -> Shapes {
        let (inputs, inner) = (self.n_sequences * h, self.scale * h);
        let mut shapes = Shapes::default();
        if !self.is_mlp {
            shapes.linear(CLASSIFIER, self.n_labels, inputs);
            return shapes;
        }
        shapes.linear("classifier.0", inner, inputs);
        if self.has_norm {
            shapes.norm("classifier.2", inner);
        }
        shapes.linear(if self.has_norm { "classifier.3" } else { "classifier.2" }, self.n_labels, inner);
        shapes
    }

    /// Into the config, as a fine-tuning writes it.
    pub(super) fn write_down(self, config: &mut Config) {
        let why = "of the classifier's tensors";
        config.set("classifier", json!(self.form()), why);
        config.set("num_labels", json!(self.n_labels), why);
        config.set("num_choice", json!(self.n_sequences), why);
        if self.is_mlp {
            config.set("cls_hidden_scale", json!(self.scale), why);
            config.set("use_layernorm", json!(self.has_norm), why);
        }
    }

    fn form(self) -> &'static str {
        if self.is_mlp { "mlp" } else { "linear" }
    }
}
