//! Takes the credential out of a request (R000_15, R000_16, R002_08, R001_11).
//!
//! `X-API-Key` comes first, then `Authorization: Bearer`, then, where the profile says so, a bare `Authorization`
//! beside the key's id; the session cookie counts only where none of them is there. The query string is never looked
//! at. What is not ours - Basic, a token beside `X-API-Key` whose
//! issuer we do not know, other cookies - stays for the upstream.

use std::cell::LazyCell;

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{cookie, directory::Rules, fields::Fields, signature};
use crate::domain::{
    jwt::Compact,
    profile::{Carrier, KeyRules},
    session::SessionToken,
};

/// The header that carries a key and nothing else.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The header that names the key beside a bare `Authorization` (R001_11).
pub const X_XDR_AUTH_ID: HeaderName = HeaderName::from_static("x-xdr-auth-id");

/// What a credential claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An API key.
    Key,
    /// A session of a person.
    Session,
    /// A token of an identity provider.
    Token,
}

/// A credential as it was sent. Never prints.
#[derive(Clone)]
pub struct Credential {
    /// What it claims to be.
    pub kind: Kind,
    /// Whether it came in the cookie, which browsers send without being asked.
    pub by_cookie: bool,
    value: HeaderValue,
    start: usize,
    end: usize,
}

impl Credential {
    /// The credential itself. Empty when the header held what no credential can.
    pub fn text(&self) -> &str {
        self.value.to_str().ok().and_then(|text| text.get(self.start..self.end)).unwrap_or_default()
    }

    /// Whether it begins like one of our keys, also where what follows is no text.
    fn claims(&self, rules: &KeyRules) -> bool {
        let sent = self.value.as_bytes().get(self.start..self.end).unwrap_or_default();
        sent.starts_with(rules.shape.literal().as_bytes())
    }

    fn whole(value: &HeaderValue) -> Self {
        Self::from(value, 0)
    }

    /// Only what is explicitly a bearer's can be a session's: `X-API-Key` carries keys.
    fn of_bearer(value: &HeaderValue, start: usize, issuers: &[Box<str>]) -> Self {
        let token = Self::from(value, start);
        let sent = token.value.as_bytes().get(token.start..token.end);
        let kind = if sent.is_some_and(SessionToken::claims) {
            Kind::Session
        } else if !issuers.is_empty() && is_of(issuers, token.text()) {
            Kind::Token
        } else {
            Kind::Key
        };
        Self { kind, ..token }
    }

    /// The token in the session cookie; none can be meant, and so none is there, where it came with several values.
    fn of_cookie(found: cookie::Found) -> Self {
        let (value, start, end) = match found {
            cookie::Found::One { value, start, end } => (value, start, end),
            cookie::Found::Several => (HeaderValue::from_static(""), 0, 0),
        };
        Self { kind: Kind::Session, by_cookie: true, value, start, end }
    }

