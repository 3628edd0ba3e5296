use proptest::prelude::*;

use super::{tokenize, tokenize_all};

fn check(cases: &[(&str, &str)]) {
    for (given, wanted) in cases {
        assert_eq!(tokenize(given), *wanted, "{given}");
    }
}

#[test]
fn contractions() {
    check(&[
        ("We can't, don't and won't.", "we ca n't do n't and wo n't"),
        ("They'd've said it's Ann's", "they 'd 've said it 's ann 's"),
        ("cannot gonna GIMME wanna", "can not gon na gim me wan na"),
        ("'Tis what 'twas", "'t is what 't was"),
        ("Y'all ate o'clock s'mores", "y' all ate o'clock s'mores"),
        ("the ’80s dog’s don’t", "the ’80s dog 's do n't"),
    ]);
}

#[test]
fn quotes_and_dashes_vanish() {
    check(&[
        ("\"one\" 'two' ``three'' “four” ‘five’ «six»", "one two three four five six"),
        ("a - b -- c – d — e ... f", "a b c d e f"),
        ("“‘both’”", "``` both '''"),
        ("-----", "-----"),
    ]);
}

#[test]
fn punctuation() {
    check(&[
        ("Stop! Why? Because; so: yes, no.", "stop why because so yes no"),
        ("What?! No!!", "what ?! no !!"),
        ("(a) [b] {c}", "-lrb- a -rrb- -lsb- b -rsb- -lcb- c -rcb-"),
        ("a = b == c", "a = b = = c"),
        ("end.Next what?no", "end.next what?no"),
    ]);
}

#[test]
fn numbers_and_money() {
    check(&[
        ("12:30 1,000.5 -7 +3 .5", "12:30 1,000.5 -7 +3 .5"),
        ("1/2 cup 3 1/2 cups ½", "1/2 cup 3\u{a0}1/2 cups 1/2"),
        ("$9 £8 €7 6¢ US$5", "$ 9 # 8 $ 7 6 cents us$ 5"),
        ("call 555-123-4567 (20) 555-1234", "call 555-123-4567 -lrb-20-rrb-\u{a0}555-1234"),
        ("5.5-6.5 x²", "5.5-6 .5 x ²"),
        ("2nd 1990s '90 is", "2nd 1990s '90 is"),
    ]);
}

#[test]
fn abbreviations() {
    check(&[
        ("Mr. Fox vs. Dr. Crow, Jr.", "mr. fox vs. dr. crow jr."),
        ("U.S. e.g. a.m. etc.", "u.s. e.g. a.m. etc."),
        ("no. 5 but no. Five", "no. 5 but no five"),
        ("Ill. wins, ill. loses", "ill. wins ill loses"),
        ("Inc.x Inc.xy", "inc. x inc.xy"),
        ("plan B. The end", "plan b the end"),
        ("plan B. Cats win", "plan b. cats win"),
    ]);
}

#[test]
fn compounds_and_the_web() {
    check(&[
        ("well-known co-op's x-ray", "well-known co-op 's x-ray"),
        ("and/or him/her a/b/c/d", "and/or him/her a/b/c / d"),
        ("AT&T R&B a&b", "at&t r&b a & b"),
        ("C++ and F# with c#", "c++ and f# with c#"),
        ("see http://a.b/c?d, www.x.org or me@x.org!", "see http://a.b/c?d www.x.org or me@x.org!"),
        ("#tag #1 @you @1", "#tag # 1 @you @ 1"),
        ("a <b class=\"x y\"> tag </b> 1 < 2", "a <b\u{a0}class=\"x\u{a0}y\"> tag </b> 1 < 2"),
        ("so :) happy :-( me", "so :-rrb- happy :--lrb- me"),
        ("a.txt, b.jpg.", "a.txt b.jpg"),
        ("fish &amp; chips &lt;3", "fish & chips < 3"),
    ]);
}

#[test]
fn other_scripts_and_unknown_characters() {
    check(&[
        ("Café naïve ÉCOLE", "café naïve école"),
        ("日本 と κόσμος", "日本 と κόσμος"),
        ("nice 😀 day\u{200b}s", "nice day s"),
        ("soft\u{ad}hyphen", "softhyphen"),
        ("100° ™ ★", "100 ° ™ ★"),
        ("", ""),
        ("  \n . \t", ""),
        ("a\nb", "a b"),
    ]);
}

#[test]
fn rules_look_over_the_end_of_a_caption() {
    let tokens = |captions: [&str; 2]| {
        let tokens = tokenize_all(&captions);
        let mut tokens = tokens.iter().map(str::to_owned);
        [tokens.next(), tokens.next()].map(|tokens| tokens.expect("one for each caption"))
    };
    assert_eq!(tokens(["on Ave S.", "The dog"]), ["on ave s", "the dog"]);
    assert_eq!(tokens(["on Ave S.", "the dog"]), ["on ave s.", "the dog"]);
    assert_eq!(tokens(["see fig.", "5 dogs"]), ["see fig.", "5 dogs"]);
    // At the end of all captions there is no line's end.
    assert_eq!(tokens(["in '90", "in '90"]), ["in '90", "in 90"]);
}

proptest! {
    #[test]
    fn any_text_is_tokenized_the_same_alone_and_among_others(texts in prop::collection::vec(".{0,40}", 1..20)) {
        let all = tokenize_all(&texts);
        let all: Vec<&str> = all.iter().collect();
        prop_assert_eq!(all.len(), texts.len());
        for tokens in &all {
            prop_assert!(!tokens.contains('\n') && !tokens.starts_with(' ') && !tokens.contains("  "), "{:?}", tokens);
        }
        let last = texts.len() - 1;
        prop_assert_eq!(all[last], tokenize(&texts[last]));
    }
}
