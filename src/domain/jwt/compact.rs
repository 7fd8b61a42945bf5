//! The text of a token: `header.payload.signature`, each base64url without padding, the first two JSON objects.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

/// In characters. Tokens that carry groups have two thousand.
pub const LONGEST: usize = 8 * 1024;

/// A token that could be read; nothing in it is believed yet. Never prints.
pub struct Compact<'a> {
    /// What is signed.
    pub(super) message: &'a str,
    /// Base64url.
    pub(super) signature: &'a str,
    pub(super) header: Object,
    pub(super) payload: Object,
}

/// A JSON object in which no name occurs twice: which of two values is meant, parsers disagree.
#[derive(Default)]
pub(super) struct Object(BTreeMap<String, Value>);

impl<'a> Compact<'a> {
    /// Reads a token; `None` when it is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') || signature.is_empty() {
            return None;
        }
        Some(Self { message, signature, header: Object::decode(header)?, payload: Object::decode(payload)? })
    }

    /// Who claims to have made what may be a token: a look at the least of it, before it is known whether it is ours.
    pub fn claimed_issuer(text: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Claimed {
            iss: String,
        }
        let (_, rest) = text.split_once('.').filter(|_| text.len() <= LONGEST)?;
        let (payload, signature) = rest.split_once('.')?;
        if signature.contains('.') {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&payload).ok().map(|Claimed { iss }| iss)
    }

    /// Who claims to have made it.
    pub fn issuer(&self) -> Option<&str> {
        self.payload.text("iss")
    }

    /// The name of the key that it claims to be signed with.
    pub fn key_id(&self) -> Option<&str> {
        self.header.text("kid")
    }
}

impl fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compact(..)")
    }
}

impl Object {
    /// Padding, white space, other alphabets and bits that mean nothing are refused: one token has one text.
    fn decode(part: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
                let mut object = BTreeMap::new();
                while let Some((name, value)) = members.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name twice"));
                    }
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
