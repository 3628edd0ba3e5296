//! Data sets made here, with pictures whose boxes are filled with the colour of their class.

use std::path::Path;

use data_specs::{
    Account, EncodedImage, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, Sample, ShardWriter,
    Tag,
};

use super::*;
use crate::decoding::Picture as Pixels;
use crate::encode_png;

/// Class name, box, attributes.
type Drawn<'a> = (&'a str, [f32; 4], &'a [&'a str]);

const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

fn tag(name: &str, region: usize) -> Tag {
    let origin = "annotated".to_string();
    Tag { name: name.to_string(), score: None, region: Some(region as i32), rect: None, origin }
}

fn row(id: usize, (width, height): (u32, u32), drawn: &[Drawn<'_>]) -> Sample {
    let mut pixels = Pixels { width, height, rgb: vec![128; 3 * (width * height) as usize] };
    for (class, rect, _) in drawn {
        let colour = if class.starts_with("red") { RED } else { BLUE };
        let [x1, y1, x2, y2] = rect.map(|x| x.max(0.0) as u32);
        for y in y1..y2.min(height) {
            for x in x1..x2.min(width) {
                pixels.rgb[3 * (y * width + x) as usize..][..3].copy_from_slice(&colour);
            }
        }
    }
    let picture = Picture {
        image_id: id.to_string(),
        width: Some(width),
        height: Some(height),
        image: Some(EncodedImage { bytes: Some(encode_png(&pixels).unwrap().into()), path: None }),
        regions: drawn.len() as u32,
        boxes: Some(drawn.iter().map(|(_, rect, _)| *rect).collect()),
        tags: drawn.iter().enumerate().map(|(region, (class, ..))| tag(class, region)).collect(),
        attributes: drawn
            .iter()
            .enumerate()
            .flat_map(|(region, (.., like))| like.iter().map(move |name| tag(name, region)))
            .collect(),
        ..Picture::default()
    };
    Sample {
        key: format!("made/{id}"),
        source: "made".into(),
        split: if id % 5 == 4 { "val".into() } else { "train".into() },
        images: vec![picture],
        texts: vec![],
        extra: None,
    }
}

fn write(folder: &Path, shards: &[Vec<Sample>]) {
    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "made for a test".into(),
        corpus: "made".into(),
        features: FeatureInfo { dtype: FeatureType::F32, width: 0 },
        computed: None,
        shards: vec![],
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    for (number, rows) in shards.iter().enumerate() {
        let mut writer = ShardWriter::create(folder, &format!("shard-{number:05}.parquet"), "test").unwrap();
        writer.write(rows).unwrap();
        manifest.shards.push(writer.commit(&|_| {}).unwrap());
    }
    manifest.commit(folder, &|_| {}).unwrap();
}

fn settings(folder: &Path) -> SampleSettings {
    SampleSettings {
        sources: vec![SampleSource {
            path: folder.to_path_buf(),
            splits: None,
            origins: None,
            copies: 1,
            least_of_class: 0,
        }],
        classes: NamesSettings { file: None, least_boxes: 1 },
        attributes: Some(NamesSettings { file: None, least_boxes: 1 }),
        most_attributes: 16,
        flip: 0.0,
        short_sides: vec![],
        long_side: 1000,
    }
}

/// 20 pictures of one blue box, 2 of a red one too, in 3 shards.
fn many(folder: &Path) {
    let blue: Drawn<'_> = ("blue", [4.0, 4.0, 20.0, 12.0], &[]);
    let red: Drawn<'_> = ("red", [24.0, 2.0, 40.0, 30.0], &["tall", "red"]);
    let both = [blue, red];
    let rows: Vec<Sample> =
        (0..20).map(|id| row(id, (48, 32), if id % 10 == 3 { &both } else { &both[..1] })).collect();
    let shards: Vec<Vec<Sample>> = rows.chunks(7).map(<[Sample]>::to_vec).collect();
    write(folder, &shards);
}

#[test]
fn names_are_counted_and_boxes_come_with_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path());
    let samples = DetectionSamples::open(&settings(folder.path()), 1).unwrap();
    assert_eq!(samples.classes().list(), ["blue", "red"]);
    assert_eq!(samples.attributes().list(), ["red", "tall"]);
    assert_eq!((samples.len(), samples.n_pictures()), (20, 20));
    assert_eq!(samples.counts().boxes_by_class, [20, 2]);
    assert!(samples.counts().odd.is_empty(), "{:?}", samples.counts().odd);
    let third = samples.picture(13).unwrap();
    assert_eq!(third.boxes, [[4.0, 4.0, 20.0, 12.0], [24.0, 2.0, 40.0, 30.0]]);
    assert_eq!((third.classes, third.attributes), (vec![0, 1], vec![vec![], vec![0, 1]]));
    let mut rare = settings(folder.path());
    rare.classes.least_boxes = 3;
    rare.attributes = None;
    rare.sources[0].splits = Some(vec!["val".into()]);
    let samples = DetectionSamples::open(&rare, 1).unwrap();
    assert_eq!((samples.classes().list(), samples.len()), (&["blue".to_string()][..], 4));
    let (count, first) = &samples.counts().odd["rows of other splits, or of two pictures; left out"];
    assert_eq!((*count, first.as_str()), (16, "made/0"));
}

