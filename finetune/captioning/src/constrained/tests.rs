use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use data_specs::Tokenizer;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::made_up::{MadeUp, SPECIAL};

/// Which sets of constraints a caption can be read to satisfy, in words: a token that begins an open constraint may go on to its
/// next piece; whatever else follows a beginning is read over, once. A token that begins the last open constraint cannot be passed
/// over.
fn readings(tokens: &[u32], constraints: &[Vec<Vec<u32>>], satisfied: usize) -> BTreeSet<usize> {
    let Some((token, rest)) = tokens.split_first() else { return [satisfied].into() };
    let mut open = (0..constraints.len()).filter(|number| satisfied >> number & 1 == 0);
    let begun: Vec<usize> = open.clone().filter(|number| constraints[*number][0].contains(token)).collect();
    let mut all = BTreeSet::new();
    if begun.is_empty() || begun.last() != open.next_back().as_ref() {
        all.extend(readings(rest, constraints, satisfied));
    }
    for number in begun {
        let mut rest = rest;
        let mut pieces = &constraints[number][1..];
        loop {
            let Some(piece) = pieces.first() else {
                all.extend(readings(rest, constraints, satisfied | 1 << number));
                break;
            };
            // A caption that ends within a constraint is in no main state.
            let Some((token, behind)) = rest.split_first() else { break };
            rest = behind;
            if !piece.contains(token) {
                all.extend(readings(rest, constraints, satisfied));
                break;
            }
            pieces = &pieces[1..];
        }
    }
    all
}

/// Up to three constraints of one to three pieces of one or two forms, of tokens 3..vocabulary.
fn constraints(vocabulary: u32) -> impl Strategy<Value = Vec<Vec<Vec<u32>>>> {
    let forms = prop::collection::vec(3..vocabulary, 1..3);
    prop::collection::vec(prop::collection::vec(forms, 1..4), 0..4)
}

fn automaton(constraints: &[Vec<Vec<u32>>]) -> Automaton {
    let constraints: Vec<Constraint> = constraints.iter().cloned().map(Constraint::new).collect();
    Automaton::new(&constraints).unwrap()
}

type Beams = Vec<Vec<(Vec<u32>, f64)>>;

