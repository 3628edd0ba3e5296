//! Update rules over flat slices, and the one that keeps their state.

mod adamw;
mod oscar_adamw;
mod rmsprop_tf;
mod sgd;
mod split;

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use pretrain_comm::Collective;
use pretrain_kernels::{AdamWForm, AdamWSlices, AdamWStep, adamw as adamw_kernel};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use adamw::AdamW;
pub use oscar_adamw::OscarAdamW;
pub use rmsprop_tf::RmsPropTf;
pub use sgd::Sgd;

use crate::{Error, Gradients, Parameter, Parameters, Result};

/// An update rule with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// torch's.
    #[serde(rename = "adamw")]
    AdamW(AdamW),
    /// That of Oscar's published training.
    #[serde(rename = "oscar_adamw")]
    OscarAdamW(OscarAdamW),
    /// torch's, with momentum.
    Sgd(Sgd),
    /// TensorFlow's.
    #[serde(rename = "rmsprop_tf")]
    RmsPropTf(RmsPropTf),
}

/// How parameters are treated that are not treated like all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Weight decay.
    pub weight_decay: f64,
    /// What the learning rate is multiplied by.
    pub rate_factor: f64,
}

/// A rule at work: it knows the parameters' groups, how many updates were made, and what the rule remembers.
#[derive(Debug)]
pub struct Optimiser {
    rule: Rule,
    groups: Vec<Group>,
    updates: u64,
    /// The part of the flat vector that this rank updates; all of it where ranks do not share the work.
    own: Range<usize>,
    /// Whether that is not all.
    is_split: bool,
    /// For each of the rule's [`state_names`](Rule::state_names) one flat vector over `own`.
    states: [Vec<f32>; 2],
}

/// One update of one parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// Its number, from 1.
    number: u64,
    rate: f64,
    weight_decay: f64,
}

/// The parameter, its gradient, and what the rule remembers; all of one length.
pub(crate) struct Slices<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    states: [&'a mut [f32]; 2],
}

/// Numbers that one task updates.
const CHUNK: usize = 1 << 14;
/// The tensor that holds the number of updates.
const COUNTER: &str = "updates";

impl Optimiser {
    /// Nothing remembered yet. `group` says for each parameter to which group it belongs.
    pub fn new(rule: Rule, parameters: &Parameters, group: impl Fn(&Parameter) -> Group) -> Self {
        Self::over(0..parameters.n_values(), rule, parameters, group)
    }

    fn over(
        own: Range<usize>,
        rule: Rule,
        parameters: &Parameters,
        group: impl Fn(&Parameter) -> Group,
    ) -> Self {
        let states = rule.first_states().map(|first| match first {
            Some(value) => vec![value; own.len()],
            None => Vec::new(),
        });
        let groups = parameters.iter().map(group).collect();
        Self { rule, groups, updates: 0, own, is_split: false, states }
    }

