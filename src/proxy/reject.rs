//! Every refusal of the data plane, and the answer it becomes: the only file here that picks a status.
//!
//! Answers are problem details (RFC 9457) with a stable `code`. They say what the caller can do about it, and
//! nothing about the inside: not which part of a credential was wrong, not what an upstream said.

mod detail;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER, VARY,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

use super::{
    body::Unheld,
    decide::Unclear,
    forward::ForwardError,
    headers::{LoopDetected, Malformed},
    route::NoRoute,
    wire::Flaw,
};
use crate::domain::{access::Denied, profile::Profile};

/// A refusal that a browser shows runs nothing, loads nothing and stands in no frame.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// What is wrong with a call that only a platform's webhook may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproved {
    /// It brings nothing that would prove it.
    Missing,
    /// Its signature has not the form of one.
    Malformed,
    /// Its signature is not of this body by this secret, or its token is not the secret.
    Invalid,
    /// It is proved, and the organization that it calls for is gone.
    Gone,
}

impl Unproved {
    const fn code(self) -> &'static str {
        match self {
            Self::Missing => Denied::Missing.code(),
            Self::Malformed => "credential_malformed",
            Self::Invalid => "credential_invalid",
            Self::Gone => Denied::Revoked.code(),
        }
    }
}

/// Why a request was not forwarded, or not answered by its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is not one that two programs would read alike.
    Malformed(Malformed),
    /// It is no HTTP.
    Unreadable,
    /// Its version of HTTP is not spoken here.
    VersionNotSupported,
    /// Its headers are more than is read.
    HeadersTooLarge,
    /// A proxy asks, and nobody can tell about what.
    Unclear(Unclear),
    /// It asks in the name of others, and is no proxy that may.
    NoProxy,
    /// What would prove it is in its body, which the asking proxy keeps.
    BodyElsewhere,
    /// Its body is cut short or malformed.
    BodyBroken,
    /// Its path is not.
    PathAmbiguous,
    /// The target is longer than is read.
    UriTooLong,
    /// It carries two credentials of ours.
    CredentialConflict,
    /// The credential has not the shape of one.
    CredentialMalformed,
    /// The credential is nobody's.
    CredentialInvalid,
    /// A page of another site may have made a browser send it, with its cookie.
    CrossSite,
    /// A platform's webhook is not proved.
    Webhook(Unproved),
    /// A key that signs was sent as it is.
    SignatureRequired,
    /// The signature does not count.
    SignatureInvalid,
    /// The signature has counted before.
    Replayed,
    /// The decision was no.
    Denied(Denied),
    /// The credential is missing or has ended, and whoever asks can sign in: at this place.
    SignIn {
        /// The code that everybody else is told.
        code: &'static str,
        /// Where.
        place: HeaderValue,
    },
    /// The token is genuine, and speaks for somebody who has no account here.
    NoAccount,
    /// No route.
    NotFound,
    /// A route, but not for this method.
    MethodNotAllowed {
        /// The methods it is for.
        allow: HeaderValue,
    },
    /// It asks for the gateway itself by a name that is not the gateway's.
    Misdirected,
    /// It asks for a host that another certificate serves than the one its client was shown.
    AnotherCertificate,
    /// The key has called too often.
    RateLimited,
    /// This address or prefix was wrong too often.
    TooManyFailures,
    /// It has passed through this gateway before.
    LoopDetected,
    /// A transfer coding that we do not implement.
    NotImplemented,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The body stopped arriving.
    RequestTimeout,
    /// No target of the upstream could be reached.
    UpstreamUnreachable,
    /// The upstream answered with what is no HTTP.
    UpstreamProtocol,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// Whose credential it is could not be asked.
    StoreUnavailable,
    /// The keys that the token would be proved by are not known.
    IssuerUnavailable,
    /// More work waits than can be done.
    Overloaded,
}

