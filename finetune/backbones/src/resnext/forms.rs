//! The three forms of an aggregated block. Paper: 1611.05431, figure 3 and section 3.3.
//!
//! One function written in three ways, `y = x + sum_i T_i(x)` over C branches `T_i` of 1 x 1, 3 x 3 and 1 x 1: as branches
//! whose outputs are added; as branches that are joined before the last 1 x 1; as one grouped convolution. Networks here
//! compute the last. Normalisation and activation stand behind each convolution, and the last normalisation behind the
//! sum: only so are the three equal.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use crate::{Error, Result};

/// A way to write down the weights of aggregated blocks.
///
/// The tensors of `layer{l}.{j}` in the three forms, with C branches of d channels each:
///
/// | grouped (c) | joined (b) | summed (a) |
/// |---|---|---|
/// | `conv1.weight` \[C d, i, 1, 1\] | `branch{n}.conv1.weight` \[d, i, 1, 1\]: rows n d to (n + 1) d | the same |
/// | `conv2.weight` \[C d, d, 3, 3\] | `branch{n}.conv2.weight` \[d, d, 3, 3\]: the same rows | the same |
/// | `bn1`, `bn2` \[C d\] | `branch{n}.bn1`, `branch{n}.bn2` \[d\]: the same rows | the same |
/// | `conv3.weight` \[o, C d, 1, 1\] | whole | `branch{n}.conv3.weight` \[o, d, 1, 1\]: columns n d to (n + 1) d |
/// | `bn3` \[o\], `downsample` | whole | whole |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// (a): the outputs of the branches are added.
    Summed,
    /// (b): the branches are joined before the last 1 x 1.
    Joined,
    /// (c): one grouped convolution; how timm, torchvision and this crate name tensors.
    Grouped,
}

/// Where a tensor of a block is cut.
const ROWS: usize = 0;
const COLUMNS: usize = 1;

impl Form {
    /// The same network's tensors, by name, in this form; they may come in any form. Whatever has a value for each weight
    /// can be rewritten as well: gradients, or an optimiser's moments. Tensors outside of blocks stay as they are.
    ///
    /// # Errors
    /// Channels that `cardinality` does not divide; branches that are missing.
    pub fn rewrite(
        self,
        tensors: &BTreeMap<String, Tensor>,
        cardinality: usize,
    ) -> Result<BTreeMap<String, Tensor>> {
        let grouped = joined(tensors, cardinality)?;
        let mut rewritten = BTreeMap::new();
        for (name, tensor) in grouped {
            let cut = axis(&name).filter(|axis| match self {
                Self::Summed => true,
                Self::Joined => *axis == ROWS,
                Self::Grouped => false,
            });
            let (Some(axis), Some((block, part))) = (cut, in_block(&name)) else {
                rewritten.insert(name, tensor);
                continue;
            };
            let size = tensor.dims()[axis];
            if cardinality == 0 || size % cardinality != 0 {
                return Err(Error::Input {
                    tensor: "a block's tensor",
                    expected: format!("divisible into {cardinality} branches along axis {axis}"),
                    got: format!("{name} {:?}", tensor.dims()),
                });
            }
            let width = size / cardinality;
            for n in 0..cardinality {
                let slice = tensor.narrow(axis, n * width, width)?.contiguous()?;
                rewritten.insert(format!("{block}.branch{n}.{part}"), slice);
            }
        }
        Ok(rewritten)
    }
}

/// All branches put together, in the grouped form.
fn joined(tensors: &BTreeMap<String, Tensor>, cardinality: usize) -> Result<BTreeMap<String, Tensor>> {
    let mut whole = BTreeMap::new();
    let mut in_branches = BTreeSet::new();
    for (name, tensor) in tensors {
        let branched = in_block(name).and_then(|(block, part)| Some((block, part.strip_prefix("branch")?)));
        match branched.and_then(|(block, numbered)| Some((block, numbered.split_once('.')?.1))) {
            Some((block, part)) => {
                in_branches.insert((block.to_owned(), part.to_owned()));
            }
            None => {
                whole.insert(name.clone(), tensor.clone());
            }
        }
    }
    for (block, part) in in_branches {
        let name = format!("{block}.{part}");
        let slices = (0..cardinality).map(|n| {
            let slice = format!("{block}.branch{n}.{part}");
            tensors.get(&slice).cloned().ok_or_else(|| Error::Input {
                tensor: "the branches of a block",
                expected: format!("branch0 to branch{}", cardinality.saturating_sub(1)),
                got: format!("none called {slice}"),
            })
        });
        let slices = slices.collect::<Result<Vec<_>>>()?;
        whole.insert(name.clone(), Tensor::cat(&slices, axis(&name).unwrap_or(ROWS))?);
    }
    Ok(whole)
}

/// `layer{l}.{j}`, and what follows it.
fn in_block(name: &str) -> Option<(&str, &str)> {
    if !name.starts_with("layer") {
        return None;
    }
    let (stage, rest) = name.split_once('.')?;
    let (number, part) = rest.split_once('.')?;
    Some((&name[..stage.len() + 1 + number.len()], part))
}

/// Along which axis the branches lie in a grouped tensor.
fn axis(name: &str) -> Option<usize> {
    let (_, part) = in_block(name)?;
    match part.split_once('.')?.0 {
        "conv1" | "bn1" | "conv2" | "bn2" => Some(ROWS),
        "conv3" => Some(COLUMNS),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
