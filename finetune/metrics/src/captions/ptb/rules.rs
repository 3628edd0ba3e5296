//! The lexical rules of Penn Treebank tokenization as coco-caption applies them (Stanford's
//! tokenizer of 2014, lower-casing, quotes in LaTeX form, brackets as -LRB-, no americanizing).
//!
//! A rule is a regular expression over the symbols of `alphabet.rs` and what becomes of its match.
//! The longest match wins; of equally long ones the rule that stands first. Some rules look at
//! characters behind the token; they count for the length of the match and are then given back.
//!
//! Case: words that are spelled out match in both cases (`any_case`), character sets as written.
//! That is a property of the reference which shows: `A&B` is one token, `a&b` three.
//!
//! Left out are the reference's rules whose only effect is a second full stop after an abbreviation
//! that ends a sentence: full stops are dropped from captions anyhow.

/// What becomes of the text that a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing: white space, and characters that the tokenizer does not know.
    Skip,
    /// The text itself.
    Keep,
    /// The text itself, which is a word of ASCII letters.
    Word,
    /// The text without soft hyphens (U+00AD).
    DropSoftHyphens,
    /// Spaces become no-break spaces, round brackets their names.
    Glue,
    /// `&amp;` becomes `&`.
    PlainAmpersand,
    /// This string instead of the text.
    Fixed(&'static str),
    Hyphens,
    Currency,
    Fraction,
    OpeningQuote,
    ClosingQuote,
}

/// How much of the match is looked at only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookAhead {
    None,
    /// The last so many characters.
    Last(usize),
    /// All but the first so many characters.
    AllBut(usize),
    /// From the first apostrophe on.
    FromApostrophe,
    /// From the n of `n't` on.
    FromNot,
    /// From the first space on.
    FromSpace,
    /// Behind the last full stop.
    BehindStop,
}

pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) look_ahead: LookAhead,
    pub(super) action: Action,
}

/// Any apostrophe: ASCII, typographic, escaped.
const APOSTROPHE: &str = r"(?:['\x94]|(?i:&apos;))";
/// What may stand for an apostrophe inside a word.
const WORD_APOSTROPHE: &str = r"(?:['`\x94\x95]|(?i:&apos;))";
const SPACE: &str = r"[ \t\x84\x85]";
const SPACE_OR_LINE: &str = r"[ \t\x84\x85\r\n\x0b\x0c\x81\x83]";
const LETTER: &str = r"[A-Za-z\x87]";
const ALNUM: &str = r"[A-Za-z0-9\x87\x8b]";
const DIGIT: &str = r"[0-9\x8b]";
const PAUSE: &str = r"[,;:\x98]";
const AMPERSAND: &str = r"(?:&|(?i:&amp;))";

const MONTHS: &str = "jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec";
const DAYS: &str = "mon|tue|tues|wed|thu|thurs|fri";
const STATES: &str = "ala|ariz|calif|colo|conn|ct|dak|fla|ga|ind|kan|kans|ky|md|mich|minn|mo|mont|neb|nev|okla|penn|tenn|va|vt|wis|wisc|wyo";
// States that are words, or parts of names, when written small: the first letter must be a capital.
const CAPITAL_STATES: &str =
    "A(?i:z|rk)|D(?i:el)|I(?i:ll)|L(?i:a)|M(?i:ass|iss)|O(?i:re)|P(?i:a)|T(?i:ex)|W(?i:ash)";
const COMPANIES: &str = "inc|co|cos|corp|ltd|plc|rt|bancorp|bhd|assn|univ|intl|sys";
const COMPANIES_INSIDE: &str = "invt|elec|natl|dept|blvd|rd|ave";
const MEASURES: &str = "tel|est|ext|sq";
const TITLES_BEHIND: &str = "jr|sr|bros|blvd|rd|esq";
const TITLES: &str = "mr|mrs|ms|dr|drs|prof|profs|sen|sens|rep|reps|atty|attys|lt|col|gen|messrs|gov|govs|adm|rev|maj|sgt|cpl|pvt|capt|st|ste|ave|pres|lieut|rt|hon|brig|cmdr|comdr|pfc|spc|supt|supts|det|mt|ft|adj|adv|asst|assoc|ens|insp|mlle|mme|msgr|sfc";
const OTHERS: &str = "etc|al|seq|bldg";
const OTHERS_INSIDE: &str = "vs|v|alex|wm|jos|cie|cf|treas|ph";
const BEFORE_NUMBERS: &str = "ca|fig|figs|prop|no|nos|art|arts|bldg|pp|op";
// A capital first letter; the rest in any case.
const SENTENCE_STARTS: &str = r"A(?i:bout|ccording|dditionally|fter|n|s|t|)|B(?i:ut)|E(?i:arlier)|H(?i:e|er|ere|owever)|I(?i:f|n|t)|L(?i:ast)|M(?i:any|ore|r\.|s\.)|N(?i:ow)|O(?i:nce|ne|ther|ur)|S(?i:he|ince|o|ome|uch)|T(?i:hat|he|hen|here|hese|hey|his)|W(?i:e|hen|hile|hat)|Y(?i:et|ou)";
const FILE_ENDINGS: &str = "bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|py|sql|tar|txt|wav|x|xml|zip";

