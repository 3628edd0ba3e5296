//! A classification with its data, as the loop knows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use data_specs::{RowId, Tokenizer};
use pretrain::Example;
use pretrain::model::{ModelConfig, Pass, Tensors};
use pretrain_comm::Collective;
use pretrain_kernels::Precision;

use super::Classification;
use super::answering::answer;
use super::folder;
use super::head::{Classifier, HEAD, Head};
use crate::folder::Description;
use crate::settings::{Layout, Settings};
use crate::start::Network;
use crate::task::{Scores, Task};
use crate::texts::{Opening, Texts, each_row};
use crate::training::Opened;
use crate::{Error, Result};

/// A task, its labels and its texts.
#[derive(Debug)]
pub struct Classified<C> {
    pub(super) task: C,
    pub(super) labels: Vec<String>,
    pub(super) head: Head,
    pub(super) config: ModelConfig,
    tokenizer: Tokenizer,
    layout: Layout,
    train: Texts,
    held_out: Option<Arc<Texts>>,
    micro: usize,
    precision: Precision,
    reading: [usize; 2],
}

/// One text: what the encoder reads, and the weights of its labels.
#[derive(Debug)]
pub struct ClassifiedExample {
    sequences: Vec<Example>,
    target: Vec<(u32, f32)>,
}

impl<C: Classification> Classified<C> {
    /// Opens model and data, each checked against the other.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy.
    pub(super) fn open(settings: &Settings<C>) -> Result<Opened<Self>> {
        let (task, data, model) = (&settings.task, &settings.data, &settings.model);
        let network = Network::open(model, &data.train)?;
        let config = network.config.clone();
        let opening = Opening {
            role: "train",
            sets: &data.train,
            verify: data.verify,
            layout: &data.layout,
            pictures: task.pictures(),
            config: &config,
            tokenizer: &network.tokenizer,
            with_unknown: false,
            spec: C::SPEC,
            open_shards: Opening::IN_ORDER,
        };
        let labels = labels(settings, &network, &opening)?;
        let head = Head {
            settings: task.head(),
            n_labels: labels.len(),
            n_sequences: task.pictures().n_sequences(),
        };
        let shapes = head.shapes(&config);
        let mut first = network.first_weights(&shapes, HEAD, model.replace_head, settings.seed)?;
        if network.folder().is_none() || first.drawn.iter().any(|name| name.starts_with(HEAD)) {
            head.set_norm(&config, &mut first.tensors)?;
        }
        let asking = of_kind::<C>(task.asking(&labels));
        let train = Texts::open(&opening, &asking)?;
        let held_out = match data.held_out.as_slice() {
            [] => None,
            sets => {
                let opening = Opening { role: "held_out", sets, with_unknown: true, ..opening };
                Some(Arc::new(Texts::open(&opening, &asking)?))
            }
        };
        let listed = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
        };
        let counted = |role: &str, texts: &Texts| match texts.left_out() {
            more if more.is_empty() => format!("{role}: {} texts", texts.len()),
            more => format!("{role}: {} texts; {more}", texts.len()),
        };
        let mut told = vec![format!(
            "{} layers of {}, {} labels",
            config.num_hidden_layers, config.hidden_size, head.n_labels
        )];
        told.extend(listed("drawn, as the model folder does not have them", &first.drawn));
        told.extend(listed("not of this task, left out", &first.left_out));
        told.push(counted("to learn from", &train));
        told.extend(held_out.as_ref().map(|texts| counted("held out", texts)));
        let task = Self {
            task: task.clone(),
            labels,
            head,
            tokenizer: network.tokenizer,
            layout: data.layout.clone(),
            train,
            held_out,
            precision: model.precision,
            micro: settings.batch.micro as usize,
            reading: [data.threads, data.read_ahead],
            config,
        };
        Ok(Opened { task: Arc::new(task), tensors: first.tensors, told })
    }
}

/// What is asked of texts of the task's kind; others are told apart.
pub(super) fn of_kind<C: Classification>(
    asking: Box<dyn Fn(&data_specs::Text) -> crate::texts::Asked + Send + Sync>,
) -> impl Fn(&data_specs::Text) -> crate::texts::Asked + Sync {
    move |text| {
        if text.kind == C::KIND { asking(text) } else { crate::texts::Asked::Other("texts of another kind") }
    }
}

