/// A finished caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// Its tokens as they were chosen, without `[CLS]`. The last one is `[SEP]` or, where the caption came to its full length,
    /// the token in whose place `[SEP]` stands: it counts in the score, and for the gradient of self-critical training, but is
    /// no word.
    pub tokens: Vec<u32>,
    /// Log-probability a token, see the [module](crate::decoding).
    pub score: f64,
}

impl Caption {
    /// The tokens of its words: all but the last.
    pub fn words(&self) -> &[u32] {
        self.tokens.split_last().map_or(&[], |(_, words)| words)
    }

    /// `conf` of the published result files: exp of the score.
    pub fn confidence(&self) -> f64 {
        self.score.exp()
    }
}