/// The beams of every state in the end, as the documentation of the search says it; everything sorted, nothing shared.
fn plain_states(
    model: &MadeUp,
    image: usize,
    automaton: &Automaton,
    settings: &ConstrainedSettings,
) -> Beams {
    let mut states: Beams = vec![Vec::new(); automaton.states()];
    states[0].push((vec![SPECIAL.cls], 0.0));
    for _ in 1..settings.max_length {
        let mut arrived: Beams = vec![Vec::new(); states.len()];
        for (from, captions) in states.iter().enumerate() {
            for (tokens, sum) in captions {
                let ended = tokens.last() == Some(&SPECIAL.sep);
                for (token, more) in (0u32..).zip(model.log_probabilities(image, tokens)) {
                    let (grown, sum) = match ended {
                        true if token == SPECIAL.sep => (tokens.clone(), *sum),
                        true => continue,
                        false => (tokens.iter().copied().chain([token]).collect(), sum + more),
                    };
                    if sum > f64::NEG_INFINITY {
                        automaton
                            .next(from, token)
                            .for_each(|state| arrived[state].push((grown.clone(), sum)));
                    }
                }
            }
        }
        for captions in &mut arrived {
            captions.sort_by(|one, other| other.1.total_cmp(&one.1));
            captions.truncate(settings.beams);
        }
        states = arrived;
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_automaton_reads_as_people_do(
        constraints in constraints(8), tokens in prop::collection::vec(2u32..9, 0..9),
    ) {
        let automaton = automaton(&constraints);
        let mut states = BTreeSet::from([0]);
        for token in &tokens {
            states = states.iter().flat_map(|state| automaton.next(*state, *token)).collect();
        }
        prop_assert!(!states.is_empty());
        let main: BTreeSet<usize> =
            states.iter().copied().filter(|state| *state < Automaton::MAIN_STATES).collect();
        prop_assert_eq!(main, readings(&tokens, &constraints, 0));
    }

    #[test]
    fn narrow_beams_are_as_documented(
        seed in any::<u64>(), max_length in 2usize..9, beams in 1usize..5,
        constraints in prop::collection::vec(constraints(10), 1..3),
    ) {
        let mut model = MadeUp::new(seed, 12, constraints.len() as u64);
        let automata: Vec<Automaton> = constraints.iter().map(|constraints| automaton(constraints)).collect();
        let settings = ConstrainedSettings { max_length, beams, satisfy: 2 };
        let found = constrained_beam_search(&mut model, &automata, SPECIAL, &settings).unwrap();
        for (image, (found, automaton)) in found.iter().zip(&automata).enumerate() {
            let wanted = plain_states(&model, image, automaton, &settings);
            prop_assert_eq!(found.states.len(), wanted.len());
            for (got, wanted) in found.states.iter().zip(&wanted) {
                prop_assert_eq!(got.len(), wanted.len());
                for (got, (tokens, sum)) in got.iter().zip(wanted) {
                    prop_assert_eq!(&got.tokens, &tokens[1..]);
                    prop_assert!((got.log_probability - sum).abs() < 1e-5);
                }
            }
        }
    }

    /// With room for every caption, the search finds what looking at all captions finds.
    #[test]
    fn wide_beams_find_the_best(
        seed in any::<u64>(), max_length in 2usize..6, satisfy in 0usize..4,
        constraints in prop::collection::vec(constraints(6), 1..3),
    ) {
        let mut model = MadeUp::new(seed, 6, constraints.len() as u64);
        let automata: Vec<Automaton> = constraints.iter().map(|constraints| automaton(constraints)).collect();
        let settings = ConstrainedSettings { max_length, beams: 3000, satisfy };
        let found = constrained_beam_search(&mut model, &automata, SPECIAL, &settings).unwrap();
        for (image, (found, constraints)) in found.iter().zip(&constraints).enumerate() {
            // Every set of satisfied constraints offers the caption of the highest sum: (sum, sum a token).
            let mut offers: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            for (tokens, sum) in model.all_captions(image, max_length - 1) {
                let words = tokens.iter().take_while(|token| **token != SPECIAL.sep).count();
                for satisfied in readings(&tokens, constraints, 0) {
                    let offer = offers.entry(satisfied).or_insert((f64::NEG_INFINITY, 0.0));
                    if sum > offer.0 {
                        *offer = (sum, sum / (words + 1) as f64);
                    }
                }
            }
            let most = offers.keys().map(|satisfied| satisfied.count_ones() as usize).max().unwrap_or(0);
            let enough = satisfy.min(constraints.len()).min(most);
            let enough_of = |satisfied: &usize| satisfied.count_ones() as usize >= enough;
            let best = offers.iter().filter(|(satisfied, _)| enough_of(satisfied)).map(|(_, offer)| offer.1);
            let best = best.fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((found.caption.score - best).abs() < 1e-5, "{:?}, not {}", found.caption, best);
            prop_assert!(found.satisfied.iter().filter(|is| **is).count() >= enough);
            let mask = (0..constraints.len()).map(|number| usize::from(found.satisfied[number]) << number).sum();
            let mut read = found.caption.tokens.clone();
            if read.len() == max_length {
                read.pop();
            }
            prop_assert!(readings(&read, constraints, 0).contains(&mask), "{:?} {:?}", read, mask);
        }
    }
}

#[test]
fn equal_captions_are_asked_once() {
    // Both constraints may or may not have counted token 3: several states hold the same captions.
    let automata = [automaton(&[vec![vec![3]], vec![vec![4]], vec![vec![5], vec![6]]])];
    let mut model = MadeUp::new(1, 7, 1);
    let settings = ConstrainedSettings { max_length: 4, beams: 500, satisfy: 3 };
    let found = constrained_beam_search(&mut model, &automata, SPECIAL, &settings).unwrap();
    let held: usize = found[0].states.iter().map(Vec::len).sum();
    let different: BTreeSet<&[u32]> =
        found[0].states.iter().flatten().map(|caption| caption.tokens.as_slice()).collect();
    assert!(held > different.len());
    // Tokens 3..7 and [SEP]: 1 + 4 + 16 open captions.
    assert_eq!(model.asked, 21);
}

#[test]
fn constraints_that_do_not_fit_are_not_forced() {
    let long = vec![vec![3], vec![4], vec![5], vec![6]];
    let automata = [automaton(&[long.clone(), vec![vec![3]]]), automaton(&[long])];
    let settings = ConstrainedSettings { max_length: 3, ..ConstrainedSettings::default() };
    let mut model = MadeUp::new(1, 9, 2);
    let found = constrained_beam_search(&mut model, &automata, SPECIAL, &settings).unwrap();
    assert_eq!(found[0].satisfied, [false, true]);
    assert!(found[0].caption.words().contains(&3), "{found:?}");
    assert_eq!(found[1].satisfied, [false]);

    // Only the beginning of the constraint is possible.
    let mut model = MadeUp { forbidden: vec![0, 1, 2, 4, 5, 6, 7, 8], ..MadeUp::new(1, 9, 1) };
    let settings = ConstrainedSettings { max_length: 2, ..settings };
    let found = constrained_beam_search(&mut model, &automata[1..], SPECIAL, &settings).unwrap();
    assert_eq!((found[0].caption.words(), found[0].satisfied.as_slice()), (&[3][..], &[false][..]));
}

#[test]
fn what_cannot_be_a_constraint() {
    let of = |pieces: Vec<Vec<u32>>| Constraint::new(pieces);
    let message = |constraints: &[Constraint]| Automaton::new(constraints).unwrap_err().to_string();
    assert!(message(&vec![of(vec![vec![3]]); 4]).starts_with("constraint 4: 4 are given, 3 are possible"));
    assert!(message(&[of(vec![vec![3]]), of(vec![])]).starts_with("constraint 2: has no pieces"));
    // The fifth piece is not asked for.
    let five: Vec<Vec<u32>> = (3..8).map(|token| vec![token]).collect();
    let longest = automaton(&[five]);
    assert_eq!(longest.states(), Automaton::MAIN_STATES + 4 * 3);
    let read = [3, 4, 5, 6].iter().fold(0, |state, token| longest.next(state, *token).next().unwrap());
    assert_eq!((read, longest.main_state(10)), (1, 0));

    for token in [2, 9] {
        let automata = [automaton(&[]), automaton(&[vec![vec![token]]])];
        let search = constrained_beam_search(
            &mut MadeUp::new(1, 9, 2),
            &automata,
            SPECIAL,
            &ConstrainedSettings::default(),
        );
        let message = search.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("constraint of picture 1: asks for token {token}")),
            "{message}"
        );
    }
    assert!(ConstrainedSettings { beams: 0, ..Default::default() }.validate().is_err());
    assert!(ConstrainedSettings { max_length: 1, ..Default::default() }.validate().is_err());
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn words_become_pieces_with_forms() {
    let files = Files::new();
    let tokens =
        "[PAD] [UNK] [CLS] [SEP] [MASK] surf ##board ##boards fire hydrant hydrants dog dogs table tables";
    let tokenizer = Tokenizer::open(&files.write("vocab.txt", tokens.replace(' ', "\n"))).unwrap();
    let words = files.write("words.tsv", "surfboard\tsurf,##board\n\nfire\tfire\r\nhydrant\thydrant\n");
    let forms = files.write(
        "forms.tsv",
        "\u{feff}##board\t##board,##boards\nhydrant\thydrant, hydrants\ndog\tdog,dogs,doggo\ncat\tcat,dog\n",
    );
    let read = ConstraintWords::read(&words, &forms, &tokenizer).unwrap();
    // doggo, cat, and the dog that stands for a cat.
    assert_eq!(read.left_out(), 3);
    let pieces = |name: &str| read.constraint(name).unwrap().pieces().to_vec();
    assert_eq!(pieces("surfboard"), [vec![5], vec![6, 7]]);
    assert_eq!(pieces("fire  hydrant"), [vec![8], vec![9, 10]]);
    assert_eq!(pieces("dog table"), [vec![11, 12], vec![13]], "cut by the tokenizer");
    for (name, part) in
        [("zebra", "constraint `zebra`: would need [UNK]"), (" ", "constraint ` `: has no words")]
    {
        let message = read.constraint(name).unwrap_err().to_string();
        assert!(message.starts_with(part), "{message}");
    }

    for (words, forms, part) in [
        ("dog", "dog\tdog", "words.tsv, line 1: has no second column"),
        ("\tdog", "dog\tdog", "words.tsv, line 1: has no second column"),
        ("dog\tdog\n\ndog\tdog", "dog\tdog", "words.tsv, line 3: `dog` was there before"),
        ("dog\tdog,", "dog\tdog", "words.tsv, line 1: the list of `dog` has an empty entry"),
        ("x\tdog\ncat\tcat", "dog\tdog", "words.tsv, line 2: the vocabulary has no token `cat`"),
        ("dog\tdog", "dog\tdoggo,hound", "forms.tsv, line 1: no form of `dog`"),
        ("dog\tdog", "dog\tdog\ndog\tdogs", "forms.tsv, line 2: `dog` was there before"),
    ] {
        let (words, forms) = (files.write("words.tsv", words), files.write("forms.tsv", forms));
        let message = ConstraintWords::read(&words, &forms, &tokenizer).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("hint:"), "{message}");
    }
    let missing = ConstraintWords::read(&files.0.path().join("none.tsv"), &forms, &tokenizer).unwrap_err();
    assert!(missing.to_string().contains("none.tsv"));
}

