//! What a token says, believed only when an issuer's key signed it and it is meant for us, now.

use std::time::Duration;

use serde_json::Value;

use super::{Compact, KeySet, compact::Object};
use crate::domain::time::Timestamp;

/// How far clocks may differ: an end is this much later, a beginning this much earlier.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Whose tokens are believed, and for whom they must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who made it, character by character.
    pub issuer: &'a str,
    /// For whom.
    pub audience: &'a str,
}

/// What a bearer token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whose it is.
    pub email: String,
    /// From this moment on it is refused; the leeway is in it.
    pub ends_at: Timestamp,
    /// Its own name, if it has one.
    pub id: Option<String>,
}

/// What an identity token proves: who has just signed in at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// How the provider calls them.
    subject: String,
    /// None: the token says nothing about it, and the provider has to be asked.
    email: Option<String>,
}

/// What a token is for. One kind is never taken for the other where the token itself tells them apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bearer,
    Identity,
}

/// Why a token is not believed. Only `Expired` is told to whoever sent it: it is said of proved tokens alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A type or a critical header that is not ours to understand.
    #[error("it is no token of this kind")]
    Kind,
    /// No key of the issuer signed it.
    #[error("no key of the issuer has signed it")]
    Signature,
    /// Another issuer's.
    #[error("its issuer is another")]
    Issuer,
    /// For somebody else.
    #[error("it is not for this audience")]
    Audience,
    /// `exp`, `nbf` or `iat` is missing or no time.
    #[error("its times are none")]
    Times,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    Early,
    /// Made for another sign-in.
    #[error("its nonce is another")]
    Nonce,
    /// Said of somebody else.
    #[error("it is about somebody else")]
    Subject,
    /// No e-mail address, or one that the provider has not verified.
    #[error("it holds no verified e-mail address")]
    Email,
}

impl Bearer {
    /// Proves a token that came with a request. `claim` is the one that holds the e-mail address.
    pub fn prove(
        token: &Compact<'_>,
        keys: &KeySet,
        expected: &Expected<'_>,
        claim: &str,
        now: Timestamp,
    ) -> Result<Self, Wrong> {
        let ends_at = believed(token, keys, expected, Kind::Bearer, now)?;
        let payload = &token.payload;
        // A provider that says nothing is believed: it was configured as the judge of every token.
        let email = payload.text(claim).filter(|email| !email.is_empty()).ok_or(Wrong::Email)?;
        if payload.get("email_verified").is_some_and(|verified| !is_true(verified)) {
            return Err(Wrong::Email);
        }
        let id = payload.text("jti").map(ToOwned::to_owned);
        Ok(Self { email: email.to_owned(), ends_at, id })
    }
}

impl Identity {
    /// Proves a token that the provider gave for a sign-in, which was begun with this nonce.
    pub fn prove(
        token: &Compact<'_>,
        keys: &KeySet,
        expected: &Expected<'_>,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Self, Wrong> {
        believed(token, keys, expected, Kind::Identity, now)?;
        let payload = &token.payload;
        if payload.text("nonce") != Some(nonce) {
            return Err(Wrong::Nonce);
        }
        let subject = payload.text("sub").filter(|subject| !subject.is_empty()).ok_or(Wrong::Kind)?;
        let email = match payload.get("email") {
            None => None,
            Some(email) => Some(verified(email, payload.get("email_verified"))?),
        };
        Ok(Self { subject: subject.to_owned(), email })
    }

    /// The e-mail address, if the token held it.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The e-mail address, from what the provider says of whoever signed in (OpenID Connect Core section 5.3). Said of
    /// somebody else it counts for nothing.
    pub fn email_in(&self, user_info: &Value) -> Result<String, Wrong> {
        if user_info.get("sub").and_then(Value::as_str) != Some(&self.subject) {
            return Err(Wrong::Subject);
        }
        verified(user_info.get("email").unwrap_or(&Value::Null), user_info.get("email_verified"))
    }
}

/// Whether the issuer signed this for us, and it is valid now; until when. The signature comes first: nothing is said
/// about a token that nobody signed.
fn believed(
    token: &Compact<'_>,
    keys: &KeySet,
    expected: &Expected<'_>,
    kind: Kind,
    now: Timestamp,
) -> Result<Timestamp, Wrong> {
    if !is_of_kind(&token.header, kind) {
        return Err(Wrong::Kind);
    }
    if token.issuer() != Some(expected.issuer) {
        return Err(Wrong::Issuer);
    }
    if !keys.signed(token) {
        return Err(Wrong::Signature);
    }
    audience(&token.payload, expected.audience, kind)?;
    times(&token.payload, now)
}

/// Tokens for other purposes are signed with the same keys (RFC 8725 section 3.11). What is critical is refused,
/// because nothing that could be is understood here (RFC 7515 section 4.1.11).
fn is_of_kind(header: &Object, kind: Kind) -> bool {
    if header.has("crit") {
        return false;
    }
    let Some(named) = header.get("typ") else { return true };
    let Some(named) = named.as_str().map(str::to_ascii_lowercase) else { return false };
    match named.strip_prefix("application/").unwrap_or(&named) {
        "jwt" => true,
        "at+jwt" => kind == Kind::Bearer,
        _ => false,
    }
}

fn audience(payload: &Object, audience: &str, kind: Kind) -> Result<(), Wrong> {
    let several = match payload.get("aud") {
        Some(Value::String(one)) if one == audience => false,
        Some(Value::Array(all))
            if all.iter().all(Value::is_string) && all.iter().any(|one| one.as_str() == Some(audience)) =>
        {
            all.len() > 1
        }
        _ => return Err(Wrong::Audience),
    };
    // To whom an identity token was given (OpenID Connect Core section 3.1.3.7, 3 to 5).
    if kind == Kind::Identity {
        match payload.get("azp") {
            Some(party) if party.as_str() != Some(audience) => return Err(Wrong::Audience),
            None if several => return Err(Wrong::Audience),
            _ => {}
        }
    }
    Ok(())
}

/// The moment from which on it is refused.
fn times(payload: &Object, now: Timestamp) -> Result<Timestamp, Wrong> {
    let ends_at = time(payload, "exp")?.ok_or(Wrong::Times)?.after(LEEWAY);
    let latest_beginning = now.after(LEEWAY);
    let (begins, made) = (time(payload, "nbf")?, time(payload, "iat")?);
    if now >= ends_at {
        return Err(Wrong::Expired);
    }
    if begins.into_iter().chain(made).any(|time| time > latest_beginning) {
        return Err(Wrong::Early);
    }
    Ok(ends_at)
}

/// Seconds since 1970, a fraction allowed (RFC 7519 section 2), up to the year 9999. Text is no time.
fn time(payload: &Object, name: &str) -> Result<Option<Timestamp>, Wrong> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    let seconds = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was just checked"
        )]
        (None, Some(fraction)) if (0.0..=1e11).contains(&fraction) => fraction as u64,
        _ => return Err(Wrong::Times),
    };
    let known = seconds <= LATEST;
    known.then(|| Some(Timestamp::from_micros(0).after(Duration::from_secs(seconds)))).ok_or(Wrong::Times)
}

/// An address that the provider does not call verified could be anybody's.
fn verified(email: &Value, says: Option<&Value>) -> Result<String, Wrong> {
    let email = email.as_str().filter(|email| !email.is_empty() && says.is_some_and(is_true));
    email.map(ToOwned::to_owned).ok_or(Wrong::Email)
}

/// Some providers write it as text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// 9999-12-31T23:59:59Z.
const LATEST: u64 = 253_402_300_799;
