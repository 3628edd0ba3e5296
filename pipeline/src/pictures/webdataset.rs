//! Pictures in tars, as webdataset and img2dataset write them.

use std::path::{Path, PathBuf};

use super::scan::{Files, check_length, rejected};
use super::{FoundPicture, PictureFile, PictureSource, ScannedPictures, is_picture_name};
use crate::inputs::{Input, ScanContext, Span, TarEntries, TarEntry, TarKind, scan_file};
use crate::texts::scan::{input_index, watched};
use crate::{Code, Error, RejectReason};

/// Tars of pictures: one, or all `*.tar` of a folder in the order of their names.
///
/// In a name such as `train/0001.seg.png`, webdataset calls what stands before the first dot of the last
/// part the sample's key (`0001`) and what follows the field (`seg.png`). A picture is an entry whose
/// field is the ending of a picture and nothing more; its id is the key, without folders, as it is for
/// pictures in folders. Fields such as `seg.png` or `json` belong to a sample and are no pictures of
/// their own: they are counted in a warning. So are names that begin with a dot.
///
/// Two pictures of one key (`0001.jpg` and `0001.png`, or the same name in two folders or tars) are both
/// reported: planning keeps the first, and tells whether the second is a copy or a contradiction.
///
/// Nothing is unpacked: a picture's span is its bytes in the tar. Pictures that are links or sparse, and
/// names that lead out of the archive, are turned away. A tar that is compressed, cut off, damaged or
/// joined from several is refused as a whole.
#[derive(Debug, Clone)]
pub struct Webdataset {
    /// A tar, or a folder of tars.
    pub path: PathBuf,
}

impl PictureSource for Webdataset {
    fn scan(
        &self,
        context: ScanContext<'_>,
        found: &mut dyn FnMut(FoundPicture) -> Result<(), Error>,
    ) -> Result<ScannedPictures, Error> {
        let Files { files, folder, warning } = Files::at(&self.path, "tar")?;
        let mut inputs = Vec::new();
        let mut tally = Tally::default();
        for (nth, path) in (0..).zip(&files) {
            let input = input_index(context, nth, path)?;
            let mut entries = TarEntries::new(path);
            let mut on_entry = |entry: TarEntry<'_>| match look_at(entry, input, &mut tally) {
                None => Ok(()),
                Some((id, Ok(span))) => found(FoundPicture::Picture { id, span }),
                Some((id, Err(reason))) => found(rejected(context, path, None, &id, reason)),
            };
            let stamp = scan_file(path, |chunk| {
                watched(context, chunk)?;
                entries.push(chunk, &mut on_entry)
            })?;
            entries.finish()?;
            inputs.push(Input { path: path.clone(), stamp });
        }
        if tally.pictures == 0 {
            return Err(tally.no_pictures(&self.path));
        }
        let warnings = warning.into_iter().chain(tally.warning(&self.path)).collect();
        Ok(ScannedPictures { inputs, folders: folder.into_iter().collect(), warnings })
    }

    /// Its name stands in a header that is not part of the span, so the picture comes without one.
    fn read(&self, part: Vec<u8>) -> Result<PictureFile, RejectReason> {
        Ok(PictureFile { bytes: part.into(), path: None })
    }
}

/// What else there is.
#[derive(Debug, Default)]
struct Tally {
    pictures: u64,
    others: u64,
    /// Pictures in fields of other names, and the first of them.
    fields: u64,
    first_field: String,
}

impl Tally {
    fn warning(&self, path: &Path) -> Option<String> {
        let mut told = Vec::new();
        if self.others > 0 {
            told.push(format!("{} entries are no pictures by their names", self.others));
        }
        if self.fields > 0 {
            told.push(format!(
                "{} are further pictures of a sample, with more than an ending behind the first dot of the name (the first: `{}`)",
                self.fields, self.first_field
            ));
        }
        (!told.is_empty()).then(|| format!("{}: {}", path.display(), told.join("; ")))
    }

