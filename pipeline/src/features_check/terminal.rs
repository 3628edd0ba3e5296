//! The comparison for a terminal of 80 columns.

use std::fmt::{self, Display, Formatter};

use super::FeaturesCheck;
use crate::stats::{LABEL, bars, fitted, padded, percent, thousands};

impl Display for FeaturesCheck {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, set) in ["first", "second"].iter().zip(&self.sets) {
            let folder = fitted(&set.folder.display().to_string(), 70);
            writeln!(f, "{name:<8}{folder}")?;
            writeln!(
                f,
                "        {}: {} pictures, {:.1} regions each, vectors of {}",
                fitted(&set.corpus, 24),
                thousands(set.pictures),
                set.regions,
                set.width
            )?;
        }
        writeln!(
            f,
            "\n{}{} in both, {} compared",
            padded("pictures", LABEL),
            thousands(self.common),
            thousands(self.compared)
        )?;
        if self.without_boxes > 0 {
            writeln!(f, "{}{} pictures", padded("without places", LABEL), thousands(self.without_boxes))?;
        }
        let [one, other] = self.matched_shares.map(percent);
        writeln!(f, "{}{one} of the first's, {other} of the second's", padded("regions in both", LABEL))?;
        if let Some(iou) = self.mean_iou {
            writeln!(f, "{}{iou:.3}", padded("their overlap", LABEL))?;
        }
        if let Some(tags) = &self.tags {
            writeln!(
                f,
                "{}Jaccard {:.3}, precision {:.3}, recall {:.3}",
                padded("tags", LABEL),
                tags.jaccard,
                tags.precision,
                tags.recall
            )?;
        }
        if let Some(cosine) = &self.cosine {
            let histogram = &cosine.histogram;
            writeln!(f, "{}{:.3}", padded("length, first / second", LABEL), cosine.length_ratio)?;
            writeln!(f, "\n{:LABEL$}{:<24}{:>7}{:>8}{:>8}{:>8}", "", "", "min", "5 %", "median", "max")?;
            writeln!(
                f,
                "{}{:<24}{:>7.3}{:>8.3}{:>8.3}{:>8.3}",
                padded("cosine of vectors", LABEL),
                bars(histogram),
                histogram.min,
                cosine.twentieth,
                cosine.median,
                histogram.max
            )?;
            writeln!(f, "{:LABEL$}below 0, then 0 to 1 in steps of 0.05", "")?;
        }
        writeln!(
            f,
            "\n{}",
            if self.alike {
                "ALIKE     a model that learned from one can read the other"
            } else {
                "DIFFERENT"
            }
        )?;
        self.reasons.iter().try_for_each(|reason| writeln!(f, "  {reason}"))
    }
}
