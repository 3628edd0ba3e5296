//! Building: plan, run the tasks that have no receipt, commit the manifest. Any step may be repeated.

mod receipt;
mod task;

pub(crate) use task::Workshop;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use data_specs::{Account, CorpusSpec, FeatureInfo, Manifest, SCHEMA_VERSION};
use serde::Serialize;

use crate::Error;
use crate::output::{Lock, PLAN, PLAN_REJECTS, RECEIPTS, REJECTS};
use crate::plan::{Plan, PlanInputs, interrupted, plan_build};
use crate::sources::Sources;
use crate::watch::{Phase, Watch};
use receipt::Receipt;

/// How to build, apart from what.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildOptions {
    /// Worker threads; all cores if `None`. No number changes a byte of the result.
    pub threads: Option<usize>,
}

/// What a build did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildReport {
    /// The data set.
    pub folder: PathBuf,
    /// BLAKE3 of the plan.
    pub build_id: String,
    /// Shards.
    pub shards: usize,
    /// Shards that an earlier run had finished.
    pub resumed: usize,
    /// Where the rows went.
    pub rows: Account,
    /// Where the texts went.
    pub texts: Account,
    /// Bytes of all shards.
    pub bytes: u64,
    /// What a user should know.
    pub warnings: Vec<String>,
    /// Share of damaged rows, which the spec may limit.
    pub damaged: f64,
    /// Whether that share is above the spec's limit, or no row was written at all.
    pub too_many_rejects: bool,
}

/// Builds the data set of `spec` in `folder`, going on where an earlier run stopped.
///
/// # Errors
/// A changed plan, a folder in use, inputs that cannot be planned, tasks that failed, a signal.
/// Whatever the error, what is committed is whole, and the same call continues.
pub fn build(
    spec: &CorpusSpec,
    folder: &Path,
    options: BuildOptions,
    watch: &dyn Watch,
) -> Result<BuildReport, Error> {
    let sources = Sources::of(spec)?;
    let lock = Lock::exclusive(folder)?;
    lock.clear_pending()?;
    let (plan, inputs) = plan_or_load(spec, &sources, folder, &lock, watch)?;
    let build_id = plan.build_id();
    let receipts = (0..plan.tasks.len())
        .map(|task| Receipt::load(folder, &build_id, task))
        .collect::<Result<Vec<_>, _>>()?;
    let missing: Vec<usize> = (0..receipts.len()).filter(|&task| receipts[task].is_none()).collect();
    let resumed = receipts.len() - missing.len();
    let rows_left = missing.iter().map(|&task| plan.tasks[task].rows).sum();
    watch.planned(plan.tasks.len(), resumed, rows_left);
    if !missing.is_empty() {
        let workshop = workshop(folder, &plan, &build_id, &sources, &inputs, watch)?;
        run_tasks(&workshop, &missing, options)?;
    }
    report(folder, &plan, resumed, watch)
}

/// Plans without building, so that tasks can run elsewhere; returns the number of tasks.
pub fn plan_only(spec: &CorpusSpec, folder: &Path, watch: &dyn Watch) -> Result<Plan, Error> {
    let sources = Sources::of(spec)?;
    let lock = Lock::exclusive(folder)?;
    lock.clear_pending()?;
    Ok(plan_or_load(spec, &sources, folder, &lock, watch)?.0)
}

/// Plans in a scratch folder that is gone afterwards: what a build would do.
pub fn dry_run(spec: &CorpusSpec, watch: &dyn Watch) -> Result<Plan, Error> {
    let sources = Sources::of(spec)?;
    let scratch = tempfile::tempdir().map_err(Error::io("create", &std::env::temp_dir()))?;
    Ok(plan_build(spec, &sources, scratch.path(), scratch.path(), watch)?.0)
}

/// Runs one task of a planned build, alone or beside other processes; a finished task is left as it is.
///
/// Returns whether there was anything to do.
///
/// # Errors
/// No plan, no such task, changed inputs, or a `build` that holds the folder.
pub fn run_task(folder: &Path, task: usize, options: BuildOptions, watch: &dyn Watch) -> Result<bool, Error> {
    let plan = Plan::load(folder)?;
    let _lock = Lock::shared(folder)?;
    if task >= plan.tasks.len() {
        return Err(Error::Output {
            path: folder.to_path_buf(),
            what: format!(
                "has no task {task}: its plan has {} (0 to {})",
                plan.tasks.len(),
                plan.tasks.len() - 1
            ),
            hint: "`pipeline plan` prints the number of tasks".into(),
        });
    }
    let build_id = plan.build_id();
    if Receipt::load(folder, &build_id, task)?.is_some() {
        return Ok(false);
    }
    let inputs = PlanInputs::load(folder)?;
    let sources = Sources::of(&inputs.spec)?;
    watch.planned(1, 0, plan.tasks[task].rows);
    let workshop = workshop(folder, &plan, &build_id, &sources, &inputs, watch)?;
    run_tasks(&workshop, &[task], options)?;
    Ok(true)
}

