//! What is asked of compound scaling, and the networks that answer it. Paper: 1905.11946, section 3.3.

use std::collections::BTreeMap;

use finetune_backbones::{Architecture, Summary};
use serde::{Deserialize, Serialize};

use crate::backbone::Error;

/// A question, with everything that its networks follow from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// STEP 1: which alpha, beta and gamma, from 1 to `most` in steps of `step`, with alpha beta^2 gamma^2 no further than
    /// `tolerance` from 2, make the best network at phi = 1. Those that round to the same network are trained once.
    Grid {
        /// Between two values.
        step: f64,
        /// How far the product may be from 2.
        tolerance: f64,
        /// The largest value.
        most: f64,
    },
    /// STEP 2: depth alpha^phi, width beta^phi, resolution gamma^phi.
    Phi {
        /// Every phi, at least 0.
        phis: Vec<f64>,
        /// alpha, beta, gamma.
        coefficients: [f64; 3],
    },
    /// One dimension alone against all together, each at about so many times the multiplications.
    Compare {
        /// Times, above 1.
        budgets: Vec<f64>,
        /// alpha, beta, gamma.
        coefficients: [f64; 3],
    },
}

/// A network to be trained.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    /// Which line of the chart it belongs to.
    pub(super) series: &'static str,
    /// Factors of depth, width and resolution.
    pub(super) factors: [f64; 3],
    pub(super) architecture: Architecture,
    /// Height and width of pictures.
    pub(super) side: u32,
}

pub(super) const BASE: &str = "base";
const COMPOUND: &str = "compound";

/// Values of one coefficient: more make a study that nobody trains.
const MOST_VALUES: f64 = 100.0;

impl Question {
    /// The networks, in the order in which they are trained; none twice.
    ///
    /// # Errors
    /// A grid without a candidate, numbers that cannot be meant, a network that cannot be made.
    pub(super) fn points(&self, base: Architecture, side: u32) -> Result<Vec<Point>, Error> {
        let point = |series, factors| Point::new(series, factors, base, side);
        let phi = |phi: f64, coefficients: &[f64; 3]| coefficients.map(|coefficient| coefficient.powf(phi));
        let points = match self {
            Self::Grid { step, tolerance, most } => grid(*step, *tolerance, *most)?
                .into_iter()
                .map(|factors| point(COMPOUND, factors))
                .collect::<Result<Vec<_>, _>>()?,
            Self::Phi { phis, coefficients } => {
                usable(coefficients)?;
                let good = |phi: &f64| phi.is_finite() && *phi >= 0.0;
                if phis.is_empty() || !phis.iter().all(good) {
                    return usage(format!("phis are {phis:?}; give some, each at least 0"));
                }
                phis.iter().map(|&p| point(COMPOUND, phi(p, coefficients))).collect::<Result<Vec<_>, _>>()?
            }
            Self::Compare { budgets, coefficients } => {
                usable(coefficients)?;
                if budgets.is_empty() || !budgets.iter().all(|budget| budget.is_finite() && *budget > 1.0) {
                    return usage(format!("budgets are {budgets:?}; give some, each above 1"));
                }
                let doubling = constraint(*coefficients).log2();
                if doubling <= 0.0 {
                    return usage("alpha, beta and gamma of 1 scale nothing".to_owned());
                }
                let mut points = vec![Point::base(base, side)?];
                for budget in budgets {
                    // multiplications grow with depth, and with the squares of width and resolution
                    let root = budget.sqrt();
                    let all = phi(budget.log2() / doubling, coefficients);
                    points.push(point("depth", [*budget, 1.0, 1.0])?);
                    points.push(point("width", [1.0, root, 1.0])?);
                    points.push(point("resolution", [1.0, 1.0, root])?);
                    points.push(point(COMPOUND, all)?);
                }
                points
            }
        };
        Ok(without_duplicates(points, matches!(self, Self::Grid { .. })))
    }
}

impl Point {
    fn new(
        series: &'static str,
        [depth, width, resolution]: [f64; 3],
        base: Architecture,
        side: u32,
    ) -> Result<Self, Error> {
        let architecture = base.scaled(width, depth)?;
        let scaled = (f64::from(side) * resolution).round();
        if scaled < architecture.stride() as f64 || scaled > f64::from(u16::MAX) {
            return usage(format!(
                "pictures of {scaled} pixels do not fit {architecture}, whose strides need {} and which takes at most {}; \
                 set input.side",
                architecture.stride(),
                u16::MAX
            ));
        }
        Ok(Self { series, factors: [depth, width, resolution], architecture, side: scaled as u32 })
    }

