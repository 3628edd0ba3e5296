//! Gradients of one micro-batch.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::{Tensor, Var};
use pretrain_kernels::Precision;
use pretrain_training::{Gradients, Parameters};

use crate::Result;
use crate::model::{Batch, Losses, Pass, PretrainingModel, Targets, Tensors};

/// A network at work on its parameters.
#[derive(Debug)]
pub struct Learner<'a> {
    parameters: &'a Parameters,
    model: PretrainingModel,
    /// The same network over the same numbers, but without memory of what was computed; only where activations are
    /// computed again.
    forgetful: Option<PretrainingModel>,
}

/// What one micro-batch gave.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MicroBatch {
    /// Sum over its labelled tokens.
    pub masked_token: f64,
    /// Sum over its labelled samples.
    pub contrastive: f64,
    /// Seconds until the losses were known.
    pub forward_s: f64,
    /// Seconds from there to the gradients; where activations are computed again, that is in here.
    pub backward_s: f64,
}

impl<'a> Learner<'a> {
    /// Products are computed in `precision`. With `recompute` only the inputs of layers are kept, and each layer is computed
    /// once more for its gradients (Paper: 1604.06174): less memory, a third more time, the same numbers to the bit.
    ///
    /// # Errors
    /// Those of the model.
    pub fn new(
        config: &crate::model::ModelConfig,
        parameters: &'a Parameters,
        precision: Precision,
        recompute: bool,
    ) -> Result<Self> {
        let tensors = parameters.tensors();
        let forgetful = recompute.then(|| {
            let detached: BTreeMap<_, _> =
                tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
            PretrainingModel::new(config, Tensors::new(&detached).computing_in(precision))
        });
        Ok(Self {
            parameters,
            model: PretrainingModel::new(config, Tensors::new(&tensors).computing_in(precision))?,
            forgetful: forgetful.transpose()?,
        })
    }

    /// The network.
    pub fn model(&self) -> &PretrainingModel {
        &self.model
    }

    /// Adds the gradients of `Σ masked-token / counts[0] + Σ contrastive / counts[1]`, where the counts are those of all
    /// micro-batches of all ranks.
    ///
    /// # Errors
    /// Those of the operations; a parameter that no gradient reaches.
    pub fn accumulate(
        &self,
        batch: &Batch,
        targets: &Targets,
        counts: [f64; 2],
        pass: Pass,
        gradients: &mut Gradients,
    ) -> Result<MicroBatch> {
        match &self.forgetful {
            None => self.at_once(batch, targets, counts, pass, gradients),
            Some(forgetful) => self.layer_by_layer(forgetful, batch, targets, counts, pass, gradients),
        }
    }

    fn at_once(
        &self,
        batch: &Batch,
        targets: &Targets,
        counts: [f64; 2],
        pass: Pass,
        gradients: &mut Gradients,
    ) -> Result<MicroBatch> {
        let started = Instant::now();
        let losses = self.model.forward(batch, targets, pass)?;
        let [masked_token, contrastive] = values(&losses)?;
        let forward_s = started.elapsed().as_secs_f64();
        gradients.backward(self.parameters, &total(&losses, counts)?)?;
        let backward_s = started.elapsed().as_secs_f64() - forward_s;
        Ok(MicroBatch { masked_token, contrastive, forward_s, backward_s })
    }

    fn layer_by_layer(
        &self,
        forgetful: &PretrainingModel,
        batch: &Batch,
        targets: &Targets,
        counts: [f64; 2],
        pass: Pass,
        gradients: &mut Gradients,
    ) -> Result<MicroBatch> {
        let started = Instant::now();
        let (encoder, n_layers) = (forgetful.encoder(), forgetful.encoder().n_layers());
        let mut inputs = vec![encoder.embed(batch, pass)?];
        for layer in 0..n_layers {
            let next = encoder.layer(layer, &inputs[layer], batch, pass)?;
            inputs.push(next);
        }
        let last = Var::from_tensor(&inputs.pop().expect("the embeddings' output is there"))?;
        let losses = self.model.losses(last.as_tensor(), batch, targets)?;
        let [masked_token, contrastive] = values(&losses)?;
        let forward_s = started.elapsed().as_secs_f64();

        let mut reached = gradients.begin_parts();
        let store = gradients.backward_part(self.parameters, &total(&losses, counts)?, &mut reached)?;
        let mut d_x = gradient(&store, &last)?;
        for layer in (0..n_layers).rev() {
            let x = Var::from_tensor(&inputs.pop().expect("every layer has an input"))?;
            let y = self.model.encoder().layer(layer, x.as_tensor(), batch, pass)?;
            let store = gradients.backward_part(self.parameters, &(y * &d_x)?.sum_all()?, &mut reached)?;
            d_x = gradient(&store, &x)?;
        }
        let y = self.model.encoder().embed(batch, pass)?;
        gradients.backward_part(self.parameters, &(y * &d_x)?.sum_all()?, &mut reached)?;
        reached.require_all(self.parameters)?;
        let backward_s = started.elapsed().as_secs_f64() - forward_s;
        Ok(MicroBatch { masked_token, contrastive, forward_s, backward_s })
    }
}

fn gradient(store: &candle_core::backprop::GradStore, of: &Var) -> Result<Tensor> {
    let found = store.get(of.as_tensor()).ok_or_else(|| pretrain_training::Error::NoGradient {
        parameter: "the input of a layer".to_owned(),
    })?;
    Ok(found.detach())
}

fn total(losses: &Losses, counts: [f64; 2]) -> Result<Tensor> {
    let [masked_token, contrastive] = counts.map(|count| 1.0 / count.max(1.0));
    Ok(((&losses.masked_token.sum * masked_token)? + (&losses.contrastive.sum * contrastive)?)?)
}

fn values(losses: &Losses) -> Result<[f64; 2]> {
    Ok([
        f64::from(losses.masked_token.sum.to_scalar::<f32>()?),
        f64::from(losses.contrastive.sum.to_scalar::<f32>()?),
    ])
}
