//! The published form of a document frequency table, where the reference data is at hand.

use std::path::{Path, PathBuf};

use torch_files::{Limits, load_pickle};

#[test]
fn document_frequencies_of_the_reference_data() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("OSCAR_REFERENCE_DATA").map_or_else(beside, PathBuf::from);
    let pickle = data.join("cider/df_fakecap1000_eos.p");
    if !pickle.exists() {
        println!("skipped: no reference data");
        return;
    }
    let json = std::fs::read(pickle.with_extension("json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let df = load_pickle(&pickle, &Limits::default()).unwrap();
    let df = df.as_dict().unwrap();
    assert_eq!(df.get("ref_len").unwrap().as_int(), json["ref_len"].as_i64());
    let table = df.get("document_frequency").unwrap().as_dict().unwrap();
    let right = json["document_frequency"].as_object().unwrap();
    assert_eq!(table.entries.len(), right.len());
    for (key, count) in &table.entries {
        let words: Vec<_> = key.as_items().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        assert_eq!(count.as_float(), right[&words.join(" ")].as_f64(), "{words:?}");
    }
    println!("{} document frequencies equal", right.len());
}
