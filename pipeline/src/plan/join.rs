//! Planning: scan features and texts, bring them together by picture, write one recipe a row.

use std::path::Path;

use data_specs::{Account, CorpusSpec, RejectsEntry, WithoutText};

use super::index::{TextEntry, TextIndex};
use super::pictures::Pictures;
use super::tasks::TaskWriter;
use super::{ENGINE_VERSION, Ids, InputIdentity, Plan, PlanInputs, RowRecipe, TextRecipe};
use crate::features::ScannedPicture;
use crate::inputs::{Input, InputFile, ScanContext, Span};
use crate::output::PLAN_REJECTS;
use crate::rejects_file::RejectsWriter;
use crate::sources::Sources;
use crate::texts::ScannedText;
use crate::watch::{Phase, Watch};
use crate::{Code, Error, Outcome, Reject, Stage, Unit};

/// Plans the build of `spec` into the empty folder `plan_folder`, which becomes `final_folder` later.
///
/// Memory: about 300 bytes a picture and at most 200 bytes a text; no text and no feature is kept.
pub(crate) fn plan_build(
    spec: &CorpusSpec,
    sources: &Sources,
    plan_folder: &Path,
    final_folder: &Path,
    watch: &dyn Watch,
) -> Result<(Plan, PlanInputs), Error> {
    watch.phase(Phase::Plan);
    let derived = plan_folder.join("derived");
    std::fs::create_dir_all(&derived).map_err(Error::io("create", &derived))?;
    let ids = Ids(spec.ids);
    let mut ledger = Ledger::create(plan_folder, &spec.source)?;
    let mut inputs: Vec<Input> = Vec::new();
    let context = |inputs: &[Input]| ScanContext {
        source: &spec.source,
        first_input: inputs.len() as u16,
        derived: &derived,
        watch,
    };

    let mut pictures = Pictures::new(ids);
    let scanned = sources.features.scan(context(&inputs), &mut |found| {
        interrupted(watch)?;
        match found {
            ScannedPicture::Record(record) => {
                pictures.push(record);
                Ok(())
            }
            ScannedPicture::Reject(reject) => ledger.row(reject),
        }
    })?;
    inputs.extend(scanned.inputs);
    let layout = scanned.layout;

    for path in &spec.exclude.ids {
        inputs.push(pictures.exclude(path)?);
    }
    for (id, why) in scanned.excluded {
        pictures.exclude_likeness(&id, why);
    }

    let mut texts = TextIndex::default();
    for (section, source) in sources.texts.iter().enumerate() {
        let scanned = source.format.scan(context(&inputs), &mut |found| {
            interrupted(watch)?;
            let record = match found {
                ScannedText::Record(record) => record,
                ScannedText::Reject(reject) => return ledger.text(reject),
            };
            let units = record.texts;
            let turned_away = |outcome, code, message: String| {
                let line = record.spans.first().map(|span| span.line).filter(|&line| line > 0);
                let reject = Reject { outcome, line, ..join_reject(Unit::Text, code, &record.id, message) };
                (Reject { file: source.file_name.clone(), ..reject }, units)
            };
            let other_split =
                |split: &String| source.splits.as_ref().is_some_and(|taken| !taken.contains(split));
            if let Some(split) = record.split.as_ref().filter(|split| other_split(split)) {
                let message = format!("of split `{split}`, which the spec does not take");
                let (reject, units) = turned_away(Outcome::Filtered, Code::OtherSplit, message);
                return ledger.texts(reject, units);
            }
            match pictures.find(&record.images) {
                Ok(row) => {
                    texts.push(section, row, &record);
                    Ok(())
                }
                Err(id) => {
                    let (code, what) = match layout.computed {
                        None => (Code::NoFeatures, "has no features"),
                        Some(_) => (Code::NoPicture, "is not among the pictures"),
                    };
                    let (reject, units) =
                        turned_away(Outcome::Rejected, code, format!("picture `{id}` {what}"));
                    ledger.texts(reject, units)
                }
            }
        })?;
        inputs.extend(scanned);
    }
    if inputs.len() > usize::from(u16::MAX) {
        return Err(Error::Input {
            path: plan_folder.to_path_buf(),
            line: None,
            what: format!("{} input files are more than a plan can hold", inputs.len()),
            hint: "build the corpus in parts".into(),
        });
    }
    for input in &mut inputs {
        if let Ok(rest) = input.path.strip_prefix(plan_folder) {
            input.path = final_folder.join(rest);
        }
    }

    let open = open_inputs(&inputs, plan_folder, final_folder)?;
    let read = |span: &Span| open[usize::from(span.input)].read(*span);
    pictures.settle_doubles(sources, &layout, &read, &mut ledger, &inputs)?;
    texts.settle_doubles(sources, &read, &mut ledger)?;

    let mut writer = TaskWriter::new(plan_folder, spec.shard);
    let size = u64::from(layout.width) * spec.features.dtype.size() as u64;
    for (row, entries) in texts.rows(&pictures) {
        interrupted(watch)?;
        let members = pictures.members(row);
        let records: Vec<_> = members.iter().map(|&at| pictures.record(at).clone()).collect();
        let key = pictures.key(row, &spec.source);
        let units: u32 = entries.iter().map(|entry| entry.texts).sum();
        if let Some((code, message)) = members.iter().find_map(|&at| pictures.exclusion(at)) {
            let reject = join_reject(Unit::Row, code, &key, message);
            let reject = Reject { outcome: Outcome::Filtered, ..reject };
            ledger.texts(Reject { unit: Unit::Text, ..reject.clone() }, units)?;
            ledger.row(reject)?;
            continue;
        }
        if units == 0 && !sources.texts.is_empty() && spec.without_text == WithoutText::Reject {
            let message = "no text names this picture (without_text = \"keep\" makes it a row without texts)";
            let span = records[0].spans[0];
            let file = name_of(&inputs[usize::from(span.input)].path);
            let reject = join_reject(Unit::Row, Code::NoText, &key, message.to_string());
            ledger.row(Reject { file, line: Some(span.line).filter(|&line| line > 0), ..reject })?;
            continue;
        }
        // Estimated from the text form where the container states no shape: base64 takes 4 bytes for 3.
        let bytes = records.iter().map(|record| match record.shape {
            Some([regions, _]) => u64::from(regions) * size,
            None => u64::from(record.spans[0].len) * 3 / 4 * spec.features.dtype.size() as u64 / 4,
        });
        let source = records[0].source.clone().unwrap_or_else(|| spec.source.clone());
        let split = entries.iter().find_map(|entry| texts.split(entry)).unwrap_or(&spec.split).to_string();
        let bytes = bytes.sum();
        let texts = entries.iter().map(TextEntry::recipe).collect::<Vec<TextRecipe>>();
        writer.push(&RowRecipe { key, source, split, pictures: records, texts }, bytes)?;
    }
    let tasks = writer.finish()?;
    let Ledger { rows, texts, rejects, .. } = ledger.finish()?;
    let plan = Plan {
        engine_version: ENGINE_VERSION,
        spec: spec.clone(),
        layout,
        inputs: inputs
            .iter()
            .map(|input| InputIdentity {
                name: name_of(&input.path),
                size: input.stamp.size,
                blake3: input.stamp.blake3.clone(),
            })
            .collect(),
        tasks,
        rows,
        texts,
        rejects,
        warnings: scanned.warnings,
    };
    Ok((plan, PlanInputs { spec: spec.clone(), inputs, absent: scanned.absent, folders: scanned.folders }))
}