#[test]
fn hostile_boxes() {
    let files = Files::new();
    let good =
        "a1\t[{\"rect\": [1, 2, 3.5, 4], \"class\": \"Dog\", \"conf\": 0.5, \"more\": null}]\nb2\t[]\n";
    let boxes = ConstraintBoxes::read(&files.write("boxes.tsv", good)).unwrap();
    let dog = Detection { rect: [1.0, 2.0, 3.5, 4.0], class: "Dog".to_owned(), confidence: 0.5 };
    assert_eq!(
        (boxes.of("a1"), boxes.of("b2"), boxes.of("c3"), boxes.len()),
        (&[dog][..], &[][..], &[][..], 2)
    );
    let deep = format!("k\t{}", "[".repeat(100_000));
    for (content, part) in [
        (&b"k\t[{\"rect\": [1, 2, 3], \"class\": \"dog\", \"conf\": 1}]"[..], "line 1: the boxes of `k`"),
        (
            b"ok\t[]\nk\t[{\"rect\": [1, 2, 3, null], \"class\": \"dog\", \"conf\": 1}]",
            "line 2: the boxes of `k`",
        ),
        (b"k\t[{\"rect\": [1, 2, 3, 4e999], \"class\": \"dog\", \"conf\": 1}]", "out of range"),
        (b"k\t[{\"rect\": [1, 2, 3, 4], \"class\": \"dog\", \"conf\": NaN}]", "the boxes of `k`"),
        (b"k\t[{\"rect\": [1, 2, 3, 4], \"conf\": 1}]", "missing field `class`"),
        (b"k\t[]]", "trailing"),
        (b"k\t[]\nk\t[]", "line 2: `k` was there before"),
        (b"k []", "no second column"),
        (b"k\t[]\n\xff\xfe\t[]", "line 2: is not UTF-8"),
        (deep.as_bytes(), "line 1: the boxes of `k`"),
    ] {
        let message = ConstraintBoxes::read(&files.write("boxes.tsv", content)).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("boxes.tsv"), "{message}");
    }
    let endless = files.write("boxes.tsv", vec![b'x'; 17 << 20]);
    assert!(ConstraintBoxes::read(&endless).unwrap_err().to_string().contains("is longer than"));
    assert!(ConstraintBoxes::read(&files.write("boxes.tsv", "")).unwrap().is_empty());
}

