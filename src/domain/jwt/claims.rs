//! What a token says, believed only when an issuer's key signed it and it is meant for us, now.

use std::time::Duration;

use serde_json::Value;

use super::{Compact, KeySet, compact::Object};
use crate::domain::time::Timestamp;

/// How far clocks may differ: an end is this much later, a beginning this much earlier.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What a token must be, to be believed.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who made it, character by character.
    pub issuer: &'a str,
    /// For whom.
    pub audience: &'a str,
    /// What for.
    pub kind: Kind<'a>,
    /// The claim that holds the e-mail address.
    pub email: &'a str,
}

/// What a token is for. One kind is never taken for the other where the token itself tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// To be sent with requests.
    Bearer,
    /// To sign somebody in who was sent to the provider with this nonce.
    Identity {
        /// What the provider was given.
        nonce: &'a str,
    },
}

/// What was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub email: String,
    /// From this moment on it is refused; the leeway is in it.
    pub ends_at: Timestamp,
    /// Its own name, if it has one.
    pub id: Option<String>,
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
    /// No e-mail address, or one that the provider has not verified.
    #[error("it holds no verified e-mail address")]
    Email,
}

impl Claims {
    /// Proves a token and judges what it says. The signature comes first: nothing is said about a token that
    /// nobody signed.
    pub fn prove(
        token: &Compact<'_>,
        keys: &KeySet,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Self, Wrong> {
        if !is_of_kind(&token.header, expected.kind) {
            return Err(Wrong::Kind);
        }
        if token.issuer() != Some(expected.issuer) {
            return Err(Wrong::Issuer);
        }
        if !keys.signed(token) {
            return Err(Wrong::Signature);
        }
        let payload = &token.payload;
        audience(payload, expected)?;
        let ends_at = times(payload, now)?;
        if let Kind::Identity { nonce } = expected.kind
            && payload.text("nonce") != Some(nonce)
        {
            return Err(Wrong::Nonce);
        }
        let email = email(payload, expected)?;
        Ok(Self { email: email.to_owned(), ends_at, id: payload.text("jti").map(ToOwned::to_owned) })
    }
}

/// Tokens for other purposes are signed with the same keys (RFC 8725 section 3.11). What is critical is refused,
/// because nothing that could be is understood here (RFC 7515 section 4.1.11).
fn is_of_kind(header: &Object, kind: Kind<'_>) -> bool {
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

fn audience(payload: &Object, expected: &Expected<'_>) -> Result<(), Wrong> {
    let several = match payload.get("aud") {
        Some(Value::String(one)) if one == expected.audience => false,
        Some(Value::Array(all))
            if all.iter().all(Value::is_string)
                && all.iter().any(|one| one.as_str() == Some(expected.audience)) =>
        {
            all.len() > 1
        }
        _ => return Err(Wrong::Audience),
    };
    // To whom an identity token was given (OpenID Connect Core section 3.1.3.7, 3 to 5).
    if matches!(expected.kind, Kind::Identity { .. }) {
        match payload.get("azp") {
            Some(party) if party.as_str() != Some(expected.audience) => return Err(Wrong::Audience),
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

/// An address that the provider says it has not verified could be anybody's. A provider that says nothing is
/// believed where it was configured as the judge of every token; for a sign-in it must say so.
fn email<'a>(payload: &'a Object, expected: &Expected<'_>) -> Result<&'a str, Wrong> {
    let verified = match payload.get("email_verified") {
        None => matches!(expected.kind, Kind::Bearer),
        Some(Value::Bool(verified)) => *verified,
        // Some providers write it as text.
        Some(Value::String(text)) => text == "true",
        Some(_) => false,
    };
    payload.text(expected.email).filter(|email| verified && !email.is_empty()).ok_or(Wrong::Email)
}

/// 9999-12-31T23:59:59Z.
const LATEST: u64 = 253_402_300_799;