/// Ends a planned build whose tasks ran elsewhere: checks the accounts and writes the manifest.
///
/// # Errors
/// Tasks without a receipt, or accounts that do not balance.
pub fn commit(folder: &Path, watch: &dyn Watch) -> Result<BuildReport, Error> {
    let plan = Plan::load(folder)?;
    let lock = Lock::exclusive(folder)?;
    lock.clear_pending()?;
    report(folder, &plan, 0, watch)
}

fn plan_or_load(
    spec: &CorpusSpec,
    sources: &Sources,
    folder: &Path,
    lock: &Lock,
    watch: &dyn Watch,
) -> Result<(Plan, PlanInputs), Error> {
    let final_folder = folder.join(PLAN);
    let planned =
        if final_folder.exists() { Some((Plan::load(folder)?, PlanInputs::load(folder)?)) } else { None };
    // A terabyte is not hashed again when names, sizes and times say that nothing changed.
    if let Some((plan, inputs)) = &planned
        && inputs.spec == *spec
        && inputs.are_unchanged()
    {
        return Ok((plan.clone(), inputs.clone()));
    }
    let pending = lock.pending_plan()?;
    let (plan, inputs) = plan_build(spec, sources, &pending, &final_folder, watch)?;
    if let Some((planned, planned_inputs)) = &planned {
        let fields = planned.differences(&plan);
        if !fields.is_empty() {
            lock.clear_pending()?;
            return Err(Error::PlanChanged { path: folder.to_path_buf(), fields });
        }
        // The same data elsewhere: the plan stands, the new places are noted.
        let inputs = inputs.with_derived_of(planned_inputs, &final_folder);
        save(&final_folder.join("inputs.json"), &inputs)?;
        lock.clear_pending()?;
        return Ok((plan, inputs));
    }
    save(&pending.join("inputs.json"), &inputs)?;
    save(&pending.join("plan.json"), &plan)?;
    let lines = plan.tasks.iter().enumerate().map(|(index, task)| {
        let line =
            serde_json::json!({ "task": index, "rows": task.rows, "texts": task.texts, "bytes": task.bytes });
        format!("{line}\n")
    });
    data_specs::durable::write_durably(
        &pending.join("tasks.jsonl"),
        lines.collect::<String>().as_bytes(),
        &plan.owner(),
    )?;
    data_specs::durable::sync_folder(&pending)?;
    watch.phase(Phase::PlanWritten);
    std::fs::rename(&pending, &final_folder).map_err(Error::io("rename to", &final_folder))?;
    data_specs::durable::sync_folder(folder)?;
    Ok((plan, inputs))
}

fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).expect("plans have only plain fields");
    Ok(data_specs::durable::write_durably(path, text.as_bytes(), "plan")?)
}

fn workshop<'a>(
    folder: &'a Path,
    plan: &'a Plan,
    build_id: &'a str,
    sources: &'a Sources,
    inputs: &'a PlanInputs,
    watch: &'a dyn Watch,
) -> Result<Workshop<'a>, Error> {
    sources.features.prepare(&plan.layout)?;
    for name in [RECEIPTS, REJECTS] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
    }
    Ok(Workshop { folder, plan, build_id, sources, inputs: &inputs.inputs, files: inputs.open()?, watch })
}

