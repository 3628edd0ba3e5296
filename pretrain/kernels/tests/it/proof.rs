//! Bounds and finite differences.

use candle_core::{DType, Tensor, Var};

use crate::draw::{numbers, tensor, values};

/// A sum that was also formed over absolute values, and how many roundings a term meets.
pub(crate) struct Exact {
    pub(crate) value: Vec<f64>,
    pub(crate) absolute: Vec<f64>,
    pub(crate) roundings: usize,
}

/// `|computed - exact| <= γ_n Σ|terms|`, γ_n = n u / (1 - n u), u = 2^-24: holds for every order of summation, with
/// fused operations or without.
pub(crate) fn assert_within(what: &str, computed: &Tensor, exact: &Exact) {
    assert_eq!(computed.dtype(), DType::F32, "{what}");
    let computed = numbers(computed);
    assert_eq!(computed.len(), exact.value.len(), "{what}");
    let n = exact.roundings as f64 * 2f64.powi(-24);
    let gamma = n / (1.0 - n);
    for (index, (got, (value, absolute))) in
        computed.iter().zip(exact.value.iter().zip(&exact.absolute)).enumerate()
    {
        let (error, bound) = ((got - value).abs(), gamma * absolute + f64::from(f32::MIN_POSITIVE));
        assert!(error <= bound, "{what}[{index}]: {got}, exact {value}, error {error:e} over {bound:e}");
    }
}

/// Compares the gradients of `Σ y r` (r drawn) to central differences, for every element of every input, in f64.
/// Each input must get a gradient.
pub(crate) fn assert_gradients(what: &str, inputs: &[Var], f: impl Fn(&[Tensor]) -> Tensor) {
    let tensors = |inputs: &[Var]| inputs.iter().map(|input| input.as_tensor().clone()).collect::<Vec<_>>();
    let y = f(&tensors(inputs));
    let weights = tensor(99, y.dims(), DType::F64);
    let gradients = (&y * &weights).unwrap().sum_all().unwrap().backward().unwrap();
    let weights = values(99, y.elem_count());
    let loss =
        |inputs: &[Tensor]| -> f64 { numbers(&f(inputs)).iter().zip(&weights).map(|(y, w)| y * w).sum() };
    for (index, input) in inputs.iter().enumerate() {
        let gradient =
            gradients.get(input).unwrap_or_else(|| panic!("{what}: input {index} has no gradient"));
        assert_eq!(gradient.dims(), input.dims(), "{what}: input {index}");
        let (gradient, start) = (numbers(gradient), numbers(input));
        for element in 0..start.len() {
            let step = 1e-5;
            let moved = |by: f64| {
                let mut values = start.clone();
                values[element] += by;
                let mut inputs = tensors(inputs);
                inputs[index] = Tensor::from_vec(values, input.dims(), input.device()).unwrap();
                loss(&inputs)
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            let error = (gradient[element] - difference).abs();
            assert!(
                error <= 1e-7 * difference.abs().max(1.0),
                "{what}: input {index}, element {element}: {} by backward, {difference} by differences",
                gradient[element]
            );
        }
    }
}
