//! Recall@K of image-text retrieval.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, layouts};

/// Scores of pictures (rows) against captions (columns).
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMatrix {
    /// Row by row.
    values: Vec<f64>,
    columns: usize,
}

/// The share of queries whose first positive stands among the first K.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Recall {
    /// K = 1.
    pub at_1: f64,
    /// K = 5.
    pub at_5: f64,
    /// K = 10.
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
            #[derive(Deserialize)]
            #[serde(untagged)]
            enum File {
                Rows(Vec<Vec<f64>>),
                Under { scores: Vec<Vec<f64>> },
            }
            let (File::Rows(rows) | File::Under { scores: rows }) =
                layouts::parse(path, "a score matrix (a list of rows of numbers)", &bytes)?;
            Self::new(rows).ok_or_else(|| content("rows are missing or of different length".to_owned()))?
        };
        if matrix.values.iter().any(|score| score.is_nan()) {
            return Err(content("holds a score that is not a number (NaN)".to_owned()));
        }
        Ok(matrix)
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
    /// `j / captions_per_image`. `None` where the columns do not fit.
    pub fn ranks(&self, captions_per_image: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        if captions_per_image == 0 || self.columns != self.rows() * captions_per_image {
            return None;
        }
        let owner = |column: usize| column / captions_per_image;
        let at = |row: usize, column: usize| self.values[row * self.columns + column];
        let to_captions = (0..self.rows())
            .map(|row| {
                first_positive((0..self.columns).map(|column| (at(row, column), owner(column) == row)))
            })
            .collect::<Option<_>>()?;
        let to_pictures = (0..self.columns)
            .map(|column| first_positive((0..self.rows()).map(|row| (at(row, column), owner(column) == row))))
            .collect::<Option<_>>()?;
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
    }

    #[test]
    fn numpy_files_in_both_orders() {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n";
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        for value in [1f32, 4.0, 2.0, 5.0, 3.0, 6.0] {
            file.extend(value.to_le_bytes());
        }
        assert_eq!(numpy(&file), Ok((vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)));
        let text = String::from_utf8_lossy(&file[10..10 + header.len()]).replace("True", "False");
        let mut rows = file[..8].to_vec();
        rows.extend((text.len() as u16).to_le_bytes());
        rows.extend(text.as_bytes());
        rows.extend(&file[10 + header.len()..]);
        assert_eq!(numpy(&rows), Ok((vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], 3)));
        assert!(numpy(&file[..file.len() - 2]).is_err());
    }
}
