//! Synonyms: words that share a set of WordNet.

use rustc_hash::{FxHashMap, FxHashSet};

/// The synonym sets of words, and base forms of irregular words.
#[derive(Debug)]
pub(super) struct Synonyms<'text> {
    /// The numbers of a word's sets, as they stand in the file.
    sets: FxHashMap<&'text str, &'text str>,
    bases: FxHashMap<&'text str, Vec<&'text str>>,
}

/// Endings of inflected words, and what the base form has in their place.
const ENDINGS: [(&str, &str); 20] = [
    ("s", ""),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
    ("s", ""),
    ("ies", "y"),
    ("es", "e"),
    ("es", ""),
    ("ed", "e"),
    ("ed", ""),
    ("ing", "e"),
    ("ing", ""),
    ("er", ""),
    ("est", ""),
    ("er", "e"),
    ("est", "e"),
];

impl<'text> Synonyms<'text> {
    /// From METEOR's `english.synsets` (a word, then a line with its sets) and `english.exceptions`
    /// (a base form, then a line with irregular forms).
    pub(super) fn parse(synsets: &'text str, exceptions: &'text str) -> Self {
        let mut sets = FxHashMap::default();
        let mut lines = synsets.lines();
        while let (Some(word), Some(numbers)) = (lines.next(), lines.next()) {
            sets.insert(word, numbers);
        }
        let mut bases: FxHashMap<&str, Vec<&str>> = FxHashMap::default();
        let mut lines = exceptions.lines();
        while let (Some(base), Some(forms)) = (lines.next(), lines.next()) {
            for form in forms.split_ascii_whitespace() {
                bases.entry(form).or_default().push(base);
            }
        }
        Self { sets, bases }
    }

    /// All sets of a word and of its base forms, ascending.
    pub(super) fn sets_of(&self, word: &str) -> Vec<u32> {
        let mut found = FxHashSet::default();
        let mut add = |word: &str| {
            let numbers =
                self.sets.get(word).into_iter().flat_map(|numbers| numbers.split_ascii_whitespace());
            found.extend(numbers.filter_map(|number| number.parse::<u32>().ok()));
        };
        add(word);
        match self.bases.get(word) {
            Some(bases) => bases.iter().copied().for_each(add),
            None => {
                if let Some(base) = self.base_of(word) {
                    add(&base);
                }
            }
        }
        let mut found: Vec<u32> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    fn base_of(&self, word: &str) -> Option<String> {
        if word.ends_with("ss") || word.encode_utf16().count() <= 2 {
            return None;
        }
        ENDINGS.iter().find_map(|(ending, replacement)| {
            let base = format!("{}{replacement}", word.strip_suffix(ending)?);
            self.sets.contains_key(base.as_str()).then_some(base)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_base_forms_count() {
        let synonyms = Synonyms::parse("dog\n1 2\nhound\n2\nsit\n5 6\nbe\n7\n", "be\nam is\n");
        assert_eq!(synonyms.sets_of("dogs"), [1, 2]);
        assert_eq!(synonyms.sets_of("hound"), [2]);
        assert_eq!(synonyms.sets_of("is"), [7]);
        assert!(synonyms.sets_of("sitting").is_empty(), "doubled consonants are not undone");
        assert!(synonyms.sets_of("cat").is_empty());
    }
}
