//! Every refusal of the admin API, and the answer it becomes: the only file here that picks a status.
//!
//! Answers are problem details (RFC 9457) as on the gateway port, with the same codes.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Misframed;
use crate::{
    control::{oidc::OidcError, service::ServiceError},
    domain::access::Denied,
    store::StoreError,
};

/// A field of the request and what it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// Its name, as in the API.
    pub field: String,
    /// What is wrong, and what is accepted.
    pub message: String,
}

impl Wrong {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A refusal as a client of the API knows it, near or far.
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// The stable, documented code.
    pub code: String,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// The fields that are wrong, where those are.
    #[serde(default)]
    pub errors: Vec<Wrong>,
}

/// Why a credential was not accepted as anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproved {
    /// Two credentials that differ.
    Conflict,
    /// Not the shape of a key; nothing was looked up.
    Malformed,
    /// Nobody's. Which part of it is wrong is told to nobody.
    Invalid,
    /// A key that signs, sent as it is.
    SignatureRequired,
    /// A signature that does not count.
    SignatureInvalid,
    /// A signature that has counted before.
    Replayed,
    /// As malformed or invalid, too often.
    TooMany,
    /// A token whose time is over.
    Expired,
    /// A token of somebody who has no account here.
    NoAccount,
    /// It could not be asked whose it is.
    StoreUnavailable,
    /// The keys of the token's issuer are not known.
    IssuerUnavailable,
    /// Too many wait for the slow proof.
    Overloaded,
}

impl Unproved {
    /// The stable, documented code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Conflict => "credential_conflict",
            Self::Malformed => "credential_malformed",
            Self::Invalid => "credential_invalid",
            Self::SignatureRequired => "signature_required",
            Self::SignatureInvalid => "signature_invalid",
            Self::Replayed => "replay_detected",
            Self::TooMany => "too_many_failures",
            Self::Expired => "credential_expired",
            Self::NoAccount => "forbidden",
            Self::StoreUnavailable => "store_unavailable",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Why a request was not carried out.
#[derive(Debug)]
pub(in crate::control) enum ApiError {
    /// Where the request ends, or whether it is for us, is in doubt.
    Misframed(Misframed),
    /// Nobody's credential.
    Unproved(Unproved),
    /// Somebody's, and no.
    Denied(Denied),
    /// A page of another site may have made a browser ask, with its cookie.
    CrossSite,
    /// The key has called too often; its headers are on the answer already.
    RateLimited,
    /// There is nothing at this path.
    NotFound,
    /// Something is there, but not for this method.
    MethodNotAllowed,
    /// The body is not said to be JSON.
    MediaType,
    /// The body is longer than is read.
    TooLarge,
    /// The body stopped arriving.
    Timeout,
    /// It took longer than anybody waits.
    Slow,
    /// What was sent cannot be read.
    Malformed(String),
    /// Fields that are not as they have to be.
    Fields(Vec<Wrong>),
    /// The identity provider has not signed somebody in.
    Provider(OidcError),
    /// The use case said no.
    Service(ServiceError),
}

impl From<Wrong> for ApiError {
    fn from(wrong: Wrong) -> Self {
        Self::Fields(vec![wrong])
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

/// For the operator, who may know what lies below.
impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let detail = match &error {
            ApiError::Service(error) => chain(error),
            other => other.detail(),
        };
        let code = error.code().to_owned();
        let errors = match error {
            ApiError::Fields(wrong) => wrong,
            ApiError::Service(ServiceError::InvalidField(wrong)) => {
                wrong.into_iter().map(|wrong| Wrong::new(wrong.field, wrong.message)).collect()
            }
            _ => Vec::new(),
        };
        Self { code, detail, errors }
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        ApiError::Service(error).into()
    }
}

impl ApiError {
    /// The stable, documented code.
    pub(in crate::control) fn code(&self) -> &'static str {
        match self {
            Self::Misframed(misframed) => misframed.code,
            Self::Unproved(unproved) => unproved.code(),
            Self::Denied(denied) => denied.code(),
            Self::CrossSite => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MediaType => "unsupported_media_type",
            Self::TooLarge => "body_too_large",
            Self::Timeout => "request_timeout",
            Self::Slow => "overloaded",
            Self::Provider(error) => match error {
                OidcError::Unavailable(_) => "issuer_unavailable",
                OidcError::Overloaded => "overloaded",
                OidcError::NotBegun => "request_malformed",
                OidcError::Declined(_) | OidcError::NotBelieved(_) => "forbidden",
            },
            Self::Malformed(_) => "request_malformed",
            Self::Fields(_) => "invalid_field",
            Self::Service(error) => error.code(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Misframed(misframed) => misframed.detail.clone(),
            Self::Unproved(unproved) => match unproved {
                Unproved::Conflict => "The request carries two different credentials. Send one.",
                Unproved::Malformed => "The credential has not the shape of a key.",
                Unproved::Invalid => "The key is not valid.",
                Unproved::SignatureRequired => {
                    "This key is not sent: sign the request with it, and rotate it."
                }
                Unproved::SignatureInvalid => "The signature does not count.",
                Unproved::Replayed => {
                    "A request with this nonce has been here. Sign each one with a new nonce."
                }
                Unproved::TooMany => "Too many wrong credentials. Wait a minute; the right key still works.",
                Unproved::Expired => "The token has expired.",
                Unproved::NoAccount => {
                    "The token is genuine, but whoever it speaks for has no active account here."
                }
                Unproved::IssuerUnavailable => {
                    "The keys of the token's issuer cannot be read right now. Try again."
                }
                Unproved::StoreUnavailable => "The key cannot be checked right now. Try again.",
                Unproved::Overloaded => "The gateway is busy. Try again.",
            }
            .to_owned(),
            Self::CrossSite => {
                "A page of another site may have sent this. Send it from a page of this site, or a token as \
                                Authorization: Bearer."
                    .to_owned()
            }
            Self::Denied(Denied::Missing) => {
                "Send an API key, in X-API-Key or as Authorization: Bearer.".to_owned()
            }
            Self::Denied(denied) => sentence(&denied.to_string()),
            Self::RateLimited => {
                "The key's rate limit is reached. Wait as long as Retry-After says.".to_owned()
            }
            Self::NotFound => "There is nothing at this path.".to_owned(),
            Self::MethodNotAllowed => "This path does not take this method; see Allow.".to_owned(),
            Self::MediaType => "Send the body as Content-Type: application/json.".to_owned(),
            Self::TooLarge => "The body is larger than 1 MiB, or than limits.body_bytes.".to_owned(),
            Self::Timeout => "The body stopped arriving.".to_owned(),
            Self::Slow => {
                "This takes too long right now. Ask again; with an Idempotency-Key a change is made once."
                    .to_owned()
            }
            Self::Provider(error) => match error {
                OidcError::Unavailable(_) => {
                    "The identity provider cannot be used right now. Try again, or sign in with a password."
                }
                OidcError::Overloaded => "The gateway is busy. Try again.",
                OidcError::NotBegun => {
                    "This sign-in was begun in another browser, too long ago, or is over. Begin again."
                }
                OidcError::Declined(_) => "The identity provider did not sign you in.",
                OidcError::NotBelieved(_) => {
                    "The identity provider's answer cannot be believed. An administrator finds the reason in the log."
                }
            }
            .to_owned(),
            Self::Malformed(what) => what.clone(),
            Self::Fields(_) | Self::Service(ServiceError::InvalidField(_)) => {
                "Some fields are not as they have to be; see errors.".to_owned()
            }
            // What lies below may name files and statements: that is for the log.
            Self::Service(ServiceError::Store(StoreError::Corrupt { .. })) => {
                "A damaged row is in the way. The log names it.".to_owned()
            }
            Self::Service(ServiceError::Store(_)) => {
                "The store cannot be asked right now; nothing was changed. Try again.".to_owned()
            }
            Self::Service(error) => sentence(&error.to_string()),
        }
    }

