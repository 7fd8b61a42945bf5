//! The headers that tell the upstream who is calling: made once for each key, not for each request.

use http::{HeaderName, HeaderValue};

use crate::{
    config,
    domain::{access::Principal, profile::Profile},
};

/// Name and value of each header to set. Of the configured names, those that are not here are removed.
#[derive(Debug, Clone)]
pub struct Identity {
    headers: Box<[(HeaderName, HeaderValue)]>,
    /// The organization, as logged.
    pub tenant: HeaderValue,
    /// The team, as logged.
    pub team: Option<HeaderValue>,
    /// What names the credential in public, as logged.
    pub credential: HeaderValue,
}

impl Identity {
    /// Everything the upstream may know of a caller.
    pub fn new(principal: &Principal, profile: &Profile, names: &config::Identity) -> Self {
        let boundary = &principal.boundary;
        let tenant = value(boundary.org());
        let team = boundary.team().map(value);
        let credential = value(&principal.credential);
        let headers = [
            (&names.tenant, Some(tenant.clone())),
            (&names.team, team.clone()),
            (&names.project, boundary.project().map(value)),
            (&names.user, principal.user.map(value)),
            (&names.role, principal.role.as_deref().map(value)),
            (&names.scope, Some(value(boundary.kind()))),
            (&names.scopes, Some(value(profile.permissions.names(principal.permissions).join(" ")))),
            (&names.credential, Some(credential.clone())),
            (&names.method, Some(HeaderValue::from_static(principal.method.as_str()))),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.clone(), value?)));
        Self { headers: headers.collect(), tenant, team, credential }
    }

    /// The headers.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}

/// Ids, prefixes and permission names are header text by construction. Only a role's name could be none, and
/// then it is empty: a role that nobody knows grants nothing.
fn value(text: impl std::fmt::Display) -> HeaderValue {
    HeaderValue::try_from(text.to_string()).unwrap_or(HeaderValue::from_static(""))
}
