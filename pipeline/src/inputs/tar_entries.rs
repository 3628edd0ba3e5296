//! Entries of a tar as its chunks arrive: what each is called, what it is, and where its bytes lie.
//!
//! Nothing is unpacked and no data is kept: of the file only headers are looked at, and of those the
//! `tar` crate reads the fields. Where readers disagree on what an archive holds, it is refused.

use std::path::{Path, PathBuf};

use tar::{EntryType, Header, PaxExtensions};

use crate::Error;

/// Headers, and all data, come in blocks of so many bytes.
const BLOCK: u64 = 512;

/// A name or a list of attributes longer than this is none.
const LONGEST: u64 = 1 << 20;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TarEntry<'a> {
    /// Its whole name, of whichever extension holds it.
    pub(crate) name: &'a [u8],
    pub(crate) kind: TarKind,
    /// First byte of its data in the archive.
    pub(crate) offset: u64,
    /// Bytes of its data.
    pub(crate) len: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TarKind {
    File,
    Folder,
    /// Symbolic or hard.
    Link,
    /// A file whose holes are left out, so that its bytes do not lie side by side.
    Sparse,
    /// A device, a volume label, ...
    Other,
}

/// The entries of a tar that comes in chunks of any size.
#[derive(Debug)]
pub(crate) struct TarEntries {
    path: PathBuf,
    expect: Expect,
    /// Where the bytes that are waited for begin, how many they are, and what is there of them.
    from: u64,
    want: u64,
    carry: Vec<u8>,
    /// Place of the first byte of the next chunk.
    offset: u64,
    /// What extension headers say of the next entry.
    coming: Coming,
    /// The last entry, for messages.
    last: String,
}

/// What the bytes that are waited for are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Header,
    /// A long name of GNU tar, behind which `next` is a header.
    LongName {
        next: u64,
    },
    /// Attributes of POSIX.
    Attributes {
        next: u64,
    },
    /// A block that goes on with the map of a sparse file of so many bytes.
    SparseMap {
        len: u64,
    },
    /// Zeros to the end of the file.
    Zeros,
}

#[derive(Debug, Default)]
struct Coming {
    long_name: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl TarEntries {
    /// Entries of the file at `path` (for messages).
    pub(crate) fn new(path: &Path) -> TarEntries {
        TarEntries {
            path: path.to_path_buf(),
            expect: Expect::Header,
            from: 0,
            want: BLOCK,
            carry: Vec::new(),
            offset: 0,
            coming: Coming::default(),
            last: String::new(),
        }
    }

    /// Takes the next chunk and passes on the entries whose headers end in it.
    ///
    /// # Errors
    /// A file that is no tar, or is damaged, or what `on_entry` returns.
    pub(crate) fn push(
        &mut self,
        chunk: &[u8],
        on_entry: &mut impl FnMut(TarEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let end = self.offset + chunk.len() as u64;
        while self.expect != Expect::Zeros {
            let from = self.from + self.carry.len() as u64;
            if from >= end {
                break;
            }
            let from = (from - self.offset) as usize;
            let missing = self.want as usize - self.carry.len();
            let piece = &chunk[from..(from + missing).min(chunk.len())];
            self.carry.extend_from_slice(piece);
            if piece.len() < missing {
                break;
            }
            let bytes = std::mem::take(&mut self.carry);
            self.step(&bytes, on_entry)?;
            self.carry = bytes; // its memory serves again
            self.carry.clear();
        }
        if self.expect == Expect::Zeros {
            let from = self.from.saturating_sub(self.offset).min(chunk.len() as u64) as usize;
            if let Some(at) = chunk[from..].iter().position(|&byte| byte != 0) {
                let byte = self.offset + (from + at) as u64;
                let what = format!(
                    "the end mark behind entry `{}` is not the end: byte {byte} is not zero",
                    self.last
                );
                let hint = "the file is damaged, or archives were joined with `cat`; give them as files of one \
                            folder, or join them with `tar --concatenate`";
                return Err(self.error(what, hint));
            }
        }
        self.offset = end;
        Ok(())
    }

    /// Ends the file, which must have its end mark.
    ///
    /// # Errors
    /// A file that is cut off.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.expect == Expect::Zeros {
            return Ok(());
        }
        let hint = "the file is cut off: fetch or write it again";
        if self.offset == 0 {
            return Err(self.error("is empty".into(), hint));
        }
        let what = if self.from > self.offset {
            let due = self.from - self.offset;
            format!(
                "the file ends (byte {}) inside entry `{}`, at least {due} bytes early",
                self.offset, self.last
            )
        } else {
            let behind = match self.last.as_str() {
                "" => String::new(),
                last => format!(" behind entry `{last}`"),
            };
            format!("the file ends (byte {}) without an end mark{behind}", self.offset)
        };
        Err(self.error(what, hint))
    }

