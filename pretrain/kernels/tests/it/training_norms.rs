//! What goes into layers that learn, and what comes out of them, beside the operations on tensors in f64.

use candle_core::{DType, Device, Tensor, Var};
use pretrain_kernels::image::training::{
    Activated, Behind, Beside, Filter, Gate, GateGradients, Gradient, LearningPool, Norm, Packed, Sink,
    Source, activation_sums, convolve, join, lay_out, pointwise_gradient, spread,
};
use pretrain_kernels::image::{Activation, Maps, MaxPool, VectorPath};
use pretrain_kernels::{
    ConvGeometry, Padding, batch_norm_inference, batch_norm_training, conv2d, global_average_pool, linear,
    max_pool2d, relu, scale_channels, sigmoid, swish,
};

use crate::training::{BOUND, assert_near, maps, numbers, paths, tensor};

const EPSILON: f64 = 1e-3;

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn activated(activation: Activation, z: &Tensor) -> Tensor {
    match activation {
        Activation::None => z.clone(),
        Activation::Relu => relu(z).unwrap(),
        Activation::Swish => swish(z).unwrap(),
    }
}

fn empty([batch, channels, height, width]: [usize; 4]) -> Maps<f32> {
    let mut maps = Maps::default();
    maps.reshape_dense(batch, [height, width], channels);
    maps
}

fn packed(filter: &Filter, w: &[f32], forward: bool) -> Packed {
    let mut packed = Packed::default();
    match forward {
        true => packed.take_forward(filter, w, Padding::default()),
        false => packed.take_backward(filter, w, Padding::default()),
    }
    packed
}

/// A product, a normalisation, an activation and another product; every gradient of it.
fn chain(
    path: VectorPath,
    activation: Activation,
    dims: [usize; 4],
    [middle, outputs]: [usize; 2],
    shift: f32,
) {
    let [batch, inputs, height, width] = dims;
    let (first_dims, second_dims) = ([middle, inputs, 1, 1], [outputs, middle, 1, 1]);
    let (y_dims, z_dims) = ([batch, middle, height, width], [batch, outputs, height, width]);
    // a common part makes means large beside deviations
    let x: Vec<f32> = numbers(1, &dims).iter().map(|x| x + shift).collect();
    let (first, second) = (numbers(2, &first_dims), numbers(3, &second_dims));
    let (weight, bias) = (numbers(4, &[middle]), numbers(5, &[middle]));
    let factors = numbers(6, &z_dims);

    // ---- on tensors
    let variable = |values: &[f32], dims: &[usize]| Var::from_tensor(&tensor(values, dims)).unwrap();
    let (x_var, first_var, second_var) =
        (variable(&x, &dims), variable(&first, &first_dims), variable(&second, &second_dims));
    let (weight_var, bias_var) = (variable(&weight, &[middle]), variable(&bias, &[middle]));
    let geometry = ConvGeometry::default();
    let y_exact = conv2d(&x_var, &first_var, None, &geometry).unwrap();
    let (normed, mean, variance) = batch_norm_training(&y_exact, &weight_var, &bias_var, EPSILON).unwrap();
    let a_exact = activated(activation, &normed);
    let z_exact = conv2d(&a_exact, &second_var, None, &geometry).unwrap();
    let loss = (&z_exact * tensor(&factors, &z_dims)).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    let exact = |variable: &Var| store.get(variable).unwrap().clone();

    // ---- on maps
    let [first_filter, second_filter] =
        [first_dims, second_dims].map(|dims| Filter { dims, stride: 1, groups: 1 });
    let (from, d_z) = (maps(&x, dims), maps(&factors, z_dims));
    let (mut y, mut z, mut d_y, mut d_x) = (empty(y_dims), empty(z_dims), empty(y_dims), empty(dims));
    let x = Source::Plain(from.all());
    let moments = convolve(path, &packed(&first_filter, &first, true), &x, None, &Sink::Moments, y.all_mut());
    let norm = Norm::of_batch(&moments, &weight, &bias, EPSILON);
    let a = Source::Activated(Activated { y: y.all(), norm: &norm, activation, gates_bc: None });
    convolve(path, &packed(&second_filter, &second, true), &a, None, &Sink::Nothing, z.all_mut());
    let (mut d_second, mut d_first) = (vec![0.0; second.len()], vec![0.0; first.len()]);
    pointwise_gradient(path, &Source::Plain(d_z.all()), &a, 1, &mut d_second);
    let sink = Sink::Slope(Behind { y: y.all(), norm: &norm, activation });
    let d_z = Source::Plain(d_z.all());
    let sums = convolve(path, &packed(&second_filter, &second, false), &d_z, None, &sink, d_y.all_mut());
    let (mut d_weight, mut d_bias) = (vec![0.0; middle], vec![0.0; middle]);
    let terms = norm.backward([&sums.totals(0, None), &sums.totals(1, None)], &mut d_weight, &mut d_bias);
    let d_y = Source::Gradient(Gradient {
        d: Some(d_y.all()),
        gates_bc: None,
        levels_bc: None,
        y: y.all(),
        norm: &norm,
        activation: Activation::None,
        terms: &terms,
    });
    pointwise_gradient(path, &d_y, &x, 1, &mut d_first);
    convolve(path, &packed(&first_filter, &first, false), &d_y, None, &Sink::Nothing, d_x.all_mut());

    let what = |part: &str| format!("{path:?} {activation:?} {dims:?}, {middle} of {shift}: {part}");
    // roundings of y are as large as its mean, and are divided by its deviation
    let bound = BOUND * (4.0 + 4.0 * f64::from(shift));
    let (got_mean, got_variance) = norm.statistics();
    let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
    assert_near(&what("mean"), &single(got_mean), &mean, BOUND);
    assert_near(&what("variance"), &single(got_variance), &variance, bound);
    assert_near(&what("z"), &z.all().to_tensor(), &z_exact, bound);
    assert_near(&what("d_second"), &d_second, &exact(&second_var), bound);
    assert_near(&what("d_weight"), &d_weight, &exact(&weight_var), bound);
    assert_near(&what("d_bias"), &d_bias, &exact(&bias_var), bound);
    assert_near(&what("d_x"), &d_x.all().to_tensor(), &exact(&x_var), bound);
    assert_near(&what("d_first"), &d_first, &exact(&first_var), bound * (1.0 + f64::from(shift)));
}

