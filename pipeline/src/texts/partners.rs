//! The other halves of records whose parts lie in two files, found by id while the first halves stream by.

use crate::inputs::Span;

/// Halves by id, about 70 bytes each, and which of them have been asked for.
#[derive(Debug)]
pub(super) struct Partners {
    /// Sorted by id, then by place.
    halves: Vec<Half>,
    used: Vec<bool>,
}

/// A half of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) id: ShortId,
    /// The picture that this half names, if it does.
    pub(super) image: Option<ShortId>,
    pub(super) span: Span,
}

/// An id without the cost of a string where it is a number, as nearly all are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShortId {
    Number(u64),
    Text(Box<str>),
}

impl ShortId {
    /// `id` in short; different ids stay different (`7` and `007` too).
    pub(super) fn new(id: &str) -> ShortId {
        match id.parse::<u64>() {
            Ok(number) if number.to_string() == id => ShortId::Number(number),
            _ => ShortId::Text(id.into()),
        }
    }

    /// The id as it was.
    pub(super) fn long(&self) -> String {
        match self {
            ShortId::Number(number) => number.to_string(),
            ShortId::Text(text) => text.to_string(),
        }
    }
}

impl Partners {
    /// All halves of one side.
    pub(super) fn new(mut halves: Vec<Half>) -> Partners {
        halves.sort_unstable_by(|a, b| (&a.id, a.span.offset).cmp(&(&b.id, b.span.offset)));
        Partners { used: vec![false; halves.len()], halves }
    }

    /// The half called `id`, the first of them if there are several.
    pub(super) fn find(&mut self, id: &str) -> Option<&Half> {
        let id = ShortId::new(id);
        let at = self.halves.partition_point(|half| half.id < id);
        let half = self.halves.get(at).filter(|half| half.id == id)?;
        self.used[at] = true;
        Some(half)
    }

    /// What nobody asked for, in file order; true with those that repeat the id of another half.
    pub(super) fn unused(self) -> Vec<(Half, bool)> {
        let repeats: Vec<bool> =
            (0..self.halves.len()).map(|at| at > 0 && self.halves[at - 1].id == self.halves[at].id).collect();
        let mut unused: Vec<_> = self.halves.into_iter().zip(repeats).collect();
        let mut used = self.used.into_iter();
        unused.retain(|_| !used.next().unwrap_or(false));
        unused.sort_unstable_by_key(|(half, _)| half.span.offset);
        unused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_found_once_and_the_rest_is_left() {
        let half = |id: &str, offset| Half {
            id: ShortId::new(id),
            image: None,
            span: Span { input: 0, offset, len: 1, line: 1 },
        };
        let mut partners =
            Partners::new(vec![half("7", 0), half("b", 1), half("007", 2), half("7", 3), half("3", 4)]);
        assert_eq!(partners.find("7").unwrap().span.offset, 0);
        assert_eq!(partners.find("007").unwrap().span.offset, 2);
        assert_eq!(partners.find("8"), None);
        let left: Vec<_> =
            partners.unused().into_iter().map(|(half, twice)| (half.id.long(), twice)).collect();
        assert_eq!(left, [("b".to_string(), false), ("7".to_string(), true), ("3".to_string(), false)]);
    }

    #[test]
    fn no_two_ids_become_one() {
        for id in ["0", "18446744073709551615", "18446744073709551616", "-1", "+1", "01", "", "x"] {
            assert_eq!(ShortId::new(id).long(), id);
        }
        assert_ne!(ShortId::new("1"), ShortId::new("+1"));
    }
}
