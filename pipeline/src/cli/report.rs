//! What commands print for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use data_specs::Account;
use indicatif::{HumanBytes, HumanCount};
use pipeline::{BuildReport, Finding, Plan, Verification};

use super::progress::rate;

/// The end of a build.
pub(super) fn built(report: &BuildReport, elapsed: Duration) -> String {
    let mut out = String::new();
    let folder = report.folder.display();
    let seconds = elapsed.as_secs_f64();
    let resumed = match report.resumed {
        0 => String::new(),
        shards => format!(", {} of them from an earlier run", HumanCount(shards as u64)),
    };
    let speed = match report.resumed {
        0 => format!(" ({} rows/s)", rate(report.rows.read as f64 / seconds.max(1e-3))),
        _ => String::new(),
    };
    // Writing into a String cannot fail; the same below.
    let _ = writeln!(
        out,
        "built     {folder}: {} {}{resumed}, {}, in {seconds:.1} s{speed}",
        HumanCount(report.shards as u64),
        if report.shards == 1 { "shard" } else { "shards" },
        HumanBytes(report.bytes),
    );
    let _ = writeln!(out, "rows      {}", account(&report.rows));
    let _ = writeln!(out, "texts     {}", account(&report.texts));
    warnings(&mut out, &report.warnings);
    if report.rows.read > report.rows.written || report.texts.read > report.texts.written {
        let _ = writeln!(
            out,
            "why       {folder}/rejects (Parquet; `pipeline stats {folder}` counts the reasons)"
        );
    }
    if report.too_many_rejects {
        let _ = writeln!(
            out,
            "TOO MANY REJECTS: {:.1} % of the rows are damaged, or none is left; rejects.max_ratio sets the limit",
            report.damaged * 100.0
        );
    }
    let _ =
        writeln!(out, "next      pipeline verify {folder}; pipeline stats {folder}; pipeline peek {folder}");
    out
}

/// A plan.
pub(super) fn planned(plan: &Plan, folder: &Path) -> String {
    let mut out = String::new();
    let texts = plan.tasks.iter().map(|task| task.texts).sum::<u64>();
    let _ = writeln!(out, "plan      {}: build {}", folder.display(), &plan.build_id()[..16]);
    for input in &plan.inputs {
        let _ = writeln!(out, "input     {}  {}", input.name, HumanBytes(input.size));
    }
    let _ = writeln!(
        out,
        "tasks     {} (0 to {}), one shard each",
        HumanCount(plan.tasks.len() as u64),
        plan.tasks.len().saturating_sub(1)
    );
    let _ = writeln!(
        out,
        "rows      {} with {} numbers a region, {} texts",
        HumanCount(plan.task_rows()),
        plan.layout.width,
        HumanCount(texts)
    );
    let _ = writeln!(out, "space     about {}", HumanBytes(plan.task_bytes()));
    for (what, away) in [("rows", &plan.rows), ("texts", &plan.texts)] {
        if away.read > 0 {
            let _ = writeln!(
                out,
                "{what:<9} left out by planning: {} rejected, {} deduplicated, {} filtered",
                away.rejected, away.deduplicated, away.filtered
            );
        }
    }
    warnings(&mut out, &plan.warnings);
    out
}

/// What `verify` found.
pub(super) fn verified(found: &Verification, folder: &Path) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  {}", if found.ok { "ok      " } else { "DAMAGED " }, folder.display());
    let _ =
        writeln!(out, "shards    {} read whole, every hash compared", HumanCount(found.shards.len() as u64));
    let _ = writeln!(out, "rows      {}", account(&found.row_account));
    let _ = writeln!(out, "texts     {}", account(&found.text_account));
    for problem in &found.problems {
        let _ = writeln!(out, "problem   {problem}");
    }
    for name in &found.stray {
        let _ = writeln!(out, "stray     {name} is in no manifest; readers ignore it");
    }
    out
}

/// Where a key went.
pub(super) fn explained(key: &str, findings: &[Finding]) -> String {
    let mut out = String::new();
    if findings.is_empty() {
        let _ = writeln!(out, "{key}: neither in a shard nor in the rejects");
    }
    for finding in findings {
        match finding {
            Finding::Shard { shard, row, key, split, regions, texts } => {
                let regions: Vec<_> = regions.iter().map(u32::to_string).collect();
                let _ = writeln!(
                    out,
                    "{key}: {shard}, row {row} ({split}), {} regions, {} texts",
                    regions.join(" + "),
                    texts.len()
                );
            }
            Finding::Reject(reject) => {
                let line = reject.line.map(|line| format!(":{line}")).unwrap_or_default();
                let _ = writeln!(
                    out,
                    "{}: {:?} at {:?} ({:?} {:?}), {}{line}: {}",
                    reject.key,
                    reject.outcome,
                    reject.stage,
                    reject.unit,
                    reject.code,
                    reject.file,
                    reject.message
                );
            }
        }
    }
    out
}

fn account(account: &Account) -> String {
    format!(
        "{} read = {} written + {} rejected + {} deduplicated + {} filtered",
        HumanCount(account.read),
        HumanCount(account.written),
        HumanCount(account.rejected),
        HumanCount(account.deduplicated),
        HumanCount(account.filtered)
    )
}

fn warnings(out: &mut String, warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(out, "warning   {warning}");
    }
}
