use super::*;

fn found(class: &str) -> Found {
    Found { class: class.to_owned(), place: Place::File(PathBuf::new()) }
}

#[test]
fn classes_are_sorted_numbers_by_value() {
    let sorted = |names: &[&str]| sorted_classes(&names.iter().map(|name| found(name)).collect::<Vec<_>>());
    assert_eq!(sorted(&["10", "9", "10", "0"]), ["0", "9", "10"]);
    assert_eq!(sorted(&["ox", "cat", "10", "cat"]), ["10", "cat", "ox"]);
    assert_eq!(sorted(&["007", "1"]), ["007", "1"]);
}

#[test]
fn what_is_no_picture_is_left_out_and_nothing_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let error = |path: &Path, format| Index::open(path, format, None).unwrap_err().to_string();
    assert!(error(root.path(), DataFormat::Folder).contains("holds no labelled pictures"));
    assert!(error(&root.path().join("no"), DataFormat::Tars).contains("cannot read"));
    assert!(error(root.path(), DataFormat::Shards).contains("manifest"));
    for name in
        ["b/1.JPG", "b/deep/er/2.png", "b/.hidden.png", "b/notes.txt", "a/3.webp", "loose.png", ".c/4.png"]
    {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let index = Index::open(root.path(), DataFormat::Folder, None).unwrap();
    assert_eq!(index.classes(), ["a", "b"]);
    let names: Vec<String> = index.entries.iter().map(|entry| index.name(entry)).collect();
    assert!(
        names.len() == 3 && names[0].ends_with("a/3.webp") && names[2].ends_with("b/deep/er/2.png"),
        "{names:?}"
    );
    let classes = ["b".to_owned()];
    let message = Index::open(root.path(), DataFormat::Folder, Some(&classes)).unwrap_err().to_string();
    assert!(
        message.contains("has the class \"a\", which is not one of the 1 that are trained: b"),
        "{message}"
    );
}

#[test]
fn a_picture_in_a_tar_needs_its_class() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("x.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    for name in ["1.png", "1.cls", "2.seg.png", "2.cls", "3.jpg"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_cksum();
        tar.append_data(&mut header, name, &b"4"[..]).unwrap();
    }
    tar.into_inner().unwrap();
    let message = Index::open(&path, DataFormat::Tars, None).unwrap_err().to_string();
    assert!(message.contains("3.jpg has no 3.cls beside it"), "{message}");
}

/// A data set with a labelled row, one with a caption only, and one without a picture.
#[test]
fn shards_give_the_rows_that_have_labels() {
    use data_specs::{
        Account, EncodedImage, FeatureInfo, FeatureType, Manifest, SCHEMA_VERSION, Sample, ShardWriter, Text,
        TextKind,
    };
    let root = tempfile::tempdir().unwrap();
    let sample = |key: &str, kind: TextKind, text: &str, bytes: Option<&'static [u8]>| Sample {
        key: format!("drawn/{key}"),
        source: "drawn".into(),
        split: "train".into(),
        images: vec![data_specs::Picture {
            image_id: key.into(),
            image: bytes.map(|bytes| EncodedImage { bytes: Some(bytes.into()), path: None }),
            ..data_specs::Picture::default()
        }],
        texts: vec![Text {
            id: key.into(),
            kind,
            text: text.into(),
            answers: vec![],
            label: None,
            extra: None,
        }],
        extra: None,
    };
    let mut writer = ShardWriter::create(root.path(), "shard-00000.parquet", "test").unwrap();
    let rows = [
        sample("1", TextKind::Label, "ox", Some(b"one")),
        sample("2", TextKind::Caption, "an ox", Some(b"two")),
        sample("3", TextKind::Label, "cat", None),
    ];
    writer.write(&rows).unwrap();
    let shard = writer.commit(&|_| {}).unwrap();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "test".into(),
        corpus: "drawn".into(),
        features: FeatureInfo { dtype: FeatureType::F32, width: 0 },
        computed: None,
        shards: vec![shard],
        rejects: vec![],
        rows: Account { read: 3, written: 3, ..Account::default() },
        texts: Account { read: 3, written: 3, ..Account::default() },
        warnings: vec![],
    };
    assert!(manifest.commit(root.path(), &|_| {}).unwrap());

    let index = Index::open(root.path(), DataFormat::Shards, None).unwrap();
    assert_eq!((index.classes(), index.entries.len()), (&["cat".to_owned(), "ox".to_owned()][..], 2));
    assert_eq!((index.entries[0].class, index.bytes(&index.entries[0]).unwrap()), (1, b"one".to_vec()));
    assert!(index.bytes(&index.entries[1]).unwrap_err().contains("keeps no picture"));
    assert_eq!(index.name(&index.entries[1]), "shard-00000.parquet row 2");
}
