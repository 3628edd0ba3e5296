//! Greedy decoding and beam search.

use finetune_captioning::decoding::{BeamSettings, Caption, GreedySettings, beam_search, greedy};

use super::{SPECIAL, Tables, close, folder, ids, json, list, number, whole};

/// From `[CLS]` on, with `[SEP]` at its end, filled up.
fn padded(caption: &Caption, max_length: usize) -> Vec<u32> {
    let mut all = vec![SPECIAL.cls];
    all.extend(caption.words());
    all.push(SPECIAL.sep);
    all.resize(max_length, SPECIAL.pad);
    all
}

#[test]
fn greedy_and_beam_search() {
    let Some(folder) = folder("decoding") else { return };
    let file = json(folder.join("beam_search_expected.json"));
    let mut model = Tables::read(&file);
    let images = model.pictures.len();
    let mut checked = 0;
    for case in list(&file["cases"]) {
        let params = &case["params"];
        let max_length = whole(&params["max_length"]);
        let repetition_penalty = number(&params["repetition_penalty"]) as f32;
        let (beams, keep) = (whole(&params["num_beams"]), whole(&params["num_keep_best"]));
        let length_penalty = number(&params["length_penalty"]);
        let got: Vec<Vec<Caption>> = if beams == 1 {
            let settings = GreedySettings { max_length, repetition_penalty };
            let captions = greedy(&mut model, images, SPECIAL, &settings).unwrap();
            captions.into_iter().map(|caption| vec![caption]).collect()
        } else {
            let settings = BeamSettings { max_length, repetition_penalty, beams, length_penalty, keep };
            beam_search(&mut model, images, SPECIAL, &settings).unwrap()
        };
        for (image, captions) in got.iter().enumerate() {
            let what = format!("{params} image {image}");
            let (wanted, scores) = (list(&case["ids"][image]), list(&case["logprobs"][image]));
            assert_eq!((captions.len(), wanted.len(), scores.len()), (keep, keep, keep), "{what}");
            for ((caption, wanted), score) in captions.iter().zip(wanted).zip(scores) {
                assert_eq!(padded(caption, max_length), ids(wanted), "{what}");
                // The file has six decimals of f32 sums.
                close(caption.score, number(score), 2e-6, &what);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 66);
}
