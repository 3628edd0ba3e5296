//! From an upright picture to what a backbone reads: resize, crop, normalise.
//!
//! Shapes: c = 3 channels (red, green, blue), h = rows, w = pixels in a row.
//!
//! Resizing is Pillow's: convolution with a kernel that widens when a picture shrinks (antialiasing), 8 bits between the
//! two passes. `docs/bench/pictures.md` has the distances from PIL + torchvision.

use std::cell::RefCell;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::Error;
use crate::decoding::{Limits, Picture};

/// The kernel of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// Catmull-Rom, a = -0.5, as Pillow's BICUBIC.
    Bicubic,
}

/// What size a picture gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// For regions: the short side to `short`, unless the long side then passes `long_at_most`; both sides rounded half
    /// up. detectron2's `ResizeShortestEdge`; maskrcnn-benchmark rounds the long side down, so its may be 1 smaller.
    ShortSide {
        /// The short side, pixels.
        short: u32,
        /// What the long side may have, pixels.
        long_at_most: u32,
    },
    /// For classification: the short side to `short`, the long side rounded down. torchvision's and timm's.
    ShortSideOnly {
        /// The short side, pixels.
        short: u32,
    },
    /// Both sides, whatever the proportions.
    Exact {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// `(value / 255 - mean) / std`, by channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// What is taken off red, green and blue.
    pub mean: [f32; 3],
    /// What red, green and blue are divided by.
    pub std: [f32; 3],
}

/// All steps for one backbone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preparation {
    /// The first step.
    pub resize: Resize,
    /// The first step's kernel.
    pub filter: Filter,
    /// Side of the square cut from the middle afterwards, pixels.
    pub crop: Option<u32>,
    /// The last step.
    pub normalisation: Normalisation,
}

/// What a backbone reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 3 x h x w.
    pub x_chw: Vec<f32>,
}

impl Normalisation {
    /// ImageNet's mean and deviation: torchvision, timm, the original EfficientNets.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// To -1..1: AdvProp, `ra4` and pruned checkpoints.
    pub const SYMMETRIC: Self = Self { mean: [0.5; 3], std: [0.5; 3] };

    /// Planes of floats.
    ///
    /// # Shapes
    /// `3 x h x w`, the picture's size.
    pub fn apply(&self, picture: &Picture) -> Result<Vec<f32>, Error> {
        picture.checked_len()?;
        Ok(self.planes(&picture.rgb))
    }

    fn planes(&self, rgb: &[u8]) -> Vec<f32> {
        // The same three operations as torchvision's `ToTensor` and `Normalize`, in f32, for each of the 256 values.
        let tables: [[f32; 256]; 3] = std::array::from_fn(|c| {
            std::array::from_fn(|value| (value as f32 / 255.0 - self.mean[c]) / self.std[c])
        });
        let n = rgb.len() / 3;
        let mut x_chw = vec![0.0; 3 * n];
        let (red, rest) = x_chw.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        let planes = red.iter_mut().zip(green).zip(blue);
        for (((red, green), blue), pixel) in planes.zip(rgb.as_chunks::<3>().0) {
            *red = tables[0][usize::from(pixel[0])];
            *green = tables[1][usize::from(pixel[1])];
            *blue = tables[2][usize::from(pixel[2])];
        }
        x_chw
    }
}

impl Preparation {
    /// timm's evaluation: short side to `floor(side / crop_share)`, then a square of `side` from the middle.
    /// `crop_share` is 0.875 for B0, ResNeXt and most others; `tf_` models have side / (side + 32).
    pub fn classification(
        side: u32,
        crop_share: f64,
        filter: Filter,
        normalisation: Normalisation,
    ) -> Result<Self, Error> {
        let short = (f64::from(side) / crop_share).floor();
        if !(crop_share > 0.0 && crop_share <= 1.0 && side > 0 && short <= f64::from(u16::MAX)) {
            let problem =
                format!("a side of {side} is no share of {crop_share}; shares are above 0, at most 1");
            return Err(Error::Preparation { problem });
        }
        let resize = Resize::ShortSideOnly { short: short as u32 };
        Ok(Self { resize, filter, crop: Some(side), normalisation })
    }

