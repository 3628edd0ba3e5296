//! Scores of all pairs as a file that `finetune score retrieval` reads.

use std::path::Path;

use finetune_harness::{Error, Result};
use serde_json::json;

use crate::gallery::Gallery;
use crate::pairs::Pairs;
use crate::similarity::Similarity;

/// Pictures x captions: `.npy` of f64, or `.json` with the ids beside `scores`. What was not scored stands behind all that
/// was, by its likeness, from -1 to 0.
pub(crate) fn write(path: &Path, gallery: &Gallery, pairs: &Pairs, scores: &[f64]) -> Result<Vec<u8>> {
    let (n_pictures, n_captions) = (gallery.n_pictures(), gallery.n_captions());
    let similarity = (pairs.len() < n_pictures * n_captions).then(|| Similarity::new(gallery));
    let score = |picture: u32, caption: u32| match (pairs.find(picture, caption), &similarity) {
        (Some(number), _) => scores[number],
        (None, Some(similarity)) => f64::from(similarity.of_pair(picture, caption)).min(1.0) - 1.0,
        (None, None) => -1.0,
    };
    let captions = 0..n_captions as u32;
    let pictures = 0..n_pictures as u32;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => {
            let mut bytes = numpy_header(n_pictures, n_captions);
            for picture in pictures {
                captions.clone().for_each(|caption| bytes.extend(score(picture, caption).to_le_bytes()));
            }
            Ok(bytes)
        }
        Some("json") => {
            let images =
                pictures.clone().map(|picture| gallery.image_id(picture)).collect::<Result<Vec<_>>>()?;
            let ids = captions.clone().map(|caption| Ok(gallery.place(caption)?.text().id.clone()));
            let ids = ids.collect::<Result<Vec<_>>>()?;
            let row = |picture| captions.clone().map(|caption| score(picture, caption)).collect();
            let rows: Vec<Vec<f64>> = pictures.map(row).collect();
            let value = json!({ "images": images, "captions": ids, "scores": rows });
            Ok((value.to_string() + "\n").into_bytes())
        }
        _ => Err(Error::Setting {
            key: "--out".to_owned(),
            problem: format!("is {}", path.display()),
            hint: "a name that ends with .npy or .json".to_owned(),
        }),
    }
}

/// Version 1.0; its length is a multiple of 64.
fn numpy_header(rows: usize, columns: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    text.push_str(&" ".repeat(63 - (10 + text.len()) % 64));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_ends_at_a_multiple_of_64() {
        for size in [1, 1000, 25_000, 123_456_789] {
            let header = super::numpy_header(size, 5 * size);
            assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')));
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
        }
    }
}
