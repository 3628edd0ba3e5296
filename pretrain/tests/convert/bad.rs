//! Files that are damaged, hostile, or of another model.

use std::fs;

use pretrain::Conversion;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

use super::{Made, convert, golden, refused, scratch};

#[test]
fn weights_of_another_model() {
    let plus = Made::plus;
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    for (made, parts) in [
        (plus().without("bert.pooler."), ["2 tensors", "bert.pooler.dense.bias is missing"]),
        (plus().with(query, &[12, 11]), ["1 tensors", "query.weight is [12, 11], not [12, 12]"]),
        (plus().says("hidden_size", json!(24)), ["not [41, 24]", "; ..."]),
        (plus().says("num_hidden_layers", json!(2)), ["has 1 layers", "num_hidden_layers in"]),
        (plus().says("num_hidden_layers", json!(u64::MAX)), ["has 1 layers", "num_hidden_layers in"]),
        (plus().with("bert.encoder.layer.1.output.dense.bias", &[12]), ["has 2 layers", "is 1"]),
        (plus().with("bert.encoder.layer.0.output.gate", &[12]), ["layer.0.output.gate", "another model"]),
        (plus().says("vocab_size", json!(40)), ["has 41 tokens", "vocab_size is 40"]),
        (plus().says("img_feature_dim", json!(11)), ["img_embedding.weight is [12, 10]", "not [12, 11]"]),
        (plus().without("bert.LayerNorm.bias"), ["1 tensors", "bert.LayerNorm.bias is missing"]),
        (plus().without("bert.img_embedding.bias"), ["1 tensors", "img_embedding.bias is missing"]),
        (
            plus().without("cls.predictions.transform.dense.b"),
            ["1 tensors", "transform.dense.bias is missing"],
        ),
        (plus().with("cls.seq_relationship.bias", &[2]), ["seq_relationship.bias is [2]", "not [3]"]),
        (plus().with("bert.LayerNorm.gamma", &[12]), ["bert.LayerNorm.weight is both", "two programs"]),
        (plus().says("hidden_act", json!("relu")), ["hidden_act is `relu`", "config.json"]),
        (plus().says("num_attention_heads", json!(5)), ["hidden_size is 12 for 5 heads", "config.json"]),
        (plus().says("hidden_size", json!("wide")), ["config.json", "wide"]),
        (plus().without("bert."), ["has 0 layers", "one model"]),
    ] {
        let message = made.refused();
        let is_named = parts.iter().all(|part| message.contains(part)) && message.contains("hint: ");
        assert!(is_named, "{parts:?}: {message}");
    }
}

