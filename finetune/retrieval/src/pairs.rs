//! Which pairs are scored, and their scores.

use std::ops::Range;

/// Of every picture, captions that it is scored with.
#[derive(Debug, Clone)]
pub(crate) struct Pairs {
    rows: Vec<Row>,
    /// Where the scores of each picture begin, and the end.
    firsts: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Row {
    /// All captions of a range.
    Range(Range<u32>),
    /// Some captions, ascending.
    List(Vec<u32>),
}

impl Pairs {
    /// Every picture with every caption.
    pub(crate) fn all(n_pictures: usize, n_captions: usize) -> Self {
        Self::new(vec![Row::Range(0..n_captions as u32); n_pictures])
    }

    /// Every picture with the captions of its fold; `firsts` are the first captions of the folds, and the end.
    pub(crate) fn folds(pictures: usize, firsts: &[u32]) -> Self {
        let ranges = firsts.windows(2).flat_map(|ends| vec![Row::Range(ends[0]..ends[1]); pictures]);
        Self::new(ranges.collect())
    }

    /// Each picture with listed captions, ascending.
    pub(crate) fn lists(lists: Vec<Vec<u32>>) -> Self {
        Self::new(lists.into_iter().map(Row::List).collect())
    }

    fn new(rows: Vec<Row>) -> Self {
        let mut firsts = vec![0];
        firsts.extend(rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        }));
        Self { rows, firsts }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.firsts.last().copied().unwrap_or(0)
    }

    pub(crate) fn n_pictures(&self) -> usize {
        self.rows.len()
    }

    /// The captions of a picture, each with the number of its pair.
    pub(crate) fn of(&self, picture: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
        let row = &self.rows[picture as usize];
        (0..row.len()).map(move |at| (self.firsts[picture as usize] + at, row.get(at)))
    }

    /// The number of a pair, if it is there.
    pub(crate) fn find(&self, picture: u32, caption: u32) -> Option<usize> {
        let at = match &self.rows[picture as usize] {
            Row::Range(range) => range.contains(&caption).then(|| (caption - range.start) as usize),
            Row::List(list) => list.binary_search(&caption).ok(),
        };
        at.map(|at| self.firsts[picture as usize] + at)
    }
}

impl Row {
    fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::List(list) => list.len(),
        }
    }

    fn get(&self, at: usize) -> u32 {
        match self {
            Self::Range(range) => range.start + at as u32,
            Self::List(list) => list[at],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_by_their_number() {
        for (pairs, len) in [
            (Pairs::all(3, 6), 18),
            (Pairs::folds(2, &[0, 4, 8]), 16),
            (Pairs::lists(vec![vec![1, 5], vec![], vec![0, 1, 2]]), 5),
        ] {
            let all: Vec<(usize, u32, u32)> = (0..pairs.n_pictures() as u32)
                .flat_map(|picture| {
                    pairs.of(picture).map(move |(number, caption)| (number, picture, caption))
                })
                .collect();
            assert_eq!((pairs.len(), all.len()), (len, len));
            for (at, (number, picture, caption)) in all.into_iter().enumerate() {
                assert_eq!((at, pairs.find(picture, caption)), (number, Some(number)));
            }
            assert_eq!(pairs.find(1, 9), None);
        }
    }
}
