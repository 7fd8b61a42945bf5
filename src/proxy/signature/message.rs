//! HTTP message signatures (RFC 9421): one of a request's signatures that names a key of this platform.

use http::{HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, FieldType as _, InnerList, Key, ListEntry, Parser};

use super::{
    Claim, Form, Found, Sent, base,
    digest::{CONTENT_DIGEST, Digests},
    is_nonce,
};
use crate::{
    domain::{key::signing::Verifier, profile::KeyRules, time::Timestamp},
    proxy::fields::Fields,
};

pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("signature");
pub(super) const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// Bytes of either header that are read, and components that one signature may cover.
const LONGEST: usize = 8 * 1024;
const MOST_COMPONENTS: usize = 64;

/// A signature and what it is said to be over.
#[derive(Debug)]
pub(super) struct Message {
    label: Key,
    algorithm: Option<Box<str>>,
    base: Vec<u8>,
    signature: Vec<u8>,
}

impl Message {
    /// What the request says of the algorithm has to fit the key, and decides nothing: a public key is never taken
    /// for a secret because a request says so.
    pub(super) fn is_made_by(&self, verifier: &Verifier) -> bool {
        let fits = self.algorithm.as_deref().is_none_or(|said| said == verifier.algorithm().as_str());
        fits && verifier.verify(&self.base, &self.signature)
    }

    pub(super) fn remove(&self, fields: &mut Fields) {
        fields.retain(|name, line| {
            let may_have_it = *name == SIGNATURE_INPUT || *name == SIGNATURE;
            !may_have_it || without(line, &self.label).map(|rest| *line = rest).is_some()
        });
    }
}

/// A line without this label; none when there was nothing else on it. What cannot be read is nobody's, and stays.
fn without(line: &HeaderValue, label: &Key) -> Option<HeaderValue> {
    let Some(mut members) = dictionary(line) else { return Some(line.clone()) };
    if members.shift_remove(label).is_none() {
        return Some(line.clone());
    }
    HeaderValue::try_from(members.serialize()?).ok()
}

/// Finds the one signature that names a key of this platform, whatever else has signed the request.
pub(super) fn find(sent: &Sent<'_>, rules: &KeyRules) -> Found {
    let length = |name| sent.fields.get_all(&name).map(HeaderValue::len).sum::<usize>();
    if length(SIGNATURE_INPUT) + length(SIGNATURE) > LONGEST {
        return Found::Flawed { keyid: None };
    }
    let mut ours: Option<(Key, InnerList, Box<str>)> = None;
    let mut readable = true;
    for line in sent.fields.get_all(&SIGNATURE_INPUT) {
        let Some(members) = dictionary(line) else {
            readable = false;
            continue;
        };
        for (label, member) in members {
            let ListEntry::InnerList(covered) = member else { continue };
            let keyid = text(&covered, "keyid").filter(|keyid| rules.shape.accepts_public(keyid));
            let Some(keyid) = keyid.map(Box::from) else { continue };
            if ours.replace((label, covered, keyid)).is_some() {
                return Found::Several;
            }
        }
    }
    match ours {
        None if readable => Found::Foreign,
        None => Found::Flawed { keyid: None },
        Some((label, covered, keyid)) => match claim(sent, label, &covered, keyid.clone()) {
            Some(claim) => Found::Claim(Box::new(claim)),
            None => Found::Flawed { keyid: Some(keyid) },
        },
    }
}

fn claim(sent: &Sent<'_>, label: Key, covered: &InnerList, keyid: Box<str>) -> Option<Claim> {
    if covered.items.len() > MOST_COMPONENTS || !covers_enough(sent, covered) {
        return None;
    }
    let covers_body = base::covers(covered, CONTENT_DIGEST.as_str());
    let digests = if covers_body { Some(Digests::read(sent.fields)?) } else { None };
    let created = seconds(covered.params.get("created")?)?;
    let expires = match covered.params.get("expires") {
        None => None,
        Some(end) => Some(seconds(end)?),
    };
    let nonce = text(covered, "nonce").filter(|nonce| is_nonce(nonce))?.into();
    let algorithm = match covered.params.get("alg") {
        None => None,
        Some(said) => Some(said.as_string()?.as_str().into()),
    };
    let signature = signature(sent.fields, &label)?;
    let base = base::build(sent, covered)?;
    let form = Form::Message(Message { label, algorithm, base, signature });
    Some(Claim { keyid, created, expires, nonce, digests, form })
}

/// Method, path, query and body have to be what the signer meant.
fn covers_enough(sent: &Sent<'_>, covered: &InnerList) -> bool {
    base::covers(covered, "@method")
        && base::covers(covered, "@path")
        && (sent.target.query().is_none() || base::covers(covered, "@query"))
        && (!sent.has_body || base::covers(covered, CONTENT_DIGEST.as_str()))
}

/// The signature of this label, which has to be there once.
fn signature(fields: &Fields, label: &Key) -> Option<Vec<u8>> {
    let mut found = None;
    for line in fields.get_all(&SIGNATURE) {
        let Some(member) = dictionary(line)?.shift_remove(label) else { continue };
        let ListEntry::Item(item) = member else { return None };
        if found.replace(item.bare_item.as_byte_sequence()?.to_vec()).is_some() {
            return None;
        }
    }
    found
}

fn dictionary(line: &HeaderValue) -> Option<Dictionary> {
    Parser::new(line.as_bytes()).parse().ok()
}

fn text<'c>(covered: &'c InnerList, parameter: &str) -> Option<&'c str> {
    Some(covered.params.get(parameter)?.as_string()?.as_str())
}

/// A time in seconds since 1970.
fn seconds(time: &BareItem) -> Option<Timestamp> {
    i64::from(time.as_integer()?).checked_mul(1_000_000).map(Timestamp::from_micros)
}
