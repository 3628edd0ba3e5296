//! The six position numbers of a region, which Oscar appends to its feature vector.
//!
//! Oscar: x1/W, y1/H, x2/W, y2/H, w/W, h/H. Some VinVL exports end with h/H, w/W instead, and some
//! published tools write other numbers altogether, so what a file holds is found from its numbers:
//! the last two are compared with the differences of the corners.

use bytes::Bytes;
use data_specs::{Picture, Tag};

use super::block::RegionBlock;
use super::boxes::check_box;
use super::{FeatureLayout, GeometryOrder};
use crate::reject::{Code, RejectReason};

/// Numbers that the position adds to a vector.
pub(super) const NUMBERS: u32 = 6;

/// How far the size of a region may lie from the difference of its corners, in shares of a side:
/// enough for numbers that went through half precision, too little for another convention.
const TOLERANCE: f32 = 1e-3;

/// The position numbers of a box in absolute pixels, in exactly the form whose bits the published
/// features have: sizes are differences in pixels, divided once.
///
/// Paper: 2004.06165, section 3 (region position).
pub fn position_numbers(corners: [f32; 4], width: u32, height: u32) -> [f32; 6] {
    let [x1, y1, x2, y2] = corners;
    let (w, h) = (width as f32, height as f32);
    [x1 / w, y1 / h, x2 / w, y2 / h, (x2 - x1) / w, (y2 - y1) / h]
}

/// Which orders all regions of a block agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) width_height: bool,
    pub(super) height_width: bool,
}

impl Fit {
    /// Compares the last six of each region's `columns` numbers with each other.
    pub(super) fn of(block: &RegionBlock, columns: u32) -> Fit {
        let mut fit = Fit { width_height: true, height_width: true };
        for row in block.bytes.chunks_exact(columns as usize * 4) {
            fit.narrow(last_six(row));
        }
        fit
    }

    fn narrow(&mut self, [x1, y1, x2, y2, first, second]: [f32; 6]) {
        let near = |a: f32, b: f32| (a - b).abs() <= TOLERANCE; // false for NaN
        self.width_height &= near(first, x2 - x1) && near(second, y2 - y1);
        self.height_width &= near(first, y2 - y1) && near(second, x2 - x1);
    }

    fn allows(self, order: GeometryOrder) -> bool {
        match order {
            GeometryOrder::WidthHeight => self.width_height,
            GeometryOrder::HeightWidth => self.height_width,
        }
    }
}

/// A picture whose block carries position numbers after each vector.
///
/// Features and positions are parted in place; positions come out with width before height whatever
/// their order was. `boxes` are derived (corner times side), so only where `size` is known.
pub(super) fn picture_with_positions(
    id: &str,
    block: RegionBlock,
    layout: &FeatureLayout,
    size: Option<(u32, u32)>,
    tags: Vec<Tag>,
) -> Result<Picture, RejectReason> {
    let regions = block.regions;
    let (features, geometry) = part(block, layout)?;
    let boxes = size.map(|(width, height)| {
        let (w, h) = (width as f32, height as f32);
        geometry.iter().map(|&[x1, y1, x2, y2, ..]| [x1 * w, y1 * h, x2 * w, y2 * h]).collect()
    });
    Ok(Picture {
        image_id: id.to_string(),
        width: size.map(|(width, _)| width),
        height: size.map(|(_, height)| height),
        regions,
        boxes,
        features,
        geometry: Some(geometry),
        tags,
        ..Picture::default()
    })
}

fn part(mut block: RegionBlock, layout: &FeatureLayout) -> Result<(Bytes, Vec<[f32; 6]>), RejectReason> {
    let order = layout.geometry.unwrap_or(GeometryOrder::WidthHeight);
    let columns = layout.width + NUMBERS;
    block.check(columns)?;
    let (row, kept) = (columns as usize * 4, layout.width as usize * 4);
    let mut geometry = Vec::with_capacity(block.regions as usize);
    for region in 0..block.regions as usize {
        let start = region * row;
        let six = last_six(&block.bytes[start..start + row]);
        geometry.push(canonical(six, order).map_err(|reason| RejectReason {
            code: reason.code,
            message: format!("position of region {region}: {}", reason.message),
        })?);
        block.bytes.copy_within(start..start + kept, region * kept);
    }
    block.bytes.truncate(block.regions as usize * kept);
    Ok((Bytes::from(block.bytes), geometry))
}

