//! The headers that tell the upstream who is calling: made once for each key, not for each request, and what many keys
//! have in common of them only once.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::headers::{Lines, Phrase};
use crate::{
    config,
    domain::{access::Principal, profile::Profile},
};

/// What is told of one caller. Of the configured names, those that are not here are removed.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What it tells like others.
    pub shared: Arc<Shared>,
    /// What names the credential in public, as told and as logged.
    pub credential: HeaderValue,
}

/// What is told of all callers with the same rights.
#[derive(Debug)]
pub struct Shared {
    headers: Phrase,
    /// The header for what names the credential.
    credential: HeaderName,
}

impl Shared {
    /// Everything the upstream may know of a caller but which credential it has.
    pub fn new(principal: &Principal, profile: &Profile, names: &config::Identity) -> Self {
        let boundary = &principal.boundary;
        let headers = [
            (&names.tenant, Some(value(boundary.org()))),
            (&names.team, boundary.team().map(value)),
            (&names.project, boundary.project().map(value)),
            (&names.user, principal.user.map(value)),
            (&names.role, principal.role.as_deref().map(value)),
            (&names.scope, Some(value(boundary.kind()))),
            (&names.scopes, Some(value(profile.permissions.names(principal.permissions).join(" ")))),
            (&names.method, Some(HeaderValue::from_static(principal.method.as_str()))),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.clone(), value?)));
        Self { headers: headers.collect(), credential: names.credential.clone() }
    }
}

impl Identity {
    /// Of a caller with this credential.
    pub fn new(shared: Arc<Shared>, credential: &str) -> Self {
        Self { shared, credential: value(credential) }
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'_> {
        Headers { shared: Some(&self.shared.headers), own: Some((&self.shared.credential, &self.credential)) }
    }
}

/// Name and value of each header to set; of nobody, none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    shared: Option<&'a Phrase>,
    own: Option<(&'a HeaderName, &'a HeaderValue)>,
}

impl<'a> From<&'a Phrase> for Headers<'a> {
    fn from(headers: &'a Phrase) -> Self {
        Self { shared: Some(headers), own: None }
    }
}

impl<'a> Headers<'a> {
    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        self.shared.into_iter().flat_map(Phrase::iter).chain(self.own)
    }

    /// Says them.
    #[inline]
    pub fn tell(self, lines: &mut impl Lines) {
        if let Some(shared) = self.shared {
            lines.say_phrase(shared);
        }
        if let Some((name, value)) = self.own {
            lines.say(name, value);
        }
    }
}

/// Ids, prefixes and permission names are header text by construction. Only a role's name could be none, and
/// then it is empty: a role that nobody knows grants nothing.
fn value(text: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}
