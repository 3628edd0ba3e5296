//! Captions in tars, beside their pictures: `0001.jpg`, `0001.txt`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use data_specs::TextKind;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::inputs::{Input, ScanContext, Span, TarEntries, TarEntry, TarKind, scan_file};
use crate::pictures::Files;
use crate::texts::record::{bad_json, plain_text, text_of, utf8};
use crate::texts::scan::{self, Head, Place, input_index, watched};
use crate::texts::{ParsedTexts, Part, ScannedText, TextFormat};
use crate::{Code, Error, RejectReason};

/// The captions of webdataset's and img2dataset's tars: one tar, or all `*.tar` of a folder by name.
///
/// An entry whose field is `txt` and nothing more holds the caption of the sample whose key stands before the
/// first dot (`0001` of `a/0001.txt`), as pictures are named in such tars. One record an entry; its id is the
/// key. Everything else in the tars is passed over.
///
/// The name of an entry may lie far from its data, so the scan writes each caption with its key as one line of a
/// derived file, the last input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebdatasetTexts {
    /// A tar, or a folder of tars.
    pub path: PathBuf,
}

/// Longest caption in bytes: what is longer is no caption.
const LONGEST: u64 = 1 << 20;

/// A line of the derived file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Caption {
    key: String,
    caption: String,
}

impl TextFormat for WebdatasetTexts {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(ScannedText) -> Result<(), Error>,
    ) -> Result<Vec<Input>, Error> {
        let files = Files::at(&self.path, "tar")?.files;
        // The index of the input keeps the files of two sections apart.
        let lines = context.derived.join(format!("captions-{}.jsonl", context.first_input));
        let mut out = BufWriter::new(File::create(&lines).map_err(Error::io("create", &lines))?);
        let mut inputs = Vec::with_capacity(files.len() + 1);
        let mut captions = 0u64;
        for (nth, path) in (0..).zip(&files) {
            let input = input_index(context, nth, path)?;
            let tar = File::open(path).map_err(Error::io("open", path))?;
            let mut entries = TarEntries::new(path);
            let mut on_entry = |entry: TarEntry<'_>| {
                let Some(key) = key_of(entry.name) else { return Ok(()) };
                captions += 1;
                match caption_of(&entry, &tar, path)? {
                    Ok(caption) => {
                        let line =
                            serde_json::to_string(&Caption { key, caption }).expect("two plain strings");
                        writeln!(out, "{line}").map_err(Error::io("write", &lines))
                    }
                    Err(reason) => {
                        let span = Span { input, offset: entry.offset, len: 0, line: 0 };
                        let place = Place { source: context.source, path, span, by_line: false };
                        found(place.reject(key, reason))
                    }
                }
            };
            let stamp = scan_file(path, |chunk| {
                watched(context, chunk)?;
                entries.push(chunk, &mut on_entry)
            })?;
            entries.finish()?;
            inputs.push(Input { path: path.clone(), stamp });
        }
        if captions == 0 {
            return Err(Error::Input {
                path: self.path.clone(),
                line: None,
                what: "holds no captions (.txt)".into(),
                hint: "an entry is a caption if nothing but `.txt` follows the first dot of its name: `0001.txt`"
                    .into(),
            });
        }
        out.into_inner().map_err(|error| Error::io("write", &lines)(error.into_error()))?;
        let nth = inputs.len() as u16;
        inputs.push(scan::lines(context, nth, &lines, |line, place| {
            let head = caption(line.bytes).map(|Caption { key, .. }| Head::one(vec![key.clone()], key));
            found(place.told(head.map_err(Into::into)))
        })?);
        Ok(inputs)
    }

    fn parse(&self, parts: &[Part]) -> Result<ParsedTexts, RejectReason> {
        let [part] = parts else { return Err(scan::wrong_parts("one", parts.len())) };
        let Caption { key, caption } = caption(&part.bytes)?;
        let text = plain_text(TextKind::Caption, key, text_of(caption, "caption")?, Map::new());
        Ok(ParsedTexts { texts: vec![text], ..ParsedTexts::default() })
    }
}

/// The key of the sample whose caption an entry called `name` is, if it is one.
fn key_of(name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    let (key, field) = name.rsplit('/').next()?.split_once('.')?;
    (!key.is_empty() && field == "txt").then(|| key.to_string())
}

/// What an entry says, or why it says nothing; an error is one of reading.
fn caption_of(entry: &TarEntry<'_>, tar: &File, path: &Path) -> Result<Result<String, RejectReason>, Error> {
    let refuse = |code, message: String| Ok(Err(RejectReason::new(code, message)));
    match entry.kind {
        TarKind::File if entry.len <= LONGEST => {}
        TarKind::File => {
            let told = format!("the caption has {} bytes, and none longer than {LONGEST} is read", entry.len);
            return refuse(Code::WrongLength, told);
        }
        _ => return refuse(Code::BadName, "the caption is no regular file; links are not followed".into()),
    }
    let mut bytes = vec![0; entry.len as usize];
    match tar.read_exact_at(&mut bytes, entry.offset) {
        Ok(()) => Ok(utf8(&bytes).map(str::to_string)),
        // The scan ends at the same place, and says it better.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            refuse(Code::WrongLength, "the tar ends inside the caption".into())
        }
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn caption(line: &[u8]) -> Result<Caption, RejectReason> {
    serde_json::from_slice(line).map_err(bad_json)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;
    use crate::texts::trial::{Folder, run};

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(if *name == "l.txt" { EntryType::Symlink } else { EntryType::Regular });
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn captions_stand_beside_their_pictures() {
        let folder = Folder::new();
        let long = format!("{}.txt", "k".repeat(150));
        let tar = archive(&[
            ("a/1.jpg", b"picture"),
            ("a/1.txt", b"Two dogs.\n"),
            ("a/1.json", b"{}"),
            ("a/1.de.txt", b"Zwei Hunde."),
            (&long, "Café".as_bytes()),
            ("2.txt", b"caf\xe9"),
            ("3.txt", b" \n"),
            ("l.txt", b""),
        ]);
        let trial = run(&WebdatasetTexts { path: folder.file("a.tar", tar) }).unwrap();
        let good = trial.records.iter().filter_map(|(record, parsed)| Some((record, parsed.as_ref().ok()?)));
        let told: Vec<_> = good
            .map(|(record, parsed)| {
                let text = &parsed.texts[0];
                assert_eq!((&record.images[0], &record.id), (&text.id, &text.id));
                (text.id.as_str(), text.text.as_str())
            })
            .collect();
        assert_eq!(told, [("1", "Two dogs."), (&"k".repeat(150), "Café")]);
        let blank =
            trial.records.iter().find_map(|(record, parsed)| Some((&record.id, parsed.as_ref().err()?)));
        assert!(blank.is_some_and(|(id, reason)| id == "3" && reason.code == Code::EmptyField));
        let rejects: Vec<_> = trial.rejects.iter().map(|reject| (reject.key.as_str(), reject.code)).collect();
        assert_eq!(rejects, [("2", Code::BadUtf8), ("l", Code::BadName)]);
        assert!(trial.rejects[0].file.ends_with("a.tar") && trial.rejects[0].message.contains("byte"));
    }

    #[test]
    fn tars_without_captions_are_refused() {
        let folder = Folder::new();
        let path = folder.file("a.tar", archive(&[("1.jpg", b"picture")]));
        let said = run(&WebdatasetTexts { path }).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains("holds no captions") && said.contains("hint: "), "{said}");
    }
}
