//! From a picture to what a detector reads.

use candle_core::{Device, Tensor};

use super::boxes::Convention;
use super::settings::{Channels, Input};
use crate::Error;
use crate::decoding::Picture;
use crate::preparation::{Filter, Resize, resize};

/// A picture as a detector reads it.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// \[1, 3, h, w\].
    pub(crate) x_bchw: Tensor,
    /// Width and height in pixels.
    pub(crate) size: [f32; 2],
    /// Its width and height over those of the picture as it was given.
    pub(crate) scale: [f32; 2],
}

impl Input {
    /// Resizes (bilinear with antialiasing) to a short side of `short` pixels, and normalises.
    pub(crate) fn ready(
        &self,
        picture: &Picture,
        short: u32,
        convention: Convention,
    ) -> Result<Ready, Error> {
        picture.checked_len()?;
        let to = self.resize(short, convention, [picture.width, picture.height]);
        let small = resize(picture, to, Filter::Bilinear)?;
        let n = small.rgb.len() / 3;
        let mut x_chw = vec![0.0; 3 * n];
        for (channel, plane) in x_chw.chunks_exact_mut(n).enumerate() {
            let of_pixel = match self.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel,
            };
            // the operations of the published code in their order, once for each value
            let table: [f32; 256] = std::array::from_fn(|value| {
                (value as f32 / 255.0 * self.white - self.mean[channel]) / self.deviation[channel]
            });
            for (x, pixel) in plane.iter_mut().zip(small.rgb.as_chunks::<3>().0) {
                *x = table[usize::from(pixel[of_pixel])];
            }
        }
        let (width, height) = (small.width as f32, small.height as f32);
        Ok(Ready {
            x_bchw: Tensor::from_vec(
                x_chw,
                (1, 3, small.height as usize, small.width as usize),
                &Device::Cpu,
            )?,
            size: [width, height],
            scale: [width / picture.width as f32, height / picture.height as f32],
        })
    }

    /// The plain convention rounds half up, as detectron2. The legacy one is maskrcnn-benchmark's: where the long side would
    /// be too long the short one is rounded to what keeps it, and the long side is rounded down.
    fn resize(&self, short: u32, convention: Convention, [width, height]: [u32; 2]) -> Resize {
        if convention == Convention::Plain {
            return Resize::ShortSide { short, long_at_most: self.long_at_most };
        }
        let (small, large) = (f64::from(width.min(height)), f64::from(width.max(height)));
        let (mut side, most) = (f64::from(short), f64::from(self.long_at_most));
        if large / small * side > most {
            side = (most * small / large).round_ties_even().max(1.0);
        }
        // a strip of less than a pixel becomes one of a pixel, and no longer than needed
        let long = ((side * large / small).min(2.0 * most) as u32).max(1);
        let side = side as u32;
        if width < height {
            Resize::Exact { width: side, height: long }
        } else {
            Resize::Exact { width: long, height: side }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vinvl() -> Input {
        Input {
            short: 600,
            long_at_most: 1000,
            channels: Channels::Bgr,
            white: 255.0,
            mean: [103.53, 116.28, 123.675],
            deviation: [1.0; 3],
        }
    }

    #[test]
    fn sides_of_maskrcnn_benchmark() {
        let sides = |width, height| vinvl().resize(600, Convention::Legacy, [width, height]);
        let exact = |width, height| Resize::Exact { width, height };
        assert_eq!(sides(640, 480), exact(800, 600));
        // 600 * 500 / 333 = 900.9, rounded down
        assert_eq!(sides(333, 500), exact(600, 900));
        // 1000 * 300 / 640 = 468.75 -> 469; 469 * 640 / 300 = 1000.53
        assert_eq!(sides(640, 300), exact(1000, 469));
        assert_eq!(sides(600, 600), exact(600, 600));
        assert_eq!(sides(20_000, 1), exact(2000, 1));
        assert_eq!(sides(1, 1), exact(600, 600));
    }

    #[test]
    fn blue_first_and_only_the_mean_taken_off() {
        let picture = Picture { width: 600, height: 600, rgb: [10, 20, 30].repeat(360_000) };
        let ready = vinvl().ready(&picture, 600, Convention::Legacy).unwrap();
        let x = ready.x_bchw.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (channel, wanted) in [30.0 - 103.53, 20.0 - 116.28, 10.0 - 123.675].into_iter().enumerate() {
            assert!((x[channel * 360_000] - wanted).abs() < 1e-4, "{}", x[channel * 360_000]);
        }
    }
}
