//! Dropout: its generator against published numbers, its mask against the definition, its shares against chance.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use pretrain_kernels::{Dropout, dropout, philox4x32};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::assert_gradients;

fn how(rate: f64) -> Dropout {
    Dropout { rate, seed: 0x1234_5678_9ABC_DEF0, stream: 11, step: 17, rows: None }
}

/// The known answers that the authors publish with Random123.
#[test]
fn philox_gives_the_published_vectors() {
    let known = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, words) in known {
        assert_eq!(philox4x32(counter, key), words);
    }
}

/// Word by word, as the module's first lines say.
#[test]
fn the_mask_is_the_stated_function() {
    for (width, rate, threshold) in [
        (1, 0.25, 1 << 14),
        (15, 0.1, 6554),
        (64, 0.25, 1 << 14),
        (85, 0.1, 6554),
        (128, 0.999_999, (1 << 16) - 1),
        (300, 0.25, 1 << 14),
    ] {
        let numbers_of_rows: Arc<[u32]> = [7, 0, 4_000_000_000].into();
        for rows in [None, Some(numbers_of_rows.clone())] {
            let how = Dropout { rows: rows.clone(), ..how(rate) };
            let x = tensor(1, &[3, width], DType::F32);
            let y = numbers(&dropout(&x, &how).unwrap());
            for (index, (x, y)) in numbers(&x).into_iter().zip(y).enumerate() {
                let (row, column) = (index / width, index % width);
                let row = rows.as_ref().map_or(row as u32, |rows| rows[row]);
                let counter = (16 * (column / 128) + column % 16) as u32;
                let words = philox4x32([counter, row, 17, 11], [0x9ABC_DEF0, 0x1234_5678]);
                let word = words[column / 16 % 4];
                let draw = if column % 128 < 64 { word & 0xffff } else { word >> 16 };
                let scale = 65536.0 / f64::from(65536 - threshold);
                let expected = if draw >= threshold { x as f32 * scale as f32 } else { 0.0 };
                assert_eq!(y as f32, expected, "row {row}, column {column}");
            }
        }
    }
}

/// The share of a million numbers within five deviations, and no two neighbours, rows, steps or streams alike.
#[test]
fn shares_are_those_of_the_rate() {
    let ones = Tensor::ones((1000, 1000), DType::F32, &Device::Cpu).unwrap();
    for rate in [0.1, 0.5, 0.9] {
        let kept = |how: &Dropout| -> Vec<bool> {
            numbers(&dropout(&ones, how).unwrap()).into_iter().map(|y| y != 0.0).collect()
        };
        let mask = kept(&how(rate));
        let near = |name: &str, share: f64, expected: f64| {
            let deviation = (expected * (1.0 - expected) / 1e6).sqrt();
            assert!((share - expected).abs() < 5.0 * deviation, "{name} at {rate}: {share} for {expected}");
        };
        let share = |pairs: &mut dyn Iterator<Item = bool>| pairs.filter(|both| *both).count() as f64 / 1e6;
        near("kept", share(&mut mask.iter().copied()), 1.0 - rate);
        let both = (1.0 - rate) * (1.0 - rate);
        for apart in [1, 16, 64, 1000] {
            let pairs = mask.iter().zip(mask.iter().cycle().skip(apart));
            near("neighbours", share(&mut pairs.map(|(a, b)| *a && *b)), both);
        }
        let others = [
            Dropout { step: 18, ..how(rate) },
            Dropout { stream: 12, ..how(rate) },
            Dropout { seed: 1, ..how(rate) },
        ];
        for other in &others {
            let other = kept(other);
            near("apart", share(&mut mask.iter().zip(&other).map(|(a, b)| *a && *b)), both);
        }
    }
}

#[test]
fn rows_keep_their_masks_in_other_batches() {
    let x = tensor(1, &[6, 70], DType::F32);
    let all = numbers(&dropout(&x, &how(0.5)).unwrap());
    let some = Dropout { rows: Some([4, 1].into()), ..how(0.5) };
    let picked = Tensor::cat(&[x.narrow(0, 4, 1).unwrap(), x.narrow(0, 1, 1).unwrap()], 0).unwrap();
    let picked = numbers(&dropout(&picked, &some).unwrap());
    assert_eq!(picked[..70], all[4 * 70..5 * 70]);
    assert_eq!(picked[70..], all[70..140]);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    assert_gradients("dropout", &[var(1, &[3, 2, 35], DType::F64)], |t| dropout(&t[0], &how(0.4)).unwrap());
    assert_gradients("view", &[var(1, &[3, 4, 5], DType::F64)], |t| {
        dropout(&t[0].narrow(1, 1, 2).unwrap().transpose(0, 2).unwrap(), &how(0.4)).unwrap()
    });
}

#[test]
fn keeps_its_bits() {
    assert_same_bits("dropout", &[var(1, &[300, 333], DType::F32)], false, |t| {
        dropout(&t[0], &how(0.1)).unwrap()
    });
}

#[test]
fn empty_tensors_pass_and_bad_rates_are_named() {
    for shape in [&[0, 4][..], &[3, 0], &[]] {
        assert_eq!(dropout(&tensor(1, shape, DType::F32), &how(0.5)).unwrap().dims(), shape);
    }
    let x = tensor(1, &[2, 4], DType::F32);
    assert_eq!(numbers(&dropout(&x, &how(0.0)).unwrap()), numbers(&x));
    for rate in [1.0, -0.1, f64::NAN] {
        let message = dropout(&x, &how(rate)).unwrap_err().to_string();
        assert!(message.contains("dropout: expected a dropout rate in [0, 1)"), "{message}");
    }
    let rows = Dropout { rows: Some([1, 2, 3].into()), ..how(0.5) };
    let message = dropout(&x, &rows).unwrap_err().to_string();
    assert!(message.contains("a number for every row in dropout.rows, got 3 for 2"), "{message}");
}
