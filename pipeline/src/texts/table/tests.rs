use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::*;
use crate::texts::trial::{self, Folder, Frame, Trial, run};

/// `image=a text=2 ...`.
fn columns(given: &str) -> TableColumns {
    let mut columns = TableColumns {
        image: Column::Name(String::new()),
        text: Column::Name(String::new()),
        id: None,
        answer: None,
        label: None,
        split: None,
    };
    for (role, column) in given.split(' ').map(|pair| pair.split_once('=').unwrap()) {
        let column = column.parse().map_or_else(|_| Column::Name(column.into()), Column::Number);
        match role {
            "image" => columns.image = column,
            "text" => columns.text = column,
            "id" => columns.id = Some(column),
            "answer" => columns.answer = Some(column),
            "label" => columns.label = Some(column),
            "split" => columns.split = Some(column),
            other => panic!("{other}"),
        }
    }
    columns
}

fn table(file: &Path, given: &str, kind: TextKind) -> Result<Table, Error> {
    Table::new("texts.captions", file, columns(given), kind)
}

fn read(file: &Path, given: &str) -> Result<Trial, Error> {
    run(&table(file, given, TextKind::Caption)?)
}

/// Picture, id and text of every record.
fn told(trial: &Trial) -> Vec<(String, String, String)> {
    trial
        .images()
        .into_iter()
        .zip(trial.texts())
        .map(|(image, text)| (image, text.id.clone(), text.text.clone()))
        .collect()
}

fn same(found: &[(String, String, String)], expected: &[(&str, &str, &str)]) {
    let found: Vec<_> = found.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(found, expected);
}

fn said(outcome: Result<Trial, Error>) -> String {
    outcome.map(|_| ()).unwrap_err().to_string()
}

const CSV: &str = "id,file_name,caption,split,more\r\n7,a/1.jpg,\"A \"\"dog\"\",\nand more\",train,x\r\n\r\n8,2.png, B ,,\n";

#[test]
fn csv_by_names() {
    let folder = Folder::new();
    let file = folder.file("c.csv", CSV);
    let trial = read(&file, "image=file_name text=caption id=id split=split").unwrap();
    same(&told(&trial), &[("1", "7", "A \"dog\",\nand more"), ("2", "8", " B ")]);
    assert!(trial.texts().iter().all(|text| text.kind == TextKind::Caption && text.extra.is_none()));
    let splits: Vec<_> = trial.records.iter().map(|(record, _)| record.split.as_deref()).collect();
    assert_eq!(splits, [Some("train"), None]);
    let lines: Vec<_> = trial.records.iter().map(|(record, _)| record.spans[0].line).collect();
    assert_eq!(lines, [2, 5]);

    let trial = read(&file, "image=file_name text=caption").unwrap();
    same(&told(&trial), &[("1", "c.csv:2", "A \"dog\",\nand more"), ("2", "c.csv:5", " B ")]);
    assert_eq!(trial.records[0].0.split, None);
}

#[test]
fn csv_by_numbers_has_no_line_of_names() {
    let folder = Folder::new();
    let file = folder.file("c.csv", "\u{feff}\"one\",1.jpg\ntwo,2.jpg");
    same(&told(&read(&file, "image=2 text=1").unwrap()), &[("1", "c.csv:1", "one"), ("2", "c.csv:2", "two")]);
    let refused = said(read(&file, "image=3 text=1"));
    assert!(refused.contains("has no column `column 3`; it has 2 columns"), "{refused}");
}

#[test]
fn tsv_has_no_quotes() {
    let folder = Folder::new();
    let content = "a \"quote\t1\tx\n\"b, c\" \t2\ty\r\n";
    for name in ["c.tsv", "c.TAB"] {
        let trial = read(&folder.file(name, content), "text=1 image=2").unwrap();
        let ids = [format!("{name}:1"), format!("{name}:2")];
        same(&told(&trial), &[("1", &ids[0], "a \"quote"), ("2", &ids[1], "\"b, c\" ")]);
    }
    let named = folder.file("n.tsv", format!("text\tpicture\tmore\n{content}"));
    same(&told(&read(&named, "text=text image=picture").unwrap())[1..], &[("2", "n.tsv:3", "\"b, c\" ")]);
}

