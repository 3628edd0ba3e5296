//! How texts lie beside one picture and beside two.

use data_specs::{
    Account, FeatureInfo, FeatureType, Manifest, Picture, SCHEMA_VERSION, ShardWriter, Tag, TextKind,
    Tokenizer,
};
use pretrain::data::VerifyShards;

use super::*;
use crate::settings::SetSettings;

const WIDTH: u32 = 4;

fn picture(id: u32, regions: u32) -> Picture {
    let tag = |name: &str, origin: &str| Tag {
        name: name.into(),
        score: None,
        region: None,
        rect: None,
        origin: origin.into(),
    };
    Picture {
        image_id: id.to_string(),
        width: Some(10),
        height: Some(20),
        regions,
        boxes: Some(vec![[1.0, 2.0, 6.0, 12.0]; regions as usize]),
        features: (0..regions * WIDTH)
            .flat_map(|i| ((100 * id + i) as f32).to_le_bytes())
            .collect::<Vec<u8>>()
            .into(),
        tags: match id {
            1 => vec![tag("t1", "vg"), tag("t2", "oi"), tag("t3", "vg")],
            _ => vec![tag("t4", "vg")],
        },
        ..Picture::default()
    }
}

fn sample(n_pictures: u32) -> Sample {
    let text = |id: &str, kind: TextKind, text: &str| Text {
        id: id.into(),
        kind,
        text: text.into(),
        answers: Vec::new(),
        label: Some(1),
        extra: None,
    };
    Sample {
        key: "test/1".into(),
        source: "test".into(),
        split: "train".into(),
        images: (1..=n_pictures).map(|id| picture(id, 3)).collect(),
        texts: vec![text("c", TextKind::Caption, "w1"), text("s", TextKind::Statement, "w1 w2 w3 w4 w5")],
        extra: None,
    }
}

/// `w1` ... `w5` are 5 to 9, `t1` ... `t4` are 10 to 13; [CLS] is 2, [SEP] is 3.
fn sequences(n_pictures: u32, pictures: Pictures, layout: &Layout) -> Result<Vec<Example>> {
    sequences_of(&sample(n_pictures), pictures, layout)
}

fn sequences_of(sample: &Sample, pictures: Pictures, layout: &Layout) -> Result<Vec<Example>> {
    let folder = tempfile::tempdir().unwrap();
    let words = "[PAD] [UNK] [CLS] [SEP] [MASK] w1 w2 w3 w4 w5 t1 t2 t3 t4".replace(' ', "\n");
    std::fs::write(folder.path().join("vocab.txt"), words).unwrap();
    let mut writer = ShardWriter::create(folder.path(), "shard-00000.parquet", "test").unwrap();
    writer.write(std::slice::from_ref(sample)).unwrap();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        version: 0,
        build_id: "0123456789abcdef".into(),
        corpus: "test".into(),
        features: FeatureInfo { dtype: FeatureType::F32, width: WIDTH },
        computed: None,
        shards: vec![writer.commit(&|_| {}).unwrap()],
        rejects: vec![],
        rows: Account::default(),
        texts: Account::default(),
        warnings: vec![],
    };
    assert!(manifest.commit(folder.path(), &|_| {}).unwrap());
    let config = serde_json::json!({
        "vocab_size": 14, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 4, "img_feature_dim": WIDTH + 6,
    });
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let opening = Opening {
        role: "train",
        sets: &[SetSettings { path: folder.path().to_owned(), splits: None }],
        verify: VerifyShards::First,
        layout,
        pictures,
        config: &config,
        tokenizer: &Tokenizer::open(&folder.path().join("vocab.txt")).unwrap(),
        with_unknown: false,
        spec: "statements.toml",
        open_shards: Opening::IN_ORDER,
    };
    let texts = Texts::open(&opening, &|text| match text.kind {
        TextKind::Statement => Asked::Target(vec![(1, 1.0)]),
        _ => Asked::Other("texts of another kind"),
    })?;
    assert_eq!((texts.len(), texts.left_out()), (1, "left out: 1 texts of another kind".to_owned()));
    let at = RowId { shard: 0, row: 0 };
    assert_eq!((texts.target(at), texts.place(at)?.text().id.as_str()), (&[(1, 1.0)][..], "s"));
    texts.sequences(at, 6)
}

