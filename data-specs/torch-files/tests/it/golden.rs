//! Golden files against `expected.json`, which json wrote and not pickle.

use serde_json::Value as Json;
use torch_files::{Limits, TorchFile, Value, load_pickle};

use crate::{golden_dir, golden_files};

fn expected() -> Json {
    serde_json::from_slice(&std::fs::read(golden_dir().join("expected.json")).unwrap()).unwrap()
}

fn load(name: &str) -> Value {
    load_pickle(golden_dir().join(name), &Limits::default()).unwrap()
}

#[test]
fn label_maps_of_protocols_0_to_5() {
    let expected = expected()["labels"].clone();
    for protocol in 0..=5 {
        let labels = load(&format!("labels_{protocol}.pkl"));
        let entries = &labels.as_dict().unwrap().entries;
        let read: Vec<_> = entries.iter().map(|(k, v)| (k.as_str().unwrap(), v.as_int().unwrap())).collect();
        let right: Vec<_> =
            expected.as_object().unwrap().iter().map(|(k, v)| (&**k, v.as_i64().unwrap())).collect();
        assert_eq!(read, right, "protocol {protocol}");
    }
}

#[test]
fn label_maps_of_python_2() {
    for name in ["labels_py2_0.pkl", "labels_py2_2.pkl"] {
        let labels = load(name);
        let labels = labels.as_dict().unwrap();
        assert_eq!(labels.get("yes").unwrap().as_int(), Some(3), "{name}");
        assert_eq!(labels.get("café").unwrap().as_int(), Some(9), "{name}");
        assert_eq!(labels.get("no"), Some(&Value::Bool(true)), "{name}");
    }
}

#[test]
fn document_frequencies() {
    let expected = expected()["df"].clone();
    for protocol in 0..=5 {
        let df = load(&format!("df_{protocol}.pkl"));
        let df = df.as_dict().unwrap();
        assert_eq!(df.get("ref_len").unwrap().as_int(), Some(1000));
        let table = df.get("document_frequency").unwrap().as_dict().unwrap();
        assert_eq!(table.class, "collections.defaultdict");
        assert_eq!(table.entries.len(), expected.as_object().unwrap().len());
        for (key, count) in &table.entries {
            let words: Vec<_> = key.as_items().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            assert_eq!(count.as_float(), expected[words.join(" ")].as_f64(), "protocol {protocol}");
        }
    }
}