/// Checks six numbers against `order` and puts width before height.
fn canonical(six: [f32; 6], order: GeometryOrder) -> Result<[f32; 6], RejectReason> {
    let [x1, y1, x2, y2, first, second] = six;
    check_box([x1, y1, x2, y2], Some([1.0, 1.0]))?;
    let mut fit = Fit { width_height: true, height_width: true };
    fit.narrow(six);
    if !fit.allows(order) {
        let found = if fit.width_height || fit.height_width {
            "the other order than the data set's"
        } else {
            "neither width, height nor height, width of these corners"
        };
        let message = format!("({first}, {second}) after ({x1}, {y1}, {x2}, {y2}) is {found}");
        return Err(RejectReason::new(Code::BoxOrder, message));
    }
    Ok(match order {
        GeometryOrder::WidthHeight => six,
        GeometryOrder::HeightWidth => [x1, y1, x2, y2, second, first],
    })
}

fn last_six(row: &[u8]) -> [f32; 6] {
    let numbers = row.as_chunks::<4>().0;
    let last = numbers.last_chunk::<6>().expect("a row with positions has more than six numbers");
    last.map(f32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(width: usize, positions: &[[f32; 6]]) -> RegionBlock {
        let row = |(index, six): (usize, &[f32; 6])| {
            let vector = (0..width).map(move |column| (index * width + column) as f32);
            vector.chain(*six).flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
        };
        let bytes = positions.iter().enumerate().flat_map(row).collect();
        RegionBlock { regions: positions.len() as u32, bytes }
    }

    const WH: [f32; 6] = [0.25, 0.5, 0.75, 0.625, 0.5, 0.125];
    const HW: [f32; 6] = [0.25, 0.5, 0.75, 0.625, 0.125, 0.5];
    const SQUARE: [f32; 6] = [0.25, 0.25, 0.5, 0.5, 0.25, 0.25];

    fn layout(geometry: GeometryOrder) -> FeatureLayout {
        FeatureLayout::imported(3, Some(geometry))
    }

    #[test]
    fn vectors_and_positions_are_parted_exactly() {
        for (order, six) in [(GeometryOrder::WidthHeight, WH), (GeometryOrder::HeightWidth, HW)] {
            let picture = picture_with_positions(
                "7",
                block(3, &[six, SQUARE]),
                &layout(order),
                Some((400, 200)),
                vec![],
            )
            .unwrap();
            let vectors: Vec<u8> = (0..6).flat_map(|number| (number as f32).to_le_bytes()).collect();
            assert_eq!(&picture.features[..], vectors);
            assert_eq!(picture.geometry, Some(vec![WH, SQUARE]));
            assert_eq!(picture.boxes, Some(vec![[100.0, 100.0, 300.0, 125.0], [100.0, 50.0, 200.0, 100.0]]));
            assert_eq!((picture.width, picture.height, picture.regions), (Some(400), Some(200), 2));
        }
    }

    #[test]
    fn the_order_shows_in_the_numbers() {
        let fit = |rows: &[[f32; 6]]| {
            let fit = Fit::of(&block(3, rows), 9);
            (fit.width_height, fit.height_width)
        };
        assert_eq!(fit(&[SQUARE, WH]), (true, false));
        assert_eq!(fit(&[HW, SQUARE]), (false, true));
        assert_eq!(fit(&[SQUARE]), (true, true));
        assert_eq!(fit(&[WH, HW]), (false, false));
        assert_eq!(fit(&[[f32::NAN; 6]]), (false, false));
    }

    #[test]
    fn rows_of_another_order_or_of_none_are_refused() {
        let code = |six, order| {
            let picture = picture_with_positions("7", block(3, &[six]), &layout(order), None, vec![]);
            picture.err().map(|reason| reason.code)
        };
        assert_eq!(code(WH, GeometryOrder::HeightWidth), Some(Code::BoxOrder));
        assert_eq!(code(HW, GeometryOrder::WidthHeight), Some(Code::BoxOrder));
        assert_eq!(code([0.1, 0.1, 0.2, 0.3, 0.7, 0.9], GeometryOrder::WidthHeight), Some(Code::BoxOrder));
        assert_eq!(code([0.5, 0.1, 0.2, 0.3, -0.3, 0.2], GeometryOrder::WidthHeight), Some(Code::BadBox));
        assert_eq!(code([0.0, 0.0, 9.0, 1.0, 9.0, 1.0], GeometryOrder::WidthHeight), Some(Code::BadBox));
        assert_eq!(code([f32::NAN; 6], GeometryOrder::WidthHeight), Some(Code::NonFinite));
        assert_eq!(code(SQUARE, GeometryOrder::HeightWidth), None);
    }

    #[test]
    fn position_numbers_divide_differences() {
        let corners = [433.083_68_f32, 166.867_6, 489.743_62, 259.217_6];
        let six = position_numbers(corners, 500, 333);
        assert_eq!(six[4].to_bits(), ((489.743_62_f32 - 433.083_68) / 500.0).to_bits());
        assert_ne!(six[4].to_bits(), (six[2] - six[0]).to_bits(), "the other form has other bits");
    }
}
