//! Captioning as the loop of fine-tuning knows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use data_specs::{RowId, Tokenizer};
use finetune_harness::{Error, Layout, Opened, Result, Scores, Settings, Task};
use finetune_metrics::captions::{DocumentFrequencies, reward_caption};
use pretrain::model::{Incremental, ModelConfig, Pass};
use pretrain_comm::Collective;
use pretrain_kernels::Precision;

use crate::caption_text;
use crate::captioner::{Captioner, WORDS};
use crate::decoding::Caption;
use crate::folder::{first, write};
use crate::losses::{Masked, n_kept, of_hidden};
use crate::masking::{Hidden, hide};
use crate::pictures::{Opening, PictureSet};
use crate::scoring::{Captioned, scores};
use crate::self_critical::{Critic, Drawing};
use crate::sequence::{Laid, Room, one_caption};
use crate::settings::{Captioning, Decoding, FrequencySource};
use crate::writing::Writer;

/// The task with its data.
#[derive(Debug)]
pub struct Learning {
    settings: Captioning,
    layout: Layout,
    config: ModelConfig,
    tokenizer: Tokenizer,
    seed: u64,
    /// What is not trained: the pooler, which nothing here reads, and frozen word embeddings.
    frozen: BTreeMap<String, Tensor>,
    train: Arc<PictureSet>,
    held_out: Option<Arc<PictureSet>>,
    frequencies: Option<DocumentFrequencies>,
    micro: usize,
    precision: Precision,
    reading: [usize; 2],
}

/// A sample.
#[derive(Debug)]
pub enum CaptionExample {
    /// A caption with hidden tokens.
    #[expect(private_interfaces, reason = "only the task itself looks into its examples")]
    Masked(Masked),
    /// A picture that captions are drawn for.
    #[expect(private_interfaces, reason = "only the task itself looks into its examples")]
    Drawn(Drawing),
}

impl Learning {
    /// Opens model and data, each checked against the other.
    ///
    /// # Errors
    /// Whatever does not fit, with file, field and remedy.
    pub fn open(settings: &Settings<Captioning>) -> Result<Opened<Self>> {
        let (task, data) = (&settings.task, &settings.data);
        task.validate(&data.layout)?;
        let first = first(task, &settings.model, &data.train, settings.seed)?;
        let config = first.config;
        let opening = Opening {
            role: "train",
            sets: &data.train,
            verify: data.verify,
            layout: &data.layout,
            config: &config,
            tokenizer: &first.tokenizer,
            captioned: true,
        };
        let train = PictureSet::open(&opening)?;
        let held_out = match data.held_out.as_slice() {
            [] => None,
            sets => Some(PictureSet::open(&Opening { role: "held_out", sets, ..opening })?),
        };
        let frequencies = match task.self_critical.as_ref().map(|drawn| &drawn.document_frequencies) {
            None | Some(FrequencySource::Batch) => None,
            Some(FrequencySource::File(path)) => Some(given(path)?),
            Some(FrequencySource::Corpus) => Some(counted(&train)?),
        };
        let mut told = first.told;
        let counted = |role: &str, set: &PictureSet| {
            let (pictures, captions) = (set.all().count(), set.n_captions().iter().sum::<u64>());
            format!("{role}: {captions} captions of {pictures} pictures; left out: {} rows", set.left_out())
        };
        told.push(counted("to learn from", &train));
        told.extend(held_out.as_ref().map(|set| counted("held out", set)));
        let is_frozen =
            |name: &str| name.starts_with("bert.pooler.") || task.freeze_embedding && name == WORDS;
        let (frozen, tensors) = first.tensors.into_iter().partition(|(name, _)| is_frozen(name));
        let task = Self {
            settings: task.clone(),
            layout: data.layout.clone(),
            config,
            tokenizer: first.tokenizer,
            seed: settings.seed,
            frozen,
            train: Arc::new(train),
            held_out: held_out.map(Arc::new),
            frequencies,
            micro: settings.batch.micro as usize,
            precision: settings.model.precision,
            reading: [data.threads, data.read_ahead],
        };
        Ok(Opened { task: Arc::new(task), tensors, told })
    }

    fn room(&self) -> Room {
        let longest = self.settings.self_critical.as_ref().map_or(0, |drawn| drawn.max_length);
        self.settings.room(&self.layout, longest)
    }

    fn masked(&self, at: RowId, step: u32, place: u32) -> Result<Masked> {
        let (special, room) = (self.tokenizer.special(), self.room());
        let (picture, text) = self.train.caption(at)?;
        let mut words = self.tokenizer.encode(&text)?;
        words.truncate(room.caption - 2);
        let mut tokens = vec![special.cls];
        tokens.extend(words);
        tokens.push(special.sep);
        let draws = [self.seed, u64::from(step), u64::from(place)];
        let Hidden { tokens, asked, labels } =
            hide(&tokens, &self.settings, special, self.config.vocab_size, draws);
        let laid = Laid::new(one_caption(&tokens), &self.train.picture(picture)?, room, special, place);
        Ok(Masked { laid, asked, labels })
    }

    fn kept(&self, n: usize, step: u64) -> usize {
        let ratio = self.settings.drop_worst_ratio;
        if ratio > 0.0 && step >= self.settings.drop_worst_after { n_kept(n, ratio) } else { n }
    }
}

impl Task for Learning {
    type Example = CaptionExample;
    type Network = Captioner;

    /// Captions; pictures in self-critical training.
    fn n_samples(&self) -> Vec<u64> {
        if self.settings.self_critical.is_some() { self.train.n_pictures() } else { self.train.n_captions() }
    }

