//! Pictures as people keep them: found while planning, read back when their row is built.

mod folder;
mod image_tsv;
mod likeness;
mod parquet;
mod scan;
#[cfg(test)]
pub(crate) mod trial;
mod webdataset;

pub use folder::Folder;
pub use image_tsv::ImageTsv;
pub(crate) use likeness::Likenesses;
pub use parquet::Parquet;
pub(crate) use scan::Files;
pub use webdataset::Webdataset;

use std::path::Path;

use bytes::Bytes;
use data_specs::{EncodedImage, ImagesFormat, ImagesSpec};

use crate::inputs::{FolderStamp, Input, ScanContext, Span};
use crate::sources::spec_error;
use crate::{Error, Reject, RejectReason};

/// A way of keeping pictures.
pub trait PictureSource: Send + Sync {
    /// Reports every picture, in an order that depends on the data alone.
    ///
    /// # Errors
    /// A folder or file that cannot be read, or holds no pictures at all.
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<ScannedPictures, Error>;

    /// The picture's file from the bytes of its span.
    ///
    /// # Errors
    /// The reason; the caller knows file, line and key.
    fn read(&self, part: Vec<u8>) -> Result<PictureFile, RejectReason>;
}

/// The source that a spec names.
///
/// # Errors
/// A key that the format does not read.
pub(crate) fn source(spec: &ImagesSpec, path: &Path) -> Result<Box<dyn PictureSource>, Error> {
    let keys = [("column", spec.column.is_some()), ("id_column", spec.id_column.is_some())];
    let of_parquet = spec.format == ImagesFormat::Parquet;
    if let Some((key, _)) = keys.iter().find(|(_, given)| *given && !of_parquet) {
        let what = format!("the format {} has no such key", crate::rejects_file::word(&spec.format));
        let hint = "leave it out, or set images.format to parquet".to_string();
        return Err(spec_error(format!("images.{key}"), what, hint));
    }
    let path = path.to_path_buf();
    Ok(match spec.format {
        ImagesFormat::Folder => Box::new(Folder { path }),
        ImagesFormat::Webdataset => Box::new(Webdataset { path }),
        ImagesFormat::ImageTsv => Box::new(ImageTsv { path }),
        ImagesFormat::Parquet => Box::new(Parquet::new(
            &path,
            spec.column.as_deref().unwrap_or("image"),
            spec.id_column.as_deref(),
        )),
    })
}

/// What a scan finds.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundPicture {
    /// A picture, by its id and place.
    Picture {
        /// The id: a file name without its ending, or what the source calls it.
        id: String,
        /// What [`PictureSource::read`] takes.
        span: Span,
    },
    /// Something that should be one and cannot be read.
    Reject(Reject),
}

/// A scan's summary.
#[derive(Debug, Clone, PartialEq)]
pub struct ScannedPictures {
    /// The files in the order of their input indices.
    pub inputs: Vec<Input>,
    /// Folders whose listing decides what was found.
    pub folders: Vec<FolderStamp>,
    /// What a user should know and may have overlooked.
    pub warnings: Vec<String>,
}

/// A picture's file, still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    /// The file's bytes.
    pub bytes: Bytes,
    /// Its name within the source, where it has one.
    pub path: Option<String>,
}

impl PictureFile {
    /// As a row keeps it whole.
    pub fn whole(&self) -> EncodedImage {
        EncodedImage { bytes: Some(self.bytes.clone()), path: self.path.clone() }
    }
}

/// Whether a file name ends as pictures do; what such a file holds is told by its bytes alone.
pub(crate) fn is_picture_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let endings = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib"];
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// `train/0001.jpg` is picture `0001`.
pub(crate) fn id_of(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_format_does_not_read_is_refused() {
        let spec = |format: ImagesFormat, id_column: Option<&str>| ImagesSpec {
            format,
            path: None,
            column: None,
            id_column: id_column.map(str::to_string),
            keep: data_specs::KeepImage::None,
        };
        use ImagesFormat::{Folder, ImageTsv, Parquet, Webdataset};
        for format in [Folder, Webdataset, ImageTsv] {
            assert!(source(&spec(format, None), Path::new("x")).is_ok());
            let said = source(&spec(format, Some("id")), Path::new("x")).err().unwrap().to_string();
            assert!(said.contains("images.id_column") && said.contains("no such key"), "{said}");
        }
        assert!(source(&spec(Parquet, Some("id")), Path::new("x")).is_ok());
    }
}
