//! The attack list of the crate's documentation. Each ends in the typed error named here.

use std::io::{Cursor, Write};
use std::path::Path;

use torch_files::{Error, Limits, TorchFile, Value, load_pickle, load_pickle_bytes};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::golden_dir;

/// The error of a pickle that must not be read.
#[track_caller]
fn refuse(pickle: &[u8]) -> Error {
    load_pickle_bytes(pickle, &Limits::default()).expect_err("an attack was read")
}

/// Opens bytes as a torch file.
fn open_with(bytes: &[u8], limits: Limits) -> Result<TorchFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attack.pt");
    std::fs::write(&path, bytes).unwrap();
    TorchFile::open_with(path, limits)
}

fn open(bytes: &[u8]) -> Result<TorchFile, Error> {
    open_with(bytes, Limits::default())
}

/// A zip archive in torch's layout.
fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The pickle of one float tensor over storage `0` of `count` elements; fields as pickle text.
fn tensor(count: &str, offset: &str, shape: &str, strides: &str) -> Vec<u8> {
    let storage = format!("(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{count}\ntQ");
    let numbers = |list: &str| list.split_whitespace().map(|n| format!("I{n}\n")).collect::<String>();
    let (shape, strides) = (numbers(shape), numbers(strides));
    let hooks = "ccollections\nOrderedDict\n)R";
    format!(
        "(dVw\nctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n({shape}t({strides}tI00\n{hooks}tRs."
    )
    .into_bytes()
}

fn with_storage(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    archive(&[("a/data.pkl", pickle), ("a/data/0", storage)], CompressionMethod::Stored)
}

#[test]
fn no_global_outside_the_list() {
    let attacks: [&[u8]; 12] = [
        b"cos\nsystem\n(S'id'\ntR.",
        b"cposix\nsystem\n(S'id'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x011\x85R.",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
        b"\x80\x02cos\nsystem\n)\x81.",
        b"\x80\x04csubprocess\nPopen\n)}\x92.",
        b"cbuiltins\ngetattr\n(c__builtin__\ndict\nS'x'\ntR.",
        b"ctorch.hub\nload\n(S'x'\ntR.",
        b"ctorch\nload\n(S'x'\ntR.",
        b"cnumpy.f2py\ncompile\n(S'x'\ntR.",
    ];
    for attack in attacks {
        assert!(matches!(refuse(attack), Error::Global { .. }), "{:?}", refuse(attack));
    }
    // on the list, but not to be called, or not so
    for misuse in [
        &b"c__builtin__\nfloat\n(S'1'\ntR."[..],
        b"S'id'\n(tR.",
        b"c__builtin__\ndict\n)\x81.",
        b"ccollections\nOrderedDict\n)R(dS'x'\nI1\nsb(dS'y'\nI1\nsb.",
        b"(d(dS'__class__'\nI1\nsb.",
        b"]}b.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"cargparse\nNamespace\n)}S'a'\nI1\ns\x92.",
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.",
    ] {
        assert!(matches!(refuse(misuse), Error::Malformed { .. }), "{:?}", refuse(misuse));
    }
    for code in
        [&b"\x82\x01."[..], b"\x83\x01\x00.", b"\x84\x01\x00\x00\x00.", b"\x97.", b"N\x98.", b"P1\n.", b"NQ."]
    {
        assert!(matches!(refuse(code), Error::Opcode { .. }), "{:?}", refuse(code));
    }
    // a refused name is not repeated at length
    let long = [b"c".as_slice(), &[b'm'; 1 << 20], b"\nn\n."].concat();
    assert!(refuse(&long).to_string().len() < 1000);
}

/// `x = [x, x]` `n` times over.
fn memo_bomb(n: usize, pair: &[u8]) -> Vec<u8> {
    let mut pickle = b"(lp0\n".to_vec();
    for i in 0..n {
        pickle.extend(format!("(g{i}\ng{i}\n").bytes());
        pickle.extend(pair);
        pickle.extend(format!("p{}\n", i + 1).bytes());
    }
    pickle.push(b'.');
    pickle
}

