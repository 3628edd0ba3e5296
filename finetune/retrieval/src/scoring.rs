//! Scores of pairs, in blocks with nothing computed twice that a pair does not need for itself.
//!
//! The network reads caption, tags and regions jointly, so its layers are computed pair by pair. What stands before them is
//! not: a picture's regions are read and projected once in a block; a caption's tokens are embedded once in a block; a
//! picture's tags once for every length of the captions before them, which is what their positions depend on. Behind
//! the last layer's attention only `[CLS]` is computed. Pairs are taken by the lengths of their captions, without padding.
//!
//! Memory beyond the scores (8 bytes a pair): a block has 64 pictures, whose embedded rows and tags are (70 + 70) 4h bytes
//! each, 28 MB at h = 768; 256 captions, 12 MB; 24 bytes for each of its pairs; the activations of `micro` pairs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor};
use finetune_harness::Result;
use pretrain::model::Joined;
use pretrain_comm::Collective;

use crate::gallery::Gallery;
use crate::layout;
use crate::matcher::{Matcher, part, probabilities};
use crate::pairs::Pairs;
use crate::settings::Sight;

/// What scores pairs.
pub(crate) struct Scorer<'a> {
    /// Over tensors that remember nothing.
    pub(crate) matcher: &'a Matcher,
    pub(crate) gallery: &'a Gallery,
    pub(crate) max_tokens: usize,
    /// Whether tags stand beside captions.
    pub(crate) tags: bool,
    /// Pairs that are computed at once.
    pub(crate) micro: usize,
}

/// Pictures of a block.
const PICTURES: usize = 64;
/// Captions whose embedded tokens are kept at a time.
const CAPTIONS: usize = 256;

/// A pair that is to be scored.
#[derive(Debug, Clone, Copy)]
struct Job {
    number: usize,
    caption: u32,
    /// In the block.
    picture: u32,
    /// Tokens of the caption, `[CLS]` and `[SEP]` counted.
    length: u32,
}

/// What stands before the layers, row by row. Keys of `tags` are lengths of captions; each has a part for every picture.
struct Block {
    regions: Vec<Vec<f32>>,
    tags: BTreeMap<u32, Vec<Vec<f32>>>,
    captions: BTreeMap<u32, Vec<f32>>,
}

