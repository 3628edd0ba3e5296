//! Names that are nearly what was asked for.

use std::collections::BTreeMap;

/// How many help; more are a list to search.
const SHOWN: usize = 3;

/// The names that differ in the fewest letters, the nearest first; of equally near ones the first of `names`.
pub fn nearest<'n>(asked: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    let asked = asked.to_lowercase();
    let mut by_distance: BTreeMap<(usize, usize), &str> = BTreeMap::new();
    for (place, name) in names.into_iter().enumerate() {
        by_distance.insert((changes(&asked, &name.to_lowercase()), place), name);
    }
    by_distance.into_values().take(SHOWN).collect()
}

/// Letters to put in, take out or replace on the way from one word to the other.
fn changes(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[column + 1];
            row[column + 1] = replaced.min(corner + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_first() {
        let names = ["zebra", "cat", "cart", "Dog", "car"];
        assert_eq!(nearest("caat", names), ["cat", "cart", "car"]);
        assert_eq!(nearest("DOG", names)[0], "Dog");
        assert_eq!(nearest("x", names[..2].iter().copied()), ["cat", "zebra"]);
        for (from, to, wanted) in [("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("é", "e", 1)]
        {
            assert_eq!((changes(from, to), changes(to, from)), (wanted, wanted));
        }
    }
}
