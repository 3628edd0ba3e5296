//! Multinomial logistic regression by plain stochastic gradient descent.

use std::collections::HashMap;

use crate::chance::{Chance, Stream};

/// How a model is trained.
#[derive(Debug, Clone, Copy)]
pub(super) struct Training {
    pub(super) epochs: u64,
    /// Of the first step; it falls to nothing in a straight line.
    pub(super) rate: f32,
    /// Share by which weights shrink for each step of rate 1.
    pub(super) decay: f32,
}

/// One weight for each feature and class, and one for each class.
pub(super) struct Linear {
    classes: usize,
    /// Feature by feature.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// The features of an example that are not zero.
pub(super) type Sparse = Vec<(u32, f32)>;

impl Linear {
    /// Trains on examples with their classes.
    pub(super) fn train(
        examples: &[(Sparse, usize)],
        features: usize,
        classes: usize,
        training: Training,
    ) -> Linear {
        let mut model = Linear { classes, weights: vec![0.0; features * classes], bias: vec![0.0; classes] };
        let steps = training.epochs * examples.len() as u64;
        let mut step = 0;
        for epoch in 0..training.epochs {
            let mut order: Vec<usize> = (0..examples.len()).collect();
            Chance::new(0, Stream::Training, epoch).shuffle(&mut order);
            for at in order {
                let (example, class) = &examples[at];
                let rate = training.rate * (1.0 - step as f32 / steps as f32);
                model.step(example, *class, rate, training.decay);
                step += 1;
            }
        }
        model
    }

    fn step(&mut self, example: &Sparse, class: usize, rate: f32, decay: f32) {
        let mut slopes = self.scores(example);
        softmax(&mut slopes);
        slopes[class] -= 1.0;
        for (bias, slope) in self.bias.iter_mut().zip(&slopes) {
            *bias -= rate * slope;
        }
        for &(feature, value) in example {
            let from = feature as usize * self.classes;
            for (weight, slope) in self.weights[from..from + self.classes].iter_mut().zip(&slopes) {
                *weight -= rate * (slope * value + decay * *weight);
            }
        }
    }

    /// The class with the largest score.
    pub(super) fn best(&self, example: &Sparse) -> usize {
        let scores = self.scores(example);
        (0..self.classes).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
    }

    fn scores(&self, example: &Sparse) -> Vec<f32> {
        let mut scores = self.bias.clone();
        for &(feature, value) in example {
            let from = feature as usize * self.classes;
            for (score, weight) in scores.iter_mut().zip(&self.weights[from..from + self.classes]) {
                *score += weight * value;
            }
        }
        scores
    }
}

fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::MIN, f32::max);
    scores.iter_mut().for_each(|score| *score = libm::expf(*score - most));
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Words and pairs of neighbouring words, by their numbers.
#[derive(Default)]
pub(super) struct Words {
    numbers: HashMap<String, u32>,
}

impl Words {
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The features of a text; new ones get numbers.
    pub(super) fn learn(&mut self, text: &str) -> Sparse {
        let mut found = Vec::new();
        for gram in grams(text) {
            let next = self.numbers.len() as u32;
            found.push((*self.numbers.entry(gram).or_insert(next), 1.0));
        }
        found
    }

    /// The features of a text that are known.
    pub(super) fn known(&self, text: &str) -> Sparse {
        grams(text).filter_map(|gram| Some((*self.numbers.get(&gram)?, 1.0))).collect()
    }
}

/// Lower-case words without marks.
pub(super) fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn grams(text: &str) -> impl Iterator<Item = String> + use<> {
    let words = words(text);
    let pairs: Vec<String> = words.windows(2).map(|pair| pair.join(" ")).collect();
    words.into_iter().chain(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_words_and_their_order_tell_and_nothing_else() {
        let mut chance = Chance::new(4, Stream::Training, 77);
        let mut made = |count: usize| -> Vec<(String, usize)> {
            let one = |chance: &mut Chance| {
                let [a, b] = [*chance.pick(&["dog", "cat"]), *chance.pick(&["dog", "cat"])];
                let noise = chance.below(9);
                (format!("A {a} bites a {b}, {noise}."), usize::from(a == "dog" && b == "cat"))
            };
            (0..count).map(|_| one(&mut chance)).collect()
        };
        let (train, test) = (made(400), made(200));
        let right = |train: &[(String, usize)]| {
            let mut words = Words::default();
            let examples: Vec<_> = train.iter().map(|(text, class)| (words.learn(text), *class)).collect();
            let training = Training { epochs: 20, rate: 0.2, decay: 0.0 };
            let model = Linear::train(&examples, words.len(), 2, training);
            test.iter().filter(|(text, class)| model.best(&words.known(text)) == *class).count()
        };
        assert_eq!(right(&train), 200);
        let drawn: Vec<_> = train.iter().enumerate().map(|(at, (text, _))| (text.clone(), at % 2)).collect();
        assert!((60..140).contains(&right(&drawn)), "{}", right(&drawn));
    }
}
