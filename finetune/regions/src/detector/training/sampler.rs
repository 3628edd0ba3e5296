//! Which boxes of a picture are learned from.

use pretrain_training::Generator;
use serde::{Deserialize, Serialize};

use super::matcher::Match;

/// So many boxes of a picture, drawn by chance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampler {
    /// Boxes of a picture at most.
    pub count: usize,
    /// Share of them that belongs to objects, at most; the rest is ground.
    pub objects: f64,
}

/// Boxes of a picture at most: places of pictures stand above them in an index.
const MOST_BOXES: u64 = 1 << 32;

impl Sampler {
    /// Numbers of the boxes that belong to objects, and of ground, each in their order. Which are drawn depends on the
    /// generator (seed and step), the picture's place in the batch, and the number of the box.
    pub fn sample(&self, matches: &[Match], generator: &Generator, place: u64) -> [Vec<usize>; 2] {
        let of_kind = |is_kind: fn(&Match) -> bool| -> Vec<usize> {
            matches.iter().enumerate().filter(|(_, one)| is_kind(one)).map(|(at, _)| at).collect()
        };
        let some = |mut from: Vec<usize>, count: usize| {
            if from.len() > count {
                let key = |at: &usize| {
                    let [low, high, ..] = generator.words(place * MOST_BOXES + *at as u64);
                    (u64::from(high) << 32 | u64::from(low), *at)
                };
                from.sort_by_cached_key(key);
                from.truncate(count);
                from.sort_unstable();
            }
            from
        };
        let objects =
            some(of_kind(|one| matches!(one, Match::Object(_))), (self.count as f64 * self.objects) as usize);
        let ground = some(of_kind(|one| *one == Match::Ground), self.count - objects.len().min(self.count));
        [objects, ground]
    }
}

#[cfg(test)]
mod tests {
    use pretrain_training::Stream;

    use super::*;

    #[test]
    fn as_many_as_asked_and_each_as_often() {
        let kind = |at: usize| match at % 10 {
            0..3 => Match::Object(at),
            3 => Match::Neither,
            _ => Match::Ground,
        };
        let matches: Vec<Match> = (0..100).map(kind).collect();
        let sampler = Sampler { count: 40, objects: 0.25 };
        let mut drawn = [0u32; 100];
        for step in 0..2000 {
            let generator = Generator::new(5, Stream::Anchors, step);
            let [objects, ground] = sampler.sample(&matches, &generator, 3);
            assert_eq!((objects.len(), ground.len()), (10, 30));
            assert!(objects.iter().all(|at| at % 10 < 3) && ground.iter().all(|at| at % 10 > 3));
            assert!(objects.is_sorted() && ground.is_sorted());
            objects.iter().chain(&ground).for_each(|at| drawn[*at] += 1);
        }
        // 2000 draws with a chance of 1/3 and 1/2: within five deviations of what is expected
        for (at, drawn) in drawn.into_iter().enumerate() {
            let chance = match kind(at) {
                Match::Object(_) => 10.0 / 30.0,
                Match::Ground => 0.5,
                Match::Neither => 0.0,
            };
            let variance: f64 = 2000.0 * chance * (1.0 - chance);
            let (mean, deviation) = (2000.0 * chance, variance.sqrt());
            assert!((f64::from(drawn) - mean).abs() <= 5.0 * deviation, "{at}: {drawn}");
        }
    }

    #[test]
    fn few_are_all_taken_and_ground_fills_up() {
        let generator = Generator::new(5, Stream::Anchors, 0);
        let matches = [Match::Object(0), Match::Ground, Match::Neither, Match::Ground];
        let sampler = Sampler { count: 256, objects: 0.5 };
        assert_eq!(sampler.sample(&matches, &generator, 0), [vec![0], vec![1, 3]]);
        let few = Sampler { count: 2, objects: 0.5 };
        let [objects, ground] = few.sample(&matches, &generator, 0);
        assert_eq!((objects, ground.len()), (vec![0], 1));
        let other = Generator::new(5, Stream::Anchors, 1);
        let grounds = |generator: &Generator| -> Vec<Vec<usize>> {
            (0..20).map(|place| few.sample(&matches, generator, place)[1].clone()).collect()
        };
        assert_ne!(grounds(&generator), grounds(&other));
    }
}
