use std::io::Write;

use super::*;

fn pair<'a>(candidate: &'a str, references: &[&'a str]) -> Pair<'a> {
    let references = references.iter().map(|&text| text.into()).collect();
    Pair { references, candidate: candidate.into(), ..Pair::default() }
}

/// A folder in METEOR's layout, with a word or two in every list.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (place, text) in [
        ("function/english.words", "a\nthe\non\nof\n"),
        ("nonbreaking/english.prefixes", "mr\n"),
        ("synonym/english.synsets", "sofa\n00000001 00000002\ncouch\n00000002\n"),
        ("synonym/english.exceptions", "mouse\nmice\n"),
    ] {
        let path = folder.path().join(place);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("making the folder");
        std::fs::write(path, text).expect("writing");
    }
    let file = File::create(folder.path().join("paraphrase-en.gz")).expect("creating");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(b"0.5\na lot of\nmany\n").expect("writing");
    gzip.finish().expect("writing");
    folder
}

fn statistics(meteor: &Meteor, candidate: &str, references: &[&str]) -> String {
    let scores = meteor.score(&[pair(candidate, references)]).expect("scores");
    scores.statistics[0].to_string()
}

#[test]
fn each_stage_finds_its_match() {
    let folder = data();
    let meteor = Meteor::with_data(folder.path()).expect("the folder holds data");
    assert_eq!(meteor.absent(), Vec::<&str>::new());
    for (candidate, reference, wanted) in [
        (
            "a dog",
            "a cat",
            "2.0 2.0 1.0 1.0 0.0 0.0 1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 1.0",
        ),
        (
            "dogs",
            "dog",
            "1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 1.0",
        ),
        (
            "sofas",
            "couch",
            "1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 1.0",
        ),
        (
            "many",
            "a lot of",
            "1.0 3.0 0.0 2.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 0.0 2.0 1.0 1.0 3.0",
        ),
        (
            "a lot of",
            "many",
            "3.0 1.0 2.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 1.0 1.0 2.0 0.0 1.0 3.0 1.0",
        ),
    ] {
        assert_eq!(statistics(&meteor, candidate, &[reference]), wanted, "{candidate} | {reference}");
    }
}

#[test]
fn chunks_and_the_best_reference() {
    let meteor = Meteor::default();
    assert_eq!(meteor.absent(), ["synonym", "paraphrase", "function words", "prefixes"]);
    let line = statistics(&meteor, "red dog big cat", &["x", "big cat red dog"]);
    assert!(line.ends_with(" 2.0 4.0 4.0"), "two chunks of four words: {line}");
    let same = statistics(&meteor, "red dog", &["red dog", "dog red"]);
    assert!(same.ends_with(" 1.0 2.0 2.0"), "{same}");
}

#[test]
fn empty_candidates_score_zero() {
    let scores = Meteor::default().score(&[pair("", &["a dog"])]).expect("scores");
    assert_eq!((scores.corpus, scores.per_image[0]), (0.0, 0.0));
}

#[test]
fn a_folder_without_data_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let message = Meteor::with_data(folder.path()).expect_err("nothing there").to_string();
    assert!(message.contains("holds no METEOR word data"), "{message}");
}

#[test]
fn words_are_compared_by_javas_hash() {
    assert_eq!(java_hash("Siblings"), java_hash("Teheran"));
    assert_ne!(java_hash("dog"), java_hash("cat"));
}
