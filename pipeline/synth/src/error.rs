//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

/// Why a corpus could not be drawn, written or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder of the corpus holds something already.
    #[error("{} is not empty\n  hint: name a new folder; a corpus is written whole or not at all", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A world description that cannot be drawn.
    #[error("{place}: {what}\n  hint: docs/synth.md describes the keys of a world")]
    World {
        /// File and key.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// More pictures were asked for than can be numbered, or fewer than make every split.
    #[error("{images} pictures cannot be shared out: {what}")]
    Images {
        /// How many were asked for.
        images: usize,
        /// Why not.
        what: String,
    },
    /// No scene that satisfies the world could be arranged.
    #[error(
        "no scene could be arranged in {attempts} attempts ({what})\n  hint: fewer or smaller objects, or larger pictures"
    )]
    Crowded {
        /// How often it was tried.
        attempts: u64,
        /// Which scene.
        what: String,
    },
    /// A file of a corpus that does not have the layout it should have.
    #[error("{}: {what}\n  hint: `pipeline synth` writes the folders that can be measured", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The caller asked to stop.
    #[error("interrupted; nothing was left behind")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Io { op, path, source }
    }
}
