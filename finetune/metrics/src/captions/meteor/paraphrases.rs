//! The paraphrase table, as far as the captions at hand can use it.

use std::io::{BufRead, Read};

use rustc_hash::FxHashMap;

/// Phrases and their paraphrases, over word numbers.
#[derive(Debug, Default)]
pub(super) struct Paraphrases {
    /// Children of a node of the phrase tree; the root is 0.
    children: FxHashMap<(u32, u32), u32>,
    /// Paraphrases of the phrase that ends at a node, in the file's order.
    phrases: Vec<Vec<Box<[u32]>>>,
}

impl Paraphrases {
    /// Reads the table: lines of probability, phrase and paraphrase by turns. Only those entries are
    /// kept all of whose words have a number, so that memory is bounded by the captions.
    pub(super) fn read(table: impl Read, numbers: &FxHashMap<&[u8], u32>) -> std::io::Result<Self> {
        let mut paraphrases = Self { phrases: vec![Vec::new()], ..Self::default() };
        let mut table = std::io::BufReader::with_capacity(1 << 20, table);
        let mut line = Vec::new();
        let (mut phrase, mut paraphrase) = (Vec::new(), Vec::new());
        loop {
            // The probability.
            if table.skip_until(b'\n')? == 0 {
                return Ok(paraphrases);
            }
            let known = next_phrase(&mut table, &mut line, numbers, &mut phrase)?;
            if !known {
                table.skip_until(b'\n')?;
                continue;
            }
            if next_phrase(&mut table, &mut line, numbers, &mut paraphrase)? {
                paraphrases.insert(&phrase, &paraphrase);
            }
        }
    }

    fn insert(&mut self, phrase: &[u32], paraphrase: &[u32]) {
        let mut node = 0;
        for &word in phrase {
            let next = self.phrases.len() as u32;
            node = *self.children.entry((node, word)).or_insert(next);
            if node == next {
                self.phrases.push(Vec::new());
            }
        }
        self.phrases[node as usize].push(paraphrase.into());
    }

    /// Every phrase that `words` start with: its length and its paraphrases, short ones first.
    pub(super) fn starting<'a>(
        &'a self,
        words: &'a [u32],
    ) -> impl Iterator<Item = (usize, &'a [Box<[u32]>])> {
        let mut node = 0;
        words.iter().enumerate().map_while(move |(index, &word)| {
            node = *self.children.get(&(node, word))?;
            Some((index + 1, self.phrases[node as usize].as_slice()))
        })
    }
}

/// Reads a line as word numbers; false if a word has none.
fn next_phrase(
    table: &mut impl BufRead,
    line: &mut Vec<u8>,
    numbers: &FxHashMap<&[u8], u32>,
    phrase: &mut Vec<u32>,
) -> std::io::Result<bool> {
    line.clear();
    phrase.clear();
    table.read_until(b'\n', line)?;
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        match numbers.get(word) {
            Some(&number) => phrase.push(number),
            None => return Ok(false),
        }
    }
    Ok(!phrase.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_are_kept() {
        let table = "0.5\na lot of\nmany\n0.1\na lot of\nmuch\n0.2\na\none\n0.3\nunknown\nmany\n";
        let words: [&[u8]; 6] = [b"a", b"lot", b"of", b"many", b"much", b"one"];
        let numbers = words.into_iter().zip(0..).collect();
        let got = Paraphrases::read(table.as_bytes(), &numbers).expect("reading from memory");
        let found: Vec<_> =
            got.starting(&[0, 1, 2, 3]).map(|(length, phrases)| (length, phrases.len())).collect();
        assert_eq!(found, [(1, 1), (2, 0), (3, 2)]);
        assert_eq!(got.starting(&[3]).count(), 0);
    }
}
