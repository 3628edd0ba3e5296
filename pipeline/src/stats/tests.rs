//! Figures against a plain recount of a made-up data set, and what page and terminal do with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use data_specs::{
    Account, Answer, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter, Tag,
    Text, TextKind,
};

use super::*;
use crate::rejects_file::RejectsWriter;
use crate::{Code, Outcome, Reject, Stage, Unit, Unwatched};

const INFO: FeatureInfo = FeatureInfo { dtype: FeatureType::F32, width: 8 };
const HOSTILE: &str = "<script>alert(\"x\")</script>'&\u{1b}[2J\u{202e}😀";

/// A generator of small numbers (splitmix64), the same on every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Small numbers are likelier, as with words and things in pictures.
    fn skewed(&mut self, end: u64) -> usize {
        (self.below(end) * self.below(end) / end) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.skewed(of.len() as u64)]
    }
}

const THINGS: [&str; 24] = [
    "person",
    "man",
    "dog",
    "tree",
    "dining table",
    "car",
    "window",
    "shirt",
    "woman",
    "sky",
    "building",
    "chair",
    "horse",
    "street sign",
    "plate",
    "cat",
    "bicycle",
    "umbrella",
    "traffic light",
    "pizza",
    "bench",
    "surfboard",
    "giraffe",
    "tennis racket",
];
const LOOKS: [&str; 8] = ["red", "large", "wooden", "small", "black", "striped", "young", "snowy"];
const PLACES: [&str; 6] =
    ["in the street", "on a field", "near the water", "at night", "in a kitchen", "under the sky"];
const DEEDS: [&str; 6] =
    ["stands", "is sitting", "leans against a wall", "runs", "looks at the camera", "rests"];

fn picture(draw: &mut Draw, id: String) -> Picture {
    let sized = draw.below(10) > 0;
    let (width, height) =
        [(640, 480), (640, 427), (480, 640), (500, 375), (640, 640), (1024, 683)][draw.skewed(6)];
    let regions = 10 + (draw.below(16) + draw.below(16)) as u32;
    let boxes = (0..regions).map(|_| {
        let (x, y) = (draw.below(width - 40), draw.below(height - 40));
        let w = 20 + draw.skewed(width - x - 20) as u64;
        let h = 20 + draw.skewed(height - y - 20) as u64;
        [x as f32, y as f32, (x + w) as f32, (y + h) as f32]
    });
    let boxes = boxes.collect();
    let numbers = (0..regions * INFO.width).map(|_| (draw.below(900) as f32 - 300.0).max(0.0) / 100.0);
    let features: Vec<u8> =
        numbers.collect::<Vec<_>>().iter().flat_map(|number| number.to_le_bytes()).collect();
    let tag = |draw: &mut Draw, region: u32, names: &[&str], origin: &str| Tag {
        name: draw.pick(names).to_string(),
        score: Some(0.5),
        region: Some(region as i32),
        rect: None,
        origin: origin.to_string(),
    };
    let mut tags: Vec<Tag> = (0..regions).map(|region| tag(draw, region, &THINGS, "vg")).collect();
    if draw.below(3) == 0 {
        tags.extend(
            (0..1 + draw.below(4) as u32).map(|region| tag(draw, region, &THINGS[..9], "openimages")),
        );
    }
    let attributes = (0..regions.min(6)).map(|region| tag(draw, region, &LOOKS, "vg")).collect();
    Picture {
        image_id: id,
        width: sized.then_some(width as u32),
        height: sized.then_some(height as u32),
        regions,
        boxes: Some(boxes),
        features: Bytes::from(features),
        tags,
        attributes,
        ..Picture::default()
    }
}

fn text(id: String, kind: TextKind, text: String) -> Text {
    Text { id, kind, text, answers: vec![], label: None, extra: None }
}

fn caption(draw: &mut Draw, picture: &Picture) -> String {
    // Two of three captions speak of something that the detector saw.
    let seen: Vec<&str> = picture.tags.iter().map(|tag| tag.name.as_str()).collect();
    let thing = |draw: &mut Draw| if draw.below(3) > 0 { draw.pick(&seen) } else { draw.pick(&THINGS) };
    let (one, other) = (thing(draw), thing(draw));
    let (look, deed, place) = (draw.pick(&LOOKS), draw.pick(&DEEDS), draw.pick(&PLACES));
    match draw.below(3) {
        0 => format!("A {look} {one} {deed} {place}."),
        1 => format!("There is a {one} with a {other} {place}, and the {one} {deed}."),
        _ => format!("The {one} {deed}"),
    }
}

