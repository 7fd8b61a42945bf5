//! JSON as strangers send it: an object whose names are each there once, or nothing.
//!
//! Two parsers that read a doubled name differently would see two requests in one; so it is refused. Depth is
//! `serde_json`'s to bound (128), numbers beyond a double and halves of surrogates are its to refuse.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The object in these bytes, or what is wrong with them; never a word of what they hold.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let strict: Strict = serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.is_data() && error.to_string().starts_with(TWICE) {
            format!("The body names a field twice, at {place}.")
        } else {
            format!("The body is not JSON as RFC 8259 has it, at {place}.")
        }
    })?;
    match strict.0 {
        Value::Object(object) => Ok(object),
        _ => Err("The body is JSON, but not an object.".to_owned()),
    }
}

const TWICE: &str = "a name twice";

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_is_refused_and_not_repeated() {
        let deep = "[".repeat(100_000);
        let nested = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for wrong in [
            "",
            "[]",
            "null",
            "\u{feff}{}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":{\"b\":1,\"b\":1}}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1}x",
            "{'a':1}",
            "{\"a\":NaN}",
            "{\"a\":01}",
            &deep,
            &nested,
        ] {
            assert!(object(wrong.as_bytes()).is_err(), "{}", &wrong[..wrong.len().min(40)]);
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err());
        assert!(!object(b"{\"osk_secret\": tru}").unwrap_err().contains("osk_secret"));
        assert_eq!(object(b" {\"a\": [1, {\"b\": null}]} ").unwrap()["a"][1]["b"], Value::Null);
    }
}
