//! The form that existing clients of one platform send: a hash over key, nonce and time (R001_11).
//!
//! `Authorization: hex(SHA-256(key + nonce + timestamp))` beside `x-xdr-auth-id`, `x-xdr-nonce` and
//! `x-xdr-timestamp`. It proves the key and when it was used, and nothing of what the request asks: whoever can
//! change requests on the way can change this one. It is accepted where the profile knows such clients, because they
//! cannot do otherwise.

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{Claim, Form, Found, is_nonce};
use crate::{
    domain::{
        key::signing::Verifier,
        profile::{Carrier, KeyRules},
        time::Timestamp,
    },
    proxy::{credential::X_XDR_AUTH_ID, fields::Fields},
    runtime::said::Said as _,
};

const X_XDR_NONCE: HeaderName = HeaderName::from_static("x-xdr-nonce");
const X_XDR_TIMESTAMP: HeaderName = HeaderName::from_static("x-xdr-timestamp");

/// A hash over a key and these.
#[derive(Debug)]
pub(super) struct Hashed {
    nonce_and_timestamp: Box<str>,
    digest: [u8; 32],
}

impl Hashed {
    pub(super) fn is_made_by(&self, verifier: &Verifier) -> bool {
        match verifier {
            Verifier::Secret(secret) => secret.proves(&self.nonce_and_timestamp, &self.digest),
            Verifier::Public(_) => false,
        }
    }
}

/// Whether the request is signed in this form, well or not.
pub(super) fn is_here(fields: &Fields, rules: &KeyRules) -> bool {
    rules.carried_by(Carrier::Bare)
        && has_parts(fields)
        && fields.get_all(&AUTHORIZATION).any(|value| is_hash(value, rules))
}

/// Whether there is what a hash in `Authorization` comes with.
pub fn has_parts(fields: &Fields) -> bool {
    fields.contains(&X_XDR_AUTH_ID) && (fields.contains(&X_XDR_NONCE) || fields.contains(&X_XDR_TIMESTAMP))
}

/// Whether this value of `Authorization` is a hash, where there is what comes with one, and no key.
pub fn is_hash(value: &HeaderValue, rules: &KeyRules) -> bool {
    let bytes = value.as_bytes();
    !bytes.contains(&b' ') && !bytes.starts_with(rules.shape.literal().as_bytes())
}

pub(super) fn find(fields: &Fields, rules: &KeyRules) -> Found {
    let Some(keyid) = only(fields, &X_XDR_AUTH_ID) else { return Found::Flawed { keyid: None } };
    if !rules.shape.accepts_public(keyid) {
        return Found::Foreign;
    }
    match claim(fields, keyid) {
        Some(claim) => Found::Claim(Box::new(claim)),
        None => Found::Flawed { keyid: Some(keyid.into()) },
    }
}

fn claim(fields: &Fields, keyid: &str) -> Option<Claim> {
    let digest = unhex(only(fields, &AUTHORIZATION)?)?;
    let nonce = only(fields, &X_XDR_NONCE).filter(|nonce| is_nonce(nonce))?;
    let timestamp = only(fields, &X_XDR_TIMESTAMP)?;
    Some(Claim {
        keyid: keyid.into(),
        created: millis(timestamp)?,
        expires: None,
        nonce: nonce.into(),
        digests: None,
        form: Form::Hashed(Hashed { nonce_and_timestamp: format!("{nonce}{timestamp}").into(), digest }),
    })
}

/// On a route that asks for no credential, a hash goes all the same: it is over nothing but the time, so whoever has it
/// could use it elsewhere.
pub fn discard(fields: &mut Fields, rules: &KeyRules) {
    if is_here(fields, rules) {
        remove(fields);
    }
}

pub(super) fn remove(fields: &mut Fields) {
    let names = [AUTHORIZATION, X_XDR_AUTH_ID, X_XDR_NONCE, X_XDR_TIMESTAMP];
    fields.retain(|name, _| !names.contains(name));
}

/// The one value of a header.
fn only<'f>(fields: &'f Fields, name: &HeaderName) -> Option<&'f str> {
    fields.single(name)?.to_str().ok().map(str::trim)
}

/// Milliseconds since 1970 in their one spelling. Nonce and timestamp are hashed without anything between them: with a
/// zero allowed in front, the end of a nonce could be given to the timestamp, and a used request would have a new
/// nonce.
fn millis(text: &str) -> Option<Timestamp> {
    let canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let millis: i64 = text.parse().ok().filter(|_| canonical)?;
    millis.checked_mul(1000).map(Timestamp::from_micros)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != bytes.len() * 2 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}
