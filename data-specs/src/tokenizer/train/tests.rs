use std::fs;

use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::{AddedToken, Model, Trainer};

use super::*;
use crate::Tokenizer;

/// Captions of made-up words, frequent ones short, with capitals, accents and punctuation.
fn corpus(n: usize) -> Vec<String> {
    let mut draw = 3_u64;
    let mut below = |n: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) as usize % n
    };
    let syllables = ["ba", "Ne", "ri", "to", "lu", "ing", "é", "st", "qu", "er", "on", "中", "an", "s"];
    let words: Vec<String> = (0..400)
        .map(|index| (0..=1 + index / 100).map(|_| syllables[below(syllables.len())]).collect())
        .collect();
    (0..n)
        .map(|_| {
            let words: Vec<&str> = (0..3 + below(8))
                .map(|_| {
                    let limit = 1 + below(words.len());
                    words[below(limit)].as_str()
                })
                .collect();
            format!("{}, 3 {}.", words.join(" "), words[0])
        })
        .collect()
}

#[test]
fn training_gives_the_same_bytes_for_any_threads_chunks_and_order() {
    let texts = corpus(5_000);
    let options = VocabularyOptions { size: 300, ..VocabularyOptions::default() };
    let files = |vocabulary: &Vocabulary| {
        let folder = tempfile::tempdir().unwrap();
        vocabulary.write(folder.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["tokenizer.json", "vocab.txt"]);
        assert!(Tokenizer::open(folder.path()).unwrap().len() <= 300);
        ["vocab.txt", "tokenizer.json"].map(|name| fs::read(folder.path().join(name)).unwrap())
    };
    let first = Vocabulary::train(&texts, &options).unwrap();
    let expected = files(&first);
    for threads in [1, 2, 4, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for chunk in [1, 17, 5_000] {
            let vocabulary = pool.install(|| {
                let mut counts = WordCounts::default();
                texts.rchunks(chunk).for_each(|chunk| counts.add(chunk).unwrap());
                counts.train(&options).unwrap()
            });
            assert!(files(&vocabulary) == expected, "{threads} threads, chunks of {chunk}");
        }
    }
    // And for every process on every machine: hash maps are seeded anew in each.
    let hashes = expected.map(|bytes| blake3::hash(&bytes).to_hex()[..16].to_owned());
    assert_eq!(hashes, ["9424405ff9dd44d5", "621738a98217858f"]);
}

#[test]
fn training_merges_what_the_library_merges() {
    let texts = corpus(3_000);
    let options = VocabularyOptions { size: 400, ..VocabularyOptions::default() };
    let ours = Vocabulary::train(&texts, &options).unwrap();

    // With all letters numbered beforehand the library has no choice left, as long as no piece arises in two
    // ways.
    let letters = VocabularyOptions { min_frequency: u64::MAX, ..options };
    let letters = Vocabulary::train(&texts, &letters).unwrap();
    let mut trainer = WordPieceTrainer::builder()
        .vocab_size(400)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(letters.tokens().iter().map(|token| AddedToken::from(token, true)).collect())
        .build();
    trainer
        .feed(texts.iter(), |text| {
            let mut counts = HashMap::new();
            count_words(text, &mut counts)?;
            Ok(counts.into_iter().flat_map(|(word, n)| std::iter::repeat_n(word, n as usize)).collect())
        })
        .unwrap();
    let mut model = WordPiece::default();
    trainer.train(&mut model).unwrap();
    let theirs: BTreeSet<String> = model.get_vocab().into_keys().collect();
    let ours: BTreeSet<String> = ours.tokens().iter().cloned().collect();
    let only_ours: Vec<_> = ours.difference(&theirs).collect();
    let only_theirs: Vec<_> = theirs.difference(&ours).collect();
    println!("{} tokens, only ours {only_ours:?}, only the library's {only_theirs:?}", ours.len());
    assert!(only_ours.len() <= ours.len() / 100, "{only_ours:?} {only_theirs:?}");
}

#[test]
fn training_by_hand() {
    // aab: 4, ab: 3, b: 1.  Letters: a, b; inside words: ##a, ##b.
    // (a, ##b) 3; (a, ##a) 4; (##a, ##b) 4 -> the tie goes to the lower left id: a ##a = aa 4
    // then (aa, ##b) 4 -> aab, then (a, ##b) 3 -> ab, and nothing is left to merge.
    let texts = ["AAB aab", "áab ab b", "aab, ab", "ab"];
    let options = VocabularyOptions { size: 100, min_frequency: 2, letters: 10 };
    let trained = Vocabulary::train(texts, &options).unwrap();
    let expected =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "a", "b", "##a", "##b", "aa", "aab", "ab"];
    assert_eq!(trained.tokens(), expected);
    let smaller = Vocabulary::train(texts, &VocabularyOptions { size: 11, ..options }).unwrap();
    assert_eq!(smaller.tokens(), &expected[..11]);
    let rare = Vocabulary::train(texts, &VocabularyOptions { min_frequency: 4, ..options }).unwrap();
    assert_eq!(rare.tokens(), &expected[..12]);
    // The rarest letter is the comma.
    let fewer = Vocabulary::train(texts, &VocabularyOptions { letters: 2, ..options }).unwrap();
    assert!(!fewer.tokens().contains(&",".to_owned()) && fewer.tokens().contains(&"aab".to_owned()));
    // Runs of one letter: merged from left to right, never twice.
    let runs = Vocabulary::train(["aaaaa aaaaa"], &options).unwrap();
    assert_eq!(runs.tokens()[5..], ["a", "##a", "##aa", "aaa", "aaaaa"]);
}

#[test]
fn training_refuses_what_cannot_become_a_vocabulary() {
    let place = |error: Error| match error {
        Error::Spec { place, .. } => place,
        other => panic!("{other}"),
    };
    let options = VocabularyOptions::default();
    let none: [&str; 0] = [];
    assert_eq!(place(Vocabulary::train(none, &options).unwrap_err()), "vocabulary.texts");
    let long = "x".repeat(101);
    assert_eq!(place(Vocabulary::train(["", " ", &long], &options).unwrap_err()), "vocabulary.texts");
    let small = VocabularyOptions { size: 6, ..options };
    assert_eq!(place(Vocabulary::train(["ab"], &small).unwrap_err()), "vocabulary.size");
}
