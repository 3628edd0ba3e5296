//! Which classes are taken for which.

use serde::Serialize;

/// Counts of pictures by class and answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `counts[class][answer]`.
    pub counts: Vec<Vec<u64>>,
}

impl Confusion {
    /// From counts end to end, class by class.
    pub(crate) fn new(classes: &[String], counts: &[f64]) -> Self {
        let rows = counts.chunks(classes.len().max(1)).map(|row| row.iter().map(|n| *n as u64).collect());
        Self { classes: classes.to_vec(), counts: rows.collect() }
    }

    /// The commonest mistakes, the commonest first: class, answer, how often.
    pub fn mistakes(&self, at_most: usize) -> Vec<(&str, &str, u64)> {
        let pairs = self.counts.iter().enumerate().flat_map(|(class, row)| {
            row.iter()
                .enumerate()
                .filter(move |(answer, n)| *answer != class && **n > 0)
                .map(move |(answer, n)| (self.classes[class].as_str(), self.classes[answer].as_str(), *n))
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (a.0, a.1).cmp(&(b.0, b.1))));
        pairs.truncate(at_most);
        pairs
    }

    /// A line a class: its name, pictures, share of right answers, and what it is most often taken for.
    pub fn table(&self) -> String {
        let width = self.classes.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let mut table = format!("{:width$}  pictures  right   taken for\n", "class");
        for (class, row) in self.counts.iter().enumerate() {
            let all: u64 = row.iter().sum();
            let right = if all == 0 {
                "-".to_owned()
            } else {
                format!("{:.1} %", 100.0 * row[class] as f64 / all as f64)
            };
            let mut others: Vec<_> =
                row.iter().enumerate().filter(|(answer, n)| *answer != class && **n > 0).collect();
            others.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(&b.0)));
            let others: Vec<String> =
                others.iter().take(3).map(|(answer, n)| format!("{} ({n})", self.classes[*answer])).collect();
            let line = format!("{:width$}  {all:>8}  {right:>7} {}", self.classes[class], others.join(", "));
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_mistakes_and_a_table() {
        let classes = ["cat", "dog", "ox"].map(str::to_owned);
        let confusion = Confusion::new(&classes, &[8.0, 2.0, 0.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(confusion.mistakes(5), [("dog", "cat", 3), ("cat", "dog", 2)]);
        assert_eq!(confusion.mistakes(1).len(), 1);
        let table = confusion.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], "cat          10   80.0 % dog (2)");
        assert_eq!(lines[3], "ox            0        -");
    }
}
