//! Background: a loader decodes a JPEG, resizes its short side to 256 (bilinear, antialiased), cuts 224 x 224 from the
//! middle and normalises to planar floats. One thread, files in memory, seconds of the processor and not of the clock, so that
//! neighbours on the machine count less. `tests/peers/prepare_pictures.py` runs this beside
//! PIL + torchvision and compares speed and floats.
//!
//! `cargo bench -p finetune-regions --bench prepare_pictures -- FOLDER [--repeats N] [--out FLOATS]` prints one JSON line.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use finetune_regions::decoding::{Limits, decode};
use finetune_regions::preparation::{Filter, Normalisation, Preparation};

fn main() {
    let mut folder = None;
    let (mut repeats, mut out) = (7, None);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("an option needs its value");
        match argument.as_str() {
            "--repeats" => repeats = value().parse().expect("a number of repeats"),
            "--out" => out = Some(PathBuf::from(value())),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let Some(folder) = folder else {
        println!("skipped: no folder of JPEGs given");
        return;
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let pictures: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a file")).collect();

    let limits = Limits::default();
    let preparation = Preparation::classification(224, 0.875, Filter::Bilinear, Normalisation::IMAGENET)
        .expect("224 is a share of 0.875");
    let whole = |bytes: &[u8]| {
        let picture = decode(bytes, &limits).expect("a picture");
        preparation.prepare(&picture).expect("a picture of 224 pixels at least")
    };
    if let Some(out) = out {
        let mut file = fs::File::create(out).expect("a file to write");
        for bytes in &pictures {
            let floats: Vec<u8> = whole(bytes).x_chw.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&floats).expect("room on the disk");
        }
    }
    let decoding =
        median(repeats, || pictures.iter().map(|bytes| decode(bytes, &limits).expect("one").rgb.len()).sum());
    let all = median(repeats, || pictures.iter().map(|bytes| whole(bytes).x_chw.len()).sum());
    let per_picture = |seconds: f64| seconds / pictures.len() as f64 * 1e3;
    println!(
        r#"{{"pictures": {}, "repeats": {repeats}, "decode_ms": {:.3}, "all_ms": {:.3}, "pictures_per_second": {:.1}}}"#,
        pictures.len(),
        per_picture(decoding),
        per_picture(all),
        1e3 / per_picture(all),
    );
}

/// Median seconds of several passes, after one that does not count.
fn median(repeats: usize, mut pass: impl FnMut() -> usize) -> f64 {
    std::hint::black_box(pass());
    let mut seconds: Vec<f64> = (0..repeats)
        .map(|_| {
            let start = processor_seconds();
            std::hint::black_box(pass());
            processor_seconds() - start
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
