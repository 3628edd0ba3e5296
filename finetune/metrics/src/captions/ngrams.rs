//! N-grams as numbers. One sort of a corpus gives those of all lengths.

use std::{array, ops::Range};

use super::{
    windows::{Placed, Window},
    words::Words,
};

/// The longest n-gram that BLEU and CIDEr look at.
pub(crate) const MAX_N: usize = 4;

/// The n-grams of a corpus.
///
/// Those of one length have numbers from 1, in the order of their words' numbers.
#[derive(Debug)]
pub(crate) struct Ngrams {
    /// Where each caption's rows begin, and the end of the last.
    starts: Vec<usize>,
    /// For each word of a caption the n-grams of 1 to 4 words that start there, 0 where the caption ends too early.
    /// The rows of a caption are sorted, so that equal n-grams stand together and numbers ascend.
    rows: Vec<[u32; MAX_N]>,
    /// By length and number.
    kinds: [Vec<Kind>; MAX_N],
}

/// What is known of an n-gram of the corpus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// In how many documents it is.
    pub(crate) documents: u32,
    /// Where it stands among the words of all captions.
    place: u32,
}

/// An n-gram of a caption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ngram {
    /// Its number among those of its length.
    pub(crate) number: u32,
    /// How often the caption has it.
    pub(crate) count: u32,
}

impl Ngrams {
    /// Numbers the n-grams of captions, and counts in how many documents each is.
    ///
    /// A range of `documents` holds the captions of one; a document may come more than once. Captions in no
    /// range are numbered only.
    pub(crate) fn new(words: &Words<'_>, documents: &[Range<usize>]) -> Self {
        // Windows of half the size sort faster, and most corpora have few enough words for them.
        if words.vocabulary.len() <= u64::LARGEST_WORD as usize {
            Self::of_windows(&u64::all(words), words, documents)
        } else {
            Self::of_windows(&u128::all(words), words, documents)
        }
    }

    fn of_windows<W: Window>(sorted: &[Placed<W>], words: &Words<'_>, documents: &[Range<usize>]) -> Self {
        let mut documents = Documents::new(words.len(), documents);
        let starts = words.starts().to_vec();
        // Going through all windows in order fills every caption's rows in order.
        let mut next_row = starts.clone();
        let mut rows = vec![[0; MAX_N]; sorted.len()];
        let mut kinds: [Vec<Kind>; MAX_N] = array::from_fn(|_| Vec::with_capacity(sorted.len() / 2));
        let mut row = [0; MAX_N];
        let mut before = W::default();
        for &Placed { window, place, caption } in sorted {
            // Behind the caption's end is word 0, and no n-gram.
            for n in window.words_in_common(before)..MAX_N {
                row[n] = 0;
                if n < window.words() {
                    kinds[n].push(Kind { documents: 0, place });
                    row[n] = kinds[n].len() as u32;
                }
            }
            before = window;
            documents.count(caption as usize, &row, &mut kinds);
            let own = &mut next_row[caption as usize];
            rows[*own] = row;
            *own += 1;
        }
        Self { starts, rows, kinds }
    }

    /// The number of a caption's words.
    pub(crate) fn words(&self, caption: usize) -> usize {
        self.starts[caption + 1] - self.starts[caption]
    }

    /// A caption's n-grams of length `n` (1 to 4), ascending by number.
    pub(crate) fn of_length(&self, caption: usize, n: usize) -> impl Iterator<Item = Ngram> {
        let mut rows = &self.rows[self.starts[caption]..self.starts[caption + 1]];
        std::iter::from_fn(move || {
            while let Some(number) = rows.first().map(|row| row[n - 1]) {
                let count = rows.iter().take_while(|row| row[n - 1] == number).count();
                rows = &rows[count..];
                if number != 0 {
                    return Some(Ngram { number, count: count as u32 });
                }
            }
            None
        })
    }

    /// The n-grams of length `n` in the order of their numbers, which begin with 1.
    pub(crate) fn kinds(&self, n: usize) -> &[Kind] {
        &self.kinds[n - 1]
    }
}

impl Kind {
    /// The n-gram as words joined by spaces.
    pub(crate) fn spell(&self, n: usize, words: &Words<'_>, out: &mut String) {
        out.clear();
        for &number in &words.numbers()[self.place as usize..][..n] {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(words.vocabulary[number as usize - 1]);
        }
    }
}

/// Which documents have met an n-gram already.
struct Documents {
    /// By caption; [`NONE`] for captions in none.
    of_caption: Vec<u32>,
    /// How often each document comes.
    repeats: Vec<u32>,
    /// The n-grams that each document met last.
    last: Vec<[u32; MAX_N]>,
}

const NONE: u32 = u32::MAX;

