//! `[CLS] caption [SEP] tags [SEP]`, as published for retrieval.

use data_specs::SpecialIds;

/// Tokens and segments of a caption beside tags, in at most `max_tokens`: the caption takes what it needs, the tags what is
/// left. Where the caption leaves no room for the second `[SEP]`, there are no tags (the published code gets a negative
/// bound there, and more tokens than fit).
pub(crate) fn lay_out(
    words: &[u32],
    tags: &[u32],
    special: SpecialIds,
    max_tokens: usize,
) -> (Vec<u32>, Vec<u32>) {
    let mut token_ids = caption(words, special, max_tokens);
    let n_caption = token_ids.len();
    token_ids.extend(labels(tags, n_caption, special, max_tokens));
    let segment_ids = (0..token_ids.len()).map(|place| u32::from(place >= n_caption)).collect();
    (token_ids, segment_ids)
}

/// `[CLS] caption [SEP]`
pub(crate) fn caption(words: &[u32], special: SpecialIds, max_tokens: usize) -> Vec<u32> {
    let words = &words[..words.len().min(max_tokens - 2)];
    [special.cls].iter().chain(words).chain(&[special.sep]).copied().collect()
}

/// `tags [SEP]` behind a caption part of `n_caption` tokens; nothing where there are no tags, or no room.
pub(crate) fn labels(tags: &[u32], n_caption: usize, special: SpecialIds, max_tokens: usize) -> Vec<u32> {
    match max_tokens.checked_sub(n_caption + 1) {
        Some(room) if !tags.is_empty() => {
            tags[..tags.len().min(room)].iter().chain(&[special.sep]).copied().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caption_takes_what_it_needs() {
        let special = SpecialIds { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };
        let laid = |n_words: u32, n_tags: u32| {
            let words: Vec<u32> = (100..100 + n_words).collect();
            let tags: Vec<u32> = (200..200 + n_tags).collect();
            lay_out(&words, &tags, special, 10)
        };
        let (tokens, segments) = laid(3, 2);
        assert_eq!(tokens, [2, 100, 101, 102, 3, 200, 201, 3]);
        assert_eq!(segments, [0, 0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(laid(3, 9).0, [2, 100, 101, 102, 3, 200, 201, 202, 203, 3]);
        assert_eq!(laid(7, 9).0[8..], [3, 3], "room for [SEP] alone");
        // no room: the published slice would have a bound of -1 here
        assert_eq!(laid(8, 9), (laid(8, 0).0, vec![0; 10]));
        assert_eq!(laid(50, 9).0.len(), 10);
        assert_eq!(laid(2, 0).0, [2, 100, 101, 3], "no tags, no second [SEP]");
    }
}
