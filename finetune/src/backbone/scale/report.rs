//! What a study has found: rows, a table, a chart.

use serde::Serialize;

use super::question::{BASE, Point};
use super::{Question, Score};
use crate::chart::{Line, chart};

/// All networks of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScaleReport {
    /// What was asked.
    pub question: Question,
    /// The base, `NAME@SIDE`.
    pub base: String,
    /// The base's multiplications.
    pub base_macs: u64,
    /// A row for each network: in the order of their rank in a grid, else in that of the question.
    pub rows: Vec<ScaleRow>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScaleRow {
    /// The dimension that is scaled: `base`, `depth`, `width`, `resolution` or `compound`.
    pub series: &'static str,
    /// `NAME@SIDE`, which is also its folder below `runs`.
    pub network: String,
    /// Factor of depth; alpha in a grid.
    pub depth: f64,
    /// Factor of width; beta in a grid.
    pub width: f64,
    /// Factor of resolution; gamma in a grid.
    pub resolution: f64,
    /// Parameters.
    pub params: u64,
    /// Multiplications for one picture.
    pub macs: u64,
    /// The same over the base's.
    pub times: f64,
    /// How good it is; none before it is trained.
    pub score: Option<Score>,
}

impl ScaleReport {
    /// `scores` in the order of `points`, or none.
    pub(super) fn new(
        question: &Question,
        base: &Point,
        points: &[Point],
        scores: &[Score],
        n_classes: usize,
    ) -> Self {
        let [_, base_macs] = base.costs(n_classes);
        let row = |(place, point): (usize, &Point)| {
            let ([params, macs], [depth, width, resolution]) = (point.costs(n_classes), point.factors);
            let times = macs as f64 / base_macs as f64;
            let (network, score) = (point.name(), scores.get(place).copied());
            ScaleRow { series: point.series, network, depth, width, resolution, params, macs, times, score }
        };
        let mut rows: Vec<ScaleRow> = points.iter().enumerate().map(row).collect();
        if matches!(question, Question::Grid { .. }) {
            // the best first; of equally many right answers the surer ones
            let order = |row: &ScaleRow| row.score.map_or((0.0, f64::MAX), |score| (-score.top1, score.loss));
            rows.sort_by(|a, b| {
                let (a, b) = (order(a), order(b));
                a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
            });
        }
        Self { question: question.clone(), base: base.name(), base_macs, rows }
    }

    /// A line a network.
    pub fn table(&self) -> String {
        let name = self.rows.iter().map(|row| row.network.len()).max().unwrap_or_default().max(7);
        let mut table = format!(
            "{:<10}  {:<name$}  depth  width  resolution      weights  multiplications  times  top-1    loss\n",
            "", "network"
        );
        for row in &self.rows {
            let score = row.score.map_or("not trained".to_owned(), |Score { top1, loss, .. }| {
                format!("{:>5.1} %  {loss:.4}", 100.0 * top1)
            });
            table.push_str(&format!(
                "{:<10}  {:<name$}  {:>5.2}  {:>5.2}  {:>10.2}  {:>11}  {:>15}  {:>5.2}  {score}\n",
                row.series,
                row.network,
                row.depth,
                row.width,
                row.resolution,
                row.params,
                row.macs,
                row.times
            ));
        }
        table
    }

    /// Top-1 over multiplications, a line for each dimension; none before all is trained.
    pub(super) fn chart(&self) -> Option<String> {
        let is_grid = matches!(self.question, Question::Grid { .. });
        let mut lines: Vec<Line<'_>> = Vec::new();
        let at = |row: &ScaleRow| Some([row.macs as f64 / 1e6, 100.0 * row.score?.top1]);
        // every dimension's line begins at the base
        let base: Vec<[f64; 2]> = self.rows.iter().filter(|row| row.series == BASE).filter_map(at).collect();
        for row in self.rows.iter().filter(|row| row.series != BASE) {
            let Some(point) = at(row) else { continue };
            match lines.iter_mut().find(|line| line.name == row.series) {
                Some(line) => line.points.push(point),
                None => {
                    let points = base.iter().copied().chain([point]).collect();
                    lines.push(Line { name: row.series, points, is_joined: !is_grid, runs: Vec::new() });
                }
            }
        }
        for line in &mut lines {
            line.points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        }
        let title = format!("{} scaled", self.base);
        chart(&title, ["million multiplications", "top-1, per cent"], &lines)
    }
}
