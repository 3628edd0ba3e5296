//! One task: its rows read, decoded in parallel, written in order, committed whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use data_specs::{
    Account, FeatureType, Picture, RejectsEntry, Sample, ShardWriter, WithoutText, canonical_fields,
};
use half::f16;
use rayon::prelude::*;

use super::receipt::Receipt;
use crate::features::PictureRecord;
use crate::inputs::{Input, InputFile, Span};
use crate::output::{PLAN, rejects_name, shard_name};
use crate::plan::{Plan, RowRecipe, TextRecipe, count, interrupted, name_of, read_recipes};
use crate::rejects_file::RejectsWriter;
use crate::sources::Sources;
use crate::texts::{ParsedTexts, Part, RejectedText};
use crate::watch::{Phase, Watch};
use crate::{Code, Error, Outcome, Reject, RejectReason, Stage, Unit};

/// Rows are read and decoded in batches of about so many input bytes: enough for all cores to share,
/// little enough to be held twice.
const BATCH_BYTES: u64 = 16 << 20;
/// Rows of a batch whose features are computed. A shard's row groups follow batches, so the number is
/// the same on every machine.
const BATCH_COMPUTED: usize = 32;

/// What tasks share.
pub(crate) struct Workshop<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) plan: &'a Plan,
    pub(crate) build_id: &'a str,
    pub(crate) sources: &'a Sources,
    pub(crate) inputs: &'a [Input],
    pub(crate) files: Vec<InputFile>,
    pub(crate) watch: &'a dyn Watch,
}

/// A row's end: in the shard, or in the rejects; and texts that did not come along.
struct Built {
    row: Result<Sample, Reject>,
    texts: Vec<Reject>,
    /// Texts the recipe promised.
    planned_texts: u64,
}