    /// The network that all others are factors of.
    pub(super) fn base(architecture: Architecture, side: u32) -> Result<Self, Error> {
        Self::new(BASE, [1.0; 3], architecture, side)
    }

    /// Its folder, and its name in tables.
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.architecture, self.side)
    }

    /// Parameters and multiplications.
    pub(super) fn costs(&self, n_classes: usize) -> [u64; 2] {
        let summary = Summary::new(self.architecture, [self.side as usize; 2], n_classes);
        [summary.params, summary.macs]
    }
}

/// alpha beta^2 gamma^2: how many times the multiplications phi = 1 makes.
fn constraint([alpha, beta, gamma]: [f64; 3]) -> f64 {
    alpha * beta * beta * gamma * gamma
}

/// All alpha, beta, gamma that keep the constraint, in order.
fn grid(step: f64, tolerance: f64, most: f64) -> Result<Vec<[f64; 3]>, Error> {
    let good = |value: f64| value.is_finite() && value > 0.0;
    if !good(step) || !(good(tolerance) || tolerance == 0.0) || !(most.is_finite() && most > 1.0) {
        return usage(format!(
            "a grid to {most} in steps of {step} within {tolerance}: the step is above 0, the largest value above 1, the \
             tolerance not below 0"
        ));
    }
    // a value that a step misses by rounding alone is there
    let count = ((most - 1.0) / step + 1e-9).floor();
    if count >= MOST_VALUES {
        return usage(format!(
            "a step of {step} makes {count} values of each coefficient; give a larger one"
        ));
    }
    let values: Vec<f64> =
        (0..=count as u32).map(|i| ((1.0 + f64::from(i) * step) * 1e9).round() / 1e9).collect();
    let mut found = Vec::new();
    for &alpha in &values {
        for &beta in &values {
            for &gamma in &values {
                if (constraint([alpha, beta, gamma]) - 2.0).abs() <= tolerance + 1e-9 {
                    found.push([alpha, beta, gamma]);
                }
            }
        }
    }
    if found.is_empty() {
        return usage(format!(
            "no alpha, beta, gamma from 1 to {most} in steps of {step} have alpha beta^2 gamma^2 within {tolerance} of 2; \
             raise --tolerance or lower --step"
        ));
    }
    Ok(found)
}

/// Of points that are the same network at the same size, the first or, in a grid, the one that is nearest to twice the
/// multiplications by the rule.
fn without_duplicates(points: Vec<Point>, is_grid: bool) -> Vec<Point> {
    let off = |point: &Point| if is_grid { (constraint(point.factors) - 2.0).abs() } else { 0.0 };
    let mut best: BTreeMap<String, usize> = BTreeMap::new();
    let keys: Vec<String> = points.iter().map(key).collect();
    for (place, key) in keys.iter().enumerate() {
        let kept = best.entry(key.clone()).or_insert(place);
        if off(&points[place]) < off(&points[*kept]) {
            *kept = place;
        }
    }
    let kept = |(place, _): &(usize, Point)| best[&keys[*place]] == *place;
    points.into_iter().enumerate().filter(kept).map(|(_, point)| point).collect()
}

/// What a point computes: layers with their shapes, at a size.
fn key(point: &Point) -> String {
    let layers = Summary::new(point.architecture, [point.side as usize; 2], 1).layers;
    let layers = layers.iter().map(|layer| format!("{} {:?} {}", layer.name, layer.output, layer.params));
    format!("{} {}", point.side, layers.collect::<Vec<_>>().join(";"))
}

fn usable(coefficients: &[f64; 3]) -> Result<(), Error> {
    if coefficients.iter().all(|coefficient| coefficient.is_finite() && *coefficient >= 1.0) {
        return Ok(());
    }
    usage(format!("alpha, beta and gamma are {coefficients:?}; none is below 1"))
}

