/// One sample as the network sees it, with what is asked of it.
///
/// ```text
/// [CLS] a [SEP] b [SEP]   tokens, t of them; without b: [CLS] a [SEP]
/// region ... region       regions, r of them
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Ids, where some tokens are hidden already. \[t\]
    pub token_ids: Vec<u32>,
    /// 0 for `[CLS] a [SEP]`, 1 for `b [SEP]`. \[t\]
    pub segment_ids: Vec<u32>,
    /// What the hidden tokens were; -1 where nothing is asked. \[t\]
    pub token_labels: Vec<i64>,
    /// 0 where words, tags and regions belong together, otherwise what was exchanged; -1 where nothing is asked.
    pub contrastive_label: i64,
    /// Vectors of the regions, each D numbers and the six of its place. \[r, D + 6\]
    pub regions: Vec<f32>,
    /// r
    pub n_regions: usize,
    /// The sample's place in the batch of all ranks, which dropout's draws depend on.
    pub place: u32,
}
