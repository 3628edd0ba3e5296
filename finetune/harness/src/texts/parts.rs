//! What samples are made of, for tasks that put it together in their own way.

use data_specs::{RowId, SpecialIds};

use super::Texts;
use crate::Result;

impl Texts {
    /// Tokens of a text, without `[CLS]` and `[SEP]`.
    pub fn words(&self, at: RowId) -> &[u32] {
        let (section, record) = self.record(at);
        &section.ids[record.a.start as usize..record.a.end as usize]
    }

    /// Tokens of the tags beside it (beside the left picture where each has its own).
    pub fn tags(&self, at: RowId) -> &[u32] {
        let (section, record) = self.record(at);
        &section.ids[record.b[0].start as usize..record.b[0].end as usize]
    }

    /// The row of its shard that a text stands in.
    pub fn row(&self, at: RowId) -> u32 {
        self.record(at).1.row
    }

    /// The tokens that are no words.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// Appends the vectors of the first picture beside a text, no more regions than the layout allows; their number.
    ///
    /// # Errors
    /// A failed read, with file and row.
    pub fn append_regions(&self, at: RowId, into: &mut Vec<f32>) -> Result<usize> {
        let shard = &self.shards[at.shard as usize];
        let reader = shard.data.shard(shard.number)?;
        let first = into.len();
        self.regions(shard, &reader, self.row(at) as usize, 0, into)?;
        Ok((into.len() - first) / self.config.img_feature_dim)
    }
}