impl Documents {
    fn new(captions: usize, documents: &[Range<usize>]) -> Self {
        let mut of_caption = vec![NONE; captions];
        let mut repeats = vec![0; documents.len()];
        for (number, range) in (0..).zip(documents) {
            // A range that comes again has the number of the first.
            let number = match of_caption.get(range.start) {
                Some(&first) if first != NONE && !range.is_empty() => first,
                _ => number,
            };
            of_caption[range.clone()].fill(number);
            repeats[number as usize] += 1;
        }
        Self { of_caption, repeats, last: vec![[0; MAX_N]; documents.len()] }
    }

    /// Counts the n-grams of a row, which come in order, for the document of the caption.
    fn count(&mut self, caption: usize, row: &[u32; MAX_N], kinds: &mut [Vec<Kind>; MAX_N]) {
        let document = self.of_caption[caption];
        if document == NONE {
            return;
        }
        let last = &mut self.last[document as usize];
        for n in 0..MAX_N {
            if row[n] != 0 && row[n] != last[n] {
                last[n] = row[n];
                kinds[n][row[n] as usize - 1].documents += self.repeats[document as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(texts: &[&'static str], caption: usize, n: usize) -> Vec<(String, u32)> {
        let words = Words::number(texts, None);
        let ngrams = Ngrams::new(&words, &[]);
        let mut spelled = String::new();
        let ngrams_of_length = ngrams.of_length(caption, n);
        ngrams_of_length
            .map(|ngram| {
                ngrams.kinds(n)[ngram.number as usize - 1].spell(n, &words, &mut spelled);
                (spelled.clone(), ngram.count)
            })
            .collect()
    }

    fn owned(wanted: &[(&str, u32)]) -> Vec<(String, u32)> {
        wanted.iter().map(|&(ngram, count)| (ngram.to_owned(), count)).collect()
    }

    #[test]
    fn equal_ngrams_are_counted() {
        let texts = ["b a", "a b a b", "a"];
        // The first caption has the lowest numbers.
        assert_eq!(counts(&texts, 1, 1), owned(&[("b", 2), ("a", 2)]));
        assert_eq!(counts(&texts, 1, 2), owned(&[("b a", 1), ("a b", 2)]));
        assert_eq!(counts(&texts, 1, 3), owned(&[("b a b", 1), ("a b a", 1)]));
        assert_eq!(counts(&texts, 1, 4), owned(&[("a b a b", 1)]));
    }

    #[test]
    fn short_and_empty_captions() {
        let texts = ["x y", "", "x"];
        assert_eq!(counts(&texts, 0, 2), owned(&[("x y", 1)]));
        for (caption, n) in [(0, 3), (0, 4), (1, 1), (1, 4), (2, 2)] {
            assert_eq!(counts(&texts, caption, n), [], "caption {caption}, length {n}");
        }
        let ngrams = Ngrams::new(&Words::number(&texts, None), &[]);
        assert_eq!([0, 1, 2].map(|caption| ngrams.words(caption)), [2, 0, 1]);
    }

    #[test]
    fn a_document_counts_once_and_each_time_it_comes() {
        let words = Words::number(&["a b a", "b", "a b", "c a"], None);
        // The first caption is in no document; the second document comes twice.
        let ngrams = Ngrams::new(&words, &[1..3, 3..4, 3..4]);
        let mut got = Vec::new();
        let mut spelled = String::new();
        for n in 1..=2 {
            for kind in ngrams.kinds(n) {
                kind.spell(n, &words, &mut spelled);
                got.push((spelled.clone(), kind.documents));
            }
        }
        assert_eq!(got, owned(&[("a", 3), ("b", 1), ("c", 2), ("a b", 1), ("b a", 0), ("c a", 2)]));
    }

    /// The two sizes of windows are two ways to the same numbers.
    #[test]
    fn wide_windows_give_the_same() {
        let texts: Vec<String> = (0..300)
            .map(|index: usize| {
                let word = |place| (index * 7 + place * place) % 11;
                (0..index % 9).map(|place| format!("w{} ", word(place))).collect()
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
        let words = Words::number(&texts, None);
        let documents = [0..100, 100..150, 100..150, 200..300];
        let narrow = Ngrams::of_windows(&u64::all(&words), &words, &documents);
        let wide = Ngrams::of_windows(&u128::all(&words), &words, &documents);
        assert_eq!((&narrow.starts, &narrow.rows), (&wide.starts, &wide.rows));
        for n in 1..=MAX_N {
            let counts =
                |ngrams: &Ngrams| ngrams.kinds(n).iter().map(|kind| kind.documents).collect::<Vec<_>>();
            assert_eq!(counts(&narrow), counts(&wide));
            assert!(counts(&narrow).iter().any(|count| *count > 1));
        }
    }
}
