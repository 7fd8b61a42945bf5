//! The signature base (RFC 9421 section 2.5): the text that is signed, made again from the request as it was sent.
//!
//! Components whose value this gateway cannot tell for certain are refused rather than guessed: of responses, of
//! trailers, of another request, single query parameters, and fields in a structure that only their own
//! specification tells.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderName;
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Item, List, ListEntry, Parser, StringRef};

use super::Sent;
use crate::proxy::fields::Fields;

/// Whether a signature covers this component, all of it and as it is.
pub(super) fn covers(covered: &InnerList, name: &str) -> bool {
    covered.items.iter().any(|item| item.params.is_empty() && name_of(item) == Some(name))
}

/// The text that a signature over these components is over; none when one of them is missing, stands there twice, or
/// is of a kind that is not supported.
pub(super) fn build(sent: &Sent<'_>, covered: &InnerList) -> Option<Vec<u8>> {
    let mut base = Vec::with_capacity(512);
    let mut seen: Vec<String> = Vec::with_capacity(covered.items.len());
    let mut left = MOST_READ;
    for item in &covered.items {
        let identifier = item.serialize();
        if seen.contains(&identifier) {
            return None;
        }
        let value = value(sent, item, &mut left)?;
        base.extend_from_slice(identifier.as_bytes());
        base.extend_from_slice(b": ");
        base.extend_from_slice(&value);
        base.push(b'\n');
        seen.push(identifier);
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(alone(ListEntry::InnerList(covered.clone()))?.as_bytes());
    Some(base)
}

fn name_of(item: &Item) -> Option<&str> {
    item.bare_item.as_string().map(StringRef::as_str)
}

fn value<'s>(sent: &'s Sent<'_>, item: &Item, left: &mut usize) -> Option<Cow<'s, [u8]>> {
    let name = name_of(item)?;
    if !name.starts_with('@') {
        return field(sent.fields, name, item, left);
    }
    if !item.params.is_empty() {
        return None;
    }
    derived(sent, name).map(|value| match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// RFC 9421 section 2.2.
fn derived<'s>(sent: &'s Sent<'_>, name: &str) -> Option<Cow<'s, str>> {
    let scheme = if sent.secure { "https" } else { "http" };
    match name {
        "@method" => Some(sent.method.as_str().into()),
        "@scheme" => Some(scheme.into()),
        "@authority" => authority(sent, scheme).map(Cow::Owned),
        "@path" => Some(sent.target.path().into()),
        "@query" => Some(query(sent).into()),
        "@target-uri" => {
            let query = if sent.target.query().is_some() { query(sent) } else { String::new() };
            Some(format!("{scheme}://{}{}{query}", authority(sent, scheme)?, sent.target.path()).into())
        }
        "@request-target" => Some(sent.target.to_string().into()),
        _ => None,
    }
}

/// In lower case, and without the port that the scheme implies (RFC 9110 section 4.2.3).
fn authority(sent: &Sent<'_>, scheme: &str) -> Option<String> {
    let text = sent.authority?.to_ascii_lowercase();
    let implied = if scheme == "https" { ":443" } else { ":80" };
    let name = text.strip_suffix(implied).or_else(|| text.strip_suffix(':')).unwrap_or(&text);
    Some(name.to_owned())
}

fn query(sent: &Sent<'_>) -> String {
    format!("?{}", sent.target.query().unwrap_or_default())
}

/// RFC 9421 section 2.1, and the parameters of 2.1.1 to 2.1.3. `left` is how much may still be read as a dictionary.
fn field<'f>(fields: &'f Fields, name: &str, item: &Item, left: &mut usize) -> Option<Cow<'f, [u8]>> {
    // Names are compared as they are written in the list, which is in lower case.
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let known = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let lines = fields.iter().filter(|(name, _)| **name == known);
    let mut lines = lines.map(|(_, line)| line.as_bytes().trim_ascii());
    let first = lines.next()?;
    let mut parameters = item.params.iter().map(|(key, value)| (key.as_str(), value));
    let value = match (parameters.next(), parameters.next()) {
        (None, _) => {
            let mut all = Cow::Borrowed(first);
            for line in lines {
                all.to_mut().extend_from_slice(b", ");
                all.to_mut().extend_from_slice(line);
            }
            return Some(all);
        }
        (Some(("bs", BareItem::Boolean(true))), None) => {
            let encoded =
                std::iter::once(first).chain(lines).map(|line| format!(":{}:", STANDARD.encode(line)));
            encoded.collect::<Vec<_>>().join(", ")
        }
        (Some(("sf", BareItem::Boolean(true))), None) if DICTIONARIES.contains(&name) => {
            dictionary(std::iter::once(first).chain(lines), left)?.serialize()?
        }
        (Some(("key", BareItem::String(key))), None) => {
            let mut members = dictionary(std::iter::once(first).chain(lines), left)?;
            alone(members.shift_remove(key.as_str())?)?
        }
        _ => return None,
    };
    Some(Cow::Owned(value.into_bytes()))
}

fn dictionary<'h>(lines: impl Iterator<Item = &'h [u8]>, left: &mut usize) -> Option<Dictionary> {
    let joined = lines.collect::<Vec<_>>().join(b", ".as_slice());
    *left = left.checked_sub(joined.len())?;
    Parser::new(&joined).parse().ok()
}

/// A member of a list or a dictionary as it is written by itself.
fn alone(member: ListEntry) -> Option<String> {
    List::from([member]).serialize()
}

/// Bytes that are read as dictionaries for one signature, one for each member that it covers: nobody has proved anything yet.
const MOST_READ: usize = 32 << 10;

/// Fields that are dictionaries, as their specifications say.
const DICTIONARIES: [&str; 6] =
    ["content-digest", "priority", "repr-digest", "signature", "signature-input", "want-content-digest"];