/// Row `n`: captions, then questions, then pairs with statements; every seventh without texts.
fn sample(draw: &mut Draw, n: usize) -> Sample {
    let (source, split) = [("coco", "train"), ("coco", "val"), ("vqa", "train"), ("nlvr2", "train")][n % 4];
    let sides = if source == "nlvr2" { 2 } else { 1 };
    let images: Vec<Picture> = (0..sides).map(|side| picture(draw, format!("{n}-{side}"))).collect();
    let mut texts = Vec::new();
    for at in 0..if n % 7 == 3 { 0 } else { 1 + draw.below(5) } {
        let id = format!("{n}.{at}");
        texts.push(match source {
            "coco" => text(id, TextKind::Caption, caption(draw, &images[0])),
            "vqa" => Text {
                answers: (0..draw.below(11))
                    .map(|_| Answer {
                        text: draw.pick(&["yes", "no", "2", "red", "a dog"]).into(),
                        score: None,
                    })
                    .collect(),
                ..text(
                    id,
                    TextKind::Question,
                    format!("Is the {} {}?", draw.pick(&THINGS), draw.pick(&LOOKS)),
                )
            },
            _ => Text {
                label: Some(draw.below(2) as i32),
                ..text(id, TextKind::Statement, format!("Both pictures show a {}.", draw.pick(&THINGS)))
            },
        });
    }
    Sample {
        key: format!("{source}/{n}"),
        source: source.into(),
        split: split.into(),
        images,
        texts,
        extra: None,
    }
}

fn samples(rows: usize) -> Vec<Sample> {
    let mut draw = Draw(7);
    (0..rows).map(|n| sample(&mut draw, n)).collect()
}

fn reject(n: u64, outcome: Outcome, unit: Unit, code: Code, message: &str) -> Reject {
    Reject {
        outcome,
        unit,
        stage: Stage::Decode,
        code,
        source: "coco".into(),
        file: "train_obj36.tsv".into(),
        line: Some(n),
        key: format!("coco/{n}"),
        message: message.into(),
        retryable: false,
    }
}

/// Writes `samples` as `shards` shards, with seven rejects, and commits the manifest.
fn write(folder: &Path, samples: &[Sample], shards: usize) {
    std::fs::create_dir_all(folder.join("rejects")).unwrap();
    let mut entries = Vec::new();
    for (index, rows) in samples.chunks(samples.len().div_ceil(shards).max(1)).enumerate() {
        let mut writer = ShardWriter::create(folder, &format!("shard-{index:05}.parquet"), "test").unwrap();
        rows.chunks(100).for_each(|rows| writer.write(rows).unwrap());
        entries.push(writer.commit(&|_| {}).unwrap());
    }
    let mut rejects = Vec::new();
    for file in 0..2 {
        let name = format!("rejects/{file}.parquet");
        let mut writer = RejectsWriter::create(folder, &name, "test").unwrap();
        for n in 1..=3 {
            let message = "row of 7 columns, 10 are expected";
            writer
                .push(reject(10 * file + n, Outcome::Rejected, Unit::Row, Code::WrongColumns, message))
                .unwrap();
        }
        writer.push(reject(99 + file, Outcome::Filtered, Unit::Row, Code::Excluded, "on the list")).unwrap();
        let message = "the same id and content as line 4";
        writer.push(reject(50, Outcome::Deduplicated, Unit::Row, Code::Duplicate, message)).unwrap();
        writer.push(reject(7, Outcome::Rejected, Unit::Text, Code::BadUtf8, HOSTILE)).unwrap();
        rejects.push(writer.commit().unwrap());
    }
    let written = samples.len() as u64;
    let texts = samples.iter().map(|sample| sample.texts.len() as u64).sum::<u64>();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "0123456789abcdef".repeat(4),
        corpus: "a toy corpus".into(),
        features: INFO,
        computed: None,
        shards: entries,
        rejects,
        rows: Account { read: written + 10, written, rejected: 6, deduplicated: 2, filtered: 2 },
        texts: Account { read: texts + 2, written: texts, rejected: 2, ..Account::default() },
        warnings: vec![],
    };
    assert!(manifest.commit(folder, &|_| {}).unwrap());
}

