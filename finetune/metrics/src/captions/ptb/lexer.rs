//! Longest match over the rules, by a lazily built automaton. Nearly all of a caption never reaches it:
//! `plain.rs` knows words, spaces, commas and full stops.

use std::sync::LazyLock;

use regex_automata::{
    Anchored, MatchKind,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::{pool::Pool, start, syntax},
};

use super::{
    plain,
    rules::{Action, LookAhead, Rule, rules},
};

/// A token: where it stands among the symbols, and what to do with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexeme {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) action: Action,
}

/// Calls `found` for every lexeme that starts in the first `own` of `symbols`, in order, but for some that
/// become nothing. The symbols behind are there to be looked at.
pub(super) fn lex(symbols: &[u8], own: usize, mut found: impl FnMut(Lexeme)) {
    let mut position = 0;
    while position < own {
        if let Some(end) = plain::nothing(symbols, position) {
            position = end;
        } else if let Some(end) = plain::word(symbols, position) {
            found(Lexeme { start: position, end, action: Action::Word });
            position = end;
        } else {
            let lexeme = by_rules(symbols, position);
            position = lexeme.end;
            found(lexeme);
        }
    }
}

/// The lexeme at `position`, by the rules alone.
pub(super) fn by_rules(symbols: &[u8], position: usize) -> Lexeme {
    let lexer = &*LEXER;
    let (rule, end) = lexer.longest(&mut lexer.caches.get(), symbols, position);
    let end = token_end(lexer.look_ahead[rule], &symbols[position..end]) + position;
    Lexeme { start: position, end, action: lexer.actions[rule] }
}

pub(super) fn prepare() {
    LazyLock::force(&LEXER);
}

struct Lexer {
    dfa: DFA,
    look_ahead: Vec<LookAhead>,
    actions: Vec<Action>,
    caches: Pool<
        Cache,
        Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>,
    >,
}

static LEXER: LazyLock<Lexer> = LazyLock::new(|| {
    let rules: Vec<Rule> = rules();
    let patterns: Vec<&str> = rules.iter().map(|rule| rule.pattern.as_str()).collect();
    let dfa = DFA::builder()
        // All matches, so that the search goes on to the longest one. The cache must never be
        // cleared in the middle of a token for want of room: the whole automaton is smaller.
        .configure(DFA::config().match_kind(MatchKind::All).cache_capacity(1 << 26))
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .thompson(thompson::Config::new().utf8(false))
        .build_many(&patterns)
        .expect("the rules are constants that compile");
    let for_caches = dfa.clone();
    Lexer {
        dfa,
        look_ahead: rules.iter().map(|rule| rule.look_ahead).collect(),
        actions: rules.iter().map(|rule| rule.action).collect(),
        caches: Pool::new(Box::new(move || for_caches.create_cache())),
    }
});

impl Lexer {
    /// The rule with the longest match at `position`, the first of them, and the match's end.
    fn longest(&self, cache: &mut Cache, symbols: &[u8], position: usize) -> (usize, usize) {
        const SEARCH: &str = "the search has no quit bytes, and its cache holds the automaton";
        let mut state =
            self.dfa.start_state(cache, &start::Config::new().anchored(Anchored::Yes)).expect(SEARCH);
        let mut best = None;
        let mut at = position;
        loop {
            // A match shows one transition late.
            state = match symbols.get(at) {
                Some(&symbol) => self.dfa.next_state(cache, state, symbol),
                None => self.dfa.next_eoi_state(cache, state),
            }
            .expect(SEARCH);
            if state.is_match() {
                let first = (0..self.dfa.match_len(cache, state))
                    .map(|index| self.dfa.match_pattern(cache, state, index).as_usize())
                    .min();
                best = first.map(|rule| (rule, at));
            }
            if state.is_dead() || at >= symbols.len() {
                break;
            }
            at += 1;
        }
        best.expect("the last rule matches every symbol")
    }
}

/// Where the token ends in `matched`, whose rest was only looked at.
fn token_end(look_ahead: LookAhead, matched: &[u8]) -> usize {
    let first = |wanted: fn(&u8) -> bool| matched.iter().position(wanted);
    let apostrophe = || {
        let plain = first(|symbol| matches!(symbol, b'\'' | b'`' | 0x94 | 0x95));
        // `&apos;` is the only other form; an entity of a letter may stand before it.
        plain.or_else(|| matched.windows(6).rposition(|six| six.eq_ignore_ascii_case(b"&apos;")))
    };
    let end = match look_ahead {
        LookAhead::None => Some(matched.len()),
        LookAhead::Last(count) => Some(matched.len() - count),
        LookAhead::AllBut(count) => Some(count),
        LookAhead::FromApostrophe => apostrophe(),
        LookAhead::FromNot => apostrophe().map(|position| position - 1),
        LookAhead::FromSpace => first(|symbol| matches!(symbol, b' ' | b'\t' | 0x84 | 0x85)),
        LookAhead::BehindStop => first(|&symbol| symbol == b'.').map(|position| position + 1),
    };
    end.expect("the rule's pattern holds what its look-ahead starts with")
}
