//! The English Snowball stemmer ("Porter 2").
//!
//! Rules: <https://snowballstem.org/algorithms/english/stemmer.html>. Words are lower-case.

/// The stem of a word. Words with characters outside ASCII are handled byte by byte, as the rules only
/// name ASCII letters.
pub(super) fn stem(word: &str) -> String {
    if word.chars().count() <= 2 {
        return word.to_owned();
    }
    if let Some(irregular) = irregular(word) {
        return irregular.to_owned();
    }
    let mut stemmer = Stemmer::new(word);
    stemmer.step_0();
    stemmer.step_1a();
    if !stays_after_1a(stemmer.text()) {
        stemmer.step_1b();
        stemmer.step_1c();
        stemmer.step_2();
        stemmer.step_3();
        stemmer.step_4();
        stemmer.step_5();
    }
    stemmer.finish()
}

fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "skis" => "ski",
        "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "idly" => "idl",
        "gently" => "gentl",
        "ugly" => "ugli",
        "early" => "earli",
        "only" => "onli",
        "singly" => "singl",
        "sky" => "sky",
        "news" => "news",
        "howe" => "howe",
        "atlas" => "atlas",
        "cosmos" => "cosmos",
        "bias" => "bias",
        "andes" => "andes",
        _ => return None,
    })
}

fn stays_after_1a(word: &str) -> bool {
    matches!(word, "inning" | "outing" | "canning" | "herring" | "earring" | "proceed" | "exceed" | "succeed")
}

struct Stemmer {
    /// The word; a consonantal y is written Y.
    word: Vec<u8>,
    /// Where the first and the second region start.
    r1: usize,
    r2: usize,
}