/// Runs tasks side by side, each in its own order; the rest goes on when one fails.
fn run_tasks(workshop: &Workshop<'_>, tasks: &[usize], options: BuildOptions) -> Result<(), Error> {
    let threads = options.threads.unwrap_or_else(rayon::current_num_threads).max(1);
    // A task that computes occupies all threads by itself.
    let side_by_side = if workshop.sources.features.computes() { 1 } else { threads };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| Error::Io {
        op: "start threads for",
        path: workshop.folder.to_path_buf(),
        source: std::io::Error::other(error),
    })?;
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    pool.scope(|scope| {
        for _ in 0..side_by_side.min(tasks.len()) {
            scope.spawn(|_| {
                while !stop.load(Ordering::Relaxed)
                    && let Some(&task) = tasks.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(error) = workshop.run(task) {
                        // A full disk or a signal stops all; a task's own trouble stops only that task.
                        let stops = error.is_temporary()
                            || matches!(error, Error::Interrupted { .. } | Error::Accounting { .. });
                        stop.fetch_or(stops, Ordering::Relaxed);
                        failures.lock().unwrap_or_else(|error| error.into_inner()).push((task, error));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(|error| error.into_inner());
    failures.sort_by_key(|(task, error)| {
        (!matches!(error, Error::Interrupted { .. }), !error.is_temporary(), *task)
    });
    let failed = failures.len();
    match failures.into_iter().next() {
        None => interrupted(workshop.watch),
        Some((_, error)) if error.is_temporary() => Err(error),
        Some((_, error @ (Error::Interrupted { .. } | Error::Accounting { .. }))) => Err(error),
        Some((task, error)) => {
            let first = format!("task {task}: {error}");
            Err(Error::TasksFailed { failed, tasks: workshop.plan.tasks.len(), first })
        }
    }
}

/// Gathers the receipts, checks the accounts, commits the first manifest if there is none.
fn report(folder: &Path, plan: &Plan, resumed: usize, watch: &dyn Watch) -> Result<BuildReport, Error> {
    let build_id = plan.build_id();
    let (mut rows, mut texts) = (plan.rows, plan.texts);
    let mut shards = Vec::new();
    let mut rejects = Vec::new();
    let mut missing = Vec::new();
    if let Some(entry) = &plan.rejects {
        publish_plan_rejects(folder, plan)?;
        rejects.push(entry.clone());
    }
    for task in 0..plan.tasks.len() {
        match Receipt::load(folder, &build_id, task)? {
            None => missing.push(task),
            Some(receipt) => {
                rows += receipt.rows;
                texts += receipt.texts;
                shards.push(receipt.shard);
                rejects.extend(receipt.rejects);
            }
        }
    }
    if let Some(task) = missing.first() {
        let first = format!("task {task} has no receipt");
        return Err(Error::TasksFailed { failed: missing.len(), tasks: plan.tasks.len(), first });
    }
    for (account, what) in [(&rows, "rows"), (&texts, "texts")] {
        if !account.balances() {
            return Err(Error::Accounting { what: what.into(), sums: account.to_string() });
        }
    }
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: build_id.clone(),
        corpus: plan.spec.name.clone(),
        features: FeatureInfo { dtype: plan.spec.features.dtype, width: plan.layout.width },
        computed: plan.layout.computed.clone(),
        shards,
        rejects,
        rows,
        texts,
        warnings: plan.warnings.clone(),
    };
    watch.phase(Phase::ManifestMissing);
    manifest.commit(folder, &|phase| {
        Phase::of_manifest(phase).into_iter().for_each(|phase| watch.phase(phase))
    })?;
    // A retry may have added to the data set since: what counts is what readers see.
    let manifest = Manifest::latest(folder)?;
    let damaged = damaged_share(folder, &manifest)?;
    Ok(BuildReport {
        folder: folder.to_path_buf(),
        build_id,
        shards: manifest.shards.len(),
        resumed,
        rows: manifest.rows,
        texts: manifest.texts,
        bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
        warnings: manifest.warnings,
        damaged,
        too_many_rejects: damaged > plan.spec.rejects.max_ratio
            || (manifest.rows.written == 0 && manifest.rows.read > 0),
    })
}

/// Puts the rejects of planning where the others are.
fn publish_plan_rejects(folder: &Path, plan: &Plan) -> Result<(), Error> {
    let from = folder.join(PLAN).join("rejects.parquet");
    let to = folder.join(PLAN_REJECTS);
    let rejects = folder.join(REJECTS);
    std::fs::create_dir_all(&rejects).map_err(Error::io("create", &rejects))?;
    let bytes = std::fs::read(&from).map_err(Error::io("read", &from))?;
    Ok(data_specs::durable::write_durably(&to, &bytes, &plan.owner())?)
}

/// Rows that are unusable in themselves, as a share of all; partnerless rows are no damage.
fn damaged_share(folder: &Path, manifest: &Manifest) -> Result<f64, Error> {
    use crate::{Code, Outcome, Unit};
    let mut damaged = 0u64;
    for entry in &manifest.rejects {
        crate::rejects_file::read_rejects(folder, entry, |reject| {
            let harmless =
                matches!(reject.code, Code::NoText | Code::NoFeatures | Code::NoPicture | Code::NoPartner);
            damaged +=
                u64::from(reject.outcome == Outcome::Rejected && reject.unit == Unit::Row && !harmless);
            Ok(())
        })?;
    }
    Ok(damaged as f64 / manifest.rows.read.max(1) as f64)
}
