//! METEOR's score from its statistics.
//!
//! Paper: Denkowski and Lavie, WMT 2014, section 2 (version 1.5, parameters for English).

use std::fmt;

/// The matcher stages, in the order in which they run.
pub const STAGES: usize = 4;

const ALPHA: f64 = 0.85;
const BETA: f64 = 0.2;
const GAMMA: f64 = 0.6;
const DELTA: f64 = 0.75;
const WEIGHTS: [f64; STAGES] = [1.0, 0.6, 0.8, 0.6];

/// Content and function words, counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Matches {
    /// Content words of the candidate.
    pub test_content: f64,
    /// Content words of the reference.
    pub reference_content: f64,
    /// Function words of the candidate.
    pub test_function: f64,
    /// Function words of the reference.
    pub reference_function: f64,
}

/// The 23 statistics of a segment, or their sums over a corpus.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Words of the candidate.
    pub test_length: f64,
    /// Words of the reference.
    pub reference_length: f64,
    /// Function words of the candidate.
    pub test_function_words: f64,
    /// Function words of the reference.
    pub reference_function_words: f64,
    /// Matched words by stage: exact, stem, synonym, paraphrase.
    pub matches: [Matches; STAGES],
    /// Runs of matches that stand in the same order on both sides.
    pub chunks: f64,
    /// Matched words of the candidate.
    pub test_matched: f64,
    /// Matched words of the reference.
    pub reference_matched: f64,
}

impl Statistics {
    /// Every word matched, in one chunk.
    fn is_perfect(&self) -> bool {
        self.test_matched == self.test_length
            && self.reference_matched == self.reference_length
            && self.chunks == 1.0
    }

    /// `F (1 - gamma frag^beta)`, with `F = 1 / ((1 - alpha) / P + alpha / R)`,
    /// `P = sum_m w_m (delta content_m + (1 - delta) function_m) / (the same of all words)`, R likewise
    /// over the reference, and `frag = chunks / mean(matched words)`, 0 where everything matches in one
    /// chunk. Nothing matched scores 0.
    pub fn score(&self) -> f64 {
        let weighted = |content: f64, function: f64| DELTA * content + (1.0 - DELTA) * function;
        let sum = |content: fn(&Matches) -> f64, function: fn(&Matches) -> f64| {
            let content: f64 =
                self.matches.iter().zip(WEIGHTS).map(|(stage, weight)| content(stage) * weight * DELTA).sum();
            let function: f64 = self
                .matches
                .iter()
                .zip(WEIGHTS)
                .map(|(stage, weight)| function(stage) * weight * (1.0 - DELTA))
                .sum();
            content + function
        };
        let precision = sum(|stage| stage.test_content, |stage| stage.test_function)
            / weighted(self.test_length - self.test_function_words, self.test_function_words);
        let recall = sum(|stage| stage.reference_content, |stage| stage.reference_function)
            / weighted(self.reference_length - self.reference_function_words, self.reference_function_words);
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let fragmentation = if self.is_perfect() {
            0.0
        } else {
            self.chunks / ((self.test_matched + self.reference_matched) / 2.0)
        };
        let score = mean * (1.0 - GAMMA * fragmentation.powf(BETA));
        if score.is_nan() { 0.0 } else { score.max(0.0) }
    }

    /// Adds a segment to a corpus. The chunk of a perfect segment is not counted.
    pub fn add(&mut self, segment: &Self) {
        let chunks = if segment.is_perfect() { 0.0 } else { segment.chunks };
        self.test_length += segment.test_length;
        self.reference_length += segment.reference_length;
        self.test_function_words += segment.test_function_words;
        self.reference_function_words += segment.reference_function_words;
        for (sum, stage) in self.matches.iter_mut().zip(segment.matches) {
            sum.test_content += stage.test_content;
            sum.reference_content += stage.reference_content;
            sum.test_function += stage.test_function;
            sum.reference_function += stage.reference_function;
        }
        self.chunks += chunks;
        self.test_matched += segment.test_matched;
        self.reference_matched += segment.reference_matched;
    }

    /// Reads the reference's line of 23 numbers.
    pub fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [
            test_length,
            reference_length,
            test_function_words,
            reference_function_words,
            stages @ ..,
            chunks,
            test_matched,
            reference_matched,
        ] = numbers.as_slice()
        else {
            return None;
        };
        let (stages, rest) = stages.as_chunks::<4>();
        let stages: &[[f64; 4]; STAGES] = stages.try_into().ok().filter(|_| rest.is_empty())?;
        Some(Self {
            test_length: *test_length,
            reference_length: *reference_length,
            test_function_words: *test_function_words,
            reference_function_words: *reference_function_words,
            matches: stages.map(|[test_content, reference_content, test_function, reference_function]| {
                Matches { test_content, reference_content, test_function, reference_function }
            }),
            chunks: *chunks,
            test_matched: *test_matched,
            reference_matched: *reference_matched,
        })
    }
}

/// The reference's line: 23 numbers with one decimal.
impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1} {:.1} {:.1} {:.1}",
            self.test_length, self.reference_length, self.test_function_words, self.reference_function_words
        )?;
        for stage in &self.matches {
            write!(
                formatter,
                " {:.1} {:.1} {:.1} {:.1}",
                stage.test_content, stage.reference_content, stage.test_function, stage.reference_function
            )?;
        }
        write!(formatter, " {:.1} {:.1} {:.1}", self.chunks, self.test_matched, self.reference_matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formula_by_hand() {
        // Four words each, one of them a function word; two content words match, in two chunks.
        let line =
            "4.0 4.0 1.0 1.0 2.0 2.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 2.0 2.0 2.0";
        let statistics = Statistics::parse(line).expect("23 numbers");
        assert_eq!(statistics.to_string(), line);
        // P = R = F = 1.5 / 2.5; fragmentation 1.
        assert!((statistics.score() - 0.6 * 0.4).abs() < 1e-12);
        assert_eq!(Statistics::parse("1 2"), None);
    }

    #[test]
    fn perfect_segments_bring_no_chunk() {
        let line =
            "2.0 2.0 0.0 0.0 2.0 2.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 2.0 2.0";
        let perfect = Statistics::parse(line).expect("23 numbers");
        assert!((perfect.score() - 1.0).abs() < 1e-12);
        let mut corpus = Statistics::default();
        corpus.add(&perfect);
        corpus.add(&perfect);
        assert_eq!((corpus.chunks, corpus.score()), (0.0, 1.0));
        assert_eq!(Statistics::default().score(), 0.0);
    }
}