#[test]
fn rare_classes_are_shown_more_often_and_an_epoch_is_a_permutation() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path());
    let mut settings = settings(folder.path());
    settings.sources[0].copies = 2;
    settings.sources[0].least_of_class = 9;
    let samples = DetectionSamples::open(&settings, 1).unwrap();
    // 2 copies of 20 pictures; the 2 with red ones were 4 of 9, so 5 more
    assert_eq!((samples.len(), samples.n_pictures()), (45, 20));
    let n_red = |epoch: u64| {
        let all = (0..45).map(|n| samples.sample(45 * epoch + n).unwrap());
        all.filter(|found| found.classes.contains(&1)).count()
    };
    assert_eq!((n_red(0), n_red(3)), (9, 9));
    let again = DetectionSamples::open(&settings, 1).unwrap();
    let other = DetectionSamples::open(&settings, 2).unwrap();
    let classes = |samples: &DetectionSamples, first: u64| -> Vec<usize> {
        (first..first + 45).map(|n| samples.sample(n).unwrap().classes.len()).collect()
    };
    // started in the midst of it: the same samples
    assert_eq!(classes(&again, 60), classes(&samples, 60));
    assert_ne!(classes(&other, 0), classes(&samples, 0));
    assert_ne!(classes(&samples, 45), classes(&samples, 0));
}

#[test]
fn boxes_follow_their_picture_when_it_is_mirrored_and_resized() {
    let folder = tempfile::tempdir().unwrap();
    many(folder.path());
    let mut settings = settings(folder.path());
    (settings.flip, settings.short_sides, settings.long_side) = (0.5, vec![32, 48, 64, 100], 120);
    let samples = DetectionSamples::open(&settings, 5).unwrap();
    let (mut sizes, mut mirrored) = (std::collections::BTreeSet::new(), 0);
    for n in 0..80 {
        let found = samples.sample(n).unwrap();
        let Pixels { width, height, rgb } = &found.picture;
        sizes.insert((*width, *height));
        mirrored += usize::from(found.boxes[0][0] > *width as f32 / 2.0);
        for ([x1, y1, x2, y2], class) in found.boxes.iter().zip(&found.classes) {
            assert!(*x1 >= 0.0 && *y1 >= 0.0 && *x2 <= *width as f32 && *y2 <= *height as f32);
            let colour = if *class == 1 { RED } else { BLUE };
            // the middle, and just inside two corners: the resize mixes colours along the border
            for (x, y) in
                [(x1 + x2, y1 + y2), (2.0 * x1 + 5.0, 2.0 * y1 + 5.0), (2.0 * x2 - 7.0, 2.0 * y2 - 7.0)]
            {
                let at = 3 * ((y / 2.0) as u32 * width + (x / 2.0) as u32) as usize;
                assert_eq!(rgb[at..at + 3], colour, "sample {n}, at {x} {y} of {width} x {height}");
            }
        }
        assert_eq!(samples.sample(n).unwrap(), found);
    }
    // 100 would make the long side 150, so 120 x 80 it is
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [(48, 32), (72, 48), (96, 64), (120, 80)]);
    assert!((20..60).contains(&mirrored), "{mirrored} of 80 mirrored");
}