impl Scorer<'_> {
    /// Probabilities that picture and caption belong together, pair by pair; the ranks share the blocks, and all get all.
    /// `progress` is told how many pairs this rank has scored.
    pub(crate) fn score(
        &self,
        pairs: &Pairs,
        ranks: &dyn Collective,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<f64>> {
        let done = AtomicU64::new(0);
        let mut scores = vec![0.0; pairs.len()];
        let pictures: Vec<u32> =
            (0..pairs.n_pictures() as u32).filter(|picture| pairs.of(*picture).next().is_some()).collect();
        for block in pictures.chunks(PICTURES).skip(ranks.rank()).step_by(ranks.world()) {
            self.block(block, pairs, &mut |job, score| scores[job.number] = score, &|n| {
                progress(done.fetch_add(n, Ordering::Relaxed) + n);
            })?;
        }
        if ranks.world() > 1 {
            ranks.all_reduce_sum_f64(&mut scores)?;
        }
        Ok(scores)
    }

    fn block(
        &self,
        pictures: &[u32],
        pairs: &Pairs,
        found: &mut dyn FnMut(&Job, f64),
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let special = self.gallery.special();
        let length = |caption: u32| self.gallery.words(caption).len().min(self.max_tokens - 2) as u32 + 2;
        let mut jobs: Vec<Job> = Vec::new();
        for (place, picture) in (0..).zip(pictures) {
            let of_picture = pairs.of(*picture);
            jobs.extend(of_picture.map(|(number, caption)| Job {
                number,
                caption,
                picture: place,
                length: length(caption),
            }));
        }
        jobs.sort_unstable_by_key(|job| (job.length, job.caption, job.picture));

        let mut block =
            Block { regions: self.regions(pictures)?, tags: BTreeMap::new(), captions: BTreeMap::new() };
        let mut rest = jobs.as_slice();
        while let Some(first) = rest.first() {
            // the jobs of the next captions
            let (mut n_captions, mut last) = (1, first.caption);
            let end = rest.iter().position(|job| {
                n_captions += usize::from(job.caption != last);
                last = job.caption;
                n_captions > CAPTIONS
            });
            let (now, later) = rest.split_at(end.unwrap_or(rest.len()));
            rest = later;
            block.captions = self.captions(now)?;
            block.tags.retain(|length, _| *length >= first.length);
            for job in now {
                if let Entry::Vacant(vacant) = block.tags.entry(job.length) {
                    let tags = pictures.iter().map(|picture| {
                        let tags: &[u32] = if self.tags { self.gallery.tags(*picture) } else { &[] };
                        layout::labels(tags, job.length as usize, special, self.max_tokens)
                    });
                    vacant.insert(self.embed(tags.collect(), job.length, 1)?);
                }
            }
            for micro in now.chunks(self.micro) {
                for (job, score) in micro.iter().zip(self.micro_batch(&block, micro)?) {
                    found(job, score);
                }
                progress(micro.len() as u64);
            }
        }
        Ok(())
    }

    fn micro_batch(&self, block: &Block, jobs: &[Job]) -> Result<Vec<f64>> {
        let h = self.matcher.width();
        let parts: Vec<[&[f32]; 3]> = jobs
            .iter()
            .map(|job| {
                let picture = job.picture as usize;
                let tags = &block.tags[&job.length][picture];
                [&block.captions[&job.caption][..], tags, &block.regions[picture]]
            })
            .collect();
        let lengths: Vec<usize> =
            parts.iter().map(|parts| parts.iter().map(|part| part.len()).sum::<usize>() / h).collect();
        let n_rows: usize = lengths.iter().sum();
        let mut rows = Vec::with_capacity(n_rows * h);
        parts.iter().flatten().for_each(|part| rows.extend_from_slice(part));
        let mut joined = Joined::new(&lengths);
        let sight = self.matcher.sight;
        if sight != Sight::Clr {
            let ends =
                |[caption, tags, _]: &[&[f32]; 3]| [caption.len() / h, (caption.len() + tags.len()) / h];
            let ends: Vec<[usize; 2]> = parts.iter().map(ends).collect();
            joined = joined.seeing(&|sample, query, key| {
                sight.sees(part(ends[sample], query), part(ends[sample], key))
            })?;
        }
        let x_th = Tensor::from_vec(rows, (n_rows, h), self.matcher.device())?;
        probabilities(&self.matcher.classify(&self.matcher.encoder.pool_joined(&x_th, &joined)?)?)
    }

    /// Embedded regions of each picture.
    fn regions(&self, pictures: &[u32]) -> Result<Vec<Vec<f32>>> {
        let (mut regions, mut counts) = (Vec::new(), Vec::new());
        for picture in pictures {
            counts.push(self.gallery.append_regions(*picture, &mut regions)?);
        }
        let n: usize = counts.iter().sum();
        if n == 0 {
            return Ok(vec![Vec::new(); pictures.len()]);
        }
        let regions_rd = Tensor::from_vec(regions, (n, self.matcher.region_width()), &Device::Cpu)?;
        let rows = self.matcher.encoder.embed_regions(&regions_rd)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(cut(&rows, &counts, self.matcher.width()))
    }

    /// Embedded captions of jobs.
    fn captions(&self, jobs: &[Job]) -> Result<BTreeMap<u32, Vec<f32>>> {
        let mut captions: Vec<u32> = jobs.iter().map(|job| job.caption).collect();
        captions.dedup();
        let special = self.gallery.special();
        let laid = captions
            .iter()
            .map(|caption| layout::caption(self.gallery.words(*caption), special, self.max_tokens));
        let rows = self.embed(laid.collect(), 0, 0)?;
        Ok(captions.into_iter().zip(rows).collect())
    }

    /// Embedded texts, whose first tokens stand at `position`.
    fn embed(&self, texts: Vec<Vec<u32>>, position: u32, segment: u32) -> Result<Vec<Vec<f32>>> {
        let counts: Vec<usize> = texts.iter().map(Vec::len).collect();
        let ids = texts.concat();
        if ids.is_empty() {
            return Ok(vec![Vec::new(); texts.len()]);
        }
        let positions: Vec<u32> =
            counts.iter().flat_map(|count| position..position + *count as u32).collect();
        let rows_nh = self.matcher.encoder.embed_tokens(&ids, &positions, &vec![segment; ids.len()])?;
        Ok(cut(&rows_nh.flatten_all()?.to_vec1::<f32>()?, &counts, self.matcher.width()))
    }
}

/// Rows of `width` numbers, so many for each.
fn cut(rows: &[f32], counts: &[usize], width: usize) -> Vec<Vec<f32>> {
    let mut rest = rows;
    let part = |count: &usize| {
        let (own, others) = rest.split_at(count * width);
        rest = others;
        own.to_vec()
    };
    counts.iter().map(part).collect()
}