/// The labels: given ones, those of the model that is trained on, or those of the annotations, in this order.
fn labels<C: Classification>(
    settings: &Settings<C>,
    network: &Network,
    opening: &Opening<'_>,
) -> Result<Vec<String>> {
    let given = settings.task.given_labels()?;
    let own_folder = network.folder().filter(|_| !settings.model.replace_head);
    let described = own_folder.map(Description::find).transpose()?.flatten();
    if let Some(other) = described.as_ref().filter(|described| described.task != C::NAME) {
        return Err(Error::Unfit {
            path: own_folder.map(Path::to_owned).unwrap_or_default(),
            field: "the head".to_owned(),
            problem: format!("answers `{}`, not `{}`", other.task, C::NAME),
            hint: "draw a new head by --set model.replace_head=true".to_owned(),
        });
    }
    let found = own_folder.filter(|_| described.is_some());
    let of_model = found.map(folder::labels).transpose()?;
    let labels = match (given, of_model) {
        (Some(given), Some(of_model)) if given != of_model => {
            let differ = given.iter().zip(&of_model).position(|(a, b)| a != b);
            return Err(Error::Unfit {
                path: found.map(|folder| folder.join("labels.json")).unwrap_or_default(),
                field: "labels".to_owned(),
                problem: match differ {
                    Some(number) => format!(
                        "do not fit the task's: number {number} is `{}`, there `{}`",
                        of_model[number], given[number]
                    ),
                    None => format!("are {}, the task has {}", of_model.len(), given.len()),
                },
                hint: "leave task.vocabulary out, or draw a new head by --set model.replace_head=true"
                    .to_owned(),
            });
        }
        (Some(labels), _) | (None, Some(labels)) => labels,
        (None, None) => {
            let mut of_texts = Vec::new();
            each_row(opening, &mut |sample| {
                let texts = sample.texts.iter().filter(|text| text.kind == C::KIND);
                of_texts.extend(texts.filter_map(|text| settings.task.label_of(text)));
            })?;
            settings.task.vocabulary(&of_texts)
        }
    };
    if labels.len() < 2 {
        return Err(Error::Unfit {
            path: settings.data.train.first().map(|set| set.path.clone()).unwrap_or_default(),
            field: "answers".to_owned(),
            problem: format!("give {} labels; a classifier needs two", labels.len()),
            hint: format!(
                "build a data set with answers ({}), lower task.minimum, or name a task.vocabulary",
                C::SPEC
            ),
        });
    }
    Ok(labels)
}

impl<C: Classification> Task for Classified<C> {
    type Example = ClassifiedExample;
    type Network = Classifier;

    fn n_samples(&self) -> Vec<u64> {
        self.train.n_samples()
    }

    fn example(&self, sample: RowId, _step: u32, place: u32) -> Result<ClassifiedExample> {
        let sequences = self.train.sequences(sample, place)?;
        Ok(ClassifiedExample { sequences, target: self.train.target(sample).to_vec() })
    }

    fn network(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Classifier> {
        Classifier::new(&self.config, self.head, Tensors::new(tensors).computing_in(self.precision))
    }

    fn loss(&self, network: &Classifier, examples: &[ClassifiedExample], pass: Pass) -> Result<Tensor> {
        let sequences: Vec<Example> =
            examples.iter().flat_map(|example| example.sequences.iter().cloned()).collect();
        let targets: Vec<&[(u32, f32)]> = examples.iter().map(|example| example.target.as_slice()).collect();
        self.head.settings.loss_type.sum(&network.forward(&sequences, pass)?, &targets)
    }

    fn evaluate(&self, network: &Classifier, ranks: &dyn Collective) -> Result<Option<Scores>> {
        let Some(texts) = &self.held_out else { return Ok(None) };
        let rows: Vec<RowId> = texts.all().collect();
        let answered = answer(network, &self.labels, texts, &rows, self.micro, self.reading, ranks)?;
        let scores = self.task.score(&answered).map_err(|problem| Error::Setting {
            key: "data.held_out".to_owned(),
            problem,
            hint: format!("hold out a data set with official annotations: {}", C::SPEC),
        })?;
        Ok(Some(scores))
    }

    fn write(&self, tensors: BTreeMap<String, Tensor>, folder: &Path) -> Result<()> {
        let description = Description::of(C::NAME, &self.task, &self.layout);
        let network = (&self.config, &self.head);
        folder::write(folder, &description, network, &self.labels, &self.tokenizer, tensors)
    }
}