fn stats_of(samples: &[Sample], shards: usize) -> Stats {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), samples, shards);
    stats(folder.path(), Some(2), &Unwatched).unwrap()
}

/// The data set with everything in it, as it is looked at by eye and by tests.
fn rich() -> Vec<Sample> {
    let mut samples = samples(600);
    samples[8].texts[0].text = format!("{HOSTILE} {}", "very".repeat(5000));
    samples[8].images[0].tags.extend([HOSTILE, "   ", "Ⱥⱥ🦓 שלום"].map(|name| Tag {
        name: name.into(),
        score: None,
        region: None,
        rect: Some([0.0; 4]),
        origin: HOSTILE.into(),
    }));
    samples[9].texts.push(text("w".into(), TextKind::Caption, "word ".repeat(900)));
    samples[10].texts.push(text("l".into(), TextKind::Label, "zebra crossing".into()));
    samples
}

#[track_caller]
fn check(histogram: &Option<Histogram>, values: &[f64]) {
    let Some(histogram) = histogram else {
        assert!(values.is_empty());
        return;
    };
    assert_eq!(histogram.count, values.len() as u64);
    assert_eq!(histogram.min, values.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(histogram.max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((histogram.mean - mean).abs() <= 1e-12 * mean.abs() * values.len() as f64);
    for (at, bin) in histogram.bins.iter().enumerate() {
        let shares = bin.label.ends_with('%');
        let inside = |value: f64| {
            let above = if shares && at > 0 { value > bin.from } else { value >= bin.from };
            above && value <= bin.to
        };
        assert_eq!(bin.count, values.iter().filter(|&&value| inside(value)).count() as u64, "{bin:?}");
    }
}

#[track_caller]
fn check_list<'a>(frequencies: &Frequencies, names: impl Iterator<Item = &'a str>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    assert_eq!(frequencies.total, counts.values().sum::<u64>());
    assert_eq!(frequencies.distinct, counts.len() as u64);
    assert_eq!(frequencies.undercount, 0);
    let mut sorted: Vec<(&str, u64)> = counts.into_iter().collect();
    sorted.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let most: Vec<(&str, u64)> =
        frequencies.most.iter().map(|entry| (entry.name.as_str(), entry.count)).collect();
    assert_eq!(most, sorted[..most.len()]);
    assert!(most.len() == sorted.len() || most.len() >= 12);
}

fn check_part(part: &PartStats, rows: &[&Sample]) {
    let pictures: Vec<&Picture> = rows.iter().flat_map(|row| &row.images).collect();
    let texts: Vec<&Text> = rows.iter().flat_map(|row| &row.texts).collect();
    assert_eq!(part.rows, rows.len() as u64);
    assert_eq!(part.pictures, pictures.len() as u64);
    assert_eq!(part.pairs, rows.iter().filter(|row| row.images.len() == 2).count() as u64);
    assert_eq!(part.rows_without_texts, rows.iter().filter(|row| row.texts.is_empty()).count() as u64);
    let regions: Vec<f64> = pictures.iter().map(|picture| f64::from(picture.regions)).collect();
    check(&part.regions_per_picture, &regions);
    assert_eq!(part.regions as f64, regions.iter().sum::<f64>());
    let sizes: Vec<(u32, u32)> =
        pictures.iter().filter_map(|picture| picture.width.zip(picture.height)).collect();
    check(&part.short_side, &sizes.iter().map(|&(w, h)| f64::from(w.min(h))).collect::<Vec<_>>());
    let names: Vec<String> = sizes.iter().map(|(w, h)| format!("{w} × {h}")).collect();
    check_list(&part.sizes, names.iter().map(String::as_str));
    let mut areas = Vec::new();
    for picture in &pictures {
        if let (Some(w), Some(h), Some(boxes)) = (picture.width, picture.height, &picture.boxes) {
            areas.extend(boxes.iter().map(|b| f64::from((b[2] - b[0]) * (b[3] - b[1])) / f64::from(w * h)));
        }
    }
    check(&part.box_area, &areas);

    let origins: BTreeSet<&str> =
        pictures.iter().flat_map(|picture| &picture.tags).map(|tag| tag.origin.as_str()).collect();
    assert!(part.tags.iter().map(|tags| tags.origin.as_str()).eq(origins.iter().copied()));
    for tags in &part.tags {
        let of =
            |picture: &Picture| picture.tags.iter().filter(|tag| tag.origin == tags.origin).count() as f64;
        check(&tags.per_picture, &pictures.iter().map(|picture| of(picture)).collect::<Vec<_>>());
        let all = pictures.iter().flat_map(|picture| &picture.tags);
        check_list(&tags.names, all.filter(|tag| tag.origin == tags.origin).map(|tag| tag.name.as_str()));
    }
    let attributes = part.attributes.as_ref().unwrap();
    check_list(&attributes.names, pictures.iter().flat_map(|p| &p.attributes).map(|tag| tag.name.as_str()));

    for kind in [TextKind::Caption, TextKind::Question, TextKind::Statement, TextKind::Label] {
        let texts: Vec<&str> =
            texts.iter().filter(|text| text.kind == kind).map(|text| text.text.as_str()).collect();
        let Some(figures) = part.texts.iter().find(|figures| figures.kind == kind) else {
            assert!(texts.is_empty());
            continue;
        };
        assert_eq!(figures.texts, texts.len() as u64);
        let words: Vec<f64> = texts.iter().map(|text| text.split_whitespace().count() as f64).collect();
        check(&figures.words_per_text, &words);
        let words: Vec<String> = texts.iter().flat_map(|text| plain_words(text)).collect();
        let cut = |word: &str| word.floor_char_boundary(64);
        check_list(&figures.words, words.iter().map(|word| &word[..cut(word)]));
        assert_eq!(figures.type_token, figures.words.distinct as f64 / figures.words.total as f64);
    }
    let questions = texts.iter().filter(|text| text.kind == TextKind::Question);
    check(&part.answers_per_question, &questions.map(|text| text.answers.len() as f64).collect::<Vec<_>>());
    check_list(&part.answers, texts.iter().flat_map(|text| &text.answers).map(|answer| answer.text.as_str()));
    let labels: Vec<String> =
        texts.iter().filter_map(|text| text.label).map(|label| label.to_string()).collect();
    check_list(&part.labels, labels.iter().map(String::as_str));
    check_naming(part, rows);
}

/// Naming by searching ` dining table ` in ` a dog under a dining table `.
fn check_naming(part: &PartStats, rows: &[&Sample]) {
    let (mut captions, mut at_least) = (0, [0; 3]);
    for row in rows {
        let tags = row.images.iter().flat_map(|picture| &picture.tags);
        let tags: BTreeSet<String> = tags.map(|tag| plain_words(&tag.name).join(" ")).collect();
        for text in row.texts.iter().filter(|text| text.kind == TextKind::Caption) {
            let line = format!(" {} ", plain_words(&text.text).join(" "));
            let named =
                tags.iter().filter(|tag| !tag.is_empty() && line.contains(&format!(" {tag} "))).count();
            captions += 1;
            (0..3).for_each(|n| at_least[n] += u64::from(named > n));
        }
    }
    match &part.naming {
        None => assert_eq!(captions, 0),
        Some(naming) => assert_eq!((naming.captions, naming.at_least), (captions, at_least)),
    }
}

fn plain_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.to_lowercase().split_whitespace() {
        let Some(first) = word.find(char::is_alphanumeric) else { continue };
        let last = word.rfind(char::is_alphanumeric).unwrap();
        let last = last + word[last..].chars().next().unwrap().len_utf8();
        words.push(word[first..last].to_string());
    }
    words
}

