//! Scores of captions: BLEU, ROUGE-L, CIDEr, METEOR and SPICE, equal to coco-caption's.

mod bleu;
mod cider;
mod document_frequencies;
pub mod meteor;
mod ngrams;
mod pairs;
pub mod ptb;
mod reward;
mod rouge;
mod score;
mod windows;
mod words;

pub use bleu::BleuStats;
pub use document_frequencies::{DocumentFrequencies, END_OF_CAPTION};
pub use pairs::{Pair, PairTokens, pair};
pub use reward::{Frequencies, cider_d, reward_caption};
pub use score::{CaptionScores, ImageScores, Options, score};