impl Refusal {
    /// The stable, documented code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Unreadable | Self::Unclear(_) | Self::BodyBroken => {
                "request_malformed"
            }
            Self::VersionNotSupported => "version_not_supported",
            Self::HeadersTooLarge => "headers_too_large",
            Self::PathAmbiguous => "path_ambiguous",
            Self::UriTooLong => "uri_too_long",
            Self::CredentialConflict => "credential_conflict",
            Self::CredentialMalformed => "credential_malformed",
            Self::CredentialInvalid => "credential_invalid",
            Self::Webhook(unproved) => unproved.code(),
            Self::SignatureRequired => "signature_required",
            Self::SignatureInvalid => "signature_invalid",
            Self::Replayed => "replay_detected",
            Self::Denied(denied) => denied.code(),
            Self::SignIn { code, .. } => code,
            Self::CrossSite | Self::NoAccount | Self::NoProxy => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::Misdirected | Self::AnotherCertificate => "misdirected_request",
            Self::RateLimited => "rate_limited",
            Self::TooManyFailures => "too_many_failures",
            Self::LoopDetected => "loop_detected",
            Self::NotImplemented | Self::BodyElsewhere => "not_implemented",
            Self::BodyTooLarge => "body_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::StoreUnavailable => "store_unavailable",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::Overloaded => "overloaded",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::Unreadable
            | Self::Unclear(_)
            | Self::BodyBroken
            | Self::PathAmbiguous
            | Self::CredentialConflict => StatusCode::BAD_REQUEST,
            Self::VersionNotSupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::CredentialMalformed
            | Self::CredentialInvalid
            | Self::Webhook(_)
            | Self::SignatureRequired
            | Self::SignatureInvalid
            | Self::Replayed
            | Self::Denied(Denied::Missing | Denied::Revoked | Denied::Expired | Denied::SessionEnded) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Denied(Denied::Address | Denied::Boundary | Denied::Scope(_))
            | Self::CrossSite
            | Self::NoAccount
            | Self::NoProxy => StatusCode::FORBIDDEN,
            Self::SignIn { .. } => StatusCode::SEE_OTHER,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected | Self::AnotherCertificate => StatusCode::MISDIRECTED_REQUEST,
            Self::RateLimited | Self::TooManyFailures => StatusCode::TOO_MANY_REQUESTS,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::NotImplemented | Self::BodyElsewhere => StatusCode::NOT_IMPLEMENTED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamUnreachable | Self::UpstreamProtocol => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::StoreUnavailable | Self::IssuerUnavailable | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The challenge that goes with the status (RFC 6750 section 3): none of its error codes for a request
    /// that brought no credential.
    fn challenge(&self, profile: &Profile) -> Option<HeaderValue> {
        const REALM: &str = "Bearer realm=\"latchgate\"";
        match self {
            Self::Denied(Denied::Missing) | Self::Webhook(Unproved::Missing) => {
                Some(HeaderValue::from_static(REALM))
            }
            Self::Denied(Denied::Scope(permission)) => {
                let scope = profile.permissions.name(*permission);
                HeaderValue::try_from(format!("{REALM}, error=\"insufficient_scope\", scope=\"{scope}\""))
                    .ok()
            }
            _ if self.status() == StatusCode::UNAUTHORIZED => {
                HeaderValue::try_from(format!("{REALM}, error=\"invalid_token\"")).ok()
            }
            _ => None,
        }
    }

    /// The answer, as complete as it can be without knowing the request.
    pub fn response(&self, profile: &Profile, request_id: &HeaderValue) -> Response<Bytes> {
        let status = self.status();
        let problem = Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.detail(profile),
            code: self.code(),
            request_id: request_id.to_str().unwrap_or_default(),
        };
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        // A terminal's next line begins below it.
        body.push(b'\n');
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        self.describe(profile, response.headers_mut());
        response
    }

    fn describe(&self, profile: &Profile, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NOTHING));
        if let Some(challenge) = self.challenge(profile) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        match self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(ALLOW, allow.clone());
            }
            Self::SignIn { place, .. } => {
                headers.insert(LOCATION, place.clone());
                headers.insert(VARY, HeaderValue::from_static("Accept, Cookie"));
            }
            Self::TooManyFailures => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            Self::StoreUnavailable | Self::IssuerUnavailable | Self::Overloaded => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // Where the message ends is in doubt, or its rest will not be read: nothing after it may be believed.
            Self::Malformed(_)
            | Self::BodyBroken
            | Self::HeadersTooLarge
            | Self::NotImplemented
            | Self::BodyTooLarge
            | Self::RequestTimeout => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TransferEncoding => Self::NotImplemented,
            Malformed::Flaw(Flaw::Fragment) => Self::PathAmbiguous,
            Malformed::Flaw(Flaw::HeadTooLarge) => Self::HeadersTooLarge,
            _ => Self::Malformed(malformed),
        }
    }
}

impl From<Unclear> for Refusal {
    fn from(unclear: Unclear) -> Self {
        Self::Unclear(unclear)
    }
}

impl From<NoRoute> for Refusal {
    fn from(none: NoRoute) -> Self {
        match none {
            NoRoute::NotFound => Self::NotFound,
            NoRoute::MethodNotAllowed { allow } => Self::MethodNotAllowed { allow },
            NoRoute::Ambiguous => Self::PathAmbiguous,
        }
    }
}

impl From<LoopDetected> for Refusal {
    fn from(_: LoopDetected) -> Self {
        Self::LoopDetected
    }
}

impl From<ForwardError> for Refusal {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::Unreachable(_) => Self::UpstreamUnreachable,
            ForwardError::Timeout(_) => Self::UpstreamTimeout,
            ForwardError::Protocol(_) => Self::UpstreamProtocol,
            ForwardError::BodyTooLarge => Self::BodyTooLarge,
            ForwardError::ClientStalled => Self::RequestTimeout,
            ForwardError::ClientAborted => Self::BodyBroken,
            ForwardError::Overloaded => Self::Overloaded,
        }
    }
}

impl From<Unheld> for Refusal {
    fn from(unheld: Unheld) -> Self {
        match unheld {
            Unheld::TooLarge => Self::BodyTooLarge,
            Unheld::Stalled => Self::RequestTimeout,
            Unheld::Broken => Self::BodyBroken,
            Unheld::Crowded => Self::Overloaded,
            Unheld::Elsewhere => Self::BodyElsewhere,
        }
    }
}

/// RFC 9457, with our `code` and the request's id.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: String,
    code: &'static str,
    request_id: &'a str,
}
