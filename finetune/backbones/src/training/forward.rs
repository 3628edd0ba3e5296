//! A step's way there and back.
//!
//! b batch, h and w of a picture, d numbers of the averaged map, k classes.

use candle_core::Tensor;
use pretrain_training::Gradients;

use super::Result;
use super::learner::Learner;
use crate::learning::Seen;
use crate::training_pass::TrainingPass;

/// Logits of a network that learns, from which a way leads back to all gradients.
#[derive(Debug)]
pub struct Forward<'l> {
    /// \[b, k\]: the loss is a function of them.
    pub logits_bk: Tensor,
    learner: &'l Learner,
    /// None where the operations on tensors have computed.
    seen: Option<Seen>,
}

impl Learner {
    /// Logits in training, as of [`Backbone::logits_in_training`](crate::Backbone::logits_in_training).
    ///
    /// # Shapes
    /// - `x_bchw`: \[b, 3, h, w\], f32
    ///
    /// # Errors
    /// As there.
    pub fn forward(&self, x_bchw: &Tensor, pass: &TrainingPass) -> Result<Forward<'_>> {
        let backbone = self.backbone();
        let Some(plan) = self.plan() else {
            let logits_bk = backbone.logits_in_training(x_bchw, pass)?;
            return Ok(Forward { logits_bk, learner: self, seen: None });
        };
        backbone.check_pictures(x_bchw, pass)?;
        let seen = plan.forward(x_bchw, pass)?;
        let averaged_bd = pass.dropout(&seen.averaged_bd)?;
        let logits_bk = backbone.classifier().forward(&averaged_bd)?;
        Ok(Forward { logits_bk, learner: self, seen: Some(seen) })
    }
}

impl Forward<'_> {
    /// Adds the gradients of a loss to what is there.
    ///
    /// # Errors
    /// A parameter that no gradient reaches; those of the operations.
    pub fn backward(self, loss: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let parameters = self.learner.parameters();
        match (self.learner.plan(), self.seen) {
            (Some(plan), Some(seen)) => plan.backward(seen, loss, parameters, gradients),
            _ => Ok(gradients.backward(parameters, loss)?),
        }
    }
}