#[test]
fn normalisations_and_their_gradients_are_the_tensors() {
    for path in paths() {
        for activation in [Activation::None, Activation::Relu, Activation::Swish] {
            chain(path, activation, [3, 7, 9, 5], [20, 6], 0.0);
            chain(path, activation, [2, 24, 31, 27], [33, 18], 0.0);
            chain(path, activation, [5, 9, 1, 1], [16, 3], 0.0);
            chain(path, activation, [2, 8, 12, 13], [17, 5], 3.0);
        }
    }
}

/// Squeeze and excitation of a normalised map, behind the product that reads it: the gradient of the map.
#[test]
fn gates_and_their_gradients_are_the_tensors() {
    let (dims, squeezed) = ([3, 19, 6, 5], 4);
    let [batch, channels, height, width] = dims;
    let y_values = numbers(1, &dims);
    let (weight, bias) = (numbers(4, &[channels]), numbers(5, &[channels]));
    let (reduce, reduce_bias) = (numbers(6, &[squeezed, channels]), numbers(7, &[squeezed]));
    let (excite, excite_bias) = (numbers(8, &[channels, squeezed]), numbers(9, &[channels]));
    let factors = numbers(10, &dims);

    let variable = |values: &[f32], dims: &[usize]| Var::from_tensor(&tensor(values, dims)).unwrap();
    let y_var = variable(&y_values, &dims);
    let vars = [
        variable(&reduce, &[squeezed, channels]),
        variable(&reduce_bias, &[squeezed]),
        variable(&excite, &[channels, squeezed]),
        variable(&excite_bias, &[channels]),
    ];
    let (weight_t, bias_t) = (tensor(&weight, &[channels]), tensor(&bias, &[channels]));
    let (normed, mean, variance) = batch_norm_training(&y_var, &weight_t, &bias_t, EPSILON).unwrap();
    let a = swish(&normed).unwrap();
    let u = swish(&linear(&global_average_pool(&a).unwrap(), &vars[0], Some(&vars[1])).unwrap()).unwrap();
    let g = sigmoid(&linear(&u, &vars[2], Some(&vars[3])).unwrap()).unwrap();
    let gated_exact = scale_channels(&a, &g).unwrap();
    let loss = (&gated_exact * tensor(&factors, &dims)).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    // with given statistics the normalisation is the same, but for its gradient
    let given = batch_norm_inference(&y_var, &mean, &variance, &weight_t, &bias_t, EPSILON).unwrap();
    assert_near("given", &values(&given), &normed, 1e-6);

    let gate =
        Gate { reduce: &reduce, reduce_bias: &reduce_bias, excite: &excite, excite_bias: &excite_bias };
    for path in paths() {
        let y = maps(&y_values, dims);
        // a product with the unit matrix hands the map on, and gathers what a normalisation wants to know
        let unit: Vec<f32> =
            (0..channels * channels).map(|at| f32::from(u8::from(at % (channels + 1) == 0))).collect();
        let filter = Filter { dims: [channels, channels, 1, 1], stride: 1, groups: 1 };
        let mut same = empty(dims);
        let forward = packed(&filter, &unit, true);
        let moments = convolve(path, &forward, &Source::Plain(y.all()), None, &Sink::Moments, same.all_mut());
        let norm = Norm::of_batch(&moments, &weight, &bias, EPSILON);
        let behind = Behind { y: y.all(), norm: &norm, activation: Activation::Swish };
        let sums = activation_sums(path, &behind);
        let area = (height * width) as f64;
        let excited = gate.forward(sums.of_pictures(0).iter().map(|sum| (sum / area) as f32).collect());
        let gated = Source::Activated(Activated {
            y: y.all(),
            norm: &norm,
            activation: Activation::Swish,
            gates_bc: Some(&excited.gates_bc),
        });
        let mut laid_out = empty(dims);
        lay_out(path, &gated, laid_out.all_mut());
        assert_near(&format!("{path:?} gated"), &laid_out.all().to_tensor(), &gated_exact, BOUND);

        let d = maps(&factors, dims);
        let mut d_gated = empty(dims);
        let backward = packed(&filter, &unit, false);
        let gathered =
            convolve(path, &backward, &Source::Plain(d.all()), None, &Sink::Gated(behind), d_gated.all_mut());
        let d_gates: Vec<f32> = gathered.of_pictures(0).iter().map(|sum| *sum as f32).collect();
        let mut found = [&reduce, &reduce_bias, &excite, &excite_bias].map(|values| vec![0.0; values.len()]);
        let [d_reduce, d_reduce_bias, d_excite, d_excite_bias] = &mut found;
        let gradients = GateGradients {
            reduce: d_reduce,
            reduce_bias: d_reduce_bias,
            excite: d_excite,
            excite_bias: d_excite_bias,
        };
        let levels_bc: Vec<f32> =
            gate.backward(&excited, &d_gates, gradients).iter().map(|level| level / area as f32).collect();
        for (number, (found, var)) in found.iter().zip(&vars).enumerate() {
            assert_near(&format!("{path:?} weights {number}"), found, store.get(var).unwrap(), 4.0 * BOUND);
        }
        let pixel = levels_bc.len() / batch;
        let totals = [1, 2].map(|kind| {
            let (of_gated, of_means) = (gathered.of_pictures(kind), sums.of_pictures(kind));
            let mut totals = vec![0.0; pixel];
            for at in 0..levels_bc.len() {
                totals[at % pixel] +=
                    f64::from(excited.gates_bc[at]) * of_gated[at] + f64::from(levels_bc[at]) * of_means[at];
            }
            totals
        });
        let (mut d_weight, mut d_bias) = (vec![0.0; channels], vec![0.0; channels]);
        let terms = norm.backward([&totals[0], &totals[1]], &mut d_weight, &mut d_bias);
        let d_y = Source::Gradient(Gradient {
            d: Some(d_gated.all()),
            gates_bc: Some(&excited.gates_bc),
            levels_bc: Some(&levels_bc),
            y: y.all(),
            norm: &norm,
            activation: Activation::Swish,
            terms: &terms,
        });
        lay_out(path, &d_y, laid_out.all_mut());
        let exact = store.get(&y_var).unwrap();
        assert_near(&format!("{path:?} d_y"), &laid_out.all().to_tensor(), exact, 4.0 * BOUND);
    }
}

