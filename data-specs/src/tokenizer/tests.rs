use std::fs;

use super::*;

const WORDS: [&str; 34] = [
    "a", "dog", "##s", "run", "##ning", "##n", "##er", "cafe", "naive", "the", "un", "##aff", "##able", ",",
    ".", "!", "?", "'", "-", "$", "`", "[", "]", "mask", "sep", "中", "文", "##中", "x", "##x", "\u{2014}",
    "do", "not", "'s",
];

fn small() -> Vocabulary {
    let tokens = SPECIAL_TOKENS.iter().chain(&WORDS).map(|token| (*token).to_owned());
    Vocabulary::from_tokens(tokens.collect()).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_vocabulary(small(), Path::new("small")).unwrap()
}

fn pieces(tokenizer: &Tokenizer, text: &str) -> String {
    let ids = tokenizer.encode(text).unwrap();
    ids.iter().map(|id| tokenizer.token(*id).unwrap()).collect::<Vec<_>>().join(" ")
}

fn what(error: Error) -> String {
    match error {
        Error::Tokenizer { what, .. } => what,
        other => panic!("{other}"),
    }
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn reference_data() -> Option<PathBuf> {
    let folder = std::env::var_os("OSCAR_REFERENCE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    if !folder.is_dir() {
        println!("skipped: no reference data");
        return None;
    }
    Some(folder)
}

#[test]
fn the_reference_cases_give_the_same_ids() {
    let Some(data) = reference_data() else { return };
    let tokenizer = Tokenizer::open(&data.join("bert/vocab.txt")).unwrap();
    assert_eq!(tokenizer.len(), 30_522);
    assert_eq!(tokenizer.special(), SpecialIds { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 });

    let file = fs::read(data.join("tokenizer/bert_uncased_expected.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let texts: Vec<&str> = cases.iter().map(|case| case["text"].as_str().unwrap()).collect();
    let expected: Vec<Vec<u32>> = cases
        .iter()
        .map(|case| case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect())
        .collect();
    for (text, expected) in texts.iter().zip(&expected) {
        assert_eq!(tokenizer.encode(text).unwrap(), *expected, "{text:?}");
    }
    assert_eq!(tokenizer.encode_batch(&texts).unwrap(), expected);
    assert_eq!(cases.len(), 2_492);

    // Both written files read back as the same tokenizer.
    let folder = tempfile::tempdir().unwrap();
    tokenizer.vocabulary().write(folder.path()).unwrap();
    assert_eq!(
        fs::read(folder.path().join("vocab.txt")).unwrap(),
        fs::read(data.join("bert/vocab.txt")).unwrap()
    );
    let again = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(again.encode_batch(&texts).unwrap(), expected);
    println!("{} cases, from vocab.txt and from tokenizer.json", cases.len());
}

#[test]
fn words_become_the_longest_pieces() {
    let tokenizer = tokenizer();
    for (text, expected) in [
        ("", ""),
        (" \t\r\n\u{a0}\u{3000} ", ""),
        ("The DOGS running", "the dog ##s run ##ning"),
        ("runner unaffable", "run ##n ##er un ##aff ##able"),
        // Not one piece too few: a word without an end is unknown as a whole.
        ("dogq run", "[UNK] run"),
        ("Café NAÏVE cafe\u{301}", "cafe naive cafe"),
        // Control, format and private characters, U+0000 and U+FFFD vanish; tabs are blanks.
        ("d\u{0}o\u{7}g\u{200d}\u{fffd}\u{e000}s\ta", "dog ##s a"),
        ("dog,dog.", "dog , dog ."),
        ("a-dog's `$`!?", "a - dog ' [UNK] ` $ ` ! ?"),
        ("the\u{2014}dog", "the \u{2014} dog"),
        // CJK characters stand apart; kana would not.
        ("a中文x", "a 中 文 x"),
        ("xx", "x ##x"),
    ] {
        assert_eq!(pieces(&tokenizer, text), expected, "{text:?}");
    }
}

#[test]
fn a_word_of_more_than_100_characters_is_unknown() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.encode(&"x".repeat(100)).unwrap().len(), 100);
    assert_eq!(pieces(&tokenizer, &"x".repeat(101)), "[UNK]");
    // Counted in characters after accents are gone.
    assert_eq!(tokenizer.encode(&"x\u{301}".repeat(100)).unwrap().len(), 100);
}

#[test]
fn special_tokens_in_the_text_stay_whole() {
    let tokenizer = tokenizer();
    for (text, expected) in [
        ("[MASK] [SEP] [CLS]", "[MASK] [SEP] [CLS]"),
        ("a[MASK]dog", "a [MASK] dog"),
        ("[[MASK]]", "[ [MASK] ]"),
        ("[PAD][UNK]", "[PAD] [UNK]"),
        // Only as they are written in the vocabulary.
        ("[mask] [ MASK ]", "[ mask ] [ mask ]"),
    ] {
        assert_eq!(pieces(&tokenizer, text), expected, "{text:?}");
    }
}

#[test]
fn batches_keep_the_order_for_any_number_of_threads() {
    let tokenizer = tokenizer();
    let texts: Vec<String> = (0..500).map(|n| "the dog runs, ".repeat(n % 7)).collect();
    let expected: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect();
    for threads in [1, 2, 4, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| tokenizer.encode_batch(&texts)).unwrap(), expected);
    }
}

