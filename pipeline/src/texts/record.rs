//! One JSON record: its ids while scanning, all its fields when it is read; a wrong field is named.

use std::fmt;
use std::str::from_utf8;

use data_specs::{Text, TextKind, canonical_fields};
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value};

use crate::{Code, RejectReason};

/// The `names`d ids of the object in `bytes`; all else is passed over, though it must be JSON.
pub(crate) fn ids<const N: usize>(bytes: &[u8], names: [&'static str; N]) -> Result<Ids<N>, RejectReason> {
    let mut ids = Ids { names, given: [const { Given::Absent }; N] };
    let mut parser = Deserializer::from_str(utf8(bytes)?);
    parser.deserialize_map(IdVisitor(&mut ids)).and_then(|()| parser.end()).map_err(bad_json)?;
    Ok(ids)
}

/// Ids of a record, each as text.
#[derive(Debug)]
pub(crate) struct Ids<const N: usize> {
    names: [&'static str; N],
    given: [Given; N],
}

#[derive(Debug)]
enum Given {
    Absent,
    Id(String),
    /// A list of so many.
    List(u32),
    /// Something else, in words.
    Other(&'static str),
}

impl<const N: usize> Ids<N> {
    /// The id under `name`, which must be there.
    pub(crate) fn need(&self, name: &str) -> Result<String, RejectReason> {
        self.may(name)?.ok_or_else(|| lacks(name))
    }

    /// The id under `name`, if it is there.
    pub(crate) fn may(&self, name: &str) -> Result<Option<String>, RejectReason> {
        match self.given(name) {
            Some(Given::Id(id)) if id.trim().is_empty() => Err(empty(name)),
            Some(Given::Id(id)) => Ok(Some(id.clone())),
            Some(Given::List(_)) => Err(is_not(name, "a whole number or a string", "a list")),
            Some(Given::Other(kind)) => Err(is_not(name, "a whole number or a string", kind)),
            Some(Given::Absent) | None => Ok(None),
        }
    }

    /// The id under `name` for a message: empty if there is none.
    pub(crate) fn shown(&self, name: &str) -> String {
        match self.given(name) {
            Some(Given::Id(id)) => id.clone(),
            _ => String::new(),
        }
    }

    /// How long the list under `name` is, which must be there.
    pub(crate) fn length(&self, name: &str) -> Result<u32, RejectReason> {
        match self.given(name) {
            Some(Given::List(length)) => Ok(*length),
            Some(Given::Id(_)) => Err(is_not(name, "a list", "a number or a string")),
            Some(Given::Other(kind)) => Err(is_not(name, "a list", kind)),
            Some(Given::Absent) | None => Err(lacks(name)),
        }
    }

    /// Whether there is an object under `name`.
    pub(crate) fn is_object(&self, name: &str) -> bool {
        matches!(self.given(name), Some(Given::Other(AN_OBJECT)))
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.names.iter().position(|known| *known == name).map(|at| &self.given[at])
    }
}

const AN_OBJECT: &str = "an object";

/// The fields of one object, taken one by one.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of the object that `bytes` are.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Fields, RejectReason> {
        serde_json::from_str(utf8(bytes)?).map(Fields).map_err(bad_json)
    }

    /// The fields of `value`, which is said to be `what`.
    pub(crate) fn of(value: Value, what: &str) -> Result<Fields, RejectReason> {
        match value {
            Value::Object(fields) => Ok(Fields(fields)),
            other => Err(is_not(what, AN_OBJECT, kind(&other))),
        }
    }

    /// The value under `name`; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    /// An id that must be there: a whole number or a string, as text.
    pub(crate) fn id(&mut self, name: &str) -> Result<String, RejectReason> {
        self.may_id(name)?.ok_or_else(|| lacks(name))
    }

    /// An id, if it is there.
    pub(crate) fn may_id(&mut self, name: &str) -> Result<Option<String>, RejectReason> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(Value::String(id)) if id.trim().is_empty() => Err(empty(name)),
            Some(Value::String(id)) => Ok(Some(id)),
            Some(other) => Err(is_not(name, "a whole number or a string", kind(&other))),
        }
    }

    /// A string as it stands, if it is there.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, RejectReason> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(string)) => Ok(Some(string)),
            Some(other) => Err(is_not(name, "a string", kind(&other))),
        }
    }

    /// A text that must be there, and not be blank.
    pub(crate) fn text(&mut self, name: &str) -> Result<String, RejectReason> {
        text_of(self.string(name)?.ok_or_else(|| lacks(name))?, name)
    }

    /// A list that must be there.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<Value>, RejectReason> {
        match self.take(name) {
            None => Err(lacks(name)),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(is_not(name, "a list", kind(&other))),
        }
    }

    /// A field that is not to be in the rest.
    pub(crate) fn without(mut self, name: &str) -> Fields {
        self.0.shift_remove(name);
        self
    }

    /// What nobody took: the official fields that have no column.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

