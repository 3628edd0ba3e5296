use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow_array::{
    ArrayRef, BinaryArray, BinaryViewArray, Date32Array, Int64Array, LargeBinaryArray, ListArray,
    RecordBatch, StringArray, StructArray, UInt32Array, types::Int32Type,
};
use arrow_schema::{DataType, Field, Fields};

use super::super::trial::{self, Folder};
use super::*;

/// A row's bytes and path.
type Row<'a> = (Option<&'a [u8]>, Option<&'a str>);

/// A column as `datasets` writes it.
fn images(rows: &[Row<'_>]) -> ArrayRef {
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter(rows.iter().map(|(bytes, _)| *bytes)));
    let paths: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|(_, path)| *path)));
    let nulls = rows.iter().map(|row| *row != (None, None)).collect::<Vec<_>>();
    Arc::new(StructArray::new(fields, vec![bytes, paths], Some(nulls.into())))
}

fn table(columns: &[(&str, ArrayRef)], properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)),
    );
    let batch = batch.unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn plain() -> WriterProperties {
    WriterProperties::builder().build()
}

fn source(path: &Path) -> Parquet {
    Parquet::new(path, "image", None)
}

fn told(trial: &trial::Trial) -> Vec<(&str, Vec<u8>, Option<&str>)> {
    trial.good().map(|(id, file)| (id, file.bytes.to_vec(), file.path.as_deref())).collect()
}

#[test]
fn pictures_of_all_files_come_in_order_and_are_read_back() {
    let folder = Folder::new();
    let rows: [Row<'_>; 5] = [
        (Some(b"one"), Some("train/1.jpg")),
        (Some(b"two"), None),
        (None, None),
        (None, Some("/elsewhere/3.jpg")),
        (Some(b""), Some("empty.png")),
    ];
    folder.file(
        "b.parquet",
        table(&[("label", Arc::new(Int64Array::from(vec![1; 5]))), ("image", images(&rows))], plain()),
    );
    folder.file("a.parquet", table(&[("image", images(&[(Some(b"zero"), Some(""))]))], plain()));
    folder.file("README.md", "x");
    let trial = trial::run(&source(&folder.path())).unwrap();
    assert_eq!(
        told(&trial),
        [
            ("a-0", b"zero".to_vec(), None),
            ("1", b"one".to_vec(), Some("train/1.jpg")),
            ("b-1", b"two".to_vec(), None)
        ]
    );
    assert_eq!(
        trial.refused(),
        [
            "b-2 EmptyField: the picture of row 2 is null",
            "3 EmptyField: the picture of row 3 is not in the file: it has only a path (`/elsewhere/3.jpg`)",
            "empty EmptyField: the picture of row 4 is empty",
        ]
    );
    assert!(trial.scanned.warnings[0].contains("1 files do not end in .parquet"));
    assert_eq!(trial.scanned.folders[0], FolderStamp::of(&folder.path()).unwrap());

    let alone = trial::run(&source(&folder.path().join("a.parquet"))).unwrap();
    assert_eq!(told(&alone), [("a-0", b"zero".to_vec(), None)]);
    assert_eq!(alone.scanned.folders[0], FolderStamp::of(&folder.path().join("a.parquet")).unwrap());
}

