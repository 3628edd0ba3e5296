//! From what the classifier says of every proposal to the regions that are reported.
//!
//! The three ways of VinVL's extractor. p is the softmax over background and classes; t the threshold. Reported are at
//! least `at_least` and at most `at_most` regions, where there are so many.
//!
//! Legend: n proposals, k classes without background.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::boxes::Convention;
use super::nms::{best_first, nms, nms_by};

/// How regions that say the same are thinned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Each class by itself: boxes with p > t, thinned out; of all that are left the best. A box may be reported under
    /// several classes. Where too few come out t is halved, at most ten times. VinVL's filter 0 and Faster R-CNN's own.
    PerClass,
    /// Each class by itself, whatever p; then every box under the likeliest class in which it is left. Bottom-up
    /// attention's and VinVL's filter 1, which the documented command takes (there always with an overlap of 0.3).
    BestSurviving,
    /// Every box under its likeliest class with p > t / 100, and all thinned out together. VinVL's filter 2, after which
    /// the features for download are called. Class-specific boxes are averaged over background and classes.
    ClassAgnostic,
}

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reporting {
    /// How regions that say the same are thinned out.
    pub filter: Filter,
    /// Two boxes that overlap by more say the same.
    pub overlap: f32,
    /// The threshold t.
    pub score: f32,
    /// Regions that are reported even below the threshold.
    pub at_least: usize,
    /// Regions that are reported at most.
    pub at_most: usize,
}

/// What is known of the proposals of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// n x (1 + k) probabilities, background first.
    pub probabilities: &'a [f32],
    /// Background and classes.
    pub n_classes: usize,
    /// n x `boxes_each` boxes, inside of the picture.
    pub boxes: &'a [[f32; 4]],
    /// 1 where all classes share a box; otherwise `n_classes`.
    pub boxes_each: usize,
    /// How boxes are measured.
    pub convention: Convention,
}

/// A region that is reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The proposal.
    pub proposal: usize,
    /// The class, background not counted.
    pub class: usize,
    /// Its probability.
    pub score: f32,
    /// The box.
    pub rect: [f32; 4],
}

/// Halvings of the threshold.
const MOST_HALVINGS: u32 = 10;

impl Reporting {
    /// The regions, best first; of equal scores the one of the lower class and proposal.
    pub fn apply(&self, candidates: &Candidates<'_>) -> Vec<Found> {
        match self.filter {
            Filter::PerClass => {
                let mut found = self.per_class(candidates, self.score);
                let mut score = self.score;
                for _ in 0..MOST_HALVINGS {
                    if found.len() >= self.at_least {
                        break;
                    }
                    score /= 2.0;
                    found = self.per_class(candidates, score);
                }
                found
            }
            Filter::BestSurviving => self.best_surviving(candidates),
            Filter::ClassAgnostic => self.class_agnostic(candidates),
        }
    }

    fn per_class(&self, candidates: &Candidates<'_>, threshold: f32) -> Vec<Found> {
        let same = Same::new(candidates, self.overlap);
        let of_class = |class: usize| {
            let above: Vec<usize> =
                (0..candidates.len()).filter(|at| candidates.probability(*at, class) > threshold).collect();
            let scores: Vec<f32> = above.iter().map(|at| candidates.probability(*at, class)).collect();
            let kept = nms_by(&scores, |one, other| same.are(class, above[one], above[other]));
            let found = kept.into_iter().map(|at| Found {
                proposal: above[at],
                class: class - 1,
                score: scores[at],
                rect: candidates.rect(above[at], class),
            });
            found.collect::<Vec<_>>()
        };
        let found: Vec<Found> = (1..candidates.n_classes).into_par_iter().flat_map_iter(of_class).collect();
        let mut found = sorted(found);
        // as published: all that are as good as the last one that is kept
        if let Some(last) = found.get(self.at_most.max(1) - 1).map(|last| last.score) {
            found.retain(|one| one.score >= last);
        }
        found
    }

