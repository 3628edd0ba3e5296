//! Names, types and configs of other programs.

use std::collections::BTreeMap;
use std::fs;

use pretrain::Conversion;
use pretrain::model::{ModelFolder, RegionGeometry};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

use super::{DECODER, Made, WORDS, all_told, done, renamed, why, write};

/// Another name for a published one.
type Rename<'a> = &'a dyn Fn(&str) -> String;

/// All of these are the same model.
#[test]
fn names_of_other_programs() {
    let plain = Made::plus();
    let (told, wanted, config) = plain.convert();
    all_told(&told, &plain.state);
    assert_eq!(wanted.len(), plain.state.len() - 1);
    let old_norms = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        name.replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let changes: [(&str, Rename<'_>); 4] = [
        ("gamma", &old_norms),
        ("module", &|name| format!("module.{name}")),
        ("module twice", &|name| format!("module.module.{}", old_norms(name))),
        ("bias of the decoder", &|name| name.replace("predictions.bias", "predictions.decoder.bias")),
    ];
    for (what, change) in changes {
        let other = Made { state: renamed(&plain.state, change), ..Made::plus() };
        let (told, found, other_config) = other.convert();
        all_told(&told, &other.state);
        assert!(found == wanted && other_config == config, "{what}");
        assert!(told.tensors.iter().any(|tensor| tensor.source.as_deref() != Some(&tensor.name)), "{what}");
    }
    let bare = plain.without("cls.");
    let encoder = bare.convert().1;
    let bare = Made { state: renamed(&bare.state, |name| name.replace("bert.", "")), ..bare };
    assert!(bare.convert().1 == encoder);
}

/// What transformers writes beside weights is told, and what it writes twice must be equal.
#[test]
fn buffers_and_copies() {
    let mut made = Made::plus().with("bert.embeddings.position_ids", &[1, 64]);
    let bias = made.state["cls.predictions.bias"].clone();
    made.state.insert("cls.predictions.decoder.bias".to_owned(), bias);
    let (told, found, _) = made.convert();
    all_told(&told, &made.state);
    assert!(why(&told.unused, "bert.embeddings.position_ids").contains("no weights"));
    assert!(why(&told.unused, "cls.predictions.decoder.bias").contains("the same as"));
    assert!(!found.contains_key("cls.predictions.decoder.bias"));
    made.state.get_mut("cls.predictions.decoder.bias").unwrap().1[3] += 1.0;
    assert!(made.refused().contains("cls.predictions.decoder.bias differs from cls.predictions.bias"));
    // of no use, but told
    let more = Made::plus().with("bert.code_embeddings.weight", &[4, 12]).with("loss.scale", &[1]);
    let told = more.convert().0;
    all_told(&told, &more.state);
    assert!(why(&told.unused, "loss.scale").contains("no part"));
}

#[test]
fn a_decoder_of_its_own_stays() {
    let first = Made::plus();
    let tied = first.convert();
    assert!(!tied.1.contains_key(DECODER) && tied.2.get("tie_weights").is_none());
    ModelFolder::open(&tied.0.to).unwrap();
    let mut made = Made::plus().says("tie_weights", json!(1));
    made.state.get_mut(DECODER).unwrap().1[7] += 0.5;
    let (told, found, config) = made.convert();
    assert!(found[DECODER] == made.state[DECODER] && found[WORDS] == made.state[WORDS]);
    assert_eq!(config["tie_weights"], false);
    assert!(told.config.iter().any(|told| told.name == "tie_weights" && told.why.contains("differs")));
    // pre-training says why it cannot go on with it
    assert!(ModelFolder::open(&told.to).unwrap_err().to_string().contains("another kind"));
    assert!(ModelFolder::open_untied(&told.to).unwrap().tensors.contains_key(DECODER));
}

#[test]
fn narrow_and_wide_numbers() {
    let made = Made::plus();
    for (dtype, name) in [(Dtype::F16, "float16"), (Dtype::BF16, "bfloat16"), (Dtype::F64, "float64")] {
        let mut state = made.state.clone();
        let mut bytes: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for (key, (_, values)) in &mut state {
            let written = bytes.entry(made.state.get_key_value(key).unwrap().0).or_default();
            for value in values {
                match dtype {
                    Dtype::F16 => {
                        let narrow = half::f16::from_f32(*value);
                        written.extend(narrow.to_le_bytes());
                        *value = narrow.to_f32();
                    }
                    Dtype::BF16 => {
                        let narrow = half::bf16::from_f32(*value);
                        written.extend(narrow.to_le_bytes());
                        *value = narrow.to_f32();
                    }
                    _ => written.extend(f64::from(*value).to_le_bytes()),
                }
            }
        }
        let views = state.iter().map(|(key, (shape, _))| {
            (key.as_str(), TensorView::new(dtype, shape.clone(), &bytes[key.as_str()]).unwrap())
        });
        let conversion = made.conversion();
        let path = conversion.from.join("model.safetensors");
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
        let (told, found, _) = done(&conversion);
        assert!(told.tensors.iter().all(|tensor| tensor.dtype == name));
        for (key, wanted) in state.iter().filter(|(key, _)| *key != DECODER) {
            assert!(found[key] == *wanted, "{name} {key}");
        }
    }
}

/// Whether regions are normalised is what the weights say; sizes that the config leaves open are theirs, too.
#[test]
fn the_config_is_corrected_by_the_weights() {
    let (told, _, config) = Made::plus().says("use_img_layernorm", json!(0)).convert();
    assert_eq!(config["use_img_layernorm"], true);
    assert!(told.config.iter().any(|told| told.name == "use_img_layernorm" && told.why.contains("is there")));
    let (told, _, config) = Made::plus().without("bert.LayerNorm.").convert();
    assert_eq!(config["use_img_layernorm"], false);
    assert!(told.config.iter().any(|told| told.why.contains("is not there")));

    let mut made = Made::plus().says("label_smoothing", json!(0.1)).says("freeze_embedding", json!(1));
    for key in ["img_feature_dim", "num_contrast_classes", "use_img_layernorm", "layer_norm_eps"] {
        made.config.as_object_mut().unwrap().remove(key);
    }
    let (told, _, config) = made.convert();
    assert_eq!((&config["img_feature_dim"], &config["num_contrast_classes"]), (&json!(10), &json!(3)));
    assert_eq!((&config["label_smoothing"], &config["freeze_embedding"]), (&json!(0.1), &json!(true)));
    assert_eq!((&config["layer_norm_eps"], &config["region_geometry"]), (&json!(1e-12), &json!("wh")));
    assert!(why(&told.config, "img_feature_dim").contains("10"));

    let conversion = Conversion { region_geometry: Some(RegionGeometry::Hw), ..made.conversion() };
    assert_eq!(done(&conversion).2["region_geometry"], "hw");
    // BERT's first releases call it so, and have a list of words only
    fs::rename(conversion.from.join("config.json"), conversion.from.join("bert_config.json")).unwrap();
    done(&Conversion { to: made.path("bert"), ..conversion });
}

/// BERT knows no regions; its sentence head has two classes.
#[test]
fn of_bert_the_region_part_is_fresh() {
    let mut made = Made::plus().without("bert.LayerNorm.").without("bert.img_embedding.");
    for key in ["img_feature_dim", "num_contrast_classes", "use_img_layernorm"] {
        made.config.as_object_mut().unwrap().remove(key);
    }
    let (told, found, _) = made.convert();
    let fresh: Vec<&str> = told.fresh.iter().map(|told| told.name.as_str()).collect();
    assert_eq!(fresh, ["bert.img_embedding.bias", "bert.img_embedding.weight"]);
    assert!(!found.keys().any(|name| name.contains("img")));
    // a three-way model on BERT's two classes: drawn, as published, and told
    let two = made
        .says("num_contrast_classes", json!(3))
        .with("cls.seq_relationship.weight", &[2, 12])
        .with("cls.seq_relationship.bias", &[2]);
    let (told, found, config) = two.convert();
    all_told(&told, &two.state);
    assert!(why(&told.fresh, "cls.seq_relationship").contains("2 classes, the config 3"));
    assert!(!found.contains_key("cls.seq_relationship.weight") && config["num_contrast_classes"] == 3);
}

/// Of a folder's files the one without pickles is read; weights in parts are named.
#[test]
fn which_file_is_read() {
    let made = Made::plus();
    let conversion = made.conversion();
    fs::write(conversion.from.join("pytorch_model.bin"), b"not read").unwrap();
    assert_eq!(done(&conversion).0.weights, conversion.from.join("model.safetensors"));
    fs::remove_file(conversion.from.join("model.safetensors")).unwrap();
    fs::remove_file(conversion.from.join("pytorch_model.bin")).unwrap();
    let conversion = Conversion { to: made.path("parts"), ..conversion };
    assert!(super::refused(&conversion).contains("neither model.safetensors nor pytorch_model.bin"));
    fs::write(conversion.from.join("pytorch_model.bin.index.json"), b"{}").unwrap();
    assert!(super::refused(&conversion).contains("several files"));
    write(&conversion.from.join("model.safetensors"), &made.state);
    done(&conversion);
}