impl Workshop<'_> {
    /// Builds shard `task` and leaves its receipt.
    pub(super) fn run(&self, task: usize) -> Result<Receipt, Error> {
        let plan_folder = self.folder.join(PLAN);
        let recipes = read_recipes(&Plan::recipes_path(&plan_folder, task))?;
        let receipt = self.write_rows(recipes, task, &shard_name(task), &rejects_name(task))?;
        let planned = &self.plan.tasks[task];
        if receipt.rows.read != planned.rows || receipt.texts.read != planned.texts {
            return Err(Error::Accounting {
                what: format!("task {task}"),
                sums: format!(
                    "{} rows and {} texts planned, {} and {} read",
                    planned.rows, planned.texts, receipt.rows.read, receipt.texts.read
                ),
            });
        }
        receipt.commit(self.folder, self.watch)?;
        Ok(receipt)
    }

    /// Builds the rows of `recipes` into the shard `name`, and what is wrong with them into `rejects_name`.
    pub(crate) fn write_rows(
        &self,
        recipes: impl Iterator<Item = Result<RowRecipe, Error>>,
        task: usize,
        name: &str,
        rejects_name: &str,
    ) -> Result<Receipt, Error> {
        let owner = &self.build_id[..8];
        let mut writer = ShardWriter::create(self.folder, name, owner)?;
        let mut rejects: Option<RejectsWriter> = None;
        let (mut rows, mut texts) = (Account::default(), Account::default());
        let mut recipes = recipes.peekable();
        while recipes.peek().is_some() {
            interrupted(self.watch)?;
            let mut batch = Vec::new();
            let mut bytes = 0;
            let computes = self.sources.features.computes();
            while (if computes { batch.len() < BATCH_COMPUTED } else { bytes < BATCH_BYTES })
                && let Some(recipe) = recipes.next()
            {
                let recipe = recipe?;
                bytes += spans(&recipe).map(|span| u64::from(span.len)).sum::<u64>();
                batch.push(recipe);
            }
            // `collect` keeps the order, so the number of threads never reaches the shard.
            let built: Vec<Built> = if computes {
                self.compute_rows(&batch)?
            } else {
                batch.par_iter().map(|recipe| self.build_row(recipe)).collect()
            };
            let mut samples = Vec::with_capacity(built.len());
            let mut turned_away = 0;
            for Built { row, texts: mut away, planned_texts } in built {
                texts.read += planned_texts;
                texts.rejected += away.len() as u64;
                match row {
                    Ok(sample) => {
                        rows.read += 1;
                        rows.written += 1;
                        texts.written += sample.texts.len() as u64;
                        samples.push(sample);
                    }
                    Err(reject) => {
                        count(&mut rows, reject.outcome);
                        away.push(reject);
                        turned_away += 1;
                    }
                }
                for reject in away {
                    let writer = match &mut rejects {
                        Some(writer) => writer,
                        None => rejects.insert(RejectsWriter::create(self.folder, rejects_name, owner)?),
                    };
                    writer.push(reject)?;
                }
            }
            writer.write(&samples)?;
            let already_told = if computes { batch.len() as u64 } else { 0 };
            self.watch.rows(batch.len() as u64 - already_told, turned_away);
            self.watch.phase(Phase::ShardRows);
        }
        for (account, what) in [(&rows, "rows"), (&texts, "texts")] {
            if !account.balances() {
                return Err(Error::Accounting {
                    what: format!("task {task}, {what}"),
                    sums: account.to_string(),
                });
            }
        }
        let rejects: Option<RejectsEntry> = rejects.map(RejectsWriter::commit).transpose()?;
        let watch = self.watch;
        let shard = writer
            .commit(&|phase| Phase::of_shard(phase).into_iter().for_each(|phase| watch.phase(phase)))?;
        if shard.rows != rows.written || shard.texts != texts.written {
            return Err(Error::Accounting {
                what: format!("shard {name}"),
                sums: format!("{} rows and {} texts in the file, {rows}, {texts}", shard.rows, shard.texts),
            });
        }
        Ok(Receipt { build_id: self.build_id.to_string(), task, shard, rejects, rows, texts })
    }

    /// Builds rows one a thread: a network whose products were spread over threads would have them wait
    /// for each other, and hold as many pictures as there are rows. Progress is told row by row.
    fn compute_rows(&self, batch: &[RowRecipe]) -> Result<Vec<Built>, Error> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut mine = Vec::new();
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(recipe) = batch.get(at)
                && self.watch.interrupted().is_none()
            {
                mine.push((at, self.build_row(recipe)));
                self.watch.rows(1, 0);
            }
            mine
        };
        let threads = rayon::current_num_threads().min(batch.len());
        let pools = (0..threads).map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build());
        let pools = pools.collect::<Result<Vec<_>, _>>().map_err(|error| Error::Io {
            op: "start threads for",
            path: self.folder.to_path_buf(),
            source: std::io::Error::other(error),
        })?;
        let mut built: Vec<(usize, Built)> = thread::scope(|scope| {
            let workers: Vec<_> = pools.iter().map(|pool| scope.spawn(|| pool.install(work))).collect();
            let done = workers.into_iter().map(|worker| worker.join().expect("rows do not panic"));
            done.flatten().collect()
        });
        interrupted(self.watch)?;
        built.sort_by_key(|(at, _)| *at);
        Ok(built.into_iter().map(|(_, built)| built).collect())
    }

    fn build_row(&self, recipe: &RowRecipe) -> Built {
        let planned_texts = recipe.text_count();
        let lose_all = |reject: Reject, mut texts: Vec<Reject>| {
            // Texts of a lost row are lost with it, each accounted for.
            let lost = planned_texts.saturating_sub(texts.len() as u64);
            texts.extend((0..lost).map(|_| Reject { unit: Unit::Text, ..reject.clone() }));
            Built { row: Err(reject), texts, planned_texts }
        };
        let mut images = Vec::with_capacity(recipe.pictures.len());
        for record in &recipe.pictures {
            match self.build_picture(record) {
                Ok(picture) => images.push(picture),
                Err((stage, reason)) => {
                    return lose_all(
                        self.reject(recipe, Unit::Row, stage, reason, record.spans.first()),
                        Vec::new(),
                    );
                }
            }
        }
        let mut texts = Vec::new();
        let mut lost = Vec::new();
        let mut extra = serde_json::Map::new();
        for record in &recipe.texts {
            match self.parse_texts(record) {
                Ok(parsed) => {
                    texts.extend(parsed.texts);
                    for RejectedText { id, reason } in parsed.rejected {
                        let reason = RejectReason::new(reason.code, format!("text {id}: {}", reason.message));
                        let first = record.spans.first();
                        lost.push(self.reject(recipe, Unit::Text, Stage::Decode, reason, first));
                    }
                    extra.extend(parsed.row_extra);
                }
                // Bytes that could not be read may be readable later: the row waits for `retry` whole.
                Err((Stage::Read, reason)) => {
                    let first = record.spans.first();
                    return lose_all(self.reject(recipe, Unit::Row, Stage::Read, reason, first), Vec::new());
                }
                Err((stage, reason)) => {
                    let reject = self.reject(recipe, Unit::Text, stage, reason, record.spans.first());
                    lost.extend((0..record.texts).map(|_| reject.clone()));
                }
            }
        }
        if texts.is_empty() && !lost.is_empty() && self.plan.spec.without_text == WithoutText::Reject {
            let reason = RejectReason::new(Code::NoText, "none of its texts could be read");
            let first = recipe.pictures[0].spans.first();
            return lose_all(self.reject(recipe, Unit::Row, Stage::Decode, reason, first), lost);
        }
        let sample = Sample {
            key: recipe.key.clone(),
            source: recipe.source.clone(),
            split: recipe.split.clone(),
            images,
            texts,
            extra: canonical_fields(extra),
        };
        Built { row: Ok(sample), texts: lost, planned_texts }
    }

    fn build_picture(&self, record: &PictureRecord) -> Result<Picture, (Stage, RejectReason)> {
        let parts = self.read_all(&record.spans)?;
        let format = &self.sources.features;
        let decoded = unless_panic(|| format.decode(&self.plan.layout, record, &parts));
        let mut picture = decoded.map_err(|reason| (Stage::Decode, reason))?;
        if self.plan.spec.features.dtype == FeatureType::F16 {
            picture.features = to_f16(&picture.features).map_err(|reason| (Stage::Decode, reason))?;
        }
        Ok(picture)
    }

    fn parse_texts(&self, record: &TextRecipe) -> Result<ParsedTexts, (Stage, RejectReason)> {
        let bytes = self.read_all(&record.spans)?;
        let parts: Vec<Part> =
            record.spans.iter().zip(bytes).map(|(&span, bytes)| Part { span, bytes }).collect();
        let format = &self.sources.texts[usize::from(record.section)].format;
        let parsed = unless_panic(|| format.parse(&parts)).map_err(|reason| (Stage::Decode, reason))?;
        let found = parsed.texts.len() + parsed.rejected.len();
        if found != record.texts as usize {
            let message = format!("{found} texts where planning counted {}", record.texts);
            return Err((Stage::Decode, RejectReason::new(Code::WrongLength, message)));
        }
        Ok(parsed)
    }

    fn read_all(&self, spans: &[Span]) -> Result<Vec<Vec<u8>>, (Stage, RejectReason)> {
        let read = |span: &Span| {
            let file = &self.files[usize::from(span.input)];
            match self.watch.read_fault(span) {
                Some(source) => Err(Error::io("read", file.path())(source)),
                None => file.read(*span),
            }
        };
        spans
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| (Stage::Read, RejectReason::new(Code::ReadFailed, error.to_string())))
    }

    fn reject(
        &self,
        recipe: &RowRecipe,
        unit: Unit,
        stage: Stage,
        reason: RejectReason,
        span: Option<&Span>,
    ) -> Reject {
        Reject {
            outcome: Outcome::Rejected,
            unit,
            stage,
            code: reason.code,
            source: recipe.source.clone(),
            file: span.map(|span| name_of(&self.inputs[usize::from(span.input)].path)).unwrap_or_default(),
            line: span.map(|span| span.line).filter(|&line| line > 0),
            key: recipe.key.clone(),
            message: reason.message,
            retryable: reason.code.is_retryable(),
        }
    }
}

