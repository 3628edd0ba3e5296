//! A detector that looks at the cells of its last map instead of looking for regions.

use pretrain_kernels::softmax;

use super::Detector;
use crate::decoding::Picture;
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
        let probabilities_nk = softmax(&scores_nk)?.to_vec2::<f32>()?;
        if probabilities_nk.iter().flatten().any(|p| !p.is_finite()) {
            let problem = "says numbers that are not finite of this picture; its training has failed";
            return Err(Error::setting("the detector", problem.to_owned()));
        }
        let likeliest = |p_k: &Vec<f32>| {
            let larger = |best: (usize, f32), (class, &p): (usize, &f32)| {
                if p > best.1 { (class, p) } else { best }
            };
            p_k[1..].iter().enumerate().fold((0, 0.0), larger)
        };
        let [width, height] = ready.size;
        Ok(Grid {
            rects: Grid::rects(
                [rows, columns],
                [width as u32, height as u32],
                [picture.width, picture.height],
            ),
            vectors: cells_nd.flatten_all()?.to_vec1()?,
            classes: probabilities_nk.iter().map(likeliest).collect(),
        })
    }
}