/// The accounts of planning, and the file that says what became of what was turned away.
pub(super) struct Ledger {
    source: String,
    writer: Option<RejectsWriter>,
    rows: Account,
    texts: Account,
    rejects: Option<RejectsEntry>,
}

impl Ledger {
    fn create(plan_folder: &Path, source: &str) -> Result<Ledger, Error> {
        let writer = RejectsWriter::create(plan_folder, "rejects.parquet", "plan")?;
        Ok(Ledger {
            source: source.to_string(),
            writer: Some(writer),
            rows: Account::default(),
            texts: Account::default(),
            rejects: None,
        })
    }

    /// Accounts for a row that no task will see.
    pub(super) fn row(&mut self, reject: Reject) -> Result<(), Error> {
        count(&mut self.rows, reject.outcome);
        self.write(reject)
    }

    /// Accounts for a text that no task will see.
    pub(super) fn text(&mut self, reject: Reject) -> Result<(), Error> {
        count(&mut self.texts, reject.outcome);
        self.write(reject)
    }

    /// Accounts for the `units` texts of one record.
    pub(super) fn texts(&mut self, reject: Reject, units: u32) -> Result<(), Error> {
        (0..units).try_for_each(|_| self.text(reject.clone()))
    }

    fn write(&mut self, mut reject: Reject) -> Result<(), Error> {
        if reject.source.is_empty() {
            reject.source.clone_from(&self.source);
        }
        // Where the data lies on this machine is no part of a build.
        reject.file = name_of(Path::new(&reject.file));
        match &mut self.writer {
            Some(writer) => writer.push(reject),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Ledger, Error> {
        if let Some(writer) = self.writer.take() {
            let entry = writer.commit()?;
            self.rejects =
                (entry.entries > 0).then(|| RejectsEntry { name: PLAN_REJECTS.to_string(), ..entry });
        }
        Ok(self)
    }
}

/// Adds one unit with this end to an account.
pub(crate) fn count(account: &mut Account, outcome: Outcome) {
    account.read += 1;
    match outcome {
        Outcome::Rejected => account.rejected += 1,
        Outcome::Deduplicated => account.deduplicated += 1,
        Outcome::Filtered => account.filtered += 1,
    }
}

/// A reject of the join; file, line and source are added where they are known.
pub(super) fn join_reject(unit: Unit, code: Code, key: &str, message: String) -> Reject {
    Reject {
        outcome: Outcome::Rejected,
        unit,
        stage: Stage::Join,
        code,
        source: String::new(),
        file: String::new(),
        line: None,
        key: key.to_string(),
        message,
        retryable: false,
    }
}

/// The name by which messages and plans call an input, wherever it lies.
pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(crate) fn interrupted(watch: &dyn Watch) -> Result<(), Error> {
    match watch.interrupted() {
        Some(signal) => Err(Error::Interrupted { signal }),
        None => Ok(()),
    }
}

/// Opens the inputs; derived ones are still where planning wrote them.
fn open_inputs(inputs: &[Input], plan_folder: &Path, final_folder: &Path) -> Result<Vec<InputFile>, Error> {
    inputs
        .iter()
        .map(|input| match input.path.strip_prefix(final_folder) {
            Ok(rest) => InputFile::open(&plan_folder.join(rest)),
            Err(_) => InputFile::open_planned(&input.path, &input.stamp),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_place_in_the_account() {
        let mut account = Account::default();
        for outcome in [Outcome::Rejected, Outcome::Deduplicated, Outcome::Filtered] {
            count(&mut account, outcome);
        }
        assert!(account.balances() && account.read == 3);
    }
}