    /// One update of all parameters at a learning rate. Of an optimiser that is [`split`](Self::split) it is the update of
    /// this rank's part; [`share`](Self::share) brings the others'.
    ///
    /// # Errors
    /// Gradients of other parameters; the tensor library's.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, rate: f64) -> Result<()> {
        if gradients.values().len() != parameters.n_values() || parameters.iter().len() != self.groups.len() {
            let (got, wanted) = (gradients.values().len(), parameters.n_values());
            let problem = format!("{got} numbers for {wanted} of {} groups", self.groups.len());
            return Err(Error::Unfit { tensor: "the gradients".to_owned(), problem });
        }
        self.updates += 1;
        for (parameter, group) in parameters.iter().zip(&self.groups) {
            let update = Update {
                number: self.updates,
                rate: rate * group.rate_factor,
                weight_decay: group.weight_decay,
            };
            let (whole, own) = (parameter.range(), &self.own);
            let (start, end) = (whole.start.max(own.start), whole.end.min(own.end));
            if start >= end {
                continue;
            }
            let gradient = &gradients.values()[start..end];
            let of_own = start - own.start..end - own.start;
            let states =
                self.states.each_mut().map(|state| state.get_mut(of_own.clone()).unwrap_or_default());
            let (rule, of_parameter) = (self.rule, start - whole.start..end - whole.start);
            parameter.change(|values| {
                rule.update(update, Slices { parameter: &mut values[of_parameter], gradient, states });
            })?;
        }
        // what is split is not whole before it is shared
        if self.is_split { Ok(()) } else { parameters.publish() }
    }

    /// Updates made so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// What is needed to go on later, as tensors: `<state>/<parameter>`, and the number of updates. An optimiser that is split
    /// is saved by [`save_on`](Self::save_on).
    ///
    /// # Errors
    /// The tensor library's.
    pub fn save(&self, parameters: &Parameters) -> Result<BTreeMap<String, Tensor>> {
        self.named(parameters, &self.states)
    }

    /// [`save`](Self::save) on rank 0, and nothing on the others. All ranks call it, and rank 0 collects what is split: what
    /// is saved does not depend on how many ranks there were.
    ///
    /// # Errors
    /// A rank that does not come; the tensor library's.
    pub fn save_on(
        &self,
        parameters: &Parameters,
        ranks: &dyn Collective,
    ) -> Result<Option<BTreeMap<String, Tensor>>> {
        if !self.is_split {
            return (ranks.rank() == 0).then(|| self.save(parameters)).transpose();
        }
        let collected = self.collect_states(parameters.n_values(), ranks)?;
        collected.map(|states| self.named(parameters, &states)).transpose()
    }

    fn named(&self, parameters: &Parameters, states: &[Vec<f32>; 2]) -> Result<BTreeMap<String, Tensor>> {
        let counter = Tensor::new(self.updates as i64, &candle_core::Device::Cpu)?;
        let mut tensors = BTreeMap::from([(COUNTER.to_owned(), counter)]);
        for (name, state) in self.rule.state_names().iter().zip(states) {
            tensors.extend(parameters.named(&format!("{name}/"), state)?);
        }
        Ok(tensors)
    }

    /// Goes on from what [`save`](Self::save) or [`save_on`](Self::save_on) gave, on however many ranks.
    ///
    /// # Errors
    /// Tensors of another rule or of other parameters.
    pub fn restore(&mut self, parameters: &Parameters, saved: &BTreeMap<String, Tensor>) -> Result<()> {
        let unfit = |problem: &str| Error::Unfit { tensor: COUNTER.to_owned(), problem: problem.to_owned() };
        let names = self.rule.state_names();
        let counter = saved.get(COUNTER).ok_or_else(|| unfit("is missing"))?;
        if saved.len() != 1 + names.len() * parameters.iter().len() {
            return Err(unfit("stands beside tensors of another rule"));
        }
        for (name, state) in names.iter().zip(&mut self.states) {
            let mut all = parameters.flat(&format!("{name}/"), saved)?;
            all.truncate(self.own.end);
            *state = all.split_off(self.own.start);
            state.shrink_to_fit();
        }
        self.updates = counter.to_scalar::<i64>()?.try_into().map_err(|_| unfit("is negative"))?;
        Ok(())
    }
}

impl Rule {
    /// What the rule remembers of every number.
    pub fn state_names(&self) -> &'static [&'static str] {
        match self {
            Self::AdamW(_) | Self::OscarAdamW(_) => &["first_moment", "second_moment"],
            Self::Sgd(_) => &["momentum"],
            Self::RmsPropTf(_) => &["mean_square", "momentum"],
        }
    }

    fn first_states(&self) -> [Option<f32>; 2] {
        match self {
            Self::AdamW(_) | Self::OscarAdamW(_) => [Some(0.0), Some(0.0)],
            Self::Sgd(_) => [Some(0.0), None],
            Self::RmsPropTf(_) => [Some(1.0), Some(0.0)],
        }
    }

    fn update(&self, update: Update, slices: Slices<'_>) {
        match self {
            Self::AdamW(rule) => rule.update(update, slices),
            Self::OscarAdamW(rule) => rule.update(update, slices),
            Self::Sgd(rule) => rule.update(update, slices),
            Self::RmsPropTf(rule) => rule.update(update, slices),
        }
    }
}

impl Slices<'_> {
    /// Calls `each(parameter, gradient, first state, second state)` for every number, in parallel where it pays.
    fn for_each(self, each: impl Fn(&mut f32, f32, &mut f32, &mut f32) + Sync) {
        let Self { parameter, gradient, states: [first, second] } = self;
        let states = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let chunks = parameter.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(states);
        chunks.for_each(|((parameter, gradient), (first, second))| {
            let states = first.iter_mut().zip(second.iter_mut());
            for ((parameter, gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(states) {
                each(parameter, *gradient, first, second);
            }
        });
    }

    /// One pass over parameter, gradient and both moments.
    fn adamw(self, form: AdamWForm, betas: [f64; 2], epsilon: f64, update: Update) {
        let Update { number, rate, weight_decay } = update;
        let step = AdamWStep { form, betas, epsilon, rate, weight_decay, number, gradient_scale: 1.0 };
        let Self { parameter, gradient, states: [first_moment, second_moment] } = self;
        let slices = AdamWSlices { parameter, gradient, first_moment, second_moment };
        adamw_kernel(&step, slices).expect("all slices are of one parameter, and updates count from 1");
    }

    /// [`for_each`](Self::for_each) for rules that remember one number.
    fn for_each_of_one(self, each: impl Fn(&mut f32, f32, &mut f32) + Sync) {
        let Self { parameter, gradient, states: [state, _] } = self;
        let chunks = parameter.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        chunks.zip(state.par_chunks_mut(CHUNK)).for_each(|((parameter, gradient), state)| {
            for ((parameter, gradient), state) in parameter.iter_mut().zip(gradient).zip(state) {
                each(parameter, *gradient, state);
            }
        });
    }
}

#[cfg(test)]
mod tests;