    /// Resizes, crops, normalises.
    pub fn prepare(&self, picture: &Picture) -> Result<Prepared, Error> {
        picture.checked_len()?;
        let size = self.resize.size(picture.width, picture.height)?;
        let window = self.crop.map_or(Ok(Window::whole(size)), |side| Window::middle(size, side))?;
        // Only what the crop keeps is computed.
        let stored = (picture.width, picture.height);
        let work = Resampling {
            samples: &picture.rgb,
            stored,
            kind: PixelType::U8x3,
            size,
            window,
            filter: self.filter,
        };
        let x_chw = ROOM.with_borrow_mut(|room| {
            let mut shown = std::mem::take(&mut room.shown);
            let x_chw = work.run(room, &mut shown).map(|()| self.normalisation.planes(&shown));
            if shown.capacity() <= MOST_KEPT {
                room.shown = shown;
            }
            x_chw
        })?;
        Ok(Prepared { width: window.width, height: window.height, x_chw })
    }
}

impl Resize {
    /// Width and height of the result; never 0.
    ///
    /// # Errors
    /// [`Error::Preparation`] for a side of 0, or a result of more pixels than a picture may have by default.
    pub fn size(&self, width: u32, height: u32) -> Result<(u32, u32), Error> {
        let (w, h) = (f64::from(width), f64::from(height));
        let (new_w, new_h) = match *self {
            Self::ShortSide { short, long_at_most } => {
                let scale = f64::from(short) / w.min(h);
                let (mut new_w, mut new_h) =
                    if h < w { (scale * w, f64::from(short)) } else { (f64::from(short), scale * h) };
                if new_w.max(new_h) > f64::from(long_at_most) {
                    let scale = f64::from(long_at_most) / new_w.max(new_h);
                    (new_w, new_h) = (new_w * scale, new_h * scale);
                }
                ((new_w + 0.5).floor(), (new_h + 0.5).floor())
            }
            Self::ShortSideOnly { short } => {
                let short = f64::from(short);
                let long = (short * w.max(h) / w.min(h)).floor();
                if w <= h { (short, long) } else { (long, short) }
            }
            Self::Exact { width, height } => (f64::from(width), f64::from(height)),
        };
        let asked = match *self {
            Self::ShortSide { short, long_at_most } => short.min(long_at_most),
            Self::ShortSideOnly { short } => short,
            Self::Exact { width, height } => width.min(height),
        };
        let (new_w, new_h) = (new_w.max(1.0), new_h.max(1.0));
        if asked == 0 || width == 0 || height == 0 || new_w * new_h > Limits::default().max_pixels as f64 {
            let problem = format!("{width} x {height} pixels cannot become {self:?}: {new_w} x {new_h}");
            return Err(Error::Preparation { problem });
        }
        Ok((new_w as u32, new_h as u32))
    }
}

/// Resizes with antialiasing.
pub fn resize(picture: &Picture, resize: Resize, filter: Filter) -> Result<Picture, Error> {
    picture.checked_len()?;
    let (width, height) = resize.size(picture.width, picture.height)?;
    let rgb = scaled(picture, &picture.rgb, PixelType::U8x3, (width, height), filter)?;
    Ok(Picture { width, height, rgb })
}

/// Cuts a square of `side` pixels from the middle; offsets that end in a half go to the even number, as in torchvision.
pub fn center_crop(picture: &Picture, side: u32) -> Result<Picture, Error> {
    picture.checked_len()?;
    let window = Window::middle((picture.width, picture.height), side)?;
    let row = 3 * side as usize;
    let mut rgb = Vec::with_capacity(row * side as usize);
    for y in window.top..window.top + side {
        let start = 3 * (y as usize * picture.width as usize + window.left as usize);
        rgb.extend_from_slice(&picture.rgb[start..][..row]);
    }
    Ok(Picture { width: side, height: side, rgb })
}

