//! Rows of tables: `y[t] = Σ_tables table[ids[t]]`.
//!
//! BERT's input is such a sum of word, position and segment. 4·h bytes a token and table are read and 4·h written in f32.
//! Backward adds every token's gradient to its rows: tokens are grouped by row, each group is one task's and is added up
//! in the order of the tokens, in f64, so that the bits do not depend on threads. Rows that do not occur get 0.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::collected::collect;
use crate::element::{Element, by_dtype, check_anywhere, dims, elements, slice};
use crate::product::Shared;
use crate::{Error, Result, composed};

/// Rows of one table, with gradient.
///
/// # Shapes
/// - `table_vh`: \[v, h\]; `ids`: t numbers below v
/// - result: \[t, h\]
///
/// # Errors
/// Beside shapes and types: an id beyond the table.
pub fn embedding(table_vh: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let lookup = Lookup::new([("embedding", table_vh, ids)])?;
    if composed::is_needed(table_vh) {
        return composed::embedding(table_vh, ids, None);
    }
    Ok(table_vh.contiguous()?.apply_op1(lookup)?)
}

/// The sum of rows of three tables, in one pass and with gradients to all.
///
/// The word that is padding, if there is one, gets no gradient, as in PyTorch.
///
/// # Shapes
/// - each table: \[its rows, h\]; each list of ids: t numbers below its table's rows
/// - result: \[t, h\]
///
/// # Errors
/// Beside shapes and types: lists of different lengths, an id beyond its table.
pub fn embedding_sum(
    (word_vh, word_ids, padding): (&Tensor, &[u32], Option<u32>),
    (position_ph, position_ids): (&Tensor, &[u32]),
    (segment_sh, segment_ids): (&Tensor, &[u32]),
) -> Result<Tensor> {
    let mut lookup = Lookup::new([
        ("word", word_vh, word_ids),
        ("position", position_ph, position_ids),
        ("segment", segment_sh, segment_ids),
    ])?;
    if composed::is_needed(word_vh) {
        let words_th = composed::embedding(word_vh, word_ids, padding)?;
        let places_th = composed::embedding(position_ph, position_ids, None)?;
        return Ok(((words_th + places_th)? + composed::embedding(segment_sh, segment_ids, None)?)?);
    }
    lookup.padding[0] = padding;
    Ok(word_vh.contiguous()?.apply_op3(&position_ph.contiguous()?, &segment_sh.contiguous()?, lookup)?)
}

const OP: &str = "embedding";
/// Elements of one task.
const TILE: usize = 1 << 14;

/// Which rows of `N` tables.
struct Lookup<const N: usize> {
    tokens: usize,
    width: usize,
    ids: [Vec<u32>; N],
    /// A row of each that gets no gradient.
    padding: [Option<u32>; N],
}

