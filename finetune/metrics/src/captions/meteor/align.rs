//! The alignment: all matches of all stages, then a beam search for the best set of them.
//!
//! "Test" is the candidate. A match covers `length` words of the reference from `start`, and
//! `test_length` words of the candidate from `test_start`.

use super::{
    paraphrases::Paraphrases,
    statistics::{STAGES, Statistics},
};

/// Partial alignments that are kept at each reference word.
const BEAM: usize = 40;
/// What a matched word is worth in the search, by stage (the score has weights of its own).
const SEARCH_WEIGHTS: [f64; STAGES] = [1.0, 0.5, 0.5, 0.5];

/// What the stages know about a word.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// Equal for equal words.
    pub(super) key: i32,
    /// Equal for words with the same stem.
    pub(super) stem_key: i32,
    /// Sets of synonyms, ascending.
    pub(super) synonym_sets: Vec<u32>,
    /// Whether it is a function word.
    pub(super) function: bool,
}

/// The stages that run after the exact one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stages<'a> {
    pub(super) stem: bool,
    pub(super) synonym: bool,
    pub(super) paraphrase: Option<&'a Paraphrases>,
}

#[derive(Debug, Clone, Copy)]
struct Match {
    stage: usize,
    start: usize,
    length: usize,
    test_start: usize,
    test_length: usize,
}

/// Aligns a candidate with a reference, both as numbers into `words`.
pub(super) fn align(test: &[u32], reference: &[u32], words: &[Word], stages: Stages<'_>) -> Statistics {
    let best = Search::new(test, reference, words, stages).run();
    let is_function = |number: &u32| words[*number as usize].function;
    let count = |numbers: &[u32]| numbers.iter().filter(|number| is_function(number)).count() as f64;
    let mut statistics = Statistics {
        test_length: test.len() as f64,
        reference_length: reference.len() as f64,
        test_function_words: count(test),
        reference_function_words: count(reference),
        ..Statistics::default()
    };
    let mut last_end = None;
    let mut index = 0;
    while index < best.len() {
        let Some(found) = best[index] else {
            statistics.chunks += f64::from(u8::from(last_end.take().is_some()));
            index += 1;
            continue;
        };
        if last_end.is_some_and(|end| end != found.test_start) {
            statistics.chunks += 1.0;
        }
        last_end = Some(found.test_start + found.test_length);
        index = found.start + found.length;
    }
    statistics.chunks += f64::from(u8::from(last_end.is_some()));
    for found in best.iter().flatten() {
        let ours = &test[found.test_start..][..found.test_length];
        let theirs = &reference[found.start..][..found.length];
        let stage = &mut statistics.matches[found.stage];
        stage.test_function += count(ours);
        stage.test_content += found.test_length as f64 - count(ours);
        stage.reference_function += count(theirs);
        stage.reference_content += found.length as f64 - count(theirs);
        statistics.test_matched += found.test_length as f64;
        statistics.reference_matched += found.length as f64;
    }
    statistics
}

/// All matches by the reference word that they start at, and how many cover each word.
struct Search {
    matches: Vec<Vec<Match>>,
    test_coverage: Vec<u32>,
    coverage: Vec<u32>,
}

impl Search {
    fn new(test: &[u32], reference: &[u32], words: &[Word], stages: Stages<'_>) -> Self {
        let mut search = Self {
            matches: vec![Vec::new(); reference.len()],
            test_coverage: vec![0; test.len()],
            coverage: vec![0; reference.len()],
        };
        let word = |number: u32| &words[number as usize];
        search.single_words(0, test, reference, |ours, theirs| word(ours).key == word(theirs).key);
        // Equal captions need no other stage, and might fare worse with one.
        let equal = test.len() == reference.len()
            && test.iter().zip(reference).all(|(&ours, &theirs)| word(ours).key == word(theirs).key);
        if equal {
            return search;
        }
        if stages.stem {
            search.single_words(1, test, reference, |ours, theirs| {
                word(ours).stem_key == word(theirs).stem_key && word(ours).key != word(theirs).key
            });
        }
        if stages.synonym {
            search.single_words(2, test, reference, |ours, theirs| {
                word(ours).key != word(theirs).key
                    && have_common(&word(ours).synonym_sets, &word(theirs).synonym_sets)
            });
        }
        if let Some(paraphrases) = stages.paraphrase {
            for start in 0..reference.len() {
                for (length, phrases) in paraphrases.starting(&reference[start..]) {
                    for phrase in phrases {
                        for test_start in places(test, phrase) {
                            search.add(Match {
                                stage: 3,
                                start,
                                length,
                                test_start,
                                test_length: phrase.len(),
                            });
                        }
                    }
                }
            }
            for test_start in 0..test.len() {
                for (test_length, phrases) in paraphrases.starting(&test[test_start..]) {
                    for phrase in phrases {
                        for start in places(reference, phrase) {
                            search.add(Match {
                                stage: 3,
                                start,
                                length: phrase.len(),
                                test_start,
                                test_length,
                            });
                        }
                    }
                }
            }
        }
        search
    }