    fn best_surviving(&self, candidates: &Candidates<'_>) -> Vec<Found> {
        let same = Same::new(candidates, self.overlap);
        let of_class = |class: usize| {
            let scores: Vec<f32> =
                (0..candidates.len()).map(|at| candidates.probability(at, class)).collect();
            let kept = nms_by(&scores, |one, other| same.are(class, one, other));
            kept.into_iter().map(|at| (at, class, scores[at])).collect::<Vec<_>>()
        };
        let kept: Vec<_> = (1..candidates.n_classes).into_par_iter().map(of_class).collect();
        let mut best: Vec<(usize, f32)> = vec![(0, 0.0); candidates.len()];
        for (at, class, score) in kept.into_iter().flatten() {
            if score > best[at].1 {
                best[at] = (class, score);
            }
        }
        let left = best.into_iter().enumerate().filter(|(_, (_, score))| *score > 0.0);
        let found = left.map(|(proposal, (class, score))| Found {
            proposal,
            class: class - 1,
            score,
            rect: candidates.rect(proposal, class),
        });
        self.counted(sorted(found.collect()))
    }

    fn class_agnostic(&self, candidates: &Candidates<'_>) -> Vec<Found> {
        /// Share of the threshold that a box needs at all.
        const LOW: f32 = 0.01;
        let likeliest = (0..candidates.len()).map(|proposal| {
            let first = (0, f32::NEG_INFINITY);
            let (class, score) = (1..candidates.n_classes)
                .map(|class| (class - 1, candidates.probability(proposal, class)))
                .fold(first, |best, one| if one.1 > best.1 { one } else { best });
            Found { proposal, class, score, rect: candidates.mean_rect(proposal) }
        });
        let usable = |found: &Found| {
            let [x1, y1, x2, y2] = found.rect;
            x2 - x1 >= 0.0 && y2 - y1 >= 0.0 && found.score > self.score * LOW
        };
        let found: Vec<Found> = likeliest.filter(usable).collect();
        let boxes: Vec<[f32; 4]> = found.iter().map(|one| one.rect).collect();
        let scores: Vec<f32> = found.iter().map(|one| one.score).collect();
        let kept = nms(&boxes, &scores, self.overlap, candidates.convention);
        self.counted(kept.into_iter().map(|at| found[at]).collect())
    }

    /// Of regions in order those above the threshold, but neither too few nor too many.
    fn counted(&self, mut found: Vec<Found>) -> Vec<Found> {
        let above = found.iter().filter(|one| one.score >= self.score).count();
        found.truncate(above.max(self.at_least).min(self.at_most));
        found
    }
}

impl Candidates<'_> {
    fn len(&self) -> usize {
        self.probabilities.len() / self.n_classes
    }

    fn probability(&self, proposal: usize, class: usize) -> f32 {
        self.probabilities[proposal * self.n_classes + class]
    }

    fn rect(&self, proposal: usize, class: usize) -> [f32; 4] {
        self.boxes[proposal * self.boxes_each + if self.boxes_each == 1 { 0 } else { class }]
    }

    fn mean_rect(&self, proposal: usize) -> [f32; 4] {
        let all = &self.boxes[proposal * self.boxes_each..][..self.boxes_each];
        let mut sum = [0.0f32; 4];
        all.iter().for_each(|rect| sum.iter_mut().zip(rect).for_each(|(sum, corner)| *sum += corner));
        sum.map(|corner| corner / self.boxes_each as f32)
    }
}

/// Which boxes of a class say the same. Where all classes share a box, that is found out once.
struct Same<'a> {
    candidates: Candidates<'a>,
    threshold: f32,
    shared: Option<Vec<bool>>,
}

impl<'a> Same<'a> {
    fn new(candidates: &Candidates<'a>, threshold: f32) -> Self {
        let n = candidates.len();
        let mut this = Self { candidates: *candidates, threshold, shared: None };
        if candidates.boxes_each == 1 {
            let pairs = (0..n * n).into_par_iter().map(|pair| this.overlap(0, pair / n, pair % n));
            this.shared = Some(pairs.collect());
        }
        this
    }

    fn are(&self, class: usize, one: usize, other: usize) -> bool {
        match &self.shared {
            Some(shared) => shared[one * self.candidates.len() + other],
            None => self.overlap(class, one, other),
        }
    }

