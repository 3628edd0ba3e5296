//! Rows of tables, and rows that are put elsewhere.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Device, Layout, Shape, Storage, Tensor};

use crate::Result;

/// Rows of a table, with gradient but to the row `padding`.
///
/// # Shapes
/// - `table_vh`: \[v, h\]; `ids`: t numbers below v; result: \[t, h\]
pub(crate) fn embedding(table_vh: &Tensor, ids: &[u32], padding: Option<u32>) -> Result<Tensor> {
    let device = table_vh.device();
    let x_th = table_vh.contiguous()?.index_select(&indices(ids, device)?, 0)?;
    let Some(padding) = padding.filter(|padding| ids.contains(padding)) else { return Ok(x_th) };
    let learns = ids.iter().map(|id| u8::from(*id != padding)).collect();
    let learns_t1 = Tensor::from_vec(learns, (ids.len(), 1), device)?.to_dtype(table_vh.dtype())?;
    let others_t1 = (1.0 - &learns_t1)?;
    Ok((x_th.broadcast_mul(&learns_t1)? + x_th.detach().broadcast_mul(&others_t1)?)?)
}

/// Numbers of rows where a tensor is.
pub(super) fn indices(rows: &[u32], device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(rows, rows.len(), device)?)
}

/// Rows in other places: row i of the result is row `to[i]`, or 0 where that is [`NONE`]. Each row is taken at most once, so
/// that the gradient is such a move, too, the one `back`; candle's own backward adds up row by row, since its rows may occur
/// often.
pub(super) struct Moved {
    to: Tensor,
    back: Tensor,
}

/// No row: of the tensor's zeros.
pub(super) const NONE: u32 = u32::MAX;

impl Moved {
    /// `to` takes every row of `n_rows` at most once.
    pub(super) fn new(to: &[u32], n_rows: usize, device: &Device) -> Result<Self> {
        let mut back = vec![NONE; n_rows];
        for (place, row) in (0..).zip(to).filter(|(_, row)| **row != NONE) {
            back[*row as usize] = place;
        }
        Ok(Self { to: indices(to, device)?, back: indices(&back, device)? })
    }

    /// The way back.
    pub(super) fn inverse(&self) -> Self {
        Self { to: self.back.clone(), back: self.to.clone() }
    }

    /// \[rows, c\] to \[other rows, c\]
    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(x.contiguous()?.apply_op1(self)?)
    }

    fn shape(&self, layout: &Layout) -> Shape {
        Shape::from((self.to.elem_count(), layout.dims()[1]))
    }
}

impl CustomOp1 for Moved {
    fn name(&self) -> &'static str {
        "moved rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (to, to_layout) = self.to.storage_and_layout();
        match &*to {
            Storage::Cpu(to) => Ok((x.index_select(to, layout, to_layout, 0)?, self.shape(layout))),
            _ => candle_core::bail!("rows are named on another device than they are on"),
        }
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (to, to_layout) = self.to.storage_and_layout();
        match &*to {
            Storage::Cuda(to) => Ok((x.index_select(to, layout, to_layout, 0)?, self.shape(layout))),
            _ => candle_core::bail!("rows are named on another device than they are on"),
        }
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, d_y: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(d_y.contiguous()?.index_select(&self.back, 0)?))
    }
}