#[test]
fn numbers_that_are_none() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut made = Made::plus();
        made.state.get_mut("bert.pooler.dense.weight").unwrap().1[5] = value;
        let message = made.refused();
        assert!(message.contains("bert.pooler.dense.weight holds a number that is not finite"), "{message}");
        assert!(message.contains("another checkpoint"), "{message}");
    }
    let made = Made::plus();
    let conversion = made.conversion();
    let path = conversion.from.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let at = 8 + text.find("\"bert.LayerNorm.bias\":{\"dtype\":\"F32\"").unwrap();
    let mut other = bytes.clone();
    let from = at + "\"bert.LayerNorm.bias\":{\"dtype\":\"".len();
    other[from..from + 3].copy_from_slice(b"I32");
    fs::write(&path, other).unwrap();
    let message = refused(&conversion);
    assert!(message.contains("bert.LayerNorm.bias is i32") && message.contains("float32"), "{message}");
    // beyond float32, which the model computes in
    let wide: Vec<u8> = (0..12).flat_map(|_| 1e300_f64.to_le_bytes()).collect();
    let others: Vec<(String, Vec<usize>, Vec<u8>)> = made
        .state
        .iter()
        .filter(|(name, _)| *name != "bert.LayerNorm.bias")
        .map(|(name, (shape, values))| {
            (name.clone(), shape.clone(), values.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .collect();
    let views = others.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let views = views.chain([("bert.LayerNorm.bias", TensorView::new(Dtype::F64, vec![12], &wide).unwrap())]);
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let message = refused(&conversion);
    assert!(
        message.contains("bert.LayerNorm.bias holds a number that is not finite in float32"),
        "{message}"
    );
}

/// Cut anywhere, with a header of another length, with tensors past the end: named, and nothing is left behind.
#[test]
fn files_that_are_damaged() {
    let folder = scratch();
    let from = folder.path().join("source");
    let write = |name: &str, bytes: &[u8]| {
        let _ = fs::remove_dir_all(&from);
        fs::create_dir_all(&from).unwrap();
        for file in ["config.json", "vocab.txt"] {
            fs::copy(golden("captioner").join(file), from.join(file)).unwrap();
        }
        fs::write(from.join(name), bytes).unwrap();
    };
    let conversion =
        Conversion { from: from.clone(), to: folder.path().join("made"), ..Conversion::default() };
    let [zip, legacy] =
        ["plus", "captioner"].map(|name| fs::read(golden(name).join("pytorch_model.bin")).unwrap());
    let safetensors = {
        let made = folder.path().join("good");
        convert(&golden("captioner"), &made).unwrap();
        fs::read(made.join("model.safetensors")).unwrap()
    };
    let mut cuts = 0;
    for (name, bytes) in
        [("pytorch_model.bin", &zip), ("pytorch_model.bin", &legacy), ("model.safetensors", &safetensors)]
    {
        for n in (0..bytes.len()).step_by(977).chain([bytes.len() - 1]) {
            write(name, &bytes[..n]);
            let message = refused(&conversion);
            assert!(message.contains(name) && message.contains("hint: "), "cut at {n}: {message}");
            cuts += 1;
        }
    }
    assert!(cuts > 50);
    let mut more = safetensors.clone();
    more.extend([0; 4]);
    write("model.safetensors", &more);
    assert!(refused(&conversion).contains("bytes belong to none"));
    write("model.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}");
    assert!(refused(&conversion).contains("claims 9223372036854775807 bytes"));
    write("pytorch_model.bin", b"{\"this\": \"is a page that says: not found\"}");
    assert!(refused(&conversion).contains("hint: "));
    // a view that says more than the archive holds: the one size of the word embeddings in the pickle
    let shape = [b'K', 41, b'K', 12];
    let at = legacy.windows(4).position(|part| part == shape).unwrap();
    let mut longer = legacy.clone();
    longer[at + 1] = 200;
    write("pytorch_model.bin", &longer);
    let message = refused(&conversion);
    assert!(message.contains("[200, 12]") && message.contains("of a storage of"), "{message}");
}

/// A pickle that would run a command is refused by the command's name, and nothing runs.
#[test]
fn a_pickle_that_calls_functions() {
    let folder = scratch();
    let legacy = fs::read(golden("captioner").join("pytorch_model.bin")).unwrap();
    let honest = b"ccollections\nOrderedDict\n";
    let at = legacy.windows(honest.len()).position(|part| part == honest).unwrap();
    let marker = folder.path().join("ran");
    let attacks = [
        (format!("cos\nsystem\n(S'touch {}'\ntR0", marker.display()), "os.system"),
        (format!("cposix\nsystem\n(S'touch {}'\ntR0", marker.display()), "posix.system"),
        ("cbuiltins\neval\n(S'1'\ntR0".to_owned(), "eval"),
        (format!("(S'touch {}'\nios\nsystem\n0", marker.display()), "os.system"),
    ];
    for (attack, name) in attacks {
        let from = folder.path().join("source");
        let _ = fs::remove_dir_all(&from);
        fs::create_dir_all(&from).unwrap();
        for file in ["config.json", "vocab.txt"] {
            fs::copy(golden("captioner").join(file), from.join(file)).unwrap();
        }
        let bytes = [&legacy[..at], attack.as_bytes(), &legacy[at..]].concat();
        fs::write(from.join("pytorch_model.bin"), bytes).unwrap();
        let conversion = Conversion { from, to: folder.path().join("made"), ..Conversion::default() };
        let message = refused(&conversion);
        assert!(message.contains(name) && message.contains("nothing was run"), "{name}: {message}");
        assert!(!marker.exists(), "{name} ran");
    }
}

#[test]
fn what_is_missing_or_in_the_way() {
    let made = Made::plus();
    let conversion = made.conversion();
    let alone = Conversion { from: conversion.from.join("model.safetensors"), ..conversion.clone() };
    assert!(refused(&alone).contains("--config is not given"));
    let alone = Conversion { config: Some(conversion.from.join("config.json")), ..alone };
    assert!(refused(&alone).contains("--vocabulary is not given"));
    let nowhere = Conversion { from: made.path("nowhere"), ..conversion.clone() };
    assert!(refused(&nowhere).contains("nowhere: --from is not there"));
    fs::remove_file(conversion.from.join("vocab.txt")).unwrap();
    assert!(refused(&conversion).contains("--vocabulary FILE"));
    fs::remove_file(conversion.from.join("config.json")).unwrap();
    assert!(refused(&conversion).contains("--config FILE"));

    let conversion = made.conversion();
    fs::create_dir_all(&conversion.to).unwrap();
    conversion.run().unwrap(); // an empty folder is not in the way
    let before = fs::read(conversion.to.join("config.json")).unwrap();
    let message = conversion.run().unwrap_err().to_string();
    assert!(message.contains("--to") && message.contains("name a new folder"), "{message}");
    assert!(fs::read(conversion.to.join("config.json")).unwrap() == before);
}
