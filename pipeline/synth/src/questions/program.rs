//! GQA's programs: what to do with a scene graph to find the answer.

use serde_json::{Value, json};

use super::Asker;
use crate::layouts::object_id;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) operation: String,
    pub(crate) argument: String,
    pub(crate) dependencies: Vec<usize>,
}

impl Step {
    pub(super) fn new(operation: impl Into<String>, argument: impl Into<String>, after: &[usize]) -> Step {
        Step { operation: operation.into(), argument: argument.into(), dependencies: after.to_vec() }
    }

    pub(crate) fn value(&self) -> Value {
        json!({ "operation": self.operation, "dependencies": self.dependencies, "argument": self.argument })
    }

    /// As it stands in `semanticStr`.
    pub(crate) fn text(&self) -> String {
        let after = match self.dependencies.as_slice() {
            [] => String::new(),
            some => format!(" [{}]", some.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        };
        format!("{}: {}{after}", self.operation, self.argument)
    }
}

impl Asker<'_> {
    /// The step that finds an object by its name.
    pub(super) fn select(&self, object: usize) -> Step {
        Step::new("select", format!("{} ({})", self.name(object), object_id(self.picture, object)), &[])
    }

    /// The step that looks for a kind which may not be there.
    pub(super) fn look_for(&self, kind: usize) -> Step {
        let name = &self.world.kinds[kind].name;
        let found = self.scene.of_kind(kind);
        match found.first() {
            None => Step::new("select", format!("{name} (-)"), &[]),
            Some(_) => {
                let ids: Vec<String> =
                    found.iter().map(|&at| object_id(self.picture, at).to_string()).collect();
                Step::new("select", format!("{name} ({})", ids.join(",")), &[])
            }
        }
    }
}
