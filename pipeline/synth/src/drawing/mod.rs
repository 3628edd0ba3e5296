//! A scene as pixels, and which of them belong to which object.

mod background;
mod object;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tiny_skia::Pixmap;

use crate::chance::Chance;
use crate::scene::Scene;
use crate::world::World;

/// Nearly black: outlines, and what is not of an object's colour.
const INK: [u8; 3] = [38, 36, 44];

/// Pixels and what they show.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Three bytes a pixel, row by row.
    pub(crate) rgb: Vec<u8>,
    /// One byte a pixel: 0 for the background, else 1 + the object's number.
    pub(crate) owner: Vec<u8>,
    /// For each object.
    pub(crate) seen: Vec<Seen>,
}

/// What is to be seen of an object.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Left, top, right, bottom.
    pub(crate) rect: [u32; 4],
    /// Pixels that nothing hides.
    pub(crate) area: u32,
    /// Pixels with those that others hide.
    pub(crate) whole: u32,
}

/// Draws a scene of at most 255 objects.
pub(crate) fn draw(world: &World, scene: &Scene, chance: &mut Chance) -> Drawing {
    let mut canvas = Pixmap::new(scene.width, scene.height).expect("a world's pictures have a size");
    background::draw(world, scene, &mut canvas, chance);
    let mut owner = vec![0u8; (scene.width * scene.height) as usize];
    let mut seen = Vec::new();
    for (number, one) in (1u8..).zip(&scene.objects) {
        let drawn = object::draw(world, one);
        let whole = drawn.place(&mut canvas, &mut owner, number);
        seen.push(Seen { rect: [u32::MAX, u32::MAX, 0, 0], area: 0, whole });
    }
    for (at, &number) in owner.iter().enumerate().filter(|(_, number)| **number > 0) {
        let (x, y) = (at as u32 % scene.width, at as u32 / scene.width);
        let seen = &mut seen[usize::from(number) - 1];
        let [left, top, right, bottom] = seen.rect;
        seen.rect = [left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)];
        seen.area += 1;
    }
    let rgb = noisy(&canvas, world.picture.noise, chance);
    Drawing { width: scene.width, height: scene.height, rgb, owner, seen }
}

/// The canvas under uneven light, with noise on every channel.
fn noisy(canvas: &Pixmap, deviation: f32, chance: &mut Chance) -> Vec<u8> {
    // The sum of four bytes, two of them negative, has this deviation.
    const OF_BYTES: f32 = 147.8;
    let scale = deviation / OF_BYTES;
    let light = [chance.between([0.9, 1.04]), chance.between([0.9, 1.04])];
    let width = canvas.width() as usize;
    let mut rgb = Vec::with_capacity(canvas.pixels().len() * 3);
    for (at, pixel) in canvas.pixels().iter().enumerate() {
        let across = (at % width) as f32 / width as f32;
        let lit = light[0] + (light[1] - light[0]) * across;
        let words = [chance.word().to_le_bytes(), chance.word().to_le_bytes()];
        let four = [&words[0][..4], &words[0][4..], &words[1][..4]];
        for (channel, bytes) in [pixel.red(), pixel.green(), pixel.blue()].into_iter().zip(four) {
            let sum = i32::from(bytes[0]) + i32::from(bytes[1]) - i32::from(bytes[2]) - i32::from(bytes[3]);
            rgb.push((f32::from(channel) * lit + sum as f32 * scale).clamp(0.0, 255.0) as u8);
        }
    }
    rgb
}

/// A JPEG of `rgb`.
///
/// # Panics
/// If the buffer does not fit the size.
pub(crate) fn jpeg(rgb: &[u8], width: u32, height: u32, quality: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality as u8)
        .write_image(rgb, width, height, ExtendedColorType::Rgb8)
        .expect("a buffer of the right size is written to memory");
    bytes
}

impl Drawing {
    /// The mask of an object as COCO's run lengths: column by column, background first.
    pub(crate) fn runs(&self, object: usize) -> Vec<u32> {
        let number = object as u8 + 1;
        let (mut runs, mut inside, mut length) = (Vec::new(), false, 0);
        for x in 0..self.width {
            for y in 0..self.height {
                let is = self.owner[(y * self.width + x) as usize] == number;
                if is != inside {
                    runs.push(length);
                    (inside, length) = (is, 0);
                }
                length += 1;
            }
        }
        runs.push(length);
        runs
    }

    /// A part of the pixels.
    pub(crate) fn cut(&self, [left, top, right, bottom]: [u32; 4]) -> Vec<u8> {
        (top..bottom)
            .flat_map(|y| {
                let row = (y * self.width) as usize * 3;
                &self.rgb[row + left as usize * 3..row + right as usize * 3]
            })
            .copied()
            .collect()
    }
}
