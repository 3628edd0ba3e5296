//! Which captions and pictures there are, and what stands beside them.

use super::made::{Made, sample};
use crate::candidates::published;
use crate::gallery::Captions;
use crate::negatives::Negatives;
use crate::similarity::Similarity;

fn made() -> Made {
    Made::new(&(0..40).map(|number| sample(number, 4)).collect::<Vec<_>>())
}

/// As published: half of the negatives have another caption, half another picture; both uniform.
#[test]
fn negatives_are_the_published_ones() {
    let made = made();
    let gallery = made.gallery(Captions::UpTo(4)).unwrap();
    let negatives = Negatives { seed: 3, n_drawn: 1, similarity: None };
    let (mut n_captions, mut others, mut numbers) = (0, vec![0; 40], vec![0; 4]);
    let n = 20_000;
    for place in 0..n {
        let own = gallery.picture_of(50);
        let wrong = negatives.of(&gallery, 50, place % 7, place);
        assert_eq!(wrong, negatives.of(&gallery, 50, place % 7, place));
        let other = gallery.picture_of(wrong.caption);
        assert_ne!(other, wrong.picture, "a right pair");
        if wrong.picture == own {
            n_captions += 1;
            others[other as usize] += 1;
            numbers[(wrong.caption - gallery.captions_of(other).start) as usize] += 1;
        } else {
            assert_eq!(wrong.caption, 50);
            others[wrong.picture as usize] += 1;
        }
    }
    let near = |count: u32, p: f64| {
        let (mean, deviation) = (f64::from(n) * p, (f64::from(n) * p * (1.0 - p)).sqrt());
        (f64::from(count) - mean).abs() < 5.0 * deviation
    };
    assert!(near(n_captions, 0.5), "{n_captions}");
    assert!(
        (0..40).filter(|picture| *picture != 12).all(|picture| near(others[picture], 1.0 / 39.0)),
        "{others:?}"
    );
    assert_eq!(others[12], 0);
    assert!(numbers.iter().all(|count| near(*count, 0.125)), "{numbers:?}");
}

/// The more are drawn, the more alike the negative is; of all drawn it is the most alike one.
#[test]
fn hard_negatives_are_alike() {
    let made = made();
    let gallery = made.gallery(Captions::UpTo(4)).unwrap();
    let mean = |n_drawn: u32| {
        let negatives = Negatives { seed: 3, n_drawn, similarity: Some(Similarity::new(&gallery)) };
        let similarity = negatives.similarity.as_ref().unwrap();
        let of = |place: u32| {
            let own = gallery.picture_of(place % 160);
            let wrong = negatives.of(&gallery, place % 160, 1, place);
            let other = if wrong.picture == own { gallery.picture_of(wrong.caption) } else { wrong.picture };
            assert_ne!(other, own);
            f64::from(similarity.of_pictures(own, other))
        };
        (0..800).map(of).sum::<f64>() / 800.0
    };
    let [one, four, many] = [1, 4, 400].map(mean);
    assert!(one + 0.05 < four && four + 0.05 < many, "{one}, {four}, {many}");
    let similarity = Similarity::new(&gallery);
    let best = |place: u32| {
        let own = gallery.picture_of(place % 160);
        let others = (0..40).filter(|other| *other != own);
        f64::from(others.map(|other| similarity.of_pictures(own, other)).fold(0.0, f32::max))
    };
    let largest = (0..800).map(best).sum::<f64>() / 800.0;
    assert!((many - largest).abs() < 0.01, "400 draws of 39 pictures miss none: {many}, {largest}");
}

#[test]
fn a_gallery_has_what_is_asked_for() {
    let mut samples: Vec<_> = (0..9).map(|number| sample(number, 2 + number % 3)).collect();
    let made = Made::new(&samples);
    let gallery = made.gallery(Captions::UpTo(3)).unwrap();
    assert_eq!((gallery.n_pictures(), gallery.n_captions()), (9, 3 * (2 + 3 + 3)));
    assert_eq!(gallery.n_samples(), [2 + 3 + 3 + 2 + 3, 3 + 2 + 3 + 3]);
    assert_eq!((gallery.picture_of(2), gallery.captions_of(1)), (1, 2..5));
    let message = made.gallery(Captions::Exactly(3, None)).unwrap_err().to_string();
    assert!(message.contains("test/0 has 2 captions, where 3 are scored"), "{message}");
    let listed = ["000004", "img_000001"].map(str::to_owned);
    let chosen = made.gallery(Captions::Exactly(3, Some(&listed))).unwrap();
    assert_eq!((chosen.n_pictures(), chosen.key(0).unwrap()), (2, "test/4".to_owned()));
    let message = made.gallery(Captions::Exactly(3, Some(&["77".to_owned()]))).unwrap_err().to_string();
    assert!(message.contains("the listed picture 77 is not there"), "{message}");

    // a caption whose picture is missing
    samples[3].images.clear();
    let message = Made::new(&samples).gallery(Captions::UpTo(3)).unwrap_err().to_string();
    assert!(message.contains("has 0 pictures where the task reads 1"), "{message}");
    samples[3].images = samples[2].images.clone();
    // no captions
    samples.iter_mut().for_each(|sample| sample.texts.clear());
    let message = Made::new(&samples).gallery(Captions::UpTo(3)).unwrap_err().to_string();
    assert!(message.contains("has nothing to learn") && message.contains("captions.toml"), "{message}");
}

/// A published list of candidates, by `torch.save`: pictures 0 and 1 of two, one list as JSON text.
#[test]
fn published_candidates() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let made = Made::new(&(0..2).map(|number| sample(number, 4)).collect::<Vec<_>>());
    let gallery = made.gallery(Captions::Exactly(4, None)).unwrap();
    let pairs = published(&gallery, &folder.join("minival.pt")).unwrap();
    let of = |picture| pairs.of(picture).map(|(_, caption)| caption).collect::<Vec<_>>();
    assert_eq!((of(0), of(1)), (vec![0, 3, 5], vec![2, 6]));
    for (n_captions, n_pictures, part) in
        [(2, 2, "lists caption 3 of picture 0"), (4, 3, "picture img_000002 is held out, but not listed")]
    {
        let made = Made::new(&(0..n_pictures).map(|number| sample(number, n_captions)).collect::<Vec<_>>());
        let gallery = made.gallery(Captions::Exactly(n_captions as usize, None)).unwrap();
        let message = published(&gallery, &folder.join("minival.pt")).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let message = published(&gallery, &folder.join("clr.json")).unwrap_err().to_string();
    assert!(message.contains("clr.json") && message.contains("task.candidates"), "{message}");
}
