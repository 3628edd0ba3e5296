//! A cheap first look: do a caption and the tags of a picture share rare words?
//!
//! Captions and lists of tags are vectors over word pieces: of a piece that stands n times in one, `(1 + ln n) idf`, where
//! `idf = ln((1 + N) / (1 + N_piece))` over all captions and lists; vectors have length 1. The cosine of two of them needs
//! no network, and is fair in both directions: neither long captions nor long lists gain by their length. It knows
//! nothing of regions, so what it loses is reported wherever it is used.

use crate::gallery::Gallery;
use crate::settings::Direction;
use rayon::prelude::*;

/// Vectors of all pictures and captions.
#[derive(Debug)]
pub(crate) struct Similarity {
    pictures: Vectors,
    captions: Vectors,
}

/// Sparse rows, one behind the other.
#[derive(Debug, Default)]
struct Vectors {
    ends: Vec<usize>,
    /// Pieces, ascending, and their weights.
    entries: Vec<(u32, f32)>,
}

/// For every piece the rows that have it, with its weight there.
struct Postings {
    of_piece: Vec<Vec<(u32, f32)>>,
    n_rows: usize,
}

impl Similarity {
    pub(crate) fn new(gallery: &Gallery) -> Self {
        let (n_pictures, n_captions) = (gallery.n_pictures() as u32, gallery.n_captions() as u32);
        let lists = || (0..n_pictures).map(|picture| gallery.tags(picture));
        let captions = || (0..n_captions).map(|caption| gallery.words(caption));
        let mut n_having: Vec<u32> = Vec::new();
        for pieces in lists().chain(captions()) {
            for (piece, _) in counted(pieces) {
                if piece as usize >= n_having.len() {
                    n_having.resize(piece as usize + 1, 0);
                }
                n_having[piece as usize] += 1;
            }
        }
        let n = f64::from(n_pictures) + f64::from(n_captions);
        let idf: Vec<f64> =
            n_having.iter().map(|having| ((1.0 + n) / (1.0 + f64::from(*having))).ln()).collect();
        Self { pictures: Vectors::new(lists(), &idf), captions: Vectors::new(captions(), &idf) }
    }

    /// Whether any picture has tags at all.
    pub(crate) fn has_tags(&self) -> bool {
        !self.pictures.entries.is_empty()
    }

    /// The cosine of two pictures' tags.
    pub(crate) fn of_pictures(&self, a: u32, b: u32) -> f32 {
        dot(self.pictures.row(a), self.pictures.row(b))
    }

    /// The cosine of a caption and a picture's tags.
    pub(crate) fn of_pair(&self, picture: u32, caption: u32) -> f32 {
        dot(self.pictures.row(picture), self.captions.row(caption))
    }

    /// For every query the `n` most similar partners, ascending; of equally similar ones the first.
    pub(crate) fn shortlists(&self, direction: Direction, n: usize) -> Vec<Vec<u32>> {
        let (queries, partners) = match direction {
            Direction::Texts => (&self.pictures, &self.captions),
            Direction::Images => (&self.captions, &self.pictures),
        };
        let postings = Postings::new(partners);
        (0..queries.ends.len() as u32)
            .into_par_iter()
            .map(|query| postings.best(queries.row(query), n))
            .collect()
    }
}

impl Vectors {
    fn new<'a>(rows: impl Iterator<Item = &'a [u32]>, idf: &[f64]) -> Self {
        let mut vectors = Self::default();
        for pieces in rows {
            let weighted =
                counted(pieces).map(|(piece, n)| (piece, (1.0 + f64::from(n).ln()) * idf[piece as usize]));
            let weighted: Vec<(u32, f64)> = weighted.collect();
            let length = weighted.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
            if length > 0.0 {
                vectors
                    .entries
                    .extend(weighted.iter().map(|(piece, weight)| (*piece, (weight / length) as f32)));
            }
            vectors.ends.push(vectors.entries.len());
        }
        vectors
    }

    fn row(&self, row: u32) -> &[(u32, f32)] {
        let row = row as usize;
        let first = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.entries[first..self.ends[row]]
    }
}

