//! A request's fields, from its body or its query, checked against their table before anybody acts on them.

use std::str::FromStr as _;

use serde_json::{Map, Value};

use super::{
    error::{ApiError, Wrong},
    json,
    shape::{Field, Kind},
};
use crate::domain::{id::KeyId, time::Timestamp};

const MOST_FAULTS: usize = 100;

/// Fields that are known, of their kind, and there where they have to be.
#[derive(Debug, Default)]
pub(super) struct Input(Map<String, Value>);

impl Input {
    /// From a body; an empty one has no fields.
    pub(super) fn of_body(bytes: &[u8], fields: &[Field]) -> Result<Self, ApiError> {
        let object =
            if bytes.is_empty() { Map::new() } else { json::object(bytes).map_err(ApiError::Malformed)? };
        Self::checked(object, fields)
    }

    /// From an object.
    pub(super) fn checked(object: Map<String, Value>, fields: &[Field]) -> Result<Self, ApiError> {
        check(&object, fields)?;
        Ok(Self(object))
    }

    /// From an object inside this one, which the check has seen; nothing when it is not there.
    pub(super) fn inner(&self, name: &str) -> Self {
        Self(self.0.get(name).and_then(Value::as_object).cloned().unwrap_or_default())
    }

    /// From a query string, where everything is text.
    pub(super) fn of_query(query: &str, fields: &[&[Field]]) -> Result<Self, ApiError> {
        let fields = fields.concat();
        let mut object = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) = decoded
                .ok_or_else(|| ApiError::Malformed("The query is not valid percent-encoding.".into()))?;
            let kind = fields.iter().find(|field| field.name == name).map(|field| field.kind);
            let value = match kind {
                Some(Kind::Whole | Kind::Between(..)) => {
                    value.parse::<i64>().map_or(Value::String(value), Value::from)
                }
                _ => Value::String(value),
            };
            if object.insert(name.clone(), value).is_some() {
                return Err(Wrong::new(name, "given twice").into());
            }
        }
        Self::checked(object, &fields)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A required text: the check has seen that it is there.
    pub(super) fn sure(&self, name: &str) -> String {
        self.owned(name).unwrap_or_default()
    }

    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.0.get(name)?.as_bool()
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = self.0.get(name)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    /// Whether it was named at all, with a value or with null.
    pub(super) fn names(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text to change: none when it was not named, an inner none when it was named with null.
    #[expect(clippy::option_option, reason = "left out, null and a text are three things")]
    pub(super) fn change(&self, name: &str) -> Option<Option<String>> {
        self.names(name).then(|| self.owned(name))
    }

    /// All of it, in one spelling: fields sorted at every depth, white space gone.
    pub(super) fn canonical(&self) -> String {
        let mut whole = Value::Object(self.0.clone());
        // Without this the order would be the library's choice, which another crate can change for the whole build.
        whole.sort_all_objects();
        whole.to_string()
    }

    /// The same without these fields.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// Every fault at once, so that nobody has to find them one by one; of a great many the first, so that no answer is
/// much longer than what was asked.
fn check(object: &Map<String, Value>, fields: &[Field]) -> Result<(), ApiError> {
    let mut wrong = Vec::new();
    faults("", object, fields, &mut wrong);
    wrong.truncate(MOST_FAULTS);
    if wrong.is_empty() { Ok(()) } else { Err(ApiError::Fields(wrong)) }
}

/// `path` is what leads to the object, with a dot at its end.
fn faults(path: &str, object: &Map<String, Value>, fields: &[Field], wrong: &mut Vec<Wrong>) {
    let mut fault = |name: &str, message: String| wrong.push(Wrong::new(format!("{path}{name}"), message));
    let mut inside = Vec::new();
    for (name, value) in object {
        match fields.iter().find(|field| field.name == name) {
            None => fault(&shown(name), "there is no such field".to_owned()),
            Some(field) if value.is_null() && field.nullable => {}
            Some(Field { kind: Kind::One(shape), name, .. }) if value.is_object() => {
                inside.extend(value.as_object().map(|object| (*name, object, shape.fields)));
            }
            Some(field) if fits(field.kind, value) => {}
            Some(field) => fault(field.name, field.kind.expected()),
        }
    }
    for field in fields.iter().filter(|field| field.required && !object.contains_key(field.name)) {
        fault(field.name, format!("is missing: {}", field.kind.expected()));
    }
    for (name, object, fields) in inside {
        faults(&format!("{path}{name}."), object, fields, wrong);
    }
}

/// What somebody else named is shown as far as it is short and harmless.
fn shown(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(64).collect()
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.as_str().is_some_and(is_text),
        Kind::Id => value.as_str().is_some_and(|text| KeyId::from_str(text).is_ok()),
        Kind::Name(longest) => value
            .as_str()
            .filter(|text| is_text(text))
            .is_some_and(|text| (1..=longest).contains(&text.trim().chars().count())),
        Kind::Whole => value.is_i64(),
        Kind::Between(low, high) => value.as_i64().is_some_and(|number| (low..=high).contains(&number)),
        Kind::Number => value.is_number(),
        Kind::Flag => value.is_boolean(),
        Kind::Time => value.as_str().is_some_and(|text| Timestamp::from_str(text).is_ok()),
        Kind::Texts => {
            value.as_array().is_some_and(|list| list.iter().all(|value| value.as_str().is_some_and(is_text)))
        }
        Kind::Choice(known) => value.as_str().is_some_and(|text| known.contains(&text)),
        Kind::Anything => true,
        // An object is looked into where it is met; no request has lists of them.
        Kind::One(_) | Kind::Many(_) => false,
    }
}

