//! Signed requests as they are sent: which signature is by a key of ours, and what exactly it is over (R001_05).
//!
//! Two forms: HTTP message signatures (RFC 9421, `message`), and a hash that existing clients of one platform send
//! (`hashed`). Both become a [`Claim`]. Nothing is proved here and nobody's key is looked up: that is
//! `authenticate/signed.rs`. What is signed is what the client sent, so this reads the request before anything in it
//! is normalized, edited or removed.

mod base;
mod digest;
mod hashed;
mod message;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{Method, Uri};

pub use self::hashed::{discard as discard_hash, has_parts, is_hash};
use self::{digest::Digests, hashed::Hashed, message::Message};
use super::{credential::Credential, fields::Fields};
use crate::{
    domain::{key::signing::Verifier, key::token::Digest, profile::KeyRules, time::Timestamp},
    runtime::{client_ip::X_FORWARDED_PROTO, said::Said as _},
};

/// A signature counts this long before and after the time that it names.
pub const WINDOW: Duration = Duration::from_secs(300);
/// A nonce is remembered this much longer than it has to be: a clock may be set back a little.
const LONGER: Duration = Duration::from_secs(300);
const LONGEST_NONCE: usize = 256;

/// A request as its sender may have signed it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target, byte for byte.
    pub target: &'a Uri,
    /// Its headers, all of them.
    pub fields: &'a Fields,
    /// Whom it is for, with the port if it named one.
    pub authority: Option<&'a str>,
    /// Whether it came by TLS, to us or to a trusted proxy before us.
    pub secure: bool,
    /// Whether it has a body, as far as its head tells.
    pub has_body: bool,
}

/// What a request's headers say of signatures.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// There are some, and none names a key of this platform.
    Foreign,
    /// One names a key of this platform.
    Claim(Box<Claim>),
    /// One does, or seems to, and cannot be a signature that counts.
    Flawed {
        /// The key that it names, if it can be told.
        keyid: Option<Box<str>>,
    },
    /// More than one does: which is meant is not for us to guess.
    Several,
}

/// A signature that says whose it is. Nothing is proved yet.
#[derive(Debug)]
pub struct Claim {
    /// The public characters of the key that it is said to be by.
    pub keyid: Box<str>,
    /// When it was made, by the clock of whoever made it.
    created: Timestamp,
    /// From then on its maker wants it refused.
    expires: Option<Timestamp>,
    nonce: Box<str>,
    /// What the body has to be; none: no body is covered.
    digests: Option<Digests>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Message(Message),
    Hashed(Hashed),
}

/// Looks for a signature. On a request without one this is a look at one or two names, and nothing more.
pub fn find<'a>(fields: &Fields, rules: &KeyRules, sent: impl FnOnce() -> Sent<'a>) -> Found {
    if hashed::is_here(fields, rules) {
        hashed::find(fields, rules)
    } else if fields.contains(&message::SIGNATURE_INPUT) {
        message::find(&sent(), rules)
    } else {
        Found::Nothing
    }
}

/// Two credentials in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

impl Found {
    /// What a request is to be judged by that may have another credential beside its signature: this, or nothing of it.
    ///
    /// A signature and another credential of ours are two callers in one request. A cookie is no such: browsers send it
    /// without being asked. Signatures by others beside a credential of ours are for the upstream.
    pub fn beside(self, other: Option<&Credential>) -> Result<Option<Self>, Conflict> {
        let explicit = other.is_some_and(|credential| !credential.by_cookie);
        match self {
            Self::Nothing => Ok(None),
            Self::Foreign | Self::Flawed { keyid: None } if other.is_some() => Ok(None),
            Self::Several => Err(Conflict),
            Self::Claim(_) | Self::Flawed { .. } if explicit => Err(Conflict),
            found => Ok(Some(found)),
        }
    }

    /// The signature, if it can count.
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Claim(claim) => Some(claim),
            _ => None,
        }
    }
}

impl Claim {
    /// Whether it counts at this moment.
    pub fn is_timely(&self, now: Timestamp) -> bool {
        let early = self.created.since(now) > WINDOW;
        let late = now.since(self.created) > WINDOW;
        !early && !late && self.expires.is_none_or(|end| now < end)
    }

    /// Whether the holder of this key made it.
    pub fn is_made_by(&self, verifier: &Verifier) -> bool {
        match &self.form {
            Form::Message(message) => message.is_made_by(verifier),
            Form::Hashed(hashed) => hashed.is_made_by(verifier),
        }
    }

    /// Whether the body has to be seen, all of it, before anything is forwarded.
    pub const fn covers_body(&self) -> bool {
        self.digests.is_some()
    }

    /// Whether it is over this body.
    pub fn is_over(&self, body: &[u8]) -> bool {
        self.digests.as_ref().is_none_or(|digests| digests.fit(body))
    }

    /// What makes the request unlike every other one of its key.
    pub fn nonce(&self) -> Digest {
        Digest::of(&self.nonce)
    }

    /// Until when its nonce has to be known.
    pub fn remembered_until(&self) -> Timestamp {
        self.created.after(WINDOW + LONGER)
    }

    /// Takes it out of the request: it was for the gateway. Other signatures stay.
    pub fn remove(&self, fields: &mut Fields) {
        match &self.form {
            Form::Message(message) => message.remove(fields),
            Form::Hashed(_) => hashed::remove(fields),
        }
    }
}

/// Whether the client came by TLS: `here` says so of the connection that ends here, and of its own side a trusted proxy
/// what it says outweighs that.
pub fn came_by_tls(fields: &Fields, here: bool, proxy_is_trusted: bool) -> bool {
    match fields.single(&X_FORWARDED_PROTO) {
        Some(scheme) if proxy_is_trusted && (scheme == "https" || scheme == "http") => scheme == "https",
        _ => here,
    }
}

/// A nonce that can tell requests apart.
fn is_nonce(text: &str) -> bool {
    (1..=LONGEST_NONCE).contains(&text.len())
}
