//! What candle's own operations do, and why they are not used. Such a test fails when candle mends the matter; then the
//! reason for our own operation is gone, and its speed decides.

use candle_core::{DType, Device, Module, Tensor};

use crate::draw::var;

/// Contiguous input and a bias: the fused way, which has no backward. What lies before it is never trained.
#[test]
fn candles_layer_norm_drops_gradients_in_silence() {
    let x = var(1, &[2, 3], DType::F32);
    let (weight, bias) = (var(2, &[3], DType::F32), var(3, &[3], DType::F32));
    let layer = candle_nn::LayerNorm::new(weight.as_tensor().clone(), bias.as_tensor().clone(), 1e-5);
    let y = layer.forward(&x).unwrap();
    let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert!([&x, &weight, &bias].iter().all(|input| gradients.get(input).is_none()));
}

/// 3 x 3 windows at stride 2, the stem of every ResNe(X)t.
#[test]
fn candles_max_pool_has_no_backward_for_overlapping_windows() {
    let x = var(1, &[1, 1, 7, 7], DType::F32);
    let y = x.max_pool2d_with_stride(3, 2).unwrap();
    assert!(y.sum_all().unwrap().backward().is_err());
}

/// In 2 x 2 windows with one largest element the gradient arrives as a quarter of itself.
#[test]
fn candles_max_pool_scales_its_gradient() {
    let x =
        candle_core::Var::from_tensor(&Tensor::new(&[[[[1f32, 2.0], [3.0, 4.0]]]], &Device::Cpu).unwrap())
            .unwrap();
    let gradients = x.max_pool2d(2).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(crate::draw::numbers(gradients.get(&x).unwrap()), [0.0, 0.0, 0.0, 0.25]);
}

/// The gradient's padding is taken from the height alone.
#[test]
fn candles_convolution_has_no_backward_for_sides_of_different_parity() {
    let (x, w) = (var(1, &[1, 1, 7, 8], DType::F32), var(2, &[1, 1, 3, 3], DType::F32));
    let y = x.conv2d(&w, 1, 2, 1, 1).unwrap();
    assert!(y.sum_all().unwrap().backward().is_err());
}

/// One convolution a group, its results concatenated, so that the graph of a depthwise layer grows with its channels.
#[test]
fn candles_grouped_convolution_is_one_convolution_a_group() {
    let (x, w) = (var(1, &[1, 24, 5, 5], DType::F32), var(2, &[24, 1, 3, 3], DType::F32));
    let y = x.conv2d(&w, 1, 1, 1, 24).unwrap();
    assert!(y.sorted_nodes().len() > 3 * 24);
}