#[test]
fn memo_bombs() {
    for pair in [b"l", b"t"] {
        let error = refuse(&memo_bomb(60, pair));
        assert!(matches!(error, Error::Limit { limit: "max_expanded_bytes", .. }), "{error:?}");
    }
    let bomb = memo_bomb(60, b"t");
    let as_key = [&bomb[..bomb.len() - 1], b"}g60\nNs."].concat();
    assert!(matches!(refuse(&as_key), Error::Limit { limit: "max_expanded_bytes", .. }));
    // without the bomb, sharing is fine
    assert!(load_pickle_bytes(&memo_bomb(10, b"l"), &Limits::default()).is_ok());
    // one long text, named again and again
    let text = [b"(X\x00\x00\x10\x00".as_slice(), &[b'a'; 1 << 20], b"q\x00", &b"h\x00".repeat(5000), b"l."]
        .concat();
    assert!(matches!(refuse(&text), Error::Limit { limit: "max_expanded_bytes", .. }));
    // the same bytes copied again and again
    let small = Limits { max_live_bytes: 8 << 20, ..Limits::default() };
    let copy = b"c_codecs\nencode\n(h\x00Vlatin1\ntR";
    let text =
        [b"(X\x00\x00\x10\x00".as_slice(), &[b'a'; 1 << 20], b"q\x00", &copy.repeat(100), b"l."].concat();
    let error = load_pickle_bytes(&text, &small).unwrap_err();
    assert!(matches!(error, Error::Limit { limit: "max_live_bytes", .. }), "{error:?}");
}

#[test]
fn long_keys_do_not_multiply_into_names() {
    // {K: [t, t, ...]} with K of 1 MiB and 5,000 tensors: 5 GiB of names
    let one = tensor("1", "0", "1", "1");
    let one = [&one[b"(dVw\n".len()..one.len() - 2], b"p7\n"].concat();
    let key = [b"X\x00\x00\x10\x00".as_slice(), &[b'k'; 1 << 20]].concat();
    let pickle = [b"(d".as_slice(), &key, b"(", &one, &b"g7\n".repeat(5000), b"ls."].concat();
    let small = Limits { max_live_bytes: 64 << 20, ..Limits::default() };
    let error = open_with(&with_storage(&pickle, &[0; 4]), small).unwrap_err();
    assert!(matches!(error, Error::Limit { limit: "max_live_bytes", .. }), "{error:?}");
}

#[test]
fn cycles_and_depth() {
    for cycle in [
        &b"]q\x00h\x00a."[..],
        b"}q\x00K\x01h\x00s.",
        b"]q\x00(h\x00ta.",
        b"ccollections\nOrderedDict\n)Rq\x00}K\x01h\x00sb.",
    ] {
        assert!(matches!(refuse(cycle), Error::Cycle { .. }), "{:?}", refuse(cycle));
    }
    let straight = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    assert!(matches!(refuse(&straight), Error::Limit { limit: "max_depth", .. }));
    // no single path shows the depth: each list holds a finished one
    let through_memo: Vec<u8> = [b"]q\x00".as_slice(), &b"0](h\x00eq\x00".repeat(100_000), b"."].concat();
    assert!(matches!(refuse(&through_memo), Error::Limit { limit: "max_depth", .. }));
    let tuples = [b")".as_slice(), &b"\x85".repeat(100_000), b"."].concat();
    assert!(matches!(refuse(&tuples), Error::Limit { limit: "max_depth", .. }));
    let fine = [b"]".repeat(200), b"a".repeat(199), b".".to_vec()].concat();
    assert!(load_pickle_bytes(&fine, &Limits::default()).is_ok());
    let deepest = Limits { max_depth: u32::MAX, ..Limits::default() };
    let error = load_pickle_bytes(&straight, &deepest).unwrap_err();
    assert!(matches!(error, Error::Limit { limit: "max_depth", allowed: 1000, .. }));
}

#[test]
fn false_lengths_and_numbers() {
    for opcode in [b'X', b'B', b'T', 0x8b] {
        assert!(matches!(refuse(&[opcode, 0xff, 0xff, 0xff, 0xff, b'.']), Error::Truncated { .. }));
    }
    for opcode in [0x8d, 0x8e, 0x96] {
        let huge = [&[opcode][..], &(1u64 << 63).to_le_bytes(), b"."].concat();
        assert!(matches!(refuse(&huge), Error::Truncated { .. }));
    }
    for memo in [&b"Nr\xff\xff\xff\xff."[..], b"Np99999999999\n.", b"Np-1\n.", b"h\x09.", b"Nq\xff."] {
        assert!(matches!(refuse(memo), Error::Malformed { .. }), "{memo:?}");
    }
    for stack in [&b"."[..], b"0.", b"t.", b"N(.", b"N(a.", b"Na.", b"\x85.", b"R.", b"]Ns.", b"}(Nu.", b"2."]
    {
        assert!(matches!(refuse(stack), Error::Malformed { .. }), "{stack:?}");
    }
    let limits = Limits { max_ops: 10, max_pickle_bytes: 1000, ..Limits::default() };
    let many = load_pickle_bytes(&[b"N0".repeat(20), b"N.".to_vec()].concat(), &limits).unwrap_err();
    assert!(matches!(many, Error::Limit { limit: "max_ops", .. }));
    let long = load_pickle_bytes(&[b"S'".as_slice(), &[b'a'; 2000], b"'\n."].concat(), &limits).unwrap_err();
    assert!(matches!(long, Error::Limit { limit: "max_pickle_bytes", .. }));
    assert!(matches!(refuse(b"N.N."), Error::Format { .. }));
}