fn layout(max_tokens: usize, max_regions: usize, tag_origins: Option<&str>) -> Layout {
    let tag_origins = tag_origins.map(|origin| vec![origin.to_owned()]);
    Layout { max_tokens, max_regions, tags: true, tag_origins }
}

/// First numbers of the features of every region.
fn regions(example: &Example) -> Vec<f32> {
    let numbers =
        example.regions.chunks_exact((WIDTH + 6) as usize).map(|region| region[0]).collect::<Vec<_>>();
    assert_eq!(numbers.len(), example.n_regions);
    numbers
}

#[test]
fn one_picture() {
    let [example] = &sequences(1, Pictures::One, &layout(20, 2, Some("vg"))).unwrap()[..] else { panic!() };
    assert_eq!(example.token_ids, [2, 5, 6, 7, 8, 9, 3, 10, 12, 3]);
    assert_eq!(example.segment_ids, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    assert_eq!((regions(example), example.place), (vec![100.0, 104.0], 6));
    assert_eq!(example.regions[4..10], [0.1, 0.1, 0.6, 0.6, 0.5, 0.5]);
    let message = sequences(2, Pictures::One, &layout(20, 2, None)).unwrap_err().to_string();
    assert!(message.contains("has 2 pictures where the task reads 1"), "{message}");
}

#[test]
fn two_pictures_one_after_the_other() {
    // 5 words and 3 tags into 5: a loses 2 and b 1; beside the right picture a is as short, although it had room
    let both = sequences(2, Pictures::Pair, &layout(8, 5, None)).unwrap();
    assert_eq!(both[0].token_ids, [2, 5, 6, 7, 3, 10, 11, 3]);
    assert_eq!(both[1].token_ids, [2, 5, 6, 7, 3, 13, 3]);
    assert_eq!(
        (regions(&both[0]), regions(&both[1])),
        (vec![100.0, 104.0, 108.0], vec![200.0, 204.0, 208.0])
    );
    assert_eq!([both[0].place, both[1].place], [12, 13]);
    let without = Layout { tags: false, ..layout(6, 1, None) };
    let both = sequences(2, Pictures::Pair, &without).unwrap();
    assert!(both.iter().all(|example| example.token_ids == [2, 5, 6, 7, 8, 3]), "{both:?}");
    let message = sequences(1, Pictures::Pair, &without).unwrap_err().to_string();
    assert!(
        message.contains("has 1 pictures where the task reads 2") && message.contains("statements.toml"),
        "{message}"
    );
}

#[test]
fn two_pictures_at_once() {
    let [example] = &sequences(2, Pictures::PairAtOnce, &layout(20, 2, None)).unwrap()[..] else { panic!() };
    assert_eq!(example.token_ids, [2, 5, 6, 7, 8, 9, 3, 10, 11, 12, 13, 3]);
    assert_eq!(regions(example), [100.0, 104.0, 200.0, 204.0]);
}

#[test]
fn tags_of_a_question_list_stand_in_for_those_of_the_pictures() {
    let listed = |n_pictures, extra: &str| {
        let mut sample = sample(n_pictures);
        sample.texts[1].extra = Some(extra.to_owned());
        sample
    };
    let layout = layout(20, 1, Some("vg"));
    let one =
        sequences_of(&listed(1, r#"{"an":[1],"o":"t4;t2","s":[1.0]}"#), Pictures::One, &layout).unwrap();
    assert_eq!(one[0].token_ids, [2, 5, 6, 7, 8, 9, 3, 13, 11, 3]);
    let none = sequences_of(&listed(1, r#"{"o":""}"#), Pictures::One, &layout).unwrap();
    assert_eq!(none[0].token_ids, [2, 5, 6, 7, 8, 9, 3]);
    let sides = listed(2, r#"{"o":{"left":"t1;t2","right":"t3"}}"#);
    let two = sequences_of(&sides, Pictures::Pair, &layout).unwrap();
    assert_eq!((&two[0].token_ids[7..], &two[1].token_ids[7..]), (&[10, 11, 3][..], &[12, 3][..]));
    let at_once = sequences_of(&sides, Pictures::PairAtOnce, &layout).unwrap();
    assert_eq!(at_once[0].token_ids[7..], [10, 11, 12, 3]);
    let without = Layout { tags: false, ..layout };
    let without = sequences_of(&sides, Pictures::Pair, &without).unwrap();
    assert_eq!(without[0].token_ids, [2, 5, 6, 7, 8, 9, 3]);
}