#[test]
fn json_lines_by_keys() {
    let folder = Folder::new();
    let content = r#"{"image": 7, "caption": "A \"dog\"\n", "n": 1.5, "id": 12}
{"caption": "é", "image": "b/8.jpg", "id": 13.0, "split": "val"}
{"caption": 5, "image": "coco/9", "id": "x", "split": null}"#;
    for name in ["c.jsonl", "c.ndjson"] {
        let trial = read(&folder.file(name, content), "image=image text=caption id=id split=split").unwrap();
        same(&told(&trial), &[("7", "12", "A \"dog\""), ("8", "13", "é"), ("coco/9", "x", "5")]);
        let splits: Vec<_> = trial.records.iter().map(|(record, _)| record.split.as_deref()).collect();
        assert_eq!(splits, [None, Some("val"), None]);
        assert!(trial.texts().iter().all(|text| text.extra.is_none()));
    }
}

#[test]
fn questions_have_answers_and_statements_labels() {
    let folder = Folder::new();
    let file = folder.file("q.csv", "i,q,a,l\n1,Who?,me,1\n2,What?,,\n");
    let trial = run(&table(&file, "image=i text=q answer=a", TextKind::Question).unwrap()).unwrap();
    let answers: Vec<Vec<_>> =
        trial.texts().iter().map(|text| text.answers.iter().map(|one| one.text.as_str()).collect()).collect();
    assert_eq!(answers, [vec!["me"], vec![]]);
    assert!(trial.texts().iter().all(|text| text.kind == TextKind::Question && text.label.is_none()));
    for kind in [TextKind::Statement, TextKind::Label] {
        let trial = run(&table(&file, "image=i text=q label=l", kind).unwrap()).unwrap();
        let labels: Vec<_> = trial.texts().iter().map(|text| (text.kind, text.label)).collect();
        assert_eq!(labels, [(kind, Some(1)), (kind, None)]);
    }
    let lines =
        folder.file("l.jsonl", "{\"i\":1,\"q\":\"a\",\"l\":3.0}\n{\"i\":2,\"q\":\"b\",\"l\":\" -4\"}");
    let trial = run(&table(&lines, "image=i text=q label=l", TextKind::Label).unwrap()).unwrap();
    assert_eq!(trial.texts().iter().map(|text| text.label).collect::<Vec<_>>(), [Some(3), Some(-4)]);
}

fn write_parquet(file: &Path, columns: Vec<(&str, ArrayRef)>, compression: Compression) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let out = std::fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn parquet_columns(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let paths: StringArray = (0..rows).map(|row| Some(format!("p/{row}.jpg"))).collect();
    let inside = vec![
        (Arc::new(Field::new("bytes", DataType::Utf8, true)), Arc::new(paths.clone()) as ArrayRef),
        (Arc::new(Field::new("path", DataType::Utf8, true)), Arc::new(paths) as ArrayRef),
    ];
    let captions: StringArray =
        (0..rows).map(|row| (row != 1).then(|| format!("caption \"{row}\"\nof it"))).collect();
    let ids: Int32Array = (0..rows as i32).map(|row| Some(row + 100)).collect();
    let labels: Float64Array =
        (0..rows).map(|row| if row == 0 { Some(f64::NAN) } else { Some(row as f64) }).collect();
    vec![
        ("image", Arc::new(StructArray::from(inside))),
        ("caption", Arc::new(captions)),
        ("caption_id", Arc::new(ids)),
        ("label", Arc::new(labels)),
    ]
}

