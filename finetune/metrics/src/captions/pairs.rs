//! References and candidates, joined by image.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::ptb;
use crate::{
    Error,
    layouts::{Candidates, Id, References},
};

/// An image, its references and its candidate.
#[derive(Debug, Clone, Default)]
pub struct Pair<'a> {
    /// The image's id.
    pub id: Id<'a>,
    /// Its reference captions.
    pub references: Vec<Cow<'a, str>>,
    /// The caption to be scored.
    pub candidate: Cow<'a, str>,
    /// NoCaps: the image's domain.
    pub domain: Option<Cow<'a, str>>,
}

/// Joins candidates and references, in the order of the references.
///
/// Images without a candidate are left out, as the official example does. A candidate without references
/// is an error there and here.
pub fn pair<'a>(references: &References<'a>, candidates: &Candidates<'a>) -> Result<Vec<Pair<'a>>, Error> {
    let mut waiting: FxHashMap<&Id<'_>, &Cow<'a, str>> =
        candidates.captions.iter().map(|(id, caption)| (id, caption)).collect();
    let mut pairs = Vec::with_capacity(waiting.len());
    for image in &references.images {
        let Some(candidate) = waiting.remove(&image.id) else { continue };
        if image.captions.is_empty() {
            return Err(Error::MissingId {
                path: references.path.to_owned(),
                id: image.id.to_string(),
                hint: "an image needs at least one reference caption",
            });
        }
        pairs.push(Pair {
            id: image.id.clone(),
            references: image.captions.clone(),
            candidate: candidate.clone(),
            domain: image.domain.clone(),
        });
    }
    match candidates.captions.iter().find(|(id, _)| waiting.contains_key(id)) {
        Some((id, _)) => Err(Error::SurplusId {
            path: candidates.path.to_owned(),
            id: id.to_string(),
            other: "the references",
        }),
        None if pairs.is_empty() => {
            let problem = "holds no captions".to_owned();
            Err(Error::Content { path: candidates.path.to_owned(), problem })
        }
        None => Ok(pairs),
    }
}

impl Pair<'_> {
    /// The Penn Treebank tokens of all captions. Order matters: see [`ptb::tokenize_all`].
    pub fn tokenize(pairs: &[Self]) -> PairTokens {
        let references: Vec<&str> =
            pairs.iter().flat_map(|pair| pair.references.iter().map(|caption| &**caption)).collect();
        let candidates: Vec<&str> = pairs.iter().map(|pair| &*pair.candidate).collect();
        PairTokens { references: ptb::tokenize_all(&references), candidates: ptb::tokenize_all(&candidates) }
    }
}

/// The tokens of the captions of pairs.
#[derive(Debug)]
pub struct PairTokens {
    references: ptb::Tokens,
    candidates: ptb::Tokens,
}

impl PairTokens {
    /// The pairs that were tokenized, with tokens instead of text.
    pub fn pairs<'a>(&'a self, pairs: &'a [Pair<'_>]) -> Vec<Pair<'a>> {
        let mut references = self.references.iter().map(Cow::Borrowed);
        let own = |(pair, candidate): (&'a Pair<'_>, &'a str)| Pair {
            id: pair.id.clone(),
            references: references.by_ref().take(pair.references.len()).collect(),
            candidate: candidate.into(),
            domain: pair.domain.clone(),
        };
        pairs.iter().zip(self.candidates.iter()).map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::ReferenceImage;

    fn references() -> References<'static> {
        let image = |id: i64, captions: &[&'static str]| ReferenceImage {
            id: id.into(),
            captions: captions.iter().map(|&caption| caption.into()).collect(),
            domain: None,
        };
        let images = vec![image(1, &["A dog."]), image(2, &[]), image(3, &["Cats", "Two cats!"])];
        References { images, unlisted_captions: 0, path: "R.json".as_ref() }
    }

    fn candidates(ids: &[i64]) -> Candidates<'static> {
        let captions = ids.iter().map(|&id| (id.into(), "A cat.".into())).collect();
        Candidates { captions, path: "C.json".as_ref() }
    }

    #[test]
    fn ids_must_fit() {
        let pairs = pair(&references(), &candidates(&[3, 1])).expect("a subset is fine");
        assert_eq!(pairs.iter().map(|pair| pair.id.to_string()).collect::<Vec<_>>(), ["1", "3"]);
        for (ids, part) in [
            (&[1, 4][..], "C.json: id 4 is not in the references"),
            (&[2], "R.json: no entry for id 2"),
            (&[], "C.json: holds no captions"),
        ] {
            let message = pair(&references(), &candidates(ids)).expect_err(part).to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn tokens_stay_with_their_image() {
        let pairs = pair(&references(), &candidates(&[3, 1])).expect("a subset is fine");
        let tokens = Pair::tokenize(&pairs);
        let tokens = tokens.pairs(&pairs);
        assert_eq!(
            (&*tokens[0].candidate, tokens[0].references.as_slice()),
            ("a cat", &["a dog".into()][..])
        );
        assert_eq!(tokens[1].references, ["cats", "two cats"]);
    }
}
