//! `finetune backbone summary`: parameters and multiplications.

use std::fmt::Write;

use finetune_backbones::{Architecture, Summary};

/// Classes of ImageNet, for which sizes are published.
const N_CLASSES: usize = 1000;

/// Counts a network at one size of picture.
#[derive(Debug, Clone, Copy)]
pub struct Summarise {
    /// Which network.
    pub architecture: Architecture,
    /// Height and width of the picture.
    pub size: usize,
}

impl Summarise {
    /// With ImageNet's 1,000 classes.
    pub fn run(&self) -> Summary {
        Summary::new(self.architecture, [self.size; 2], N_CLASSES)
    }

    /// A line a layer, and the sums.
    pub fn table(&self, summary: &Summary) -> String {
        const HEAD: [&str; 5] = ["layer", "kind", "output", "params", "macs"];
        let mut rows = vec![HEAD.map(str::to_owned)];
        for layer in &summary.layers {
            let output: Vec<String> = layer.output.iter().map(usize::to_string).collect();
            let (params, macs) = (with_commas(layer.params), with_commas(layer.macs));
            rows.push([layer.name.clone(), layer.kind.to_owned(), output.join(" x "), params, macs]);
        }
        let size = format!("{0} x {0}", self.size);
        let (params, macs) = (with_commas(summary.params), with_commas(summary.macs));
        rows.push([self.architecture.to_string(), "all".to_owned(), size, params, macs]);
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        let mut table = String::new();
        for [name, kind, output, params, macs] in &rows {
            let [a, b, c, d, e] = widths;
            writeln!(table, "{name:a$}  {kind:b$}  {output:>c$}  {params:>d$}  {macs:>e$}")
                .expect("writing to a string does not fail");
        }
        table
    }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readable_table() {
        let summarise = Summarise { architecture: "resnext50_32x4d".parse().expect("a name"), size: 224 };
        let table = summarise.table(&summarise.run());
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("conv1 "), "{}", lines[1]);
        assert!(lines[1].ends_with("64 x 112 x 112       9,408    118,013,952"), "{}", lines[1]);
        let last = lines[lines.len() - 1];
        assert!(last.ends_with("224 x 224  25,028,904  4,230,479,872"), "{last}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    }
}