#[test]
fn decoding_joins_pieces_and_leaves_special_tokens_out() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("[CLS] The runner, a dog!qqq [SEP]").unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "the runner , a dog !");
    assert_eq!(clean_up(&tokenizer.decode(&ids).unwrap()), "the runner, a dog!");
    let piece = tokenizer.library.token_to_id("##s").unwrap();
    assert_eq!(tokenizer.decode(&[piece, piece]).unwrap(), "##ss");
    assert_eq!(tokenizer.decode(&[]).unwrap(), "");
    let n = tokenizer.len() as u32;
    assert!(what(tokenizer.decode(&[0, n]).unwrap_err()).contains("no token has the id 39"), "{n}");
}

#[test]
fn the_clean_up_follows_the_published_list() {
    for (text, expected) in [
        ("a man . is it ? yes ! so , well", "a man. is it? yes! so, well"),
        ("it 's the dogs ' toy", "it's the dogs'toy"),
        ("i do n't , i 'm , we 've , they 're", "i don't, i'm, we've, they're"),
        ("they do not run", "they don't run"),
        // In the list's order: " ' " goes first, so " 's" with blanks around the mark is joined on both sides.
        ("the dog ' s toy", "the dog's toy"),
    ] {
        assert_eq!(clean_up(text), expected);
    }
}

#[test]
fn a_vocabulary_file_is_checked_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = format!("{}\ndog\n", SPECIAL_TOKENS.join("\n"));
    let read = |bytes: &[u8]| Vocabulary::read(&write(folder.path(), "vocab.txt", bytes));
    let expected = read(good.as_bytes()).unwrap();
    assert_eq!(expected.tokens().len(), 6);

    // Line ends of Windows, a byte order mark, no last line end: the same tokens.
    for same in [good.replace('\n', "\r\n"), format!("\u{feff}{good}"), good.trim_end().to_owned()] {
        assert_eq!(read(same.as_bytes()).unwrap(), expected);
    }
    for (bytes, message) in [
        (b"".to_vec(), "it is empty"),
        (b"\n\r\n\n".to_vec(), "it is empty"),
        (format!("{good}cat\ndog\n").into_bytes(), "lines 6 and 8 are the same token `dog`"),
        (format!("{good}\ncat\n").into_bytes(), "line 7 is empty"),
        (format!("{good}\n").into_bytes(), "line 7 is empty"),
        (good.replace("[UNK]", "unk").into_bytes(), "there is no [UNK]"),
        (good.replace("[MASK]", "[mask]").into_bytes(), "there is no [MASK]"),
        ([good.as_bytes(), b"ca\xfft\n"].concat(), "line 7 is not UTF-8"),
    ] {
        assert!(what(read(&bytes).unwrap_err()).contains(message), "{message}");
    }
    assert!(matches!(Vocabulary::read(&folder.path().join("none")), Err(Error::Io { .. })));
    let huge = write(folder.path(), "huge.txt", b"");
    fs::File::options().write(true).open(&huge).unwrap().set_len(1 << 40).unwrap();
    assert!(what(Vocabulary::read(&huge).unwrap_err()).contains("too many"));
}

#[test]
fn a_folder_with_both_files_must_not_contradict_itself() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Tokenizer::open(folder.path());
    assert!(what(open().unwrap_err()).contains("neither"));

    small().write(folder.path()).unwrap();
    assert_eq!(open().unwrap().vocabulary(), &small());
    let list = fs::read_to_string(folder.path().join("vocab.txt")).unwrap();
    let json = fs::read_to_string(folder.path().join("tokenizer.json")).unwrap();

    for (changed, message) in [
        (list.replace("\ndog\n", "\ncat\n"), "token 6 is `cat` here and `dog` in tokenizer.json"),
        (list.replace("\n's\n", "\n"), "38 tokens here and 39"),
        (format!("{list}more\n"), "40 tokens here and 39"),
    ] {
        write(folder.path(), "vocab.txt", changed);
        let error = what(open().unwrap_err());
        assert!(error.contains(message), "{error}");
    }
    write(folder.path(), "vocab.txt", &list);

    // Tokens added behind the model's vocabulary belong to tokenizer.json alone.
    let added = json.replacen(
        "\"added_tokens\": [",
        r#""added_tokens": [{"id": 39, "content": "[NEW]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true},"#,
        1,
    );
    write(folder.path(), "tokenizer.json", &added);
    let tokenizer = open().unwrap();
    assert_eq!((tokenizer.len(), tokenizer.token(39)), (40, Some("[NEW]")));
    assert_eq!(pieces(&tokenizer, "a[NEW]dog"), "a [NEW] dog");

    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(open().unwrap().len(), 39);
    write(folder.path(), "tokenizer.json", &json);
    fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    assert_eq!(open().unwrap().len(), 39);
}

