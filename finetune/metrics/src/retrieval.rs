//! Recall@K of image-text retrieval.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    Error,
    layouts::{self, Object, TextFile},
};

/// Scores of pictures (rows) against captions (columns).
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMatrix {
    /// Row by row.
    values: Vec<f64>,
    columns: usize,
}

/// The share of queries whose first positive stands among the first K.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Recall {
    /// K = 1.
    #[serde(rename = "R@1")]
    pub at_1: f64,
    /// K = 5.
    #[serde(rename = "R@5")]
    pub at_5: f64,
    /// K = 10.
    #[serde(rename = "R@10")]
    pub at_10: f64,
}

/// How many queries have a positive above all but this many others: `rank` counts from 0.
pub fn recall(ranks: &[usize]) -> Recall {
    let at = |k: usize| ranks.iter().filter(|&&rank| rank < k).count() as f64 / ranks.len() as f64;
    Recall { at_1: at(1), at_5: at(5), at_10: at(10) }
}

/// The rank of the first positive by falling score. Equal scores stand in reverse order, as a stable
/// ascending sort read backwards puts them.
pub fn first_positive(scores: impl Iterator<Item = (f64, bool)>) -> Option<usize> {
    let items: Vec<(f64, bool)> = scores.collect();
    let (best, score) = items
        .iter()
        .enumerate()
        .filter(|(_, (_, positive))| *positive)
        .map(|(index, (score, _))| (index, *score))
        .max_by(|(left_index, left), (right_index, right)| {
            left.total_cmp(right).then(left_index.cmp(right_index))
        })?;
    let before =
        |&(index, &(other, _)): &(usize, &(f64, bool))| other > score || (other == score && index > best);
    Some(items.iter().enumerate().filter(before).count())
}

impl ScoreMatrix {
    /// A matrix from rows of equal length.
    pub fn new(rows: Vec<Vec<f64>>) -> Option<Self> {
        let columns = rows.first()?.len();
        let even = columns > 0 && rows.iter().all(|row| row.len() == columns);
        even.then(|| Self { values: rows.concat(), columns })
    }

    /// Reads a NumPy file of two dimensions (f4 or f8), or JSON: a list of rows, alone or under
    /// `scores`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = layouts::read(path)?;
        let content = |problem: String| Error::Content { path: path.to_owned(), problem };
        let matrix = if bytes.starts_with(b"\x93NUMPY") {
            let (values, columns) = numpy(&bytes).map_err(|problem| content(problem.to_owned()))?;
            Self { values, columns }
        } else {
            Self::from_json(&TextFile::from_bytes(path, bytes)?)?
        };
        if let Some(place) = matrix.values.iter().position(|score| score.is_nan()) {
            let (row, column) = (place / matrix.columns, place % matrix.columns);
            return Err(content(format!("row {row}, column {column} (from 0) is not a number (NaN)")));
        }
        Ok(matrix)
    }

    fn from_json(file: &TextFile) -> Result<Self, Error> {
        const EXPECTED: &str = "a score matrix (a list of rows of numbers, or one under `scores`)";
        let mut rows: Vec<Vec<f64>> = Vec::new();
        if file.is_list() {
            rows = file.parse(EXPECTED)?;
        } else {
            let members = Object::new(file.text()).each_member(|key, member| {
                if key == "scores" {
                    rows = member.value()?;
                }
                Ok(())
            });
            members.map_err(|fault| fault.into_error(file, EXPECTED))?;
        }
        Self::new(rows).ok_or_else(|| file.content("rows are missing or of different length"))
    }

    /// Pictures.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Captions.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Ranks from pictures to captions and from captions to pictures; caption `j` belongs to picture
    /// `j / captions_per_image`. `None` where the columns do not fit. Equal scores as in [`first_positive`].
    pub fn ranks(&self, captions_per_image: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        if captions_per_image == 0 || self.columns != self.rows().checked_mul(captions_per_image)? {
            return None;
        }
        let to_captions = self
            .values
            .par_chunks(self.columns)
            .enumerate()
            .map(|(row, scores)| {
                let belongs = |column: usize| column / captions_per_image == row;
                first_positive(scores.iter().enumerate().map(|(column, score)| (*score, belongs(column))))
            })
            .collect::<Option<_>>()?;
        let mut to_pictures = vec![0; self.columns];
        // A caption has one picture. Row by row, as the matrix lies in memory, for some columns a thread.
        const COLUMNS: usize = 256;
        to_pictures.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, ranks)| {
            let first = chunk * COLUMNS;
            let own: Vec<(usize, f64)> = (first..first + ranks.len())
                .map(|column| (column / captions_per_image, column))
                .map(|(row, column)| (row, self.values[row * self.columns + column]))
                .collect();
            for (row, scores) in self.values.chunks(self.columns).enumerate() {
                let scores = &scores[first..first + ranks.len()];
                for ((rank, &(own_row, own)), &other) in ranks.iter_mut().zip(&own).zip(scores) {
                    *rank += usize::from(other > own || (other == own && row > own_row));
                }
            }
        });
        Some((to_captions, to_pictures))
    }
}

