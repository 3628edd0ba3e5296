//! Picture ids as different files write them, and the one form in which they are compared.

use std::borrow::Cow;

use data_specs::IdMatching;

/// Brings ids into the form in which they are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids(pub(crate) IdMatching);

impl Ids {
    /// `COCO_train2014_000000000009.jpg` and `9` are one picture where numbers count.
    pub(crate) fn normal(self, id: &str) -> Cow<'_, str> {
        // A composed corpus writes `<data set>/<id>`; the data set is compared as it stands.
        if let Some((source, id)) = id.split_once('/') {
            return Cow::Owned(format!("{source}/{}", self.normal(id)));
        }
        let id = [".jpg", ".jpeg", ".png"].iter().find_map(|end| id.strip_suffix(end)).unwrap_or(id);
        match self.0 {
            IdMatching::Exact | IdMatching::FileNames => Cow::Borrowed(id),
            IdMatching::TrailingDigits => {
                let number = id.rsplit_once('_').map_or(id, |(_, last)| last);
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                if !digits {
                    return Cow::Borrowed(id);
                }
                let number = number.trim_start_matches('0');
                Cow::Borrowed(if number.is_empty() { "0" } else { number })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coco_names_are_numbers_and_other_names_are_names() {
        let ids = Ids(IdMatching::TrailingDigits);
        for (id, normal) in [
            ("COCO_train2014_000000132417", "132417"),
            ("000000000790.jpg", "790"),
            ("132417", "132417"),
            ("coco/000000000009", "coco/9"),
            ("0000", "0"),
            ("69be53cdfa68ea3e", "69be53cdfa68ea3e"),
            ("dev-850-0-img0.png", "dev-850-0-img0"),
            ("a_", "a_"),
            ("", ""),
        ] {
            assert_eq!(ids.normal(id), normal, "{id}");
        }
        assert_eq!(
            Ids(IdMatching::Exact).normal("COCO_train2014_000000132417.jpg"),
            "COCO_train2014_000000132417"
        );
    }
}