    /// The awaited bytes are complete.
    fn step(
        &mut self,
        bytes: &[u8],
        on_entry: &mut impl FnMut(TarEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.expect {
            Expect::Header => self.header(bytes, on_entry),
            Expect::LongName { next } => {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                self.coming.long_name = Some(bytes[..end].to_vec());
                self.await_header(next);
                Ok(())
            }
            Expect::Attributes { next } => {
                self.attributes(bytes)?;
                self.await_header(next);
                Ok(())
            }
            Expect::SparseMap { len } => {
                let goes_on = bytes[504] != 0;
                self.from += BLOCK;
                if !goes_on {
                    let next = self.behind(self.from, len)?;
                    self.await_header(next);
                }
                Ok(())
            }
            Expect::Zeros => Ok(()),
        }
    }

    fn header(
        &mut self,
        block: &[u8],
        on_entry: &mut impl FnMut(TarEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if block.iter().all(|&byte| byte == 0) {
            self.expect = Expect::Zeros;
            return Ok(());
        }
        if self.from == 0 {
            self.refuse_compressed(block)?;
        }
        let header = Header::from_byte_slice(block);
        let unsigned = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        // The field of the sum itself counts as blanks.
        let sum = unsigned(&block[..148]) + unsigned(&block[156..]) + 8 * u32::from(b' ');
        if header.cksum().ok() != Some(sum) {
            let behind =
                if self.last.is_empty() { String::new() } else { format!(" behind entry `{}`", self.last) };
            let what = format!("byte {}{behind} begins no header: its checksum is wrong", self.from);
            return Err(self.error(what, "is this a tar, and is it whole?"));
        }
        let kind = header.entry_type();
        let extends = matches!(kind, EntryType::GNULongName | EntryType::GNULongLink)
            || matches!(kind, EntryType::XHeader | EntryType::XGlobalHeader);
        let stated = header.entry_size().map_err(|error| {
            self.error(format!("the size in the header at byte {} is no number: {error}", self.from), DAMAGED)
        })?;
        let len = if extends { stated } else { self.coming.size.unwrap_or(stated) };
        let data = self.from + BLOCK;
        let next = self.behind(data, len)?;
        match kind {
            EntryType::GNULongName => self.await_extension(Expect::LongName { next }, data, len),
            EntryType::XHeader => self.await_extension(Expect::Attributes { next }, data, len),
            // Neither says anything of a picture.
            EntryType::GNULongLink | EntryType::XGlobalHeader => {
                self.await_header(next);
                Ok(())
            }
            _ => self.entry(header, data, len, on_entry),
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        data: u64,
        len: u64,
        on_entry: &mut impl FnMut(TarEntry<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Coming { long_name, name, sparse, .. } = std::mem::take(&mut self.coming);
        let name = name.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        self.last = String::from_utf8_lossy(&name).into_owned();
        let kind = match header.entry_type() {
            // Archives older than POSIX tell folders by their names.
            EntryType::Regular if name.ends_with(b"/") => TarKind::Folder,
            EntryType::Regular | EntryType::Continuous if sparse => TarKind::Sparse,
            EntryType::Regular | EntryType::Continuous => TarKind::File,
            EntryType::GNUSparse => TarKind::Sparse,
            EntryType::Directory => TarKind::Folder,
            EntryType::Link | EntryType::Symlink => TarKind::Link,
            _ => TarKind::Other,
        };
        if len > 0 && matches!(kind, TarKind::Link | TarKind::Folder) {
            let what =
                format!("entry `{}` is a link or a folder, and says that it has {len} bytes", self.last);
            return Err(
                self.error(what, "readers disagree on where the next entry begins: write the tar again")
            );
        }
        let goes_on = header.entry_type() == EntryType::GNUSparse && header.as_bytes()[482] != 0;
        if goes_on {
            (self.expect, self.from, self.want) = (Expect::SparseMap { len }, data, BLOCK);
        } else {
            let next = self.behind(data, len)?;
            self.await_header(next);
        }
        on_entry(TarEntry { name: &name, kind, offset: data, len })
    }

    /// Keeps of POSIX attributes what concerns name and size.
    fn attributes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for attribute in PaxExtensions::new(bytes) {
            let attribute = attribute.map_err(|error| {
                self.error(format!("attributes before byte {}: {error}", self.from), DAMAGED)
            })?;
            let value = attribute.value_bytes();
            match attribute.key_bytes() {
                b"path" | b"GNU.sparse.name" => self.coming.name = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    let what = || format!("attribute `size` before byte {} is no number", self.from);
                    self.coming.size = Some(size.ok_or_else(|| self.error(what(), DAMAGED))?);
                }
                key => self.coming.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }

    fn await_header(&mut self, at: u64) {
        (self.expect, self.from, self.want) = (Expect::Header, at, BLOCK);
    }

    fn await_extension(&mut self, expect: Expect, at: u64, len: u64) -> Result<(), Error> {
        if len == 0 || len > LONGEST {
            let what = format!("the extended header at byte {} has {len} bytes", self.from);
            return Err(self.error(what, DAMAGED));
        }
        (self.expect, self.from, self.want) = (expect, at, len);
        Ok(())
    }

    /// The header behind `len` bytes of data.
    fn behind(&self, data: u64, len: u64) -> Result<u64, Error> {
        len.checked_next_multiple_of(BLOCK)
            .and_then(|len| data.checked_add(len))
            .ok_or_else(|| self.error(format!("the entry at byte {} has {len} bytes", self.from), DAMAGED))
    }

    fn refuse_compressed(&self, block: &[u8]) -> Result<(), Error> {
        let marks: [(&[u8], &str, &str); 4] = [
            (b"\x1f\x8b", "gzip", "gunzip"),
            (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
            (b"BZh", "bzip2", "bunzip2"),
            (b"\xfd7zXZ", "xz", "unxz"),
        ];
        let Some((_, name, tool)) = marks.iter().find(|(mark, ..)| block.starts_with(mark)) else {
            return Ok(());
        };
        let what = format!("is compressed with {name}; a picture inside cannot be read by itself");
        Err(self.error(what, &format!("unpack it once ({tool}): pictures are compressed already")))
    }

    fn error(&self, what: String, hint: &str) -> Error {
        Error::Input { path: self.path.clone(), line: None, what, hint: hint.into() }
    }
}

const DAMAGED: &str = "the file is damaged: fetch or write it again";

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Vec<(String, TarKind, u64, u64)>;

    fn entries(bytes: &[u8], chunk: usize) -> Result<Seen, Error> {
        let mut seen = Vec::new();
        let mut entries = TarEntries::new(Path::new("some.tar"));
        let mut on_entry = |entry: TarEntry<'_>| {
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            seen.push((name, entry.kind, entry.offset, entry.len));
            Ok(())
        };
        for piece in bytes.chunks(chunk) {
            entries.push(piece, &mut on_entry)?;
        }
        entries.finish()?;
        Ok(seen)
    }

    fn said(bytes: &[u8]) -> String {
        let said = entries(bytes, 1 << 20).unwrap_err().to_string();
        assert_eq!(entries(bytes, 7).unwrap_err().to_string(), said);
        said
    }

    fn header(kind: EntryType, name: &str, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    }

    /// What stands in a tar between its entries and its end mark.
    fn archive(parts: &[(Header, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (header, data) in parts {
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    #[test]
    fn every_chunk_size_gives_the_same_entries() {
        let long = format!("{}/{}.jpg", "folder".repeat(20), "name".repeat(30));
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, data: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, data).unwrap();
        };
        add("a.jpg", b"one");
        add(&long, &[2; 512]);
        add("b.png", &[3; 1025]);
        builder.append_pax_extensions([("path", "p/ä.jpg".as_bytes()), ("size", b"4")]).unwrap();
        let mut header = Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(4);
        header.set_cksum();
        builder.append(&header, &b"four"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let whole = entries(&bytes, bytes.len()).unwrap();
        let names: Vec<_> = whole.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["a.jpg", &long, "b.png", "p/ä.jpg"]);
        for (data, (_, kind, offset, len)) in [&b"one"[..], &[2; 512], &[3; 1025], b"four"].iter().zip(&whole)
        {
            assert_eq!((*kind, &bytes[*offset as usize..][..*len as usize]), (TarKind::File, *data));
        }
        for chunk in [1, 3, 511, 512, 513, 4096] {
            assert_eq!(entries(&bytes, chunk).unwrap(), whole, "chunks of {chunk}");
        }
    }

    #[test]
    fn entries_that_are_no_files_are_told_apart() {
        let mut sparse = header(EntryType::GNUSparse, "sparse.jpg", 5);
        sparse.as_mut_bytes()[482] = 1;
        sparse.set_cksum();
        let mut old = header(EntryType::new(0), "old", 0);
        old.as_mut_bytes()[..4].copy_from_slice(b"old/");
        old.set_cksum();
        let mut map = [0; 512];
        let mut maps = Vec::new();
        map[504] = 1;
        maps.extend_from_slice(&map);
        maps.extend_from_slice(&[0; 512]);
        maps.extend_from_slice(b"12345");
        let bytes = archive(&[
            (header(EntryType::Directory, "folder/", 0), b""),
            (header(EntryType::Symlink, "s.jpg", 0), b""),
            (header(EntryType::Link, "h.jpg", 0), b""),
            (header(EntryType::Char, "c.jpg", 0), b""),
            (sparse, &maps),
            (old, b""),
            (header(EntryType::XGlobalHeader, "comment", 4), b"junk"),
            (header(EntryType::XHeader, "x", 22), b"22 GNU.sparse.major=1\n"),
            (header(EntryType::Regular, "p.jpg", 3), b"abc"),
            (header(EntryType::Regular, "f.jpg", 3), b"abc"),
        ]);
        let found = entries(&bytes, 100).unwrap();
        let told: Vec<_> = found.iter().map(|(name, kind, ..)| (name.as_str(), *kind)).collect();
        assert_eq!(
            told,
            [
                ("folder/", TarKind::Folder),
                ("s.jpg", TarKind::Link),
                ("h.jpg", TarKind::Link),
                ("c.jpg", TarKind::Other),
                ("sparse.jpg", TarKind::Sparse),
                ("old/", TarKind::Folder),
                ("p.jpg", TarKind::Sparse),
                ("f.jpg", TarKind::File),
            ]
        );
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let good = archive(&[
            (header(EntryType::Regular, "a.jpg", 700), &[7; 700]),
            (header(EntryType::Regular, "b.jpg", 3), b"abc"),
        ]);
        assert_eq!(entries(&good, 64).unwrap().len(), 2);
        assert_eq!(
            entries(&good[..good.len() - 512], 64).unwrap().len(),
            2,
            "one block of zeros is an end mark"
        );
        assert!(
            said(&good[..1000]).contains("ends (byte 1000) inside entry `a.jpg`, at least 536 bytes early")
        );
        assert!(said(&good[..1536]).contains("without an end mark behind entry `a.jpg`"));
        assert!(said(&good[..1700]).contains("without an end mark behind entry `a.jpg`"));
        assert!(said(&good[..2560]).contains("without an end mark behind entry `b.jpg`"));
        assert!(said(b"").contains("is empty"));
        assert!(said(b"short").contains("without an end mark\n"));
        let mut bad = good.clone();
        bad[1536] ^= 1;
        assert!(said(&bad).contains("byte 1536 behind entry `a.jpg` begins no header"));
        assert!(said(&[b'x'; 2000]).contains("byte 0 begins no header"));
        assert!(said(&[&good[..], &good[..]].concat()).contains("tar --concatenate"));
        for mark in [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"] {
            assert!(said(&[mark, &[1; 600]].concat()).contains("is compressed with"));
        }
        for (part, word) in [
            ((header(EntryType::Link, "a.jpg", 9), &b"123456789"[..]), "readers disagree"),
            ((header(EntryType::GNULongName, "x", 2 << 20), b""), "has 2097152 bytes"),
            ((header(EntryType::XHeader, "x", 0), b""), "has 0 bytes"),
            ((header(EntryType::XHeader, "x", 11), b"11 size=4x\n"), "`size`"),
            ((header(EntryType::XHeader, "x", 9), b"nonsense\n"), "attributes"),
            ((header(EntryType::Regular, "x", u64::MAX - 5), b""), "18446744073709551610 bytes"),
        ] {
            let said = said(&archive(&[part]));
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
