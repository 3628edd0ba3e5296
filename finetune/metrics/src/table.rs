//! Means by name.

use std::{borrow::Borrow, collections::BTreeMap};

/// A running mean.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// The mean; of nothing 0, as the evaluators have it.
    pub(crate) fn get(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The mean times 100.
    pub(crate) fn percent(&self) -> f64 {
        if self.count == 0 { 0.0 } else { 100.0 * self.sum / self.count as f64 }
    }
}

/// Means by name, names in order.
#[derive(Debug, Clone)]
pub(crate) struct Table<K>(BTreeMap<K, Mean>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Table<K> {
    pub(crate) fn add<Q>(&mut self, name: &Q, value: f64)
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Ord + ?Sized,
    {
        match self.0.get_mut(name) {
            Some(mean) => mean.add(value),
            None => self.0.entry(name.to_owned()).or_default().add(value),
        }
    }
}

impl<K: ToString> Table<K> {
    pub(crate) fn percents(&self) -> Vec<(String, f64)> {
        self.0.iter().map(|(name, mean)| (name.to_string(), mean.percent())).collect()
    }
}
