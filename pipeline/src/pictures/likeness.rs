//! Pictures that look like those of a test set, whatever they are called.

use std::path::PathBuf;

use finetune_regions::Fingerprint;
use finetune_regions::decoding::{Limits, decode};
use rayon::prelude::*;

use super::{Folder, FoundPicture, PictureSource};
use crate::Error;
use crate::inputs::{FolderStamp, Input, InputFile, ScanContext, Span};

/// Folders of pictures to keep out of a data set, with all copies of them.
#[derive(Debug, Clone)]
pub(crate) struct Likenesses {
    /// The folders.
    pub(crate) folders: Vec<PathBuf>,
    /// Bits of two fingerprints that may differ.
    pub(crate) distance: u32,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    pub(crate) inputs: Vec<Input>,
    pub(crate) folders: Vec<FolderStamp>,
    /// Id of each picture to leave out, and which one it looks like.
    pub(crate) excluded: Vec<(String, String)>,
}

/// Pictures decoded at a time.
const AT_A_TIME: usize = 64;

impl Likenesses {
    /// Compares every picture of `seen` (id and place in the files of `inputs`) with those of the folders.
    ///
    /// A picture that cannot be decoded looks like none; it is turned away when its row is built.
    pub(crate) fn find(
        &self,
        context: ScanContext<'_>,
        source: &dyn PictureSource,
        inputs: &[Input],
        seen: &[(String, Span)],
    ) -> Result<Alike, Error> {
        let mut alike = Alike::default();
        let mut kept_out = Vec::new();
        for (nth, path) in self.folders.iter().enumerate() {
            let derived = context.derived.join(format!("excluded-{nth}"));
            std::fs::create_dir_all(&derived).map_err(Error::io("create", &derived))?;
            let context = ScanContext { derived: &derived, first_input: 0, ..context };
            let folder = Folder { path: path.clone() };
            let mut pictures = Vec::new();
            let scanned = folder.scan(context, &mut |found| {
                if let FoundPicture::Picture { id, span } = found {
                    pictures.push((id, span));
                }
                Ok(())
            })?;
            let listing = [InputFile::open(&scanned.inputs[0].path)?];
            let prints = fingerprints(context, &folder, &listing, 0, &pictures)?;
            kept_out
                .extend(pictures.into_iter().zip(prints).filter_map(|((id, _), print)| Some((id, print?))));
            alike.inputs.extend(scanned.inputs);
            alike.folders.extend(scanned.folders);
        }
        if kept_out.is_empty() {
            return Ok(alike);
        }
        let files = inputs.iter().map(|input| InputFile::open(&input.path)).collect::<Result<Vec<_>, _>>()?;
        let first = seen.iter().map(|(_, span)| span.input).min().unwrap_or_default();
        let prints = fingerprints(context, source, &files, first, seen)?;
        for ((id, _), print) in seen.iter().zip(prints) {
            let Some(print) = print else { continue };
            let mut distances = kept_out.iter().map(|(other, kept)| (other, print.distance(*kept)));
            if let Some((other, bits)) = distances.find(|(_, bits)| *bits <= self.distance) {
                alike.excluded.push((
                    id.clone(),
                    format!(
                        "looks like picture `{other}`, which is to be left out ({bits} of 128 bits differ)"
                    ),
                ));
            }
        }
        Ok(alike)
    }
}

/// The fingerprint of each picture that can be decoded; file `first` of the plan is the first of `files`.
fn fingerprints(
    context: ScanContext<'_>,
    source: &dyn PictureSource,
    files: &[InputFile],
    first: u16,
    pictures: &[(String, Span)],
) -> Result<Vec<Option<Fingerprint>>, Error> {
    let mut all = Vec::with_capacity(pictures.len());
    for some in pictures.chunks(AT_A_TIME) {
        crate::plan::interrupted(context.watch)?;
        let print = |(_, span): &(String, Span)| {
            let bytes = files[usize::from(span.input - first)].read(*span).ok()?;
            let file = source.read(bytes).ok()?;
            let picture = decode(&file.bytes, &Limits::default()).ok()?;
            Fingerprint::of(&picture).ok()
        };
        all.extend(some.par_iter().map(print).collect::<Vec<_>>());
    }
    Ok(all)
}