    /// The status and the body of the answer; what belongs into its headers is put there.
    pub(super) fn answer(&self, request_id: &str, headers: &mut HeaderMap) -> (StatusCode, Value) {
        let status = status_of(self.code());
        if let Self::Service(ServiceError::Store(error)) = self {
            tracing::warn!(request_id, error = %chain(error), "admin.store_failed");
        }
        self.describe(status, headers);
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.detail(),
            "code": self.code(),
            "request_id": request_id,
        });
        let errors = match self {
            Self::Fields(wrong) => Some(json!(wrong)),
            Self::Service(ServiceError::InvalidField(wrong)) => Some(json!(wrong)),
            _ => None,
        };
        if let Some(errors) = errors {
            problem["errors"] = errors;
        }
        (status, problem)
    }

    fn describe(&self, status: StatusCode, headers: &mut HeaderMap) {
        const REALM: &str = "Bearer realm=\"latchgate\"";
        if status == StatusCode::UNAUTHORIZED {
            let missing = matches!(self, Self::Denied(Denied::Missing));
            let challenge =
                if missing { REALM } else { "Bearer realm=\"latchgate\", error=\"invalid_token\"" };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        match self.code() {
            "too_many_failures" => {
                let wait = match self {
                    Self::Service(ServiceError::TooManyFailures { wait }) => wait.as_secs().max(1),
                    _ => 60,
                };
                headers.insert(RETRY_AFTER, wait.into());
            }
            "rate_limited" => {
                if let Self::Service(ServiceError::RateLimited { wait, .. }) = self {
                    // Rounded up: whoever comes back at that moment is let in.
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
                }
            }
            "store_unavailable" | "issuer_unavailable" | "overloaded" => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        // Where the message ends is in doubt, or its rest will not be read: nothing after it may be believed.
        if matches!(self, Self::Misframed(_) | Self::TooLarge | Self::Timeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// What INTERFACE says of a code, for the answers and for the reference.
pub(super) fn status_of(code: &str) -> StatusCode {
    match code {
        "credential_conflict" | "path_ambiguous" | "request_malformed" => StatusCode::BAD_REQUEST,
        "misdirected_request" => StatusCode::MISDIRECTED_REQUEST,
        "headers_too_large" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "not_implemented" => StatusCode::NOT_IMPLEMENTED,
        "ip_not_allowed" | "boundary_mismatch" | "scope_insufficient" | "forbidden" => StatusCode::FORBIDDEN,
        "not_found" => StatusCode::NOT_FOUND,
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "request_timeout" => StatusCode::REQUEST_TIMEOUT,
        "conflict" | "limit_reached" => StatusCode::CONFLICT,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "unsupported_media_type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "invalid_field" => StatusCode::UNPROCESSABLE_ENTITY,
        "rate_limited" | "too_many_failures" => StatusCode::TOO_MANY_REQUESTS,
        "store_unavailable" | "issuer_unavailable" | "overloaded" => StatusCode::SERVICE_UNAVAILABLE,
        // credential_missing, _malformed, _invalid, _revoked, _expired, session_expired, second_factor_required
        _ => StatusCode::UNAUTHORIZED,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}