impl<const N: usize> Lookup<N> {
    fn new(tables: [(&'static str, &Tensor, &[u32]); N]) -> Result<Self> {
        let (tokens, width) = (tables[0].2.len(), tables[0].1.dims().last().copied().unwrap_or(0));
        for (name, table, ids) in tables {
            check_anywhere(OP, &[(tables[0].0, tables[0].1), (name, table)])?;
            let [rows, table_width] = dims(OP, name, "[rows, h]", table)?;
            if table_width != width || width == 0 {
                let expected = format!("[rows, {width}], width not 0");
                return Err(Error::Shape { op: OP, tensor: name, expected, got: table.dims().to_vec() });
            }
            if ids.len() != tokens {
                let got = format!("{} for {name}, {tokens} for {}", ids.len(), tables[0].0);
                return Err(Error::Geometry { op: OP, expected: "as many ids for every table", got });
            }
            if let Some(token) = ids.iter().position(|id| *id as usize >= rows) {
                return Err(Error::Id { op: OP, table: name, token, got: ids[token], rows });
            }
        }
        Ok(Self { tokens, width, ids: tables.map(|(_, _, ids)| ids.to_vec()), padding: [None; N] })
    }

    fn forward<T: Element>(&self, tables: [&[T]; N]) -> (CpuStorage, Shape) {
        let mut y = vec![T::ZERO; self.tokens * self.width];
        y.par_chunks_exact_mut(self.width).enumerate().with_min_len(TILE / self.width).for_each(
            |(token, y)| {
                for (table, ids) in tables.iter().zip(&self.ids) {
                    let row = &table[ids[token] as usize * self.width..][..self.width];
                    y.iter_mut().zip(row).for_each(|(y, value)| *y += *value);
                }
            },
        );
        (T::to_cpu_storage_owned(y), Shape::from((self.tokens, self.width)))
    }

    /// The gradient to one table.
    fn scatter<T: Element>(
        &self,
        ids: &[u32],
        padding: Option<u32>,
        table: &Tensor,
        d_y: &[T],
    ) -> candle_core::Result<Option<Tensor>> {
        let mut tokens: Vec<usize> = (0..ids.len()).filter(|token| Some(ids[*token]) != padding).collect();
        tokens.sort_by_key(|token| ids[*token]); // stable: equal ids stay in order
        let groups: Vec<&[usize]> = tokens.chunk_by(|a, b| ids[*a] == ids[*b]).collect();
        let add = |d_table: &mut [T]| self.add_groups(ids, &groups, d_y, d_table);
        if collect(table, add).is_some() {
            return Ok(None);
        }
        let mut d_table = vec![T::ZERO; table.elem_count()];
        add(&mut d_table);
        Tensor::from_vec(d_table, table.shape(), table.device()).map(Some)
    }

    /// Adds the sum of each group's gradients to the group's row.
    fn add_groups<T: Element>(&self, ids: &[u32], groups: &[&[usize]], d_y: &[T], d_table: &mut [T]) {
        let shared = Shared::new(d_table);
        groups.into_par_iter().for_each_init(
            || vec![0.0; self.width],
            |sums, group| {
                sums.fill(0.0);
                for token in *group {
                    let d_y = &d_y[token * self.width..][..self.width];
                    sums.iter_mut().zip(d_y).for_each(|(sum, d_y)| *sum += d_y.to_f64());
                }
                let first = ids[group[0]] as usize * self.width;
                // SAFETY: a row of the table belongs to one group, and a group to one task.
                let mut row = unsafe { shared.tile(first, [1, self.width], self.width) };
                row.row(0).iter_mut().zip(sums).for_each(|(to, sum)| *to += T::from_f64(*sum));
            },
        );
    }

    fn gradients(&self, tables: [&Tensor; N], d_y: &Tensor) -> candle_core::Result<[Option<Tensor>; N]> {
        let d_y = d_y.contiguous()?;
        let mut gradients = [const { None }; N];
        by_dtype!(d_y.dtype(), T => {
            let d_y = d_y.storage_and_layout();
            let d_y = elements::<T>(&d_y)?;
            let lookups = self.ids.iter().zip(self.padding);
            for ((gradient, table), (ids, padding)) in gradients.iter_mut().zip(tables).zip(lookups) {
                *gradient = table.track_op().then(|| self.scatter(ids, padding, table, d_y)).transpose()?.flatten();
            }
        });
        Ok(gradients)
    }
}

impl CustomOp1 for Lookup<1> {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(table.dtype(), T => Ok(self.forward::<T>([slice(table, layout)?])))
    }

    fn bwd(&self, table: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let [d_table] = self.gradients([table], d_y)?;
        Ok(d_table)
    }
}

impl CustomOp3 for Lookup<3> {
    fn name(&self) -> &'static str {
        "embedding_sum"
    }

    fn cpu_fwd(
        &self,
        word: &CpuStorage,
        word_layout: &Layout,
        position: &CpuStorage,
        position_layout: &Layout,
        segment: &CpuStorage,
        segment_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        by_dtype!(word.dtype(), T => {
            let (position, segment) = (slice(position, position_layout)?, slice(segment, segment_layout)?);
            Ok(self.forward::<T>([slice(word, word_layout)?, position, segment]))
        })
    }

    fn bwd(
        &self,
        word: &Tensor,
        position: &Tensor,
        segment: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.gradients([word, position, segment], d_y)?.into())
    }
}