const TREE: &str = r#"{"LabelName": "Entity", "Subcategory": [
    {"LabelName": "Food", "Subcategory": [{"LabelName": "Fruit", "Subcategory": [
        {"LabelName": "Apple"}, {"LabelName": "Grapefruit"}]}, {"LabelName": "Apple", "Subcategory": [{"LabelName": "Cox"}]}]},
    {"LabelName": "Animal", "Part": [{"LabelName": "Human eye"}], "Subcategory": [
        {"LabelName": "Mammal", "Subcategory": [{"LabelName": "Dog"}]}, {"LabelName": "Luggage and bags"}]}]}"#;

#[test]
fn heights_of_classes() {
    let files = Files::new();
    let tree = Hierarchy::read(&files.write("tree.json", TREE)).unwrap();
    for (class, height) in [
        ("entity", 3),
        ("Food", 2),
        ("fruit", 1),
        ("grapefruit", 0),
        ("apple", 0),
        ("animal", 2),
        ("hot dog", 0),
    ] {
        assert_eq!(tree.height(class).unwrap(), height, "{class}");
    }
    let message = tree.height("Zebra").unwrap_err().to_string();
    assert!(message.contains("tree.json: the class `zebra`"), "{message}");
    let deep = format!("{}{}", r#"{"LabelName": "a", "Subcategory": ["#.repeat(1000), "]}".repeat(1000));
    for (content, part) in [
        ("", "EOF"),
        ("[]", "invalid"),
        (r#"{"LabelName": "a", "Subcategory": [{}]}"#, "missing field `LabelName`"),
        (r#"{"LabelName": "a", "Subcategory": {}}"#, "invalid type"),
        (r#"{"LabelName": "a", "Subcategory": [{"LabelName": ""}]}"#, "empty LabelName"),
        (r#"{"LabelName": "a"} x"#, "trailing"),
        (&deep, "recursion limit"),
    ] {
        let message = Hierarchy::read(&files.write("tree.json", content)).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("tree.json, line"), "{message}");
    }
}

#[test]
fn which_detections_become_constraints() {
    let files = Files::new();
    let path = files.write("tree.json", TREE);
    let names = |overlap: Overlap, seen: &[(&str, f64, f64)]| {
        let filter = ConstraintFilter::new(Hierarchy::read(&path).unwrap(), overlap);
        let detections: Vec<Detection> = seen
            .iter()
            .map(|&(class, confidence, left)| Detection {
                rect: [left, 0.0, left + 99.0, 99.0],
                class: class.to_owned(),
                confidence,
            })
            .collect();
        filter.constraints(&detections).unwrap()
    };
    let kept = |seen: &[(&str, f64, f64)]| names(Overlap::Kept, seen);
    assert!(kept(&[]).is_empty());
    assert_eq!(kept(&[("Dog", 0.2, 0.0), ("Apple", 0.9, 0.0), ("fruit", 0.0, 0.0)]), ["apple", "dog"]);
    // Not named, and not asked of the tree.
    assert_eq!(kept(&[("Person", 0.9, 0.0), ("Human eye", 0.9, 0.0), ("Dog", 0.1, 0.0)]), ["dog"]);
    // Three are taken before equal names fall together.
    let luggage =
        [("Luggage and bags", 0.9, 0.0), ("dog", 0.8, 0.0), ("dog", 0.7, 300.0), ("apple", 0.6, 0.0)];
    assert_eq!(kept(&luggage), ["luggage", "dog"]);
    // Equal confidence: the more specific one, then the first.
    let equal = [("food", 0.5, 0.0), ("fruit", 0.5, 0.0), ("dog", 0.5, 0.0), ("apple", 0.5, 0.0)];
    assert_eq!(kept(&equal), ["dog", "apple", "fruit"]);

    let overlapping = [("animal", 0.9, 0.0), ("fruit", 0.8, 300.0), ("dog", 0.3, 5.0), ("cox", 0.2, 320.0)];
    assert_eq!(kept(&overlapping), ["animal", "fruit", "dog"]);
    // 95 of 105 columns are shared; 80 of 120 are not enough.
    assert_eq!(names(Overlap::GenericRemoved, &overlapping), ["fruit", "dog", "cox"]);
    assert_eq!(names(Overlap::GenericRemoved, &[("dog", 0.3, 0.0), ("apple", 0.2, 0.0)]), ["dog", "apple"]);
}
