//! Words and n-grams as numbers, so that counting is sorting and a document frequency an array entry.

use rustc_hash::FxHashMap;

/// The longest n-gram that BLEU and CIDEr look at.
pub(crate) const MAX_N: usize = 4;

/// The n-grams of one caption: number and count, ascending by number, one run for each n.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ngrams {
    entries: Vec<(u32, u32)>,
    ends: [usize; MAX_N],
    words: usize,
}

impl Ngrams {
    /// The n-grams of length `n` (1 to 4).
    pub(crate) fn of_length(&self, n: usize) -> &[(u32, u32)] {
        let start = if n == 1 { 0 } else { self.ends[n - 2] };
        &self.entries[start..self.ends[n - 1]]
    }

    /// The number of words.
    pub(crate) fn words(&self) -> usize {
        self.words
    }
}

/// Gives numbers to words and n-grams; equal ones get equal numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbering<'text> {
    words: FxHashMap<&'text str, u32>,
    /// An n-gram is a shorter one and a word more: (its number, the word's number).
    longer: [FxHashMap<u64, u32>; MAX_N - 1],
}

impl<'text> Numbering<'text> {
    /// The numbers of `words`.
    pub(crate) fn words(&mut self, words: impl Iterator<Item = &'text str>) -> Vec<u32> {
        words
            .map(|word| {
                let next = number(self.words.len());
                *self.words.entry(word).or_insert(next)
            })
            .collect()
    }

    /// The n-grams of a caption whose words have these numbers.
    pub(crate) fn ngrams(&mut self, words: &[u32]) -> Ngrams {
        let mut ngrams = Ngrams { words: words.len(), ..Ngrams::default() };
        let mut current = words.to_vec();
        ngrams.entries.reserve(words.len() * MAX_N);
        for n in 1..=MAX_N {
            if n > 1 {
                current.pop();
                let longer = &mut self.longer[n - 2];
                for (start, number_of) in current.iter_mut().enumerate() {
                    let Some(&last) = words.get(start + n - 1) else { break };
                    let next = number(longer.len());
                    *number_of = *longer.entry(u64::from(*number_of) << 32 | u64::from(last)).or_insert(next);
                }
            }
            let from = ngrams.entries.len();
            let mut sorted = current.clone();
            sorted.sort_unstable();
            for id in sorted {
                match ngrams.entries[from..].last_mut() {
                    Some((last, count)) if *last == id => *count += 1,
                    _ => ngrams.entries.push((id, 1)),
                }
            }
            ngrams.ends[n - 1] = ngrams.entries.len();
        }
        ngrams
    }

    /// How many n-grams of length `n` have a number.
    pub(crate) fn len(&self, n: usize) -> usize {
        if n == 1 { self.words.len() } else { self.longer[n - 2].len() }
    }

    /// All n-grams of length `n` as words, by number.
    pub(crate) fn spelled(&self, n: usize) -> Vec<Vec<&'text str>> {
        let mut out = vec![Vec::new(); self.len(n)];
        if n == 1 {
            let mut words: Vec<_> = self.words.iter().collect();
            words.sort_unstable_by_key(|(_, number)| **number);
            for (slot, (word, _)) in out.iter_mut().zip(words) {
                slot.push(*word);
            }
            return out;
        }
        let shorter = self.spelled(n - 1);
        let words = self.spelled(1);
        let mut entries: Vec<_> = self.longer[n - 2].iter().collect();
        entries.sort_unstable_by_key(|(_, number)| **number);
        for (slot, (key, _)) in out.iter_mut().zip(entries) {
            slot.clone_from(&shorter[(key >> 32) as usize]);
            slot.extend(&words[*key as u32 as usize]);
        }
        out
    }
}

fn number(length: usize) -> u32 {
    u32::try_from(length).expect("captions of one corpus hold fewer than 2^32 different n-grams")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_spelling() {
        let mut numbering = Numbering::default();
        let words = numbering.words("a b a b".split(' '));
        let ngrams = numbering.ngrams(&words);
        assert_eq!(ngrams.of_length(1), [(0, 2), (1, 2)]);
        assert_eq!(ngrams.of_length(2), [(0, 2), (1, 1)]);
        assert_eq!(ngrams.of_length(3).len(), 2);
        assert_eq!(ngrams.of_length(4), [(0, 1)]);
        assert_eq!(numbering.spelled(2), [["a", "b"], ["b", "a"]]);
    }

    #[test]
    fn short_and_empty_captions() {
        let mut numbering = Numbering::default();
        let words = numbering.words("a b".split(' '));
        let ngrams = numbering.ngrams(&words);
        assert_eq!((ngrams.of_length(2).len(), ngrams.of_length(3).len(), ngrams.words()), (1, 0, 2));
        let empty = numbering.ngrams(&[]);
        assert!((1..=4).all(|n| empty.of_length(n).is_empty()));
    }
}
