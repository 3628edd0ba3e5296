//! The same bits on any number of threads, and for a sample whoever its neighbours are.

use candle_core::{DType, Tensor, Var};
use pretrain_kernels::{ConvGeometry, Padding, conv2d};

use crate::draw::{tensor, var};

/// Runs `f` and its backward on 1, 2, 3 and 8 threads and compares all bits. If `f` treats samples one by one, the
/// inputs' first one is also cut into its samples.
pub(crate) fn assert_same_bits(
    what: &str,
    inputs: &[Var],
    by_sample: bool,
    f: impl Fn(&[Tensor]) -> Tensor + Sync,
) {
    let tensors: Vec<Tensor> = inputs.iter().map(|input| input.as_tensor().clone()).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = f(&tensors);
            let d_y = tensor(99, y.dims(), y.dtype());
            let gradients = (&y * &d_y).unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = vec![bits(&y)];
            all.extend(inputs.iter().map(|input| bits(gradients.get(input).unwrap())));
            all
        })
    };
    let alone = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == alone, "{what}: other bits on {threads} threads");
    }
    if by_sample {
        let samples = tensors[0].dims()[0];
        let mut one_by_one = Vec::new();
        for sample in 0..samples {
            let mut inputs = tensors.clone();
            inputs[0] = tensors[0].narrow(0, sample, 1).unwrap();
            one_by_one.extend(bits(&f(&inputs)));
        }
        assert!(one_by_one == alone[0], "{what}: other bits without the neighbours");
    }
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn conv2d_keeps_its_bits() {
    let same = Padding::symmetric(1);
    let cases = [
        ("dense", [3, 20, 37, 41], [24, 20, 3, 3], 1, 1, same),
        ("dense, stride 2", [3, 3, 75, 64], [16, 3, 3, 3], 2, 1, same),
        ("1x1", [3, 310, 29, 31], [300, 310, 1, 1], 1, 1, Padding::default()),
        ("1x1 on one position", [3, 96, 1, 1], [50, 96, 1, 1], 1, 1, Padding::default()),
        ("1x1, stride 2", [3, 64, 20, 21], [50, 64, 1, 1], 2, 1, Padding::default()),
        ("groups", [3, 32, 30, 31], [32, 4, 3, 3], 2, 8, same),
        ("wide groups", [3, 96, 20, 21], [80, 48, 3, 3], 1, 2, same),
        ("depthwise", [3, 20, 33, 34], [20, 1, 3, 3], 1, 20, same),
    ];
    for (name, x, w, stride, groups, padding) in cases {
        let geometry = ConvGeometry { stride: [stride; 2], padding, groups, ..ConvGeometry::default() };
        let inputs = [var(1, &x, DType::F32), var(2, &w, DType::F32), var(3, &w[..1], DType::F32)];
        let f = |t: &[Tensor]| conv2d(&t[0], &t[1], Some(&t[2]), &geometry).unwrap();
        assert_same_bits(name, &inputs, true, f);
    }
}
