//! The model that decoding asks, and the captions that are open.

use crate::{Error, Result};

/// The reason of a model that could not answer.
pub type ModelError = Box<dyn std::error::Error + Send + Sync>;

/// A model of the next token.
///
/// Decoding calls [`logits`](Self::logits) once for every length 1, 2, 3, ... of the open captions of a batch of pictures. All
/// open captions are equally long. A model without a cache reads [`Open::tokens`]. A model with a cache keeps what its layers
/// knew of each row at the last call (keys and values of the prefix, not of the `[MASK]` that stands for the next token); at
/// this call row r goes on from what was then row `rows()[r].parent`, with [`Open::newest`] as its one new token. Parents may
/// repeat (a caption went on in several ways) and may be missing (it was given up, or has ended); rows of finished captions and
/// pictures are not there any more. At length 1 there was no call before: every parent is the row itself.
pub trait NextToken {
    /// Number of ids; every one is a possible next token.
    fn vocabulary(&self) -> usize;

    /// Scores the next token of every open caption, as logits: before the softmax, because the repetition penalty acts there.
    /// Minus infinity forbids a token.
    ///
    /// # Shapes
    /// `logits_rv`: rows of `open`, one behind the other, by vocabulary. Every number must be written.
    fn logits(&mut self, open: &Open, logits_rv: &mut [f32]) -> std::result::Result<(), ModelError>;
}

/// The captions of a batch that are open, all of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    length: usize,
    rows: Vec<Row>,
    /// Rows by length.
    tokens_rl: Vec<u32>,
}

/// One open caption. Rows are in the order of their pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Position of its picture in the batch.
    pub image: usize,
    /// The row of the call before that it goes on from.
    pub parent: usize,
}

/// A row that goes on: which one, and with which token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grown {
    pub(crate) parent: usize,
    pub(crate) token: u32,
}

impl Open {
    /// Tokens of every row, `[CLS]` counted; at least 1.
    pub fn length(&self) -> usize {
        self.length
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The tokens of a row, from `[CLS]` on.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn tokens(&self, row: usize) -> &[u32] {
        &self.tokens_rl[row * self.length..][..self.length]
    }

    /// The last token of a row: the one that the call before did not know.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn newest(&self, row: usize) -> u32 {
        self.tokens(row)[self.length - 1]
    }

    fn begin(images: impl Iterator<Item = usize>, cls: u32) -> Self {
        let rows: Vec<Row> = images.enumerate().map(|(parent, image)| Row { image, parent }).collect();
        Self { length: 1, tokens_rl: vec![cls; rows.len()], rows }
    }
}

/// A model that is asked step by step.
#[derive(Debug)]
pub(crate) struct Steps<'a, M: ?Sized> {
    model: &'a mut M,
    pub(crate) open: Open,
    logits_rv: Vec<f32>,
    pub(crate) vocabulary: usize,
}

impl<'a, M: NextToken + ?Sized> Steps<'a, M> {
    /// Captions of nothing but `cls`, one for each of `images`.
    pub(crate) fn begin(model: &'a mut M, images: impl Iterator<Item = usize>, cls: u32) -> Result<Self> {
        let vocabulary = model.vocabulary();
        if vocabulary == 0 {
            let hint = "give the model its vocabulary";
            return Err(Error::Setting { field: "vocabulary", value: "0".to_owned(), hint });
        }
        Ok(Self { model, open: Open::begin(images, cls), logits_rv: Vec::new(), vocabulary })
    }

    /// The open captions, and the logits of their next tokens, rows by vocabulary.
    pub(crate) fn ask(&mut self) -> Result<(&Open, &mut [f32])> {
        // What a model leaves out must not look like a score.
        self.logits_rv.clear();
        self.logits_rv.resize(self.open.rows.len() * self.vocabulary, f32::NAN);
        let answer = self.model.logits(&self.open, &mut self.logits_rv);
        answer.map_err(|source| Error::Model { length: self.open.length, source })?;
        Ok((&self.open, &mut self.logits_rv))
    }

    /// The rows that go on, in the order of their pictures.
    pub(crate) fn grow(&mut self, grown: &[Grown]) {
        let mut tokens_rl = Vec::with_capacity(grown.len() * (self.open.length + 1));
        let mut rows = Vec::with_capacity(grown.len());
        for &Grown { parent, token } in grown {
            tokens_rl.extend_from_slice(self.open.tokens(parent));
            tokens_rl.push(token);
            rows.push(Row { image: self.open.rows[parent].image, parent });
        }
        debug_assert!(rows.is_sorted_by_key(|row| row.image), "rows are in the order of their pictures");
        self.open = Open { length: self.open.length + 1, rows, tokens_rl };
    }
}