impl Postings {
    fn new(vectors: &Vectors) -> Self {
        let n_pieces = vectors.entries.iter().map(|(piece, _)| *piece as usize + 1).max().unwrap_or(0);
        let mut of_piece = vec![Vec::new(); n_pieces];
        for row in 0..vectors.ends.len() as u32 {
            for (piece, weight) in vectors.row(row) {
                of_piece[*piece as usize].push((row, *weight));
            }
        }
        Self { of_piece, n_rows: vectors.ends.len() }
    }

    fn best(&self, query: &[(u32, f32)], n: usize) -> Vec<u32> {
        let mut scores = vec![0f32; self.n_rows];
        for (piece, weight) in query {
            for (row, other) in self.of_piece.get(*piece as usize).into_iter().flatten() {
                scores[*row as usize] += weight * other;
            }
        }
        let mut rows: Vec<u32> = (0..self.n_rows as u32).collect();
        if n < rows.len() {
            let better =
                |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
            rows.select_nth_unstable_by(n, better);
            rows.truncate(n);
            rows.sort_unstable();
        }
        rows
    }
}

/// Pieces, ascending, and how often each is there.
fn counted(pieces: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    let mut sorted = pieces.to_vec();
    sorted.sort_unstable();
    let mut counts: Vec<(u32, u32)> = Vec::new();
    for piece in sorted {
        match counts.last_mut() {
            Some((known, n)) if *known == piece => *n += 1,
            _ => counts.push((piece, 1)),
        }
    }
    counts.into_iter()
}

fn dot(a: &[(u32, f32)], b: &[(u32, f32)]) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += a[i].1 * b[j].1;
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rare shared pieces weigh more than frequent ones; length alone is worth nothing.
    #[test]
    fn rare_words_count() {
        let lists: [&[u32]; 3] = [&[1, 2], &[1, 3, 3], &[]];
        let captions: [&[u32]; 3] = [&[1, 2, 9], &[1, 1, 1, 1, 9], &[3]];
        let idf = |having: f64| ((1.0 + 6.0) / (1.0 + having)).ln();
        // 1 stands in 4 rows, 2 in 2, 3 in 2, 9 in 2
        let idfs: Vec<f64> = [0.0, 4.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0].map(idf).to_vec();
        let similarity = Similarity {
            pictures: Vectors::new(lists.into_iter(), &idfs),
            captions: Vectors::new(captions.into_iter(), &idfs),
        };
        let (one, two) = (idf(4.0), idf(2.0));
        let wanted =
            (one * one + two * two) / ((one * one + two * two).sqrt() * (one * one + 2.0 * two * two).sqrt());
        assert!((f64::from(similarity.of_pair(0, 0)) - wanted).abs() < 1e-6);
        assert_eq!(similarity.of_pair(2, 0), 0.0, "a picture without tags");
        assert!(similarity.of_pair(1, 2) > similarity.of_pair(1, 1));
        let best = |direction, n| similarity.shortlists(direction, n);
        assert_eq!(best(Direction::Texts, 1), [[0], [2], [0]], "of equal ones the first");
        assert_eq!(best(Direction::Images, 1), [[0], [0], [1]]);
        assert_eq!(best(Direction::Images, 5), [[0, 1, 2], [0, 1, 2], [0, 1, 2]], "no more than there are");
        for (direction, flip) in [(Direction::Texts, false), (Direction::Images, true)] {
            for (query, best) in (0..).zip(best(direction, 2)) {
                let score = |other: u32| {
                    let (picture, caption) = if flip { (other, query) } else { (query, other) };
                    similarity.of_pair(picture, caption)
                };
                let worst = best.iter().map(|other| score(*other)).fold(f32::MAX, f32::min);
                assert!(
                    (0..3).filter(|other| !best.contains(other)).all(|other| score(other) <= worst + 1e-6)
                );
            }
        }
    }
}
