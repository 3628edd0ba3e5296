//! In how many documents n-grams occur.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    ngrams::{cut, is_whole},
    words::Caption,
};

/// All windows of a corpus in order, so that equal n-grams stand together.
pub(crate) struct Occurrences {
    sorted: Vec<Occurrence>,
    /// How often each document comes.
    repeats: Vec<usize>,
}

/// A window of a caption.
pub(crate) struct Occurrence {
    window: u128,
    /// Its position among all windows.
    place: u32,
    /// [`NO_DOCUMENT`] for captions in none.
    document: u32,
}

const NO_DOCUMENT: u32 = u32::MAX;

impl Occurrence {
    /// The window's position among all windows, captions in their order.
    pub(crate) fn place(&self) -> usize {
        self.place as usize
    }
}

impl Occurrences {
    /// `starts` as from [`starts`].
    pub(crate) fn new(captions: &[Caption], starts: &[usize], documents: &[Range<usize>]) -> Self {
        let mut document_of = vec![NO_DOCUMENT; captions.len()];
        let mut repeats = vec![0; documents.len()];
        for (number, range) in documents.iter().enumerate() {
            // A range that comes again has the number of the first.
            let number = match document_of.get(range.start) {
                Some(&first) if first != NO_DOCUMENT && !range.is_empty() => first as usize,
                _ => number,
            };
            document_of[range.clone()].fill(number as u32);
            repeats[number] += 1;
        }
        let mut sorted: Vec<Occurrence> = Vec::with_capacity(starts.last().copied().unwrap_or_default());
        for (caption, document) in captions.iter().zip(document_of) {
            let place = sorted.len();
            let windows = (place..).zip(caption.ngrams.windows());
            sorted.extend(windows.map(|(place, &window)| Occurrence {
                window,
                place: u32::try_from(place).expect("a corpus holds fewer than 2^32 words"),
                document,
            }));
        }
        sorted.par_sort_unstable_by_key(|occurrence| occurrence.window);
        Self { sorted, repeats }
    }

    /// How many windows there are.
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Calls `found` with the key of every n-gram, in how many documents it is, and where it occurs.
    pub(crate) fn each_ngram(&self, n: usize, mut found: impl FnMut(u128, usize, &[Occurrence])) {
        // The run that met a document last, so that a document counts once.
        let mut last_run = vec![usize::MAX; self.repeats.len()];
        let runs = self.sorted.chunk_by(|left, right| cut(left.window, n) == cut(right.window, n));
        for (number, run) in runs.enumerate() {
            let key = cut(run[0].window, n);
            if !is_whole(key) {
                continue;
            }
            let mut count = 0;
            for occurrence in run.iter().filter(|occurrence| occurrence.document != NO_DOCUMENT) {
                let document = occurrence.document as usize;
                if last_run[document] != number {
                    last_run[document] = number;
                    count += self.repeats[document];
                }
            }
            found(key, count, run);
        }
    }
}

/// Where the windows of each caption begin among those of all, and their number at the end.
pub(crate) fn starts(captions: &[Caption]) -> Vec<usize> {
    let mut starts = vec![0];
    for caption in captions {
        starts.push(starts[starts.len() - 1] + caption.ngrams.words());
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::{ngrams::words_of, words::Words};

    #[test]
    fn a_document_counts_once_and_each_time_it_comes() {
        let words = Words::number(&["a b a", "b", "a b", "c a"], None);
        // The first caption is in no document; the second document comes twice.
        let documents = [1..3, 3..4, 3..4];
        let occurrences = Occurrences::new(&words.captions, &starts(&words.captions), &documents);
        let mut counts = Vec::new();
        for n in 1..=2 {
            occurrences.each_ngram(n, |key, count, places| {
                counts.push((words_of(key, n).collect::<Vec<_>>(), count, places.len()));
            });
        }
        let wanted = [
            (vec![1], 3, 4),
            (vec![2], 1, 3),
            (vec![3], 2, 1),
            (vec![1, 2], 1, 2),
            (vec![2, 1], 0, 1),
            (vec![3, 1], 2, 1),
        ];
        assert_eq!(counts, wanted);
        assert_eq!(occurrences.len(), 8);
    }
}
