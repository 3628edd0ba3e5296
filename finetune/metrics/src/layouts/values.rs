//! Ids and texts as they stand in a file.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{Cursor, Plain, TextFile};
use crate::Error;

/// The id of an image or a question: a number, or a text. A number written as text is the number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id<'a> {
    /// `17` and `"17"`.
    Number(i64),
    /// Any other text (`"007"` too).
    Text(Cow<'a, str>),
}

impl<'a> Id<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(&text).as_bytes();
        // As a number is written: other spellings are other ids.
        let plain = matches!(digits, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit))
            || &*text == "0";
        match text.parse() {
            Ok(number) if plain => Self::Number(number),
            _ => Self::Text(text),
        }
    }

    /// The id, without the text it was read from.
    pub(crate) fn into_owned(self) -> Id<'static> {
        match self {
            Self::Number(number) => Id::Number(number),
            Self::Text(text) => Id::Text(text.into_owned().into()),
        }
    }
}

impl From<i64> for Id<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for Id<'a> {
    fn from(text: &'a str) -> Self {
        Self::text(text.into())
    }
}

impl From<String> for Id<'_> {
    fn from(text: String) -> Self {
        Self::text(text.into())
    }
}

impl Default for Id<'_> {
    fn default() -> Self {
        Self::Text("".into())
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Id<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl<'de> Visitor<'de> for IdVisitor {
            type Value = Id<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an id (a string or an integer)")
            }
            fn visit_u64<E>(self, value: u64) -> Result<Id<'de>, E> {
                Ok(i64::try_from(value).map_or_else(|_| Id::Text(value.to_string().into()), Id::Number))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Id<'de>, E> {
                Ok(Id::Number(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Id<'de>, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Id<'de>, E> {
                Ok(value.to_owned().into())
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

impl<'a> Plain<'a> for Id<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        match cursor.peek()? {
            b'"' => cursor.string().map(Self::from),
            _ => cursor.integer().map(Self::Number),
        }
    }
}

/// What stands where a caption or an answer should: read first, so that the error can name the id.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Text<'a> {
    Some(Cow<'a, str>),
    Other(&'static str),
    #[default]
    Absent,
}

impl<'a> Text<'a> {
    /// The text, or an error that names the id.
    pub(crate) fn of(self, file: &TextFile, id: &Id<'_>, field: &'static str) -> Result<Cow<'a, str>, Error> {
        match self {
            Self::Some(text) => Ok(text),
            other => Err(other.missed(file, id, field)),
        }
    }

    /// The text, or an error that names the id.
    pub(crate) fn get(&self, file: &TextFile, id: &Id<'_>, field: &'static str) -> Result<&str, Error> {
        match self {
            Self::Some(text) => Ok(text),
            other => Err(other.missed(file, id, field)),
        }
    }

    fn missed(&self, file: &TextFile, id: &Id<'_>, field: &'static str) -> Error {
        let found = match self {
            Self::Some(_) => "a text",
            Self::Other(found) => found,
            Self::Absent => "missing",
        };
        Error::NotText { path: file.path.clone(), id: id.to_string(), field, found }
    }

    /// The text, if it is one.
    pub(crate) fn into_option(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Some(text) => Some(text),
            Self::Other(_) | Self::Absent => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Some(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
                Ok(Text::Some(Cow::Owned(value.to_owned())))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text::Other("a truth value"))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text::Other("a number"))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text::Other("a number"))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text::Other("a number"))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text::Other("null"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text::Other("a list"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::Other("an object"))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'a> Plain<'a> for Text<'a> {
    fn plain(cursor: &mut Cursor<'a>) -> Option<Self> {
        cursor.string().map(|text| Self::Some(text.into()))
    }
}

/// The members of an object, in the file's order.
#[derive(Debug)]
pub(crate) struct Pairs<K, T>(pub(crate) Vec<(K, T)>);

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for Pairs<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<K, T>(PhantomData<(K, T)>);
        impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<K, T> {
            type Value = Pairs<K, T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<K, T>, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(entry) = map.next_entry()? {
                    pairs.push(entry);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &'static str) -> Id<'static> {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn numbers_and_their_spellings() {
        assert_eq!(id("17"), id("\"17\""));
        assert_eq!(id("-3"), id("\"-3\""));
        assert_eq!(id("0"), id("\"0\""));
        for other in ["\"017\"", "\"+17\"", "\" 17\"", "\"17.0\"", "\"\"", "\"-0\"", "18446744073709551615"] {
            assert!(matches!(id(other), Id::Text(_)), "{other}");
        }
        assert_eq!(id("18446744073709551615"), id("\"18446744073709551615\""));
        assert_eq!(
            (id("17").to_string(), id("\"a\\u0062\"").to_string()),
            ("17".to_owned(), "ab".to_owned())
        );
        for wrong in ["1.5", "null", "[1]", "true"] {
            assert!(serde_json::from_str::<Id<'_>>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_place_of_a_text() {
        for (json, wanted) in [
            ("\"a\"", Text::Some("a".into())),
            ("\"\\n\"", Text::Some("\n".into())),
            ("3", Text::Other("a number")),
            ("-3", Text::Other("a number")),
            ("0.5", Text::Other("a number")),
            ("true", Text::Other("a truth value")),
            ("null", Text::Other("null")),
            ("[1, [2]]", Text::Other("a list")),
            ("{\"a\": {}}", Text::Other("an object")),
        ] {
            assert_eq!(serde_json::from_str::<Text<'_>>(json).expect(json), wanted);
        }
    }
}
