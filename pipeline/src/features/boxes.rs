//! What a box must fulfil, whoever made it.

use crate::reject::{Code, RejectReason};

/// Share of a side by which a corner may lie outside its picture: detectors that do not clip
/// overshoot a little; width and height exchanged, or boxes of another scale, overshoot more.
const OVERSHOOT: f32 = 0.25;

/// Checks corner boxes (x1, y1, x2, y2): finite, not inverted, and near the picture if its size is known.
pub(super) fn check_boxes(boxes: &[[f32; 4]], size: Option<[f32; 2]>) -> Result<(), RejectReason> {
    boxes.iter().enumerate().try_for_each(|(region, &corners)| {
        check_box(corners, size).map_err(|reason| RejectReason {
            code: reason.code,
            message: format!("box {region}: {}", reason.message),
        })
    })
}

/// Checks one box; see [`check_boxes`].
pub(super) fn check_box(corners: [f32; 4], size: Option<[f32; 2]>) -> Result<(), RejectReason> {
    let [x1, y1, x2, y2] = corners;
    if !corners.iter().all(|number| number.is_finite()) {
        return Err(RejectReason::new(Code::NonFinite, "a corner is not a finite number"));
    }
    if x2 < x1 || y2 < y1 {
        return Err(RejectReason::new(Code::BadBox, format!("({x1}, {y1}, {x2}, {y2}) is inverted")));
    }
    if let Some([width, height]) = size {
        let inside =
            |low: f32, high: f32, side: f32| low >= -OVERSHOOT * side && high <= side + OVERSHOOT * side;
        if !inside(x1, x2, width) || !inside(y1, y2, height) {
            let message = format!("({x1}, {y1}, {x2}, {y2}) is far outside a picture of {width} x {height}");
            return Err(RejectReason::new(Code::BadBox, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_upright_finite_and_near_the_picture() {
        let code = |corners, size| check_boxes(&[corners], size).err().map(|reason| reason.code);
        let size = Some([640.0, 480.0]);
        assert_eq!(code([0.0, 0.0, 640.0, 480.0], size), None);
        assert_eq!(code([5.0, 5.0, 5.0, 5.0], size), None);
        assert_eq!(code([-3.0, -2.0, 644.0, 483.0], size), None);
        assert_eq!(code([6.0, 5.0, 5.0, 5.0], None), Some(Code::BadBox));
        assert_eq!(code([5.0, 6.0, 5.0, 5.0], None), Some(Code::BadBox));
        assert_eq!(code([f32::NAN, 0.0, 1.0, 1.0], None), Some(Code::NonFinite));
        assert_eq!(code([0.0, 0.0, f32::INFINITY, 1.0], None), Some(Code::NonFinite));
        assert_eq!(code([0.0, 0.0, 480.0, 640.0], size), Some(Code::BadBox)); // sides exchanged
        assert_eq!(code([0.0, 0.0, 9000.0, 10.0], None), None); // nothing to compare with
    }
}