    fn overlap(&self, class: usize, one: usize, other: usize) -> bool {
        let Candidates { convention, .. } = self.candidates;
        let rect = |at: usize| self.candidates.rect(at, class);
        convention.overlap(rect(one), rect(other)) > self.threshold
    }
}

fn sorted(found: Vec<Found>) -> Vec<Found> {
    let scores: Vec<f32> = found.iter().map(|one| one.score).collect();
    best_first(&scores).into_iter().map(|at| found[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three boxes on a heap and one beside; background and two classes.
    const BOXES: [[f32; 4]; 4] =
        [[0.0, 0.0, 99.0, 99.0], [2.0, 0.0, 101.0, 99.0], [4.0, 0.0, 103.0, 99.0], [300.0, 0.0, 340.0, 40.0]];
    const PROBABILITIES: [f32; 12] = [0.1, 0.6, 0.3, 0.1, 0.5, 0.4, 0.1, 0.45, 0.45, 0.85, 0.1, 0.05];

    fn candidates() -> Candidates<'static> {
        Candidates {
            probabilities: &PROBABILITIES,
            n_classes: 3,
            boxes: &BOXES,
            boxes_each: 1,
            convention: Convention::Legacy,
        }
    }

    fn reported(filter: Filter, score: f32, [at_least, at_most]: [usize; 2]) -> Vec<(usize, usize, f32)> {
        let reporting = Reporting { filter, overlap: 0.5, score, at_least, at_most };
        reporting.apply(&candidates()).iter().map(|one| (one.proposal, one.class, one.score)).collect()
    }

    #[test]
    fn each_class_by_itself() {
        // of class 0 the first box, of class 1 the third
        assert_eq!(reported(Filter::PerClass, 0.2, [1, 100]), [(0, 0, 0.6), (2, 1, 0.45)]);
        // too few: 0.2 becomes 0.1, which 0.1 is not above, and then 0.05
        let more = [(0, 0, 0.6), (2, 1, 0.45), (3, 0, 0.1)];
        assert_eq!(reported(Filter::PerClass, 0.2, [3, 100]), more);
        assert_eq!(reported(Filter::PerClass, 0.2, [3, 2]), more[..2]);
        // ten halvings, and no more: 0.05 stays below 2048 / 2^10
        assert_eq!(reported(Filter::PerClass, 2048.0 * 0.6, [1, 100]), []);
    }

    #[test]
    fn the_best_class_in_which_a_box_is_left() {
        // the second box is left in no class; the fourth in both, the likelier of which counts
        let all = [(0, 0, 0.6), (2, 1, 0.45), (3, 0, 0.1)];
        assert_eq!(reported(Filter::BestSurviving, 0.2, [10, 100]), all);
        assert_eq!(reported(Filter::BestSurviving, 0.2, [1, 100]), all[..2]);
        assert_eq!(reported(Filter::BestSurviving, 0.2, [3, 1]), all[..1]);
    }

    #[test]
    fn all_classes_together() {
        let all = [(0, 0, 0.6), (3, 0, 0.1)];
        assert_eq!(reported(Filter::ClassAgnostic, 0.2, [10, 100]), all);
        assert_eq!(reported(Filter::ClassAgnostic, 0.2, [1, 100]), all[..1]);
        // the fourth is not above a hundredth of the threshold
        assert_eq!(reported(Filter::ClassAgnostic, 11.0, [10, 100]), all[..1]);
    }

    #[test]
    fn boxes_of_classes_are_averaged_where_one_is_needed() {
        let boxes = [[0.0, 0.0, 9.0, 9.0], [3.0, 0.0, 12.0, 9.0], [6.0, 3.0, 15.0, 12.0]];
        let one =
            Candidates { probabilities: &[0.2, 0.5, 0.3], boxes: &boxes, boxes_each: 3, ..candidates() };
        let report =
            |filter| Reporting { filter, overlap: 0.5, score: 0.2, at_least: 1, at_most: 9 }.apply(&one);
        assert_eq!(report(Filter::ClassAgnostic)[0].rect, [3.0, 1.0, 12.0, 10.0]);
        assert_eq!(report(Filter::BestSurviving)[0].rect, boxes[1]);
        assert_eq!(report(Filter::PerClass).iter().map(|one| one.rect).collect::<Vec<_>>(), boxes[1..]);
    }
}
