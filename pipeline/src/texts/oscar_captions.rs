//! Oscar's own caption files: `[{"image_id": "106140", "id": 0, "caption": "..."}, ...]`.

use std::path::PathBuf;

use crate::inputs::{Input, Layout, ScanContext};
use crate::texts::coco::{caption_head, parse_caption};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat, scan};
use crate::{Error, RejectReason};

/// `train_caption.json` and the like beside Oscar's yaml: the records of COCO in a bare list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OscarCaptions {
    /// The `*_caption.json`.
    pub file: PathBuf,
}

impl TextFormat for OscarCaptions {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let (input, _) = scan::elements(context, 0, &self.file, Layout::List, |element, place| {
            found(place.told(caption_head(element.value())))
        })?;
        Ok(vec![input])
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        parse_caption(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::trial::{Folder, Frame, mutants, run};

    const GOOD: &str = r#"[{"image_id": "106140", "id": 0, "caption": "A plane."}, {"image_id": 7, "id": 1, "caption": "B"}]"#;

    #[test]
    fn a_bare_list_of_captions() {
        let folder = Folder::new();
        let trial = run(&OscarCaptions { file: folder.file("train_caption.json", GOOD) }).unwrap();
        assert_eq!(trial.images(), ["106140", "7"]);
        assert_eq!(trial.texts()[0].text, "A plane.");
        let refused =
            run(&OscarCaptions { file: folder.file("coco.json", r#"{"annotations": []}"#) }).map(|_| ());
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("found `{` (byte 0) where an outermost list `[` is due")
        );
    }

    #[test]
    fn mutants_are_accounted_for() {
        mutants(&[("c.json", GOOD, Frame::Json(Layout::List))], |paths| {
            Box::new(OscarCaptions { file: paths[0].clone() })
        });
    }
}