/// Every word, in lower case, that a rule takes together with the full stop behind it; some only where it is
/// spelled with a capital, or stands before a number.
pub(super) fn abbreviations() -> impl Iterator<Item = &'static str> {
    const FROM_PATTERNS: &str =
        "az|ark|del|ill|la|mass|miss|ore|pa|tex|wash|mfg|mtg|pte|ptes|pty|ptys|ppte|pptes|ppty|pptys";
    let lists = [
        MONTHS,
        DAYS,
        STATES,
        COMPANIES,
        COMPANIES_INSIDE,
        MEASURES,
        TITLES,
        TITLES_BEHIND,
        OTHERS,
        OTHERS_INSIDE,
        BEFORE_NUMBERS,
        FROM_PATTERNS,
    ];
    lists.into_iter().flat_map(|list| list.split('|'))
}

/// All rules, those first that win among equally long matches.
pub(super) fn rules() -> Vec<Rule> {
    let any_case = |alternatives: &str| format!("(?i:{alternatives})");
    let letter_entity = r"&[aeiouAEIOU](?i:acute|grave|uml);";
    let word_letter = format!(r"(?:[A-Za-z\x87\x89\x8a]|{letter_entity})");
    let word_part = format!("{word_letter}(?:{word_letter}|{DIGIT})*");
    let word = format!("{word_part}(?:[.!?]{word_part})*");
    let short_verb = format!("{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))");
    let not = format!("(?i:n){WORD_APOSTROPHE}(?i:t)");
    let before_not = r"[A-Za-z\x8a]*[A-MO-Za-mo-z]\x8a*";
    let number = format!(r"[-+]?(?:{DIGIT}+|{DIGIT}*(?:[.:,\x8a\x8d]{DIGIT}+)+)");
    let dotted = format!(
        r"(?:[A-Za-z](?:\.[A-Za-z])+|(?i:canada|sino|korean|eu|japan|non)-{us}|{us}\.-(?i:u\.k|u\.s\.s\.r))",
        us = any_case(r"u\.s")
    );
    let initials = format!("(?:[A-Za-z]|{dotted})");
    let before_small = format!(
        r"(?:{}|(?i:pp?t)[ye](?i:s?)|{CAPITAL_STATES})\.",
        any_case(
            &[MONTHS, DAYS, STATES, COMPANIES, MEASURES, TITLES_BEHIND, r"(?:ed|ph)\.d", OTHERS].join("|")
        )
    );
    let before_capital = format!(
        r"(?:{}|M(?i:iss)|(?i:m)[ft](?i:g)|{initials})",
        any_case(&[TITLES, OTHERS_INSIDE, r"a\.k\.a", COMPANIES_INSIDE].join("|"))
    );
    let tag = r#"<(?:[!?][A-Za-z-][^>\r\n]*|/?[A-Za-z][A-Za-z0-9:.-]*(?: +(?:[A-Za-z][A-Za-z0-9_:.-]*(?: *= *['"][^\r\n'"]*['"])?|['"][^\r\n'"]*['"]| */))* */? *)>"#;
    let file_letter = format!("(?:{word_letter}|{DIGIT})");
    let name_particle = format!("(?:[dDoOlL]{WORD_APOSTROPHE}{ALNUM})?");
    let compound = format!(r"{name_particle}{ALNUM}+(?:[-_\x97]{name_particle}{ALNUM}+)*");
    let hyphenated = format!(r"[A-Za-z0-9][A-Za-z0-9.,\x8a]*(?:-(?:[A-Za-z0-9\x8a]+|{dotted}\.))+");
    let slashed_part = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}";
    let capitals = r"[A-Z]+(?:(?:[+&]|(?i:&amp;))[A-Z]+)+";
    let apostrophe_word = [
        format!("{APOSTROPHE}(?i:n){APOSTROPHE}?"),
        format!("[lLdDjJ]{APOSTROPHE}"),
        format!("(?i:dunkin|somethin|ol){APOSTROPHE}"),
        format!("{APOSTROPHE}(?i:em)"),
        format!("[A-HJ-XZn]{WORD_APOSTROPHE}{LETTER}{{2}}{LETTER}*"),
        format!("{APOSTROPHE}[2-9]0(?i:s)"),
        format!("{APOSTROPHE}(?i:till?)"),
        format!("{LETTER}{LETTER}*[aeiouyAEIOUY]{WORD_APOSTROPHE}[aeiouA-Z]{LETTER}*"),
        format!("{APOSTROPHE}(?i:cause)"),
        r"(?i:cont'd)\.?".to_owned(),
        "(?i:nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)".to_owned(),
        format!("(?i:o){WORD_APOSTROPHE}(?i:o)"),
    ]
    .join("|");
    let url_inside = r#"[^ \t\n\x0c\r"<>|()]"#;
    let url_last = r#"[^ \t\n\x0c\r"<>|.!?(){},-]"#;
    let full_url = format!(r#"(?i:https?)://[^ \t\n\x0c\r"<>|(){{}}]+{url_last}"#);
    // The range `,-_` holds digits and capitals: the reference takes no such host names without www.
    let likely_url = format!(
        r#"(?:(?i:www)\.(?:[^ \t\n\x0c\r"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}|(?:[^ \t\n\x0c\r"`'<>|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu))(?:/{url_inside}+{url_last})?"#
    );
    let email = r#"(?:<|(?i:&lt;))?[a-zA-Z0-9][^ \t\n\x0c\r"<>|()\x85{}]*@(?:[^ \t\n\x0c\r"<>|(){}.\x85]+\.)*[^ \t\n\x0c\r"<>|(){}.\x85]+(?:>|(?i:&gt;))?"#;
    let quotes = format!(r"(?:{APOSTROPHE}|''|[`\x94\x95\x96]{{1,2}})");
    let double_quote = r#"(?:"|(?i:&quot;))"#;

    let mut rules = Vec::new();
    let mut add = |pattern: &str, look_ahead: LookAhead, action: Action| {
        rules.push(Rule { pattern: pattern.to_owned(), look_ahead, action });
    };
    use Action::{
        ClosingQuote, Currency, DropSoftHyphens, Fixed, Fraction, Glue, Hyphens, Keep, OpeningQuote,
        PlainAmpersand, Skip,
    };
    use LookAhead::{AllBut, BehindStop, FromApostrophe, FromNot, FromSpace, Last, None};

    // Whole words.
    add(r"(?i:c)\+\+|[cCfF]#", None, Keep);
    add("(?i:cannot|'twas)", Last(3), Keep);
    add(&format!("(?i:gonna|gotta|lemme|gimme|wanna)|{APOSTROPHE}(?i:tis)"), Last(2), Keep);
    add(tag, None, Glue);
    add(r"(?i:&(?:md|mdash|ndash);)|\x86", None, Fixed("--"));
    add("(?i:&amp;)", None, PlainAmpersand);
    add("(?i:&(?:ht|tl|ur|lr|qc|ql|qr|odq|cdq);)|&#[0-9]+;", None, Keep);
    add(&format!("{word}{short_verb}"), FromApostrophe, DropSoftHyphens);
    add(&format!("{before_not}{not}"), FromNot, DropSoftHyphens);
    add(&word, None, DropSoftHyphens);
    add(&apostrophe_word, None, Keep);
    add(&format!("(?i:y){APOSTROPHE}{LETTER}"), Last(1), Keep);
    add(&full_url, None, Keep);
    add(&likely_url, None, Keep);
    add(email, None, Keep);
    add(&format!("@[a-zA-Z_][a-zA-Z_0-9]*|#{word_letter}+"), None, Keep);
    add(&format!("{short_verb}[^A-Za-z]"), Last(1), ClosingQuote);
    add(&format!("{not}[^A-Za-z]"), Last(1), ClosingQuote);

    // Numbers.
    add(&format!("{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}"), None, Keep);
    add(&number, None, DropSoftHyphens);
    add(r"\x8e?(?:\x8f+|\x90+)", None, Keep);
    add(&format!(r"(?:{DIGIT}{{1,4}}[- \x85])?{DIGIT}{{1,4}}(?:\\?/|\x91){DIGIT}{{1,4}}"), None, Glue);
    add(r"\x92", None, Fraction);

    // Compounds with a spelling of their own, money.
    add(
        &format!(
            r"(?i:-(?:rrb|lrb|rcb|lcb|rsb|lsb)-|c\.d\.s|pro-|anti-)|(?i:s){AMPERSAND}(?i:p-500|ls)|(?i:cap){APOSTROPHE}(?i:n)|(?i:c){APOSTROPHE}(?i:est)"
        ),
        None,
        PlainAmpersand,
    );
    add(&format!(r"{slashed_part}(?:\\?/{slashed_part}){{1,2}}"), None, Keep);
    add(r"[A-Z]*\$|#", None, Keep);
    add(r"\x93", None, Currency);

    // Abbreviations.
    add(&format!(r"{}\.{SPACE_OR_LINE}?{DIGIT}", any_case(BEFORE_NUMBERS)), BehindStop, Keep);
    add(&format!(r"(?i:pt)[eyEY]\.{SPACE}(?i:ltd|lim)|(?i:co)\.{SPACE}(?i:ltd|lim)"), FromSpace, Keep);
    // One letter and a stop before such a word is a sentence's end, not an initial.
    add(&format!(r"[A-Za-z]\.{SPACE_OR_LINE}+(?:{SENTENCE_STARTS}|{tag}){SPACE_OR_LINE}"), AllBut(1), Keep);
    // `Inc.x` is two tokens, `Inc.xy` one: the two characters looked at compete with the longer word.
    add(&format!(r"{before_small}[\x00-\xff]{{2}}"), Last(2), Keep);
    add(&before_small, None, Keep);
    add(&format!(r"{before_capital}\."), None, Keep);
    add(&format!("{before_capital}{SPACE}"), Last(1), Keep);
    add(&format!("{initials}{SPACE_OR_LINE}"), Last(1), Keep);
    add(&format!("{APOSTROPHE}[0-9][0-9]{SPACE_OR_LINE}"), Last(1), Keep);
    add(
        &format!(
            r#"{file_letter}+(?:\.{file_letter}+)*\.{}(?:{SPACE_OR_LINE}|[.?!,])"#,
            any_case(FILE_ENDINGS)
        ),
        Last(1),
        Keep,
    );
    add(&format!(r"{word}\.{PAUSE}"), Last(1), DropSoftHyphens);
    add(
        r"(?:\([0-9]{2,3}\)[ \x85]?|(?:\+\+?)?(?:[0-9]{2,4}[- \x85])?[0-9]{2,4}[- \x85])[0-9]{3,4}[- \x85]?[0-9]{3,5}|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
        None,
        Glue,
    );

    // Punctuation.
    add(&format!("{double_quote}[A-Za-z0-9$]"), Last(1), OpeningQuote);
    add(double_quote, None, ClosingQuote);
    add("<|(?i:&lt;)", None, Fixed("<"));
    add(">|(?i:&gt;)", None, Fixed(">"));
    add(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]][^A-Za-z0-9]", Last(1), Glue);
    add(
        r"[\^x=~<>]\.\[\^x=~<>\]|[-\^x=~<>']_[-\^x=~<>']|\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)",
        None,
        Glue,
    );
    add(r"\{", None, Fixed("-LCB-"));
    add(r"\}", None, Fixed("-RCB-"));
    add(r"\[", None, Fixed("-LSB-"));
    add(r"\]", None, Fixed("-RSB-"));
    add(r"\(", None, Fixed("-LRB-"));
    add(r"\)", None, Fixed("-RRB-"));
    add("-+", None, Hyphens);
    add(r"\.{3,5}|[\x81\x82]|\.[ \x85](?:\.[ \x85])+\.", None, Fixed("..."));
    add("@+|#+|_+", None, Keep);
    add(r"\*+|(?:\\\*){1,3}", None, Keep);
    add(PAUSE, None, Keep);
    add("[?!]+", None, Keep);
    add(r"[.\x99]", None, Keep);
    add("=", None, Keep);
    add("/", None, Keep);

    // Compounds.
    add(&format!(r"{hyphenated}\.{PAUSE}"), Last(1), DropSoftHyphens);
    add(&hyphenated, None, DropSoftHyphens);
    add(&format!(r"{compound}\.{PAUSE}"), Last(1), Keep);
    add(&compound, None, Keep);
    add(&format!(r"{capitals}\.{PAUSE}"), Last(1), PlainAmpersand);
    add(capitals, None, PlainAmpersand);

    // Quotes, and what is left.
    add(&format!(r"'{LETTER}[^ \t\n\r\x85]"), AllBut(1), OpeningQuote);
    add(&short_verb, None, ClosingQuote);
    add(&not, None, ClosingQuote);
    add(&quotes, None, ClosingQuote);
    add("<<|>>", None, Keep);
    add(r"[+%&~\^|\\\x9a\x8e\x91]", None, Keep);
    add(&format!(r"{SPACE}+|\x00|\x9c|(?i:&nbsp;)|[\r\n\x0b\x0c\x83]"), None, Skip);
    add(r"[\x00-\xff]", None, Skip);
    rules
}