#[test]
fn every_way_of_writing_gives_the_same_pictures() {
    let folder = Folder::new();
    let pictures: Vec<Vec<u8>> = (0..300usize).map(|at| vec![at as u8; 1 + at * 7 % 90]).collect();
    let paths: Vec<String> = (0..300).map(|at| format!("{at}.png")).collect();
    let rows: Vec<Row<'_>> =
        pictures.iter().zip(&paths).map(|(bytes, path)| (Some(&bytes[..]), Some(&path[..]))).collect();
    let expected: Vec<_> =
        pictures.iter().zip(0..300).map(|(bytes, at)| (at.to_string(), bytes.clone())).collect();
    let build = WriterProperties::builder;
    for properties in [
        build()
            .set_max_row_group_row_count(Some(70))
            .set_offset_index_disabled(true)
            .set_dictionary_enabled(false),
        build()
            .set_max_row_group_row_count(Some(300))
            .set_data_page_row_count_limit(11)
            .set_write_batch_size(11),
        build()
            .set_compression(Compression::SNAPPY)
            .set_offset_index_disabled(true)
            .set_data_page_row_count_limit(9)
            .set_write_batch_size(9),
        build()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::None),
        build().set_compression(Compression::LZ4_RAW),
        build()
            .set_compression(Compression::GZIP(Default::default()))
            .set_writer_version(::parquet::file::properties::WriterVersion::PARQUET_2_0),
    ] {
        let path = folder.file("x.parquet", table(&[("image", images(&rows))], properties.build()));
        let trial = trial::run(&source(&path)).unwrap();
        let found: Vec<_> = trial.good().map(|(id, file)| (id.to_string(), file.bytes.to_vec())).collect();
        assert_eq!(found, expected);
    }
    for array in [
        Arc::new(BinaryArray::from_iter_values(&pictures)) as ArrayRef,
        Arc::new(LargeBinaryArray::from_iter_values(&pictures)),
        Arc::new(BinaryViewArray::from_iter_values(&pictures)),
    ] {
        let path = folder.file("y.parquet", table(&[("picture", array)], plain()));
        let trial = trial::run(&Parquet::new(&path, "picture", None)).unwrap();
        let found: Vec<_> =
            trial.good().map(|(id, file)| (id.replace("y-", ""), file.bytes.to_vec())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn ids_may_have_a_column_of_their_own() {
    let folder = Folder::new();
    let rows: [Row<'_>; 3] =
        [(Some(b"one"), Some("1.jpg")), (Some(b"two"), Some("1.jpg")), (Some(b"three"), None)];
    let columns: [(&str, ArrayRef); 5] = [
        ("text", Arc::new(StringArray::from(vec![Some("a"), None, Some(" ")]))),
        ("number", Arc::new(Int64Array::from(vec![Some(-5), Some(i64::MAX), None]))),
        ("unsigned", Arc::new(UInt32Array::from(vec![0, u32::MAX, 7]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), Some(b"b"), Some(b"c")]))),
        ("image", images(&rows)),
    ];
    let path = folder.file("x.parquet", table(&columns, plain()));
    let ids = |column: &str| {
        let trial = trial::run(&Parquet::new(&path, "image", Some(column))).unwrap();
        let refused =
            trial.refused().iter().map(|text| text.split(": ").next().unwrap().to_string()).collect();
        (trial.good().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), refused)
    };
    let refused = |codes: &[&str]| codes.iter().map(|code| code.to_string()).collect::<Vec<String>>();
    assert_eq!(ids("text"), (vec!["a".into()], refused(&[" EmptyField", " EmptyField"])));
    assert_eq!(ids("number"), (vec!["-5".into(), i64::MAX.to_string()], refused(&[" EmptyField"])));
    assert_eq!(ids("unsigned"), (vec!["0".into(), "4294967295".into(), "7".into()], vec![]));
    assert_eq!(ids("bytes"), (vec!["b".into(), "c".into()], refused(&[" BadUtf8"])));
    // Without one, two pictures of one name are both told: planning settles which is the picture.
    assert_eq!(
        trial::run(&source(&path)).unwrap().good().map(|(id, _)| id).collect::<Vec<_>>(),
        ["1", "1", "x-2"]
    );
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])]);
    let columns: [(&str, ArrayRef); 4] = [
        ("image", images(&[(Some(b"one"), None)])),
        ("url", Arc::new(StringArray::from(vec!["http://x"]))),
        ("day", Arc::new(Date32Array::from(vec![7]))),
        ("many", Arc::new(list)),
    ];
    let path = folder.file("x.parquet", table(&columns, plain()));
    for (column, ids, words) in [
        ("picture", None, ["no column `picture`", "image.bytes, image.path, url"]),
        ("url", None, ["`url` holds no pictures", "images.column=NAME"]),
        ("many.list.item", None, ["holds no pictures", "images.column=NAME"]),
        ("image", Some("id"), ["no column `id`", "images.id_column=NAME"]),
        ("image", Some("day"), ["`day` holds neither text nor", "images.id_column=NAME"]),
        ("image", Some("many.list.item"), ["holds neither text nor", "one a row"]),
    ] {
        let said = trial::run(&Parquet::new(&path, column, ids)).unwrap_err().to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{column}: {said}");
    }
}

