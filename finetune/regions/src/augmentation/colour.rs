//! Changes of colours as Pillow computes them.

use super::Draws;
use crate::decoding::Picture;

/// Pillow's luma: `L = (19595 R + 38470 G + 7471 B + 2^15) >> 16`.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// Pillow's blend: `from + factor (to - from)` in f32, cut off, and clipped where it goes beyond both.
fn blend(from: u8, to: u8, factor: f64) -> u8 {
    let (from, to, factor) = (f32::from(from), f32::from(to), factor as f32);
    (from + factor * (to - from)).clamp(0.0, 255.0) as u8
}

/// `ImageEnhance.Brightness`: towards black.
pub(super) fn brightness(picture: &mut Picture, factor: f64) {
    picture.rgb.iter_mut().for_each(|value| *value = blend(0, *value, factor));
}

/// `ImageEnhance.Contrast`: towards the mean luma.
pub(super) fn contrast(picture: &mut Picture, factor: f64) {
    let pixels = picture.rgb.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|pixel| u64::from(luma(*pixel))).sum();
    let mean = (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8;
    picture.rgb.iter_mut().for_each(|value| *value = blend(mean, *value, factor));
}

/// `ImageEnhance.Color`: towards grey.
pub(super) fn saturation(picture: &mut Picture, factor: f64) {
    for pixel in picture.rgb.as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// `ImageEnhance.Sharpness`: towards a 3 x 3 smoothing that leaves the border alone.
pub(super) fn sharpness(picture: &mut Picture, factor: f64) {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let source = picture.rgb.clone();
    for y in 1..height.saturating_sub(1) {
        for at in (y * width + 1) * 3..(y * width + width.saturating_sub(1)) * 3 {
            let row = 3 * width;
            let around =
                [at - row - 3, at - row, at - row + 3, at - 3, at + 3, at + row - 3, at + row, at + row + 3];
            let sum: u32 = around.iter().map(|at| u32::from(source[*at])).sum();
            // (1 1 1, 1 5 1, 1 1 1) / 13, rounded
            let smooth = (f64::from(sum + 5 * u32::from(source[at])) / 13.0 + 0.5) as u8;
            picture.rgb[at] = blend(smooth, source[at], factor);
        }
    }
}

/// `ImageOps.autocontrast`: each channel stretched to 0..255.
pub(super) fn autocontrast(picture: &mut Picture) {
    for channel in 0..3 {
        let values = || picture.rgb.iter().skip(channel).step_by(3);
        let (low, high) = (values().min().copied().unwrap_or(0), values().max().copied().unwrap_or(0));
        if high > low {
            let scale = 255.0 / f64::from(high - low);
            let offset = -f64::from(low) * scale;
            let table = |value: u8| (f64::from(value) * scale + offset).clamp(0.0, 255.0) as u8;
            picture.rgb.iter_mut().skip(channel).step_by(3).for_each(|value| *value = table(*value));
        }
    }
}

/// `ImageOps.equalize`: each channel's histogram made flat.
pub(super) fn equalize(picture: &mut Picture) {
    for channel in 0..3 {
        let mut histogram = [0u64; 256];
        picture.rgb.iter().skip(channel).step_by(3).for_each(|value| histogram[usize::from(*value)] += 1);
        let filled: Vec<u64> = histogram.iter().copied().filter(|count| *count > 0).collect();
        let Some(last) = filled.last().filter(|_| filled.len() > 1) else { continue };
        let step = (filled.iter().sum::<u64>() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut n = step / 2;
        let table = histogram.map(|count| {
            let value = (n / step).min(255) as u8;
            n += count;
            value
        });
        picture.rgb.iter_mut().skip(channel).step_by(3).for_each(|value| *value = table[usize::from(*value)]);
    }
}

pub(super) fn invert(picture: &mut Picture) {
    picture.rgb.iter_mut().for_each(|value| *value = 255 - *value);
}

/// Keeps the highest bits.
pub(super) fn posterize(picture: &mut Picture, bits: u32) {
    let mask = !(0xff_u32 >> bits) as u8;
    picture.rgb.iter_mut().for_each(|value| *value &= mask);
}

/// Inverts values from `threshold` on.
pub(super) fn solarize(picture: &mut Picture, threshold: u32) {
    let is_bright = |value: u8| u32::from(value) >= threshold;
    picture.rgb.iter_mut().filter(|value| is_bright(**value)).for_each(|value| *value = 255 - *value);
}

/// Adds to the values below 128.
pub(super) fn solarize_add(picture: &mut Picture, addition: u8) {
    let dark = picture.rgb.iter_mut().filter(|value| **value < 128);
    dark.for_each(|value| *value = value.saturating_add(addition));
}

/// AlexNet's lighting: every channel is shifted along the principal components of ImageNet's pixels.
///
/// # Shapes
/// - `x_chw`: 3 x h x w, normalised by `std`
pub(super) fn light(x_chw: &mut [f32], deviation: f64, std: [f32; 3], draws: &mut Draws) {
    const VALUES: [f64; 3] = [0.2175, 0.0188, 0.0045];
    const VECTORS: [[f64; 3]; 3] =
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]];
    let along = [(); 3].map(|()| draws.normal(deviation));
    let area = x_chw.len() / 3;
    for (c, plane) in x_chw.chunks_exact_mut(area).enumerate() {
        let shift: f64 = (0..3).map(|k| VECTORS[c][k] * along[k] * VALUES[k]).sum();
        plane.iter_mut().for_each(|value| *value += shift as f32 / std[c]);
    }
}