#[test]
fn odd_boxes_are_counted_with_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = vec![
        row(0, (48, 32), &[("red", [-5.0, 2.0, 40.0, 90.0], &["new"]), ("red", [60.0, 2.0, 70.0, 9.0], &[])]),
        row(1, (48, 32), &[("green", [1.0, 1.0, 9.0, 9.0], &[]), ("red", [f32::NAN, 2.0, 70.0, 9.0], &[])]),
        row(2, (48, 32), &[("red", [1.0, 1.0, 9.0, 9.0], &[])]),
    ];
    rows[2].images[0].tags.push(Tag { region: None, ..tag("red", 0) });
    write(folder.path(), &[rows]);
    let list = folder.path().join("classes.txt");
    std::fs::write(&list, "blue, navy\nred, scarlet\n").unwrap();
    let mut settings = settings(folder.path());
    settings.classes.file = Some(list.clone());
    settings.attributes = Some(NamesSettings { file: Some(list.clone()), least_boxes: 0 });
    let samples = DetectionSamples::open(&settings, 1).unwrap();
    let odd: Vec<(u64, &str)> =
        samples.counts().odd.values().map(|(count, first)| (*count, first.as_str())).collect();
    let told: Vec<&str> = samples.counts().odd.keys().map(|what| what.split(';').next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "attributes are not learned",
            "boxes are of a class that is not learned",
            "boxes have corners that are no numbers",
            "boxes have no area inside their picture",
            "boxes reach over the border of their picture",
            "names have no box",
            "pictures have no box to learn from",
        ]
    );
    let (zero, one, two) = ("made/0", "made/1", "made/2");
    assert_eq!(odd, [(1, zero), (1, one), (1, one), (1, zero), (1, zero), (1, two), (1, one)]);
    assert_eq!(samples.picture(0).unwrap().boxes, [[0.0, 2.0, 40.0, 32.0]]);
    assert_eq!((samples.n_pictures(), samples.classes().number("scarlet")), (2, Some(1)));
    std::fs::write(&list, "red\n\n").unwrap();
    assert!(Names::read(&list).unwrap_err().to_string().contains("line 2 has an empty name"));
    std::fs::write(&list, "red\nblue,red\n").unwrap();
    assert!(Names::read(&list).unwrap_err().to_string().contains("line 2 has a name that stands"));
}

#[test]
fn what_cannot_be_learned_from_is_named() {
    let drawn: &[Drawn<'_>] = &[("red", [1.0, 1.0, 9.0, 9.0], &[])];
    let with = |change: &dyn Fn(&mut Sample)| {
        let folder = tempfile::tempdir().unwrap();
        let mut made = row(7, (48, 32), drawn);
        change(&mut made);
        write(folder.path(), &[vec![made]]);
        let opened = DetectionSamples::open(&settings(folder.path()), 1).map(|_| ());
        opened.map_err(|error| error.to_string())
    };
    assert_eq!(with(&|row| row.images[0].attributes.push(tag("tall", 0))), Ok(()));
    let attributes = "no name has 1 boxes";
    for (change, words) in [
        (
            &(|row: &mut Sample| row.images[0].image = None) as &dyn Fn(&mut Sample),
            "(made/7) keeps no picture",
        ),
        (
            &|row| row.images[0].width = Some(96),
            "keeps a picture of 48 x 32, and its boxes are in one of 96 x 32",
        ),
        (&|row| row.images[0].height = None, "no picture has a box"),
        (&|row| row.images[0].tags.clear(), "no name has 1 boxes"),
        (
            &|row| {
                row.images[0].image =
                    Some(EncodedImage { bytes: Some(vec![0xff, 0xd8, 0xff].into()), path: None })
            },
            "(made/7) cannot be decoded",
        ),
    ] {
        let with_attribute = |row: &mut Sample| {
            row.images[0].attributes.push(tag("tall", 0));
            change(row);
        };
        let message = with(&with_attribute).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    assert!(with(&|row| row.images[0].attributes.clear()).unwrap_err().contains(attributes));
    let folder = tempfile::tempdir().unwrap();
    for (change, words) in [
        (&(|s: &mut SampleSettings| s.sources.clear()) as &dyn Fn(&mut SampleSettings), "data.sources"),
        (&|s| s.sources[0].copies = 0, "data.sources.copies"),
        (&|s| s.flip = 1.5, "data.flip"),
        (&|s| s.short_sides = vec![0], "data.short_sides"),
        (&|s| s.most_attributes = 0, "data.most_attributes"),
    ] {
        let mut settings = settings(folder.path());
        change(&mut settings);
        let message = DetectionSamples::open(&settings, 1).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}