#[test]
fn files_that_are_none_or_are_cut_are_refused() {
    let folder = Folder::new();
    let whole = table(&[("image", images(&[(Some(&[7; 9000]), Some("1.jpg"))]))], plain());
    for (content, word) in [
        (&b""[..], "cannot be read as Parquet"),
        (b"PAR1", "cannot be read as Parquet"),
        (&[b'x'; 4000], "cannot be read as Parquet"),
        (&whole[..whole.len() - 9], "cannot be read as Parquet"),
        (&whole[..5000], "cannot be read as Parquet"),
        (&whole[100..], "cannot be read as Parquet"),
    ] {
        let said = trial::run(&source(&folder.file("x.parquet", content))).unwrap_err().to_string();
        assert!(said.contains(word) && said.contains("hint: ") && said.contains("x.parquet"), "{said}");
    }
    let none = table(&[("image", images(&[]))], plain());
    let said = trial::run(&source(&folder.file("x.parquet", none))).unwrap_err().to_string();
    assert!(said.contains("has no rows"), "{said}");
    let said = trial::run(&source(&folder.path().join("none.parquet"))).unwrap_err();
    assert!(matches!(said, Error::Io { .. }), "{said}");
}

#[test]
fn a_picture_that_changed_after_planning_is_not_taken_for_it() {
    let folder = Folder::new();
    let write = |one: &[u8]| {
        let rows = [(Some(one), Some("1.jpg")), (Some(&b"two"[..]), Some("2.jpg"))];
        folder.file("x.parquet", table(&[("image", images(&rows))], plain()))
    };
    let path = write(b"one");
    let (derived, mut parts) = (tempfile::tempdir().unwrap(), Vec::new());
    let context =
        ScanContext { source: "src", first_input: 0, derived: derived.path(), watch: &crate::Unwatched };
    let scanned = source(&path).scan(context, &mut |found| {
        let FoundPicture::Picture { span, .. } = found else { panic!("{found:?}") };
        parts.push(span);
        Ok(())
    });
    let listing = crate::inputs::InputFile::open(&scanned.unwrap().inputs[0].path).unwrap();
    let codes = || {
        let source = source(&path);
        let code =
            |span: &Span| source.read(listing.read(*span).unwrap()).map(|_| ()).map_err(|reason| reason.code);
        parts.iter().map(code).collect::<Vec<_>>()
    };
    assert_eq!(codes(), [Ok(()), Ok(())]);
    write(b"eno");
    assert_eq!(codes(), [Err(Code::ReadFailed), Ok(())]);
    folder.file("x.parquet", table(&[("image", images(&[(Some(b"one"), None)]))], plain()));
    assert_eq!(codes(), [Ok(()), Err(Code::ReadFailed)]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(codes(), [Err(Code::ReadFailed), Err(Code::ReadFailed)]);
    assert_eq!(source(&path).read(b"{".to_vec()).unwrap_err().code, Code::BadJson);
}

#[test]
fn threads_may_read_side_by_side_from_more_files_than_are_kept_open() {
    let folder = Folder::new();
    for file in 0..kept::FILES + 3 {
        let pictures: Vec<Vec<u8>> = (0..20u8).map(|row| vec![row, file as u8]).collect();
        let rows: Vec<Row<'_>> = pictures.iter().map(|bytes| (Some(&bytes[..]), None)).collect();
        folder.file(&format!("{file:02}.parquet"), table(&[("image", images(&rows))], plain()));
    }
    let source = source(&folder.path());
    let part = |file: usize, row: usize| {
        let blake3 = blake3::hash(&[row as u8, file as u8]).to_hex().to_string();
        let listed =
            Listed { file: format!("{file:02}.parquet"), group: 0, row, size: 2, blake3, path: None };
        serde_json::to_vec(&listed).unwrap()
    };
    (0..2000usize).into_par_iter().for_each(|at| {
        let (file, row) = (at * 7 % (kept::FILES + 3), at * 3 % 20);
        assert_eq!(&source.read(part(file, row)).unwrap().bytes[..], [row as u8, file as u8]);
    });
    assert_eq!(source.kept.lock().unwrap().counts(), (kept::FILES, 4));
}

#[test]
fn no_mutant_panics() {
    let rows: [Row<'_>; 3] = [(Some(b"one"), Some("1.jpg")), (None, None), (Some(&[3; 90]), Some("3.jpg"))];
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let bytes = table(&[("image", images(&rows))], properties);
        trial::mutants("x.parquet", &bytes, |_| (), |path| Box::new(source(path)));
    }
}

/// Files of `tests/golden/pictures`, which `generate.py` there wrote.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pictures").join(name)
}