/// Not every store keeps the character with the number zero, and one that looks for it may stop there.
fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

/// `application/x-www-form-urlencoded`, strictly: what is not UTF-8 or half an escape is refused.
pub(in crate::control) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::shape::{Shape, field};

    const FIELDS: &[Field] = &[
        field("name", Kind::Text, "").required(),
        field("note", Kind::Text, "").or_null(),
        field("limit", Kind::Whole, ""),
        field("scopes", Kind::Texts, ""),
        field("until", Kind::Time, ""),
        field("inner", Kind::One(&INNER), ""),
    ];

    const INNER: Shape = Shape { name: "Inner", fields: &[field("sure", Kind::Flag, "").required()] };

    fn faults(body: &str) -> Vec<String> {
        match Input::of_body(body.as_bytes(), FIELDS) {
            Err(ApiError::Fields(wrong)) => wrong.into_iter().map(|wrong| wrong.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(faults("{\"limit\": 1.5, \"scopes\": null, \"x\": 1}"), ["limit", "scopes", "x", "name"]);
        assert_eq!(faults("{\"name\": null}"), ["name"]);
        assert_eq!(faults("{\"name\": \"a\", \"scopes\": [1], \"until\": \"soon\"}"), ["scopes", "until"]);
        assert_eq!(faults(""), ["name"]);
        let inner = |body: &str| faults(&format!("{{\"name\": \"a\", \"inner\": {body}}}"));
        assert_eq!(inner("{\"sure\": 1, \"x\": {}}"), ["inner.sure", "inner.x"]);
        assert_eq!(inner("{}"), ["inner.sure"]);
        assert_eq!(inner("[]"), ["inner"]);
    }

    #[test]
    fn a_great_many_faults_are_not_all_repeated() {
        let fields: Vec<String> = (0..10_000).map(|number| format!("\"f{number}\":1")).collect();
        assert_eq!(faults(&format!("{{{}}}", fields.join(","))).len(), MOST_FAULTS);
    }

    #[test]
    fn null_takes_away_and_absence_leaves() {
        let input = Input::of_body(b"{\"name\":\"a\",\"note\":null}", FIELDS).unwrap();
        assert_eq!(input.change("note"), Some(None));
        assert_eq!(input.change("limit"), None);
    }

    #[test]
    fn queries_have_one_reading() {
        let input = Input::of_query("name=a%20b+c&limit=5", &[FIELDS]).unwrap();
        assert_eq!((input.text("name"), input.whole("limit")), (Some("a b c"), Some(5)));
        for wrong in [
            "name=%zz",
            "name=%f",
            "name=%ff",
            "name=a&name=b",
            "name=a&sort=x",
            "name=a&limit=x",
            "name=%00",
        ] {
            assert!(Input::of_query(wrong, &[FIELDS]).is_err(), "{wrong}");
        }
    }
}
