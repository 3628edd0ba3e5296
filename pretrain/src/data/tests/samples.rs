//! What an example holds.

use std::collections::BTreeSet;

use data_specs::{FeatureType, Sample, Text, TextKind};

use super::corpus::*;
use crate::data::{DataSettings, TrainingData};
use crate::model::RegionGeometry;
use crate::objectives::{ObjectiveSettings, WrongTags};
use crate::{Example, Result};

use Token::{Answer, Tag, Word};

fn near(count: usize, n: usize, share: f64) {
    let deviation = (n as f64 * share * (1.0 - share)).sqrt();
    assert!((count as f64 - n as f64 * share).abs() < 5.0 * deviation, "{count} of {n} is not {share}");
}

/// The examples of 32 steps of 64.
fn trained_on(data: &TrainingData) -> Vec<Example> {
    let share = crate::data::Share { batch: 64, micro: 64, rank: 0, world: 1 };
    let mut loader = data.load(share, 0, &data.start()).unwrap();
    (0..32).flat_map(|_| loader.micro_batch().unwrap().examples).collect()
}

#[test]
fn a_sample_as_it_lies() {
    let corpus = Corpus::new();
    let mut samples = rows(0..6);
    samples[1].images[0].geometry = Some(vec![[0.1, 0.2, 0.6, 0.9, 0.5, 0.7], [0.0; 6]]);
    samples[1].images[0].boxes = None;
    (samples[1].images[0].width, samples[1].images[0].height) = (None, None);
    corpus.write("set", &samples, 2, FeatureType::F32);
    let examples = corpus.pass(&corpus.settings(), &plain());
    assert_eq!(examples.len(), 8); // six captions, questions of rows 0 and 3

    // row 0: a caption, then a question
    assert_eq!(examples[0].token_ids[0], 2);
    assert_eq!(examples[0].segment_ids, [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(parts(&examples[0]), (vec![Word(0), Word(0)], vec![Tag(0); 3]));
    assert_eq!(parts(&examples[1]), (vec![Word(0), Word(7)], vec![Answer(0)]));
    assert_eq!(examples[1].segment_ids, [0, 0, 0, 0, 1, 1]);
    for (place, example) in examples.iter().enumerate() {
        assert_eq!(example.place as usize, place);
        assert_eq!(example.contrastive_label, 0);
        assert_eq!(example.token_labels, vec![-1; example.token_ids.len()]);
        assert_eq!(example.regions.len(), example.n_regions * 14);
    }

    // three regions at most; features as stored; the place in exactly the published form
    let counts: Vec<usize> = examples.iter().map(|example| example.n_regions).collect();
    assert_eq!(counts, [1, 1, 2, 3, 3, 3, 1, 2]);
    let third = &examples[3]; // row 2
    for region in 0..3 {
        let vector = &third.regions[region * 14..][..14];
        let expected: Vec<f32> = (0..8).map(|i| number(2, region as u32 * 8 + i)).collect();
        assert_eq!(vector[..8], expected);
        let x1 = 1.5 + region as f32;
        let place = [
            x1 / 640.0,
            2.25 / 427.0,
            333.3 / 640.0,
            400.7 / 427.0,
            (333.3f32 - x1) / 640.0,
            (400.7f32 - 2.25) / 427.0,
        ];
        assert_eq!(vector[8..], place);
    }
    assert_eq!(examples[2].regions[8..14], [0.1, 0.2, 0.6, 0.9, 0.5, 0.7]);
}

#[test]
fn geometry_of_the_other_order_and_features_of_half_the_size() {
    let corpus = Corpus::usual();
    let halves: Vec<Sample> =
        (0..120).map(|n| row(n, rows(n..n + 1)[0].texts.clone(), FeatureType::F16)).collect();
    corpus.write("halves", &halves, 3, FeatureType::F16);
    let settings = corpus.settings();
    let half_settings = DataSettings { train: vec![corpus.set("halves")], ..settings.clone() };
    let half_settings = DataSettings { held_out: half_settings.train.clone(), ..half_settings };
    let whole = corpus.pass(&settings, &ObjectiveSettings::default());
    assert!(whole == corpus.pass(&half_settings, &ObjectiveSettings::default()));

    let model = crate::data::ModelInput { region_geometry: RegionGeometry::Hw, ..MODEL };
    let (folder, tokenizer) = (corpus.path("hw"), &corpus.tokenizer);
    let objectives = ObjectiveSettings::default();
    let other = crate::data::HeldOut::open(&settings, &objectives, &model, tokenizer, 11, &folder);
    let other = other.unwrap().unwrap().batches(16, 0, 1).unwrap().flat_map(Result::unwrap);
    for (mut wh, hw) in whole.into_iter().zip(other) {
        assert_ne!(wh.regions, hw.regions);
        wh.regions.chunks_mut(14).for_each(|vector| vector.swap(12, 13));
        assert_eq!(wh, hw);
    }
}

#[test]
fn tags_texts_and_splits_are_chosen() {
    let corpus = Corpus::new();
    let of = |kind, text: &str| Text { kind, text: text.into(), ..caption(0, 0) };
    let mut samples = rows(0..10);
    samples[1].texts = vec![
        of(TextKind::Label, "w900"),
        of(TextKind::Statement, "w901"),
        Text { label: Some(0), ..of(TextKind::Statement, "w902") },
        Text { label: Some(1), ..of(TextKind::Statement, "w903") },
        of(TextKind::Caption, " "),
        of(TextKind::Question, "w904"),
    ];
    samples[2].images[0].tags.clear();
    corpus.write("set", &samples, 3, FeatureType::F32);
    let settings = corpus.settings();
    let words = |settings: &DataSettings| -> Vec<(u32, Vec<Token>)> {
        let examples = corpus.pass(settings, &plain());
        examples.iter().map(|example| (parts(example).0[0].name(), parts(example).1)).collect()
    };
    let with = |change: &dyn Fn(&mut crate::data::SetSettings)| {
        let mut settings = settings.clone();
        change(&mut settings.held_out[0]);
        settings
    };

    let all = words(&settings);
    assert!(all.iter().all(|(word, _)| ![900, 902].contains(word)), "{all:?}");
    for word in [901, 903, 904] {
        assert!(all.contains(&(word, vec![Tag(1); 3])), "{word}: {all:?}");
    }
    assert!(all.contains(&(2, vec![])) && all.contains(&(3, vec![Answer(3)])));
    let summary = corpus.held_out(&settings, &plain()).summaries()[0].clone();
    assert_eq!((summary.texts, summary.with_answer, summary.with_tags, summary.unanswered), (16, 4, 11, 1));
    assert_eq!((summary.other_kind, summary.false_statements, summary.empty, summary.rows), (1, 1, 1, 10));

    let val = words(&with(&|set| set.splits = Some(vec!["val".into()])));
    assert_eq!(val.iter().map(|(word, _)| *word).collect::<Vec<_>>(), [0, 0, 5]);
    let questions = words(&with(&|set| set.kinds = Some(vec![TextKind::Question])));
    assert_eq!(questions.iter().map(|(word, _)| *word).collect::<Vec<_>>(), [0, 904, 3, 6, 9]);
    let vg = words(&with(&|set| set.tags = Some(vec!["vg".into()])));
    assert!(vg.contains(&(901, vec![Tag(1)])) && vg.contains(&(4, vec![Tag(4)])));
    let bare = DataSettings { tags: false, ..settings.clone() };
    assert!(words(&bare).iter().all(|(_, b)| b.is_empty()));
    let blind = DataSettings { regions: false, ..settings.clone() };
    assert!(corpus.pass(&blind, &plain()).iter().all(|example| example.n_regions == 0));
}

/// Checks that what was exchanged is of another picture, and counts the labels.
fn exchanged(examples: &[Example], n_classes: usize) -> [usize; 3] {
    let mut counts = [0; 3];
    for example in examples {
        let (a, b) = parts(example);
        let picture = regions_row(example);
        let (right_a, right_b) = (a[0].name() % 64 == picture, b.iter().all(|b| b.name() % 64 == picture));
        let label = example.contrastive_label;
        counts[label as usize] += 1;
        match label {
            0 => assert!(right_a && right_b, "{a:?} {b:?} {picture}"),
            1 if n_classes == 3 || right_a => assert!(right_a && !right_b, "{a:?} {b:?} {picture}"),
            _ => assert!(!right_a && right_b, "{a:?} {b:?} {picture}"),
        }
    }
    counts
}

/// The row that an example's regions are of; rows are below 64.
fn regions_row(example: &Example) -> u32 {
    example.regions[0] as u32
}

#[test]
fn exchanged_parts_are_of_other_pictures_in_the_published_shares() {
    let corpus = Corpus::new();
    corpus.write("set", &rows(0..60), 4, FeatureType::F32);
    let settings = corpus.settings();
    let (binary, three_way) = (exchanging(), ObjectiveSettings { wrong_text: 0.25, ..exchanging() });

    let examples = trained_on(&corpus.open(&settings, &binary).unwrap());
    let [clean, wrong_b, _] = exchanged(&examples, 2);
    near(clean, examples.len(), 0.5);
    assert_eq!(clean + wrong_b, examples.len());

    let examples = trained_on(&corpus.open(&settings, &three_way).unwrap());
    let [clean, wrong_b, wrong_a] = exchanged(&examples, 3);
    near(clean, examples.len(), 0.5);
    near(wrong_b, examples.len(), 0.25);
    near(wrong_a, examples.len(), 0.25);
    // from the whole data set: every row gives and takes
    let givers: BTreeSet<u32> = examples.iter().map(|example| parts(example).0[0].name()).collect();
    assert_eq!(givers.len(), 60);

    // without tags the words are exchanged, and have the last class
    let bare = DataSettings { tags: false, ..settings };
    let examples = trained_on(&corpus.open(&bare, &binary).unwrap());
    let [clean, wrong_b, wrong_a] = exchanged(&examples, 3);
    near(clean, examples.len(), 0.5);
    assert_eq!((wrong_b, wrong_a), (0, examples.len() - clean));
}

#[test]
fn wrong_tags_come_from_where_the_mode_says() {
    let corpus = Corpus::new();
    corpus.write("set", &rows(0..60), 4, FeatureType::F32);
    let wrong = |mode| {
        let objectives = ObjectiveSettings { pollution: 1.0, textb_sample_mode: mode, ..plain() };
        let examples = trained_on(&corpus.open(&corpus.settings(), &objectives).unwrap());
        assert!(examples.iter().all(|example| example.contrastive_label == 1));
        examples
    };
    let kinds = |examples: &[Example]| {
        let first = |example: &Example| parts(example).1[0];
        let count = |is: &dyn Fn(Token) -> bool| examples.iter().filter(|example| is(first(example))).count();
        [
            count(&|b| matches!(b, Word(_))),
            count(&|b| matches!(b, Tag(_))),
            count(&|b| matches!(b, Answer(_))),
        ]
    };
    // 60 captions with tags and 20 questions with answers
    let tags = wrong(WrongTags::Tags);
    let [words, names, answers] = kinds(&tags);
    assert_eq!((words, names + answers), (0, tags.len()));
    near(names, tags.len(), 0.75);

    let any = wrong(WrongTags::AnyRow);
    let [words, names, answers] = kinds(&any);
    near(words, any.len(), 0.5);
    near(names, any.len(), 0.375);
    near(answers, any.len(), 0.125);

    let answered = wrong(WrongTags::Answers);
    assert_eq!(kinds(&answered), [0, 0, answered.len()]);
    for example in tags.iter().chain(&any) {
        assert_ne!(parts(example).1[0].name(), regions_row(example));
    }
}

#[test]
fn after_the_published_tries_a_part_of_the_same_picture_is_taken() {
    let corpus = Corpus::new();
    let texts = (0..4).map(|n| caption(3, n)).collect();
    corpus.write("set", &[row(3, texts, FeatureType::F32)], 1, FeatureType::F32);
    let always = ObjectiveSettings { pollution: 1.0, ..plain() };
    let message = corpus.open(&corpus.settings(), &always).unwrap_err().to_string();
    assert!(message.contains("one picture") && message.contains("same_picture_after_tries"), "{message}");
    let published = ObjectiveSettings { same_picture_after_tries: Some(10), ..always };
    let examples = trained_on(&corpus.open(&corpus.settings(), &published).unwrap());
    assert!(examples.iter().all(|example| example.contrastive_label == 1 && parts(example).1 == [Tag(3); 3]));

    // with two pictures of many texts the share of the same one is that of ten tries in a row
    let set: Vec<Sample> = [(3, 1), (4, 9)]
        .map(|(n, many)| row(n, (0..many).map(|i| caption(n, i)).collect(), FeatureType::F32))
        .into();
    corpus.write("two", &set, 1, FeatureType::F32);
    let settings = DataSettings { train: vec![corpus.set("two")], ..corpus.settings() };
    let one_try = ObjectiveSettings { same_picture_after_tries: Some(1), ..always };
    let examples = trained_on(&corpus.open(&settings, &one_try).unwrap());
    let same = examples.iter().filter(|example| parts(example).1[0].name() == regions_row(example)).count();
    near(same, examples.len(), 0.1 * 0.1 + 0.9 * 0.9);
    let examples = trained_on(&corpus.open(&settings, &always).unwrap());
    assert!(examples.iter().all(|example| parts(example).1[0].name() != regions_row(example)));
}

/// A picture is the same in another row: its captions and its questions are not exchanged for each other.
#[test]
fn pictures_are_known_again_in_other_rows() {
    let corpus = Corpus::new();
    let mut set = rows(0..4);
    set.extend((0..4).map(|n| row(n + 64, vec![caption(n + 64, 0)], FeatureType::F32)));
    set.iter_mut().skip(4).for_each(|sample| {
        sample.images[0].image_id = (sample.images[0].image_id.parse::<u32>().unwrap() - 64).to_string();
    });
    corpus.write("set", &set, 2, FeatureType::F32);
    let objectives = ObjectiveSettings { pollution: 1.0, ..plain() };
    for example in trained_on(&corpus.open(&corpus.settings(), &objectives).unwrap()) {
        assert_ne!(parts(&example).1[0].name() % 64, regions_row(&example));
    }
}

#[test]
fn an_exchanged_b_may_be_left_unasked() {
    let corpus = Corpus::usual();
    let asked = ObjectiveSettings { mask_probability: 1.0, wrong_text: 0.25, ..ObjectiveSettings::default() };
    let unasked = ObjectiveSettings { mask_loss_for_unmatched: false, ..asked };
    let settings = corpus.settings();
    let (asked, unasked) = (corpus.pass(&settings, &asked), corpus.pass(&settings, &unasked));
    let mut seen = BTreeSet::new();
    for (asked, unasked) in asked.into_iter().zip(unasked) {
        seen.insert(asked.contrastive_label);
        let n_a = asked.segment_ids.iter().filter(|segment| **segment == 0).count();
        let mut expected = asked.clone();
        assert!(asked.token_labels[n_a] >= 0 && asked.token_labels[1] >= 0);
        if asked.contrastive_label == 1 {
            expected.token_labels[n_a..].fill(-1);
        }
        assert_eq!(unasked, expected);
    }
    assert_eq!(seen.len(), 3);
}
