//! Means by name.

use std::{borrow::Borrow, hash::Hash};

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};

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

/// Means by name.
#[derive(Debug)]
pub(crate) struct Table<K> {
    rows: Vec<(K, Mean)>,
    position: FxHashMap<K, usize>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), position: FxHashMap::default() }
    }
}

impl<K: Clone + Eq + Hash + Ord + ToString> Table<K> {
    pub(crate) fn add<Q>(&mut self, name: &Q, value: f64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let position = match self.position.get(name) {
            Some(&position) => position,
            None => {
                self.position.insert(name.to_owned(), self.rows.len());
                self.rows.push((name.to_owned(), Mean::default()));
                self.rows.len() - 1
            }
        };
        self.rows[position].1.add(value);
    }

    /// The means times 100, by name in order.
    pub(crate) fn percents(&self) -> Vec<(String, f64)> {
        let mut rows: Vec<&(K, Mean)> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(name, _)| name);
        rows.into_iter().map(|(name, mean)| (name.to_string(), mean.percent())).collect()
    }
}

/// Writes rows of a table as one object, in their order.
pub(crate) fn as_object<K: Serialize, S: Serializer>(
    rows: &[(K, f64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rows.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_in_order() {
        let mut table = Table::<String>::default();
        for (name, value) in [("b", 1.0), ("a", 0.5), ("b", 0.0)] {
            table.add(name, value);
        }
        assert_eq!(table.percents(), [("a".to_owned(), 50.0), ("b".to_owned(), 50.0)]);
        assert_eq!((Mean::default().get(), Mean::default().percent()), (0.0, 0.0));
    }
}