fn usage<T>(problem: String) -> Result<T, Error> {
    Err(Error::Usage { problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Architecture {
        name.parse().unwrap()
    }

    /// What the paper found for B0.
    const PUBLISHED: [f64; 3] = [1.2, 1.1, 1.15];
    const PAPERS: Question = Question::Grid { step: 0.05, tolerance: 0.1, most: 1.5 };

    #[test]
    fn the_papers_grid_has_85_candidates() {
        for (step, tolerance, candidates, holds_papers) in
            [(0.05, 0.1, 85, true), (0.05, 0.05, 43, false), (0.1, 0.1, 15, false)]
        {
            let found = grid(step, tolerance, 1.5).unwrap();
            assert_eq!(found.len(), candidates, "{step} {tolerance}");
            let near = |one: &[f64; 3]| one.iter().zip(PUBLISHED).all(|(a, b)| (a - b).abs() < 1e-12);
            assert_eq!(found.iter().any(near), holds_papers, "{step} {tolerance}");
            assert!(found.iter().all(|one| (constraint(*one) - 2.0).abs() <= tolerance + 1e-9));
        }
        assert!((constraint(PUBLISHED) - 1.92027).abs() < 1e-5);
    }

    #[test]
    fn what_rounds_to_the_same_network_is_there_once() {
        let points = PAPERS.points(named("efficientnet_b0"), 224).unwrap();
        assert_eq!(points.len(), 50);
        let keys: std::collections::BTreeSet<String> = points.iter().map(key).collect();
        assert_eq!(keys.len(), points.len());
        // every candidate's network is among them
        for factors in grid(0.05, 0.1, 1.5).unwrap() {
            let point = Point::new(COMPOUND, factors, named("efficientnet_b0"), 224).unwrap();
            assert!(keys.contains(&key(&point)), "{factors:?}");
        }
    }

    #[test]
    fn phi_raises_depth_width_and_resolution_together() {
        let base = named("efficientnet_b0");
        let question = Question::Phi { phis: vec![0.0, 1.0, 2.5], coefficients: PUBLISHED };
        let points = question.points(base, 224).unwrap();
        let names: Vec<String> = points.iter().map(Point::name).collect();
        assert_eq!(
            names,
            ["efficientnet_b0@224", "efficientnet_b0+w1.1+d1.2@258", "efficientnet_b0+w1.2691+d1.5774@318"]
        );
        let macs = |point: &Point| point.costs(1000)[1] as f64;
        let ratio = macs(&points[1]) / macs(&points[0]);
        // 1.92 by the rule; rounding up to whole blocks adds to that
        assert!((1.8..2.9).contains(&ratio), "{ratio}");
    }

    #[test]
    fn each_dimension_alone_and_all_together() {
        let question = Question::Compare { budgets: vec![2.0, 4.0], coefficients: PUBLISHED };
        for base in ["efficientnet_b0", "resnet50", "resnext50_32x4d"] {
            let points = question.points(named(base), 224).unwrap();
            assert_eq!(points.len(), 9, "{base}");
            let one = points[0].costs(1000)[1] as f64;
            for (place, point) in points.iter().enumerate().skip(1) {
                let (ratio, wanted) = (point.costs(1000)[1] as f64 / one, [2.0, 4.0][(place - 1) / 4]);
                assert!((0.8..1.5).contains(&(ratio / wanted)), "{}: {ratio}", point.name());
            }
            let series: Vec<&str> = points.iter().take(5).map(|point| point.series).collect();
            assert_eq!(series, ["base", "depth", "width", "resolution", "compound"]);
        }
    }

    #[test]
    fn questions_without_an_answer_are_refused() {
        let base = named("efficientnet_half");
        let refused = |question: Question, part: &str| {
            let error = question.points(base, 64).unwrap_err();
            assert!(error.is_usage(), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        };
        refused(Question::Grid { step: 0.3, tolerance: 0.01, most: 1.5 }, "raise --tolerance");
        refused(Question::Grid { step: 0.0, tolerance: 0.1, most: 1.5 }, "step is above 0");
        refused(Question::Grid { step: 1e-4, tolerance: 0.1, most: 1.5 }, "larger one");
        refused(Question::Phi { phis: vec![], coefficients: PUBLISHED }, "give some");
        refused(Question::Phi { phis: vec![-1.0], coefficients: PUBLISHED }, "at least 0");
        refused(Question::Phi { phis: vec![1.0], coefficients: [0.9, 1.1, 1.1] }, "none is below 1");
        refused(Question::Phi { phis: vec![60.0], coefficients: PUBLISHED }, "0.1 to 16 times");
        refused(Question::Compare { budgets: vec![1.0], coefficients: PUBLISHED }, "above 1");
        refused(Question::Compare { budgets: vec![2.0], coefficients: [1.0; 3] }, "scale nothing");
        let error = Question::Phi { phis: vec![0.0], coefficients: PUBLISHED }.points(base, 16).unwrap_err();
        assert!(error.to_string().contains("set input.side"), "{error}");
    }
}
