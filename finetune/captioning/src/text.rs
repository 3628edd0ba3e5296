//! Captions as text.

use data_specs::{Tokenizer, clean_up};

use crate::{Result, decoding::Caption};

/// The text of a caption as the published scores were taken on it: special tokens left out, pieces joined, then the published
/// clean-up, which among others writes ` do not` as ` don't`.
pub fn caption_text(tokenizer: &Tokenizer, caption: &Caption) -> Result<String> {
    Ok(clean_up(&tokenizer.decode(caption.words())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_special_tokens_and_the_clean_up() {
        let file = tempfile::NamedTempFile::with_suffix(".txt").unwrap();
        let tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] surf ##board we do not \" ' s . dogs";
        std::fs::write(file.path(), tokens.replace(' ', "\n")).unwrap();
        let tokenizer = Tokenizer::open(file.path()).unwrap();
        // we do not surfboard dogs ' s [PAD] . and what stands in the place of [SEP]
        let caption = Caption { tokens: vec![7, 8, 9, 5, 6, 14, 11, 12, 0, 13, 5], score: -1.0 };
        assert_eq!(caption_text(&tokenizer, &caption).unwrap(), "we don't surfboard dogs's.");
        assert!(caption_text(&tokenizer, &Caption { tokens: vec![99, 3], score: 0.0 }).is_err());
        assert_eq!(caption_text(&tokenizer, &Caption { tokens: vec![3], score: 0.0 }).unwrap(), "");
    }
}