fn spans(recipe: &RowRecipe) -> impl Iterator<Item = &Span> {
    let pictures = recipe.pictures.iter().flat_map(|picture| &picture.spans);
    pictures.chain(recipe.texts.iter().flat_map(|texts| &texts.spans))
}

/// A decoder that panics costs one row, not the build; its message is kept.
fn unless_panic<T>(decode: impl FnOnce() -> Result<T, RejectReason>) -> Result<T, RejectReason> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(RejectReason::new(Code::DecoderPanic, message))
    })
}

/// f32 to f16, little-endian, each number rounded to nearest even.
///
/// # Errors
/// A number beyond the range of f16.
fn to_f16(features: &[u8]) -> Result<Bytes, RejectReason> {
    let mut out = Vec::with_capacity(features.len() / 2);
    let mut overflow = false;
    for number in features.chunks_exact(4) {
        let half = f16::from_f32(f32::from_le_bytes([number[0], number[1], number[2], number[3]]));
        overflow |= !half.is_finite();
        out.extend_from_slice(&half.to_le_bytes());
    }
    if overflow {
        let message = "a feature is beyond the range of f16 (65504); features.dtype = \"f32\" keeps it";
        return Err(RejectReason::new(Code::NonFinite, message));
    }
    Ok(out.into())
}