#[test]
fn keys() {
    for doubled in
        [&b"}(K\x01NK\x01Nu."[..], b"(dVa\nNsVa\nNs.", b"}(K\x01\x85NK\x01\x85Nu.", b"\x8f(K\x01K\x01\x90."]
    {
        assert!(matches!(refuse(doubled), Error::Key { .. }), "{doubled:?}");
    }
    assert!(matches!(refuse(b"}]Ns."), Error::Key { .. }));
    assert!(matches!(refuse(b"}]\x85Ns."), Error::Key { .. }));
}

#[test]
fn tensors_outside_their_storage() {
    let good = with_storage(&tensor("6", "0", "2 3", "3 1"), &[0; 24]);
    assert_eq!(open(&good).unwrap().tensors().next().unwrap().1.shape(), [2, 3]);
    for (count, offset, shape, strides) in [
        ("6", "1", "2 3", "3 1"),
        ("6", "0", "7", "1"),
        ("6", "-1", "1", "1"),
        ("6", "0", "2", "-1"),
        ("6", "0", "-2", "1"),
        ("6", "9223372036854775807", "2", "1"),
        ("6", "0", "4611686018427387904 4", "0 0"),
        ("6", "0", "2 2", "9223372036854775807 9223372036854775807"),
        ("6", "0", "2 3", "1"),
        ("-6", "0", "1", "1"),
        ("9223372036854775807", "0", "1", "1"),
    ] {
        let error = open(&with_storage(&tensor(count, offset, shape, strides), &[0; 24])).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
    }
    for bytes in [0, 20, 28] {
        let error = open(&with_storage(&tensor("6", "0", "6", "1"), &vec![0; bytes])).unwrap_err();
        assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    }
    let pickle = tensor("6", "0", "6", "1");
    let error = open(&archive(&[("a/data.pkl", &pickle)], CompressionMethod::Stored)).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    // a hook is code
    let hooked = tensor("6", "0", "6", "1");
    let hooked = [&hooked[..hooked.len() - b"tRs.".len()], b"Vhook\nI1\nstRs."].concat();
    let error = open(&with_storage(&hooked, &[0; 24])).unwrap_err();
    assert!(error.to_string().contains("hooks"), "{error}");
    // one element, 2^40 times
    let file = open(&with_storage(&tensor("1", "0", "1099511627776", "0"), &[0; 4])).unwrap();
    let (_, repeated) = file.tensors().next().unwrap();
    assert!(matches!(file.read(repeated), Err(Error::Limit { limit: "max_made_bytes", .. })));
    assert_eq!(file.byte_range(repeated), None);
    // two tensors of one name
    let one = tensor("1", "0", "1", "1");
    let one = &one[b"(dVw\n".len()..one.len() - 2];
    let twice = [b"(dVa.b\n".as_slice(), one, b"sVa\n(dVb\n", one, b"ss."].concat();
    assert!(matches!(open(&with_storage(&twice, &[0; 4])), Err(Error::Name { .. })));
}

/// Puts `to` at the `nth` place where `from` stands.
fn patch(bytes: &[u8], from: &[u8], nth: usize, to: &[u8]) -> Vec<u8> {
    let mut places = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(from));
    let at = places.nth(nth).expect("the pattern is there");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

const CENTRAL: &[u8] = b"PK\x01\x02";

/// Changes a field of the `nth` central header.
fn central(bytes: &[u8], nth: usize, field: usize, to: &[u8]) -> Vec<u8> {
    let at = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(CENTRAL)).nth(nth).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at + field..at + field + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn archives_that_lie() {
    let pickle = tensor("6", "0", "6", "1");
    let good = with_storage(&pickle, &[7; 24]);
    assert!(open(&good).is_ok());
    let attacks: [(&str, Vec<u8>); 9] = [
        ("size of the pickle", central(&good, 0, 24, &[0xff, 0xff, 0xff, 0x7f])),
        ("both sizes, past the end", central(&good, 1, 20, &[0, 0, 0, 0x70, 0, 0, 0, 0x70])),
        ("the same place twice", central(&good, 1, 42, &[0; 4])),
        ("a place past the end", central(&good, 1, 42, &[0xff, 0xff, 0xff, 0x7f])),
        ("encrypted", central(&good, 1, 8, &[1])),
        ("a method of its own", central(&good, 1, 10, &[12])),
        ("stored that says deflated", central(&good, 1, 10, &[8])),
        ("another name in the header", patch(&good, b"a/data/0", 0, b"a/data/1")),
        ("two of one name", {
            let two = archive(
                &[("a/data.pkl", &pickle), ("a/data.pkx", &pickle), ("a/data/0", &[7; 24])],
                CompressionMethod::Stored,
            );
            let two = patch(&two, b"a/data.pkx", 0, b"a/data.pkl");
            patch(&two, b"a/data.pkx", 0, b"a/data.pkl")
        }),
    ];
    for (what, bytes) in attacks {
        let error = open(&bytes).expect_err(what);
        assert!(matches!(error, Error::Entry { .. }), "{what}: {error:?}");
    }
    for (what, bytes) in [
        ("bytes before", [b"PK\x03\x04junk".as_slice(), &good].concat()),
        ("bytes after", [good.as_slice(), b"junk"].concat()),
        ("count of entries", central_end(&good, 10, &[9, 0])),
        ("place of the directory", central_end(&good, 16, &[0, 0, 0, 0])),
        ("size of the directory", central_end(&good, 12, &[0xff, 0xff, 0xff, 0x7f])),
    ] {
        assert!(matches!(open(&bytes), Err(Error::Entry { .. })), "{what}: {:?}", open(&bytes));
    }
    let few = Limits { max_entries: 1, ..Limits::default() };
    assert!(matches!(open_with(&good, few), Err(Error::Limit { limit: "max_entries", .. })));
    let short = Limits { max_pickle_bytes: 50, ..Limits::default() };
    assert!(matches!(open_with(&good, short), Err(Error::Limit { limit: "max_pickle_bytes", .. })));
}

