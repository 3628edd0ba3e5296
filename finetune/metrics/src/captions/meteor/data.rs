//! Finding METEOR's word data: in a folder, in the jar, beside the jar.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::Error;

/// The word data that was found. Nothing of it comes with this program.
#[derive(Debug, Default)]
pub(super) struct WordData {
    pub(super) function_words: Option<String>,
    pub(super) prefixes: Option<String>,
    pub(super) synsets: Option<String>,
    pub(super) exceptions: Option<String>,
    pub(super) paraphrases: Option<PathBuf>,
}

impl WordData {
    /// Looks in a METEOR 1.5 folder (files in it, in its sub-folders as in the jar, or in a jar in it),
    /// or in a jar and the folder `data` beside it.
    pub(super) fn find(place: &Path) -> Result<Self, Error> {
        let is_jar = place.extension().is_some_and(|extension| extension == "jar");
        let folder = if is_jar { place.parent().unwrap_or(Path::new("")) } else { place };
        let mut jars = if is_jar { vec![place.to_owned()] } else { jars_in(place)? };
        // The folder may be the `data` of a distribution.
        if jars.is_empty()
            && let Some(parent) = place.parent().filter(|parent| parent.is_dir())
        {
            jars = jars_in(parent).unwrap_or_default();
        }
        let mut data = Self::default();
        for (slot, folder_name, file) in [
            (&mut data.function_words, "function", "english.words"),
            (&mut data.prefixes, "nonbreaking", "english.prefixes"),
            (&mut data.synsets, "synonym", "english.synsets"),
            (&mut data.exceptions, "synonym", "english.exceptions"),
        ] {
            let plain = [folder.join(folder_name).join(file), folder.join(file)];
            if let Some(path) = plain.iter().find(|path| path.is_file()) {
                *slot = Some(String::from_utf8_lossy(&crate::layouts::read(path)?).into_owned());
                continue;
            }
            for jar in &jars {
                if let Some(text) = from_jar(jar, &format!("{folder_name}/{file}"))? {
                    *slot = Some(text);
                    break;
                }
            }
        }
        let table = "paraphrase-en.gz";
        data.paraphrases =
            [folder.join(table), folder.join("data").join(table)].into_iter().find(|path| path.is_file());
        let nothing = data.function_words.is_none() && data.synsets.is_none() && data.paraphrases.is_none();
        if nothing {
            let problem = "holds no METEOR word data; give the folder or the jar of METEOR 1.5 \
                           (function/english.words, synonym/english.synsets, data/paraphrase-en.gz)";
            return Err(Error::Content { path: place.to_owned(), problem: problem.to_owned() });
        }
        Ok(data)
    }
}

fn jars_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut jars = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            jars.push(path);
        }
    }
    jars.sort();
    Ok(jars)
}

fn from_jar(jar: &Path, name: &str) -> Result<Option<String>, Error> {
    let broken = |source: std::io::Error| Error::Read { path: jar.to_owned(), source };
    let file = File::open(jar).map_err(broken)?;
    let mut archive = zip::ZipArchive::new(file).map_err(|source| broken(std::io::Error::other(source)))?;
    let Ok(entry) = archive.by_name(name) else { return Ok(None) };
    let mut bytes = Vec::new();
    // The largest of METEOR's own files has 4 MB.
    entry.take(1 << 28).read_to_end(&mut bytes).map_err(broken)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