#[test]
fn every_figure_equals_a_plain_recount() {
    let samples = rich();
    let stats = stats_of(&samples, 3);
    check_part(&stats.all, &samples.iter().collect::<Vec<_>>());
    let names: Vec<(&str, &str)> =
        stats.parts.iter().map(|part| (part.source.as_str(), part.split.as_str())).collect();
    assert_eq!(names, [("coco", "train"), ("coco", "val"), ("nlvr2", "train"), ("vqa", "train")]);
    for part in &stats.parts {
        let of_part = |row: &&Sample| row.source == part.source && row.split == part.split;
        check_part(part, &samples.iter().filter(of_part).collect::<Vec<_>>());
    }

    let blocks = samples.iter().flat_map(|row| &row.images).map(|picture| &picture.features);
    let numbers: Vec<f64> = blocks
        .flat_map(|block| block.chunks(4).map(|at| f64::from(f32::from_le_bytes(at.try_into().unwrap()))))
        .collect();
    let (count, values) = (numbers.len() as f64, stats.features.values.unwrap());
    let mean = numbers.iter().sum::<f64>() / count;
    let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count;
    assert_eq!((stats.features.every, stats.features.rows, stats.features.numbers as f64), (1, 600, count));
    assert_eq!((values.min, values.max, stats.features.not_finite), (0.0, f64::from(5.99f32), 0));
    assert!((values.mean - mean).abs() < 1e-9 && (values.deviation - variance.sqrt()).abs() < 1e-9);
    assert_eq!(values.zeros, numbers.iter().filter(|&&number| number == 0.0).count() as f64 / count);

    let kinds: Vec<_> =
        stats.rejects.iter().map(|kind| (kind.outcome, kind.unit, kind.code, kind.count)).collect();
    assert_eq!(
        kinds,
        [
            (Outcome::Rejected, Unit::Row, Code::WrongColumns, 6),
            (Outcome::Rejected, Unit::Text, Code::BadUtf8, 2),
            (Outcome::Deduplicated, Unit::Row, Code::Duplicate, 2),
            (Outcome::Filtered, Unit::Row, Code::Excluded, 2),
        ]
    );
    assert_eq!(stats.rejects[0].example.line, Some(1));
    assert_eq!((stats.shards, stats.rows.written, stats.version), (3, 600, 0));
}