    fn example(&self, sample: RowId, step: u32, place: u32) -> Result<CaptionExample> {
        if self.settings.self_critical.is_none() {
            return Ok(CaptionExample::Masked(self.masked(sample, step, place)?));
        }
        let (picture, references) = (self.train.picture(sample)?, references(&self.train, sample)?);
        Ok(CaptionExample::Drawn(Drawing { picture, references, place }))
    }

    fn network(&self, tensors: &BTreeMap<String, Tensor>) -> Result<Captioner> {
        let device = tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        let mut all = tensors.clone();
        for (name, tensor) in &self.frozen {
            all.insert(name.clone(), tensor.to_device(&device)?);
        }
        Captioner::new(&self.config, &all, self.precision)
    }

    fn loss(&self, network: &Captioner, examples: &[CaptionExample], pass: Pass) -> Result<Tensor> {
        let Some(settings) = &self.settings.self_critical else {
            let masked = examples.iter().filter_map(|example| match example {
                CaptionExample::Masked(masked) => Some(masked),
                CaptionExample::Drawn(_) => None,
            });
            let masked: Vec<&Masked> = masked.collect();
            let n = masked.iter().map(|one| one.labels.len()).sum();
            let kept = self.kept(n, step_of(pass));
            return of_hidden(network, &masked, self.settings.label_smoothing, kept, pass);
        };
        let drawings = examples.iter().filter_map(|example| match example {
            CaptionExample::Drawn(drawing) => Some(drawing.clone()),
            CaptionExample::Masked(_) => None,
        });
        let frequencies = self.frequencies.as_ref();
        let critic = Critic { settings, frequencies, tokenizer: &self.tokenizer, room: self.room() };
        critic.loss(network, &drawings.collect::<Vec<_>>(), [self.seed, step_of(pass)], pass)
    }

    /// Hidden tokens that are not left out; pictures in self-critical training.
    fn weight(&self, examples: &[CaptionExample], step: u64) -> f64 {
        let hidden = examples.iter().map(|example| match example {
            CaptionExample::Masked(masked) => masked.labels.len(),
            CaptionExample::Drawn(_) => 1,
        });
        let n = hidden.sum();
        if self.settings.self_critical.is_some() { n as f64 } else { self.kept(n, step) as f64 }
    }

    fn evaluate(&self, network: &Captioner, ranks: &dyn Collective) -> Result<Option<Scores>> {
        let Some(set) = &self.held_out else { return Ok(None) };
        let decoding = self.settings.decoding;
        let writer = Writer {
            captioner: network,
            incremental: Incremental::new(&network.encoder)?,
            decoding,
            room: self.settings.room(&self.layout, decoding.max_length()),
            special: self.tokenizer.special(),
        };
        let rows: Vec<(usize, RowId)> = set.all().enumerate().collect();
        let own = rows.chunks(self.micro).skip(ranks.rank()).step_by(ranks.world()).flatten().copied();
        // length and tokens of every picture's caption; a rank knows its own and adds nothing to the others'
        let width = decoding.max_length() + 1;
        let mut found = vec![0.0; rows.len() * width];
        let own: Vec<_> = own.collect();
        writer.each(set, &own, self.micro, self.reading, None, &mut |number, captions| {
            let tokens = captions.first().map_or(&[][..], |best| best.tokens.as_slice());
            found[number * width] = tokens.len() as f64;
            found[number * width + 1..]
                .iter_mut()
                .zip(tokens)
                .for_each(|(to, token)| *to = f64::from(*token));
        })?;
        ranks.all_reduce_sum_f64(&mut found)?;
        let captioned = rows.iter().zip(found.chunks_exact(width)).map(|((_, row), found)| {
            let tokens = found[1..][..found[0] as usize].iter().map(|token| *token as u32).collect();
            let text = caption_text(&self.tokenizer, &Caption { tokens, score: 0.0 })?;
            Ok(Captioned::new(&set.sample(*row)?, vec![(text, 1.0)]))
        });
        Ok(Some(scores(&captioned.collect::<Result<Vec<_>>>()?)))
    }

    fn write(&self, mut tensors: BTreeMap<String, Tensor>, folder: &Path) -> Result<()> {
        tensors.extend(self.frozen.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
        write(folder, (&self.settings, &self.layout), &self.config, &self.tokenizer, tensors)
    }
}

fn step_of(pass: Pass) -> u64 {
    match pass {
        Pass::Training { step, .. } => step,
        Pass::Evaluation => 0,
    }
}

fn given(path: &Path) -> Result<DocumentFrequencies> {
    DocumentFrequencies::read(path).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        field: "document frequencies".to_owned(),
        problem: error.to_string(),
        hint: "`finetune score document-frequencies --eos` counts them; the original's pickle is read, too"
            .to_owned(),
    })
}

/// Those of all captions that are learnt from, in the form that rewards compare.
fn counted(set: &PictureSet) -> Result<DocumentFrequencies> {
    let captions = set
        .all()
        .map(|row| Ok(references(set, row)?.iter().map(|caption| reward_caption(caption)).collect()));
    let captions: Vec<Vec<String>> = captions.collect::<Result<_>>()?;
    Ok(DocumentFrequencies::count(captions.iter().map(Vec::as_slice)))
}

/// A picture's captions in small letters: rewards compare letter by letter, and an uncased vocabulary has no others.
fn references(set: &PictureSet, picture: RowId) -> Result<Vec<String>> {
    Ok(set.captions(picture)?.iter().map(|caption| caption.to_lowercase()).collect())
}

impl Decoding {
    /// Whether a picture can get more than one caption.
    pub(crate) fn keeps(&self) -> usize {
        match self {
            Self::Greedy(_) => 1,
            Self::Sampling(settings) => settings.samples,
            Self::Beam(settings) => settings.keep,
        }
    }
}