    fn no_pictures(&self, path: &Path) -> Error {
        let told = self.warning(path).map(|told| format!(" ({told})")).unwrap_or_default();
        Error::Input {
            path: path.to_path_buf(),
            line: None,
            what: format!("holds no pictures (.jpg, .png, .webp, .gif, .bmp){told}"),
            hint:
                "an entry is a picture if nothing but an ending follows the first dot of its name: `0001.jpg`"
                    .into(),
        }
    }
}

/// The picture that an entry is, or why it cannot be read; `None` if it is none.
fn look_at(
    entry: TarEntry<'_>,
    input: u16,
    tally: &mut Tally,
) -> Option<(String, Result<Span, RejectReason>)> {
    if entry.kind == TarKind::Folder {
        return None;
    }
    let shown = String::from_utf8_lossy(entry.name);
    let last = shown.rsplit('/').next().unwrap_or_default();
    let (key, field) = last.split_once('.').unwrap_or((last, ""));
    if key.is_empty() || !is_picture_name(last) {
        tally.others += 1;
        return None;
    }
    if field.contains('.') {
        if tally.fields == 0 {
            tally.first_field = shown.to_string();
        }
        tally.fields += 1;
        return None;
    }
    tally.pictures += 1;
    let at = format!("entry `{shown}` (byte {})", entry.offset);
    let span = check(entry, &shown, &at).map(|()| {
        // No longer than LONGEST.
        Span { input, offset: entry.offset, len: entry.len as u32, line: 0 }
    });
    Some((key.to_string(), span))
}

