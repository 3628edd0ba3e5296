//! The list of tokens that ids count through, and the files that hold it.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer as Library};

use crate::{Error, durable};

/// BERT's special tokens, in the order in which a trained vocabulary begins.
pub(super) const SPECIAL_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Marks a piece that does not begin a word.
pub(super) const CONTINUATION: &str = "##";

/// Words of more characters become `[UNK]`.
pub(super) const LONGEST_WORD: usize = 100;

/// What a file of this kind may weigh. BERT's own vocabularies weigh 0.2 to 1 MB, their tokenizer.json 0.5 to
/// 3 MB.
const MOST_BYTES: u64 = 256 << 20;

/// A WordPiece vocabulary: tokens in the order of their ids, no two alike, with BERT's five special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    tokens: Vec<String>,
}

/// Ids of BERT's special tokens in a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// `[PAD]` fills a sequence up.
    pub pad: u32,
    /// `[UNK]` stands for a word that has no pieces.
    pub unk: u32,
    /// `[CLS]` begins a sequence.
    pub cls: u32,
    /// `[SEP]` ends each of its parts.
    pub sep: u32,
    /// `[MASK]` hides a token that is to be guessed.
    pub mask: u32,
}

impl Vocabulary {
    /// Reads a `vocab.txt`: UTF-8, one token a line, the line number from 0 is the id.
    ///
    /// A byte order mark and carriage returns at line ends are dropped. Empty lines and doubled tokens are
    /// errors: readers differ in the ids that they would give to the rest.
    pub fn read(path: &Path) -> Result<Vocabulary, Error> {
        let bytes = read_limited(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            refused(path, format!("line {line} is not UTF-8"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(refused(path, "it is empty; a vocabulary has one token a line".to_owned()));
        }
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned());
        Vocabulary::from_tokens(lines.collect()).map_err(|what| refused(path, what))
    }

    /// Checks that ids and tokens stand for each other; the error says what is wrong with `tokens`.
    pub(super) fn from_tokens(tokens: Vec<String>) -> Result<Vocabulary, String> {
        let mut first: HashMap<&str, usize> = HashMap::with_capacity(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            let line = index + 1;
            if token.is_empty() {
                return Err(format!("line {line} is empty; every line is a token"));
            }
            if let Some(before) = first.insert(token, line) {
                return Err(format!("lines {before} and {line} are the same token `{token}`"));
            }
        }
        if let Some(missing) = SPECIAL_TOKENS.iter().find(|token| !first.contains_key(**token)) {
            return Err(format!("there is no {missing} among its {} tokens", tokens.len()));
        }
        if u32::try_from(tokens.len()).is_err() {
            return Err(format!("{} tokens are more than ids can count", tokens.len()));
        }
        Ok(Vocabulary { tokens })
    }

    /// Tokens in the order of their ids.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> SpecialIds {
        let [pad, unk, cls, sep, mask] = SPECIAL_TOKENS.map(|special| {
            let id = self.tokens.iter().position(|token| token == special);
            id.and_then(|id| u32::try_from(id).ok())
                .expect("`from_tokens` has found it and counted the tokens")
        });
        SpecialIds { pad, unk, cls, sep, mask }
    }

    /// Writes `vocab.txt` and the `tokenizer.json` of an uncased tokenizer into `folder`, each of them whole or not at all.
    ///
    /// The second is for other programs: it carries the lower-casing, the splitting and the `[CLS]`/`[SEP]`
    /// frame that go without saying here. The bytes depend on the tokens only. If only one of the two files
    /// of an older vocabulary was replaced, [`Tokenizer::open`](super::Tokenizer::open) finds them to disagree.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let json_path = folder.join("tokenizer.json");
        let json = self
            .library()
            .and_then(|library| library.to_string(true))
            .map_err(|error| refused(&json_path, error.to_string()))?;
        durable::write_durably(&json_path, json.as_bytes(), "tokenizer")?;
        self.write_list(folder)
    }

    /// Writes `vocab.txt` alone.
    pub(super) fn write_list(&self, folder: &Path) -> Result<(), Error> {
        let mut text = String::with_capacity(self.tokens.iter().map(|token| token.len() + 1).sum());
        for token in &self.tokens {
            text.push_str(token);
            text.push('\n');
        }
        durable::write_durably(&folder.join("vocab.txt"), text.as_bytes(), "tokenizer")
    }

    /// The uncased BERT tokenizer of these tokens.
    pub(super) fn library(&self) -> tokenizers::Result<Library> {
        // An empty map of the library's own type, which it does not export.
        let mut vocab = WordPiece::read_bytes(&[])?;
        vocab.extend(self.tokens.iter().cloned().zip(0..));
        let special = self.special();
        let frame = BertProcessing::new(("[SEP]".to_owned(), special.sep), ("[CLS]".to_owned(), special.cls));
        let model = WordPiece::builder()
            .vocab(vocab)
            .unk_token("[UNK]".to_owned())
            .continuing_subword_prefix(CONTINUATION.to_owned())
            .max_input_chars_per_word(LONGEST_WORD)
            .build()?;
        let mut library = Library::new(model);
        library
            .with_normalizer(Some(uncased()))?
            .with_pre_tokenizer(Some(BertPreTokenizer))
            .with_post_processor(Some(frame))
            .with_decoder(Some(WordPieceDecoder::default()));
        library.add_special_tokens(SPECIAL_TOKENS.map(|token| AddedToken::from(token, true)))?;
        Ok(library)
    }
}

/// Clean text, set CJK characters apart, strip accents (NFD, then drop Mn), lower-case.
pub(super) fn uncased() -> BertNormalizer {
    BertNormalizer::new(true, true, Some(true), true)
}

pub(super) fn refused(path: &Path, what: String) -> Error {
    Error::Tokenizer { path: path.to_path_buf(), what }
}

/// The bytes of a file, unless it is far larger than any vocabulary.
pub(super) fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MOST_BYTES {
        return Err(refused(path, format!("{size} bytes are too many for a vocabulary")));
    }
    std::fs::read(path).map_err(Error::io("read", path))
}
