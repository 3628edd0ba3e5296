//! Text to WordPiece ids and back, as BERT (uncased) does it.

mod train;
mod vocabulary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::{AddedToken, Model, ModelWrapper, Tokenizer as Library};

pub use self::train::{VocabularyOptions, WordCounts};
use self::vocabulary::{SPECIAL_TOKENS, read_limited, refused};
pub use self::vocabulary::{SpecialIds, Vocabulary};
use crate::{Error, durable};

/// The tokenizer of a model folder.
///
/// Text loses control characters, gets blanks around CJK characters, is decomposed (NFD), loses its accents
/// (Mn) and capitals, is split at blanks and at each punctuation mark, and each word becomes the longest pieces
/// that the vocabulary has, from left to right; a word without pieces or of more than 100 characters is
/// `[UNK]`. Special tokens written out in the text, in capitals, stand for themselves.
///
/// Ids come bare: the caller lays out `[CLS] a [SEP] b [SEP]` and its truncation, which differ by task.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    library: Library,
    vocabulary: Vocabulary,
    special: SpecialIds,
    /// The `tokenizer.json` that was read, if one was.
    source: Option<Vec<u8>>,
    /// Named in errors.
    path: PathBuf,
}

impl Tokenizer {
    /// Opens a model folder, a `tokenizer.json`, or a vocabulary file with one token a line.
    ///
    /// In a folder `tokenizer.json` wins over `vocab.txt`; if both are there, their vocabularies must agree. A
    /// `vocab.txt` alone says nothing about capitals and is read as an uncased one. Truncation and padding
    /// stated in a `tokenizer.json` are not applied.
    pub fn open(path: &Path) -> Result<Tokenizer, Error> {
        if !path.is_dir() {
            let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            return if is_json { Tokenizer::read_json(path) } else { Tokenizer::read_vocabulary(path) };
        }
        let (json, list) = (path.join("tokenizer.json"), path.join("vocab.txt"));
        match (json.is_file(), list.is_file()) {
            (true, true) => {
                let tokenizer = Tokenizer::read_json(&json)?;
                tokenizer.agree_with(&list)?;
                Ok(tokenizer)
            }
            (true, false) => Tokenizer::read_json(&json),
            (false, true) => Tokenizer::read_vocabulary(&list),
            (false, false) => {
                Err(refused(path, "the folder holds neither tokenizer.json nor vocab.txt".to_owned()))
            }
        }
    }

    /// The uncased tokenizer of a vocabulary; `path` is named in errors.
    pub fn from_vocabulary(vocabulary: Vocabulary, path: &Path) -> Result<Tokenizer, Error> {
        let library = vocabulary.library().map_err(|error| refused(path, error.to_string()))?;
        let special = vocabulary.special();
        Ok(Tokenizer { library, vocabulary, special, source: None, path: path.to_path_buf() })
    }