#[test]
fn parquet_becomes_lines() {
    let folder = Folder::new();
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let all = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW, zstd];
    for compression in all.into_iter().chain([Compression::GZIP(Default::default())]) {
        let file = folder.file("c.parquet", "");
        write_parquet(&file, parquet_columns(3000), compression);
        let format = table(&file, "image=image.path text=caption id=caption_id label=label", TextKind::Label);
        let trial = run(&format.unwrap()).unwrap();
        assert_eq!(trial.refused(), ["2 101 BadJson: has no `caption`"]);
        assert_eq!((trial.records.len(), trial.inputs.len()), (3000, 2));
        assert!(trial.inputs[0].path == file && trial.inputs[1].path.ends_with("table-5.jsonl"));
        let (record, parsed) = &trial.records[2999];
        let text = &parsed.as_ref().unwrap().texts[0];
        assert_eq!((record.images[0].as_str(), text.text.as_str()), ("2999", "caption \"2999\"\nof it"));
        assert_eq!((text.id.as_str(), text.label, record.spans[0].input), ("3099", Some(2999), 6));
        assert_eq!(trial.records[0].1.as_ref().unwrap().texts[0].label, None, "NaN is no label");
    }
}

#[test]
fn parquet_without_the_column_or_with_another_type_is_an_error() {
    let folder = Folder::new();
    let file = folder.file("c.parquet", "");
    let mut columns = parquet_columns(3);
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([
        Some(vec![Some(1)]),
        None,
        Some(vec![]),
    ]);
    columns.push(("list", Arc::new(list)));
    columns.push(("yes", Arc::new(arrow_array::BooleanArray::from(vec![true, false, true]))));
    write_parquet(&file, columns, Compression::SNAPPY);
    for (given, words) in [
        (
            "image=path text=caption",
            "has no column `path`; it has `image.bytes`, `image.path`, `caption`, `cap",
        ),
        ("image=image text=caption", "has no column `image`"),
        ("image=image.path text=yes", "column `yes` holds Boolean"),
        ("image=image.path text=list.list.item", "holds a list or a map"),
    ] {
        let said = said(read(&file, given));
        assert!(said.contains(words) && said.contains("texts.captions.columns"), "{given}: {said}");
    }
    for content in [&b""[..], b"PAR1", b"PAR1 and no more PAR1", b"id,caption\n"] {
        let said = said(read(&folder.file("x.parquet", content), "image=a text=b"));
        assert!(said.contains("x.parquet: cannot be read as Parquet: "), "{said}");
    }
}

#[test]
fn a_missing_column_is_an_error_that_lists_those_there_are() {
    let folder = Folder::new();
    for (name, content, given, words) in [
        (
            "a.csv",
            "id, caption\n1,a\n",
            "image=id text=caption",
            "has no column `caption`; it has `id`, ` caption`",
        ),
        ("a.csv", "id,text,text\n1,a,b\n", "image=id text=text", "a.csv:1: has 2 columns `text`"),
        ("a.csv", "\n", "image=id text=text", "is empty"),
        (
            "a.tsv",
            "id\tcaption\n",
            "image=id text=caption split=part",
            "has no column `part`; it has `id`, `caption`",
        ),
        ("a.tsv", "a\tb\n", "image=1 text=2 id=3", "has no column `column 3`; it has 2 columns"),
        (
            "a.jsonl",
            "{\"id\": 1, \"caption\": \"a\"}\n{\"id\": 2}\n",
            "image=id text=caption split=part",
            "has no column `part`; it has in its first object `id`, `caption`",
        ),
    ] {
        let said = said(read(&folder.file(name, content), given));
        assert!(said.contains(words), "{given}: {said}");
    }
    assert!(matches!(read(Path::new("none.csv"), "image=a text=b").map(|_| ()), Err(Error::Io { .. })));
    assert!(matches!(read(Path::new("none.parquet"), "image=a text=b").map(|_| ()), Err(Error::Io { .. })));
    let headed = read(&folder.file("b.csv", "id,caption\n"), "image=id text=caption").unwrap();
    assert!(headed.records.is_empty(), "a table of no rows is a table");
}