fn is_vowel(letter: u8) -> bool {
    matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

impl Stemmer {
    fn new(word: &str) -> Self {
        let mut word = word.strip_prefix('\'').unwrap_or(word).as_bytes().to_vec();
        for index in 0..word.len() {
            if word[index] == b'y' && (index == 0 || is_vowel(word[index - 1])) {
                word[index] = b'Y';
            }
        }
        let behind = |start: usize| {
            let tail = &word[start..];
            let position = tail.windows(2).position(|two| is_vowel(two[0]) && !is_vowel(two[1]));
            position.map_or(word.len(), |position| start + position + 2)
        };
        let prefix =
            ["gener", "commun", "arsen"].into_iter().find(|prefix| word.starts_with(prefix.as_bytes()));
        let r1 = prefix.map_or_else(|| behind(0), str::len);
        let r2 = behind(r1);
        Self { word, r1, r2 }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.word).unwrap_or_default()
    }

    fn finish(mut self) -> String {
        self.word.iter_mut().for_each(|letter| {
            if *letter == b'Y' {
                *letter = b'y';
            }
        });
        String::from_utf8_lossy(&self.word).into_owned()
    }

    fn ends(&self, suffix: &str) -> bool {
        self.word.ends_with(suffix.as_bytes())
    }

    /// The longest of these suffixes that the word has, with its position in the list.
    fn longest<'a>(&self, suffixes: &[&'a str]) -> Option<&'a str> {
        suffixes.iter().copied().filter(|suffix| self.ends(suffix)).max_by_key(|suffix| suffix.len())
    }

    fn in_r1(&self, suffix: &str) -> bool {
        self.word.len() - suffix.len() >= self.r1
    }

    fn in_r2(&self, suffix: &str) -> bool {
        self.word.len() - suffix.len() >= self.r2
    }

    fn replace(&mut self, suffix: &str, by: &str) {
        self.word.truncate(self.word.len() - suffix.len());
        self.word.extend(by.as_bytes());
    }

    fn has_vowel_before(&self, suffix: &str) -> bool {
        self.word[..self.word.len() - suffix.len()].iter().copied().any(is_vowel)
    }

    /// Ends in consonant, vowel, consonant other than w, x, Y; or is vowel, consonant.
    fn ends_short(&self, end: usize) -> bool {
        match self.word[..end] {
            [first, second] => is_vowel(first) && !is_vowel(second),
            [.., first, second, third] => {
                !is_vowel(first)
                    && is_vowel(second)
                    && !is_vowel(third)
                    && !matches!(third, b'w' | b'x' | b'Y')
            }
            _ => false,
        }
    }

    fn step_0(&mut self) {
        if let Some(suffix) = self.longest(&["'", "'s", "'s'"]) {
            self.replace(suffix, "");
        }
    }

    fn step_1a(&mut self) {
        let Some(suffix) = self.longest(&["sses", "ied", "ies", "us", "ss", "s"]) else { return };
        match suffix {
            "sses" => self.replace(suffix, "ss"),
            "ied" | "ies" => {
                let by = if self.word.len() > 4 { "i" } else { "ie" };
                self.replace(suffix, by);
            }
            // A vowel that is not right before the s.
            "s" if self.word.len() > 2 && self.has_vowel_before("?s") => self.replace("s", ""),
            _ => {}
        }
    }

    fn step_1b(&mut self) {
        let Some(suffix) = self.longest(&["eed", "eedly", "ed", "edly", "ing", "ingly"]) else { return };
        if suffix.starts_with("eed") {
            if self.in_r1(suffix) {
                self.replace(suffix, "ee");
            }
            return;
        }
        if !self.has_vowel_before(suffix) {
            return;
        }
        self.replace(suffix, "");
        let doubled = ["bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"];
        if ["at", "bl", "iz"].iter().any(|end| self.ends(end)) {
            self.word.push(b'e');
        } else if doubled.iter().any(|end| self.ends(end)) {
            self.word.pop();
        } else if self.r1 >= self.word.len() && self.ends_short(self.word.len()) {
            self.word.push(b'e');
        }
    }

    fn step_1c(&mut self) {
        // A consonant that is the first letter (by, dyed) keeps its y.
        if let [_, .., before, last @ (b'y' | b'Y')] = self.word.as_mut_slice()
            && !is_vowel(*before)
        {
            *last = b'i';
        }
    }

    fn step_2(&mut self) {
        const RULES: [(&str, &str); 22] = [
            ("tional", "tion"),
            ("enci", "ence"),
            ("anci", "ance"),
            ("abli", "able"),
            ("entli", "ent"),
            ("izer", "ize"),
            ("ization", "ize"),
            ("ational", "ate"),
            ("ation", "ate"),
            ("ator", "ate"),
            ("alism", "al"),
            ("aliti", "al"),
            ("alli", "al"),
            ("fulness", "ful"),
            ("ousli", "ous"),
            ("ousness", "ous"),
            ("iveness", "ive"),
            ("iviti", "ive"),
            ("biliti", "ble"),
            ("bli", "ble"),
            ("fulli", "ful"),
            ("lessli", "less"),
        ];
        let rule =
            RULES.iter().filter(|(suffix, _)| self.ends(suffix)).max_by_key(|(suffix, _)| suffix.len());
        if let Some(&(suffix, by)) = rule {
            if self.in_r1(suffix) {
                self.replace(suffix, by);
            }
        } else if self.ends("ogi") {
            if self.in_r1("ogi") && self.ends("logi") {
                self.replace("ogi", "og");
            }
        } else if self.ends("li") && self.in_r1("li") {
            let before = self.word.len().checked_sub(3).map(|index| self.word[index]);
            if before.is_some_and(|letter| b"cdeghkmnrt".contains(&letter)) {
                self.replace("li", "");
            }
        }
    }

    fn step_3(&mut self) {
        const RULES: [(&str, &str); 8] = [
            ("tional", "tion"),
            ("ational", "ate"),
            ("alize", "al"),
            ("icate", "ic"),
            ("iciti", "ic"),
            ("ical", "ic"),
            ("ful", ""),
            ("ness", ""),
        ];
        let rule =
            RULES.iter().filter(|(suffix, _)| self.ends(suffix)).max_by_key(|(suffix, _)| suffix.len());
        if let Some(&(suffix, by)) = rule {
            if self.in_r1(suffix) {
                self.replace(suffix, by);
            }
        } else if self.ends("ative") && self.in_r2("ative") {
            self.replace("ative", "");
        }
    }

    fn step_4(&mut self) {
        const SUFFIXES: [&str; 18] = [
            "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate",
            "iti", "ous", "ive", "ize", "ion",
        ];
        let Some(suffix) = self.longest(&SUFFIXES) else { return };
        let fits = suffix != "ion" || self.ends("sion") || self.ends("tion");
        if self.in_r2(suffix) && fits {
            self.replace(suffix, "");
        }
    }

    fn step_5(&mut self) {
        if self.ends("e") {
            if self.in_r2("e") || (self.in_r1("e") && !self.ends_short(self.word.len() - 1)) {
                self.replace("e", "");
            }
        } else if self.ends("ll") && self.in_r2("l") {
            self.replace("l", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn stems() {
        for (word, wanted) in [
            ("running", "run"),
            ("dogs", "dog"),
            ("ties", "tie"),
            ("cries", "cri"),
            ("gas", "gas"),
            ("gaps", "gap"),
            ("hoping", "hope"),
            ("hopping", "hop"),
            ("bees", "bee"),
            ("generally", "general"),
            ("communism", "communism"),
            ("happily", "happili"),
            ("sky", "sky"),
            ("by", "by"),
            ("say", "say"),
            ("boy", "boy"),
            ("cry", "cri"),
            ("relational", "relat"),
            ("geology", "geolog"),
            ("hopefulness", "hope"),
            ("adoption", "adopt"),
            ("agreed", "agre"),
            ("feed", "feed"),
            ("controlled", "control"),
            ("herring", "herring"),
            ("'s", "'s"),
            ("dog's", "dog"),
            ("standing", "stand"),
            ("dying", "die"),
            ("dyed", "dy"),
            ("skateboarding", "skateboard"),
            ("café", "café"),
        ] {
            assert_eq!(stem(word), wanted, "{word}");
        }
    }
}
