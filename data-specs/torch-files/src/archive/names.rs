//! A dotted name for every tensor in a value.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Error;
use crate::limits::Limits;
use crate::tensor::TensorRef;
use crate::value::Value;

/// Every tensor below `root` in file order. The path of dictionary keys and list positions is joined by dots, so
/// the name in a state dict is its key. A tensor in two places has two names; two tensors never have one.
pub(super) fn name_tensors(
    file: &str,
    root: &Value,
    limits: &Limits,
) -> Result<Vec<(String, Arc<TensorRef>)>, Error> {
    let mut walk = Walk { file, limits, path: String::new(), used: 0, named: Vec::new() };
    walk.visit(root)?;
    let mut seen = HashSet::with_capacity(walk.named.len());
    if let Some((name, _)) = walk.named.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(Error::Name { file: file.to_owned(), name: name.chars().take(200).collect() });
    }
    Ok(walk.named)
}

struct Walk<'v> {
    file: &'v str,
    limits: &'v Limits,
    path: String,
    used: u64,
    named: Vec<(String, Arc<TensorRef>)>,
}

impl Walk<'_> {
    /// Recursion as deep as `Limits::max_depth`, which the value has been checked against.
    fn visit(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Tensor(tensor) => {
                self.charge(self.path.len() as u64 + 64)?;
                self.named.push((self.path.clone(), Arc::clone(tensor)));
            }
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.below(item, |path| path.push_str(&i.to_string()))?;
                }
            }
            Value::Dict(dict) => {
                for (key, item) in &dict.entries {
                    self.below(item, |path| spell(key, path))?;
                }
                self.visit(&dict.attributes)?;
            }
            Value::Object(object) => {
                // the tensor of a parameter takes the parameter's own name
                object.args.iter().try_for_each(|arg| self.visit(arg))?;
                self.visit(&object.state)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn below(&mut self, item: &Value, spell: impl FnOnce(&mut String)) -> Result<(), Error> {
        // most values are numbers and words, whose path nobody asks for
        let may_hold = matches!(
            item,
            Value::Tensor(_)
                | Value::List(_)
                | Value::Tuple(_)
                | Value::Set(_)
                | Value::Dict(_)
                | Value::Object(_)
        );
        if !may_hold {
            return Ok(());
        }
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        spell(&mut self.path);
        self.visit(item)?;
        self.path.truncate(outer);
        Ok(())
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Error> {
        self.used += bytes;
        if self.used > self.limits.max_live_bytes {
            let (file, allowed) = (self.file.to_owned(), self.limits.max_live_bytes);
            return Err(Error::Limit { file, position: 0, limit: "max_live_bytes", allowed });
        }
        Ok(())
    }
}

fn spell(key: &Value, path: &mut String) {
    match key {
        Value::Str(text) | Value::Name(text) => path.push_str(text),
        Value::Int(number) => path.push_str(&number.to_string()),
        Value::Float(number) => path.push_str(&number.to_string()),
        Value::Bool(flag) => path.push_str(if *flag { "True" } else { "False" }),
        Value::None => path.push_str("None"),
        Value::Bytes(bytes) => path.push_str(&String::from_utf8_lossy(bytes)),
        Value::Tuple(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    path.push(',');
                }
                spell(item, path);
            }
        }
        // numbers beyond 64 bits and objects; a clash of two such keys is an error, not a loss
        _ => path.push('?'),
    }
}