#[test]
fn what_datasets_and_pyarrow_write_is_read() {
    let trial = trial::run(&source(&golden("datasets.parquet"))).unwrap();
    let long = "b".repeat(120);
    let ids: Vec<_> = trial.good().map(|(id, _)| id).collect();
    assert_eq!(ids, ["0001", "COCO_train_000000000009", long.as_str()]);
    assert_eq!(trial.refused(), ["datasets-3 EmptyField: the picture of row 3 is null"]);
    let one = trial.good().map(|(_, file)| &file.bytes).collect::<Vec<_>>();
    assert!(one.iter().all(|bytes| bytes.starts_with(b"\x89PNG")) && one[0] != one[1]);

    let trial = trial::run(&Parquet::new(&golden("pyarrow.parquet"), "picture", Some("id"))).unwrap();
    let same: Vec<_> = trial.good().map(|(id, file)| (id, &file.bytes)).collect();
    assert_eq!(same, [("x1", one[0]), ("x2", one[1]), ("x3", one[2])]);
}

#[test]
fn pictures_behind_the_one_that_is_read_come_with_it_as_far_as_limits_and_page_go() {
    let folder = Folder::new();
    let pictures: Vec<Vec<u8>> = (0..20u8).map(|at| vec![at; 10]).collect();
    let rows: Vec<Row<'_>> = pictures.iter().map(|bytes| (Some(&bytes[..]), None)).collect();
    let file = |properties: WriterProperties| {
        ParquetFile::open(&folder.file("x.parquet", table(&[("image", images(&rows))], properties))).unwrap()
    };
    let count = |file: &ParquetFile, row: usize, limits: (usize, usize)| {
        let found = file.pictures("image", 0, row, limits).unwrap();
        for (at, picture) in found.iter().enumerate() {
            assert_eq!(picture.as_deref(), Some(&pictures[row + at][..]));
        }
        found.len()
    };
    let pages = WriterProperties::builder().set_data_page_row_count_limit(6).set_write_batch_size(6);
    let whole = file(plain());
    assert_eq!(
        [count(&whole, 3, (5, 1000)), count(&whole, 3, (50, 45)), count(&whole, 3, (50, 1000))],
        [5, 4, 17]
    );
    assert_eq!([count(&whole, 19, (50, 1000)), count(&whole, 3, (50, 1))], [1, 1]);
    let paged = file(pages.clone().build());
    assert_eq!(
        [count(&paged, 0, (50, 1000)), count(&paged, 8, (50, 1000)), count(&paged, 19, (50, 1000))],
        [6, 4, 1]
    );
    let unindexed = file(pages.set_offset_index_disabled(true).build());
    assert_eq!(count(&unindexed, 8, (50, 1000)), 12);
    assert!(
        whole.pictures("image", 0, 20, (1, 1)).is_err() && whole.pictures("image", 1, 0, (1, 1)).is_err()
    );
    assert!(whole.pictures("picture", 0, 0, (1, 1)).is_err());
}