#[test]
fn columns_that_cannot_be_are_refused_before_anything_is_opened() {
    let refused =
        |file: &str, given: &str, kind| table(Path::new(file), given, kind).unwrap_err().to_string();
    for (file, given, kind, words) in [
        ("a.csv", "image=0 text=1", TextKind::Caption, "count columns from 1"),
        ("a.jsonl", "image=1 text=2", TextKind::Caption, "has a name, not a number"),
        ("a.parquet", "image=a text=2", TextKind::Caption, "has a name, not a number"),
        ("a.tsv", "image=1 text=b", TextKind::Caption, "some columns are numbers"),
        ("a.csv", "image=a text=b answer=c", TextKind::Caption, "`answer` belongs to questions"),
        ("a.csv", "image=a text=b label=c", TextKind::Question, "`label` belongs to statements"),
    ] {
        let said = refused(file, given, kind);
        assert!(said.contains("texts.captions.columns") && said.contains(words), "{said}");
    }
    for file in ["a.txt", "a.csv.gz", "csv", "a.json"] {
        let said = refused(file, "image=a text=b", TextKind::Caption);
        assert!(said.contains("does not end as a table does"), "{said}");
    }
}

#[test]
fn every_bad_record_is_told_with_its_place() {
    let folder = Folder::new();
    let mut csv = b"i,t,l,k\n1,a\n1,a,1,2,3\n,a,1,k2\n1, ,1,k3\n1,a,x,k4\n1,a,1.5,k5\n1,a,1, \nhttp://h.org/,a,1,k6\n1,\"a,\n\",1,k7\n".to_vec();
    csv.extend_from_slice(b"1,\xFF,1,k8\n\xFF.jpg,a,1,k9\n1,a,99999999999,k10\n");
    let file = folder.file("c.csv", &csv);
    let trial = run(&table(&file, "image=i text=t label=l id=k", TextKind::Label).unwrap()).unwrap();
    let refused: Vec<String> =
        trial.refused().iter().map(|told| told.split(" (the record").next().unwrap().to_string()).collect();
    assert_eq!(
        refused,
        [
            "2  WrongColumns: has 2 columns, the line of names has 4",
            "3  WrongColumns: has 5 columns, the line of names has 4",
            "4 k2 EmptyField: `i` is empty",
            "8  EmptyField: `k` is empty",
            "9 k6 EmptyField: `i` is `http://h.org/`, which names no file",
            "13 k9 BadUtf8: `i` is not UTF-8 from byte 0 of the cell on",
            "5 k3 EmptyField: `t` is empty",
            "6 k4 BadNumber: `l` is `x` and should be a whole number",
            "7 k5 BadNumber: `l` is `1.5` and should be a whole number",
            "12 k8 BadUtf8: `t` is not UTF-8 from byte 0 of the cell on",
            "14 k10 BadNumber: `l` is `99999999999` and should be a whole number",
        ]
    );
    assert!(trial.rejects[0].message.ends_with("(the record begins at byte 8)"));
    assert_eq!(trial.records.iter().filter(|(_, parsed)| parsed.is_ok()).count(), 1);

    let tsv = "a\t1\n\nb\t2\tx\nc\t \n \t3\n";
    let trial = read(&folder.file("c.tsv", tsv), "text=1 image=2").unwrap();
    assert_eq!(
        trial.refused(),
        [
            "2  WrongColumns: has 1 columns, the first has 2",
            "3  WrongColumns: has 3 columns, the first has 2",
            "4 c.tsv:4 EmptyField: `column 2` is empty",
            "5 c.tsv:5 EmptyField: `column 1` is empty",
        ]
    );

    let lines = "{\"i\": 1, \"t\": \"a\"}\n\n[1]\n{\"i\": 1\n{\"t\": \"a\"}\n{\"i\": true, \"t\": \"a\"}
{\"i\": 1.5, \"t\": \"a\"}\n{\"i\": {}, \"t\": \"a\"}\n{\"i\": 1, \"t\": null}\n{\"i\": 1, \"t\": [\"a\"]}\n{\"i\": \"\"}";
    let trial = read(&folder.file("c.jsonl", lines), "image=i text=t").unwrap();
    let refused: Vec<String> =
        trial.refused().iter().map(|told| told.split(" (").next().unwrap().to_string()).collect();
    assert_eq!(
        refused,
        [
            "2  EmptyField: the line is empty",
            "3  BadJson: invalid type: sequence, expected a map",
            "4  BadJson: EOF while parsing an object",
            "5 c.jsonl:5 BadJson: has no `i`",
            "6 c.jsonl:6 BadJson: `i` is a truth value and should be a string or a whole number",
            "7 c.jsonl:7 BadJson: `i` is 1.5 and should be a string or a whole number",
            "8 c.jsonl:8 BadJson: `i` is an object and should be a string or a whole number",
            "11 c.jsonl:11 EmptyField: `i` is empty",
            "9 c.jsonl:9 BadJson: has no `t`",
            "10 c.jsonl:10 BadJson: `t` is a list and should be a string or a whole number",
        ]
    );
}

#[test]
fn two_addresses_of_one_name_are_told() {
    let folder = Folder::new();
    let content = "a\thttp://h.org/x/1.jpg\nb\thttp://h.org/x/1.jpg\nc\thttp://h.org/y/1.jpg\n";
    let trial = read(&folder.file("c.tsv", content), "text=1 image=2").unwrap();
    assert_eq!(trial.images(), ["1", "1"]);
    assert_eq!(
        trial.refused(),
        [
            "3 c.tsv:3 DuplicateId: picture `1` has another address on line 1 than here: `http://h.org/y/1.jpg`"
        ]
    );
}

#[test]
fn parts_of_another_plan_are_refused_and_nothing_panics() {
    let folder = Folder::new();
    let span = crate::inputs::Span { input: 0, offset: 0, len: 0, line: 1 };
    let part = |bytes: &[u8]| Part { span, bytes: bytes.to_vec() };
    for name in ["c.csv", "c.tsv", "c.jsonl", "c.parquet"] {
        let format = table(&folder.file(name, ""), "image=a text=b", TextKind::Caption).unwrap();
        assert!(format.parse(&[]).is_err());
        for bytes in [&b""[..], b"\"", b"\xFF", b"{}", b"a,b", b"a\tb", b"\t\t\t", b",,,"] {
            assert!(format.parse(&[part(bytes)]).is_err());
            assert!(format.parse(&[part(bytes), part(b"")]).is_err());
            assert!(format.parse(&[part(bytes), part(b"a"), part(b"")]).is_err());
        }
    }
}

#[test]
fn mutants_are_accounted_for() {
    let lines = "{\"i\": 1, \"t\": \"a dog\", \"s\": \"val\"}\n{\"i\": \"b/2.jpg\", \"t\": \"é\"}\n{\"t\": \"c\", \"i\": 3.0}";
    for (name, content, given, frame) in [
        ("c.csv", CSV, "image=file_name text=caption id=id split=split", Frame::Csv { names: true }),
        (
            "n.csv",
            "\"one, \"\"two\"\"\n\",1.jpg\ntwo,2.jpg\nthree,3",
            "image=2 text=1",
            Frame::Csv { names: false },
        ),
        ("c.tsv", "one dog\thttp://h.org/1.jpg\ntwo\t2.jpg\r\nthree\t3\n", "image=2 text=1", Frame::Lines),
        ("c.jsonl", lines, "image=i text=t split=s", Frame::Lines),
    ] {
        trial::mutants(&[(name, content, frame)], |paths| {
            Box::new(table(&paths[0], given, TextKind::Caption).unwrap())
        });
    }
}

#[test]
fn mutants_of_parquet_are_refused_or_read() {
    let folder = Folder::new();
    let file = folder.file("c.parquet", "");
    write_parquet(&file, parquet_columns(40), Compression::SNAPPY);
    let good = std::fs::read(&file).unwrap();
    let format = table(&file, "image=image.path text=caption id=caption_id", TextKind::Caption).unwrap();
    let (mut whole, mut refused) = (0, 0);
    for number in 0..1000usize {
        let mut bytes = good.clone();
        let at = number * 7919 % bytes.len();
        bytes[at] = bytes[at].wrapping_add(1 + (number % 255) as u8);
        std::fs::write(&file, &bytes).unwrap();
        match run(&format) {
            Ok(trial) => whole += usize::from(trial.records.len() + trial.rejects.len() <= 40),
            Err(Error::Input { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(whole + refused == 1000 && refused > 100, "{whole} read, {refused} refused");
}
