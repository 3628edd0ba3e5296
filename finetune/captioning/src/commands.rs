//! `finetune captioning | nocaps train | eval | predict`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_specs::RowId;
use data_specs::durable::write_durably;
use finetune_harness::{
    Attention, DeviceChoice, Error, Explained, Outcome, Result, SetSettings, Train, Watch,
};
use finetune_metrics::layouts::Id;
use pretrain::data::VerifyShards;
use pretrain::model::Incremental;
use pretrain_kernels::Precision;
use serde_json::{Value, json};

use crate::caption_text;
use crate::constrained::{
    Automaton, ConstrainedSettings, Constraint, ConstraintBoxes, ConstraintFilter, ConstraintWords,
    Hierarchy, Overlap,
};
use crate::decoding::Caption;
use crate::folder::{self, Opened};
use crate::learning::Learning;
use crate::pictures::{Opening, PictureSet};
use crate::scoring::{Captioned, image_id, official_id};
use crate::sequence::{Laid, Room, one_caption, pack};
use crate::settings::{Captioning, Decoding};
use crate::writing::{Constraints, Writer};

/// Captions that are asked for.
#[derive(Debug, Clone)]
pub struct Write {
    /// Fine-tuned model folder.
    pub model: PathBuf,
    /// Data set.
    pub data: PathBuf,
    /// Only the row of this key.
    pub key: Option<String>,
    /// `decoding.key=value`, over the settings of the model.
    pub set: Vec<String>,
    /// What captions must name.
    pub constraints: Option<ConstraintFiles>,
    /// Whether only pictures with captions are read: to compare with them.
    pub captioned: bool,
    /// Pictures that are computed at once.
    pub at_once: usize,
    /// What products are computed in.
    pub precision: Precision,
    /// Where the network computes.
    pub device: DeviceChoice,
}

/// The files of constrained decoding (NoCaps).
#[derive(Debug, Clone)]
pub struct ConstraintFiles {
    /// Lines of a picture's id and `[{rect, class, conf}]`.
    pub boxes: PathBuf,
    /// Lines of a word and its pieces.
    pub words: PathBuf,
    /// Lines of a piece and its forms.
    pub forms: PathBuf,
    /// The tree of classes.
    pub hierarchy: PathBuf,
    /// Constraints that a caption must satisfy.
    pub satisfy: usize,
}

/// Trains; how it ended.
///
/// # Errors
/// Settings, data or network that do not fit; whatever stops the loop.
pub fn train(train: &Train, watch: &dyn Watch) -> Result<Outcome> {
    train.run_task(watch, Learning::open)
}

impl Write {
    /// Captions in stored order.
    ///
    /// # Errors
    /// Model, data or constraints that do not fit; a key that is not there.
    pub fn run(&self) -> Result<Vec<Captioned>> {
        let Done { opened, set, written, .. } = self.write()?;
        let captioned = written.iter().map(|(row, captions)| {
            let text =
                |caption: &Caption| Ok((caption_text(&opened.tokenizer, caption)?, caption.confidence()));
            let texts = captions.iter().map(text).collect::<crate::Result<Vec<_>>>()?;
            Ok(Captioned::new(&set.sample(*row)?, texts))
        });
        captioned.collect()
    }

    /// What the words of the best caption of each picture look at.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn explain(&self) -> Result<Vec<Explained>> {
        let Done { opened, set, room, written } = self.write()?;
        let Opened { tokenizer, captioner, layout, .. } = &opened;
        let special = tokenizer.special();
        let explained = written.iter().map(|(row, captions)| {
            let [best, ..] = captions.as_slice() else { return Ok(None) };
            let tokens: Vec<u32> =
                [special.cls].into_iter().chain(best.words().iter().copied()).chain([special.sep]).collect();
            let laid = Laid::new(one_caption(&tokens), &set.picture(*row)?, room, special, 0);
            let batch = pack(std::slice::from_ref(&laid), &captioner.config)?;
            let sample = set.whole(*row)?;
            let regions =
                (0..(sample.images[0].regions as usize).min(layout.max_regions)).map(|region| (0, region));
            let attention =
                Attention::of(&captioner.encoder, &batch, &laid.example, regions.collect(), tokenizer)?;
            let text = caption_text(tokenizer, best)?;
            Ok(Some(Explained {
                title: format!("{text} ({:.1} %)", 100.0 * best.confidence()),
                sample,
                sequences: vec![attention],
            }))
        });
        explained.filter_map(Result::transpose).collect()
    }

    fn write(&self) -> Result<Done> {
        let opened =
            folder::open(&self.model, self.precision, self.device, |settings| change(settings, &self.set))?;
        let Opened { settings, layout, tokenizer, captioner } = &opened;
        let set = PictureSet::open(&Opening {
            role: "held_out",
            sets: &[SetSettings { path: self.data.clone(), splits: None }],
            verify: VerifyShards::First,
            layout,
            config: &captioner.config,
            tokenizer,
            captioned: self.captioned,
        })?;
        let rows = self.rows(&set)?;
        let constraints =
            self.constraints.as_ref().map(|files| files.of(&set, &rows, tokenizer, settings.decoding));
        let constraints = constraints.transpose()?;
        let room = settings.room(layout, settings.decoding.max_length());
        let writer = Writer {
            captioner,
            incremental: Incremental::new(&captioner.encoder)?,
            decoding: settings.decoding,
            room,
            special: tokenizer.special(),
        };
        let set = Arc::new(set);
        let numbered: Vec<(usize, RowId)> = rows.iter().copied().enumerate().collect();
        let mut written: Vec<(RowId, Vec<Caption>)> = rows.iter().map(|row| (*row, Vec::new())).collect();
        let mut keep = |number: usize, captions| written[number].1 = captions;
        writer.each(&set, &numbered, self.at_once.max(1), [2, 4], constraints.as_ref(), &mut keep)?;
        Ok(Done { opened, set, room, written })
    }

    /// The rows that captions are asked for.
    fn rows(&self, set: &PictureSet) -> Result<Vec<RowId>> {
        let Some(key) = &self.key else { return Ok(set.all().collect()) };
        let mut kept = Vec::new();
        for row in set.all() {
            if set.sample(row)?.key == *key {
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return Err(Error::Unfit {
                path: self.data.clone(),
                field: "key".to_owned(),
                problem: format!("`{key}` is not there"),
                hint: "`pipeline peek` lists keys".to_owned(),
            });
        }
        Ok(kept)
    }
}