#[test]
fn every_kind_of_value_in_every_protocol() {
    for protocol in 0..=5 {
        let kinds = load(&format!("kinds_{protocol}.pkl"));
        let kinds = kinds.as_dict().unwrap();
        let at = |key: &str| kinds.get(key).unwrap();
        let ints = |numbers: &[i64]| numbers.iter().map(|&n| Value::Int(n)).collect::<Vec<_>>();
        assert_eq!(*at("none"), Value::None);
        assert_eq!(at("flags").as_items().unwrap(), [Value::Bool(true), Value::Bool(false)]);
        let mut big = [0; 13];
        big[12] = 16;
        assert_eq!(*at("big"), Value::BigInt(big.as_slice().into()));
        big[12] = 0xf0;
        assert_eq!(*at("negative"), Value::BigInt(big.as_slice().into()));
        let floats = at("float").as_items().unwrap();
        assert_eq!(floats[..2], [Value::Float(0.1), Value::Float(f64::INFINITY)]);
        assert!(floats[2].as_float().is_some_and(|x| x == 0.0 && x.is_sign_negative()));
        assert_eq!(*at("bytes"), Value::Bytes(b"\x00\xff\n".as_slice().into()));
        assert_eq!(*at("set"), Value::Set(ints(&[7]).into()));
        assert_eq!(*at("frozen"), Value::Set([Value::Str("x".into())].into()));
        let nested = Value::Tuple([Value::Int(2), Value::List(ints(&[3]).into())].into());
        assert_eq!(at("nested").as_items().unwrap(), [Value::Tuple([Value::Int(1), nested].into())]);
        let shared = at("shared").as_items().unwrap();
        assert!(
            shared[0].as_items().unwrap().as_ptr() == shared[1].as_items().unwrap().as_ptr(),
            "still shared"
        );
        let Value::Array(array) = at("array") else { panic!("{:?}", at("array")) };
        assert_eq!((&*array.dtype, &array.shape[..]), ("<f4", &[2, 3][..]));
        let numbers: Vec<_> = (0..6u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
        assert_eq!(*array.data, numbers);
        let Value::Array(array) = at("fortran") else { panic!("{:?}", at("fortran")) };
        assert_eq!((&*array.dtype, &array.shape[..]), (">i2", &[2, 3][..]));
        assert_eq!(*array.data, [0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5]);
        let unsigned = Value::BigInt([0, 0, 0, 0, 0, 0, 0, 0x80, 0].as_slice().into());
        let scalars = [Value::Float(0.5), Value::Int(-7), Value::Bool(true), unsigned];
        assert_eq!(at("scalars").as_items().unwrap(), scalars);
        let Value::Object(space) = at("space") else { panic!("{:?}", at("space")) };
        assert_eq!(space.class, "argparse.Namespace");
        assert_eq!(space.state.as_dict().unwrap().get("lr").unwrap().as_float(), Some(5e-5));
        let ordered = at("ordered").as_dict().unwrap();
        assert_eq!(ordered.class, "collections.OrderedDict");
        let entries = [(Value::Str("b".into()), Value::Int(1)), (Value::Str("a".into()), Value::Int(2))];
        assert_eq!(ordered.entries, entries);
        assert_eq!(at("counter").as_dict().unwrap().get("a").unwrap().as_int(), Some(2));
        assert_eq!(*at("bytearray"), Value::Bytes(b"ab".as_slice().into()));
        assert_eq!(at("empty").as_items().unwrap().len(), 5);
    }
}

#[test]
fn every_tensor_of_every_archive() {
    let expected = expected();
    let mut compared = 0;
    for path in golden_files(&["pt"]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let file = TorchFile::open(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let right = expected[name].as_array().unwrap();
        let found: Vec<_> = file.tensors().map(|(name, _)| name).collect();
        let names: Vec<_> = right.iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{name}");
        for ((key, tensor), right) in file.tensors().zip(right) {
            let bytes: Vec<u8> = serde_json::from_value(right["bytes"].clone()).unwrap();
            let shape: Vec<u64> = serde_json::from_value(right["shape"].clone()).unwrap();
            assert_eq!(tensor.dtype().name(), right["dtype"], "{name} {key}");
            assert_eq!(tensor.shape(), shape, "{name} {key}");
            assert_eq!(file.read(tensor).unwrap(), bytes, "{name} {key}");
            let range = file.byte_range(tensor);
            assert_eq!(
                range.is_some(),
                tensor.is_contiguous() && name != "state_deflated.pt",
                "{name} {key}"
            );
            if let Some(range) = range {
                assert_eq!(whole[range.start as usize..range.end as usize], bytes, "{name} {key}");
            }
            compared += 1;
        }
    }
    println!("{compared} tensors compared");
    assert!(compared > 60);
}

#[test]
fn tied_weights_share_a_storage_and_metadata_is_kept() {
    for name in ["state_zip.pt", "state_legacy.pt", "state_deflated.pt"] {
        let file = TorchFile::open(golden_dir().join(name)).unwrap();
        let key = |wanted: &str| file.tensors().find(|(n, _)| *n == wanted).unwrap().1.storage_key();
        assert_eq!(key("cls.decoder.weight"), key("bert.embeddings.word_embeddings.weight"));
        let metadata = &file.root().as_dict().unwrap().attributes;
        assert!(metadata.as_dict().unwrap().get("_metadata").is_some(), "{name}");
    }
}

#[test]
fn what_stands_beside_the_tensors() {
    for name in ["mixed_zip.pt", "mixed_legacy.pt"] {
        let file = TorchFile::open(golden_dir().join(name)).unwrap();
        let root = file.root().as_dict().unwrap();
        assert_eq!(*root.get("dtype").unwrap(), Value::Name("torch.float32".into()));
        assert_eq!(*root.get("size").unwrap(), Value::Tuple([Value::Int(3), Value::Int(4)].into()));
        let Value::Object(device) = root.get("device").unwrap() else { panic!("no device") };
        assert_eq!(device.args, [Value::Str("cuda".into()), Value::Int(1)]);
        let Value::Object(w) = root.get("model").unwrap().as_dict().unwrap().get("w").unwrap() else {
            panic!("attributes of a parameter are lost")
        };
        assert_eq!(w.state.as_dict().unwrap().get("tag").unwrap().as_str(), Some("kept"));
        let captions = TorchFile::open(golden_dir().join("captions_legacy.pt")).unwrap();
        let (key, lines) = &captions.root().as_dict().unwrap().entries[0];
        assert_eq!(
            (key.as_int(), lines.as_items().unwrap()[0].as_str()),
            (Some(391_895), Some("a man rides"))
        );
    }
}

#[test]
fn a_tensor_is_not_read_from_another_file() {
    let open = |name| TorchFile::open(golden_dir().join(name)).unwrap();
    let (one, other) = (open("state_zip.pt"), open("features_zip.pt"));
    let (_, tensor) = one.tensors().next().unwrap();
    assert!(other.read(tensor).is_err() && other.byte_range(tensor).is_none());
}