    fn single_words(
        &mut self,
        stage: usize,
        test: &[u32],
        reference: &[u32],
        matches: impl Fn(u32, u32) -> bool,
    ) {
        for (start, &theirs) in reference.iter().enumerate() {
            for (test_start, &ours) in test.iter().enumerate() {
                if matches(ours, theirs) {
                    self.add(Match { stage, start, length: 1, test_start, test_length: 1 });
                }
            }
        }
    }

    fn add(&mut self, found: Match) {
        self.matches[found.start].push(found);
        self.test_coverage[found.test_start..][..found.test_length].iter_mut().for_each(|count| *count += 1);
        self.coverage[found.start..][..found.length].iter_mut().for_each(|count| *count += 1);
    }

    /// The best alignment: for each reference word the match that starts there.
    fn run(&self) -> Vec<Option<Match>> {
        let mut paths = vec![self.definite()];
        let mut next = Vec::new();
        for current in 0..self.matches.len() {
            paths.sort_by_key(Path::rank);
            paths.truncate(BEAM);
            let first = paths.first().cloned();
            for path in paths.drain(..) {
                self.extend(path, current, &mut next);
            }
            if next.is_empty() {
                // The beam ran into matches that exclude one another; go on with the best as it was.
                next.extend(first);
            }
            std::mem::swap(&mut paths, &mut next);
        }
        paths.sort_by_key(Path::rank);
        paths.truncate(BEAM);
        for path in &mut paths {
            path.chunks += i64::from(path.last_end.is_some());
        }
        paths.sort_by_key(Path::rank);
        paths.swap_remove(0).chosen
    }

    /// Matches that no other match touches are taken beforehand.
    fn definite(&self) -> Path {
        let mut path = Path {
            chosen: vec![None; self.matches.len()],
            used: vec![false; self.matches.len()],
            test_used: vec![false; self.test_coverage.len()],
            ..Path::default()
        };
        for matches in &self.matches {
            if let [only] = matches.as_slice() {
                let alone = self.coverage[only.start..][..only.length].iter().all(|&count| count == 1)
                    && self.test_coverage[only.test_start..][..only.test_length]
                        .iter()
                        .all(|&count| count == 1);
                if alone {
                    path.choose(only);
                }
            }
        }
        path
    }

    /// Continues a path over the reference word `current` in every way.
    fn extend(&self, mut path: Path, current: usize, next: &mut Vec<Path>) {
        if path.used[current] {
            if current < path.index {
                next.push(path); // inside of a match
            } else if let Some(found) = path.chosen.get(path.index).copied().flatten() {
                path.count(&found);
                path.distance += found.start.abs_diff(found.test_start) as i64;
                next.push(path);
            }
            return;
        }
        for found in &self.matches[current] {
            if path.is_used(found) {
                continue;
            }
            let mut longer = path.clone();
            longer.choose(found);
            longer.count(found);
            next.push(longer);
            // The reference adds the distance to the path that goes on without the match, and so to
            // those that branch off later.
            path.distance += found.start.abs_diff(found.test_start) as i64;
        }
        path.chunks += i64::from(path.last_end.take().is_some());
        path.index += 1;
        next.push(path);
    }
}

/// An alignment of the reference up to some word.
#[derive(Debug, Clone, Default)]
struct Path {
    chosen: Vec<Option<Match>>,
    used: Vec<bool>,
    test_used: Vec<bool>,
    /// The next reference word.
    index: usize,
    last_end: Option<usize>,
    weight: [i64; 2],
    chunks: i64,
    distance: i64,
}

impl Path {
    /// Smaller is better: more weight, then fewer chunks, then a smaller distance.
    fn rank(&self) -> (i64, i64, i64) {
        (-(self.weight[0] + self.weight[1]), self.chunks, self.distance)
    }

    fn is_used(&self, found: &Match) -> bool {
        self.used[found.start..][..found.length].contains(&true)
            || self.test_used[found.test_start..][..found.test_length].contains(&true)
    }

    fn choose(&mut self, found: &Match) {
        self.chosen[found.start] = Some(*found);
        self.used[found.start..][..found.length].fill(true);
        self.test_used[found.test_start..][..found.test_length].fill(true);
    }

    fn count(&mut self, found: &Match) {
        // Whole numbers: half a word is lost, as in the reference.
        let weigh =
            |sum: i64, length: usize| (sum as f64 + length as f64 * SEARCH_WEIGHTS[found.stage]) as i64;
        self.weight = [weigh(self.weight[0], found.test_length), weigh(self.weight[1], found.length)];
        if self.last_end.is_some_and(|end| end != found.test_start) {
            self.chunks += 1;
        }
        self.index = found.start + found.length;
        self.last_end = Some(found.test_start + found.test_length);
    }
}

fn have_common(left: &[u32], right: &[u32]) -> bool {
    let mut right = right.iter().peekable();
    left.iter().any(|number| {
        while right.next_if(|other| *other < number).is_some() {}
        right.peek() == Some(&number)
    })
}

fn places<'a>(words: &'a [u32], phrase: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
    words
        .windows(phrase.len())
        .enumerate()
        .filter(move |(_, window)| *window == phrase)
        .map(|(start, _)| start)
}
