//! From the name of a class to the tokens that say it.

use std::collections::BTreeMap;
use std::path::Path;

use data_specs::Tokenizer;
use rustc_hash::FxHashMap;

use super::lines::Lines;
use crate::{Error, Result};

/// What a caption must hold: pieces that follow one another, each in one of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    pieces: Vec<Vec<u32>>,
}

impl Constraint {
    /// One of the token ids in each of `pieces`, in their order, without anything between.
    pub fn new(pieces: Vec<Vec<u32>>) -> Self {
        Self { pieces }
    }

    /// The forms of every piece.
    pub fn pieces(&self) -> &[Vec<u32>] {
        &self.pieces
    }
}

/// The published tables of words and word forms, as ids of a vocabulary.
///
/// * words: a word, a tab, its tokens with commas between (`surfboard`, `surf,##board`);
/// * forms: a token, a tab, the tokens that may stand for it (`dog`, `dog,dogs`), itself among them if it may.
#[derive(Debug)]
pub struct ConstraintWords<'a> {
    tokenizer: &'a Tokenizer,
    words: BTreeMap<String, Vec<u32>>,
    forms: FxHashMap<u32, Vec<u32>>,
    left_out: usize,
}

impl<'a> ConstraintWords<'a> {
    /// Reads both tables. Every token of a word must be in the vocabulary. A form that is not cannot be written at that place of
    /// a caption and is left out (the original takes `[UNK]` for it).
    pub fn read(words: &Path, forms: &Path, tokenizer: &'a Tokenizer) -> Result<Self> {
        let tokens: FxHashMap<&str, u32> =
            tokenizer.vocabulary().tokens().iter().map(String::as_str).zip(0..).collect();
        let mut read = Self { tokenizer, words: BTreeMap::new(), forms: FxHashMap::default(), left_out: 0 };
        let mut lines = Lines::open(words)?;
        while let Some(line) = lines.next()? {
            let (word, listed) = line.list()?;
            let ids: std::result::Result<Vec<u32>, &str> =
                listed.iter().map(|token| tokens.get(token).copied().ok_or(*token)).collect();
            let ids = ids.map_err(|token| {
                let problem = format!("the vocabulary has no token `{token}`");
                line.wrong(problem, "take the file that was made for this vocabulary")
            })?;
            line.once(read.words.insert(word.to_owned(), ids).is_none(), word)?;
        }
        let mut lines = Lines::open(forms)?;
        while let Some(line) = lines.next()? {
            let (token, listed) = line.list()?;
            let ids: Vec<u32> = listed.iter().filter_map(|form| tokens.get(form).copied()).collect();
            read.left_out += listed.len() - ids.len();
            let Some(id) = tokens.get(token) else {
                // No word has it as a piece.
                read.left_out += ids.len();
                continue;
            };
            if ids.is_empty() {
                let problem = format!("no form of `{token}` is in the vocabulary");
                return Err(line.wrong(problem, "list the token itself"));
            }
            line.once(read.forms.insert(*id, ids).is_none(), token)?;
        }
        Ok(read)
    }

    /// Forms that the vocabulary does not have.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The constraint that `name`, one or more words, should be said. Words that the table does not have are cut by the
    /// tokenizer; all pieces are returned, though an automaton asks for the first four only.
    pub fn constraint(&self, name: &str) -> Result<Constraint> {
        let mut pieces = Vec::new();
        for word in name.split_whitespace() {
            let cut;
            let ids = match self.words.get(word) {
                Some(ids) => ids,
                None => {
                    cut = self.tokenizer.encode(word)?;
                    &cut
                }
            };
            pieces.extend(ids.iter().map(|id| self.forms.get(id).cloned().unwrap_or_else(|| vec![*id])));
        }
        let special = self.tokenizer.special();
        let is_special =
            |id: &u32| [special.pad, special.unk, special.cls, special.sep, special.mask].contains(id);
        let problem = match pieces.iter().flatten().find(|id| is_special(id)) {
            Some(id) => format!("would need {}", self.tokenizer.token(*id).unwrap_or("a special token")),
            None if pieces.is_empty() => "has no words".to_owned(),
            None => return Ok(Constraint { pieces }),
        };
        let hint = "rename the class to words that the vocabulary can spell, or leave it out";
        Err(Error::Constraint { constraint: format!("`{name}`"), problem, hint })
    }
}
