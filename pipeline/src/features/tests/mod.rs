//! The formats from the outside: files in, pictures, rejects and errors out.

mod bad_input;
mod good_input;
mod mutants;
mod reference;
mod synthetic;
mod torch;

use data_specs::Picture;

use super::{FeatureFormat, PictureRecord, ScannedFeatures, ScannedPicture};
use crate::inputs::{InputFile, ScanContext};
use crate::{Code, Error, Reject, RejectReason};

/// All that an import says.
#[derive(Debug)]
struct Imported {
    scanned: ScannedFeatures,
    pictures: Vec<(PictureRecord, Result<Picture, RejectReason>)>,
    rejects: Vec<Reject>,
}

impl Imported {
    /// The pictures, none of which may have been refused.
    fn all_good(self) -> Vec<Picture> {
        assert_eq!(self.rejects, []);
        self.pictures.into_iter().map(|(_, picture)| picture.unwrap()).collect()
    }

    /// Line and reason of every row that is no picture, from scan and decoding.
    fn refused(&self) -> Vec<(u64, Code)> {
        let scan = self.rejects.iter().map(|reject| (reject.line.unwrap(), reject.code));
        let decode = self.pictures.iter().filter_map(|(record, picture)| {
            picture.as_ref().err().map(|reason| (record.spans[0].line, reason.code))
        });
        let mut refused: Vec<_> = scan.chain(decode).collect();
        refused.sort_unstable();
        refused
    }
}

/// Scans and decodes everything, as a build does in two steps.
fn import(format: &dyn FeatureFormat) -> Result<Imported, Error> {
    const FIRST: u16 = 3;
    let derived = tempfile::tempdir().unwrap();
    let context =
        ScanContext { source: "test", first_input: FIRST, derived: derived.path(), watch: &crate::Unwatched };
    let (mut records, mut rejects) = (Vec::new(), Vec::new());
    let scanned = format.scan(context, &mut |found| {
        match found {
            ScannedPicture::Record(record) => records.push(record),
            ScannedPicture::Reject(reject) => rejects.push(reject),
        }
        Ok(())
    })?;
    let open = |input: &crate::inputs::Input| InputFile::open_planned(&input.path, &input.stamp).unwrap();
    let files: Vec<InputFile> = scanned.inputs.iter().map(open).collect();
    let pictures = records
        .into_iter()
        .map(|record| {
            let read =
                |span: &crate::inputs::Span| files[usize::from(span.input - FIRST)].read(*span).unwrap();
            let parts: Vec<Vec<u8>> = record.spans.iter().map(read).collect();
            let picture = format.decode(&scanned.layout, &record, &parts);
            (record, picture)
        })
        .collect();
    Ok(Imported { scanned, pictures, rejects })
}