#[test]
fn figures_are_the_same_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &samples(5000), 3);
    let json = |threads| serde_json::to_string(&stats(folder.path(), threads, &Unwatched).unwrap()).unwrap();
    let one = json(Some(1));
    for threads in [Some(2), Some(4), None] {
        assert_eq!(json(threads), one);
    }
    assert!(one.contains(r#""kind":"caption""#) && one.contains(r#""dtype":"f32""#));
}

#[test]
fn hostile_strings_stay_strings() {
    let mut stats = stats_of(&rich(), 2);
    stats.warnings.push(HOSTILE.into());
    stats.corpus = HOSTILE.into();
    let page = stats_page(&stats);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert!(!page.contains("undefined") && !page.contains("NaN"));
    assert!(page.lines().all(|line| line.len() < 20_000));
    let shown = stats.to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("\\u{1b}"));
}

#[test]
fn pages_are_well_formed_and_ask_for_nothing_outside() {
    for (rows, shards) in [(0, 1), (1, 1), (600, 2)] {
        let page = stats_page(&stats_of(&samples(rows), shards));
        for tag in
            ["div", "section", "figure", "svg", "table", "tr", "details", "p", "span", "dl", "text", "main"]
        {
            let opened =
                page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        for word in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(word), "{word}");
        }
        let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
}

#[test]
fn a_terminal_of_80_columns_is_enough() {
    use unicode_width::UnicodeWidthStr;
    let samples = rich();
    for rows in [&samples[..0], &samples[..1], &samples[..]] {
        let shown = stats_of(rows, 2).to_string();
        for line in shown.lines().filter(|line| !line.contains(" read = ")) {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
    }
}

#[test]
fn an_empty_data_set_has_figures_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: String::new(),
        corpus: String::new(),
        features: INFO,
        computed: None,
        shards: vec![],
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    manifest.commit(folder.path(), &|_| {}).unwrap();
    let stats = stats(folder.path(), None, &Unwatched).unwrap();
    assert_eq!((stats.all.rows, stats.parts.len(), stats.features.values), (0, 0, None));
    assert!(stats_page(&stats).contains("no rows"));
    assert!(stats.to_string().contains("no rows"));
}

#[test]
fn damage_and_signals_are_errors() {
    struct Interrupted;
    impl crate::Watch for Interrupted {
        fn interrupted(&self) -> Option<i32> {
            Some(2)
        }
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(stats(folder.path(), None, &Unwatched).is_err());
    write(folder.path(), &samples(40), 2);
    let error = stats(folder.path(), None, &Interrupted).unwrap_err();
    assert!(matches!(error, Error::Interrupted { signal: 2 }), "{error}");
    let shard = folder.path().join("shard-00001.parquet");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[1..]).unwrap();
    let error = stats(folder.path(), None, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("shard-00001.parquet"), "{error}");
}
