//! Rows of tables against plain loops.

use candle_core::DType;
use pretrain_kernels::{embedding, embedding_sum};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, values, var};
use crate::proof::{Exact, assert_gradients, assert_within};

fn draw_ids(seed: u64, count: usize, rows: usize) -> Vec<u32> {
    values(seed, count).into_iter().map(|x| ((x + 1.0) / 2.0 * rows as f64) as u32).collect()
}

#[test]
fn values_and_gradients_are_the_sums() {
    let (tokens, width) = (90, 33);
    let rows = [40, 17, 2];
    let tables = [0, 1, 2].map(|table| var(table as u64 + 1, &[rows[table], width], DType::F32));
    let ids = [0, 1, 2].map(|table| draw_ids(table as u64 + 4, tokens, rows[table]));
    let y = embedding_sum((&tables[0], &ids[0], None), (&tables[1], &ids[1]), (&tables[2], &ids[2])).unwrap();
    let values = tables.each_ref().map(|table| numbers(table));
    let (mut value, mut absolute) = (Vec::new(), Vec::new());
    for (token, column) in (0..tokens).flat_map(|token| (0..width).map(move |column| (token, column))) {
        let terms = [0, 1, 2].map(|table| values[table][ids[table][token] as usize * width + column]);
        value.push(terms.iter().sum());
        absolute.push(terms.iter().map(|x| x.abs()).sum());
    }
    assert_within("y", &y, &Exact { value, absolute, roundings: 2 });

    let d_y = tensor(9, &[tokens, width], DType::F32);
    let gradients = (&y * &d_y).unwrap().sum_all().unwrap().backward().unwrap();
    let d_y = numbers(&d_y);
    for (table, ids) in tables.iter().zip(&ids) {
        // The sum in f64, so that one rounding remains.
        let mut exact = Exact { value: vec![0.0; table.elem_count()], absolute: Vec::new(), roundings: 1 };
        for (token, id) in ids.iter().enumerate() {
            for column in 0..width {
                exact.value[*id as usize * width + column] += d_y[token * width + column];
            }
        }
        exact.absolute = exact.value.iter().map(|x| x.abs()).collect();
        assert_within("d_table", gradients.get(table).unwrap(), &exact);
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let tables = [var(1, &[5, 3], DType::F64), var(2, &[4, 3], DType::F64), var(3, &[2, 3], DType::F64)];
    assert_gradients("one", &tables[..1], |t| embedding(&t[0], &[4, 0, 4, 4, 2]).unwrap());
    assert_gradients("three", &tables, |t| {
        embedding_sum((&t[0], &[4, 0, 4], None), (&t[1], &[0, 1, 2]), (&t[2], &[1, 1, 0])).unwrap()
    });
    assert_gradients("view", &tables[..1], |t| {
        embedding(&t[0].narrow(0, 1, 4).unwrap().t().unwrap(), &[2, 2, 1]).unwrap()
    });
}

#[test]
fn padding_gets_no_gradient() {
    let tables = [var(1, &[5, 3], DType::F32), var(2, &[4, 3], DType::F32), var(3, &[2, 3], DType::F32)];
    let gradient = |padding| {
        let y = embedding_sum(
            (&tables[0], &[4, 0, 4], padding),
            (&tables[1], &[0, 1, 2]),
            (&tables[2], &[1, 1, 0]),
        );
        numbers(y.unwrap().sum_all().unwrap().backward().unwrap().get(&tables[0]).unwrap())
    };
    let (with, without) = (gradient(Some(4)), gradient(None));
    assert_eq!(without, [[1.0; 3], [0.0; 3], [0.0; 3], [0.0; 3], [2.0; 3]].concat());
    assert_eq!(with, [[1.0; 3], [0.0; 3], [0.0; 3], [0.0; 3], [0.0; 3]].concat());
}

#[test]
fn keeps_its_bits() {
    let tables = [var(1, &[50, 70], DType::F32), var(2, &[30, 70], DType::F32), var(3, &[2, 70], DType::F32)];
    let ids = [50, 30, 2].map(|rows| draw_ids(rows as u64, 2000, rows));
    assert_same_bits("embedding_sum", &tables, false, |t| {
        embedding_sum((&t[0], &ids[0], None), (&t[1], &ids[1]), (&t[2], &ids[2])).unwrap()
    });
}

#[test]
fn no_tokens_pass_and_misfits_are_named() {
    let table = var(1, &[5, 3], DType::F32);
    let y = embedding(&table, &[]).unwrap();
    assert_eq!(y.dims(), [0, 3]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(numbers(gradients.get(&table).unwrap()), [0.0; 15]);
    let message = embedding(&table, &[4, 5]).unwrap_err().to_string();
    assert!(
        message.contains("token 1: expected an id below 5, the rows of table embedding, got 5"),
        "{message}"
    );
    let wide = var(1, &[5, 4], DType::F32);
    let message = embedding_sum((&table, &[0], None), (&wide, &[0]), (&table, &[0])).unwrap_err().to_string();
    assert!(message.contains("position has shape [5, 4], expected [rows, 3]"), "{message}");
    let message =
        embedding_sum((&table, &[0], None), (&table, &[0]), (&table, &[0, 1])).unwrap_err().to_string();
    assert!(message.contains("as many ids for every table, got 2 for segment, 1 for word"), "{message}");
}
