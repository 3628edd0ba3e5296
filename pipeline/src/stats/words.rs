//! What counts as a word, and which tags a caption names.

use std::collections::BTreeSet;

/// A text in lower case, as words without the punctuation around them.
#[derive(Debug, Default)]
pub(super) struct Words {
    lower: String,
}

/// The distinct tag names of a row, each as a sequence of words.
#[derive(Debug, Default)]
pub(super) struct TagPhrases {
    phrases: BTreeSet<Vec<String>>,
}

impl Words {
    pub(super) fn of(text: &str) -> Words {
        Words { lower: text.to_lowercase() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.lower
            .split_whitespace()
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
            .filter(|word| !word.is_empty())
    }
}

impl TagPhrases {
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> TagPhrases {
        // Tags repeat (five chairs in a picture): comparing names first spares most of the splitting.
        let names: BTreeSet<&str> = names.collect();
        let phrases = names.into_iter().map(|name| Words::of(name).iter().map(str::to_string).collect());
        TagPhrases { phrases: phrases.filter(|phrase: &Vec<String>| !phrase.is_empty()).collect() }
    }

    /// How many of them stand in the text, word for word and one behind the other.
    ///
    /// Plurals and synonyms are not recognised, so this is a lower bound of what a reader would find.
    pub(super) fn named_in(&self, words: &[&str]) -> usize {
        self.phrases
            .iter()
            .filter(|phrase| words.windows(phrase.len()).any(|window| window == *phrase))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_case_and_punctuation_and_nothing_else() {
        let words = Words::of("A man's T-shirt, \"RED\" — on the table.  ÉTÉ! ... 3,5 👍");
        assert_eq!(
            words.iter().collect::<Vec<_>>(),
            ["a", "man's", "t-shirt", "red", "on", "the", "table", "été", "3,5"]
        );
    }

    #[test]
    fn tags_are_named_as_whole_words_in_order() {
        let tags = ["dining table", "Dog", "dog", "table", "cat", "!"];
        let tags = TagPhrases::of(tags.into_iter());
        let named = |text: &str| tags.named_in(&Words::of(text).iter().collect::<Vec<_>>());
        assert_eq!(named("A dog under a dining table."), 3);
        assert_eq!(named("Hotdogs; the table is for dining."), 1);
        assert_eq!(named("Category: dogs"), 0);
        assert_eq!(named(""), 0);
    }
}