/// The numbers of a NumPy file, row by row, and how many columns it has.
fn numpy(bytes: &[u8]) -> Result<(Vec<f64>, usize), &'static str> {
    const DAMAGED: &str = "is a damaged NumPy file; save it again with numpy.save";
    let header_length = match bytes.get(6).ok_or(DAMAGED)? {
        1 => {
            u16::from_le_bytes(bytes.get(8..10).ok_or(DAMAGED)?.try_into().map_err(|_| DAMAGED)?) as usize
                + 10
        }
        _ => {
            u32::from_le_bytes(bytes.get(8..12).ok_or(DAMAGED)?.try_into().map_err(|_| DAMAGED)?) as usize
                + 12
        }
    };
    let start = if bytes[6] == 1 { 10 } else { 12 };
    let header = std::str::from_utf8(bytes.get(start..header_length).ok_or(DAMAGED)?).map_err(|_| DAMAGED)?;
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest).ok_or(DAMAGED);
    let shape =
        after("'shape':")?.split_once('(').and_then(|(_, rest)| rest.split_once(')')).ok_or(DAMAGED)?.0;
    let sizes: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let &[rows, columns] = sizes.as_slice() else {
        return Err("does not have two dimensions; save the matrix of pictures x captions");
    };
    let by_column = after("'fortran_order':")?.trim_start().starts_with("True");
    let data = &bytes[header_length..];
    let descriptor = after("'descr':")?;
    let values: Vec<f64> = if descriptor.contains("<f4") {
        data.as_chunks().0.iter().map(|four| f64::from(f32::from_le_bytes(*four))).collect()
    } else if descriptor.contains("<f8") {
        data.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect()
    } else {
        return Err("does not hold f4 or f8 numbers; save it with dtype float32");
    };
    if rows.checked_mul(columns) != Some(values.len()) || values.is_empty() {
        return Err(DAMAGED);
    }
    if !by_column {
        return Ok((values, columns));
    }
    let by_row = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    Ok((by_row.map(|(row, column)| values[column * rows + row]).collect(), columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_both_ways() {
        let matrix =
            ScoreMatrix::new(vec![vec![0.9, 0.1, 0.8, 0.2], vec![0.3, 0.4, 0.2, 0.1]]).expect("even rows");
        let (to_captions, to_pictures) = matrix.ranks(2).expect("two captions each");
        assert_eq!(to_captions, [0, 2]);
        assert_eq!(to_pictures, [0, 1, 1, 1]);
        assert_eq!(recall(&[0, 4, 9, 10]), Recall { at_1: 0.25, at_5: 0.5, at_10: 0.75 });
        assert_eq!(matrix.ranks(3), None);
        assert_eq!(matrix.ranks(0), None);
    }

    #[test]
    fn of_equal_scores_the_later_stands_first() {
        let matrix = ScoreMatrix::new(vec![vec![0.5; 4], vec![0.5; 4]]).expect("even rows");
        let (to_captions, to_pictures) = matrix.ranks(2).expect("two captions each");
        assert_eq!((to_captions, to_pictures), (vec![2, 0], vec![1, 1, 0, 0]));
    }

    #[test]
    fn ranks_of_many_columns_are_those_of_each_alone() {
        let (rows, each) = (60, 5);
        let score = |row: usize, column: usize| ((row * 7919 + column * 104_729) % 101) as f64;
        let values =
            (0..rows).map(|row| (0..rows * each).map(|column| score(row, column)).collect()).collect();
        let matrix = ScoreMatrix::new(values).expect("even rows");
        let (_, to_pictures) = matrix.ranks(each).expect("five captions each");
        for (column, rank) in to_pictures.into_iter().enumerate() {
            let alone = first_positive((0..rows).map(|row| (score(row, column), column / each == row)));
            assert_eq!(Some(rank), alone, "column {column}");
        }
    }

    #[test]
    fn bad_matrices_are_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for (text, part) in [
            ("", "not a score matrix"),
            ("[]", "rows are missing"),
            ("[[]]", "rows are missing"),
            ("[[1, 2], [3]]", "of different length"),
            ("[[1, NaN]]", "column 6"),
            ("[[1, \"2\"]]", "not a score matrix"),
            ("{\"score\": [[1]]}", "rows are missing"),
            ("\u{93}NUMPY", "not a score matrix"),
        ] {
            std::fs::write(file.path(), text).expect("writing it");
            let message = ScoreMatrix::read(file.path()).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let mut numbers = numpy_file("<f8", false, "(1, 2)");
        numbers.extend([1.0, f64::NAN].into_iter().flat_map(f64::to_le_bytes));
        std::fs::write(file.path(), numbers).expect("writing it");
        let message = ScoreMatrix::read(file.path()).expect_err("NaN").to_string();
        assert!(message.contains("row 0, column 1"), "{message}");
        std::fs::write(file.path(), "{\"captions\": [\"a\"], \"scores\": [[1, 2]]}").expect("writing it");
        assert_eq!(ScoreMatrix::read(file.path()).expect("a matrix").columns(), 2);
    }

    fn numpy_file(kind: &str, by_column: bool, shape: &str) -> Vec<u8> {
        let order = if by_column { "True" } else { "False" };
        let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file
    }

    #[test]
    fn numpy_files_in_both_orders() {
        let values = [1f32, 4.0, 2.0, 5.0, 3.0, 6.0];
        let of = |mut file: Vec<u8>| {
            file.extend(values.into_iter().flat_map(f32::to_le_bytes));
            file
        };
        let by_column = of(numpy_file("<f4", true, "(2, 3)"));
        assert_eq!(numpy(&by_column), Ok((vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)));
        let by_row = of(numpy_file("<f4", false, "(2, 3)"));
        assert_eq!(numpy(&by_row), Ok((vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], 3)));
        assert!(numpy(&by_row[..by_row.len() - 2]).is_err());
        assert!(numpy(&of(numpy_file("<f4", false, "(6,)"))).is_err_and(|it| it.contains("two dimensions")));
        assert!(numpy(&of(numpy_file("<i4", false, "(2, 3)"))).is_err_and(|it| it.contains("float32")));
        assert!(numpy(&of(numpy_file("<f4", false, "(3, 3)"))).is_err());
        assert!((0..by_row.len()).all(|length| numpy(&by_row[..length]).is_err()), "cut anywhere");
    }
}
