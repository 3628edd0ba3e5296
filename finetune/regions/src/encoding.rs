//! Pictures as files again: small copies to look at, and exact ones.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::Error;
use crate::decoding::Picture;
use crate::preparation::{Filter, Resize, resize};

/// JPEG's usual compromise for pictures that are only looked at.
const QUALITY: u8 = 85;

/// A JPEG of `picture` with at most `side` pixels a side; smaller pictures keep their size.
///
/// # Errors
/// A picture whose buffer does not fit its size.
pub fn thumbnail(picture: &Picture, side: u32) -> Result<Vec<u8>, Error> {
    let long = picture.width.max(picture.height);
    let small = if long > side {
        let scaled = |size: u32| (u64::from(size) * u64::from(side)).div_ceil(u64::from(long)) as u32;
        let exact = Resize::Exact { width: scaled(picture.width), height: scaled(picture.height) };
        &resize(picture, exact, Filter::Bilinear)?
    } else {
        picture
    };
    small.checked_len()?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .write_image(&small.rgb, small.width, small.height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::Preparation { problem: format!("no thumbnail: {error}") })?;
    Ok(jpeg)
}

/// An exact PNG of `picture`.
///
/// # Errors
/// A picture whose buffer does not fit its size.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, Error> {
    picture.checked_len()?;
    let refused = |error: png::EncodingError| Error::Preparation { problem: format!("no PNG: {error}") };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(&picture.rgb).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoding::{Limits, decode, probe};

    #[test]
    fn sides_shrink_together_and_never_grow() {
        for ((width, height), expected) in
            [((512, 300), (256, 150)), ((1, 1000), (1, 256)), ((20, 10), (20, 10)), ((256, 256), (256, 256))]
        {
            let picture = Picture { width, height, rgb: vec![90; (width * height * 3) as usize] };
            let info = probe(&thumbnail(&picture, 256).unwrap()).unwrap();
            assert_eq!((info.width, info.height), expected);
        }
    }

    #[test]
    fn a_png_is_the_picture() {
        let picture = Picture { width: 3, height: 2, rgb: (0..18).collect() };
        assert_eq!(decode(&encode_png(&picture).unwrap(), &Limits::default()).unwrap(), picture);
    }
}
