//! From a picture to the vectors of its regions, through a backbone.
//!
//! Legend: n regions or cells, d numbers of a vector, k classes, c channels, h and w rows and columns.

use candle_core::{Device, Tensor};
use finetune_backbones::Backbone;
use pretrain_kernels::{Precision, RoiAlign, roi_align};

use crate::Error;
use crate::decoding::Picture;
use crate::grid::{CELL, Grid, first_largest};
use crate::preparation::{Filter, Normalisation, Preparation, Prepared, Resize};

/// Pixels a cell of the map in which regions are looked up.
const MAP_STRIDE: f64 = 16.0;
/// Ground around a box that is cut out, as a share of its longer side: R-CNN's 16 pixels of 227.
const CONTEXT: f32 = 0.07;
/// Regions that go through the last stage, or the network, together; a region's vector does not depend on the others.
const AT_ONCE: usize = 32;

/// Looks at regions of pictures with a backbone.
///
/// Pictures are resized to given sides (600 pixels, at most 1000, before the published detectors), bilinear with
/// antialiasing. A vector depends on its picture alone: not on threads, nor on what was looked at before.
#[derive(Debug)]
pub struct Extractor {
    backbone: Backbone,
    sides: [u32; 2],
}

impl Extractor {
    /// An extractor through `backbone`, of pictures with a short side of `sides[0]` pixels, unless the long one would have
    /// more than `sides[1]`.
    pub fn new(backbone: Backbone, sides: [u32; 2]) -> Extractor {
        Extractor { backbone, sides }
    }

    /// The same with the network in bf16, where this processor has instructions for it.
    pub fn in_bf16(self) -> Option<Extractor> {
        let is_here = Precision::Bf16.here() == Precision::Bf16;
        is_here.then(|| Extractor { backbone: self.backbone.in_precision(Precision::Bf16), ..self })
    }

