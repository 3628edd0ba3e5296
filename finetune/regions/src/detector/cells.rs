//! A detector that looks at the cells of its last map instead of looking for regions.

use super::Detector;
use super::detect::probabilities;
use crate::decoding::Picture;
use crate::grid::first_largest;
use crate::{Error, Grid};

impl Detector {
    /// The cells of what the network makes of the whole picture, its last stage included, and what the classifier of regions
    /// says of each (Paper: 2001.03615): no proposals are made and no region is looked at twice, which is the fast way.
    ///
    /// The class of a cell is its likeliest one that is not background.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub fn grid(&self, picture: &Picture) -> Result<Grid, Error> {
        let input = &self.settings().input;
        let ready = input.ready(picture, input.short, self.settings().convention)?;
        let map_bchw = self.network().head_map(&ready.x_bchw)?;
        let (_, d, rows, columns) = map_bchw.dims4()?;
        let cells_nd = map_bchw.reshape((d, rows * columns))?.t()?.contiguous()?;
        let (scores_nk, _) = self.network().scores_and_steps(&cells_nd)?;
        let probabilities = probabilities(&scores_nk)?;
        let cells = probabilities.chunks_exact(self.class_names().len() + 1);
        let [width, height] = ready.size;
        Ok(Grid {
            rects: Grid::rects(
                [rows, columns],
                [width as u32, height as u32],
                [picture.width, picture.height],
            ),
            vectors: cells_nd.flatten_all()?.to_vec1()?,
            // background comes first
            classes: cells.map(|p_k| first_largest(&p_k[1..])).collect(),
        })
    }
}