/// Captions that were written, with what wrote them.
struct Done {
    opened: Opened,
    set: Arc<PictureSet>,
    room: Room,
    written: Vec<(RowId, Vec<Caption>)>,
}

impl Captioned {
    /// Writes captions as `[{image_id, caption}]`, which the official evaluations read (COCO's and NoCaps'), or, where the
    /// file is called `.tsv`, as lines of an id and `[{caption, conf}]`.
    ///
    /// # Errors
    /// A full disk; two pictures of one id.
    pub fn write(captioned: &[Self], path: &Path) -> Result<()> {
        let mut text = String::new();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            for one in captioned {
                let all = std::iter::once((&one.caption, &one.confidence));
                let all = all.chain(one.others.iter().map(|(caption, confidence)| (caption, confidence)));
                let list: Vec<Value> = all
                    .map(|(caption, confidence)| json!({ "caption": caption, "conf": confidence }))
                    .collect();
                writeln!(text, "{}\t{}", one.image_id, Value::Array(list))
                    .expect("writing to a string does not fail");
            }
        } else {
            let mut ids: Vec<&str> = captioned.iter().map(|one| one.image_id.as_str()).collect();
            ids.sort_unstable();
            if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::Unfit {
                    path: path.to_owned(),
                    field: "image_id".to_owned(),
                    problem: format!("`{}` would stand there twice", pair[0]),
                    hint: "predict data sets of one source, or write a .tsv".to_owned(),
                });
            }
            let entry = |one: &Self| json!({ "image_id": id(&one.image_id), "caption": one.caption });
            text = Value::Array(captioned.iter().map(entry).collect()).to_string() + "\n";
        }
        Ok(write_durably(path, text.as_bytes(), "predictions")?)
    }
}

impl ConstraintFiles {
    fn of(
        &self,
        set: &PictureSet,
        rows: &[RowId],
        tokenizer: &data_specs::Tokenizer,
        decoding: Decoding,
    ) -> Result<Constraints> {
        let (Decoding::Beam(beam), 1) = (decoding, decoding.keeps()) else {
            return Err(Error::Setting {
                key: "decoding".to_owned(),
                problem: "is not beam search for one caption".to_owned(),
                hint: "captions that must name something come from it: --set decoding.kind=beam, keep=1"
                    .to_owned(),
            });
        };
        let boxes = ConstraintBoxes::read(&self.boxes)?;
        let filter = ConstraintFilter::new(Hierarchy::read(&self.hierarchy)?, Overlap::Kept);
        let words = ConstraintWords::read(&self.words, &self.forms, tokenizer)?;
        let mut n_known = 0;
        let automata = rows.iter().map(|row| {
            let sample = set.sample(*row)?;
            let by_name = boxes.of(&sample.images[0].image_id);
            let seen = if by_name.is_empty() { boxes.of(&image_id(&sample)) } else { by_name };
            n_known += usize::from(!seen.is_empty());
            let names = filter.constraints(seen)?;
            let constraints = names
                .iter()
                .map(|name| words.constraint(name))
                .collect::<crate::Result<Vec<Constraint>>>()?;
            Ok(Automaton::new(&constraints)?)
        });
        let automata: Vec<Automaton> = automata.collect::<Result<_>>()?;
        if n_known == 0 {
            return Err(Error::Unfit {
                path: self.boxes.clone(),
                field: "keys".to_owned(),
                problem: "are of none of the data set's pictures".to_owned(),
                hint: "lines begin with the picture's id, as `pipeline peek` shows it behind the source"
                    .to_owned(),
            });
        }
        let settings =
            ConstrainedSettings { max_length: beam.max_length, beams: beam.beams, satisfy: self.satisfy };
        Ok(Constraints { settings, automata })
    }
}

fn id(id: &str) -> Value {
    match official_id(id) {
        Id::Number(number) => json!(number),
        Id::Text(text) => json!(text),
    }
}

/// Replaces settings of decoding.
fn change(settings: &mut Captioning, set: &[String]) -> Result<()> {
    if set.is_empty() {
        return Ok(());
    }
    let wrong = |given: &str, problem: String| {
        Error::Setting {
        key: format!("--set {given}"),
        problem,
        hint: "of a finished model the section decoding can be set: kind, max_length, beams, keep, length_penalty, \
               repetition_penalty, temperature, top_k, top_p, samples"
            .to_owned(),
    }
    };
    let mut tree = json!(settings.decoding);
    for given in set {
        let (key, value) = given.split_once('=').ok_or_else(|| wrong(given, "has no `=`".to_owned()))?;
        let key =
            key.strip_prefix("decoding.").ok_or_else(|| wrong(given, "is no key of decoding".to_owned()))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        if key == "kind" && tree["kind"] != value {
            // another kind has other keys
            tree =
                json!({ "max_length": tree["max_length"], "repetition_penalty": tree["repetition_penalty"] });
        }
        tree[key] = value;
    }
    settings.decoding =
        serde_json::from_value(tree).map_err(|error| wrong(&set.join(" "), error.to_string()))?;
    Ok(())
}