#[test]
fn joins_and_their_gradients_are_the_tensors() {
    let dims = [2, 21, 7, 6];
    let [batch, channels, ..] = dims;
    let (y_values, beside_values) = (numbers(1, &dims), numbers(2, &dims));
    let (weight, bias) = (numbers(3, &[channels]), numbers(4, &[channels]));
    let (mean, variance) = (numbers(5, &[channels]), vec![0.7; channels]);
    let norm = Norm::of_running(&mean, &variance, &weight, &bias, EPSILON);
    let vector = |values: &[f32]| tensor(values, &[channels]);
    let normed = |values: &[f32]| {
        let (mean, variance) = (vector(&mean), vector(&variance));
        let x = tensor(values, &dims);
        batch_norm_inference(&x, &mean, &variance, &vector(&weight), &vector(&bias), EPSILON).unwrap()
    };
    let factors_b = [0.5, 1.25];
    let factors: Vec<f32> = factors_b.iter().flat_map(|factor| vec![*factor; channels]).collect();
    let factors_bc = tensor(&factors, &[batch, channels]);
    let (y, beside) = (maps(&y_values, dims), maps(&beside_values, dims));
    for path in paths() {
        for (number, other) in
            [Beside::Nothing, Beside::Map(beside.all()), Beside::Normed(beside.all(), &norm)]
                .into_iter()
                .enumerate()
        {
            let own = scale_channels(&normed(&y_values), &factors_bc).unwrap();
            let sum = match number {
                0 => own,
                1 => (own + tensor(&beside_values, &dims)).unwrap(),
                _ => (own + normed(&beside_values)).unwrap(),
            };
            let exact = relu(&sum).unwrap();
            let behind = Behind { y: y.all(), norm: &norm, activation: Activation::Relu };
            let mut to = empty(dims);
            join(path, &behind, Some(&factors_b), other, to.all_mut());
            assert_near(&format!("{path:?} join {number}"), &to.all().to_tensor(), &exact, BOUND);

            // the same gradient for all pixels, where the sum is larger than zero
            let levels: Vec<f32> = numbers(6, &[batch, channels]);
            let pixel = channels.next_multiple_of(16);
            let mut padded = vec![0.0; batch * pixel];
            for (at, level) in levels.iter().enumerate() {
                padded[at / channels * pixel + at % channels] = *level;
            }
            let mut d = empty(dims);
            let sink =
                Sink::Joined { sum: to.all(), y: (y.all(), &norm), beside: Some((beside.all(), &norm)) };
            let sums = spread(path, &padded, &sink, d.all_mut());
            let mask = exact.gt(0.0).unwrap().to_dtype(DType::F64).unwrap();
            let d_exact = scale_channels(&mask, &tensor(&levels, &[batch, channels])).unwrap();
            assert_near(&format!("{path:?} d {number}"), &d.all().to_tensor(), &d_exact, 0.0);
            let centred = |values: &[f32]| {
                tensor(values, &dims)
                    .broadcast_sub(&vector(&mean).reshape((1, channels, 1, 1)).unwrap())
                    .unwrap()
            };
            let of = |x: &Tensor| (x * &d_exact).unwrap().sum((0, 2, 3)).unwrap();
            let ones = Tensor::ones(dims.as_slice(), DType::F64, &Device::Cpu).unwrap();
            for (kind, x) in [ones, centred(&y_values), centred(&beside_values)].iter().enumerate() {
                let got: Vec<f32> = sums.totals(kind, None)[..channels].iter().map(|x| *x as f32).collect();
                assert_near(&format!("{path:?} sum {kind} of {number}"), &got, &of(x), BOUND);
            }
        }
    }
}

