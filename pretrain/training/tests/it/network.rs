//! Two layers on drawn points: small enough for every test, and its classes differ in size.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use pretrain_comm::Collective;
use pretrain_kernels::{linear, sigmoid, swish};
use pretrain_training::optimiser::{AdamW, Rule};
use pretrain_training::{
    Decay, Generator, Gradients, Group, Optimiser, Parameters, Schedule, Stream, require_finite,
};

pub(crate) const INPUTS: usize = 6;
pub(crate) const HIDDEN: usize = 300;
pub(crate) const BATCH: usize = 24;

pub(crate) struct Run {
    pub(crate) parameters: Parameters,
    pub(crate) optimiser: Optimiser,
    schedule: Schedule,
}

impl Run {
    pub(crate) fn new(rule: Rule, seed: u64) -> Self {
        let shapes: [(&str, &[usize]); 4] = [
            ("a.bias", &[HIDDEN]),
            ("a.weight", &[HIDDEN, INPUTS]),
            ("b.bias", &[1]),
            ("b.weight", &[1, HIDDEN]),
        ];
        let tensors = shapes.iter().zip(0u32..).map(|((name, shape), number)| {
            let generator = Generator::new(seed, Stream::Weights, number);
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n as u64).map(|i| generator.normal(i, 0.0, 0.3) as f32).collect();
            ((*name).to_owned(), Tensor::from_vec(values, *shape, &Device::Cpu).unwrap())
        });
        let parameters = Parameters::new(&tensors.collect::<BTreeMap<_, _>>()).unwrap();
        let optimiser = Optimiser::new(rule, &parameters, |parameter| Group {
            weight_decay: if parameter.tensor().rank() == 1 { 0.0 } else { 0.01 },
            rate_factor: 1.0,
        });
        let schedule = Schedule {
            peak: 0.02,
            warm_up: 4,
            warm_up_from: 0.0,
            total: 60,
            decay: Decay::Cosine { floor: 0.0 },
        };
        Self { parameters, optimiser, schedule }
    }

    pub(crate) fn adamw(seed: u64) -> Self {
        Self::new(Rule::AdamW(AdamW::default()), seed)
    }

    /// One update over a batch of which this rank takes its part, in `pieces`; the loss of the batch.
    pub(crate) fn step(
        &mut self,
        step: u64,
        pieces: usize,
        ranks: &dyn Collective,
    ) -> pretrain_training::Result<f64> {
        let mut gradients = Gradients::zeros(&self.parameters);
        let mut loss = [0.0];
        // ranks get unequal parts: means of parts would be wrong, sums over the global count are not
        let cut =
            |rank: usize| (BATCH * rank).div_ceil(ranks.world() + 1) + BATCH * rank / (ranks.world() * 8);
        let end = if ranks.rank() + 1 == ranks.world() { BATCH } else { cut(ranks.rank() + 1) };
        let own: Vec<usize> = (cut(ranks.rank())..end).collect();
        for piece in own.chunks(own.len().div_ceil(pieces)) {
            let sum = (self.losses(step, piece)?.sum_all()? / BATCH as f64)?;
            loss[0] += f64::from(sum.to_scalar::<f32>()?);
            gradients.add(&self.parameters, &sum.backward()?)?;
        }
        ranks.all_reduce_sum_f64(&mut loss)?;
        require_finite(loss[0], "the mean square", step)?;
        gradients.all_reduce(ranks)?;
        gradients.clip(&self.parameters, Some(1.0), step)?;
        self.optimiser.step(&self.parameters, &gradients, self.schedule.rate(step))?;
        Ok(loss[0])
    }

    /// Squares of errors on rows of a batch, each a function of the step and its place in the batch.
    fn losses(&self, step: u64, rows: &[usize]) -> pretrain_training::Result<Tensor> {
        let generator = Generator::new(5, Stream::Augmentation, step as u32);
        let number = |row: usize, i: usize| generator.normal((row * INPUTS + i) as u64, 0.0, 1.0) as f32;
        let x: Vec<f32> = rows.iter().flat_map(|row| (0..INPUTS).map(|i| number(*row, i))).collect();
        let y: Vec<f32> = x.chunks(INPUTS).map(|x| if x[0] * x[1] > 0.2 { 1.0 } else { 0.0 }).collect();
        let x_bi = Tensor::from_vec(x, (rows.len(), INPUTS), &Device::Cpu)?;
        let y_b1 = Tensor::from_vec(y, (rows.len(), 1), &Device::Cpu)?;
        let weights = self.parameters.tensors();
        let layer = |x: &Tensor, name: &str| {
            linear(x, &weights[&format!("{name}.weight")], Some(&weights[&format!("{name}.bias")]))
                .map_err(candle_core::Error::from)
        };
        let hidden = swish(&layer(&x_bi, "a")?).map_err(candle_core::Error::from)?;
        let p_b1 = sigmoid(&layer(&hidden, "b")?).map_err(candle_core::Error::from)?;
        Ok((p_b1 - y_b1)?.sqr()?)
    }
}
