//! The rejects of a data set, by reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use data_specs::Manifest;

use super::figures::{RejectExample, RejectStats};
use crate::rejects_file::read_rejects;
use crate::{Error, Watch};

/// Longer messages are cut to this many bytes: some quote what they found.
const MESSAGE_BYTES: usize = 400;

/// Counts all rejects and keeps the first of each kind; at most a few thousand kinds exist.
pub(super) fn count_rejects(
    folder: &Path,
    manifest: &Manifest,
    watch: &dyn Watch,
) -> Result<Vec<RejectStats>, Error> {
    let mut kinds = BTreeMap::new();
    for entry in &manifest.rejects {
        crate::plan::interrupted(watch)?;
        read_rejects(folder, entry, |reject| {
            let kind = (reject.outcome, reject.unit, reject.code, reject.stage);
            let stats = kinds.entry(kind).or_insert_with(|| RejectStats {
                outcome: reject.outcome,
                unit: reject.unit,
                code: reject.code,
                stage: reject.stage,
                count: 0,
                example: RejectExample {
                    source: cut(reject.source),
                    file: cut(reject.file),
                    line: reject.line,
                    key: cut(reject.key),
                    message: cut(reject.message),
                },
            });
            stats.count += 1;
            Ok(())
        })?;
    }
    let mut stats: Vec<RejectStats> = kinds.into_values().collect();
    // The sort is stable: what is equally frequent stays in the order of its kind.
    stats.sort_by_key(|kind| (kind.outcome, Reverse(kind.count)));
    Ok(stats)
}

fn cut(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES));
        text.push('…');
    }
    text
}