#[test]
fn pools_and_their_gradients_are_the_tensors() {
    let pool = MaxPool { kernel: 3, stride: 2, padding: 1 };
    for dims in [[2, 19, 7, 10], [1, 16, 1, 1], [3, 33, 12, 5]] {
        let x = numbers(1, &dims);
        let x_var = Var::from_tensor(&tensor(&x, &dims)).unwrap();
        let y_exact = max_pool2d(&x_var, [3, 3], [2, 2], [1, 1]).unwrap();
        let d_y = numbers(2, y_exact.dims());
        let loss = (&y_exact * tensor(&d_y, y_exact.dims())).unwrap().sum_all().unwrap();
        let exact = loss.backward().unwrap().get(&x_var).unwrap().clone();
        let y_dims: [usize; 4] = y_exact.dims().try_into().unwrap();
        let (from, d_from) = (maps(&x, dims), maps(&d_y, y_dims));
        for path in paths() {
            let mut layer = LearningPool::new(pool);
            let (mut y, mut d_x) = (empty(y_dims), empty(dims));
            layer.forward(path, &Source::Plain(from.all()), y.all_mut());
            layer.backward(path, d_from.all(), &Sink::Nothing, d_x.all_mut());
            assert_near(&format!("{path:?} {dims:?} y"), &y.all().to_tensor(), &y_exact, 0.0);
            assert_near(&format!("{path:?} {dims:?} d_x"), &d_x.all().to_tensor(), &exact, 1e-6);
        }
    }
}
