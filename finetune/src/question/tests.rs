//! Files of regions, and what a model says of itself.

use std::path::Path;

use super::given;
use super::reads::Reads;

fn read(text: &str, size: Option<[u32; 2]>) -> Result<given::Read, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("regions.json");
    std::fs::write(&path, text).unwrap();
    given::read(&path, "a.jpg", size, "vg").map_err(|error| error.to_string())
}

const WHOLE: &str = r#"{"width": 40, "height": 30, "boxes": [[0, 1, 20.5, 30], [2, 2, 9, 9]], "names": ["dog", "cat"],
    "scores": [0.5, 0.25], "attributes": [["big", "red"], []], "vectors": [[1, -2.5], [0, 3]]}"#;

#[test]
fn a_file_of_regions_becomes_what_a_row_has() {
    let read_whole = read(WHOLE, None).unwrap();
    let picture = &read_whole.picture;
    assert_eq!(
        (read_whole.width, picture.regions, picture.width, picture.height),
        (Some(2), 2, Some(40), Some(30))
    );
    let bytes: Vec<u8> = [1.0f32, -2.5, 0.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(picture.features, bytes);
    let tags: Vec<_> = picture.tags.iter().map(|tag| (tag.name.as_str(), tag.score, tag.region)).collect();
    assert_eq!(tags, [("dog", Some(0.5), Some(0)), ("cat", Some(0.25), Some(1))]);
    assert!(picture.tags.iter().all(|tag| tag.origin == "vg"));
    assert_eq!(picture.attributes.len(), 2);
    // the same numbers as base64, and the size of the picture beside it
    let coded = base64_simd::STANDARD.encode_to_string(&bytes);
    let text = format!(r#"{{"boxes": [[0, 1, 20.5, 30], [2, 2, 9, 9]], "vectors": "{coded}"}}"#);
    let other = read(&text, Some([40, 30])).unwrap();
    assert_eq!((&other.picture.features, &other.picture.boxes), (&picture.features, &picture.boxes));
    let nothing = read(r#"{"width": 4, "height": 3, "boxes": [], "vectors": []}"#, None).unwrap();
    assert_eq!((nothing.width, nothing.picture.regions), (None, 0));
}

#[test]
fn what_does_not_fit_is_named() {
    let with = |from: &str, to: &str| {
        assert!(WHOLE.contains(from));
        read(&WHOLE.replace(from, to), None).map(|_| ()).unwrap_err()
    };
    for (from, to, words) in [
        ("\"width\": 40, ", "", "width and height are missing"),
        ("\"width\": 40", "\"width\": 0", "width and height are missing, or 0"),
        ("[2, 2, 9, 9]", "[9, 2, 2, 9]", "box 1 is [9, 2, 2, 9]"),
        ("\"dog\", ", "", "names are 1, and boxes are 2"),
        ("[0.5, 0.25]", "[0.5]", "scores are 1, and boxes are 2"),
        ("[[\"big\", \"red\"], []]", "[[]]", "attributes are 1"),
        ("\"names\": [\"dog\", \"cat\"],", "", "scores stand without names"),
        ("[0, 3]]", "[0, 3, 4]]", "are 2 wide at the first box, and 3 at box 1"),
        ("[[1, -2.5], [0, 3]]", "[[1, -2.5]]", "vectors are 1, and boxes are 2"),
        ("[[1, -2.5], [0, 3]]", "\"AAA\"", "no base64"),
        ("[[1, -2.5], [0, 3]]", "\"AAAA\"", "3 bytes"),
        ("[[1, -2.5], [0, 3]]", "\"AACAfwAAAAA=\"", "the number inf at 0"),
        ("[[1, -2.5], [0, 3]]", "[[], []]", "0 numbers, which 2 boxes cannot share"),
        ("\"vectors\"", "\"features\"", "unknown field `features`"),
    ] {
        let message = with(from, to);
        assert!(message.contains(words), "{words}: {message}");
    }
    let other = read(WHOLE, Some([30, 40])).map(|_| ()).unwrap_err();
    assert!(other.contains("is [40, 30], and the picture has [30, 40]"), "{other}");
}

#[test]
fn another_width_is_refused_with_what_the_model_learned_from() {
    let run = tempfile::tempdir().unwrap();
    let model = run.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let config = r#"{"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 8, "img_feature_dim": 2054}"#;
    std::fs::write(model.join("config.json"), config).unwrap();
    let reads = Reads::of(&model).unwrap();
    assert_eq!((reads.width, reads.origin.as_str()), (2048, "detector"));
    reads.require(2048, Path::new("r.json")).unwrap();
    let message = |reads: &Reads| reads.require(1280, Path::new("r.json")).unwrap_err().to_string();
    let told = message(&reads);
    assert!(told.contains("r.json: vectors are 1280 wide") && told.contains("reads 2048"), "{told}");
    assert!(told.contains("config.toml beside its folder"), "{told}");
    std::fs::write(run.path().join("config.toml"), "[[data.train]]\npath = \"shards/coco\"\n").unwrap();
    assert!(message(&reads).contains("it was trained on shards/coco"), "{}", message(&reads));
}
