//! Which wrong partner a caption is shown with: a pure function of seed, step and place in the batch.

use pretrain_training::{Generator, Stream};

use crate::gallery::Gallery;
use crate::similarity::Similarity;

/// A wrong pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Negative {
    pub(crate) picture: u32,
    pub(crate) caption: u32,
}

/// How negatives are drawn.
#[derive(Debug)]
pub(crate) struct Negatives {
    pub(crate) seed: u64,
    /// Other pictures that are drawn, of which the most similar one is taken.
    pub(crate) n_drawn: u32,
    /// What is similar; none where one picture is drawn.
    pub(crate) similarity: Option<Similarity>,
}

/// Draws of a sample: side, caption, and pictures.
const DRAWS: u64 = 8192;

impl Negatives {
    /// Another picture; half of the time one of its captions beside the own picture, half of the time it beside the own
    /// caption. As published, but for `n_drawn` above 1.
    pub(crate) fn of(&self, gallery: &Gallery, caption: u32, step: u32, place: u32) -> Negative {
        let generator = Generator::new(self.seed, Stream::Negatives, step);
        let first = u64::from(place) * DRAWS;
        let own = gallery.picture_of(caption);
        let mut drawn = (0..u64::from(self.n_drawn)).map(|number| {
            let other = generator.below(first + 2 + number, gallery.n_pictures() as u64 - 1) as u32;
            other + u32::from(other >= own)
        });
        let other = match &self.similarity {
            None => drawn.next(),
            // of equally similar ones the first
            Some(similarity) => drawn
                .map(|other| (similarity.of_pictures(own, other), other))
                .reduce(|best, next| if next.0 > best.0 { next } else { best })
                .map(|(_, other)| other),
        };
        let other = other.expect("at least one is drawn");
        if generator.unit(first) < 0.5 {
            let captions = gallery.captions_of(other);
            let number = generator.below(first + 1, captions.len() as u64) as u32;
            Negative { picture: own, caption: captions.start + number }
        } else {
            Negative { picture: other, caption }
        }
    }
}