/// Resizes samples of one or three channels that belong to a picture's pixels.
pub(crate) fn scaled(
    picture: &Picture,
    samples: &[u8],
    kind: PixelType,
    size: (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Error> {
    let stored = (picture.width, picture.height);
    let work = Resampling { samples, stored, kind, size, window: Window::whole(size), filter };
    let mut shown = Vec::new();
    ROOM.with_borrow_mut(|room| work.run(room, &mut shown))?;
    Ok(shown)
}

/// A part of a picture, pixels.
#[derive(Debug, Clone, Copy)]
struct Window {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Window {
    fn whole((width, height): (u32, u32)) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    fn middle((width, height): (u32, u32), side: u32) -> Result<Self, Error> {
        if side == 0 || side > width.min(height) {
            return Err(Error::Preparation {
                problem: format!("no square of {side} in {width} x {height} pixels"),
            });
        }
        let offset = |size: u32| (f64::from(size - side) / 2.0).round_ties_even() as u32;
        Ok(Self { left: offset(width), top: offset(height), width: side, height: side })
    }
}

/// What a thread keeps from picture to picture: pages that the allocator returns to the system and asks for anew at
/// every picture cost as much as resizing.
#[derive(Default)]
struct Room {
    resizer: Resizer,
    /// Between the passes.
    narrow: Vec<u8>,
    /// Behind them, where only floats are wanted of it.
    shown: Vec<u8>,
}

/// Bytes of a buffer that is kept, so that nothing stays of a huge picture.
const MOST_KEPT: usize = 8 << 20;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// One resize.
struct Resampling<'a> {
    samples: &'a [u8],
    /// Width and height of the samples.
    stored: (u32, u32),
    kind: PixelType,
    /// What they are resized to.
    size: (u32, u32),
    /// What is wanted of that.
    window: Window,
    filter: Filter,
}

impl Resampling<'_> {
    /// Fills `shown` with the window's samples.
    fn run(&self, room: &mut Room, shown: &mut Vec<u8>) -> Result<(), Error> {
        let Self { samples, stored: (stored_width, stored_height), kind, size, window, filter } = *self;
        // The kernel, and how far it reaches to both sides at scale 1.
        let (kernel, reach) = match filter {
            Filter::Bilinear => (FilterType::Bilinear, 1.0),
            Filter::Bicubic => (FilterType::CatmullRom, 2.0),
        };
        let (scale_x, scale_y) =
            (f64::from(stored_width) / f64::from(size.0), f64::from(stored_height) / f64::from(size.1));
        let (left, columns) = (f64::from(window.left) * scale_x, f64::from(window.width) * scale_x);
        let (top, rows) = (f64::from(window.top) * scale_y, f64::from(window.height) * scale_y);
        // The stored rows that the second pass reads.
        let margin = reach * scale_y.max(1.0) + 1.0;
        let first = (top - margin).floor().max(0.0);
        let last = (top + rows + margin).ceil().min(f64::from(stored_height));
        let height = (last - first) as u32;
        // Rows first, then columns; the library by itself takes the other order, which rounds otherwise. Pillow does as we
        // do wherever proportions are kept; from release 13 on it takes columns first where height shrinks far more than
        // width.
        let columns = columns.min(f64::from(stored_width) - left);
        let rows = rows.min(f64::from(height) - (top - first));
        let Room { resizer, narrow, .. } = room;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(kernel));
        let mut pass = |source: (&[u8], u32, u32), cut: [f64; 4], target: (&mut Vec<u8>, u32, u32)| {
            let [left, top, width, height] = cut;
            let options = options.crop(left, top, width, height);
            let (samples, source_width, source_height) = source;
            let (out, target_width, target_height) = target;
            out.resize(target_width as usize * target_height as usize * kind.size(), 0);
            let refused = |problem: String| Error::Preparation { problem };
            let view = ImageRef::new(source_width, source_height, samples, kind)
                .map_err(|error| refused(error.to_string()))?;
            let mut target = Image::from_slice_u8(target_width, target_height, out, kind)
                .map_err(|error| refused(error.to_string()))?;
            resizer.resize(&view, &mut target, &options).map_err(|error| refused(error.to_string()))
        };
        let source = (samples, stored_width, stored_height);
        pass(source, [left, first, columns, last - first], (narrow, window.width, height))?;
        let cut = [0.0, top - first, f64::from(window.width), rows];
        pass((narrow, window.width, height), cut, (shown, window.width, window.height))?;
        if narrow.capacity() > MOST_KEPT {
            *narrow = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
