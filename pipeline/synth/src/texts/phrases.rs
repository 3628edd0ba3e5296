//! Small words.

/// `a dog`, `an apple`.
pub(crate) fn a(words: &str) -> String {
    let vowel = words.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {words}", if vowel { "an" } else { "a" })
}

/// With its first letter large.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `two`; numbers that nobody would write out stay digits.
pub(crate) fn number_word(number: usize) -> String {
    const WORDS: [&str; 11] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    WORDS.get(number).map_or_else(|| number.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_and_capitals() {
        assert_eq!((a("orange cat").as_str(), a("red apple").as_str()), ("an orange cat", "a red apple"));
        assert_eq!((capital("a cat").as_str(), capital("").as_str()), ("A cat", ""));
        assert_eq!((number_word(3).as_str(), number_word(12).as_str()), ("three", "12"));
    }
}