#[test]
fn a_tokenizer_json_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    small().write(folder.path()).unwrap();
    let path = folder.path().join("tokenizer.json");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let open = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        Tokenizer::open(&write(folder.path(), "changed.json", json.to_string()))
    };
    let refused = |change: &dyn Fn(&mut serde_json::Value)| what(open(change).unwrap_err());

    // Neither truncation nor padding nor a missing declaration of the special tokens changes the ids.
    let bare = open(&|json| {
        json["added_tokens"] = serde_json::json!([]);
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
        });
        json["padding"] = serde_json::json!({
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        });
    });
    let bare = bare.unwrap();
    assert_eq!(pieces(&bare, "the dog [MASK] runs"), "the dog [MASK] run ##s");

    // A tokenizer that knows capitals is written as it was read, and reads back as itself.
    let cased = open(&|json| {
        json["normalizer"]["lowercase"] = false.into();
        json["normalizer"]["strip_accents"] = false.into();
    });
    let cased = cased.unwrap();
    assert_eq!(pieces(&cased, "the DOG runs"), "the [UNK] run ##s");
    let copy = tempfile::tempdir().unwrap();
    cased.write(copy.path()).unwrap();
    assert_eq!(pieces(&Tokenizer::open(copy.path()).unwrap(), "the DOG runs"), "the [UNK] run ##s");
    assert_eq!(
        fs::read(copy.path().join("vocab.txt")).unwrap(),
        fs::read(folder.path().join("vocab.txt")).unwrap()
    );

    let vocab =
        |json: &mut serde_json::Value, token: &str, id: u32| json["model"]["vocab"][token] = id.into();
    assert!(refused(&|json| vocab(json, "dog", 5)).contains("5, `dog`, is given twice"));
    assert!(refused(&|json| vocab(json, "dog", 99)).contains("the next after a gap"));
    assert!(refused(&|json| json["added_tokens"][0]["id"] = 7.into()).contains("its id is 0"));
    assert!(refused(&|json| json["model"]["unk_token"] = "<unk>".into()).contains("`<unk>` has no id"));
    assert!(refused(&|json| json["model"]["vocab"] = serde_json::json!({})).contains("has no id"));
    assert!(refused(&|json| json["version"] = "2.0".into()).contains("version"));
    let bpe = serde_json::json!({"type": "BPE", "vocab": {"a": 0}, "merges": []});
    assert!(refused(&|json| json["model"] = bpe.clone()).contains("not WordPiece"));
    let precompiled = serde_json::json!({"type": "Sequence", "normalizers": [
        {"type": "Lowercase"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"}]});
    assert!(refused(&|json| json["normalizer"] = precompiled.clone()).contains("SentencePiece"));
    for broken in ["", "{}", "[]", "null", "{\"model\":", "\u{0}"] {
        let path = write(folder.path(), "broken.json", broken);
        assert!(!what(Tokenizer::open(&path).unwrap_err()).is_empty(), "{broken}");
    }
}

#[test]
fn a_thousand_damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    small().write(folder.path()).unwrap();
    let mut draw = 7_u64;
    let mut below = |n: usize| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) as usize % n
    };
    let (mut refused, mut opened) = (0, 0);
    for name in ["tokenizer.json", "vocab.txt"] {
        let original = fs::read(folder.path().join(name)).unwrap();
        for _ in 0..1_000 {
            let mut bytes = original.clone();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                match below(4) {
                    0 => bytes[at] = below(256) as u8,
                    1 => drop(bytes.drain(at..(at + below(40)).min(bytes.len()))),
                    2 => bytes[at] ^= 1 << below(8),
                    _ => bytes.insert(at, bytes[below(bytes.len())]),
                }
                bytes.push(b'\n');
            }
            match Tokenizer::open(&write(folder.path(), &format!("x{name}"), &bytes)) {
                Ok(tokenizer) => {
                    opened += 1;
                    // What was opened works, or says what is wrong.
                    if let Ok(ids) = tokenizer.encode("The dogs' café, [MASK] 中文 qq") {
                        tokenizer.decode(&ids).unwrap();
                    }
                }
                Err(_) => refused += 1,
            }
        }
    }
    println!("2000 damaged files: {refused} refused, {opened} opened");
    assert!(refused > 500);
}
