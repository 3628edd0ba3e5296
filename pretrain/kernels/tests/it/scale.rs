//! Factors of channels.

use candle_core::DType;
use pretrain_kernels::{Error, scale_channels};

use crate::bits::assert_same_bits;
use crate::draw::{numbers, tensor, var};
use crate::proof::assert_gradients;

#[test]
fn is_the_broadcast_product_to_the_bit() {
    for shape in [[1, 1, 1, 1], [2, 5, 7, 3], [3, 40, 21, 19], [0, 3, 2, 2], [2, 3, 0, 4]] {
        let x = tensor(1, &shape, DType::F32);
        let s = tensor(2, &shape[..2], DType::F32);
        let wanted = x.broadcast_mul(&s.reshape((shape[0], shape[1], 1, 1)).unwrap()).unwrap();
        assert_eq!(numbers(&scale_channels(&x, &s).unwrap()), numbers(&wanted), "{shape:?}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let inputs = [var(1, &[2, 3, 4, 5], DType::F64), var(2, &[2, 3], DType::F64)];
    assert_gradients("scale", &inputs, |t| scale_channels(&t[0], &t[1]).unwrap());
    let views = [var(1, &[3, 2, 5, 4], DType::F64), var(2, &[3, 2], DType::F64)];
    assert_gradients("scale of views", &views, |t| {
        scale_channels(&t[0].transpose(0, 1).unwrap(), &t[1].t().unwrap()).unwrap()
    });
}

#[test]
fn keeps_its_bits() {
    let inputs = [var(1, &[3, 40, 21, 21], DType::F32), var(2, &[3, 40], DType::F32)];
    assert_same_bits("scale", &inputs, false, |t| scale_channels(&t[0], &t[1]).unwrap());
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = tensor(1, &[2, 3, 4, 4], DType::F32);
    let error = scale_channels(&x, &tensor(1, &[2, 4], DType::F32)).unwrap_err();
    assert!(matches!(error, Error::Shape { tensor: "s", .. }), "{error}");
    assert!(scale_channels(&x, &tensor(1, &[2, 3], DType::F64)).is_err());
    assert!(scale_channels(&tensor(1, &[2, 3, 4], DType::F32), &tensor(1, &[2, 3], DType::F32)).is_err());
}