/// A text of some kind that has neither answers nor label; `rest` becomes its extra.
pub(crate) fn plain_text(kind: TextKind, id: String, text: String, rest: Map<String, Value>) -> Text {
    Text { id, kind, text, answers: Vec::new(), label: None, extra: canonical_fields(rest) }
}

/// `text` without one end of line behind it; `name` is to blame if it is blank.
pub(crate) fn text_of(mut text: String, name: &str) -> Result<String, RejectReason> {
    if text.trim().is_empty() {
        return Err(empty(name));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// `bytes` as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, RejectReason> {
    from_utf8(bytes).map_err(|error| {
        let message = format!("is not UTF-8 from byte {} of the record on", error.valid_up_to());
        RejectReason::new(Code::BadUtf8, message)
    })
}

/// The parser's words; its line and column count from the beginning of the record.
pub(crate) fn bad_json(error: serde_json::Error) -> RejectReason {
    let message = error.to_string();
    let what = message.split(" at line ").next().unwrap_or_default();
    let place = match error.line() {
        0 | 1 => format!("byte {}", error.column()),
        line => format!("line {line}, byte {}", error.column()),
    };
    RejectReason::new(Code::BadJson, format!("{what} ({place} of the record)"))
}

/// A field that is not what it should be.
pub(crate) fn is_not(name: &str, due: &str, found: &str) -> RejectReason {
    RejectReason::new(Code::BadJson, format!("`{name}` is {found} and should be {due}"))
}

/// A field that is not there.
pub(crate) fn lacks(name: &str) -> RejectReason {
    RejectReason::new(Code::BadJson, format!("has no `{name}`"))
}

/// A field that is blank.
pub(crate) fn empty(name: &str) -> RejectReason {
    RejectReason::new(Code::EmptyField, format!("`{name}` is empty"))
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(number) if number.is_f64() => "a number that is not whole",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => AN_OBJECT,
    }
}

struct IdVisitor<'a, const N: usize>(&'a mut Ids<N>);

impl<'de, const N: usize> Visitor<'de> for IdVisitor<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AN_OBJECT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Ids { names, given } = self.0;
        while let Some(known) = map.next_key_seed(NameSeed(names))? {
            let Some(at) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if !matches!(given[at], Given::Absent) {
                return Err(A::Error::custom(format_args!("has `{}` twice", names[at])));
            }
            given[at] = map.next_value_seed(GivenSeed)?;
        }
        Ok(())
    }
}

/// Which of the names a key is, without keeping the key.
struct NameSeed<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Option<usize>, D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

struct GivenSeed;

impl<'de> DeserializeSeed<'de> for GivenSeed {
    type Value = Given;

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Given, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for GivenSeed {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E>(self, id: u64) -> Result<Given, E> {
        Ok(Given::Id(id.to_string()))
    }

    fn visit_i64<E>(self, id: i64) -> Result<Given, E> {
        Ok(Given::Id(id.to_string()))
    }

    fn visit_str<E>(self, id: &str) -> Result<Given, E> {
        Ok(Given::Id(id.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Given, E> {
        Ok(Given::Other("a number that is not whole"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Given, E> {
        Ok(Given::Other("a truth value"))
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Absent) // null
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
        let mut length = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        Ok(Given::List(length))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Other(AN_OBJECT))
    }
}