    /// Ids of `text`, without `[CLS]` and `[SEP]`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding = self.library.encode_fast(text, false);
        encoding.map(|encoding| encoding.get_ids().to_vec()).map_err(|error| {
            refused(&self.path, format!("cannot encode a text of {} bytes: {error}", text.len()))
        })
    }

    /// Ids of many texts, in their order, on all threads of the current rayon pool.
    pub fn encode_batch<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>, Error> {
        texts.par_iter().with_min_len(16).map(|text| self.encode(text.as_ref())).collect()
    }

    /// The text of `ids`: special tokens left out, pieces joined, words separated by one blank.
    ///
    /// Punctuation stays apart, as it was split; [`clean_up`] puts it back.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        let mut text = String::new();
        for &id in ids {
            let token = self.token(id).ok_or_else(|| {
                refused(&self.path, format!("no token has the id {id}; ids end at {}", self.len() - 1))
            })?;
            if SPECIAL_TOKENS.contains(&token) {
                continue;
            }
            match token.strip_prefix(vocabulary::CONTINUATION) {
                Some(piece) if !text.is_empty() => text.push_str(piece),
                _ => {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(token);
                }
            }
        }
        Ok(text)
    }

    /// The token that `id` stands for.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.tokens().get(id as usize).map(String::as_str)
    }

    /// Size of the vocabulary: ids are below it.
    pub fn len(&self) -> usize {
        self.vocabulary.tokens().len()
    }

    /// Never: the special tokens are always there.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.tokens().is_empty()
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// All tokens in the order of their ids.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Writes `tokenizer.json` and `vocab.txt` into `folder`, for a model that goes with this tokenizer. A
    /// `tokenizer.json` that was read is written as it was.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        match &self.source {
            None => self.vocabulary.write(folder),
            Some(json) => {
                durable::write_durably(&folder.join("tokenizer.json"), json, "tokenizer")?;
                self.vocabulary.write_list(folder)
            }
        }
    }

    fn read_vocabulary(path: &Path) -> Result<Tokenizer, Error> {
        Tokenizer::from_vocabulary(Vocabulary::read(path)?, path)
    }

    fn read_json(path: &Path) -> Result<Tokenizer, Error> {
        let bytes = read_limited(path)?;
        let refuse = |what: String| refused(path, what);
        let (mut library, declared) = parse(&bytes).map_err(refuse)?;
        let ModelWrapper::WordPiece(model) = library.get_model() else {
            return Err(refuse("its model is not WordPiece, the only one that BERT knows".to_owned()));
        };
        if model.token_to_id(&model.unk_token).is_none() {
            return Err(refuse(format!("its unknown token `{}` has no id", model.unk_token)));
        }
        // A file may leave its special tokens undeclared; written out in a text they stand for themselves all
        // the same, as with a vocab.txt.
        let undeclared: Vec<AddedToken> = SPECIAL_TOKENS
            .iter()
            .filter(|token| !library.get_added_vocabulary().get_vocab().contains_key(**token))
            .filter(|token| library.token_to_id(token).is_some())
            .map(|token| AddedToken::from(*token, true))
            .collect();
        library.add_special_tokens(undeclared).map_err(|error| refuse(error.to_string()))?;

        // The library gives an added token the id that its vocabulary says and only logs that the file says
        // another.
        for Declared { id, content } in declared {
            match library.token_to_id(&content) {
                Some(found) if found != id => {
                    return Err(refuse(format!("token `{content}` is added as {id}, but its id is {found}")));
                }
                _ => {}
            }
        }
        let tokens = in_order_of_ids(library.get_vocab(true)).map_err(refuse)?;
        let vocabulary = Vocabulary::from_tokens(tokens).map_err(refuse)?;
        let special = vocabulary.special();
        Ok(Tokenizer { library, vocabulary, special, source: Some(bytes), path: path.to_path_buf() })
    }

    /// Compares with the `vocab.txt` beside the `tokenizer.json`. Tokens that the latter adds behind the
    /// vocabulary of its model are in no `vocab.txt`.
    fn agree_with(&self, list: &Path) -> Result<(), Error> {
        let listed = Vocabulary::read(list)?;
        let (ours, theirs) = (self.vocabulary.tokens(), listed.tokens());
        let line = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
        let n_model = self.library.get_vocab_size(false);
        let what = match line {
            Some(id) => {
                format!("token {id} is `{}` here and `{}` in tokenizer.json", theirs[id], ours[id])
            }
            None if theirs.len() < n_model || theirs.len() > ours.len() => {
                format!("{} tokens here and {n_model} in tokenizer.json", theirs.len())
            }
            None => return Ok(()),
        };
        Err(refused(list, format!("{what}; remove the file that does not belong to the model")))
    }
}

/// The published clean-up of generated text, in its order. Caption scores depend on it.
pub fn clean_up(text: &str) -> String {
    const REPLACEMENTS: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    REPLACEMENTS.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// An added token as the file states it.
#[derive(Deserialize)]
struct Declared {
    id: u32,
    content: String,
}

/// Reads a `tokenizer.json`.
///
/// The library panics on some files that are not what it expects: on broken JSON within `decoder`, and on a
/// `Precompiled` normalizer with damaged contents. So JSON is parsed here first, the parts that are not used
/// are left out, and SentencePiece's normalizer, which no BERT has, is refused.
fn parse(bytes: &[u8]) -> Result<(Library, Vec<Declared>), String> {
    let mut json: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let object = json.as_object_mut().ok_or("it is not a JSON object")?;
    for unused in ["decoder", "post_processor", "truncation", "padding"] {
        object.remove(unused);
    }
    if object.get("normalizer").is_some_and(is_precompiled) {
        return Err("its normalizer is SentencePiece's, which BERT does not know".to_owned());
    }
    let declared = match object.get("added_tokens") {
        Some(tokens) => Vec::deserialize(tokens).map_err(|error| format!("added_tokens: {error}"))?,
        None => Vec::new(),
    };
    let library = Library::from_bytes(json.to_string()).map_err(|error| error.to_string())?;
    Ok((library, declared))
}

/// Whether `Precompiled` is anywhere in a normalizer. Recursion ends: serde_json refuses depths beyond 128.
fn is_precompiled(normalizer: &Value) -> bool {
    match normalizer {
        Value::String(name) => name == "Precompiled",
        Value::Array(parts) => parts.iter().any(is_precompiled),
        Value::Object(fields) => {
            fields.contains_key("precompiled_charsmap") || fields.values().any(is_precompiled)
        }
        _ => false,
    }
}

/// The tokens of ids 0, 1, 2, ...; an id that is missing or given twice is an error.
fn in_order_of_ids(ids: HashMap<String, u32>) -> Result<Vec<String>, String> {
    let mut tokens: Vec<(u32, String)> = ids.into_iter().map(|(token, id)| (id, token)).collect();
    tokens.sort_unstable();
    for (expected, (id, token)) in (0_u32..).zip(&tokens) {
        if *id != expected {
            let what = if *id < expected { "is given twice" } else { "is the next after a gap" };
            return Err(format!("ids must run from 0 without gaps: {id}, `{token}`, {what}"));
        }
    }
    Ok(tokens.into_iter().map(|(_, token)| token).collect())
}

#[cfg(test)]
mod tests;
