//! White space.

/// White space as Python's `strip` and `split` know it, which the evaluators use: Unicode's, and the four
/// separators of ASCII.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}
