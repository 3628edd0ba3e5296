//! Sublayers against the operations that they consist of, to the bit; gradients against finite differences.

use candle_core::{DType, Tensor, Var};
use pretrain_kernels::{
    Affine, Attention, Dropout, Precision, Result, Sequences, SublayerEnd, attention, attention_sublayer,
    feed_forward_sublayer, linear_gelu_in, linear_in, residual_layer_norm,
};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::assert_gradients;

const LENGTHS: [usize; 4] = [5, 0, 33, 16];
const HEADS: usize = 3;
const WIDTH: usize = 40;

/// x, the first product's weight and bias, the last one's, the norm's; attention's queries have 8 numbers.
fn arguments(inner: usize, last: usize, dtype: DType) -> Vec<Var> {
    let shapes: [&[usize]; 7] = [
        &[LENGTHS.iter().sum(), WIDTH],
        &[inner, WIDTH],
        &[inner],
        &[WIDTH, last],
        &[WIDTH],
        &[WIDTH],
        &[WIDTH],
    ];
    shapes.iter().enumerate().map(|(seed, shape)| var(seed as u64, shape, dtype)).collect()
}

fn dropped(stream: u32) -> Dropout {
    Dropout { rate: 0.3, seed: 9, stream, step: 4, rows: None }
}

fn end<'a>(precision: Precision, t: &'a [Tensor], dropout: Option<&'a Dropout>) -> SublayerEnd<'a> {
    let output = Affine { w_oi: &t[3], bias_o: &t[4] };
    SublayerEnd { precision, output, dropout, weight_n: &t[5], bias_n: &t[6], eps: 1e-12 }
}

fn attending<'a>(
    precision: Precision,
    sequences: &'a Sequences,
    dropout: Option<&'a Dropout>,
) -> Attention<'a> {
    Attention { heads: HEADS, sequences, mask: None, dropout, precision }
}

fn attended(precision: Precision, t: &[Tensor], drops: bool) -> Result<Tensor> {
    let (sequences, dropout) =
        (Sequences::new(&LENGTHS), [1, 2].map(|stream| drops.then(|| dropped(stream))));
    let how = attending(precision, &sequences, dropout[0].as_ref());
    let qkv = Affine { w_oi: &t[1], bias_o: &t[2] };
    attention_sublayer(&t[0], qkv, &how, &end(precision, t, dropout[1].as_ref()))
}

fn attended_apart(precision: Precision, t: &[Tensor], drops: bool) -> Result<Tensor> {
    let (sequences, dropout) =
        (Sequences::new(&LENGTHS), [1, 2].map(|stream| drops.then(|| dropped(stream))));
    let how = attending(precision, &sequences, dropout[0].as_ref());
    let z = attention(&linear_in(precision, &t[0], &t[1], Some(&t[2]))?, &how)?;
    let y = linear_in(precision, &z, &t[3], Some(&t[4]))?;
    residual_layer_norm(&y, &t[0], dropout[1].as_ref(), &t[5], &t[6], 1e-12)
}

fn fed_forward(precision: Precision, t: &[Tensor], drops: bool) -> Result<Tensor> {
    let dropout = drops.then(|| dropped(2));
    let inner = Affine { w_oi: &t[1], bias_o: &t[2] };
    feed_forward_sublayer(&t[0], inner, &end(precision, t, dropout.as_ref()))
}

fn fed_forward_apart(precision: Precision, t: &[Tensor], drops: bool) -> Result<Tensor> {
    let dropout = drops.then(|| dropped(2));
    let z = linear_gelu_in(precision, &t[0], &t[1], &t[2])?;
    let y = linear_in(precision, &z, &t[3], Some(&t[4]))?;
    residual_layer_norm(&y, &t[0], dropout.as_ref(), &t[5], &t[6], 1e-12)
}

type Form = fn(Precision, &[Tensor], bool) -> Result<Tensor>;

/// Name, joined, apart, outputs of the first product, inputs of the last.
const SUBLAYERS: [(&str, Form, Form, usize, usize); 2] = [
    ("attention", attended, attended_apart, 3 * HEADS * 8, HEADS * 8),
    ("feed-forward", fed_forward, fed_forward_apart, 88, 88),
];

#[test]
fn they_are_the_operations_one_after_the_other() {
    for (name, joined, apart, inner, last) in SUBLAYERS {
        for (dtype, precision) in
            [(DType::F64, Precision::F32), (DType::F32, Precision::F32), (DType::F32, Precision::Bf16)]
        {
            for drops in [false, true] {
                let arguments = arguments(inner, last, dtype);
                let tensors: Vec<Tensor> = arguments.iter().map(|var| var.as_tensor().clone()).collect();
                let weights = tensor(99, tensors[0].dims(), dtype);
                let both = [joined, apart].map(|form| {
                    let y = form(precision, &tensors, drops).unwrap();
                    let store = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
                    let of = |argument: &Var| numbers(store.get(argument).unwrap());
                    (numbers(&y), arguments.iter().map(of).collect::<Vec<_>>())
                });
                assert_eq!(both[0].0, both[1].0, "{name} {dtype:?} {precision:?}");
                for (number, (joined, apart)) in both[0].1.iter().zip(&both[1].1).enumerate() {
                    assert!(joined.iter().any(|x| *x != 0.0), "{name}: gradient {number} is nothing");
                    // x has two gradients, which are added in another order
                    let largest = apart.iter().fold(0f64, |largest, x| largest.max(x.abs()));
                    let bound = if number == 0 { 1e-6 * largest } else { 0.0 };
                    let differs = joined.iter().zip(apart).any(|(a, b)| (a - b).abs() > bound);
                    assert!(!differs, "{name} {dtype:?} {precision:?} {drops}: gradient {number}");
                }
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (name, joined, _, inner, last) in SUBLAYERS {
        let arguments = arguments(inner, last, DType::F64);
        assert_gradients(name, &arguments, |t| joined(Precision::F32, t, true).unwrap());
    }
}

#[test]
fn keeps_its_bits() {
    for (name, joined, _, inner, last) in SUBLAYERS {
        let arguments = arguments(inner, last, DType::F32);
        assert_same_bits(name, &arguments, false, |t| joined(Precision::Bf16, t, true).unwrap());
    }
}

#[test]
fn what_does_not_fit_is_named() {
    for (name, joined, _, inner, last) in SUBLAYERS {
        let refused = |change: usize, shape: &[usize]| {
            let mut tensors: Vec<Tensor> =
                arguments(inner, last, DType::F32).iter().map(|var| var.as_tensor().clone()).collect();
            tensors[change] = tensor(1, shape, DType::F32);
            joined(Precision::F32, &tensors, true).unwrap_err().to_string()
        };
        for (change, shape, wanted) in [
            (1, &[inner, WIDTH + 1][..], "w"),
            (2, &[inner + 1], "bias"),
            (3, &[WIDTH, last + 1], "output.w"),
            (4, &[WIDTH + 1], "output.bias"),
            (5, &[WIDTH + 1], "weight"),
            (6, &[WIDTH + 1], "bias"),
        ] {
            let problem = refused(change, shape);
            assert!(problem.contains(wanted), "{name}: {problem}");
        }
    }
}
