//! What a caption's words look at in a picture.

use finetune_harness::{Attention, Explained, Result};

use crate::commands::{Asked, Found, Predict, Progress, partners};
use crate::settings::Direction;

impl Predict {
    /// What the words of each caption look at in the picture: of every query beside its best partner.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn explain(&self, direction: Direction, progress: Progress<'_>) -> Result<Vec<Explained>> {
        let asked = Asked::open(&self.selection)?;
        let Asked { matcher, gallery, layout, tokenizer, .. } = &asked;
        let Found { queries, pairs, scores } = self.find(&asked, direction, progress)?;
        let explained = queries.iter().filter_map(|query| {
            let (partner, confidence) = *partners(gallery, &pairs, &scores, *query, direction).first()?;
            let (picture, caption) = match direction {
                Direction::Texts => (*query, partner),
                Direction::Images => (partner, *query),
            };
            Some((picture, caption, confidence))
        });
        let explained = explained.map(|(picture, caption, confidence)| {
            let example = gallery.example(picture, caption, layout, 0)?;
            let batch = matcher.batch(std::slice::from_ref(&example))?;
            let regions = (0..example.n_regions).map(|region| (0, region)).collect();
            let place = gallery.place(caption)?;
            Ok(Explained {
                title: format!(
                    "{} with {} ({:.1} %)",
                    place.text().text,
                    gallery.key(picture)?,
                    100.0 * confidence
                ),
                sample: gallery.whole(picture)?,
                sequences: vec![Attention::of(&matcher.encoder, &batch, &example, regions, tokenizer)?],
            })
        });
        explained.collect()
    }
}