/// Changes a field of the end record.
fn central_end(bytes: &[u8], field: usize, to: &[u8]) -> Vec<u8> {
    let at = bytes.len() - 22 + field;
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn inflated_entries_are_bounded() {
    let pickle = tensor("4194304", "0", "4194304", "1");
    let zeros = vec![0; 16 << 20];
    let bomb = archive(&[("a/data.pkl", &pickle), ("a/data/0", &zeros)], CompressionMethod::Deflated);
    assert!(bomb.len() < 100_000);
    let limits = Limits { max_made_bytes: 1 << 20, ..Limits::default() };
    let file = open_with(&bomb, limits);
    // the file is gone by now: only the refusal is asked for
    let file = file.unwrap();
    let (_, tensor) = file.tensors().next().unwrap();
    assert!(matches!(file.read(tensor), Err(Error::Limit { limit: "max_made_bytes", .. })));
    let padded = [b"(lp0\n0".repeat(100_000), b"N.".to_vec()].concat();
    let bomb = archive(&[("a/data.pkl", &padded)], CompressionMethod::Deflated);
    let limits = Limits { max_pickle_bytes: 10_000, ..Limits::default() };
    assert!(matches!(open_with(&bomb, limits), Err(Error::Limit { limit: "max_pickle_bytes", .. })));
    let bomb = archive(&[("a/data.pkl", &pickle), ("a/data/0", &zeros)], CompressionMethod::Deflated);
    let lying = central(&bomb, 1, 24, &[0xff, 0xff, 0xff, 0x7f]);
    assert!(open(&lying).is_err());
}

#[test]
fn legacy_files_that_lie() {
    let good = std::fs::read(golden_dir().join("features_legacy.pt")).unwrap();
    assert!(open(&good).is_ok());
    assert!(matches!(open(&[good.as_slice(), b"x"].concat()), Err(Error::Format { .. })));
    let big_endian = patch(&good, b"little_endianq\x02\x88", 0, b"little_endianq\x02\x89");
    assert!(matches!(open(&big_endian), Err(Error::Format { .. })));
    // 15 elements of the first storage, said to be 2^60
    let lying = patch(&good, &15u64.to_le_bytes(), 0, &(1u64 << 60).to_le_bytes());
    assert!(matches!(open(&lying), Err(Error::Storage { .. })));
}

#[test]
fn other_files_are_told_apart() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let script = archive(&[("a/data.pkl", b"N."), ("a/constants.pkl", b"N.")], CompressionMethod::Stored);
    let big = archive(&[("a/data.pkl", b"N."), ("a/byteorder", b"big")], CompressionMethod::Stored);
    let none = archive(&[("a/readme", b"N.")], CompressionMethod::Stored);
    for bytes in [&b""[..], b"N.", b"not a pickle", &tar, &script, &big, &none] {
        assert!(matches!(open(bytes), Err(Error::Format { .. })), "{:?}", open(bytes));
    }
    let missing = load_pickle(Path::new("no such file"), &Limits::default());
    assert!(matches!(missing, Err(Error::Io { action: "open", .. })));
    let archive = load_pickle(golden_dir().join("state_zip.pt"), &Limits::default()).unwrap_err();
    assert!(archive.to_string().contains("TorchFile"), "{archive}");
    let legacy = load_pickle(golden_dir().join("state_legacy.pt"), &Limits::default()).unwrap_err();
    assert!(legacy.to_string().contains("TorchFile"), "{legacy}");
    assert_eq!(load_pickle_bytes(b"N.", &Limits::default()).unwrap(), Value::None);
}
