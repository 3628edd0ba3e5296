//! Document frequencies for CIDEr-D.

use std::{fs::File, io::BufWriter, path::PathBuf};

use finetune_metrics::{
    captions::{self, ptb},
    layouts::{References, TextFile},
};
use serde::Serialize;

use super::{Error, Form};

/// Counting document frequencies.
#[derive(Debug)]
pub struct DocumentFrequencies {
    /// Reference captions.
    pub references: PathBuf,
    /// The JSON to write.
    pub out: PathBuf,
    /// Whether the captions are tokens already.
    pub tokenized: bool,
    /// Put `<eos>` behind each caption, as self-critical training does.
    pub end_of_caption: bool,
}

#[derive(Serialize)]
struct Report {
    out: String,
    images: usize,
    ngrams: usize,
}

impl DocumentFrequencies {
    /// Writes the file and reports what is in it.
    pub fn run(&self, form: Form) -> Result<String, Error> {
        let file = TextFile::read(&self.references)?;
        let references = References::read(&file)?;
        let texts: Vec<&str> = references
            .images
            .iter()
            .flat_map(|image| image.captions.iter().map(|caption| &**caption))
            .collect();
        let mut tokens: Vec<String> = if self.tokenized {
            texts.into_iter().map(str::to_owned).collect()
        } else {
            ptb::tokenize_all(&texts).iter().map(str::to_owned).collect()
        };
        if self.end_of_caption {
            tokens.iter_mut().for_each(|caption| *caption = captions::reward_caption(caption));
        }
        let mut rest = tokens.as_slice();
        let mut images = Vec::with_capacity(references.images.len());
        for image in references.images.iter().filter(|image| !image.captions.is_empty()) {
            let (own, behind) = rest.split_at(image.captions.len());
            images.push(own);
            rest = behind;
        }
        let counted = captions::DocumentFrequencies::count(images.iter().copied());
        let failed = |source| Error::Write { path: self.out.clone(), source };
        let out = File::create(&self.out).map_err(failed)?;
        counted.write(BufWriter::new(out)).map_err(failed)?;
        Ok(form.write(&Report {
            out: self.out.display().to_string(),
            images: images.len(),
            ngrams: counted.frequency.len(),
        }))
    }
}
