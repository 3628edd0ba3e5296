//! Detected or annotated objects as JSON: `{"class": "dog", "conf": 0.9, "rect": [x1, y1, x2, y2]}`.

use std::borrow::Cow;

use data_specs::Tag;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::boxes::check_box;
use crate::reject::{Code, RejectReason};

/// One object; fields that Oscar does not use are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct LabelObject<'a> {
    #[serde(borrow)]
    class: Cow<'a, str>,
    #[serde(default)]
    conf: Option<f32>,
    #[serde(default)]
    rect: Option<[f32; 4]>,
}

/// The objects of a picture, and its size where the record states it.
#[derive(Debug, Deserialize)]
pub(super) struct Labels<'a> {
    #[serde(borrow)]
    pub(super) objects: Vec<LabelObject<'a>>,
    /// What people drew or confirmed, beside what a detector found.
    #[serde(borrow, default)]
    pub(super) gt_objects: Option<Vec<LabelObject<'a>>>,
    #[serde(default, deserialize_with = "side")]
    pub(super) image_w: Option<u32>,
    #[serde(default, deserialize_with = "side")]
    pub(super) image_h: Option<u32>,
}

impl Labels<'_> {
    /// Parses a record: an object with `objects`, or the bare list of them.
    pub(super) fn parse<'a>(json: &'a [u8], what: &str) -> Result<Labels<'a>, RejectReason> {
        let bare = json.trim_ascii_start().first() == Some(&b'[');
        let parsed = if bare {
            let labels = |objects| Labels { objects, gt_objects: None, image_w: None, image_h: None };
            serde_json::from_slice(json).map(labels)
        } else {
            serde_json::from_slice(json)
        };
        parsed.map_err(|error| bad_json(what, &error))
    }

    /// Width and height; both or none.
    pub(super) fn size(&self) -> Result<Option<(u32, u32)>, RejectReason> {
        match (self.image_w, self.image_h) {
            (Some(width), Some(height)) => Ok(Some((width, height))),
            (None, None) => Ok(None),
            _ => Err(RejectReason::new(Code::BadJson, "image_w and image_h go together; one is missing")),
        }
    }
}

/// Tags with boxes of their own: they correspond to no region, whatever their number.
pub(super) fn tags(objects: &[LabelObject<'_>], origin: &str) -> Result<Vec<Tag>, RejectReason> {
    let tag = |(index, object): (usize, &LabelObject<'_>)| {
        let refuse = |code, message: &str| Err(RejectReason::new(code, format!("object {index}: {message}")));
        let name = object.class.trim();
        if name.is_empty() {
            return refuse(Code::EmptyField, "its class is empty");
        }
        if let Some(Err(reason)) = object.rect.map(|rect| check_box(rect, None)) {
            return refuse(reason.code, &format!("its rect {}", reason.message));
        }
        Ok(Tag {
            name: name.to_string(),
            score: object.conf,
            region: None,
            rect: object.rect,
            origin: origin.to_string(),
        })
    };
    objects.iter().enumerate().map(tag).collect()
}

/// The reject of JSON that does not parse or has another shape.
pub(super) fn bad_json(what: &str, error: &serde_json::Error) -> RejectReason {
    RejectReason::new(Code::BadJson, format!("{what}: {error}"))
}

/// A side in pixels; exporters write 640 and 640.0.
pub(super) fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(side) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
    if side >= 1.0 && side <= f64::from(u32::MAX) && side.fract() == 0.0 {
        return Ok(Some(side as u32));
    }
    Err(D::Error::custom(format!("{side} is not a side in pixels")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Tag>, Code> {
        let labels = Labels::parse(json.as_bytes(), "labels").map_err(|reason| reason.code)?;
        labels.size().map_err(|reason| reason.code)?;
        tags(&labels.objects, "vg").map_err(|reason| reason.code)
    }

    #[test]
    fn a_bare_list_and_a_record_say_the_same() {
        let list =
            r#"[{"class": "dog", "conf": 0.5, "rect": [1, 2, 30.5, 40], "attr": "red"}, {"class": " cat"}]"#;
        let tags = read(list).unwrap();
        assert_eq!((tags[0].name.as_str(), tags[0].score), ("dog", Some(0.5)));
        assert_eq!(tags[0].rect, Some([1.0, 2.0, 30.5, 40.0]));
        assert_eq!((tags[1].name.as_str(), tags[1].score, tags[1].rect), ("cat", None, None));
        let record = format!(r#"{{"objects": {list}, "image_h": 480, "image_w": 640.0}}"#);
        assert_eq!(read(&record).unwrap(), tags);
        assert_eq!(Labels::parse(record.as_bytes(), "labels").unwrap().size(), Ok(Some((640, 480))));
    }

    #[test]
    fn each_wrong_shape_has_its_code() {
        for bad in [
            "",
            "7",
            "{}",
            "[1]",
            "[{}]",
            r#"[{"class": 3}]"#,
            r#"[{"class": "a", "rect": [1, 2, 3]}]"#,
            r#"[{"class": "a", "conf": NaN}]"#,
            r#"[{"class": "a", "conf": 1e300}]"#, // no f32
            r#"{"objects": [], "image_h": 480}"#,
            r#"{"objects": [], "image_h": 0, "image_w": 1}"#,
            r#"{"objects": [], "image_h": 1.5, "image_w": 1}"#,
            r#"[{"class": "a"}] tail"#,
        ] {
            assert_eq!(read(bad), Err(Code::BadJson), "{bad}");
        }
        assert_eq!(read(r#"[{"class": " "}]"#), Err(Code::EmptyField));
        assert_eq!(read(r#"[{"class": "a", "rect": [5, 1, 2, 3]}]"#), Err(Code::BadBox));
        assert_eq!(read("[]"), Ok(vec![]));
    }
}