fn check(entry: TarEntry<'_>, name: &str, at: &str) -> Result<(), RejectReason> {
    let refuse = |code, what: &str| Err(RejectReason::new(code, format!("{at} {what}")));
    if std::str::from_utf8(entry.name).is_err() {
        return refuse(Code::BadUtf8, "has a name that is not UTF-8");
    }
    let drive = name.as_bytes().get(1) == Some(&b':');
    if drive || name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..") {
        return refuse(Code::BadName, "has a name that leads out of the archive");
    }
    match entry.kind {
        TarKind::File => check_length(entry.len, at),
        TarKind::Link => refuse(Code::PictureUnsupported, "is a link; links in archives are not followed"),
        TarKind::Sparse => {
            refuse(Code::PictureUnsupported, "is a sparse file: its bytes do not lie side by side")
        }
        TarKind::Folder | TarKind::Other => refuse(Code::PictureUnsupported, "is no regular file"),
    }
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::super::trial::{self, Folder};
    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header
    }

    /// A tar of files; names are written as they are, however they lead.
    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = header(EntryType::Regular, data.len() as u64);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn source(path: PathBuf) -> Webdataset {
        Webdataset { path }
    }

    #[test]
    fn pictures_of_all_tars_come_in_order_and_are_read_back() {
        let folder = Folder::new();
        folder.file("b.tar", archive(&[("3.jpg", b"three"), ("1.png", b"uno")]));
        folder.file(
            "a.tar",
            archive(&[
                ("x/COCO_1.JPG", b"one"),
                ("x/COCO_1.json", b"{}"),
                ("x/COCO_1.seg.png", b"mask"),
                ("x/._COCO_1.jpg", b"fork"),
                ("y/1.jpg", b"eins"),
                ("empty.jpg", b""),
                ("noending", b"?"),
            ]),
        );
        folder.file("c.tar.gz", b"\x1f\x8b");
        let trial = trial::run(&source(folder.path())).unwrap();
        let told: Vec<_> =
            trial.good().map(|(id, file)| (id, &file.bytes[..], file.path.as_deref())).collect();
        assert_eq!(
            told,
            [("COCO_1", &b"one"[..], None), ("1", b"eins", None), ("3", b"three", None), ("1", b"uno", None)]
        );
        assert_eq!(trial.refused(), ["empty EmptyField: entry `empty.jpg` (byte 5632) is empty"]);
        let [one, two] = trial.scanned.warnings.as_slice() else { panic!("{:?}", trial.scanned.warnings) };
        assert!(one.contains("1 files do not end in .tar") && one.contains("c.tar.gz"), "{one}");
        assert!(two.contains("3 entries are no pictures by their names; 1 are further"), "{two}");
        assert!(two.contains("`x/COCO_1.seg.png`"), "{two}");
        assert_eq!(trial.scanned.folders.len(), 1);

        let alone = trial::run(&source(folder.path().join("b.tar"))).unwrap();
        assert_eq!(alone.good().map(|(id, _)| id).collect::<Vec<_>>(), ["3", "1"]);
        assert_eq!(alone.scanned.folders, []);
    }

    #[test]
    fn entries_that_would_lead_elsewhere_are_turned_away() {
        let folder = Folder::new();
        let mut builder = Builder::new(Vec::new());
        for (name, data) in [
            ("../up.jpg", "1"),
            ("a/../../b.jpg", "2"),
            ("/etc/c.jpg", "3"),
            ("\\d.jpg", "4"),
            ("C:/e.jpg", "5"),
        ] {
            let mut header = header(EntryType::Regular, data.len() as u64);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        for (kind, name) in
            [(EntryType::Symlink, "s.jpg"), (EntryType::Link, "h.jpg"), (EntryType::Fifo, "f.jpg")]
        {
            builder.append_link(&mut header(kind, 0), name, "/etc/passwd").unwrap();
        }
        builder.append_pax_extensions([("path", &b"p/\xff.jpg"[..])]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 1), "x", &b"x"[..]).unwrap();
        builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 1), "sparse.jpg", &b"x"[..]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 4), "good.jpg", &b"good"[..]).unwrap();
        let mut bytes = builder.into_inner().unwrap();
        // A picture that would not fit into memory, cut off as far as this file goes.
        bytes.truncate(bytes.len() - 1024);
        folder.file("a.tar", &bytes);
        let error = trial::run(&source(folder.path().join("a.tar"))).unwrap_err().to_string();
        assert!(error.contains("without an end mark behind entry `good.jpg`"), "{error}");

        bytes.resize(bytes.len() + 1024, 0);
        folder.file("a.tar", &bytes);
        let trial = trial::run(&source(folder.path())).unwrap();
        assert_eq!(trial.good().map(|(id, _)| id).collect::<Vec<_>>(), ["good"]);
        let codes: Vec<_> = trial.rejects.iter().map(|reject| (reject.key.as_str(), reject.code)).collect();
        assert_eq!(
            codes,
            [
                ("up", Code::BadName),
                ("b", Code::BadName),
                ("c", Code::BadName),
                ("\\d", Code::BadName),
                ("e", Code::BadName),
                ("s", Code::PictureUnsupported),
                ("h", Code::PictureUnsupported),
                ("f", Code::PictureUnsupported),
                ("\u{fffd}", Code::BadUtf8),
                ("sparse", Code::PictureUnsupported),
            ]
        );
        assert!(
            !folder.path().join("up.jpg").exists()
                && !folder.path().parent().unwrap().join("up.jpg").exists()
        );
    }

    #[test]
    fn a_picture_that_is_too_long_is_passed_over_unread() {
        let folder = Folder::new();
        let path = folder.path().join("a.tar");
        let long = (64 << 20) + 1;
        let mut header = header(EntryType::Regular, long);
        header.set_path("long.png").unwrap();
        header.set_cksum();
        std::fs::write(&path, header.as_bytes()).unwrap();
        // Sparse on disk: of the picture nothing is written.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(512 + long.next_multiple_of(512) + 1024).unwrap();
        let trial = trial::run(&source(path)).unwrap();
        assert!(
            trial.refused()[0]
                .starts_with("long PictureTooLarge: entry `long.png` (byte 512) has 67108865 bytes")
        );
    }

    #[test]
    fn whole_files_are_refused_with_a_hint() {
        let folder = Folder::new();
        let good = archive(&[("1.jpg", &[7; 3000])]);
        for (name, content, word) in [
            ("gz.tar", b"\x1f\x8b\x08\0\0\0\0\0".repeat(99), "gunzip"),
            ("cut.tar", good[..2000].to_vec(), "inside entry `1.jpg`"),
            ("texts.tar", archive(&[("1.txt", b"x"), ("1.left.jpg", b"x")]), "`0001.jpg`"),
            ("empty.tar", vec![], "is empty"),
            ("zeros.tar", vec![0; 1024], "holds no pictures"),
        ] {
            let said = trial::run(&source(folder.file(name, content))).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains(word) && said.contains("hint: "), "{said}");
        }
        let none = Folder::new();
        none.file("a.tar.gz", b"x");
        let said = trial::run(&source(none.path())).unwrap_err().to_string();
        assert!(
            said.contains("holds no .tar file") && said.contains("a.tar.gz") && said.contains("unpacked"),
            "{said}"
        );
        let said = trial::run(&source(none.path().join("none.tar"))).unwrap_err();
        assert!(matches!(said, Error::Io { .. }), "{said}");
    }

    #[test]
    fn what_python_and_webdataset_write_is_read() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pictures");
        let long = "b".repeat(120);
        let mut first = Vec::new();
        for name in ["gnu.tar", "pax.tar", "webdataset.tar"] {
            let trial = trial::run(&source(golden.join(name))).unwrap();
            let ids: Vec<_> = trial.good().map(|(id, _)| id).collect();
            let bytes: Vec<_> = trial.good().map(|(_, file)| file.bytes.clone()).collect();
            assert!(
                bytes
                    .iter()
                    .all(|bytes| bytes.starts_with(b"\x89PNG") && bytes.ends_with(b"IEND\xae\x42\x60\x82"))
            );
            if name == "webdataset.tar" {
                assert_eq!(ids, ["0000", "0001", "0002"]);
                assert_eq!(bytes, first[..3]);
                assert!(
                    trial.scanned.warnings[0].contains("3 are further pictures"),
                    "{:?}",
                    trial.scanned.warnings
                );
            } else {
                assert_eq!(ids, ["0001", "COCO_train_000000000009", &long, "1"]);
                assert_eq!(trial.refused().len(), 1);
                assert!(trial.refused()[0].starts_with("link PictureUnsupported"));
                first = bytes;
            }
        }
    }

    #[test]
    fn no_mutant_panics() {
        let mut builder = Builder::new(Vec::new());
        let long = format!("{}.jpg", "n".repeat(150));
        for (name, data) in [("1.jpg", "one"), ("1.json", "{}"), (&long, "long"), ("2.png", "two")] {
            builder
                .append_data(&mut header(EntryType::Regular, data.len() as u64), name, data.as_bytes())
                .unwrap();
        }
        builder.append_pax_extensions([("path", &b"p.jpg"[..]), ("size", b"4")]).unwrap();
        builder.append_data(&mut header(EntryType::Regular, 4), "x", &b"four"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let source = |path: &Path| -> Box<dyn PictureSource> { Box::new(source(path.to_path_buf())) };
        trial::mutants("a.tar", &bytes, |_| (), source);
        // With right checksums more of them are looked into.
        let mend = |bytes: &mut Vec<u8>| {
            for block in
                bytes.as_chunks_mut::<512>().0.iter_mut().filter(|block| &block[257..262] == b"ustar")
            {
                let mut header = Header::from_byte_slice(block).clone();
                header.set_cksum();
                *block = *header.as_bytes();
            }
        };
        trial::mutants("a.tar", &bytes, mend, source);
    }
}