    /// White space around it is tolerated (R002_08), inside it is not: the shape will refuse it.
    fn from(value: &HeaderValue, start: usize) -> Self {
        let bytes = value.as_bytes();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = start + bytes[start..].iter().take_while(|byte| blank(byte)).count();
        let end = bytes.len() - bytes[start..].iter().rev().take_while(|byte| blank(byte)).count();
        Self { kind: Kind::Key, by_cookie: false, value: value.clone(), start, end }
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Two credentials in one request: which one is meant is not for us to guess (RFC 6750 section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// Finds the credential and, unless `keep`, removes it.
pub fn take(fields: &mut Fields, rules: &Rules, keep: bool) -> Result<Option<Credential>, Conflict> {
    let explicit = take_explicit(fields, rules, keep)?;
    let name = rules.sessions.cookie();
    let Some(found) = cookie::find(fields, name) else { return Ok(explicit) };
    if !keep {
        cookie::remove(fields, name);
    }
    Ok(explicit.or_else(|| Some(Credential::of_cookie(found))))
}

fn take_explicit(fields: &mut Fields, rules: &Rules, keep: bool) -> Result<Option<Credential>, Conflict> {
    let carried = rules.profile.keys.carried_by(Carrier::ApiKeyHeader);
    let key = if carried { only(fields, &X_API_KEY)? } else { None };
    let key = key.map(Credential::whole);
    let authorization = authorization(fields, rules, key.is_some())?;
    if let (Some(key), Some((other, _))) = (&key, &authorization)
        && key.text() != other.text()
    {
        return Err(Conflict);
    }
    if !keep {
        if key.is_some() {
            fields.remove(&X_API_KEY);
        }
        if authorization.is_some() {
            fields.remove(&AUTHORIZATION);
        }
        if let Some((_, Carrier::Bare)) = authorization {
            fields.remove(&X_XDR_AUTH_ID);
        }
    }
    Ok(key.or_else(|| authorization.map(|(credential, _)| credential)))
}

/// On a route that asks for no credential, one of ours is removed all the same: the upstream has no use for it.
pub fn discard(fields: &mut Fields, rules: &Rules) {
    cookie::remove(fields, rules.sessions.cookie());
    let (issuers, rules) = (&rules.issuers, &rules.profile.keys);
    signature::discard_hash(fields, rules);
    if fields.get_all(&X_API_KEY).map(Credential::whole).any(|key| key.claims(rules)) {
        fields.remove(&X_API_KEY);
    }
    let is_ours = |token: Credential| token.kind != Kind::Key || token.claims(rules);
    if fields.get_all(&AUTHORIZATION).filter_map(|value| bearer(value, issuers)).any(is_ours) {
        fields.remove(&AUTHORIZATION);
    }
}

/// What in `Authorization` is ours. Beside an `X-API-Key`, a bearer token is ours only if it looks like one of
/// our keys or sessions, or like a token of an issuer that we know.
fn authorization(
    fields: &Fields,
    rules: &Rules,
    beside_key: bool,
) -> Result<Option<(Credential, Carrier)>, Conflict> {
    let (issuers, rules) = (&rules.issuers, &rules.profile.keys);
    let mut found: Option<(Credential, Carrier)> = None;
    // Looked for once, however many lines there are: nobody looks at every pair.
    let id = LazyCell::new(|| only(fields, &X_XDR_AUTH_ID));
    let may_be_hashed = LazyCell::new(|| signature::has_parts(fields));
    for value in fields.get_all(&AUTHORIZATION) {
        let ours = match bearer(value, issuers) {
            Some(token) if token.kind != Kind::Key => Some((token, Carrier::Bearer)),
            Some(token) if rules.carried_by(Carrier::Bearer) && (!beside_key || token.claims(rules)) => {
                Some((token, Carrier::Bearer))
            }
            None if rules.carried_by(Carrier::Bare)
                && *id != Ok(None)
                && !(*may_be_hashed && signature::is_hash(value, rules)) =>
            {
                let bare = Credential::whole(value);
                let named = (*id)?.map(Credential::whole);
                // The id must be the key's own: a key sent under another's id is nobody's.
                let fits = named.is_some_and(|id| names(rules, id.text(), bare.text()));
                Some((if fits { bare } else { Credential { end: 0, start: 0, ..bare } }, Carrier::Bare))
            }
            _ => None,
        };
        match (&found, ours) {
            (Some((first, _)), Some((second, _))) if first.text() != second.text() => return Err(Conflict),
            (_, Some(ours)) => found = Some(ours),
            (_, None) => {}
        }
    }
    Ok(found)
}

fn names(rules: &KeyRules, id: &str, key: &str) -> bool {
    rules.shape.parse(key).is_ok_and(|presented| presented.public == id)
}

/// The token after the scheme, whose case does not matter (RFC 9110 section 11.1).
fn bearer(value: &HeaderValue, issuers: &[Box<str>]) -> Option<Credential> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME.len())?;
    let separated = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(SCHEME) && separated)
        .then(|| Credential::of_bearer(value, SCHEME.len(), issuers))
}

/// Whether a token says that it is of one of these; nothing is proved by it.
fn is_of(issuers: &[Box<str>], token: &str) -> bool {
    Compact::claimed_issuer(token).is_some_and(|claimed| issuers.iter().any(|issuer| **issuer == *claimed))
}

/// The one value of a header; the same value twice is one, two values are a conflict.
pub(super) fn only<'a>(fields: &'a Fields, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Conflict> {
    let mut values = fields.get_all(name);
    let first = values.next();
    if values.all(|value| Some(value) == first) { Ok(first) } else { Err(Conflict) }
}