    /// The network.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// The vectors of given boxes, corners x1, y1, x2, y2 in pixels of the picture.
    ///
    /// RoIAlign (aligned, 2 x 2 samples a bin) takes 14 x 14 bins of the map of stride 16; the network's last stage and
    /// the mean over what it gives make the vector, as in the detectors of bottom-up attention (Paper: 1707.07998) and
    /// VinVL (Paper: 2101.00529).
    ///
    /// # Shapes
    /// n x d
    ///
    /// # Errors
    /// A picture that cannot be resized; corners that are not finite.
    pub fn boxes(&self, picture: &Picture, boxes: &[[f32; 4]]) -> Result<Vec<f32>, Error> {
        let (x_bchw, prepared) = self.prepared(picture)?;
        let map_bchw = self.backbone.stride16_map(&x_bchw)?;
        let how =
            RoiAlign { output: [14, 14], spatial_scale: 1.0 / MAP_STRIDE, sampling_ratio: 2, aligned: true };
        let wider = prepared.width as f32 / picture.width as f32;
        let higher = prepared.height as f32 / picture.height as f32;
        let mut vectors = Vec::with_capacity(boxes.len() * self.backbone.feature_width());
        for some in boxes.chunks(AT_ONCE) {
            let rois: Vec<f32> = some
                .iter()
                .flat_map(|&[x1, y1, x2, y2]| [0.0, x1 * wider, y1 * higher, x2 * wider, y2 * higher])
                .collect();
            let rois_n5 = Tensor::from_vec(rois, (some.len(), 5), &Device::Cpu)?;
            let regions_nchw = roi_align(&map_bchw, &rois_n5, &how)?;
            let vectors_nd = self.backbone.region_vectors(&regions_nchw)?;
            vectors.extend(vectors_nd.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(vectors)
    }

    /// The vectors of given boxes, each cut out and looked at alone (Paper: 1311.2524, section 2.1).
    ///
    /// What is cut out is a square around the box, wider than the box's longer side by [`CONTEXT`] of it on either side; it
    /// is moved inside where it passes the picture's border, and no square where it is larger than the picture. It is
    /// resized to `side` x `side` pixels. The vector is the mean of the network's last map.
    ///
    /// # Shapes
    /// n x d
    ///
    /// # Errors
    /// A side that cannot be resized to; corners that are not finite.
    pub fn crops(&self, picture: &Picture, boxes: &[[f32; 4]], side: u32) -> Result<Vec<f32>, Error> {
        let resize = Resize::Exact { width: side, height: side };
        let preparation = self.preparation(resize);
        let mut vectors = Vec::with_capacity(boxes.len() * self.backbone.feature_width());
        for some in boxes.chunks(AT_ONCE) {
            let mut crops = Vec::with_capacity(some.len() * 3 * (side * side) as usize);
            for rect in some {
                crops.extend(preparation.prepare(&cut(picture, square(*rect, picture)?))?.x_chw);
            }
            let shape = (some.len(), 3, side as usize, side as usize);
            let x_nchw = Tensor::from_vec(crops, shape, &Device::Cpu)?;
            let vectors_nd = self.backbone.region_vectors(&self.backbone.stride16_map(&x_nchw)?)?;
            vectors.extend(vectors_nd.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(vectors)
    }

    /// The cells of the last map and what the classifier says of each (grid features, Paper: 2001.03615).
    ///
    /// # Errors
    /// A picture that cannot be resized.
    pub fn grid(&self, picture: &Picture) -> Result<Grid, Error> {
        let (x_bchw, prepared) = self.prepared(picture)?;
        let map_bchw = self.backbone.head_map(&x_bchw)?;
        let (_, d, rows, columns) = map_bchw.dims4()?;
        let cells_nd = map_bchw.reshape((d, rows * columns))?.t()?.contiguous()?;
        let logits_nk = self.backbone.classify(&cells_nd)?;
        let classes = logits_nk.to_vec2::<f32>()?.iter().map(|logits_k| likeliest(logits_k)).collect();
        let (ready, size) = ([prepared.width, prepared.height], [picture.width, picture.height]);
        let rects = Grid::rects([rows, columns], ready, size);
        Ok(Grid { rects, vectors: cells_nd.flatten_all()?.to_vec1()?, classes })
    }

    fn prepared(&self, picture: &Picture) -> Result<(Tensor, Prepared), Error> {
        let architecture = self.backbone.architecture();
        if architecture.stride() != CELL as usize {
            let problem = format!(
                "{architecture} is for pictures of 32 x 32 and has no map of stride {MAP_STRIDE}; take another network"
            );
            return Err(Error::Preparation { problem });
        }
        let [short, long_at_most] = self.sides;
        let mut prepared = self.preparation(Resize::ShortSide { short, long_at_most }).prepare(picture)?;
        let shape = (1, 3, prepared.height as usize, prepared.width as usize);
        let x_bchw = Tensor::from_vec(std::mem::take(&mut prepared.x_chw), shape, &Device::Cpu)?;
        Ok((x_bchw, prepared))
    }

    fn preparation(&self, resize: Resize) -> Preparation {
        let (mean, std) = self.backbone.normalisation();
        Preparation {
            resize,
            filter: Filter::Bilinear,
            crop: None,
            normalisation: Normalisation { mean, std },
        }
    }
}

/// The pixels `[x1, y1, x2, y2]` that are cut out for a box: at least one, and inside of the picture.
fn square([x1, y1, x2, y2]: [f32; 4], picture: &Picture) -> Result<[u32; 4], Error> {
    if ![x1, y1, x2, y2].iter().all(|corner| corner.is_finite()) {
        let problem = format!("the box [{x1}, {y1}, {x2}, {y2}] has no place in a picture");
        return Err(Error::Preparation { problem });
    }
    let side = (1.0 + 2.0 * CONTEXT) * (x2 - x1).max(y2 - y1);
    let edges = |from: f32, to: f32, whole: u32| {
        let length = (side.round() as u32).clamp(1, whole);
        let start = ((from + to - length as f32) / 2.0).round().clamp(0.0, (whole - length) as f32) as u32;
        (start, start + length)
    };
    let ((left, right), (top, bottom)) = (edges(x1, x2, picture.width), edges(y1, y2, picture.height));
    Ok([left, top, right, bottom])
}

/// A part of a picture; the corners lie inside of it.
fn cut(picture: &Picture, [left, top, right, bottom]: [u32; 4]) -> Picture {
    let at = |x: u32, y: u32| 3 * (y as usize * picture.width as usize + x as usize);
    let rgb = (top..bottom).flat_map(|y| &picture.rgb[at(left, y)..at(right, y)]).copied().collect();
    Picture { width: right - left, height: bottom - top, rgb }
}

/// The instructions that products run on here: results of other ones differ in the last bits.
pub fn instructions() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = if std::arch::is_x86_feature_detected!("avx512f") {
        "avx512f"
    } else if std::arch::is_x86_feature_detected!("fma") {
        "fma"
    } else {
        "sse2"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found = "native";
    format!("{} {found}", std::env::consts::ARCH)
}

/// The first largest of the logits, and its share in their softmax.
fn likeliest(logits_k: &[f32]) -> (usize, f32) {
    let (class, largest) = first_largest(logits_k);
    let sum: f64 = logits_k.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    (class, (1.0 / sum) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extractor() -> Extractor {
        Extractor::new(Backbone::random("efficientnet_b0".parse().unwrap(), 3, 10).unwrap(), [600, 1000])
    }

    fn picture(width: u32, height: u32) -> Picture {
        let rgb = (0..width * height * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn a_box_has_one_vector_whatever_stands_beside_it() {
        let (extractor, picture) = (extractor(), picture(90, 60));
        let boxes: Vec<[f32; 4]> = (0..40).map(|at| [at as f32, 3.0, at as f32 + 20.0, 44.0]).collect();
        let together = extractor.boxes(&picture, &boxes).unwrap();
        assert_eq!(together.len(), 40 * 1280);
        let alone = extractor.boxes(&picture, &boxes[37..38]).unwrap();
        assert!(alone == together[37 * 1280..38 * 1280] && alone.iter().all(|x| x.is_finite()));
        assert_ne!(together[..1280], alone);
        assert_eq!(extractor.boxes(&picture, &[]).unwrap(), [] as [f32; 0]);
    }

    /// What is rounded to 8 bits, layer by layer, moves a vector by a few thousandths of its length.
    #[test]
    fn in_bf16_a_box_looks_almost_the_same() {
        let (picture, boxes) = (picture(90, 60), [[5.0, 3.0, 60.0, 44.0]]);
        let Some(rounded) = extractor().in_bf16() else { return };
        let exact = extractor();
        let pairs = [
            (exact.boxes(&picture, &boxes), rounded.boxes(&picture, &boxes)),
            (exact.crops(&picture, &boxes, 64), rounded.crops(&picture, &boxes, 64)),
            (exact.grid(&picture).map(|grid| grid.vectors), rounded.grid(&picture).map(|grid| grid.vectors)),
        ];
        for (exact, rounded) in pairs {
            let (exact, rounded) = (exact.unwrap(), rounded.unwrap());
            let length =
                |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let apart = length(&mut exact.iter().zip(&rounded).map(|(x, y)| x - y));
            let share = apart / length(&mut exact.iter().copied());
            assert!(share > 0.0 && share < 0.05, "{share}");
        }
    }

    #[test]
    fn a_crop_is_looked_at_alone() {
        let (extractor, picture) = (extractor(), picture(90, 60));
        let boxes: Vec<[f32; 4]> = (0..34).map(|at| [at as f32, 3.0, at as f32 + 20.0, 44.0]).collect();
        let together = extractor.crops(&picture, &boxes, 32).unwrap();
        assert_eq!(together.len(), 34 * 1280);
        assert!(extractor.crops(&picture, &boxes[33..], 32).unwrap() == together[33 * 1280..]);
        // What lies outside of the square has no say: 41 pixels and 3 of ground on either side, moved down by 0.
        let [left, top, right, bottom] = square(boxes[30], &picture).unwrap();
        assert_eq!([left, top, right, bottom], [17, 0, 64, 47]);
        let mut other = picture.clone();
        for (at, value) in other.rgb.iter_mut().enumerate() {
            let (x, y) = ((at / 3 % 90) as u32, (at / 3 / 90) as u32);
            if !(left..right).contains(&x) || !(top..bottom).contains(&y) {
                *value = 255 - *value;
            }
        }
        assert!(extractor.crops(&other, &boxes[30..31], 32).unwrap() == together[30 * 1280..31 * 1280]);
        assert_eq!(
            square([-5.0, 10.0, 300.0, 12.0], &picture).unwrap(),
            [0, 0, 90, 60],
            "larger than the picture"
        );
        assert_eq!(square([3.0, 3.0, 3.0, 3.0], &picture).unwrap(), [3, 3, 4, 4], "a point");
        assert!(square([0.0, f32::NAN, 1.0, 1.0], &picture).is_err());
    }

    #[test]
    fn cells_cover_the_picture_once() {
        let extractor = extractor();
        let grid = extractor.grid(&picture(90, 60)).unwrap();
        // 900 x 600 pixels: 29 x 19 cells, the last of a row and of a column cut off.
        assert_eq!((grid.rects.len(), grid.classes.len(), grid.vectors.len()), (551, 551, 551 * 1280));
        assert_eq!(
            (grid.rects[0][..2].to_vec(), grid.rects[550][2..].to_vec()),
            (vec![0.0, 0.0], vec![90.0, 60.0])
        );
        let area: f32 = grid.rects.iter().map(|[x1, y1, x2, y2]| (x2 - x1) * (y2 - y1)).sum();
        assert!((area - 5400.0).abs() < 0.1, "{area}");
        assert!(grid.classes.iter().all(|&(class, share)| class < 10 && (0.1..=1.0).contains(&share)));
    }

    #[test]
    fn the_first_largest_logit_wins() {
        assert_eq!(likeliest(&[1.0, 1.0]), (0, 0.5));
        let (class, share) = likeliest(&[0.0, 1000.0, 0.0]);
        assert!(class == 1 && share == 1.0);
    }
}
