//! Assertions: who a caller is, in a token that the gateway signs and any backend can verify.
//!
//! A backend that is reached by others than the gateway cannot trust a header; it can trust a signature. The token is a
//! JWT (RFC 7519) signed with ES256 (RFC 7518 section 3.4), the signature that nearly every JWT library verifies, those
//! without Ed25519 included. It lives for a minute. Its keys follow one another by [`Schedule`]: each is published
//! before it signs and for a while after, so that whoever keeps a copy of the set is never surprised.

mod pair;
mod schedule;

use std::time::Duration;

use serde::Serialize;

pub use self::{
    pair::{Pair, PairFailed},
    schedule::Schedule,
};
use super::{access::Principal, profile::Profile, time::Timestamp};

/// How long a token counts.
pub const LIFE: Duration = Duration::from_secs(60);
/// How long one may be sent again: what a backend sees counts for the rest of [`LIFE`] at least.
pub const REUSE: Duration = Duration::from_secs(10);

/// Who is calling, and on whose word. Where a field has no value it is left out.
#[derive(Debug, Serialize)]
pub struct Claims<'a> {
    /// The gateway, by the address that it is known by.
    pub iss: &'a str,
    /// The upstream, by its name in the configuration.
    pub aud: &'a str,
    /// The person, where the credential speaks for one; else the credential.
    pub sub: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// From when on it does not count.
    pub exp: i64,
    /// A name of its own; requests of the same few seconds share it.
    pub jti: String,
    /// The organization.
    pub tenant: String,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Their role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'a str>,
    /// Where the credential acts: `org`, `team` or `project`.
    pub scope: &'static str,
    /// What it may do.
    pub scopes: Vec<&'a str>,
    /// The public part of the credential.
    pub credential: &'a str,
    /// How the caller proved itself.
    pub method: &'static str,
}

impl<'a> Claims<'a> {
    /// About this caller, for a backend, from now on. It does not outlive the credential.
    pub fn of(
        principal: &'a Principal,
        profile: &'a Profile,
        (iss, aud): (&'a str, &'a str),
        jti: String,
        now: Timestamp,
    ) -> Self {
        let boundary = &principal.boundary;
        let end = now.after(LIFE);
        let end = principal.life.ends_at().map_or(end, |over| over.min(end));
        let user = principal.user.map(|id| id.to_string());
        Self {
            iss,
            aud,
            sub: user.clone().unwrap_or_else(|| principal.credential.to_string()),
            iat: now.seconds(),
            exp: end.seconds(),
            jti,
            tenant: boundary.org().to_string(),
            team: boundary.team().map(|id| id.to_string()),
            project: boundary.project().map(|id| id.to_string()),
            user,
            role: principal.role.as_deref(),
            scope: boundary.kind().as_str(),
            scopes: profile.permissions.names(principal.permissions),
            credential: &principal.credential,
            method: principal.method.as_str(),
        }
    }
}
